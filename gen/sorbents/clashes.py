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
ANGLE = 1.45  # times the sum of covalent radii, for atoms two bonds apart across a joint: 1.6 to 1.7 of it at 120°
IMAGES = 50  # cells within which an image is told from others
MARGIN = 0.7  # Å by which pairs may come nearer before the list of pairs has to be made anew


class Clashes:
    """Pairs of atoms of different bodies within reach, those that a joint bonds left out.

    Atoms that a joint puts two bonds apart may come nearer than others, but no nearer than in a bent angle
    (`ANGLE`): a joint that folds up would look like a second bond.
    """

    def __init__(self, bodies: Sequence[Body], joints: Sequence[Joint]) -> None:
        self.owner = np.concatenate([np.full(len(body.numbers), k) for k, body in enumerate(bodies)])
        self.radii = covalent_radii[np.concatenate([body.numbers for body in bodies])]
        self.bonded, self.angled = _bonded(bodies, joints)
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
        bonded, angled = (np.isin(codes, _codes(*listed, len(self.owner))) for listed in (self.bonded, self.angled))
        total = self.radii[i] + self.radii[j]
        wanted = total + CONTACT
        wanted[angled] = np.minimum(wanted, ANGLE * total)[angled]
        self.pairs, self.images = np.stack([i, j], axis=1)[~bonded], images[~bonded].astype(float)
        self.wanted = wanted[~bonded]
        self.weight = np.where(angled, ANGLE_PUSH, PUSH)[~bonded]

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


_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # atoms i [p], atoms j [p], images [p, 3] of j


def _bonded(bodies: Sequence[Body], joints: Sequence[Joint]) -> tuple[_Pairs, _Pairs]:
    """Atoms that a joint bonds, and those that it puts two bonds apart, both ways round."""
    first = np.concatenate([[0], np.cumsum([len(body.numbers) for body in bodies])]).tolist()
    around: list[dict[int, list[int]]] = []
    for body in bodies:
        partners: dict[int, list[int]] = {}
        for a, b in body.bonds.tolist():
            partners.setdefault(a, []).append(b)
            partners.setdefault(b, []).append(a)
        around.append(partners)
    bonded, angled = [], []
    for joint in joints:
        (p, q), image = joint.bodies, joint.image.astype(int).tolist()
        a, b = (int(bodies[k].anchors[point]) for k, point in zip(joint.bodies, joint.points, strict=True))
        bonded.append((first[p] + a, first[q] + b, *image))
        angled += [(first[p] + x, first[q] + b, *image) for x in around[p].get(a, [])]
        angled += [(first[p] + a, first[q] + y, *image) for y in around[q].get(b, [])]
    return _both_ways(bonded), _both_ways(angled)


def _both_ways(pairs: list[tuple[int, ...]]) -> _Pairs:
    table = np.array(pairs, int).reshape(-1, 5)
    i, j, image = table[:, 0], table[:, 1], table[:, 2:]
    return np.concatenate([i, j]), np.concatenate([j, i]), np.concatenate([image, -image])


def _codes(i: np.ndarray, j: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """One integer [p] for each pair of `count` atoms and image (of at most `IMAGES` cells either way)."""
    width = 2 * IMAGES + 1
    cell = np.clip(images, -IMAGES, IMAGES) + IMAGES
    return np.asarray((i * count + j) * width**3 + (cell[:, 0] * width + cell[:, 1]) * width + cell[:, 2])
