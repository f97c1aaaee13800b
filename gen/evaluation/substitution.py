"""Simple compounds for pairs of elements without any, by substitution into known ones.

A hull without a single compound of A and B calls every compound that holds both too stable. Where a set of crystals has
none, the binaries likest to it are taken with A and B in place of their elements, the oldest way to guess compounds
(Hautier et al. 2011, Inorg. Chem. 50, 656). Likeness is that of the structure types of `gen.crystals`: Mendeleev
number, electronegativity, radius and valence.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Element
from torch import Tensor

from gen.crystals.structure_types import StructureType, find_type, unlikeness
from potentials.atom_graph import AtomGraph, make_graph


@dataclass(frozen=True)
class Binary:
    """A known crystal of two elements; arrays as in `AtomGraph`, the cell periodic and primitive."""

    numbers: np.ndarray  # [N]
    positions: np.ndarray  # [N, 3] Å
    cell: np.ndarray  # [3, 3] Å
    kind: StructureType


def known_binaries(graphs: Iterable[AtomGraph], most_atoms: int) -> list[Binary]:
    """The binaries among primitive crystals with symmetry and at most `most_atoms` atoms, one of each type and pair."""
    found: dict[tuple[StructureType, tuple[int, ...]], Binary] = {}
    for graph in graphs:
        numbers = graph.numbers.numpy()
        if len(numbers) > most_atoms or len(set(numbers.tolist())) != 2:
            continue
        positions, cell = graph.positions.numpy(), graph.cell.numpy()
        typed = find_type(cell, positions @ np.linalg.inv(cell), numbers)
        if typed is not None:
            found.setdefault(typed, Binary(numbers, positions, cell, typed[0]))
    return list(found.values())


def empty_pairs(numbers: Sequence[int], known: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """Pairs of the elements `numbers` for which no set of two in `known` is there."""
    taken = {tuple(sorted(pair)) for pair in known}
    return [pair for pair in itertools.combinations(sorted(set(numbers)), 2) if pair not in taken]


def substituted(pair: tuple[int, int], binaries: Sequence[Binary], count: int) -> Iterator[AtomGraph]:
    """The `count` likest binaries of different type with the elements of `pair` in place of theirs.

    A type may come twice, with the elements either way round. Cells are scaled by the cubes of atomic radii.
    """
    old = np.array([sorted(set(binary.numbers.tolist())) for binary in binaries])  # [M, 2]
    shares = np.array([(binary.numbers == low).mean() for binary, (low, _) in zip(binaries, old, strict=True)])
    ranked = []
    for new in (pair, pair[::-1]):
        apart = shares * unlikeness(old[:, 0], np.array(new[0])) + (1 - shares) * unlikeness(
            old[:, 1], np.array(new[1])
        )
        ranked += [(float(d), place, new) for place, d in enumerate(apart)]
    met: set[tuple[StructureType, bool]] = set()
    for _, place, new in sorted(ranked):
        binary, (low, high) = binaries[place], old[place]
        # which element takes the first site tells the two ways round apart
        key = (binary.kind, (binary.numbers[0] == low) == (new[0] == pair[0]))
        if key in met:
            continue
        met.add(key)
        yield _replaced(binary, {int(low): new[0], int(high): new[1]})
        if len(met) == count:
            return


def _replaced(binary: Binary, names: dict[int, int]) -> AtomGraph:
    numbers = np.array([names[int(z)] for z in binary.numbers])
    scale = (_cubes(numbers) / _cubes(binary.numbers)) ** (1 / 3)
    periodic: Tensor = torch.tensor([True] * 3)
    return make_graph(
        torch.from_numpy(numbers),
        torch.from_numpy(binary.positions * scale),
        torch.from_numpy(binary.cell * scale),
        periodic,
    )


def _cubes(numbers: np.ndarray) -> float:
    return float(sum(float(Element.from_Z(int(z)).atomic_radius or 1.5) ** 3 for z in numbers))
