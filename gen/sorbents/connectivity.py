"""Which nodes does every edge bead join? An assignment with exact degrees, of least misfit.

Each edge bead may lie between any two node images whose distance suits the blocks (arm + linker + arm) with the
bead where the linker would then be. Of all choices of one pair for each edge that give every node as many edges as its
block has connection points, the one of least total squared misfit is an integer programme (HiGHS, Huangfu and Hall,
Math. Prog. Comp. 2018, 10, 119). Choices whose edges leave a node in directions its block cannot take, or that
do not run on in three dimensions, are forbidden and the programme is solved again.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from gen.sorbents.beads import DIRECT, Beads, Links
from gen.sorbents.bodies import AssemblyError, Body, library_body
from gen.sorbents.orientation import orientations

POSITION = 0.4  # Å, misfit of an edge bead from its place between two nodes that counts 1
LENGTH = 0.5  # Å, misfit of the distance between two nodes that counts 1
RELATIVE = 0.05  # added to both, times the length of the edge: a generated cell may be some per cent off
# How far an end may be from its edge bead (times arm + half a linker, and Å added), and pairs kept for each edge: wider
# when the narrower have no solution.
SEARCHES = ((1.5, 2.0, 12), (1.5, 2.0, 60), (1.5, 2.0, 200), (2.5, 5.0, 400))
CELLS = 3  # whole cells searched in each direction at most
TURNED = 0.4  # RMSD of unit directions above which a choice whose edges suit a node's block better is looked for
TURNED_MAX = 0.75  # and above which they do not suit it at all
RETRIES = 12
BRANCHES = 20  # nodes of one programme's search tree; the best choice found by then is taken (a limit of time would
# make the answer depend on the machine)


@dataclass(frozen=True)
class _Pairs:
    """Candidates: an edge bead and two node images it may join."""

    edge: np.ndarray  # [P] bead
    nodes: np.ndarray  # [P, 2] beads
    images: np.ndarray  # [P, 2, 3]
    misfit: np.ndarray  # [P] squared, in units of the tolerances


def connect(beads: Beads) -> Links:
    """The links of least misfit.

    Raises:
        AssemblyError: ends and connection points do not add up, no choice satisfies every degree, or every
            choice leaves a node whose block does not fit or a net that is not three-periodic.
    """
    bodies = [None if name == DIRECT else library_body(name) for name in beads.blocks]
    edges, nodes = np.flatnonzero(beads.is_edge), np.flatnonzero(~beads.is_edge)
    ends = sum(beads.connections[node] for node in nodes)
    if ends != 2 * len(edges) or not len(edges):
        raise AssemblyError(f"{len(nodes)} nodes with {ends} connection points cannot share {len(edges)} edges")
    reason = "no choice of ends gives every node as many edges as its block has connection points"
    found: dict[tuple[float, float], _Pairs | str] = {}
    tried = 0
    for stretch, spare, limit in SEARCHES:
        if (stretch, spare) not in found:
            found[stretch, spare] = _candidates(beads, bodies, stretch, spare)
        everything = found[stretch, spare]
        if isinstance(everything, str):
            reason = everything
            continue
        pairs = _best(everything, limit)
        if len(pairs.edge) == tried:
            continue  # nothing new
        tried = len(pairs.edge)
        cuts: list[np.ndarray] = []
        usable: list[tuple[float, Links]] = []  # by how badly they suit the blocks
        for _ in range(RETRIES):
            chosen = _solve(pairs, beads, cuts)
            if chosen is None:
                break
            links = Links(pairs.edge[chosen], pairs.nodes[chosen], pairs.images[chosen])
            worst, fault, wrong = _judged(beads, bodies, links)
            if fault is None and worst <= TURNED:
                return links
            if fault is None:
                usable.append((worst, links))
            else:
                reason = fault
            cuts += [np.unique(chosen[edges]) for edges in wrong]
        if usable:
            return min(usable, key=lambda option: option[0])[1]
    raise AssemblyError(reason)


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


def _candidates(beads: Beads, bodies: list[Body | None], stretch: float, spare: float) -> _Pairs | str:
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


def _solve(pairs: _Pairs, beads: Beads, cuts: list[np.ndarray]) -> np.ndarray | None:
    """Indices [E] of the chosen pairs, in the order of their edges; None when the programme has no solution."""
    count = len(pairs.edge)
    number = {int(bead): row for row, bead in enumerate(np.flatnonzero(beads.is_edge))}
    number |= {int(bead): len(number) + row for row, bead in enumerate(np.flatnonzero(~beads.is_edge))}
    wanted = np.zeros(len(number))
    for bead, row in number.items():
        wanted[row] = 1 if beads.is_edge[bead] else beads.connections[bead]
    rows = np.array([number[int(bead)] for bead in np.concatenate([pairs.edge, pairs.nodes.ravel()])])
    columns = np.concatenate([np.arange(count), np.repeat(np.arange(count), 2)])
    degrees = coo_array((np.ones(3 * count), (rows, columns)), shape=(len(number), count)).tocsr()
    constraints = [LinearConstraint(degrees, wanted, wanted)]
    twins: dict[tuple[int, ...], list[int]] = defaultdict(list)  # two edges between the same two node images
    for index in range(count):
        (a, b), (image_a, image_b) = pairs.nodes[index].tolist(), pairs.images[index]
        shift = (image_b - image_a).tolist()
        twins[min((a, b, *shift), (b, a, *(-n for n in shift)))].append(index)
    limits: list[tuple[np.ndarray, int]] = [
        (np.array(same), 1) for same in twins.values() if len(set(pairs.edge[same].tolist())) > 1
    ]
    limits += [(cut, len(cut) - 1) for cut in cuts]
    if limits:
        which = np.concatenate([np.full(len(members), k) for k, (members, _) in enumerate(limits)])
        column = np.concatenate([members for members, _ in limits])
        matrix = coo_array((np.ones(len(which)), (which, column)), shape=(len(limits), count)).tocsr()
        constraints.append(LinearConstraint(matrix, -np.inf, np.array([most for _, most in limits], float)))
    result = milp(
        pairs.misfit,
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"node_limit": BRANCHES, "mip_rel_gap": 1e-4},
    )
    return None if result.x is None else np.flatnonzero(result.x > 0.5)


def _judged(beads: Beads, bodies: list[Body | None], links: Links) -> tuple[float, str | None, list[np.ndarray]]:
    """How well a choice suits the blocks.

    Returns:
        the largest RMSD of a node's edges against its block; why the choice cannot be taken, or None; and the sets of
        links to be avoided together, for a better one.
    """
    worst, fault = 0.0, None
    wrong: list[np.ndarray] = []
    for node, (slots, vectors) in neighbour_vectors(beads, links).items():
        body = bodies[node]
        assert body is not None
        rmsd = orientations(body, vectors, limit=1)[0].rmsd
        worst = max(worst, rmsd)
        if rmsd > TURNED:
            wrong.append(slots[:, 0])
        if rmsd > TURNED_MAX:
            fault = (
                f"the edges at node bead {node} do not suit its block {beads.blocks[node]}: "
                f"directions are {rmsd:.2f} off, above {TURNED_MAX}"
            )
    nodes = np.flatnonzero(~beads.is_edge)
    row = np.full(len(beads.blocks), -1)
    row[nodes] = np.arange(len(nodes))
    ends = row[links.nodes]
    parts = periodicity(ends, links.images[:, 1] - links.images[:, 0], len(nodes))
    for rank, members in parts:
        if rank < 3:
            fault = fault or f"the net runs on in {rank} dimensions, below 3"
            wrong.append(np.flatnonzero(np.isin(ends[:, 0], members)))
    return worst, fault, wrong
