"""Beads of simple nets, drawn by hand: what a perfect generator would give."""

import numpy as np

from gen.sorbents.beads import DIRECT, EDGE, Beads
from gen.sorbents.bodies import library_body


def edge_length(node: str, linker: str, other: str | None = None) -> float:
    """Å from the centre of a node along a linker to the next."""
    radii = [float(library_body(name).radii.mean()) for name in (node, other or node)]
    return sum(radii) + (0.0 if linker == DIRECT else float(library_body(linker).radii.sum()))


def primitive_cubic(node: str = "N16", linker: str = "E14", cells: int = 1) -> Beads:
    """pcu: one six-connected node and three linkers, repeated `cells` times along the first axis."""
    length = edge_length(node, linker)
    frac, blocks = [], []
    for cell in range(cells):
        for place in ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)):
            frac.append(((place[0] + cell) / cells, place[1], place[2]))
            blocks.append(linker if any(place) else node)
    connections = tuple(EDGE if block == linker else 6 for block in blocks)
    return Beads(np.diag([cells * length, length, length]), np.array(frac), tuple(blocks), connections)


def diamond(node: str, linker: str) -> Beads:
    """dia: two tetrahedral nodes and four linkers in the face-centred cell."""
    length = edge_length(node, linker)
    lattice = (np.ones((3, 3)) - np.eye(3)) * 2 * length / np.sqrt(3)
    quarter = np.full(3, 0.25)
    edges = [0.5 * (quarter - shift) for shift in np.concatenate([np.zeros((1, 3)), np.eye(3)])]
    frac = np.concatenate([np.zeros((1, 3)), quarter[None], np.array(edges)]) % 1.0
    return Beads(lattice, frac, (node, node, *[linker] * 4), (4, 4, *[EDGE] * 4))


def square_layers(node: str, linker: str) -> Beads:
    """sql: flat four-connected nodes in layers that nothing holds together."""
    length = edge_length(node, linker)
    frac = np.array([(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.0)])
    return Beads(np.diag([length, length, 6.0]), frac, (node, linker, linker), (4, EDGE, EDGE))


def noisy(beads: Beads, sigma: float, strain: float, seed: int) -> Beads:
    """Normal noise of `sigma` Å on every coordinate and a random symmetric strain of the cell."""
    rng = np.random.default_rng(seed)
    tensor = rng.normal(size=(3, 3))
    lattice = beads.lattice @ (np.eye(3) + strain * (tensor + tensor.T) / 2)
    frac = beads.frac + rng.normal(0.0, sigma, beads.frac.shape) @ np.linalg.inv(lattice)
    return Beads(lattice, frac % 1.0, beads.blocks, beads.connections)
