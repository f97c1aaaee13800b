"""Which block of the library a piece of a real framework is: equal formula and bonds, connection points included."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element

from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import anchor_atoms, load_block
from screening.bonds import BOND_FACTOR, BondGraph
from screening.sorbent_dataset.fragments import HYDROGEN, Pieces, building_bonds

# How closely a piece must agree: in everything; in all but its hydrogens (which many crystal structures lack);
# in all but hydrogens and the kind of metal.
Level = Literal["exact", "heavy", "shape"]
LEVELS: tuple[Level, ...] = ("exact", "heavy", "shape")
ITERATIONS = 4  # of Weisfeiler-Lehman refinement, before the isomorphism that decides


@dataclass(frozen=True)
class BlockGraph:
    """A block as a labelled graph and where its connection points lie."""

    graph: "nx.Graph"
    points: np.ndarray  # [k, 3] Å


def labelled_graph(
    numbers: Sequence[int], pairs: Sequence[Sequence[int]], anchors: Sequence[int], level: Level
) -> "nx.Graph":
    """Atoms labelled by element and one node `X` for every connection, bonded to its anchor."""
    graph = nx.Graph()
    for atom, number in enumerate(numbers):
        if level == "exact" or number != HYDROGEN:
            element = Element.from_Z(int(number))
            graph.add_node(atom, label="M" if level == "shape" and element.is_metal else element.symbol)
    graph.add_edges_from((i, j) for i, j in pairs if i in graph and j in graph)
    for point, anchor in enumerate(anchors):
        graph.add_node(("X", point), label="X")
        graph.add_edge(("X", point), anchor)
    return graph


def fragment_graph(pieces: Pieces, fragment: int, level: Level) -> "nx.Graph":
    """A piece of a framework as a labelled graph."""
    piece = pieces.fragments[fragment]
    row = {atom: k for k, atom in enumerate(piece.atoms)}
    whole = pieces.bonds.pairs[pieces.whole].tolist()
    inside = [(row[i], row[j]) for i, j in whole if i in row and j in row]
    anchors = [row[pieces.cuts[number].atoms[end]] for number, end in piece.cuts]
    return labelled_graph(pieces.bonds.numbers[list(piece.atoms)].tolist(), inside, anchors, level)


def match_fragment(pieces: Pieces, fragment: int, points: np.ndarray, level: Level) -> str | None:
    """The library's block that a piece is; of several (one cluster in two shapes) the one that looks most like it.

    Args:
        pieces: of the framework.
        fragment: which.
        points: [k, 3] Å, its connection points.
        level: how closely it must agree.
    """
    graph = fragment_graph(pieces, fragment, level)
    same = nx.algorithms.isomorphism.categorical_node_match("label", "")
    found = [
        (float(np.abs(_spans(block.points) - _spans(points)).max()), name)
        for name, block in library(level).get(_key(graph, len(points)), {}).items()
        if nx.is_isomorphic(graph, block.graph, node_match=same)
    ]
    return min(found)[1] if found else None


@functools.cache
def library(level: Level) -> Mapping[tuple[int, str], Mapping[str, BlockGraph]]:
    """Every block of the catalog by number of connections and Weisfeiler-Lehman hash."""
    table: dict[tuple[int, str], dict[str, BlockGraph]] = {}
    for name in load_catalog().blocks:
        block = block_graph(name, level)
        table.setdefault(_key(block.graph, len(block.points)), {})[name] = block
    return table


def block_graph(name: str, level: Level) -> BlockGraph:
    """A block of the library as a labelled graph, its bonds found from distances as those of a crystal are."""
    block = load_block(name)
    real = np.flatnonzero(block.atoms.numbers > 0)
    row = {int(atom): k for k, atom in enumerate(real)}
    numbers, positions = block.atoms.numbers[real], block.atoms.positions[real]
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    radii = covalent_radii[numbers]
    ratios = distances / (radii[:, None] + radii[None])
    pairs = np.argwhere(np.triu(ratios < BOND_FACTOR, k=1))
    picked = tuple(pairs.T)
    bonds = building_bonds(BondGraph(numbers, pairs, np.zeros((len(pairs), 3), int), distances[picked], ratios[picked]))
    anchors = [row[atoms[0]] for atoms in anchor_atoms(block)]
    graph = labelled_graph(numbers.tolist(), bonds.pairs.tolist(), anchors, level)
    return BlockGraph(graph, block.atoms.positions[block.connection_point_indices])


def _key(graph: "nx.Graph", connections: int) -> tuple[int, str]:
    digest = nx.weisfeiler_lehman_graph_hash(graph, node_attr="label", iterations=ITERATIONS)
    return connections, digest


def _spans(points: np.ndarray) -> np.ndarray:
    """Sorted distances between all pairs of points, Å."""
    first, second = np.triu_indices(len(points), k=1)
    return np.sort(np.linalg.norm(points[first] - points[second], axis=1))
