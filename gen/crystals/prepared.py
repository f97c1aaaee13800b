"""Training cells somebody else has prepared: a table on disk, taken as it is, split and all.

The public crystal sets are reduced, deduplicated and split by formula (`gen.crystals.dataset`). Polymorphs of one
compound, supercells and strained copies would not survive that, so a table of them says itself what is what: JSON
lines, gzipped, one cell a line.
"""

import collections
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gen.crystals.symmetry import niggli_cell
from potentials.errors import InputError
from potentials.files import write_atomic

SPLITS = ("train", "validation")
DIGITS = 5  # decimals kept on disk


@dataclass(frozen=True)
class PreparedCell:
    """One cell of a table."""

    name: str
    split: str  # "train" or "validation"
    numbers: np.ndarray  # [N] atomic numbers
    frac: np.ndarray  # [N, 3]
    lattice: np.ndarray  # [3, 3] Å, rows are vectors
    space_group: int  # international number, 1 where nothing is known


def write_prepared(path: str | Path, cells: Iterable[PreparedCell]) -> Path:
    """Write a table; the same cells give the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    lines = [json.dumps(to_json(cell), separators=(",", ":")) for cell in cells]
    return write_atomic(path, gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


def read_prepared(path: str | Path) -> Iterator[PreparedCell]:
    """Cells of a table in their Niggli cells, which the network's features need, coordinates in [0, 1).

    Raises:
        InputError: no such file, or a line that is not a cell.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no table of training cells at {path}: make one, e.g. with `sorbus dataset zeolites`")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield from_json(json.loads(line), f"{path}, line {number}")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a table of training cells ({error}): make it anew") from None


def table_sha256(cells: Iterable[PreparedCell]) -> str:
    """Hash of the cells' contents."""
    digest = hashlib.sha256()
    for cell in cells:
        digest.update(json.dumps(to_json(cell), separators=(",", ":")).encode())
    return digest.hexdigest()


def counts_of(cells: Iterable[PreparedCell]) -> dict[str, int]:
    """Cells of each split."""
    return dict(collections.Counter(cell.split for cell in cells))


def to_json(cell: PreparedCell) -> dict[str, Any]:
    """Plain numbers."""
    return {
        "name": cell.name,
        "split": cell.split,
        "numbers": [int(z) for z in cell.numbers],
        "frac": np.round(cell.frac, DIGITS).tolist(),
        "lattice": np.round(cell.lattice, DIGITS).tolist(),
        "space_group": int(cell.space_group),
    }


def from_json(value: dict[str, Any], where: str) -> PreparedCell:
    """Inverse of `to_json`, in the Niggli cell; `where` is named in the error.

    Raises:
        InputError: not a cell.
    """
    numbers = np.asarray(value["numbers"], dtype=np.int64)
    frac = np.asarray(value["frac"], dtype=float).reshape(-1, 3)
    lattice = np.asarray(value["lattice"], dtype=float).reshape(3, 3)
    if len(numbers) != len(frac) or not len(numbers) or value["split"] not in SPLITS:
        raise InputError(f"{where}: numbers and frac differ in length, or the split is not one of {', '.join(SPLITS)}")
    reduced = niggli_cell((lattice, frac, numbers))
    if reduced is None:
        raise InputError(f"{where}: the lattice has no Niggli cell: drop the line")
    return PreparedCell(str(value["name"]), value["split"], numbers, reduced[1], reduced[0], int(value["space_group"]))
