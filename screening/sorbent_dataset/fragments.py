"""A framework cut at the single bonds that join building blocks: nodes, linkers, and which meet which.

Blocks of the library are bonded to each other by a single bond with carbon on at least one side: the carboxylate
carbon belongs to the metal cluster, the ring it sits on to the linker. So every bond C-C or C-N that closes no small
ring is a place where a framework can be cut. Fragments that hang on one bond are part of what they hang on, and a
chain of fragments with two bonds each is one linker (biphenyl is one block, not two). What is left has three or
more bonds (nodes) or two (linkers).
"""

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from potentials.errors import SorbusError
from screening.bonds import BondGraph, bond_graph, is_metal

LARGEST_RING = 8  # atoms; a bond in a ring of as many is not cut (a paddle wheel's carboxylate bridge closes one of 8)
CARBON, NITROGEN, HYDROGEN = 6, 7, 1


class DecompositionError(SorbusError):
    """A framework that cannot be cut into blocks. The reason is a few words, the same for all of a kind."""


@dataclass(frozen=True)
class Bonds:
    """The bonds of a structure that say how it is built."""

    numbers: np.ndarray  # [N] atomic numbers
    metal: np.ndarray  # [N] bool
    pairs: np.ndarray  # [B, 2]
    images: np.ndarray  # [B, 3] whole cells to add to the second atom


@dataclass(frozen=True)
class Fragment:
    """Atoms that uncut bonds join, in one piece."""

    atoms: tuple[int, ...]
    cells: np.ndarray  # [n, 3] the cell of each atom for which the piece hangs together
    cuts: tuple[tuple[int, int], ...]  # (cut, end 0 or 1) of every bond that was cut at this fragment
    has_metal: bool


@dataclass(frozen=True)
class Cut:
    """A bond between two fragments."""

    atoms: tuple[int, int]
    fragments: tuple[int, int]
    shift: np.ndarray  # [3] cells by which the second fragment as it stands must be moved to meet the first


@dataclass(frozen=True)
class Pieces:
    """A framework in pieces."""

    bonds: Bonds
    whole: np.ndarray  # [B] bool, bonds that were not cut
    fragments: tuple[Fragment, ...]
    cuts: tuple[Cut, ...]


def building_bonds(graph: BondGraph) -> Bonds:
    """Bonds without those between metals, of metals to hydrogen, and to carbon that nonmetals hold.

    Covalent radii take the carbon of a carboxylate, and metals across a cluster, for bonded; blocks are compared
    without these, so that a slightly longer distance does not make another block.
    """
    metal = is_metal(graph.numbers)
    i, j = graph.pairs.T
    among = ~metal[i] & ~metal[j]
    held = np.zeros(len(metal), int)
    np.add.at(held, i[among], 1)
    np.add.at(held, j[among], 1)
    loose = (graph.numbers == HYDROGEN) | ((graph.numbers == CARBON) & (held >= 2))
    drop = (metal[i] & metal[j]) | (metal[i] & loose[j]) | (metal[j] & loose[i])
    return Bonds(graph.numbers, metal, graph.pairs[~drop], graph.images[~drop])


def cut_structure(structure: Structure, whole_linkers: bool = False) -> Pieces:
    """Nodes and linkers of a framework that has passed the geometry gate.

    Args:
        structure: ordered, without solvent.
        whole_linkers: leave every organic unit between metal clusters in one piece, whatever branches it has.

    Raises:
        DecompositionError: nothing to cut, or a piece that runs on for ever (a rod, a layer).
    """
    bonds = building_bonds(bond_graph(structure))
    cut = cuttable(bonds)
    if not cut.any():
        raise DecompositionError("no bond to cut")
    pieces = _pieces(bonds, cut)
    while True:
        joined = _rejoined(pieces, whole_linkers)
        if not joined:
            break
        positions = np.flatnonzero(cut)
        cut[positions[sorted(joined)]] = False
        pieces = _pieces(bonds, cut)
    if not any(len(fragment.cuts) > 2 for fragment in pieces.fragments):
        raise DecompositionError("no node with three connections")
    if any(len(fragment.cuts) == 0 for fragment in pieces.fragments):
        raise DecompositionError("a part that is bonded to nothing")
    return pieces


def cuttable(bonds: Bonds) -> np.ndarray:
    """[B] bool: bonds between carbon and carbon or nitrogen, in no small ring, with something on either side."""
    numbers = bonds.numbers[bonds.pairs]  # [B, 2]
    degree = np.bincount(bonds.pairs.ravel(), minlength=len(bonds.numbers))
    possible = np.isin(numbers, (CARBON, NITROGEN)).all(axis=1) & (numbers == CARBON).any(axis=1)
    possible &= (degree[bonds.pairs] >= 2).all(axis=1)
    around = _neighbours(bonds)
    for row in np.flatnonzero(possible):
        possible[row] = not _in_small_ring(bonds, around, int(row))
    return possible


