"""Which nodes does every edge bead join? Assignments with exact degrees, those of least misfit first.

Each edge bead may lie between any two node images whose distance suits the blocks (arm + linker + arm) with the
bead where the linker would then be. One pair is chosen for each edge, so that every node has as many edges as its block
has connection points and the net runs on in three dimensions. Choices are searched in the order of their squared
misfit (`link_search.py`) and ranked by that and how badly the edges suit the directions of the blocks' arms.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from gen.sorbents.beads import DIRECT, Beads, Links
from gen.sorbents.bodies import AssemblyError, Body, library_body
from gen.sorbents.link_search import Candidates, choices
from gen.sorbents.orientation import orientations

POSITION = 0.4  # Å, misfit of an edge bead from its place between two nodes that counts 1
LENGTH = 0.5  # Å, misfit of the distance between two nodes that counts 1
RELATIVE = 0.05  # added to both, times the length of the edge: a generated cell may be some per cent off
TURN = 0.2  # RMSD of unit directions, of a node's edges against its block's arms, that counts 1
# How far an end may be from its edge bead (times arm + half a linker, and Å added), and pairs kept for each edge: wider
# when the narrower have no solution.
SEARCHES = ((1.5, 2.0, 40), (2.5, 5.0, 400))
CELLS = 3  # whole cells searched in each direction at most
TURNED_MAX = 0.75  # RMSD above which the edges do not suit a block at all
LEAVES = 60  # choices that are judged


@dataclass(frozen=True)
class _Pairs:
    """Candidates: an edge bead and two node images it may join."""

    edge: np.ndarray  # [P] bead
    nodes: np.ndarray  # [P, 2] beads
    images: np.ndarray  # [P, 2, 3]
    misfit: np.ndarray  # [P] squared, in units of the tolerances


def connect(beads: Beads, joined: np.ndarray | None = None) -> Links:
    """The links that suit positions and blocks best; see `connections`."""
    return connections(beads, 1, joined)[0]


def connections(beads: Beads, limit: int, joined: np.ndarray | None = None) -> list[Links]:
    """The best ways to link the beads, at most `limit`, best first.

    Args:
        joined: [n, n] how often two beads were meant to be linked, in whichever cells, where that is known; given
            up where the positions do not allow it.

    Raises:
        AssemblyError: ends and connection points do not add up, no choice satisfies every degree, or every
            choice leaves a node whose block does not fit or a net that is not three-periodic.
    """
    bodies = [None if name == DIRECT else library_body(name) for name in beads.blocks]
    edges, nodes = np.flatnonzero(beads.is_edge), np.flatnonzero(~beads.is_edge)
    ends = sum(beads.connections[node] for node in nodes)
    if ends != 2 * len(edges) or not len(edges):
        raise AssemblyError(f"{len(nodes)} nodes with {ends} connection points cannot share {len(edges)} edges")
    reason = ""
    for stretch, spare, most in SEARCHES:
        everything = _candidates(beads, bodies, stretch, spare, joined)
        if isinstance(everything, str):
            reason = reason or everything
            continue
        found, fault = _ranked(_best(everything, most), beads, bodies, limit)
        if found:
            return found
        reason = fault or reason
    if joined is not None:
        return connections(beads, limit)
    raise AssemblyError(reason or "no choice of ends gives every node as many edges as its block has connection points")


def neighbour_vectors(beads: Beads, links: Links) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For every node bead, its (link, end) slots [c, 2] and the vectors [c, 3] Å to the edge beads there."""
    slots: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for k, pair in enumerate(links.nodes.tolist()):
        for end, node in enumerate(pair):
            slots[node].append((k, end))
    found = {}
    for node, listed in slots.items():
        places = np.array(listed)
        edge = links.bead[places[:, 0]]
        image = links.images[places[:, 0], places[:, 1]]
        found[node] = (places, (beads.frac[edge] - beads.frac[node] - image) @ beads.lattice)
    return found


