"""From a recipe to atoms: PORMAKE places the blocks, joints are closed, linkers turned to avoid clashes.

Placement follows Lee et al., ACS Appl. Mater. Interfaces 2021, 13, 23647: nodes are oriented by their connection
points, the net is scaled to the size of the blocks, linkers lie along the scaled edges. That leaves joints
a little open (see `joints.py`) and the torsion of a straight linker about its own axis arbitrary.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Lattice, Structure

from gen.sorbents.beads import DIRECT, EDGE, Beads, Links
from gen.sorbents.catalog import Catalog
from gen.sorbents.joints import Joint, close_joints, find_joints
from gen.sorbents.library import anchor_atoms, load_block, load_net, pormake
from gen.sorbents.recipe import Recipe
from gen.sorbents.scaling import NetScaler
from potentials.errors import SorbusError

TORSIONS = np.radians(np.arange(0, 180, 15))  # most linkers look the same after half a turn; the rest get 12 tries
STRAIGHT = 0.2  # Å; a linker whose end atoms lie off its axis by more cannot turn without breaking its bonds
CLEARANCE = 1.1  # Å beyond the sum of covalent radii: C...C 2.6, C...H 2.2, H...H 1.7
SWEEPS = 2  # over all linkers, since each sees where the others have turned to
SHIFTS = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])  # [27, 3]


class AssemblyError(SorbusError):
    """A recipe that gives no framework; the reason in one sentence."""


@dataclass(frozen=True)
class Framework:
    """An assembled framework."""

    structure: Structure  # primitive cell of the net
    beads: Beads  # where its blocks are
    links: Links
    bonds: np.ndarray  # [n_bonds, 2] atom indices, as the blocks and their joints define them
    rmsd: float  # largest, of unit directions, after the net was scaled
    strain: float  # what is left of the scaling objective; 0 when every edge length and angle fits
    gap: float  # Å, largest distance left between two connection points that should coincide


def assemble(recipe: Recipe, catalog: Catalog) -> Framework:
    """Atoms of a recipe, linkers turned to the torsion with the least overlap.

    Deterministic: no random number is drawn.

    Raises:
        AssemblyError: PORMAKE cannot place a block.
    """
    net = load_net(recipe.net)
    slots = catalog.nets[recipe.net]
    nodes = {slot.tag: load_block(name) for slot, name in zip(slots.nodes, recipe.nodes, strict=True)}
    edges = {
        edge.ends: load_block(name) if name else None for edge, name in zip(slots.edges, recipe.edges, strict=True)
    }
    try:
        with warnings.catch_warnings():
            # Two directions leave one rotation free; PORMAKE's fit warns about it for every linker.
            warnings.filterwarnings("ignore", message="Optimal rotation is not uniquely")
            built = pormake().Builder(scaler=NetScaler()).build_by_type(net, nodes, edges)
    except Exception as error:  # PORMAKE raises bare Exception, and whatever numpy and scipy raise
        raise AssemblyError(f"PORMAKE cannot assemble {recipe.key}: {' '.join(str(error).split())}") from error
    placed = built.info["located_bbs"]
    cell = np.array(built.info["topology"].atoms.cell[:])
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1.0:
        raise AssemblyError(f"PORMAKE scaled the net of {recipe.key} to a flat cell")
    linkers = [int(e) for e in built.info["topology"].edge_indices if placed[e] is not None]
    _turn_linkers(linkers, placed, cell)
    joints = find_joints(built, placed, cell)
    cell, gap = close_joints(placed, cell, joints)
    # Closing the joints bends the bonds at a linker's ends off its axis, unless its end atoms lie on the axis.
    _turn_linkers([e for e in linkers if _is_straight(placed[e])], placed, cell)
    symbols: list[str] = []
    positions: list[np.ndarray] = []
    for block in placed:
        if block is not None:
            keep = block.atoms.numbers > 0  # connection points are "X", number 0
            symbols += np.array(block.atoms.get_chemical_symbols())[keep].tolist()
            positions.append(block.atoms.positions[keep])
    fractional = np.concatenate(positions) @ np.linalg.inv(cell)
    # The standard orientation of the cell is right-handed; a left-handed one gives the mirror image, as good.
    parameters = Lattice(cell).parameters
    structure = Structure(Lattice.from_parameters(*parameters), symbols, fractional % 1.0)
    names = _slot_names(recipe, catalog, built.info["topology"])
    beads, links = _beads(placed, names, cell, joints, structure.lattice.matrix)
    strain = float(built.info["relax_obj"])
    return Framework(structure, beads, links, built.bonds, float(built.info["max_rmsd"]), strain, gap)


def _slot_names(recipe: Recipe, catalog: Catalog, net: Any) -> dict[int, str]:
    """Name of the block in each filled slot of a net."""
    slots = catalog.nets[recipe.net]
    nodes = {slot.tag: name for slot, name in zip(slots.nodes, recipe.nodes, strict=True)}
    edges = {frozenset(edge.ends): name for edge, name in zip(slots.edges, recipe.edges, strict=True)}
    tags = net.atoms.get_tags()
    names = {int(slot): nodes[int(tags[slot])] for slot in net.node_indices}
    for slot in net.edge_indices:
        ends = frozenset(int(tags[neighbour.index]) for neighbour in net.neighbor_list[slot])
        if (name := edges[ends]) is not None:
            names[int(slot)] = name
    return names


def _beads(
    placed: list[Any], names: dict[int, str], cell: np.ndarray, joints: list[Joint], lattice: np.ndarray
) -> tuple[Beads, Links]:
    """Beads of placed blocks whose joints are closed; `lattice` is `cell` in the orientation to be reported."""
    inverse = np.linalg.inv(cell)
    slots = [slot for slot, block in enumerate(placed) if block is not None]
    place = {slot: row for row, slot in enumerate(slots)}
    frac = [placed[slot].connection_points.mean(axis=0) @ inverse for slot in slots]
    blocks = [names[slot] for slot in slots]
    connections = [len(placed[slot].connection_point_indices) for slot in slots]
    ends: dict[int, list[tuple[int, np.ndarray]]] = {}  # edge bead -> its nodes and their cells, before wrapping
    for joint in joints:
        first, second = (place[slot] for slot in joint.blocks)
        if connections[first] == EDGE:  # X_first = X_second + image
            ends.setdefault(first, []).append((second, joint.image))
        elif connections[second] == EDGE:
            ends.setdefault(second, []).append((first, -joint.image))
        else:
            points = [
                placed[slot].atoms.positions[point] for slot, point in zip(joint.blocks, joint.points, strict=True)
            ]
            ends[len(frac)] = [(first, np.zeros(3)), (second, joint.image)]
            frac.append(0.5 * (points[0] + points[1] + joint.image @ cell) @ inverse)
            blocks.append(DIRECT)
            connections.append(EDGE)
    unwrapped = np.array(frac)
    cells = np.floor(unwrapped)
    order = sorted(ends)
    images = [[image + cells[node] - cells[edge] for node, image in ends[edge]] for edge in order]
    links = Links(
        np.array(order, int),
        np.array([[node for node, _ in ends[edge]] for edge in order], int),
        np.array(images).round().astype(int),
    )
    return Beads(lattice, (unwrapped - cells) % 1.0, tuple(blocks), tuple(connections)), links


def _turn_linkers(linkers: list[int], placed: list[Any], cell: np.ndarray) -> None:
    """Turn linkers (slots in `placed`) about their axes, in place, each to the torsion with the least overlap.

    Torsions are tried from the most to the least coplanar with the nodes' ends (a benzoate is flat), and the
    first without a clash is kept, or the one with the smallest.
    """
    for sweep in range(SWEEPS):
        clashes = 0.0
        for e in linkers:
            others = [block for k, block in enumerate(placed) if block is not None and k != e]
            best, penalty = _best_torsion(placed[e], others, cell, first=sweep == 0)
            placed[e].atoms.positions = best
            clashes += penalty
        if clashes == 0.0:
            break


def _is_straight(linker: Any) -> bool:
    """Whether a linker's end atoms lie on the axis through its connection points."""
    ends = linker.connection_points
    axis = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    arms = linker.atoms.positions[[atoms[0] for atoms in anchor_atoms(linker)]] - ends[0]
    return bool(np.linalg.norm(arms - (arms @ axis)[:, None] * axis, axis=1).max() < STRAIGHT)


