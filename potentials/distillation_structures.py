"""Structures to distil on: read from tables, archives and files, split by composition, perturbed reproducibly."""

import csv
import gzip
import hashlib
import lzma
import math
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from pymatgen.core import Structure

from potentials.atom_graph import AtomGraph, graph_from, make_graph
from potentials.cif import parse_cif
from potentials.close_pairs import close_pairs
from potentials.distillation_config import PerturbationConfig
from potentials.errors import InputError
from potentials.files import data_root
from potentials.gate import geometry_fault
from potentials.structure_files import read_structures

_TABLES, _ARCHIVES = (".csv", ".csv.gz", ".csv.xz"), (".tar", ".tar.gz", ".tar.xz", ".tgz")


@dataclass(frozen=True)
class Source:
    """A structure of the pool, or the reason why it is none."""

    name: str
    graph: AtomGraph | None
    formula: str = ""
    error: str | None = None


def resolve_path(path: Path) -> Path:
    """The path as it is, or below the data folder where only that exists.

    Raises:
        InputError: it is in neither place.
    """
    for candidate in (path, data_root() / path):
        if candidate.exists():
            return candidate
    raise InputError(f"no structures at {path}, nor at {data_root() / path}: check the path or set SORBUS_DATA")


def read_sources(path: Path) -> Iterator[Source]:
    """All structures of a table, an archive, a file or a folder; what cannot be read comes with its reason.

    Raises:
        InputError: no such path, a table without a column `cif`, or an unknown format.
    """
    path = resolve_path(path)
    if path.name.endswith(_TABLES):
        yield from _sources((f"{path.name}:{row}", text) for row, text in enumerate(_table_cells(path)))
    elif path.name.endswith(_ARCHIVES):
        yield from _sources(_archive_members(path))
    else:
        for result in read_structures(path):
            yield _source(result.name, result.system, result.error)


def reduced_formula(numbers: Iterable[int]) -> str:
    """Elements in alphabetical order with counts free of a common divisor: one string for one composition."""
    counts = Counter(chemical_symbols[int(z)] for z in numbers)
    divisor = math.gcd(*counts.values())
    return "".join(f"{symbol}{counts[symbol] // divisor}" for symbol in sorted(counts))


def is_held_out(formula: str, share: float, seed: int) -> bool:
    """Whether a composition is never trained on: a pure function of (formula, share, seed)."""
    digest = hashlib.sha256(f"{seed}:{formula}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def perturb(graph: AtomGraph, rattle: float, strain: np.ndarray, generator: np.random.Generator) -> AtomGraph:
    """The structure after a strain [3, 3], atoms moving along, and then a normal displacement of `rattle` Å."""
    deformation = np.eye(3) + strain
    positions = graph.positions.numpy() @ deformation
    positions = positions + generator.normal(0.0, rattle, positions.shape)
    return make_graph(graph.numbers, positions, graph.cell.numpy() @ deformation, graph.pbc)


def perturbed_copies(
    graph: AtomGraph, settings: PerturbationConfig, generator: np.random.Generator
) -> list[tuple[AtomGraph, float]]:
    """`settings.copies` strained and rattled copies, each with its rattle in Å."""
    copies = []
    for _ in range(settings.copies):
        rattle = float(generator.choice(settings.rattles))
        copies.append((perturb(graph, rattle, random_strain(settings, generator), generator), rattle))
    return copies


def random_strain(settings: PerturbationConfig, generator: np.random.Generator) -> np.ndarray:
    """A symmetric strain [3, 3]: normal components, and a change of volume drawn evenly."""
    components = generator.normal(0.0, 1.0, (3, 3)) * settings.strain
    shape = 0.5 * (components + components.T)
    shape -= np.eye(3) * np.trace(shape) / 3
    volume = 1.0 + generator.uniform(-settings.volume, settings.volume)
    return shape + np.eye(3) * (volume ** (1 / 3) - 1.0)


def contact_fault(graph: AtomGraph, min_contact: float) -> str | None:
    """Why a geometry is not worth labelling, or `None`: the gate, and atoms inside each other."""
    numbers, positions = graph.numbers.numpy(), graph.positions.numpy()
    cell, pbc = graph.cell.numpy(), graph.pbc.numpy()
    fault = geometry_fault(numbers, positions, cell, pbc)
    if fault:
        return fault
    if len(numbers) == 0:
        return "no atoms"
    reach = 2 * min_contact * covalent_radii[numbers].max()
    i, j, lengths = close_pairs(positions, cell, pbc, reach)
    radii = covalent_radii[numbers]
    if len(lengths) and (lengths < min_contact * (radii[i] + radii[j])).any():
        return f"two atoms are closer than {min_contact:g} of their covalent bond length"
    return None


def _table_cells(path: Path) -> Iterator[str]:
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a CIF in a cell is longer than the default limit
    try:
        with openers.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if "cif" not in (reader.fieldnames or []):
                columns = ", ".join(reader.fieldnames or []) or "none"
                raise InputError(f"{path} has no column 'cif' (it has {columns}): name the column of CIF texts cif")
            for row in reader:
                yield row["cif"] or ""
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no readable table ({error}): it may be truncated") from None


def _archive_members(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream: IO[bytes] | None = archive.extractfile(member) if member.name.endswith(".cif") else None
                if stream is not None:
                    yield member.name, stream.read().decode("utf-8", errors="replace")
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
        raise InputError(f"{path} is no readable archive ({error}): it may be truncated") from None


def _sources(texts: Iterable[tuple[str, str]]) -> Iterator[Source]:
    for name, text in texts:
        try:
            blocks: Sequence[tuple[str, Structure | str]] = parse_cif(text)
        except InputError as error:
            yield Source(name, None, error=str(error))
            continue
        for _, found in blocks[:1]:
            yield _source(name, None if isinstance(found, str) else found, found if isinstance(found, str) else None)


def _source(name: str, system: Any, error: str | None) -> Source:
    if system is None:
        return Source(name, None, error=error or "it holds no structure")
    try:
        graph = graph_from(system)
    except InputError as problem:
        return Source(name, None, error=str(problem))
    return Source(name, graph, reduced_formula(graph.numbers.tolist()))