def periodicity(nodes: np.ndarray, shifts: np.ndarray, count: int) -> list[tuple[int, list[int]]]:
    """Rank of the lattice translations on which the cycles of each connected part close, and the part's nodes.

    Args:
        nodes: [E, 2] ends of each edge of a quotient graph, 0 ... count - 1.
        shifts: [E, 3] cells from the first end to the second.
        count: number of nodes.
    """
    around: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(count)]
    for (a, b), shift in zip(nodes.tolist(), shifts, strict=True):
        around[a].append((b, shift))
        around[b].append((a, -shift))
    place: dict[int, np.ndarray] = {}
    parts = []
    for root in range(count):
        if root in place:
            continue
        place[root] = np.zeros(3)
        queue, members, cycles = [root], [root], [np.zeros(3)]
        while queue:
            node = queue.pop()
            for other, shift in around[node]:
                if other in place:
                    cycles.append(place[node] + shift - place[other])
                else:
                    place[other] = place[node] + shift
                    queue.append(other)
                    members.append(other)
        parts.append((int(np.linalg.matrix_rank(np.array(cycles))), members))
    return parts


def _candidates(
    beads: Beads, bodies: list[Body | None], stretch: float, spare: float, joined: np.ndarray | None
) -> _Pairs | str:
    """Pairs of node images within reach of each edge bead, by misfit; or why an edge has none."""
    nodes = np.flatnonzero(~beads.is_edge).tolist()
    radii = {node: bodies[node].radii for node in nodes}  # type: ignore[union-attr]
    carbon = {k: body is None or bool((body.numbers[body.anchors] == 6).all()) for k, body in enumerate(bodies)}
    inverse = np.linalg.inv(beads.lattice)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)  # between opposite faces of the cell
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for edge in np.flatnonzero(beads.is_edge).tolist():
        body = bodies[edge]
        half = 0.0 if body is None else float(np.linalg.norm(body.points[1] - body.points[0])) / 2
        owners, cells, vectors, low, high = [], [], [], [], []
        for node in nodes:
            if body is not None and not (carbon[node] or carbon[edge]):
                continue
            if joined is not None and not joined[edge, node]:
                continue
            reach = stretch * (radii[node].max() + half) + spare
            span = np.minimum(np.ceil(reach / heights), CELLS).astype(int)
            grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in span), indexing="ij"), -1).reshape(-1, 3)
            delta = beads.frac[node] - beads.frac[edge]
            grid = grid - np.round(delta).astype(int)
            vector = (delta + grid) @ beads.lattice
            near = np.linalg.norm(vector, axis=1) < reach
            owners += [node] * int(near.sum())
            cells.append(grid[near])
            vectors.append(vector[near])
            low += [radii[node].min()] * int(near.sum())
            high += [radii[node].max()] * int(near.sum())
        if len(owners) < 2:
            return f"no two nodes lie within reach of the {beads.blocks[edge]} edge bead {edge}"
        owner, cell, x = np.array(owners), np.concatenate(cells), np.concatenate(vectors)
        i, j = np.triu_indices(len(owner), 1)
        if body is None:
            clean = np.array([carbon[int(node)] for node in owner])
            i, j = i[clean[i] | clean[j]], j[clean[i] | clean[j]]
        if joined is not None:  # both ends, or the same node twice
            apart = owner[i] != owner[j]
            right = apart if (joined[edge] > 0).sum() == 2 else ~apart
            i, j = i[right], j[right]
        least = np.array(low)[i] + np.array(low)[j] + 2 * half
        most = np.array(high)[i] + np.array(high)[j] + 2 * half
        spans = x[j] - x[i]
        distance = np.linalg.norm(spans, axis=1)
        length = distance - np.clip(distance, least, most)
        middle = (np.array(low) + np.array(high)) / 2 + half  # from the node's centre to the middle of the linker
        share = (middle[i] / (middle[i] + middle[j]))[:, None]
        aside = np.linalg.norm(x[i] + share * spans, axis=1)
        drift = RELATIVE * (least + most) / 2
        misfit = (aside / (POSITION + drift)) ** 2 + (length / (LENGTH + drift)) ** 2
        keep = np.argsort(misfit, kind="stable")[: SEARCHES[-1][-1]]
        columns[0].append(np.full(len(keep), edge))
        columns[1].append(np.stack([owner[i[keep]], owner[j[keep]]], axis=1))
        columns[2].append(np.stack([cell[i[keep]], cell[j[keep]]], axis=1))
        columns[3].append(misfit[keep])
    return _Pairs(*(np.concatenate(column) for column in columns))