def _best_torsion(linker: Any, others: list[Any], cell: np.ndarray, first: bool) -> tuple[np.ndarray, float]:
    """Positions [n, 3] of the linker after its best turn, and the overlap (Å^2) that is left."""
    start = linker.atoms.positions
    ends = start[linker.connection_point_indices]
    anchors = [atoms[0] for atoms in anchor_atoms(linker)]
    numbers = linker.atoms.numbers
    movable = (numbers > 0) & ~np.isin(np.arange(len(numbers)), anchors)
    if not movable.any():
        return start, 0.0
    positions = np.concatenate([block.atoms.positions[block.atoms.numbers > 0] for block in others])
    elements = np.concatenate([block.atoms.numbers[block.atoms.numbers > 0] for block in others])
    images = (positions[None] + (SHIFTS @ cell)[:, None]).reshape(-1, 3)
    elements = np.tile(elements, len(SHIFTS))
    middle, axis = ends.mean(axis=0), (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    reach = np.linalg.norm(start - middle, axis=1).max() + 5.0
    near = np.linalg.norm(images - middle, axis=1) < reach
    # The atom each end is bonded to lies one bond away at any torsion; it is no clash.
    bonded = np.linalg.norm(images[:, None] - start[anchors][None], axis=2).min(axis=1) < 1.75
    plane_normals = _end_normals(images[near], elements[near], start[anchors])
    images, elements = images[near & ~bonded], elements[near & ~bonded]
    own_images = (SHIFTS[np.any(SHIFTS != 0, axis=1)] @ cell)[:, None]
    turns = []
    for order, angle in enumerate(TORSIONS):
        moved = _rotate(start, middle, axis, angle)
        turns.append((_twist(moved, linker, anchors, plane_normals), order, moved))
    if not first:
        turns[0] = (-1.0, 0, start)  # a second sweep moves a linker only if it clashes where it is
    best, least = start, np.inf
    for _, _, moved in sorted(turns, key=lambda turn: turn[:2]):
        penalty = _overlap(moved[movable], numbers[movable], images, elements)
        repeated = (moved[movable][None] + own_images).reshape(-1, 3)
        penalty += _overlap(moved[movable], numbers[movable], repeated, np.tile(numbers[movable], len(own_images)))
        if penalty < least - 1e-9:
            best, least = moved, penalty
        if penalty == 0.0:
            break
    return best, float(least)


def _rotate(positions: np.ndarray, origin: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """`positions` [n, 3] turned by `angle` (rad) about the line through `origin` along `axis` (Rodrigues)."""
    x = positions - origin
    along = (x @ axis)[:, None] * axis
    return origin + along + (x - along) * np.cos(angle) + np.cross(axis, x) * np.sin(angle)


def _overlap(moved: np.ndarray, numbers: np.ndarray, others: np.ndarray, elements: np.ndarray) -> float:
    """Sum of squared shortfalls (Å^2) of distances below covalent radii + `CLEARANCE`."""
    if len(others) == 0:
        return 0.0
    # |a - b|^2 as a matrix product; the difference tensor would be the slowest part of an assembly
    squared = (moved**2).sum(1)[:, None] + (others**2).sum(1) - 2 * moved @ others.T
    wanted = covalent_radii[numbers][:, None] + covalent_radii[elements] + CLEARANCE
    close = squared < wanted**2
    shortfall = wanted[close] - np.sqrt(np.maximum(squared[close], 0.0))
    return float((shortfall**2).sum())


def _end_normals(images: np.ndarray, elements: np.ndarray, anchors: np.ndarray) -> list[np.ndarray | None]:
    """For each end of a linker, the normal of the flat group it is bonded to (None where that is not flat)."""
    normals: list[np.ndarray | None] = []
    for anchor in anchors:
        distances = np.linalg.norm(images - anchor, axis=1)
        partner = int(distances.argmin())
        around = np.linalg.norm(images - images[partner], axis=1)
        limits = 1.25 * (covalent_radii[elements] + covalent_radii[elements[partner]])
        neighbours = np.flatnonzero((around < limits) & (around > 0.1))
        normals.append(_normal(images[neighbours] - images[partner]) if distances[partner] < 1.75 else None)
    return normals


def _normal(bonds: np.ndarray) -> np.ndarray | None:
    """Unit normal of the plane two bonds span; None unless there are exactly two, and not in line."""
    if len(bonds) != 2:
        return None
    normal = np.cross(bonds[0], bonds[1])
    length = np.linalg.norm(normal)
    return normal / length if length > 0.1 else None


def _twist(moved: np.ndarray, linker: Any, anchors: list[int], normals: list[np.ndarray | None]) -> float:
    """Mean sin^2 of the dihedral between a linker's ends and the groups they are bonded to; 0 is coplanar."""
    total, terms = 0.0, 0
    for anchor, normal in zip(anchors, normals, strict=True):
        partners = [int(j if i == anchor else i) for i, j in linker.bonds if anchor in (i, j)]
        partners = [atom for atom in partners if linker.atoms.numbers[atom] > 0]
        own = _normal(moved[partners] - moved[anchor])
        if own is not None and normal is not None:
            total += 1.0 - float(own @ normal) ** 2
            terms += 1
    return round(total / terms, 6) if terms else 0.0
