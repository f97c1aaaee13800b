"""What tells one net from another, whatever the cell they are given in.

The k-th term of a node's coordination sequence counts the nodes k edges away (Brunner, Laves, Wiss. Z. Techn. Univ.
Dresden 1971, 20, 387; Meier, Möck, J. Solid State Chem. 1979, 27, 349); the atlas of zeolite frameworks lists ten
terms. LTA and RHO agree in them, so the shortest cycle through each of a node's six angles is added (after the
vertex symbols of O'Keeffe, Hyde, Zeolites 1997, 19, 370). Nets that differ here do differ; nets that agree count as
the same, which very few distinct nets do.
"""

import hashlib
import math
from collections import Counter, deque

import numpy as np

SHELLS = 10
LONGEST = 20  # edges of a cycle that is looked for
Signature = tuple[tuple[tuple[int, ...], int], ...]  # (sequence and cycles, how many nodes have them), sorted
_Place = tuple[int, int, int, int]  # node and cell


def coordination_sequences(pairs: np.ndarray, cells: np.ndarray, count: int, shells: int = SHELLS) -> np.ndarray:
    """Nodes at 1 ... `shells` edges from each node [count, shells].

    Args:
        pairs: [E, 2] nodes of each edge.
        cells: [E, 3] int, cell of the second node counted from that of the first.
        count: nodes in the cell.
    """
    starts, ends, shifts = _directed(pairs, cells)
    order = np.argsort(starts, kind="stable")
    ends, shifts = ends[order], shifts[order]
    first = np.searchsorted(starts[order], np.arange(count + 1))
    span = 2 * shells * max(1, int(np.abs(shifts).max(initial=0))) + 1  # cells a walk may reach, along each axis
    weights = np.array([span * span, span, 1])
    moves = (shifts @ weights) * count  # a node in a cell is one number, and a step a sum
    middle = int((weights * (span // 2)).sum()) * count
    table = np.zeros((count, shells), dtype=np.int64)
    for node in range(count):
        before = np.empty(0, dtype=np.int64)
        shell = np.array([middle + node])
        for k in range(shells):
            homes = shell % count
            reps = first[homes + 1] - first[homes]
            which = np.repeat(first[homes], reps) + _ramps(reps)
            reached = np.repeat(shell - homes, reps) + ends[which] + moves[which]
            following = np.setdiff1d(np.unique(reached), np.concatenate([before, shell]), assume_unique=True)
            before, shell = shell, following
            table[node, k] = len(shell)
    return table


def angle_cycles(pairs: np.ndarray, cells: np.ndarray, count: int) -> np.ndarray:
    """Edges of the shortest cycle through each pair of edges of a four-connected node [count, 6], sorted along the row.

    0 stands for a cycle of more than `LONGEST` edges. Arguments as `coordination_sequences`.
    """
    links = _links(pairs, cells, count)
    table = np.zeros((count, 6), dtype=np.int64)
    for node in range(count):
        home = (node, 0, 0, 0)
        around = links[node]
        found = []
        for k, start in enumerate(around[:-1]):
            depths = _walk(links, start, home, set(around[k + 1 :]))
            found += [depths[other] + 2 if other in depths else 0 for other in around[k + 1 :]]
        table[node] = sorted(found)
    return table


def signature(pairs: np.ndarray, cells: np.ndarray, count: int) -> Signature:
    """Distinct nodes, each by its coordination sequence and angle cycles, with the number of each.

    The numbers are divided by their common divisor, so that a net is the same in every supercell.
    """
    rows = np.concatenate([coordination_sequences(pairs, cells, count), angle_cycles(pairs, cells, count)], axis=1)
    counts = Counter(map(tuple, rows.tolist()))
    divisor = math.gcd(*counts.values())
    return tuple(sorted((row, number // divisor) for row, number in counts.items()))


def net_key(found: Signature) -> str:
    """Twelve hex digits that stand for a signature."""
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def parts_and_dimension(pairs: np.ndarray, cells: np.ndarray, count: int) -> tuple[int, int]:
    """How many separate parts a net has, and in how many directions the largest-reaching one runs on.

    A part in three dimensions whose translations are only every n-th of the lattice's is there n times, one in the
    other.
    """
    _, _, translations = unfolded(pairs, cells, count)
    parts, dimension = 0, 0
    for shifts in translations:
        basis = _reduced(shifts)
        rank = int(basis.any(1).sum())
        dimension = max(dimension, rank)
        parts += abs(int(basis.diagonal().prod())) if rank == 3 else 1
    return parts, dimension


def _reduced(shifts: np.ndarray) -> np.ndarray:
    """[3, 3] rows in echelon form that span the same lattice as integer vectors [K, 3], zero rows last."""
    rows = np.unique(shifts, axis=0)
    done = np.zeros((3, 3), dtype=int)
    for column in range(3):
        while (rows[:, column] != 0).sum() > 1:  # Euclid's algorithm on the column
            sizes = np.where(rows[:, column] != 0, np.abs(rows[:, column]), np.iinfo(int).max)
            least = int(sizes.argmin())
            factors = rows[:, column] // rows[least, column]
            factors[least] = 0
            rows = rows - factors[:, None] * rows[least]
        for pivot in np.flatnonzero(rows[:, column]):
            done[int(done.any(1).sum())] = rows[pivot]
            rows = np.delete(rows, pivot, axis=0)
    return done


def unfolded(pairs: np.ndarray, cells: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """A walk over a net: part of each node [n], cell it is first met in [n, 3], translations [K, 3] of each part.

    An edge that closes on another cell is a lattice translation of the part, and the rank of those translations its
    dimension; the first of each part is zero.
    """
    links = _links(pairs, cells, count)
    parts, places = np.full(count, -1), np.zeros((count, 3), dtype=int)
    translations: list[np.ndarray] = []
    for start in range(count):
        if parts[start] >= 0:
            continue
        parts[start] = len(translations)
        queue, shifts = deque([start]), [np.zeros(3, dtype=int)]
        while queue:
            node = queue.popleft()
            for other, *shift in links[node]:
                here = places[node] + shift
                if parts[other] < 0:
                    parts[other], places[other] = parts[start], here
                    queue.append(other)
                elif (here != places[other]).any():
                    shifts.append(here - places[other])
        translations.append(np.array(shifts))
    return parts, places, translations


def double_edges(pairs: np.ndarray, cells: np.ndarray) -> int:
    """Edges beyond the first between the same two nodes: tetrahedra that share an edge."""
    seen = Counter(
        min((i, j, *shift), (j, i, *(-s for s in shift)))
        for (i, j), shift in zip(pairs.tolist(), cells.tolist(), strict=True)
    )
    return sum(number - 1 for number in seen.values())


def _links(pairs: np.ndarray, cells: np.ndarray, count: int) -> list[list[_Place]]:
    """Of each node in the home cell, the nodes its edges lead to."""
    starts, ends, shifts = _directed(pairs, cells)
    links: list[list[_Place]] = [[] for _ in range(count)]
    for i, j, (a, b, c) in zip(starts.tolist(), ends.tolist(), shifts.tolist(), strict=True):
        links[i].append((j, a, b, c))
    return links


def _walk(links: list[list[_Place]], start: _Place, barred: _Place, wanted: set[_Place]) -> dict[_Place, int]:
    """Edges from `start` to what a breadth-first walk reaches, around `barred`, until all `wanted` are found."""
    depths = {start: 0}
    left = wanted - {start}
    queue = deque([start])
    while queue and left:
        place = queue.popleft()
        if depths[place] + 2 >= LONGEST:
            break
        node, x, y, z = place
        for other, a, b, c in links[node]:
            step = (other, x + a, y + b, z + c)
            if step not in depths and step != barred:
                depths[step] = depths[place] + 1
                left.discard(step)
                queue.append(step)
    return depths


def _directed(pairs: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.concatenate([pairs[:, 0], pairs[:, 1]])
    ends = np.concatenate([pairs[:, 1], pairs[:, 0]])
    return starts, ends, np.concatenate([cells, -cells])


def _ramps(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... for each length, one after another."""
    stops = np.cumsum(lengths)
    return np.arange(stops[-1] if len(stops) else 0) - np.repeat(stops - lengths, lengths)
