"""The joints between blocks: where they are, and the equations that hold them shut."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gen.sorbents.bodies import Body
from gen.sorbents.library import anchor_atoms

STRAIGHTNESS = 0.3  # weight of bonds pointing at each other, against 1 for connection points that coincide
STIFFNESS = 0.7  # weight of the length of the new bond: where it cannot be straight it may bend, not shrink


@dataclass(frozen=True)
class Joint:
    """A bond between two bodies: X_first = X_second + image."""

    bodies: tuple[int, int]
    points: tuple[int, int]  # connection point of each
    image: np.ndarray  # [3] whole cells to add to the second body


def find_joints(built: Any, placed: list[Any], cell: np.ndarray) -> list[Joint]:
    """The joints of a PORMAKE framework; bodies are counted over the slots that hold a block.

    PORMAKE lists bonds between anchors last, one for every pair of fused connection points; which points those
    were, and across which cell boundary, follows from where they lie.
    """
    blocks = [block for block in placed if block is not None]
    place, ends = [], defaultdict(list)
    for body, block in enumerate(blocks):
        place += [(body, int(atom)) for atom in np.flatnonzero(block.atoms.numbers > 0)]
        for point, anchors in enumerate(anchor_atoms(block)):
            ends[body, anchors[0]].append(point)
    points = [block.connection_points for block in blocks]
    n_joints = sum(map(len, ends.values())) // 2
    inverse = np.linalg.inv(cell)
    joints = []
    for first, second in np.asarray(built.bonds)[-n_joints:].tolist():
        (body_a, anchor_a), (body_b, anchor_b) = place[first], place[second]
        options = []
        for point_a in ends[body_a, anchor_a]:
            for point_b in ends[body_b, anchor_b]:
                if (body_a, point_a) != (body_b, point_b):
                    gap = points[body_a][point_a] - points[body_b][point_b]
                    image = np.round(gap @ inverse).astype(int)
                    options.append((float(np.linalg.norm(gap - image @ cell)), point_a, point_b, image))
        _, point_a, point_b, image = min(options, key=lambda option: option[:3])
        ends[body_a, anchor_a].remove(point_a)
        ends[body_b, anchor_b].remove(point_b)
        joints.append(Joint((body_a, body_b), (point_a, point_b), image))
    return joints


def joint_gaps(bodies: Sequence[Body], cell: np.ndarray, joints: Sequence[Joint]) -> np.ndarray:
    """[J] Å, distances between the two connection points of each joint; 0 when it is shut."""
    a = np.array([bodies[joint.bodies[0]].points[joint.points[0]] for joint in joints])
    b = np.array([bodies[joint.bodies[1]].points[joint.points[1]] for joint in joints])
    return np.asarray(np.linalg.norm(a - b - np.array([joint.image for joint in joints]) @ cell, axis=1))


class JointEquations:
    """What closed joints ask of bodies and cell, as residuals and their derivatives.

    For each joint: X_a - X_b - image; `STRAIGHTNESS` times the anchor of a against where the anchor of b, prolonged
    through X_b, wants it; and `STIFFNESS` times what the new bond is too long.
    """

    def __init__(self, bodies: Sequence[Body], joints: Sequence[Joint]) -> None:
        first = np.concatenate([[0], np.cumsum([len(body.points) for body in bodies])])
        self.body = np.array([joint.bodies for joint in joints])  # [J, 2]
        self.point = first[self.body] + np.array([joint.points for joint in joints])  # [J, 2] of all points
        self.image = np.array([joint.image for joint in joints], float)  # [J, 3]
        arms = np.concatenate([np.linalg.norm(body.points - body.atoms[body.anchors], axis=1) for body in bodies])
        self.bond = arms[self.point].sum(axis=1)  # [J] Å
        self.ratio = (arms[self.point[:, 0]] / arms[self.point[:, 1]])[:, None]

    def linearised(
        self, points: np.ndarray, anchors: np.ndarray, centres: np.ndarray, cell: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Residuals [7 J] and derivatives [7 J, 6 bodies + 9] by shifts (Å), turns (rad) and the cell's vectors.

        Args:
            points: [P, 3] Å, connection points of all bodies in turn.
            anchors: [P, 3] Å, the atom of each.
            centres: [bodies, 3] Å, about which bodies turn.
            cell: [3, 3] Å.
        """
        a, b = self.point.T
        shift = self.image @ cell
        prolonged = points[b] + self.ratio * (points[b] - anchors[b])
        pairs = ((points[a], points[b], 1.0), (anchors[a], prolonged, STRAIGHTNESS), (anchors[a], anchors[b], 1.0))
        count = len(a)
        rows = np.arange(count)
        residuals = np.zeros((count, 3, 3))
        jacobian = np.zeros((count, 3, 3, 6 * len(centres) + 9))
        for kind, (mine, theirs, weight) in enumerate(pairs):
            residuals[:, kind] = weight * (mine - theirs - shift)
            for side, place, sign in ((0, mine, weight), (1, theirs, -weight)):
                body = self.body[:, side]
                turning = sign * cross_matrices(centres[body] - place)
                for axis in range(3):
                    jacobian[rows, kind, axis, 6 * body + axis] += sign
                    for turn in range(3):
                        jacobian[rows, kind, axis, 6 * body + 3 + turn] += turning[:, axis, turn]
            for vector in range(3):
                for axis in range(3):
                    jacobian[:, kind, axis, -9 + 3 * vector + axis] = -weight * self.image[:, vector]
        length = np.linalg.norm(residuals[:, 2], axis=1)
        units = residuals[:, 2] / np.maximum(length, 1e-6)[:, None]
        stretch = np.einsum("ja,jac->jc", units, jacobian[:, 2])
        return (
            np.concatenate([residuals[:, :2].ravel(), STIFFNESS * (length - self.bond)]),
            np.concatenate([jacobian[:, :2].reshape(6 * count, -1), STIFFNESS * stretch]),
        )


def cross_matrices(v: np.ndarray) -> np.ndarray:
    """[n, 3, 3] matrices M with M @ w = v x w; a point at arm r moves by w x r = (-r) x w under a small turn w."""
    matrices = np.zeros((len(v), 3, 3))
    matrices[:, 0, 1], matrices[:, 0, 2] = -v[:, 2], v[:, 1]
    matrices[:, 1, 0], matrices[:, 1, 2] = v[:, 2], -v[:, 0]
    matrices[:, 2, 0], matrices[:, 2, 1] = -v[:, 1], v[:, 0]
    return matrices
