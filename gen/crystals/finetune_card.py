"""The model card of a fine-tuned checkpoint: what a reader must know before using it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gen.crystals.properties import PropertySpec
from potentials.files import sha256_file


def model_card(folder: Path, properties: Sequence[PropertySpec], provenance: dict[str, Any], bad: Sequence[str]) -> str:
    """Markdown, from the provenance a checkpoint carries."""
    base, losses = provenance["base"], provenance["losses"]
    lines = [
        f"# Model card: `{folder.name}`",
        "",
        f"The crystal generator `{base['name']}` (SHA-256 `{base['sha256']}`) fine-tuned on a table of crystals.",
        "It proposes structures; it says nothing about their stability. The licence of the table's data holds for what",
        "was learnt from it: name it here before passing the weights on.",
        "",
        "| | |",
        "|---|---|",
        f"| weights | `model.safetensors`, SHA-256 `{sha256_file(folder / 'model.safetensors')}` |",
        f"| command | `{provenance['command']}` |",
        f"| seed | {provenance['seed']} |",
        f"| updates, epochs | {provenance['updates']}, {provenance['epochs']} of {provenance['planned_epochs']} |",
        f"| wall time | {provenance['wall_seconds']} s |",
        f"| data | SHA-256 `{provenance['data_sha256']}`, {provenance['data']['train']} crystals to train on, "
        f"{provenance['data']['validation']} held out, {len(bad)} rows left out |",
        *(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in losses.items()),
        "",
        "| property | kind | training values | mean ± spread | from | to |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{p.name}` | {p.kind} | {p.count:,} | "
            + (f"{p.mean:.4g} ± {p.std:.4g}" if p.kind == "scalar" else "")
            + f" | {p.low:.4g} | {p.high:.4g} |"
            for p in properties
        ),
        "",
        "Outside the range of its training values a property is extrapolated; more than four spreads from the mean the",
        "network cannot tell values apart.",
    ]
    return "\n".join(lines) + "\n"
