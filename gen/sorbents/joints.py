"""Close the joints between placed blocks: move rigid blocks and the cell until connection points meet.

PORMAKE orients each block by directions and scales the net by edge lengths and angles, one after the other;
where blocks do not have exactly the angles of the net, joints stay open or are pushed together by up to an
ångström. Here all blocks (as rigid bodies) and the cell move at once to the least-squares optimum.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from gen.sorbents.library import anchor_atoms

STRAIGHTNESS = 0.3  # weight of bonds pointing at each other, against 1 for connection points that coincide
RESTRAINT = 0.1  # weight of staying where PORMAKE put things: keeps flexible nets from folding up
ITERATIONS = 40
CONVERGED = 1e-3  # Å or rad, largest movement in an iteration


@dataclass(frozen=True)
class Joint:
    """A bond between two placed blocks. `point` and `anchor` are atom indices within the block."""

    blocks: tuple[int, int]  # slots of the net
    points: tuple[int, int]
    anchors: tuple[int, int]
    image: np.ndarray  # [3] whole cells to add to the second block


def find_joints(built: Any, placed: list[Any], cell: np.ndarray) -> list[Joint]:
    """The joints of a PORMAKE framework, each with its connection points and periodic image.

    PORMAKE lists bonds between anchors last, one for every pair of fused connection points; which points those
    were, and across which cell boundary, follows from where they lie.
    """
    place, ends = [], defaultdict(list)
    for slot, block in enumerate(placed):
        if block is None:
            continue
        place += [(slot, int(atom)) for atom in np.flatnonzero(block.atoms.numbers > 0)]
        for point, anchors in zip(block.connection_point_indices, anchor_atoms(block), strict=True):
            ends[slot, anchors[0]].append(int(point))
    n_joints = sum(map(len, ends.values())) // 2
    inverse = np.linalg.inv(cell)
    joints = []
    for first, second in np.asarray(built.bonds)[-n_joints:].tolist():
        (slot_a, anchor_a), (slot_b, anchor_b) = place[first], place[second]
        options = []
        for point_a in ends[slot_a, anchor_a]:
            for point_b in ends[slot_b, anchor_b]:
                if (slot_a, point_a) != (slot_b, point_b):
                    gap = placed[slot_a].atoms.positions[point_a] - placed[slot_b].atoms.positions[point_b]
                    image = np.round(gap @ inverse)
                    options.append((float(np.linalg.norm(gap - image @ cell)), point_a, point_b, image))
        _, point_a, point_b, image = min(options, key=lambda option: option[:3])
        ends[slot_a, anchor_a].remove(point_a)
        ends[slot_b, anchor_b].remove(point_b)
        joints.append(Joint((slot_a, slot_b), (point_a, point_b), (anchor_a, anchor_b), image))
    return joints


def close_joints(placed: list[Any], cell: np.ndarray, joints: list[Joint]) -> tuple[np.ndarray, float]:
    """Move blocks (in place) and cell so that connection points coincide and bonds point at each other.

    Damped Gauss-Newton (Levenberg 1944; Marquardt 1963) over three translations and three rotations a block
    and nine numbers of the cell, restrained to the geometry it starts from.

    Returns:
        the new cell [3, 3] and the largest distance (Å) left between two points that should coincide.
    """
    slots = [slot for slot, block in enumerate(placed) if block is not None]
    column = {slot: 6 * k for k, slot in enumerate(slots)}
    moved = np.zeros(6 * len(slots) + 9)  # sum of all steps: Å and rad of each block, Å of the cell
    damping = 1e-2
    residuals, jacobian = _linearise(placed, cell, joints, column)
    cost = residuals @ residuals
    for _ in range(ITERATIONS):
        normal = jacobian.T @ jacobian
        normal[np.diag_indices_from(normal)] += RESTRAINT**2 + damping
        step = np.linalg.solve(normal, -jacobian.T @ residuals - RESTRAINT**2 * moved)
        before = [placed[slot].atoms.positions.copy() for slot in slots]  # ASE assigns in place
        for slot in slots:
            _move(placed[slot], step[column[slot] : column[slot] + 6])
        trial_cell = cell + step[-9:].reshape(3, 3)
        trial, trial_jacobian = _linearise(placed, trial_cell, joints, column)
        trial_cost = trial @ trial + RESTRAINT**2 * ((moved + step) @ (moved + step))
        if trial_cost < cost:
            cell, moved, residuals, jacobian, cost = trial_cell, moved + step, trial, trial_jacobian, trial_cost
            damping /= 5
            if np.abs(step).max() < CONVERGED:
                break
        else:
            for slot, positions in zip(slots, before, strict=True):
                placed[slot].atoms.positions = positions
            damping *= 10
            if damping > 1e6:
                break
    return cell, float(np.linalg.norm(residuals.reshape(-1, 2, 3)[:, 0], axis=1).max())


def _linearise(
    placed: list[Any], cell: np.ndarray, joints: list[Joint], column: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals [6 J] and their derivatives [6 J, 6 blocks + 9].

    For each joint: X_a - X_b, and the anchor of a against where the anchor of b, prolonged through X_b, wants it.
    """
    residuals = np.zeros((len(joints), 2, 3))
    jacobian = np.zeros((len(joints), 2, 3, 6 * len(column) + 9))
    for k, joint in enumerate(joints):
        a, b = (placed[slot].atoms.positions for slot in joint.blocks)
        (point_a, point_b), (anchor_a, anchor_b) = joint.points, joint.anchors
        shift = joint.image @ cell
        ratio = np.linalg.norm(a[anchor_a] - a[point_a]) / np.linalg.norm(b[anchor_b] - b[point_b])
        prolonged = b[point_b] + ratio * (b[point_b] - b[anchor_b])
        pairs = ((a[point_a], b[point_b], 1.0), (a[anchor_a], prolonged, STRAIGHTNESS))
        for row, (mine, theirs, weight) in enumerate(pairs):
            residuals[k, row] = weight * (mine - theirs - shift)
            for slot, point, sign in ((joint.blocks[0], mine, weight), (joint.blocks[1], theirs, -weight)):
                start = column[slot]
                jacobian[k, row, :, start : start + 3] += sign * np.eye(3)
                jacobian[k, row, :, start + 3 : start + 6] += sign * _cross(placed[slot].centroid - point)
            for axis in range(3):
                cells = slice(jacobian.shape[-1] - 9 + 3 * axis, jacobian.shape[-1] - 6 + 3 * axis)
                jacobian[k, row, :, cells] -= weight * joint.image[axis] * np.eye(3)
    return residuals.ravel(), jacobian.reshape(residuals.size, -1)


def _cross(v: np.ndarray) -> np.ndarray:
    """Matrix M with M @ w = v x w; a point at arm r moves by w x r = (-r) x w under a small rotation w."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def _move(block: Any, step: np.ndarray) -> None:
    """Translate a block by step[:3] Å and turn it by the rotation vector step[3:] about its centre."""
    centre = block.centroid
    rotation = Rotation.from_rotvec(step[3:]).as_matrix()
    block.atoms.positions = (block.atoms.positions - centre) @ rotation.T + centre + step[:3]
