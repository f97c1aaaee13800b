"""Which atoms are bonded, across cell boundaries, and what the bonds connect.

Two atoms are bonded when they are closer than 1.25 times the sum of their covalent radii (Cordero et al., Dalton
Trans. 2008, 2832). Run the geometry gate first: the neighbour list is compiled code.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import vesin
from ase.data import covalent_radii
from pymatgen.core import Element, Structure

BOND_FACTOR = 1.25  # times the sum of covalent radii; Zn-O 2.35 Å, C-C 1.90 Å, C-H 1.34 Å


@dataclass(frozen=True)
class BondGraph:
    """Bonds of a periodic structure, each once."""

    numbers: np.ndarray  # [N] atomic numbers
    pairs: np.ndarray  # [B, 2] atom indices i, j
    images: np.ndarray  # [B, 3] whole cells to add to j
    distances: np.ndarray  # [B] Å
    ratios: np.ndarray  # [B] distance over the sum of covalent radii


@dataclass(frozen=True)
class Component:
    """Atoms that bonds join, and in how many directions they run on for ever."""

    atoms: tuple[int, ...]  # sorted
    dimension: int  # 0 a molecule, 1 a chain, 2 a layer, 3 a framework


def is_metal(numbers: np.ndarray) -> np.ndarray:
    """Whether each atomic number is a metal's [N]; B, Si, Ge, As and Te are not."""
    unique, inverse = np.unique(numbers, return_inverse=True)
    return np.array([Element.from_Z(int(z)).is_metal for z in unique], dtype=bool)[inverse]


def bond_graph(structure: Structure, factor: float = BOND_FACTOR) -> BondGraph:
    """Bonds of a structure that has passed the geometry gate."""
    numbers = np.array(structure.atomic_numbers)
    radii = covalent_radii[numbers]
    cutoff = 2 * factor * float(radii.max())
    finder = vesin.NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
    i, j, images, distances = finder.compute(structure.cart_coords, structure.lattice.matrix, True, "ijSd")
    ratios = distances / (radii[i] + radii[j])
    keep = ratios < factor
    pairs = np.stack([i, j], axis=1).astype(np.int64)
    return BondGraph(numbers, pairs[keep], images[keep].astype(np.int64), distances[keep], ratios[keep])


def neighbour_counts(graph: BondGraph, among: np.ndarray) -> np.ndarray:
    """How many bonded neighbours each atom has for which `among` [N] is true; images count apart. [N]."""
    first, second = graph.pairs[:, 0], graph.pairs[:, 1]
    counts = np.zeros(len(graph.numbers), dtype=np.int64)
    np.add.at(counts, first, among[second])
    np.add.at(counts, second, among[first])
    return counts


def components(graph: BondGraph) -> list[Component]:
    """Connected parts of the bond graph, largest first, with the dimension each extends in.

    A walk along bonds gives every atom the cell in which it is first met; a bond that closes on another cell
    than expected is a lattice translation of the part, and the rank of those translations its dimension.
    """
    n_atoms = len(graph.numbers)
    links: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(n_atoms)]
    for (i, j), image in zip(graph.pairs.tolist(), graph.images, strict=True):
        links[i].append((j, image))
        links[j].append((i, -image))
    cells: list[np.ndarray | None] = [None] * n_atoms
    found = []
    for start in range(n_atoms):
        if cells[start] is not None:
            continue
        cells[start] = np.zeros(3, dtype=np.int64)
        queue, members, translations = deque([start]), [start], []
        while queue:
            atom = queue.popleft()
            for other, image in links[atom]:
                place = cells[atom] + image
                if cells[other] is None:
                    cells[other] = place
                    members.append(other)
                    queue.append(other)
                elif np.any(place != cells[other]):
                    translations.append(place - cells[other])
        dimension = int(np.linalg.matrix_rank(np.unique(translations, axis=0))) if translations else 0
        found.append(Component(tuple(sorted(members)), dimension))
    return sorted(found, key=lambda part: (-len(part.atoms), part.atoms))
