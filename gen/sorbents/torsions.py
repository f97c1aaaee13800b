"""Turn linkers about their axes to the torsion with the least overlap.

Nothing but contacts fixes how far a straight linker is turned about the line through its two joints.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase.data import covalent_radii

from gen.sorbents.bodies import Body

TORSIONS = np.radians(np.arange(0, 180, 15))  # most linkers look the same after half a turn; the rest get 12 tries
STRAIGHT = 0.2  # Å; a linker whose end atoms lie off its axis by more cannot turn without breaking its bonds
CLEARANCE = 1.1  # Å beyond the sum of covalent radii: C...C 2.6, C...H 2.2, H...H 1.7
SWEEPS = 2  # over all linkers, since each sees where the others have turned to
SHIFTS = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])  # [27, 3]


def turn_linkers(bodies: Sequence[Body], linkers: Sequence[int], cell: np.ndarray) -> list[Body]:
    """Bodies with each of `linkers` turned to the torsion with the least overlap.

    Torsions are tried from the most to the least coplanar with the nodes' ends (a benzoate is flat), and the
    first without a clash is kept, or the one with the smallest.

    Args:
        bodies: all blocks of a cell.
        linkers: which of them turn, in this order.
        cell: [3, 3] Å.
    """
    turned = list(bodies)
    for sweep in range(SWEEPS):
        clashes = 0.0
        for e in linkers:
            others = [body for k, body in enumerate(turned) if k != e]
            turned[e], penalty = _best_torsion(turned[e], others, cell, first=sweep == 0)
            clashes += penalty
        if clashes == 0.0:
            break
    return turned


def is_straight(linker: Body) -> bool:
    """Whether a linker's end atoms lie on the axis through its connection points."""
    start, axis = _axis(linker)
    arms = linker.atoms[linker.anchors] - start
    return bool(np.linalg.norm(arms - (arms @ axis)[:, None] * axis, axis=1).max() < STRAIGHT)


def _axis(linker: Body) -> tuple[np.ndarray, np.ndarray]:
    """A point [3] Å on the line through a linker's connection points, and its unit direction [3]."""
    axis = linker.points[1] - linker.points[0]
    return linker.points[0], axis / np.linalg.norm(axis)


def _best_torsion(linker: Body, others: list[Body], cell: np.ndarray, first: bool) -> tuple[Body, float]:
    """The linker after its best turn, and the overlap (Å^2) that is left."""
    start, numbers = linker.atoms, linker.numbers
    movable = ~np.isin(np.arange(len(numbers)), linker.anchors)
    if not movable.any():
        return linker, 0.0
    anchors = start[linker.anchors]
    positions = np.concatenate([body.atoms for body in others])
    elements = np.concatenate([body.numbers for body in others])
    middle, (_, axis) = linker.centre, _axis(linker)
    # The nearest image of each atom first, then those around it: cells may be anywhere in space.
    positions = positions - np.round((positions - middle) @ np.linalg.inv(cell)) @ cell
    images = (positions[None] + (SHIFTS @ cell)[:, None]).reshape(-1, 3)
    elements = np.tile(elements, len(SHIFTS))
    reach = np.linalg.norm(start - middle, axis=1).max() + 5.0
    near = np.linalg.norm(images - middle, axis=1) < reach
    # The atom each end is bonded to lies one bond away at any torsion; it is no clash.
    bonded = np.linalg.norm(images[:, None] - anchors[None], axis=2).min(axis=1) < 1.75
    normals = _end_normals(images[near], elements[near], anchors)
    images, elements = images[near & ~bonded], elements[near & ~bonded]
    own_images = (SHIFTS[np.any(SHIFTS != 0, axis=1)] @ cell)[:, None]
    turns = []
    for order, angle in enumerate(TORSIONS):
        moved = _rotate(start, middle, axis, angle)
        turns.append((_twist(moved, linker, normals), order, moved))
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
    return replace(linker, atoms=best), float(least)


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


def _twist(moved: np.ndarray, linker: Body, normals: list[np.ndarray | None]) -> float:
    """Mean sin^2 of the dihedral between a linker's ends and the groups they are bonded to; 0 is coplanar."""
    total, terms = 0.0, 0
    for anchor, normal in zip(linker.anchors.tolist(), normals, strict=True):
        partners = [int(j if i == anchor else i) for i, j in linker.bonds.tolist() if anchor in (i, j)]
        own = _normal(moved[partners] - moved[anchor])
        if own is not None and normal is not None:
            total += 1.0 - float(own @ normal) ** 2
            terms += 1
    return round(total / terms, 6) if terms else 0.0
