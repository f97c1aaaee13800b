"""From generated beads to atoms: which beads are linked, how blocks are turned, where they end up.

The beads give the net: every edge bead joins two nodes (`connectivity.py`). The directions to its edges turn a block
(`orientation.py`), linkers lie along their edges, and all blocks and the cell then move until the joints are shut and
nothing overlaps (`settling.py`). Where that fails, the same net is tried from the places that make its edges equal
(`even.py`), and then the next best ways to link the beads. Deterministic: no random number is drawn.
"""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation

from gen.sorbents.assembly import beads_of
from gen.sorbents.beads import DIRECT, EDGE, Beads, Links
from gen.sorbents.bodies import AssemblyError, Body, library_body, structure_of, transformed
from gen.sorbents.connectivity import connections, neighbour_vectors
from gen.sorbents.contacts import contact_fault
from gen.sorbents.even import even_beads
from gen.sorbents.joints import Joint, joint_gaps
from gen.sorbents.net_identity import identify
from gen.sorbents.orientation import Orientation, orientations
from gen.sorbents.settling import MIN_HEIGHT, cell_height, close_joints, settle
from gen.sorbents.torsions import turn_linkers
from potentials.gate import geometry_fault

__all__ = ["AssemblyError", "BeadFramework", "assemble_beads"]

MAX_GAP = 0.4  # Å between two connection points that should coincide
SHUT = 0.1  # Å; joints closer than this are closed
TRIALS = 3  # orientations of a block that are tried where a joint at it stays open
LINKINGS = 3  # ways to link the beads that are tried
ROUNDS = 8  # of closing joints: a generated cell may be some per cent off
GAIN = 0.97  # of the gap before, above which a further round is not worth it
HOPELESS = 1.5  # Å; joints that stay further open without clashes do not close with them either


@dataclass(frozen=True)
class BeadFramework:
    """An assembled framework."""

    structure: Structure
    beads: Beads  # where its blocks ended up
    links: Links
    net: str  # RCSR symbol, or a hash that names the net
    key: str  # net and blocks, as `Recipe.key` where the net is known
    gap: float  # Å, largest distance left between two connection points that should coincide
    notes: tuple[str, ...]  # what was decided on the way, in words
    fault: str | None  # blocks touch where they have no joint, or a joint is no bond; see `contact_fault`


def assemble_beads(beads: Beads, joined: np.ndarray | None = None) -> BeadFramework:
    """Atoms of generated beads: the first of the ways to build them that has no fault, or else the first built.

    Args:
        beads: as a generator leaves them.
        joined: [n, n] how often two beads are to be linked, where that is known; see `connections`.

    Raises:
        AssemblyError: the cell is not sound, the beads cannot be linked, or the joints do not close; the reason in
            one sentence.
        InputError: a bead names a block the library does not have.
    """
    _check(beads)
    built: list[BeadFramework] = []
    reasons: list[AssemblyError] = []
    for graph in (joined, None) if joined is not None else (None,):
        try:
            starts = _starts(beads, graph)
        except AssemblyError as error:
            reasons.append(error)
            continue
        for placed, links, note in starts:
            if graph is not joined:
                note = note or "linked by position alone: on the net that was drawn, its blocks do not fit"
            try:
                found = _built(placed, links, note)
            except AssemblyError as error:
                reasons.append(error)
                continue
            if found.fault is None:
                return found
            built.append(found)
    if built:
        return built[0]
    raise reasons[0]


def _starts(beads: Beads, joined: np.ndarray | None) -> list[tuple[Beads, Links, str | None]]:
    """Beads, how they are linked and what was changed: those that follow what was generated most closely first."""
    options = connections(beads, LINKINGS, joined)
    starts: list[tuple[Beads, Links, str | None]] = [(beads, options[0], None)]
    even = even_beads(beads, options[0])
    if even is not None:
        starts.append((even, options[0], "placed evenly on its net: as generated, its blocks do not fit"))
    for rank, links in enumerate(options[1:], 2):
        starts.append((beads, links, f"linked in the way ranked {rank}: in those before, its blocks do not fit"))
    return starts


def _built(beads: Beads, links: Links, note: str | None) -> BeadFramework:
    """Atoms of linked beads."""
    turns = {
        node: (slots, orientations(library_body(beads.blocks[node]), vectors, limit=TRIALS))
        for node, (slots, vectors) in sorted(neighbour_vectors(beads, links).items())
    }
    chosen = dict.fromkeys(turns, 0)  # which of its orientations each node has
    best: _Closed | None = None
    for _ in range(TRIALS):
        closed = _closed(beads, links, turns, chosen)
        if best is None or closed.gaps.max() < best.gaps.max():
            best = closed
        if best.gaps.max() <= MAX_GAP or not _turn_worst(closed, turns, chosen):
            break
    assert best is not None
    gap = float(best.gaps.max())
    if gap > MAX_GAP:
        raise AssemblyError(f"the blocks do not close: a joint stays {gap:.2f} Å open, above {MAX_GAP} Å")
    structure = structure_of(best.bodies, best.cell)
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        raise AssemblyError(fault)
    placed, placed_links = beads_of(best.bodies, best.cell, best.joints, structure.lattice.matrix)
    net, key = identify(beads, links)
    mirrored = [
        f"block {beads.blocks[node]} of bead {node} is the mirror image of the library's"
        for node, (_, options) in turns.items()
        if np.linalg.det(options[best.chosen[node]].turn) < 0
    ]
    notes = tuple([note] if note else []) + tuple(mirrored)
    touching = contact_fault(structure, placed)
    return BeadFramework(structure, placed, placed_links, net, key, gap, notes, touching)


