"""Partial charges from bonding environments: averages of DDEC charges over atoms bonded alike.

Connectivity-based charges in the spirit of Q. Xu, C. Zhong, J. Phys. Chem. C 114, 5035 (2010), here with a
ladder of ever finer environments, each shrunk towards the coarser one before it, so that a rare environment
borrows from its kind. Averages are over periodic DDEC charges of experimental metal-organic frameworks
(CoRE MOF 2014-DDEC: D. Nazarian, J. S. Camp, D. S. Sholl, Chem. Mater. 28, 785 (2016); CC-BY 4.0).
`python benchmarks/charges.py fit` makes the table; `python benchmarks/charges.py` measures it on frameworks
it has not seen.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pymatgen.core import Element, Structure

from potentials.errors import InputError
from screening.bonds import bond_graph

TABLE = Path(__file__).with_name("environment_charges.safetensors")

# From coarse to fine. In "metals alike" keys all neighbouring metals count as one kind.
LEVELS = (
    "element",
    "number of bonds",
    "neighbours, metals alike",
    "neighbours",
    "two shells, metals alike",
    "two shells",
    "three shells, metals alike",
)
_FIRST_SHELL = LEVELS.index("neighbours, metals alike")
SHRINKAGE = 0.5  # frameworks' worth of weight the coarser level keeps
UNSEEN_SPREAD = 1.0  # e; spread assumed before anything is known


@dataclass(frozen=True)
class ChargeTable:
    """Charge statistics by environment; one row a key, rows sorted by key."""

    keys: np.ndarray  # [m] int64
    mean: np.ndarray  # [m] e
    spread: np.ndarray  # [m] e, standard deviation between frameworks
    count: np.ndarray  # [m] frameworks it was seen in

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row of every key [n], whether it is there [n])."""
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return rows, self.keys[rows] == keys


def environment_charges(
    structure: Structure, elements: Sequence[str], table: ChargeTable | None = None
) -> tuple[np.ndarray, float]:
    """Partial charges [n_atoms], e, summing to zero, and the share of atoms bonded in a way never seen.

    The sum left over by the averages goes to the atoms in proportion to their squared uncertainty.

    Args:
        structure: ordered periodic crystal that has passed the geometry gate.
        elements: symbol of every atom.
        table: averages to use; by default the ones shipped.

    Raises:
        InputError: an element of which there is no reference at all.
    """
    table = table or shipped_table()
    keys = environment_keys(elements, bond_graph(structure).pairs)  # [n, levels]
    missing = unreferenced_elements(elements, table)
    if missing:
        raise InputError(f"there are no reference charges for {', '.join(missing)}: use eqeq charges")
    return charges_from_keys(keys, table)


def unreferenced_elements(elements: Sequence[str], table: ChargeTable | None = None) -> list[str]:
    """Elements of which the table holds no charge, sorted."""
    symbols = sorted(set(elements))
    keys = np.array([_hash(0, _hash(symbol)) for symbol in symbols], dtype=np.int64)
    known = (table or shipped_table()).find(keys)[1]
    return [symbol for symbol, seen in zip(symbols, known, strict=True) if not seen]


@dataclass(frozen=True)
class EnvironmentEstimate:
    """What the table says of every atom of a structure."""

    average: np.ndarray  # [n] e, shrunk averages as they are: they need not sum to zero
    spread: np.ndarray  # [n] e, expected deviation from it
    levels_known: np.ndarray  # [n] rungs of `LEVELS` that were found, 0 to all
    count: np.ndarray  # [n] frameworks behind the finest rung found

    @property
    def charges(self) -> np.ndarray:
        """[n] e, summing to zero: what is left over goes to the atoms in proportion to their squared spread."""
        weight = self.spread**2 + 1e-6
        charges = self.average - weight / weight.sum() * self.average.sum()
        return np.asarray(charges - charges.mean())

    @property
    def unseen(self) -> float:
        """Share of atoms bonded to a first shell that the table does not hold."""
        return float(np.mean(self.levels_known <= _FIRST_SHELL))


def charges_from_keys(keys: np.ndarray, table: ChargeTable) -> tuple[np.ndarray, float]:
    """`environment_charges` of a structure whose keys [n, levels] are known."""
    estimate = estimate_from_keys(keys, table)
    return estimate.charges, estimate.unseen


