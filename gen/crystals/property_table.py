"""A user's table of crystals and property values: read, checked row by row, made ready for fine-tuning.

A CSV with a header. The structure is in the column `cif` (CIF text) or in the column `file` (a path relative to the
table); the other columns are properties. A folder that holds one CSV may be named instead of the CSV. `density`
(g/cm^3), `volume_per_atom` (Å^3) and `space_group` are computed from the structure where the table has no such column.
"""

import collections
import csv
import difflib
import gzip
import hashlib
import io
import lzma
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Element
from torch import Tensor

from gen.crystals.dataset import (
    MIN_DISTANCE,
    Crystal,
    CrystalDataset,
    CrystalGroup,
    is_held_out,
    minimum_distance,
    reduce_crystal,
)
from gen.crystals.properties import SPACE_GROUP
from gen.crystals.sources import parse_cif
from gen.evaluation.reference import GRAM_PER_CM3
from potentials.errors import InputError

CIF_COLUMNS = ("cif", "structure")
FILE_COLUMNS = ("file", "path", "cif_file")
MAX_CELL = 1 << 27  # bytes of one CSV cell; a CIF of a million atoms has about as many
EMPTY = ("", "nan", "none", "null", "na", "n/a")


@dataclass(frozen=True)
class PropertyTable:
    """Crystals by atom count, with P property values each."""

    dataset: CrystalDataset
    names: tuple[str, ...]
    train: dict[int, Tensor]  # [M, P] float64, NaN where unknown
    validation: dict[int, Tensor]
    bad_rows: tuple[str, ...]  # "line 17: …" of every row that was left out

    def training_values(self) -> Tensor:
        """[M, P] over all atom counts."""
        return torch.cat([self.train[n] for n in sorted(self.train)])


@dataclass(frozen=True)
class _Row:
    line: int  # where the row starts in the file
    text: str  # CIF
    values: tuple[float, ...]


def density(crystal: Crystal) -> float:
    """g/cm^3."""
    mass = sum(float(Element.from_Z(int(z)).atomic_mass) for z in crystal.numbers)
    return GRAM_PER_CM3 * mass / (crystal.volume_per_atom * len(crystal.numbers))


COMPUTED: dict[str, Callable[[Crystal], float]] = {
    "density": density,
    "volume_per_atom": lambda crystal: crystal.volume_per_atom,
    SPACE_GROUP: lambda crystal: float(crystal.space_group),
}


def read_table(
    path: str | Path,
    names: Sequence[str],
    elements: Sequence[int],
    max_atoms: int,
    *,
    holdout: float = 0.05,
    exclude_formulas: frozenset[str] = frozenset(),
    workers: int = 1,
) -> PropertyTable:
    """Read a table; rows that cannot be used are listed with their line numbers, the others are kept.

    Args:
        path: CSV (also .gz, .xz), or a folder with one.
        names: property columns.
        elements: atomic numbers the model knows.
        max_atoms: in the primitive cell.
        holdout: share of reduced formulas kept for validation.
        exclude_formulas: reduced formulas to be left out, e.g. those of a test split.

    Raises:
        InputError: no such file or column, or not one usable row.
    """
    path = find_table(path)
    rows: list[_Row] = []
    bad: list[tuple[int, str]] = []
    for row in _read_rows(path, names):
        if isinstance(row, _Row):
            rows.append(row)
        else:
            bad.append(row)
    kept: list[Crystal] = []
    values: list[list[float]] = []
    with ProcessPoolExecutor(workers) as pool:
        jobs = pool.map(_reduce, [row.text for row in rows], chunksize=32)
        for row, crystal in zip(rows, jobs, strict=True):
            fault = crystal if isinstance(crystal, str) else _unusable(crystal, elements, max_atoms, exclude_formulas)
            if fault is not None or isinstance(crystal, str):
                bad.append((row.line, str(fault)))
                continue
            kept.append(crystal)
            values.append(_complete(row.values, names, crystal))
    faults = tuple(f"line {line}: {reason}" for line, reason in sorted(bad))
    if not kept:
        first = f" ({faults[0]})" if faults else ""
        wanted = f" and numbers in {', '.join(names)}" if names else ""
        raise InputError(f"{path} has no usable row{first}: give a `cif` or `file` column{wanted}")
    return table_of(kept, names, values, holdout=holdout, bad_rows=faults)


def table_of(
    crystals: Sequence[Crystal],
    names: Sequence[str] = (),
    values: Sequence[Sequence[float]] | None = None,
    *,
    holdout: float = 0.05,
    bad_rows: tuple[str, ...] = (),
) -> PropertyTable:
    """A table of crystals in memory, `values` [M][P] in their order.

    Raises:
        InputError: a property of which no training crystal has a value, or one that never varies.
    """
    columns = values if values is not None else [[] for _ in crystals]
    split: dict[tuple[str, int], list[int]] = collections.defaultdict(list)
    for index, crystal in enumerate(crystals):
        part = "validation" if is_held_out(crystal.formula, holdout) else "train"
        split[part, len(crystal.numbers)].append(index)
    if not any(part == "train" for part, _ in split):  # a handful of crystals of one formula: train on them all
        split = {("train", n): members for (_, n), members in split.items()}
    groups: dict[str, dict[int, CrystalGroup]] = {"train": {}, "validation": {}}
    tensors: dict[str, dict[int, Tensor]] = {"train": {}, "validation": {}}
    for (part, n), members in sorted(split.items()):
        groups[part][n] = CrystalGroup(
            numbers=torch.from_numpy(np.stack([crystals[i].numbers for i in members])),
            frac=torch.from_numpy(np.stack([crystals[i].frac for i in members])).float(),
            lattice=torch.from_numpy(np.stack([crystals[i].lattice for i in members])).float(),
            space_group=torch.tensor([crystals[i].space_group for i in members]),
        )
        tensors[part][n] = torch.tensor([list(columns[i]) for i in members], dtype=torch.float64)
    counts = {"kept": len(crystals), "bad rows": len(bad_rows)}
    counts |= {part: sum(len(group) for group in groups[part].values()) for part in groups}
    dataset = CrystalDataset(groups["train"], groups["validation"], _digest(groups, tensors), counts)
    table = PropertyTable(dataset, tuple(names), tensors["train"], tensors["validation"], bad_rows)
    for name, column in zip(names, table.training_values().unbind(1), strict=True):
        known = column[~column.isnan()]
        if not len(known):
            raise InputError(f"no training crystal has a value of {name!r}: fill the column or leave it out")
        if float(known.min()) == float(known.max()):
            raise InputError(f"{name} is {float(known[0]):g} for every crystal: there is nothing to learn from it")
    return table