@dataclass(frozen=True)
class _Closed:
    """Blocks where closing the joints has left them."""

    bodies: list[Body]
    nodes: list[int]  # beads of the first bodies
    cell: np.ndarray  # [3, 3] Å
    joints: list[Joint]
    gaps: np.ndarray  # [J] Å
    chosen: dict[int, int]


_Turns = dict[int, tuple[np.ndarray, list[Orientation]]]  # node bead -> its (link, end) slots, ways to turn its block


def _closed(beads: Beads, links: Links, turns: _Turns, chosen: dict[int, int]) -> _Closed:
    """Blocks turned as chosen, their joints shut as far as they will."""
    bodies, joints = _placed(beads, links, turns, chosen)
    cell = beads.lattice
    last = np.inf
    for _ in range(ROUNDS):  # each is restrained to where the one before ended
        bodies, cell, gap = close_joints(bodies, cell, joints)
        if gap < SHUT or gap > GAIN * last:
            break
        last = gap
    if gap > HOPELESS:
        return _Closed(bodies, list(turns), cell, joints, joint_gaps(bodies, cell, joints), dict(chosen))
    bodies = turn_linkers(bodies, [k for k, body in enumerate(bodies) if len(body.points) == EDGE], cell)
    bodies, cell, _ = settle(bodies, cell, joints)
    return _Closed(bodies, list(turns), cell, joints, joint_gaps(bodies, cell, joints), dict(chosen))


def _turn_worst(closed: _Closed, turns: _Turns, chosen: dict[int, int]) -> bool:
    """Choose the next orientation of the nodes at the joint that stays widest open; False where there is none."""
    changed = False
    for body in set(closed.joints[int(closed.gaps.argmax())].bodies):
        node = closed.nodes[body] if body < len(closed.nodes) else None
        if node is not None and chosen[node] + 1 < len(turns[node][1]):
            chosen[node] += 1
            changed = True
    return changed


def _check(beads: Beads) -> None:
    """The beads can be worked with at all."""
    if not (np.isfinite(beads.lattice).all() and np.isfinite(beads.frac).all()):
        raise AssemblyError("a bead or the cell is not a finite number")
    height = cell_height(beads.lattice)
    if height < MIN_HEIGHT:
        raise AssemblyError(f"the generated cell is {height:.2f} Å high, below {MIN_HEIGHT} Å")
    for name, asked in zip(beads.blocks, beads.connections, strict=True):
        own = EDGE if name == DIRECT else len(library_body(name).points)
        if own != asked:
            raise AssemblyError(f"block {name} has {own} connection points where {asked} are asked for")


def _placed(beads: Beads, links: Links, turns: _Turns, chosen: dict[int, int]) -> tuple[list[Body], list[Joint]]:
    """Bodies at the places the beads give, nodes first, and the joints between them."""
    bodies: list[Body] = []
    row: dict[int, int] = {}  # bead -> body
    at: dict[tuple[int, int], int] = {}  # link, end -> connection point of the node there
    for node, (slots, options) in turns.items():
        way = options[chosen[node]]
        row[node] = len(bodies)
        bodies.append(transformed(library_body(beads.blocks[node]), way.turn, beads.frac[node] @ beads.lattice))
        at |= {(int(k), int(end)): int(point) for (k, end), point in zip(slots, way.order, strict=True)}
    joints: list[Joint] = []
    for k, (edge, nodes, images) in enumerate(zip(links.bead, links.nodes, links.images, strict=True)):
        first, second = (row[int(node)] for node in nodes)
        points = at[k, 0], at[k, 1]
        if beads.blocks[edge] == DIRECT:
            joints.append(Joint((first, second), points, images[1] - images[0]))
            continue
        ends = [
            bodies[b].points[p] + image @ beads.lattice
            for b, p, image in zip((first, second), points, images, strict=True)
        ]
        linker = len(bodies)
        bodies.append(_laid(library_body(beads.blocks[edge]), ends[0], ends[1]))
        joints += [Joint((linker, b), (end, points[end]), images[end]) for end, b in enumerate((first, second))]
    return bodies, joints


def _laid(linker: Body, start: np.ndarray, end: np.ndarray) -> Body:
    """The linker half way between two points [3] Å, its axis along the line from one to the other."""
    own = linker.points[1] - linker.points[0]
    span = end - start
    if np.linalg.norm(span) < 1e-6:
        span = own
    turn, _ = Rotation.align_vectors([span / np.linalg.norm(span)], [own / np.linalg.norm(own)])
    return transformed(linker, turn.as_matrix(), 0.5 * (start + end))