def estimate_from_keys(keys: np.ndarray, table: ChargeTable) -> EnvironmentEstimate:
    """The climb from coarse to fine averages for atoms whose keys [n, levels] are known.

    An element the table does not hold starts from 0 e with `UNSEEN_SPREAD`; the levels that tell metals apart by
    their neighbours alone may still be found for the atoms around it.
    """
    charge = np.zeros(len(keys))
    spread = np.full(len(keys), UNSEEN_SPREAD)
    levels_known = np.zeros(len(keys), dtype=np.int64)
    count = np.zeros(len(keys))
    reached = np.ones(len(keys), dtype=bool)
    for level in range(keys.shape[1]):
        rows, known = table.find(keys[:, level])
        reached &= known  # an unseen environment ends the climb: finer ones hold it
        mean, sd, n = table.mean[rows], table.spread[rows], table.count[rows].astype(float)
        shrinkage = SHRINKAGE if level else 0.0
        charge = np.where(reached, (n * mean + shrinkage * charge) / (n + shrinkage), charge)
        variance = (n * sd**2 + shrinkage * spread**2) / (n + shrinkage)
        spread = np.where(reached, np.sqrt(variance), spread)
        count = np.where(reached, n, count)
        levels_known += reached
    return EnvironmentEstimate(charge, spread, levels_known, count)


def environment_keys(elements: Sequence[str], pairs: np.ndarray) -> np.ndarray:
    """Key of every atom at every level [n, levels], int64.

    Args:
        elements: symbol of every atom.
        pairs: bonds [b, 2]; images count apart, so a pair may appear more than once.
    """
    neighbours: list[list[int]] = [[] for _ in elements]
    for first, second in pairs.tolist():
        neighbours[first].append(second)
        neighbours[second].append(first)
    kinds = [_kind(element) for element in elements]

    def shell(own: Sequence[object], other: Sequence[object]) -> list[int]:
        return [_hash(own[i], *sorted(map(str, (other[j] for j in near)))) for i, near in enumerate(neighbours)]

    one = shell(elements, elements)
    one_alike = shell(elements, kinds)
    one_kinds = shell(kinds, kinds)
    two_alike = shell(one_alike, one_kinds)
    columns = [
        [_hash(element) for element in elements],
        [_hash(element, len(near)) for element, near in zip(elements, neighbours, strict=True)],
        one_alike,
        one,
        two_alike,
        shell(one, one),
        shell(two_alike, shell(one_kinds, one_kinds)),
    ]
    # the level is part of the key, or one table could not hold them all
    return np.array([[_hash(level, key) for key in column] for level, column in enumerate(columns)], dtype=np.int64).T


def fit_table(frameworks: Iterable[tuple[np.ndarray, np.ndarray]]) -> ChargeTable:
    """Average charges over frameworks, each counting once in every environment it holds.

    Args:
        frameworks: (keys [n, levels], charges [n] e) of each.
    """
    samples: dict[int, list[float]] = defaultdict(list)
    for keys, charges in frameworks:
        own: dict[int, list[float]] = defaultdict(list)
        for row, charge in zip(keys.tolist(), charges.tolist(), strict=True):
            for key in row:
                own[key].append(charge)
        for key, values in own.items():
            samples[key].append(float(np.mean(values)))
    keys = np.array(sorted(samples), dtype=np.int64)
    return ChargeTable(
        keys=keys,
        mean=np.array([np.mean(samples[key]) for key in keys.tolist()], dtype=np.float32),
        spread=np.array([np.std(samples[key]) for key in keys.tolist()], dtype=np.float32),
        count=np.array([len(samples[key]) for key in keys.tolist()], dtype=np.int32),
    )


def save_table(table: ChargeTable, path: Path, metadata: dict[str, str]) -> None:
    """Write a table as safetensors, its origin in the header."""
    from safetensors.numpy import save_file

    save_file(
        {"keys": table.keys, "mean": table.mean, "spread": table.spread, "count": table.count},
        path,
        metadata={"origin": json.dumps(metadata)},
    )


def load_table(path: Path) -> ChargeTable:
    """Read what `save_table` wrote."""
    from safetensors.numpy import load_file

    return ChargeTable(**load_file(path))


@cache
def shipped_table() -> ChargeTable:
    """The table that comes with the package."""
    return load_table(TABLE)


@cache
def _kind(element: str) -> str:
    return "metal" if Element(element).is_metal else element


@cache
def _hash(*parts: object) -> int:
    """A signed 64-bit number that is the same on every machine."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)