def find_table(path: str | Path) -> Path:
    """The CSV itself, or the only one of a folder.

    Raises:
        InputError: no such file, or a folder with none or several.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.name.endswith((".csv", ".csv.gz", ".csv.xz")))
        if len(found) != 1:
            raise InputError(f"{path} holds {len(found)} CSV tables: name the one to train on")
        return found[0]
    if not path.is_file():
        raise InputError(f"no table {path}: give a CSV with a `cif` or `file` column and one column a property")
    return path


def _read_rows(path: Path, names: Sequence[str]) -> Iterator[_Row | tuple[int, str]]:
    """Rows in file order; (line, reason) for one that cannot be read."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    header = [name.strip() for name in next(reader, [])]
    source = next((name for name in (*CIF_COLUMNS, *FILE_COLUMNS) if name in header), None)
    if source is None:
        raise InputError(f"{path} has no column `cif` or `file`: its columns are {', '.join(header) or 'none'}")
    for name in names:
        if name not in header and name not in COMPUTED:
            nearest = difflib.get_close_matches(name, header, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"its columns are {', '.join(header)}"
            raise InputError(f"{path} has no column {name!r}: {hint}")
    line = reader.line_num + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"not a CSV row ({error})"
            line = reader.line_num + 1
            continue
        if cells:
            yield _parse_row(path, header, source, names, cells, line)
        line = reader.line_num + 1


def _parse_row(
    path: Path, header: list[str], source: str, names: Sequence[str], cells: list[str], line: int
) -> _Row | tuple[int, str]:
    if len(cells) != len(header):
        return line, f"{len(cells)} cells, the header has {len(header)}"
    row: Mapping[str, str] = dict(zip(header, cells, strict=True))
    values = []
    for name in names:
        text = row.get(name, "").strip()
        if text.lower() in EMPTY:
            values.append(math.nan)
            continue
        try:
            value = float(text)
        except ValueError:
            return line, f"{name} = {text[:40]!r} is not a number"
        if not math.isfinite(value):
            return line, f"{name} = {text!r} is not finite"
        if name == SPACE_GROUP and not (value == int(value) and 1 <= value <= 230):
            return line, f"space_group = {text} is not a number from 1 to 230"
        values.append(value)
    if values and all(math.isnan(v) for v in values) and not any(name in COMPUTED for name in names):
        return line, f"no value of {', '.join(names)}"
    text = row[source]
    if source in FILE_COLUMNS:
        try:
            text = (path.parent / text.strip()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return line, f"cannot read {row[source].strip()!r} ({error.__class__.__name__})"
    return _Row(line, text, tuple(values))


def _text(path: Path) -> str:
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="") as stream:
            return str(stream.read()).replace("\0", "")
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise InputError(f"cannot read {path} ({error}): save it again as CSV in UTF-8") from None


def _reduce(text: str) -> Crystal | str:
    """Primitive Niggli cell of a CIF text, or why there is none."""
    try:
        return reduce_crystal(parse_cif(text, "the CIF"))
    except (ValueError, RuntimeError, KeyError, IndexError, InputError) as error:
        return str(error).splitlines()[0] if str(error) else error.__class__.__name__


def _unusable(
    crystal: Crystal, elements: Sequence[int], max_atoms: int, exclude_formulas: frozenset[str]
) -> str | None:
    strangers = sorted({int(z) for z in crystal.numbers} - set(elements))
    if strangers:
        return f"{Element.from_Z(strangers[0]).symbol} is unknown to the checkpoint"
    if len(crystal.numbers) > max_atoms:
        return f"{len(crystal.numbers)} atoms in the primitive cell, the limit is {max_atoms}"
    if crystal.formula in exclude_formulas:
        return f"{crystal.formula} is an excluded formula"
    distance = minimum_distance(crystal.frac, crystal.lattice)
    if distance < MIN_DISTANCE:
        return f"atoms {distance:.2f} Å apart, below {MIN_DISTANCE} Å"
    return None


def _complete(values: Sequence[float], names: Sequence[str], crystal: Crystal) -> list[float]:
    """Table values, with those that follow from the structure computed where the table has none."""
    return [
        COMPUTED[name](crystal) if math.isnan(value) and name in COMPUTED else value
        for name, value in zip(names, values, strict=True)
    ]


def _digest(groups: dict[str, dict[int, CrystalGroup]], tensors: dict[str, dict[int, Tensor]]) -> str:
    digest = hashlib.sha256()
    for part, members in groups.items():
        for n, group in members.items():
            for tensor in (group.numbers, group.frac, group.lattice, group.space_group, tensors[part][n]):
                digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
