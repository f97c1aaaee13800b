"""Has every atom as many neighbours as chemistry gives it? One test an element, each a sentence when it fails.

Nonmetals: bonds between nonmetals count up to 1.2 covalent radii (C-C 1.82 Å, C-H 1.28 Å), bonds to metals up to 1.25.
Metals: what is bonded to a metal is every nonmetal within 1.25 covalent radii but hydrogen and carbon that two other
nonmetals hold (a carboxylate's or a ring's, which only lies close by). A metal's limit is the largest coordination
number Shannon tabulates for it (Acta Cryst. 1976, A32, 751), at least 8 for the 4d and 5d metals ([Mo(CN)8]4-,
[W(CN)8]3-) and 12 for lanthanides and actinides ([Ce(NO3)6]3-).
"""

import functools
import re
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element, Structure

from screening.bonds import BondGraph, is_metal, neighbour_counts

# Nonmetal neighbours an atom can have at most; bonds to metals are not counted, since a carboxylate carbon
# lies within bonding distance of large cations. Boron cages share hydrogens and carbons.
MAX_NEIGHBOURS = {"H": 1, "C": 4, "N": 4, "O": 2}
NONMETAL_BOND = 1.2  # times the covalent radii
MIN_METAL_NEIGHBOURS = 2  # atoms of any kind but hydrogen: linear Ag(I), Cu(I), Hg(II) have two
LARGE_ROW, LARGE_LIMIT, F_BLOCK_LIMIT = 5, 8, 12
BENT = 140.0  # degrees at a carbon with two neighbours; sp carbon has 180, an aromatic one without its hydrogen 120
# Metals with a stable terminal oxo ligand, from vanadyl to uranyl (Nugent & Mayer, Metal-Ligand Multiple Bonds, 1988);
# on any other an oxygen with one neighbour is water or hydroxide without its hydrogens.
OXO_METALS = frozenset({"Ti", "V", "Cr", "Nb", "Mo", "Tc", "Ru", "Ta", "W", "Re", "Os", "Pa", "U", "Np", "Pu", "Am"})


@dataclass(frozen=True)
class Surroundings:
    """Neighbour counts of every atom [N]."""

    graph: BondGraph
    vectors: np.ndarray  # [B, 3] Å, from the first atom of each bond to the second
    metal: np.ndarray  # bool, whether the atom is one
    nonmetals: np.ndarray  # nonmetal neighbours within `NONMETAL_BOND`
    metals: np.ndarray  # metal neighbours
    boron: np.ndarray  # boron neighbours
    ligands: np.ndarray  # nonmetal neighbours that count at a metal; see the module's text
    heavy: np.ndarray  # neighbours of any kind but hydrogen


def surroundings(structure: Structure, graph: BondGraph) -> Surroundings:
    """Count every atom's neighbours once, for all tests."""
    i, j = graph.pairs[:, 0], graph.pairs[:, 1]
    xyz = structure.cart_coords
    vectors = xyz[j] - xyz[i] + graph.images @ structure.lattice.matrix
    close = graph.ratios < NONMETAL_BOND
    short = BondGraph(
        graph.numbers, graph.pairs[close], graph.images[close], graph.distances[close], graph.ratios[close]
    )
    metal, hydrogen = is_metal(graph.numbers), graph.numbers == 1
    nonmetals = neighbour_counts(short, ~metal)
    held = (graph.numbers == 6) & (nonmetals >= 2)
    return Surroundings(
        graph,
        vectors,
        metal,
        nonmetals,
        neighbour_counts(graph, metal),
        neighbour_counts(short, graph.numbers == 5),
        neighbour_counts(graph, ~metal & ~hydrogen & ~held),
        neighbour_counts(graph, ~hydrogen),
    )


def crowded_fault(around: Surroundings, symbol: str) -> str | None:
    """An atom of element `symbol` (H, C, N, O) with more nonmetal neighbours than chemistry allows."""
    limit = MAX_NEIGHBOURS[symbol]
    counts = around.nonmetals
    crowded = (around.graph.numbers == Element(symbol).Z) & (counts > limit) & (around.boron == 0)
    return _first(around, crowded, counts, "nonmetal neighbours", f"above {limit}")


def carbon_fault(around: Surroundings) -> str | None:
    """A crowded carbon, one with fewer than two neighbours, or one with two that are bent: its hydrogen is missing."""
    bonded = around.nonmetals + around.metals
    carbon = around.graph.numbers == 6
    return (
        crowded_fault(around, "C")
        or _first(around, carbon & (bonded < 2), bonded, "neighbours", "below 2")
        or _bent_carbon(around, np.flatnonzero(carbon & (around.nonmetals == 2) & (around.metals == 0)))
    )


