"""Whether the blocks of an assembled framework touch anywhere but at their joints.

Two atoms closer than `BOND_FACTOR` times the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832)
look bonded to every program that reads the structure. Between blocks there must be one such pair for each joint, and
no other.
"""

import numpy as np
import vesin
from ase.data import covalent_radii
from pymatgen.core import Structure

from gen.sorbents.beads import DIRECT, EDGE, Beads
from gen.sorbents.bodies import library_body

BOND_FACTOR = 1.25
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
    i, j, distances = finder.compute(structure.cart_coords, structure.lattice.matrix, True, "ijd")
    i, j = i.astype(int), j.astype(int)
    near = distances < BOND_FACTOR * (radii[i] + radii[j])
    between = 0
    for a, b, distance in zip(i[near].tolist(), j[near].tolist(), distances[near].tolist(), strict=True):
        if owner[a] == owner[b]:
            atoms, start = bodies[owner[a]].atoms, first[owner[a]]
            if abs(float(np.linalg.norm(atoms[a - start] - atoms[b - start])) - distance) < SAME:
                continue
        between += 1
    joints = sum(count for count in beads.connections if count > EDGE) - beads.blocks.count(DIRECT)
    if between > joints:
        return f"contact: blocks touch in {between} places but have {joints} joints"
    if between < joints:
        return f"joint: {joints - between} of {joints} joints are too long for a bond"
    return None
