"""From part files to one set: duplicates out, no net or block too often, a summary beside it."""

import gzip
import hashlib
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gen.sorbents.beads import DIRECT
from gen.sorbents.library import pormake_version
from potentials.errors import InputError
from potentials.files import write_atomic
from screening.sorbent_dataset.labels import sound_labels
from screening.sorbent_dataset.parts import parts_folder, read_part
from screening.sorbent_dataset.settings import SorbentDatasetSettings, recipe_hash

SAME_DENSITY = 0.02  # relative; the same bonded network at densities closer than this is the same framework


def merge_parts(settings: SorbentDatasetSettings) -> dict[str, Any]:
    """Merge every part of a set into `settings.out` and write the summary; returns the summary.

    Rows come in the order of a hash of their keys, so that neither the order in which they were finished nor the
    number of processes matters: the first of equal ones stays, and what exceeds a cap is left out.

    Raises:
        InputError: no parts, or parts of other settings.
    """
    paths = sorted(parts_folder(settings.out).glob("*.jsonl"))
    records = {record["index"]: record for path in paths for record in read_part(path, recipe_hash(settings))}
    if not records:
        raise InputError(f"{parts_folder(settings.out)} holds no parts: make some with `sorbus dataset mofs`")
    kept = sorted((record for record in records.values() if record["kept"]), key=lambda record: _order(record["key"]))
    unique, same_recipe, same_content = drop_duplicates(kept)
    for record in unique:
        record["row"]["labels"] = sound_labels(record["row"]["labels"])
    rows, capped = cap_shares(unique, settings.max_net_share, settings.max_block_share)
    lines = "".join(json.dumps(record["row"], separators=(",", ":")) + "\n" for record in rows).encode()
    out = Path(settings.out)
    write_atomic(out, gzipped(lines) if out.suffix == ".gz" else lines)
    lost = Counter(record["check"] for record in records.values() if not record["kept"])
    lost |= {"duplicate recipe": same_recipe, "duplicate framework": same_content, "net or block too common": capped}
    summary = {
        "rows": len(rows),
        "sha256": hashlib.sha256(lines).hexdigest(),  # of the lines, before compression
        "drawn": len(records),
        "splits": dict(sorted(Counter(record["row"]["split"] for record in rows).items())),
        "rejected": {name: number for name, number in sorted(lost.items(), key=lambda item: -item[1]) if number},
        "nets": len({record["row"]["net"] for record in rows}),
        "blocks": len({block for record in rows for block in record["row"]["blocks"]} - {DIRECT}),
        "most_common_nets": Counter(record["row"]["net"] for record in rows).most_common(10),
        "most_common_blocks": _block_counts(rows).most_common(10),
        "atoms": statistics([record["atoms"] for record in rows]),
        "beads": statistics([len(record["row"]["blocks"]) for record in rows]),
        "labels": label_statistics([record["row"]["labels"] for record in rows]),
        "label_notes": dict(
            Counter(_kind(note) for record in rows for note in record["notes"].values()).most_common(8)
        ),
        "pormake": pormake_version(),
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "settings": settings.model_dump(mode="json"),
    }
    write_atomic(summary_path(out), json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def summary_path(out: Path) -> Path:
    """`mofs.json` beside `mofs.jsonl.gz`."""
    return out.with_name(out.name.split(".")[0] + ".json")


def drop_duplicates(records: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int, int]:
    """The first of every framework, how many had an earlier one's recipe, and how many its bonded network.

    Networks are compared by formula and Weisfeiler-Leman hash of the bonds, frameworks of one network by density.
    """
    keys: set[str] = set()
    densities: dict[str, list[float]] = defaultdict(list)
    unique, same_recipe = [], 0
    for record in records:
        if record["key"] in keys:
            same_recipe += 1
            continue
        keys.add(record["key"])
        density = record["row"]["labels"]["density_g_cm3"]
        if any(abs(density - other) < SAME_DENSITY * other for other in densities[record["content"]]):
            continue
        densities[record["content"]].append(density)
        unique.append(record)
    return unique, same_recipe, len(records) - same_recipe - len(unique)


def cap_shares(
    records: Sequence[dict[str, Any]], max_net_share: float, max_block_share: float
) -> tuple[list[dict[str, Any]], int]:
    """Rows, in order, whose net and blocks have not used up their share yet, and the number of the others.

    Shares are of the rows given, so the shares of what is left are a little larger.
    """
    net_limit = max(1, math.ceil(max_net_share * len(records)))
    block_limit = max(1, math.ceil(max_block_share * len(records)))
    nets: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    rows = []
    for record in records:
        net, used = record["row"]["net"], set(record["row"]["blocks"]) - {DIRECT}
        if nets[net] < net_limit and all(blocks[block] < block_limit for block in used):
            nets[net] += 1
            blocks.update(used)
            rows.append(record)
    return rows, len(records) - len(rows)


def label_statistics(labels: Iterable[dict[str, float]]) -> dict[str, dict[str, float]]:
    """`statistics` of every label."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in labels:
        for name, value in row.items():
            values[name].append(value)
    return {name: statistics(found) for name, found in sorted(values.items())}


def statistics(values: Sequence[float]) -> dict[str, float]:
    """Number, mean, standard deviation and five quantiles."""
    if not len(values):
        return {"number": 0}
    array = np.array(values, float)
    quantiles = np.quantile(array, (0.0, 0.1, 0.5, 0.9, 1.0))
    names = ("least", "tenth", "median", "ninth_tenth", "most")
    described = {"number": len(array), "mean": array.mean(), "std": array.std()} | dict(
        zip(names, quantiles, strict=True)
    )
    return {name: round(float(value), 4) for name, value in described.items()}


def _block_counts(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(block for record in rows for block in set(record["row"]["blocks"]) - {DIRECT})


def _order(key: str) -> str:
    return hashlib.sha256(f"order {key}".encode()).hexdigest()


def _kind(note: str) -> str:
    """A note without its numbers, so that equal ones are counted together."""
    return "".join("#" if char.isdigit() else char for char in note)[:120]


def gzipped(data: bytes) -> bytes:
    """Compressed without a time stamp: equal rows give equal files."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()
