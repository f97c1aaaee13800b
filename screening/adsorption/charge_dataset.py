"""Frameworks with published partial charges, from archives of CIFs to what a charge network is trained on.

The split goes by reduced formula, so that polymorphs and re-determinations of one framework stay together. What the
table of bonding environments says of a framework is a prior of the network; for training frameworks it comes from
tables that were fitted without any framework of the same fold of formulas, so that the network meets in training the
errors it will meet in use.
"""

import hashlib
import json
import tarfile
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pymatgen.core import Structure

from potentials.charge_network import ChargeGraph
from potentials.cif import parse_cif
from potentials.errors import InputError, SorbusError
from potentials.files import sha256_json, write_atomic
from potentials.gate import geometry_fault
from screening.adsorption.environment_charges import (
    LEVELS,
    ChargeTable,
    EnvironmentEstimate,
    environment_keys,
    estimate_from_keys,
    fit_table,
)
from screening.bonds import bond_graph

Split = Literal["training", "validation", "test", "henry"]
FOLDS = 8
PRIOR_FEATURES = 4 + len(LEVELS) + 1
SYMMETRY_TOLERANCE = 0.01  # Å
PREPARED_CUTOFF = 5.0  # Å, at least: what frameworks are prepared for serves every network that sees no farther


@dataclass(frozen=True)
class ChargedFramework:
    """A framework and the charges published with it."""

    name: str
    structure: Structure
    elements: tuple[str, ...]  # [n]
    charges: np.ndarray  # [n] e

    @property
    def formula(self) -> str:
        """Reduced formula, the unit of the split."""
        return str(self.structure.composition.reduced_formula)


@dataclass(frozen=True)
class PreparedFramework:
    """What training needs of a framework, R of its n atoms distinct by symmetry."""

    name: str
    formula: str
    keys: np.ndarray  # [n, levels] environments, int64
    charges: np.ndarray  # [n] e, published
    first: np.ndarray  # [R] index of each distinct atom
    numbers: np.ndarray  # [R] atomic numbers
    multiplicity: np.ndarray  # [R]
    centre: np.ndarray  # [E] distinct atoms
    neighbour: np.ndarray  # [E]
    vectors: np.ndarray  # [E, 3] Å, float32
    target: np.ndarray  # [R] e, mean over equivalent atoms

    def graph(self, estimate: EnvironmentEstimate, features: torch.Tensor | None = None) -> ChargeGraph:
        """Network input with the table's estimate (of all n atoms) as base and prior; `features` [R, 258] of CHGNet."""
        graph = _graph(self.numbers, self.multiplicity, self.centre, self.neighbour, self.vectors, estimate, self.first)
        return replace(graph, features=features)


def read_charged_cif(name: str, text: str) -> ChargedFramework:
    """A P1 CIF with `_atom_site_charge`; whatever stands before `data_` is dropped.

    Raises:
        InputError: the file holds no structure, more than one, or no charges.
    """
    found = parse_cif(text)
    if len(found) != 1:
        raise InputError(f"{name} holds {len(found)} structures: give one a file")
    ((_, structure),) = found
    if isinstance(structure, str):
        raise InputError(f"{name}: {structure}")
    if "charge" not in structure.site_properties:
        raise InputError(f"{name} has no _atom_site_charge: charges are learned from files that hold them")
    elements = tuple(site.specie.symbol for site in structure)
    return ChargedFramework(name, structure, elements, np.array(structure.site_properties["charge"]))


def read_archive(path: Path, folder: str = "", names: Container[str] | None = None) -> Iterator[ChargedFramework]:
    """Every framework of a tar archive of CIFs, in order of name; `folder` and `names` pick part of it.

    Raises:
        InputError: no such archive, or a file in it without charges.
    """
    with _opened(path) as tar:
        members = [m for m in tar.getmembers() if m.name.endswith(".cif") and folder in m.name]
        for member in sorted(members, key=lambda m: m.name):
            if names is not None and Path(member.name).stem not in names:
                continue
            stream = tar.extractfile(member)
            if stream is not None:
                yield read_charged_cif(Path(member.name).stem, stream.read().decode(errors="replace"))