def _best(pairs: _Pairs, limit: int) -> _Pairs:
    """The first `limit` candidates of each edge (they are sorted by misfit)."""
    rank = np.zeros(len(pairs.edge), int)
    for edge in np.unique(pairs.edge):
        mine = pairs.edge == edge
        rank[mine] = np.arange(mine.sum())
    keep = rank < limit
    return _Pairs(pairs.edge[keep], pairs.nodes[keep], pairs.images[keep], pairs.misfit[keep])


def _ranked(pairs: _Pairs, beads: Beads, bodies: list[Body | None], limit: int) -> tuple[list[Links], str | None]:
    """The best choices of one pair for each edge, and why the last that was refused cannot be taken."""
    edges, nodes = np.flatnonzero(beads.is_edge), np.flatnonzero(~beads.is_edge)
    if len(np.unique(pairs.edge)) < len(edges):
        return [], None
    row = np.full(len(beads.blocks), -1)
    row[edges], row[nodes] = np.arange(len(edges)), np.arange(len(nodes))
    ends, shifts = row[pairs.nodes], pairs.images[:, 1] - pairs.images[:, 0]
    degrees = np.array([beads.connections[node] for node in nodes])
    outward = beads.frac[pairs.edge][:, None] - beads.frac[pairs.nodes] - pairs.images  # node to edge bead
    judge = _Directions([bodies[node] for node in nodes], ends, outward @ beads.lattice)  # type: ignore[misc]
    found: list[tuple[float, int, np.ndarray]] = []
    fault = None
    candidates = Candidates(row[pairs.edge], ends, _twins(ends, shifts), pairs.misfit)
    for rank, (misfit, chosen) in enumerate(choices(candidates, degrees)):
        if rank == LEAVES or (len(found) >= limit and misfit >= found[limit - 1][0]):
            break
        dimension = min(rank for rank, _ in periodicity(ends[chosen], shifts[chosen], len(nodes)))
        if dimension < 3:
            fault = f"the net runs on in {dimension} dimensions, below 3"
            continue
        rmsd = judge(chosen)
        if rmsd.max() > TURNED_MAX:
            worst = int(nodes[rmsd.argmax()])
            fault = (
                f"the edges at node bead {worst} do not suit its block {beads.blocks[worst]}: "
                f"directions are {rmsd.max():.2f} off, above {TURNED_MAX}"
            )
            continue
        found.append((misfit + float(((rmsd / TURN) ** 2).sum()), rank, chosen))
        found.sort(key=lambda option: option[:2])
    kept = [chosen for _, _, chosen in found[:limit]]
    return [Links(pairs.edge[chosen], pairs.nodes[chosen], pairs.images[chosen]) for chosen in kept], fault


class _Directions:
    """How badly chosen edges suit the blocks at their ends; each set of edges at a node is looked at once."""

    def __init__(self, blocks: list[Body], ends: np.ndarray, outward: np.ndarray) -> None:
        self.blocks = blocks
        self.ends = ends  # [P, 2]
        self.outward = outward  # [P, 2, 3] Å
        self.known: dict[tuple[int, ...], float] = {}

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        """[n] RMSD of unit directions at each node."""
        rmsd = np.zeros(len(self.blocks))
        for node, body in enumerate(self.blocks):
            which, end = np.nonzero(self.ends[chosen] == node)
            slots = (node, *(2 * chosen[which] + end).tolist())
            if slots not in self.known:
                self.known[slots] = orientations(body, self.outward[chosen[which], end], limit=1)[0].rmsd
            rmsd[node] = self.known[slots]
        return rmsd


def _twins(ends: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """[P] numbers that are the same for pairs of the same two node images, whichever edge they are of."""
    swapped = ends[:, ::-1]
    keys = np.stack([np.column_stack([ends, shifts]), np.column_stack([swapped, -shifts])])
    smaller = np.array([min(a, b) for a, b in zip(keys[0].tolist(), keys[1].tolist(), strict=True)])
    return np.asarray(np.unique(smaller, axis=0, return_inverse=True)[1]).ravel()
