"""Compositions no database holds: crystals of the pool with their elements replaced by others of like chemistry.

A student of many elements is short of combinations of them before it is short of geometries, and where labels come from
a teacher any combination will do. Elements are exchanged for near ones on Mendeleev's scale (Pettifor 1984), the cell
is scaled to the volumes atoms have in the pool, and strain and rattle do the rest.
"""

import functools
from collections.abc import Collection, Sequence

import numpy as np
from pymatgen.core import Element
from scipy.optimize import nnls

from potentials.atom_graph import AtomGraph, make_graph
from potentials.distillation_config import SubstitutionConfig


def atomic_volumes(graphs: Sequence[AtomGraph]) -> dict[int, float]:
    """Å^3 of an atom of each element, such that their sums follow the volumes of the crystals (least squares)."""
    elements = sorted({z for graph in graphs for z in graph.numbers.tolist()})
    counts = np.array([[int((graph.numbers == z).sum()) for z in elements] for graph in graphs], dtype=float)
    volumes = np.array([abs(float(np.linalg.det(graph.cell.numpy()))) for graph in graphs])
    sizes = counts.sum(1)  # per atom, lest the largest cells decide
    found = nnls(counts / sizes[:, None], volumes / sizes)[0]
    return {z: max(float(volume), 3.0) for z, volume in zip(elements, found, strict=True)}  # less than an atom of He


def substitute(
    graph: AtomGraph, volumes: dict[int, float], settings: SubstitutionConfig, generator: np.random.Generator
) -> AtomGraph:
    """The crystal with elements replaced, at least one, distinct ones by distinct ones, and its volume to match.

    Args:
        graph: the crystal.
        volumes: Å^3 an atom, of every element that may be used (`atomic_volumes`).
        settings: how many elements, and how far on Mendeleev's scale.
        generator: draws.
    """
    old = sorted(set(graph.numbers.tolist()))
    chosen = [z for z in old if generator.random() < settings.share] or [int(generator.choice(old))]
    taken = {z: z for z in old if z not in chosen}
    for z in chosen:
        near = _near(z, volumes, settings.reach, {*taken.values(), z})
        taken[z] = int(generator.choice(near)) if near else z
    numbers = np.array([taken[z] for z in graph.numbers.tolist()])
    before = sum(volumes[z] for z in graph.numbers.tolist())
    scale = (sum(volumes[z] for z in numbers.tolist()) / before) ** (1 / 3)
    return make_graph(numbers, graph.positions.numpy() * scale, graph.cell.numpy() * scale, graph.pbc)


def _near(z: int, known: Collection[int], reach: int, taken: set[int]) -> list[int]:
    return sorted(other for other in known if other not in taken and abs(_place(other) - _place(z)) <= reach)


@functools.cache
def _place(z: int) -> float:
    return float(Element.from_Z(z).mendeleev_no)