def archive_formulas(path: Path, cache: Path, sha256: str) -> dict[str, str]:
    """Names of an archive's frameworks and their reduced formulas, kept in `cache` (a folder) for the next time."""
    kept = cache / f"names_{sha256[:12]}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    formulas = {framework.name: framework.formula for framework in read_archive(path)}
    write_atomic(kept, json.dumps(formulas, sort_keys=True))
    return formulas


def split_of(formula: str, kept_out: Iterable[str], released: Iterable[str] = ()) -> Split:
    """Which part of the split a reduced formula belongs to.

    Those in `kept_out` are `henry`: not even tested on. Those in `released` were kept out once and are trained on now,
    so that the other parts stay what they were.
    """
    if formula in kept_out:
        return "henry"
    if formula in released:
        return "training"
    bucket = _bucket(formula, 10)
    return "test" if bucket < 2 else "validation" if bucket == 2 else "training"


def full_graph(structure: Structure, cutoff: float, estimate: EnvironmentEstimate) -> ChargeGraph:
    """Network input of every atom of a structure, symmetry not used."""
    centre, neighbour, vectors = _edges(structure, cutoff)
    n = len(structure)
    numbers = np.array(structure.atomic_numbers)
    return _graph(numbers, np.ones(n), centre, neighbour, vectors, estimate, np.arange(n))


def prepare_framework(framework: ChargedFramework, cutoff: float) -> PreparedFramework:
    """Environments, distinct atoms and their edges.

    Raises:
        InputError: a geometry that no neighbour list may see.
    """
    structure = framework.structure
    if fault := geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True):
        raise InputError(f"{framework.name}: {fault}")
    numbers = np.array(structure.atomic_numbers)
    first, inverse, counts = distinct_atoms(structure)
    centre, neighbour, vectors = _edges(structure, cutoff)
    kept = np.isin(centre, first)
    return PreparedFramework(
        name=framework.name,
        formula=framework.formula,
        keys=environment_keys(framework.elements, bond_graph(structure).pairs),
        charges=framework.charges,
        first=first,
        numbers=numbers[first],
        multiplicity=counts.astype(float),
        centre=inverse[centre[kept]],
        neighbour=inverse[neighbour[kept]],
        vectors=vectors[kept].astype(np.float32),
        target=np.bincount(inverse, weights=framework.charges) / counts,
    )