def nitrogen_fault(around: Surroundings) -> str | None:
    """A crowded nitrogen, or one with a single neighbour that is not the end of a nitrile, azide or isocyanide."""
    bonded = around.nonmetals + around.metals
    lonely = (around.graph.numbers == 7) & (bonded < 2)
    for atom in np.flatnonzero(lonely).tolist():
        partners = _partners(around.graph, atom)
        if bonded[atom] == 0 or bonded[partners[0]] > 2:
            return f"{atom_name(around.graph, atom)} has {bonded[atom]} neighbours, below 2, and ends no triple bond"
    return crowded_fault(around, "N")


def oxygen_fault(around: Surroundings) -> str | None:
    """A crowded oxygen, or one bonded to nothing but one metal that forms no terminal oxide."""
    bare = (around.graph.numbers == 8) & (around.nonmetals == 0) & (around.metals == 1)
    for atom in np.flatnonzero(bare).tolist():
        metal = _symbol(around.graph, _partners(around.graph, atom)[0])
        if metal not in OXO_METALS:
            return f"{atom_name(around.graph, atom)} is a bare oxygen on {metal}: water without its hydrogens"
    return crowded_fault(around, "O")


def metal_fault(around: Surroundings) -> str | None:
    """A metal with fewer than two neighbours, or more than its element is known to take."""
    bare = around.metal & (around.heavy < MIN_METAL_NEIGHBOURS)
    if fault := _first(around, bare, around.heavy, "neighbours", f"below {MIN_METAL_NEIGHBOURS}"):
        return fault
    symbols, inverse = np.unique(around.graph.numbers, return_inverse=True)
    limits = np.array([largest_coordination(int(z)) if around.metal[inverse == k][0] else 0
                       for k, z in enumerate(symbols)])[inverse]  # fmt: skip
    crowded = np.flatnonzero(around.metal & (around.ligands > limits))
    if len(crowded) == 0:
        return None
    atom = int(crowded[0])
    return f"{atom_name(around.graph, atom)} has {around.ligands[atom]} nonmetal neighbours, above {limits[atom]}"


@functools.cache
def largest_coordination(number: int) -> int:
    """Nonmetal neighbours the metal of this atomic number can have; see the module's text."""
    element = Element.from_Z(number)
    if element.is_lanthanoid or element.is_actinoid:
        return F_BLOCK_LIMIT
    radii = element.data.get("Shannon radii") or {}
    known = [_roman(key) for by_number in radii.values() for key in by_number]
    least = LARGE_LIMIT if element.row >= LARGE_ROW else 6
    return max([least, *known])


def atom_name(graph: BondGraph, index: int) -> str:
    """Such as `Zn (atom 3)`."""
    return f"{_symbol(graph, index)} (atom {index})"


def _bent_carbon(around: Surroundings, atoms: np.ndarray) -> str | None:
    if len(atoms) == 0:
        return None
    pairs = around.graph.pairs
    for atom in atoms.tolist():
        arms = [around.vectors[k] * (1 if pairs[k, 0] == atom else -1) for k in np.flatnonzero((pairs == atom).any(1))]
        if len(arms) != 2:
            continue
        cosine = arms[0] @ arms[1] / (np.linalg.norm(arms[0]) * np.linalg.norm(arms[1]))
        angle = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        if angle < BENT:
            return (
                f"{atom_name(around.graph, atom)} has two neighbours {angle:.0f}° apart, below {BENT:g}°: "
                "a hydrogen is missing"
            )
    return None


def _first(around: Surroundings, failing: np.ndarray, counts: np.ndarray, what: str, limit: str) -> str | None:
    found = np.flatnonzero(failing)
    if len(found) == 0:
        return None
    atom = int(found[0])
    return f"{atom_name(around.graph, atom)} has {counts[atom]} {what}, {limit}"


def _partners(graph: BondGraph, atom: int) -> list[int]:
    """Atoms bonded to `atom`, by index."""
    first, second = graph.pairs[:, 0], graph.pairs[:, 1]
    return sorted([*second[first == atom].tolist(), *first[second == atom].tolist()])


def _symbol(graph: BondGraph, index: int) -> str:
    return str(Element.from_Z(int(graph.numbers[index])).symbol)


def _roman(text: str) -> int:
    """A coordination number as pymatgen's table writes it: `VIII`, or `IVSQ` for a square one."""
    values = {"I": 1, "V": 5, "X": 10}
    digits = [values[letter] for letter in re.match("[IVX]*", text)[0]]  # type: ignore[index]
    return sum(-d if d < max(digits[k:]) else d for k, d in enumerate(digits))
