"""Scale a net to its blocks: cell and node positions whose edges have the lengths and angles the blocks want.

The objective is PORMAKE's (Lee et al., ACS Appl. Mater. Interfaces 2021): for every pair of edges that meet at
a node, the dot product of the two edge vectors against that of the block's arms drawn out to full length. Its own
implementation compiles a new function for each framework, most of the time of an assembly; this one has the
gradient written out.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import minimize

SAME_EDGE_WEIGHT = 2.0  # for lengths, which enter once where an angle enters twice


class NetScaler:
    """Takes the place of `pormake.Scaler` in a `pormake.Builder`."""

    def scale(self, topology: Any, bbs: list[Any], perms: list[Any], return_result: bool = False) -> Any:
        """The scaled net, and with `return_result` an object whose `fun` is what is left of the objective.

        Args:
            topology: net to scale; not changed.
            bbs: located block of each slot, None for an edge without a linker.
            perms: for each slot, the block's connection point that serves each neighbour of the net.
            return_result: return a pair.
        """
        nodes = {int(node): k for k, node in enumerate(topology.node_indices)}
        cell = np.array(topology.atoms.cell[:])
        start = topology.atoms.positions[topology.node_indices] @ np.linalg.inv(cell)
        edges = [_Edge(topology, int(e), bbs, perms, cell) for e in topology.edge_indices]
        # Every edge is seen from both of its ends.
        owner = np.array([nodes[end] for edge in edges for end in (edge.first, edge.second)])
        other = np.array([nodes[end] for edge in edges for end in (edge.second, edge.first)])
        shifts = np.array([shift for edge in edges for shift in (edge.image, -edge.image)])
        wanted = np.array([arm for edge in edges for arm in edge.arms])
        p, q = np.nonzero(owner[:, None] == owner[None])
        target = np.sum(wanted[p] * wanted[q], axis=1)
        unit = np.mean(np.abs(target))
        target = target / unit
        weights = np.where(p == q, SAME_EDGE_WEIGHT, 1.0) / len(p)

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            s, c = x[:-9].reshape(-1, 3), x[-9:].reshape(3, 3)
            spans = s[other] - s[owner] + shifts
            vectors = spans @ c
            errors = np.sum(vectors[p] * vectors[q], axis=1) - target
            pull = np.zeros_like(vectors)  # derivative by each vector; each unordered pair occurs twice
            np.add.at(pull, p, (4 * weights * errors)[:, None] * vectors[q])
            by_fraction = pull @ c.T
            gradient = np.zeros_like(s)
            np.add.at(gradient, other, by_fraction)
            np.add.at(gradient, owner, -by_fraction)
            return float(weights @ errors**2), np.concatenate([gradient.ravel(), (spans.T @ pull).ravel()])

        result = minimize(
            objective,
            np.concatenate([start.ravel(), cell.ravel()]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1000},
        )
        cell = result.x[-9:].reshape(3, 3) * np.sqrt(unit)
        scaled = _rebuild(topology, edges, result.x[:-9].reshape(-1, 3), cell, nodes)
        return (scaled, SimpleNamespace(fun=float(result.fun))) if return_result else scaled


class _Edge:
    """An edge of the net: its two nodes, the cells between them, and the vectors its blocks want, seen from each."""

    def __init__(self, topology: Any, slot: int, bbs: list[Any], perms: list[Any], cell: np.ndarray) -> None:
        ends = topology.neighbor_list[slot]
        self.slot = slot
        self.first, self.second = (int(end.index) for end in ends)
        span = ends[1].distance_vector - ends[0].distance_vector
        positions = topology.atoms.positions
        self.image = np.round((span - positions[self.second] + positions[self.first]) @ np.linalg.inv(cell))
        arms = []
        for end in ends:
            neighbours = topology.neighbor_list[end.index]
            mismatch = [np.linalg.norm(n.distance_vector + end.distance_vector) for n in neighbours]
            block, order = bbs[end.index], perms[end.index]
            arms.append(block.connection_points[order][int(np.argmin(mismatch))] - block.centroid)
        length = sum(np.linalg.norm(arm) for arm in arms)
        if bbs[slot] is not None:
            length += bbs[slot].lengths.sum()
        self.arms = [arm / np.linalg.norm(arm) * length for arm in arms]


def _rebuild(topology: Any, edges: list[_Edge], fractions: np.ndarray, cell: np.ndarray, nodes: dict[int, int]) -> Any:
    """The net with new geometry, its neighbours listed in the old order (permutations refer to it)."""
    positions = np.zeros((topology.n_slots, 3))
    positions[topology.node_indices] = fractions @ cell
    neighbours: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(topology.n_slots)]
    for edge in edges:
        first, second = fractions[nodes[edge.first]], fractions[nodes[edge.second]]
        half = 0.5 * (second - first + edge.image) @ cell
        positions[edge.slot] = positions[edge.first] + half
        neighbours[edge.slot] = [(edge.first, -half), (edge.second, half)]
    for node in topology.node_indices:
        for seen in topology.neighbor_list[node]:
            ends = topology.neighbor_list[seen.index]
            back = int(np.argmin([np.linalg.norm(seen.distance_vector + end.distance_vector) for end in ends]))
            neighbours[node].append((seen.index, -neighbours[seen.index][back][1]))
    scaled = topology.copy()
    scaled.atoms.set_cell(cell)
    scaled.atoms.set_positions(positions)
    scaled.neighbor_list.set_data(neighbours)
    return scaled
