"""How a block is turned, from the directions in which its neighbours lie.

For a given assignment of connection points to neighbours the best rotation is Kabsch's (Acta Cryst. A 1976, 32, 922);
the assignment is found by trying every rotation that brings two connection points over two neighbours and
improving the best of those in turn by assignment (Hungarian method) and rotation. Exact for the symmetric shapes the
library has, and without the 12! orders of a twelve-connected node.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from gen.sorbents.bodies import Body

BOND = 0.1  # weight of bonds pointing at neighbours, against 1 for arms: decides between turns the arms leave equal
EXHAUSTIVE = 4  # connection points up to which every order is tried
KEPT = 24  # starts that are improved
ROUNDS = 6
MIRROR_GAIN = 0.05  # RMSD by which the mirror image of a block must fit better to be taken
SAME = 1e-3  # rotations whose matrices differ by less are one


@dataclass(frozen=True)
class Orientation:
    """A way to turn a block."""

    turn: np.ndarray  # [3, 3], x -> turn @ x; determinant -1 where the block is mirrored
    order: np.ndarray  # [c] connection point that serves each neighbour
    rmsd: float  # of unit directions, centre to connection point against neighbour


def orientations(body: Body, directions: np.ndarray, limit: int = 4) -> list[Orientation]:
    """The best ways to turn a block, best first, at most `limit`, all different in the order they give.

    A block is kept as the library has it unless its mirror image fits better by `MIRROR_GAIN`: the mirror image of
    a block is as real as the block, but a chiral linker should not change hands for noise.

    Args:
        body: block, anywhere.
        directions: [c, 3] from the block's centre to its neighbours, any length.
        limit: how many.
    """
    wanted = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    arms, bonds = _vectors(body)
    proper = _ranked(arms, bonds, wanted, limit)
    mirrored = _ranked(-arms, -bonds, wanted, limit)
    if proper and (not mirrored or mirrored[0].rmsd > proper[0].rmsd - MIRROR_GAIN):
        return proper
    return [Orientation(-found.turn, found.order, found.rmsd) for found in mirrored]


def _vectors(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions [c, 3] from a block's centre to its connection points, and of the bonds that end in those."""
    bonds = body.points - body.atoms[body.anchors]
    bonds = bonds / np.maximum(np.linalg.norm(bonds, axis=1, keepdims=True), 1e-9)
    arms = body.points - body.centre
    return arms / np.maximum(np.linalg.norm(arms, axis=1, keepdims=True), 1e-9), bonds


def _ranked(arms: np.ndarray, bonds: np.ndarray, wanted: np.ndarray, limit: int) -> list[Orientation]:
    """Proper rotations alone, ranked by how well arms, and to a lesser part bonds, meet `wanted`."""
    n = len(wanted)
    orders = _all_orders(n) if n <= EXHAUSTIVE else _promising_orders(arms, wanted)
    turns = kabsch(arms[orders], wanted)  # [p, 3, 3]
    scores = np.einsum("pij,pnj,ni->p", turns, (arms + BOND * bonds)[orders], wanted)
    found: list[Orientation] = []
    for best in np.argsort(-scores.round(9), kind="stable"):
        if len(found) == limit:
            break
        turn, order = turns[best], orders[best]
        if any(np.abs(turn - other.turn).max() < SAME for other in found):
            continue
        misfit = arms[order] @ turn.T - wanted
        found.append(Orientation(turn, order, float(np.sqrt((misfit**2).sum(axis=1).mean()))))
    return found


def kabsch(vectors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Proper rotations [p, 3, 3] that bring vectors [p, n, 3] closest to wanted [n, 3] (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(np.einsum("ni,pnj->pij", wanted, vectors))
    u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.asarray(u @ vt)


@functools.cache
def _all_orders(n: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(n))))


def _promising_orders(arms: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Orders [p, c] reached from rotations that bring two arms over two neighbours, each improved to a fixed point."""
    n = len(arms)
    # The pair of arms nearest to a right angle fixes the rotation best.
    cosines = np.abs(arms @ arms.T) + 2 * np.eye(n)
    first, second = np.unravel_index(int(cosines.argmin()), cosines.shape)
    ends = np.array([(i, j) for i in range(n) for j in range(n) if i != j])
    frames = _frames(wanted[ends[:, 0]], wanted[ends[:, 1]])
    turns = frames @ np.swapaxes(_frames(arms[[first]], arms[[second]]), 1, 2)
    nearness = np.einsum("ni,pij,mj->pnm", wanted, turns, arms)
    promise = nearness.max(axis=2).sum(axis=1) + nearness.max(axis=1).sum(axis=1)
    starts = np.argsort(-promise.round(9), kind="stable")[:KEPT]
    orders = set()
    for scores in nearness[starts]:
        order = linear_sum_assignment(scores, maximize=True)[1]
        for _ in range(ROUNDS):
            turn = kabsch(arms[None, order], wanted)[0]
            better = linear_sum_assignment(wanted @ turn @ arms.T, maximize=True)[1]
            if np.array_equal(better, order):
                break
            order = better
        orders.add(tuple(order.tolist()))
    return np.array(sorted(orders))


def _frames(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed frames [p, 3, 3] (columns) with a along the first axis and b in the first two's plane."""
    x = a / np.linalg.norm(a, axis=1, keepdims=True)
    # A pair in line leaves the turn about it free; any normal does, later rounds find the rest.
    spare = np.where(np.abs(x[:, :1]) < 0.9, np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]]))
    z = np.cross(x, b)
    z = np.where(np.linalg.norm(z, axis=1, keepdims=True) > 1e-3, z, np.cross(x, spare))
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=2)