def _neighbours(bonds: Bonds) -> list[list[tuple[int, tuple[int, int, int], int]]]:
    """Of each atom: (other atom, cells crossed, bond)."""
    around: list[list[tuple[int, tuple[int, int, int], int]]] = [[] for _ in bonds.numbers]
    for row, ((i, j), (a, b, c)) in enumerate(zip(bonds.pairs.tolist(), bonds.images.tolist(), strict=True)):
        around[i].append((j, (a, b, c), row))
        around[j].append((i, (-a, -b, -c), row))
    return around


def _in_small_ring(bonds: Bonds, around: list[list[tuple[int, tuple[int, int, int], int]]], row: int) -> bool:
    """Whether the ends of a bond are joined by another way of at most `LARGEST_RING` - 1 bonds."""
    start, goal = (int(bonds.pairs[row, 0]), (0, 0, 0)), (int(bonds.pairs[row, 1]), tuple(bonds.images[row].tolist()))
    seen, front = {start}, [start]
    for _ in range(LARGEST_RING - 1):
        following = []
        for atom, cell in front:
            for other, step, bond in around[atom]:
                place = (other, (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2]))
                if place in seen or ((atom, cell) == start and bond == row and place == goal):
                    continue
                if place == goal:
                    return True
                seen.add(place)
                following.append(place)
        front = following
    return False


def _pieces(bonds: Bonds, cut: np.ndarray) -> Pieces:
    around = _neighbours(Bonds(bonds.numbers, bonds.metal, bonds.pairs[~cut], bonds.images[~cut]))
    owner = np.full(len(bonds.numbers), -1)
    cells = np.zeros((len(bonds.numbers), 3), int)
    members: list[list[int]] = []
    for start in range(len(owner)):
        if owner[start] >= 0:
            continue
        number = len(members)
        members.append([start])
        owner[start] = number
        queue = deque([start])
        while queue:
            atom = queue.popleft()
            for other, step, _ in around[atom]:
                place = cells[atom] + step
                if owner[other] < 0:
                    owner[other], cells[other] = number, place
                    members[number].append(other)
                    queue.append(other)
                elif (cells[other] != place).any():
                    kind = "metal" if bonds.metal[members[number]].any() else "organic"
                    raise DecompositionError(f"an endless {kind} part")
    cuts, ends = [], [list[tuple[int, int]]() for _ in members]
    for number, ((i, j), image) in enumerate(zip(bonds.pairs[cut].tolist(), bonds.images[cut], strict=True)):
        first, second = int(owner[i]), int(owner[j])
        cuts.append(Cut((i, j), (first, second), image + cells[i] - cells[j]))
        ends[first].append((number, 0))
        ends[second].append((number, 1))
    fragments = tuple(
        Fragment(tuple(atoms), cells[atoms], tuple(found), bool(bonds.metal[atoms].any()))
        for atoms, found in zip(members, ends, strict=True)
    )
    return Pieces(bonds, ~cut, fragments, tuple(cuts))


def _rejoined(pieces: Pieces, whole_linkers: bool) -> set[int]:
    """Cuts to be undone: first of terminal groups, then within chains, then within organic units where asked."""
    degree = [len(fragment.cuts) for fragment in pieces.fragments]
    rules = [
        lambda a, b: degree[a] == 1 or degree[b] == 1,
        lambda a, b: degree[a] == 2 and degree[b] == 2 and not (_metal(pieces, a) or _metal(pieces, b)),
    ]
    if whole_linkers:
        rules.append(lambda a, b: not _metal(pieces, a) and not _metal(pieces, b))
    for rule in rules:
        found = {number for number, cut in enumerate(pieces.cuts) if rule(*cut.fragments)}
        if found:
            return found
    return set()


def _metal(pieces: Pieces, fragment: int) -> bool:
    return pieces.fragments[fragment].has_metal


def piece_formula(pieces: Pieces, fragment: int) -> str:
    """Composition of a fragment, for people, e.g. `C6H4 with 2 connections`."""
    from pymatgen.core import Element

    piece = pieces.fragments[fragment]
    counts = Counter(Element.from_Z(int(pieces.bonds.numbers[atom])).symbol for atom in piece.atoms)
    formula = "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in sorted(counts.items()))
    return f"{formula} with {len(piece.cuts)} connections"
