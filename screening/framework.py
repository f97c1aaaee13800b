"""What moving the atoms did to a framework: bonds broken and formed, volume, displacement, connectivity.

A bond to be kept is shorter than 1.2 covalent radii; it is broken beyond 1.4 (to a metal: 1.6), and the reverse
for one that formed, so that none flickers. Contacts that hold no framework together are left out: metal to
metal, metal to hydrogen, and metal to a carbon that has two nonmetal neighbours (of a carboxylate or a ring).
"""

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element, Structure

from potentials.errors import InputError
from potentials.gate import geometry_fault
from screening.bonds import BondGraph, bond_graph, components, is_metal, neighbour_counts

BONDED = 1.2  # times the sum of covalent radii; C-C 1.82 Å, Zn-O 2.26 Å
BROKEN = 1.4  # C-C 2.13 Å, C-H 1.50 Å
BROKEN_TO_METAL = 1.6  # Zn-O 3.0 Å
NAMED = 3  # changed bonds that a reason names


@dataclass(frozen=True)
class BondChange:
    """A bond that broke or formed."""

    atoms: tuple[int, int]
    symbols: tuple[str, str]
    before: float  # Å
    after: float  # Å

    def __str__(self) -> str:
        (i, j), (a, b) = self.atoms, self.symbols
        return f"{a}{i}-{b}{j} {self.before:.2f} -> {self.after:.2f} Å"


@dataclass(frozen=True)
class FrameworkChange:
    """A framework before and after its atoms were moved."""

    broken: tuple[BondChange, ...]
    formed: tuple[BondChange, ...]
    volume_change_percent: float
    max_displacement: float  # Å, beyond what the cell did and a common shift
    dimension: int  # in which bonds run on for ever, afterwards
    reason: str | None  # why the framework is not intact, in one sentence; None when it is

    @property
    def intact(self) -> bool:
        """Whether no bond broke or formed, the volume kept within its limit, and the framework its dimension."""
        return self.reason is None


def framework_change(
    before: Structure, after: Structure, max_volume_change_percent: float = 30.0, min_dimension: int = 3
) -> FrameworkChange:
    """Compare two geometries of the same atoms, listed in the same order.

    Args:
        before: geometry the bonds to be kept are read from.
        after: geometry to judge; atoms may have been wrapped back into the cell.
        max_volume_change_percent: either way.
        min_dimension: in which bonds must still run on.

    Raises:
        InputError: the structures hold different atoms, or `before` does not pass the geometry gate.
    """
    if list(before.atomic_numbers) != list(after.atomic_numbers):
        raise InputError("the two structures hold different atoms: compare one structure before and after a move")
    if fault := _gate(before):
        raise InputError(f"the structure before the move cannot be analysed: {fault}")
    volume_change = 100.0 * (after.volume / before.volume - 1.0)
    if fault := _gate(after):
        return FrameworkChange((), (), volume_change, float("inf"), 0, f"the atoms ran into each other: {fault}")
    unwrapped = after.frac_coords - np.round(after.frac_coords - before.frac_coords)
    after = Structure(after.lattice, after.species, unwrapped)
    moved = (unwrapped - before.frac_coords) @ after.lattice.matrix
    displacement = float(np.linalg.norm(moved - moved.mean(axis=0), axis=1).max())
    graph = bond_graph(after)
    broken = _changes(bond_graph(before), before, after)
    formed = _changes(graph, after, before, reverse=True)
    dimension = max(part.dimension for part in components(graph))
    faults = []
    if broken:
        faults.append(f"{len(broken)} bonds broke ({_names(broken)})")
    if formed:
        faults.append(f"{len(formed)} bonds formed ({_names(formed)})")
    if abs(volume_change) > max_volume_change_percent:
        faults.append(f"volume changed by {volume_change:+.0f} %, beyond {max_volume_change_percent:g} %")
    if dimension < min_dimension:
        faults.append(f"bonds run on in {dimension} dimensions, below {min_dimension}")
    reason = "the framework does not survive: " + "; ".join(faults) if faults else None
    return FrameworkChange(broken, formed, volume_change, displacement, dimension, reason)


def _gate(structure: Structure) -> str | None:
    return geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)


def _changes(graph: BondGraph, here: Structure, there: Structure, reverse: bool = False) -> tuple[BondChange, ...]:
    """Bonds of `here` that are none in `there`; both list atoms unwrapped in the same way."""
    keep = (graph.ratios < BONDED) & ~_idle_contacts(graph)
    pairs, images, lengths = graph.pairs[keep], graph.images[keep], graph.distances[keep]
    i, j = pairs[:, 0], pairs[:, 1]
    vectors = there.cart_coords[j] - there.cart_coords[i] + images @ there.lattice.matrix
    elsewhere = np.linalg.norm(vectors, axis=1)
    metal = is_metal(graph.numbers)
    limits = np.where(metal[i] | metal[j], BROKEN_TO_METAL, BROKEN)
    gone = elsewhere > limits * (covalent_radii[graph.numbers[i]] + covalent_radii[graph.numbers[j]])
    changes = []
    for pair, length, other in zip(pairs[gone].tolist(), lengths[gone], elsewhere[gone], strict=True):
        symbols = (
            Element.from_Z(int(graph.numbers[pair[0]])).symbol,
            Element.from_Z(int(graph.numbers[pair[1]])).symbol,
        )
        first, second = (other, length) if reverse else (length, other)
        changes.append(BondChange((pair[0], pair[1]), symbols, float(first), float(second)))
    return tuple(changes)


def _idle_contacts(graph: BondGraph) -> np.ndarray:
    """Which pairs hold no framework together [B]."""
    metal = is_metal(graph.numbers)
    i, j = graph.pairs[:, 0], graph.pairs[:, 1]
    hydrogen = graph.numbers == 1
    saturated = (graph.numbers == 6) & (neighbour_counts(graph, ~metal) >= 2)
    idle = hydrogen | saturated | metal
    return (metal[i] & idle[j]) | (metal[j] & idle[i])


def _names(changes: tuple[BondChange, ...]) -> str:
    more = f", and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
    return ", ".join(map(str, changes[:NAMED])) + more
