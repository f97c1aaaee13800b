"""Atoms of different blocks that come too close, and the equations that push them apart."""

from collections.abc import Sequence

import numpy as np
import vesin
from ase.data import covalent_radii

from gen.sorbents.bodies import Body
from gen.sorbents.joints import Joint, cross_matrices

CONTACT = 0.9  # Å beyond the sum of covalent radii: C...C 2.42, C...H 1.97, H...H 1.52
PUSH = 0.5  # weight of an Å of overlap, against 1 for an Å of open joint
ANGLE_PUSH = 1.0  # the same of atoms two bonds apart
STRAIGHT_PUSH = 2.0  # and where the end atom has one other bond, as a triple bond's
ANGLE = 1.45  # times the sum of covalent radii, for atoms two bonds apart across a joint: 1.6 to 1.7 of it at 120°
BEND = np.radians(20)  # by which the angle at an end atom with one other bond may be below the library's
FARTHEST = 1.2  # Å beyond the sum of covalent radii, that atoms two bonds apart are pushed to at most
IMAGES = 50  # cells within which an image is told from others
MARGIN = 0.7  # Å by which pairs may come nearer before the list of pairs has to be made anew


class Clashes:
    """Pairs of atoms of different bodies within reach, those that a joint bonds left out.

    Atoms that a joint puts two bonds apart may come nearer than others, but no nearer than in a bent angle
    (`ANGLE`): a joint that folds up would look like a second bond. Where the end atom of a block has one other bond
    the angle is the library's, less `BEND`: a triple bond ends in a straight line.
    """

    def __init__(self, bodies: Sequence[Body], joints: Sequence[Joint]) -> None:
        self.owner = np.concatenate([np.full(len(body.numbers), k) for k, body in enumerate(bodies)])
        self.radii = covalent_radii[np.concatenate([body.numbers for body in bodies])]
        count = len(self.owner)
        bonded, angled, distances, pushes = _bonded(bodies, joints)
        self.bonded = _codes(*_both_ways(bonded), count)
        codes = _codes(*_both_ways(angled), count)
        order = np.argsort(codes, kind="stable")
        self.angled, self.angle_distances = codes[order], np.tile(distances, 2)[order]  # Å
        self.angle_pushes = np.tile(pushes, 2)[order]
        self.pairs = np.zeros((0, 2), int)
        self.images = np.zeros((0, 3))
        self.wanted = np.zeros(0)  # Å, of each pair
        self.weight = np.zeros(0)  # of each pair

    def find(self, atoms: np.ndarray, cell: np.ndarray) -> None:
        """List the pairs that are or may come into contact.

        Args:
            atoms: [n, 3] Å, those of all bodies in turn.
            cell: [3, 3] Å.
        """
        cutoff = 2 * self.radii.max() + CONTACT + MARGIN
        finder = vesin.NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
        i, j, images, distances = finder.compute(points=atoms, box=cell, periodic=True, quantities="ijSd")
        i, j, images = i.astype(int), j.astype(int), images.astype(int)
        near = distances < self.radii[i] + self.radii[j] + CONTACT + MARGIN
        near &= (self.owner[i] != self.owner[j]) | (images != 0).any(axis=1)
        i, j, images = i[near], j[near], images[near]
        codes = _codes(i, j, images, len(self.owner))
        total = self.radii[i] + self.radii[j]
        wanted, weight = total + CONTACT, np.full(len(i), PUSH)
        if len(self.angled):
            place = np.minimum(np.searchsorted(self.angled, codes), len(self.angled) - 1)
            angled = self.angled[place] == codes
            wanted[angled] = np.minimum(self.angle_distances[place], total + FARTHEST)[angled]
            weight[angled] = self.angle_pushes[place[angled]]
        keep = ~np.isin(codes, self.bonded)
        self.pairs, self.images = np.stack([i, j], axis=1)[keep], images[keep].astype(float)
        self.wanted, self.weight = wanted[keep], weight[keep]

    def shortfalls(self, atoms: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """[pairs] Å by which each pair of the list is closer than in contact; 0 beyond."""
        i, j = self.pairs.T
        distances = np.linalg.norm(atoms[j] - atoms[i] + self.images @ cell, axis=1)
        return np.asarray(np.maximum(self.wanted - distances, 0.0))

    def linearised(self, atoms: np.ndarray, centres: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weighted shortfall [c] of every pair that is too close, and derivatives [c, 6 bodies + 9]."""
        short = self.shortfalls(atoms, cell)
        close = np.flatnonzero(short > 0)
        i, j = self.pairs[close].T
        vectors = atoms[j] - atoms[i] + self.images[close] @ cell
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        rows = np.arange(len(close))
        weight = self.weight[close]
        jacobian = np.zeros((len(close), 6 * len(centres) + 9))
        for atom, sign in ((j, -weight), (i, weight)):  # further apart, smaller shortfall
            body = self.owner[atom]
            turning = np.einsum("na,nab->nb", units, cross_matrices(centres[body] - atoms[atom]))
            for axis in range(3):
                jacobian[rows, 6 * body + axis] += sign * units[:, axis]
                jacobian[rows, 6 * body + 3 + axis] += sign * turning[:, axis]
        for vector in range(3):
            columns = slice(jacobian.shape[1] - 9 + 3 * vector, jacobian.shape[1] - 6 + 3 * vector)
            jacobian[:, columns] = -(weight * self.images[close, vector])[:, None] * units
        return weight * short[close], jacobian


def largest_overlap(bodies: Sequence[Body], cell: np.ndarray, joints: Sequence[Joint]) -> float:
    """Å by which the two atoms of different bodies that clash worst are closer than in contact; 0 without a clash."""
    clashes = Clashes(bodies, joints)
    atoms = np.concatenate([body.atoms for body in bodies])
    clashes.find(atoms, cell)
    return float(clashes.shortfalls(atoms, cell).max(initial=0.0))


def _bonded(
    bodies: Sequence[Body], joints: Sequence[Joint]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], list[float], list[float]]:
    """Atoms (i, j, image of j) that a joint bonds, those that it puts two bonds apart, and of the latter the least
    distance (Å) and the weight of an Å less.
    """
    first = np.concatenate([[0], np.cumsum([len(body.numbers) for body in bodies])]).tolist()
    bonded, angled, distances, pushes = [], [], [], []
    for joint in joints:
        image = joint.image.astype(int).tolist()
        ends = list(zip(joint.bodies, joint.points, strict=True))
        anchors = [int(bodies[k].anchors[point]) for k, point in ends]
        arms = [bodies[k].points[point] - bodies[k].atoms[a] for (k, point), a in zip(ends, anchors, strict=True)]
        length = float(sum(np.linalg.norm(arm) for arm in arms))
        (p, q), (a, b) = joint.bodies, anchors
        bonded.append((first[p] + a, first[q] + b, *image))
        for side in (0, 1):
            body, anchor = bodies[joint.bodies[side]], anchors[side]
            around = body.bonds[(body.bonds == anchor).any(axis=1)].sum(axis=1) - anchor
            other = bodies[joint.bodies[1 - side]].numbers[anchors[1 - side]]
            for x in around:
                pair = (first[p] + int(x), first[q] + b) if side == 0 else (first[p] + a, first[q] + int(x))
                angled.append((*pair, *image))
                least = ANGLE * float(covalent_radii[body.numbers[x]] + covalent_radii[other])
                if len(around) == 1:
                    least = max(least, _least_distance(body.atoms[x] - body.atoms[anchor], arms[side], length))
                distances.append(least)
                pushes.append(STRAIGHT_PUSH if len(around) == 1 else ANGLE_PUSH)
    return bonded, angled, distances, pushes


def _least_distance(bond: np.ndarray, arm: np.ndarray, length: float) -> float:
    """Å between the ends of a bond [3] and of one of `length` along an arm [3], bent towards each other by `BEND`."""
    size = float(np.linalg.norm(bond))
    cosine = float(bond @ arm) / max(size * float(np.linalg.norm(arm)), 1e-9)
    angle = max(float(np.arccos(np.clip(cosine, -1, 1))) - BEND, 0.0)
    return float(np.sqrt(max(size**2 + length**2 - 2 * size * length * np.cos(angle), 0.0)))


_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # atoms i [p], atoms j [p], images [p, 3] of j


def _both_ways(pairs: list[tuple[int, ...]]) -> _Pairs:
    table = np.array(pairs, int).reshape(-1, 5)
    i, j, image = table[:, 0], table[:, 1], table[:, 2:]
    return np.concatenate([i, j]), np.concatenate([j, i]), np.concatenate([image, -image])


def _codes(i: np.ndarray, j: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """One integer [p] for each pair of `count` atoms and image (of at most `IMAGES` cells either way)."""
    width = 2 * IMAGES + 1
    cell = np.clip(images, -IMAGES, IMAGES) + IMAGES
    return np.asarray((i * count + j) * width**3 + (cell[:, 0] * width + cell[:, 1]) * width + cell[:, 2])
