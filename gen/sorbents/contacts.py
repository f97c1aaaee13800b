"""Whether the blocks of an assembled framework touch anywhere but at their joints, and whether the joints are bonds.

Two atoms closer than `BOND_FACTOR` times the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832)
look bonded to every program that reads the structure. Between blocks there must be one such pair for each joint, and
no other. A bond is not shorter than `OVERLAP` of that sum, and a carbon with two neighbours is straight.
"""

import numpy as np
import vesin
from ase.data import covalent_radii
from pymatgen.core import Structure

from gen.sorbents.beads import DIRECT, EDGE, Beads
from gen.sorbents.bodies import library_body

BOND_FACTOR = 1.25
OVERLAP = 0.75
STRAIGHT = 140.0  # degrees, least at a carbon with two neighbours: it has a triple bond
SAME = 0.05  # Å, by which a distance within a rigid block may differ from the library's


def contact_fault(structure: Structure, beads: Beads) -> str | None:
    """Why a framework is not what its blocks and joints say, its first word naming the kind, or None.

    Args:
        structure: as `assemble_beads` gives it: the atoms of each block in turn, in the order of `beads`. It has passed
            the geometry gate.
        beads: its blocks.
    """
    bodies = [library_body(name) for name in beads.blocks if name != DIRECT]
    counts = [len(body.numbers) for body in bodies]
    owner = np.repeat(np.arange(len(bodies)), counts)
    first = np.concatenate([[0], np.cumsum(counts)])
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    finder = vesin.NeighborList(cutoff=2 * BOND_FACTOR * float(radii.max()), full_list=False, n_threads=1)
    i, j, distances, vectors = finder.compute(structure.cart_coords, structure.lattice.matrix, True, "ijdD")
    i, j = i.astype(int), j.astype(int)
    ratios = distances / (radii[i] + radii[j])
    near = np.flatnonzero(ratios < BOND_FACTOR)
    i, j, distances, vectors, ratios = i[near], j[near], distances[near], vectors[near], ratios[near]
    between = []
    for row, (a, b, distance) in enumerate(zip(i.tolist(), j.tolist(), distances.tolist(), strict=True)):
        if owner[a] == owner[b]:
            atoms, start = bodies[owner[a]].atoms, first[owner[a]]
            if abs(float(np.linalg.norm(atoms[a - start] - atoms[b - start])) - distance) < SAME:
                continue
        between.append(row)
    joints = sum(count for count in beads.connections if count > EDGE) - beads.blocks.count(DIRECT)
    if len(between) > joints:
        return f"contact: blocks touch in {len(between)} places but have {joints} joints"
    if len(between) < joints:
        return f"joint: {joints - len(between)} of {joints} joints are too long for a bond"
    least = float(ratios[between].min(initial=1.0))
    if least < OVERLAP:
        return f"joint: a bond between blocks is {least:.2f} of the covalent radii long, below {OVERLAP}"
    bent = _least_angle(np.array(structure.atomic_numbers), i, j, vectors, np.array(between, int))
    if bent < STRAIGHT:
        return f"joint: the bonds of a carbon with two neighbours are {bent:.0f}° apart, below {STRAIGHT:g}°"
    return None


def _least_angle(numbers: np.ndarray, i: np.ndarray, j: np.ndarray, vectors: np.ndarray, joints: np.ndarray) -> float:
    """Degrees, the smallest angle at a carbon with two neighbours, one of them at least across a joint; else 180.

    Args:
        numbers: [n] atomic numbers.
        i: [b] first atoms of all bonds.
        j: [b] second atoms.
        vectors: [b, 3] Å from the first to the second.
        joints: indices of the bonds that are joints.
    """
    count = np.bincount(np.concatenate([i, j]), minlength=len(numbers))
    ends = np.unique(np.concatenate([i[joints], j[joints]]))
    smallest = 180.0
    for atom in ends[(numbers[ends] == 6) & (count[ends] == 2)].tolist():
        first, second = np.concatenate([vectors[i == atom], -vectors[j == atom]])
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        smallest = min(smallest, float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))))
    return smallest