def distinct_atoms(structure: Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices [R] of the symmetry-distinct atoms, which of them each atom is equivalent to [n], and how often [R]."""
    return np.unique(_equivalent(structure), return_index=True, return_inverse=True, return_counts=True)[1:]


def prepare_archive(path: Path, cutoff: float, cache: Path, sha256: str) -> list[PreparedFramework]:
    """`prepare_framework` of a whole archive, kept in the folder `cache` for the next time; faulty ones are named."""
    kept = cache / f"frameworks_{sha256_json([sha256, cutoff, SYMMETRY_TOLERANCE])[:12]}.npz"
    if kept.is_file():
        return _load(kept)
    prepared = []
    for framework in read_archive(path):
        try:
            prepared.append(prepare_framework(framework, cutoff))
        except SorbusError as error:
            print(f"left out: {error}")
    cache.mkdir(parents=True, exist_ok=True)
    _save(kept, prepared)
    return prepared


def cross_fitted_estimates(frameworks: Sequence[PreparedFramework]) -> list[EnvironmentEstimate]:
    """For each framework what a table fitted without its fold of formulas says of it."""
    folds = [_bucket(framework.formula, FOLDS, "fold") for framework in frameworks]
    tables = {
        fold: fit_table((f.keys, f.charges) for f, own in zip(frameworks, folds, strict=True) if own != fold)
        for fold in sorted(set(folds))
    }
    return [estimate_from_keys(f.keys, tables[fold]) for f, fold in zip(frameworks, folds, strict=True)]


def estimates_from(table: ChargeTable, frameworks: Sequence[PreparedFramework]) -> list[EnvironmentEstimate]:
    """For each framework what one table says of it."""
    return [estimate_from_keys(framework.keys, table) for framework in frameworks]


def _graph(
    numbers: np.ndarray,
    multiplicity: np.ndarray,
    centre: np.ndarray,
    neighbour: np.ndarray,
    vectors: np.ndarray,
    estimate: EnvironmentEstimate,
    rows: np.ndarray,
) -> ChargeGraph:
    charges = estimate.charges
    levels = np.eye(len(LEVELS) + 1)[estimate.levels_known[rows]]
    columns = [charges, estimate.average, 5.0 * estimate.spread, 0.2 * np.log1p(estimate.count)]
    prior = np.concatenate([np.stack(columns, axis=1)[rows], levels], axis=1)
    return ChargeGraph(
        numbers=torch.from_numpy(np.ascontiguousarray(numbers)).long(),
        centre=torch.from_numpy(np.ascontiguousarray(centre)).long(),
        neighbour=torch.from_numpy(np.ascontiguousarray(neighbour)).long(),
        vectors=torch.from_numpy(np.ascontiguousarray(vectors)).float(),
        multiplicity=torch.from_numpy(np.ascontiguousarray(multiplicity)).float(),
        base=torch.from_numpy(charges[rows]).float(),
        prior=torch.from_numpy(prior).float(),
        system=torch.zeros(len(numbers), dtype=torch.int64),
    )


def _edges(structure: Structure, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed edges: centre [E], neighbour [E], vectors [E, 3] Å."""
    import vesin

    finder = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    first, second, vectors = finder.compute(structure.cart_coords, structure.lattice.matrix, True, "ijD")
    return first.astype(np.int64), second.astype(np.int64), vectors


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"cannot read the archive {path}: {error}: give a .tar, .tar.gz or .tar.xz of CIFs") from None


def _equivalent(structure: Structure) -> np.ndarray:
    """For every atom the first atom it is related to by symmetry [n]; all distinct where spglib finds nothing."""
    import spglib

    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers))
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE)
    except spglib.SpglibError:
        dataset = None
    return np.arange(len(structure)) if dataset is None else np.asarray(dataset.equivalent_atoms)


def _bucket(formula: str, buckets: int, salt: str = "") -> int:
    return int(hashlib.sha256((salt + formula).encode()).hexdigest()[:8], 16) % buckets


_PER_ATOM, _PER_DISTINCT, _PER_EDGE = (
    ("keys", "charges"),
    ("first", "numbers", "multiplicity", "target"),
    ("centre", "neighbour", "vectors"),
)


def _save(path: Path, frameworks: Sequence[PreparedFramework]) -> None:
    arrays: dict[str, Any] = {
        "names": np.array([f.name for f in frameworks]),
        "formulas": np.array([f.formula for f in frameworks]),
        "sizes": np.array([[len(f.charges), len(f.first), len(f.centre)] for f in frameworks]),
    }
    for field in (*_PER_ATOM, *_PER_DISTINCT, *_PER_EDGE):
        arrays[field] = np.concatenate([getattr(f, field) for f in frameworks])
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def _load(path: Path) -> list[PreparedFramework]:
    with np.load(path) as file:  # arrays of numbers and strings; pickles are refused by default
        arrays = {name: file[name] for name in file.files}
    stops = np.cumsum(arrays["sizes"], axis=0)
    starts = stops - arrays["sizes"]
    frameworks = []
    for k, (name, formula) in enumerate(zip(arrays["names"], arrays["formulas"], strict=True)):
        parts = {
            field: arrays[field][starts[k, column] : stops[k, column]]
            for column, fields in enumerate((_PER_ATOM, _PER_DISTINCT, _PER_EDGE))
            for field in fields
        }
        frameworks.append(PreparedFramework(str(name), str(formula), **parts))
    return frameworks
