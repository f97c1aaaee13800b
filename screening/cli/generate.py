"""`sorbus generate`: new crystals from the diffusion model, or sorbents from building blocks."""

import argparse
from collections import Counter
from typing import Any

from screening.cli.arguments import (
    add_config_options,
    print_config,
    resolve_config,
    split_inputs,
    verb_parser,
    writable_folder,
)


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verb_parser(
        verbs,
        "generate",
        "Generate new structures: crystals by diffusion, or sorbents from building blocks.",
        [
            "sorbus generate count=16 seed=1",
            "sorbus generate count=8 conditions.chemical_system=Li-P-S out=runs/lps",
            "sorbus generate count=4 conditions.composition=SrTiO3 steps=250",
            "sorbus generate model=template count=10          # metal-organic frameworks",
        ],
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Generate, write, and say what was lost on the way."""
    from potentials.errors import InputError
    from screening.generation import GenerateSettings, generate

    paths, _ = split_inputs(arguments)
    if paths:
        raise InputError(f"generate takes key=value settings, not {paths[0]!r}: a settings file goes behind --config")
    settings, _ = resolve_config(GenerateSettings, arguments)
    if arguments.print_config:
        return print_config(settings)
    folder = writable_folder(settings.out)
    batch = generate(settings, progress=True)
    for path in batch.write(folder):
        print(path)
    _report_losses(batch.failures)
    print(f"{len(batch.structures)} of {settings.count} structures in {folder}")
    return 0


def _report_losses(failures: list[Any]) -> None:
    for reason, count in Counter(failures).most_common(5):
        print(f"lost {count}: {reason}")
