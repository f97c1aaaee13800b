"""Blocks that touch where no joint is, and joints too long for a bond."""

import dataclasses

import numpy as np
from pymatgen.core import Lattice, Structure
from structures.bead_samples import cubic_net

from gen.sorbents.bead_assembly import assemble_beads
from gen.sorbents.contacts import contact_fault

BUILT = assemble_beads(cubic_net("N16", "E14", 13.3))


def scaled(factor: float) -> Structure:
    """The framework, every fractional coordinate kept."""
    structure = BUILT.structure
    return Structure(Lattice(structure.lattice.matrix * factor), structure.species, structure.frac_coords)


def test_a_sound_framework_passes():
    assert contact_fault(BUILT.structure, BUILT.beads) is None


def test_blocks_that_touch_are_found():
    """The framework once more, an Å aside in the same cell: two nets that run into each other."""
    moved = BUILT.structure.cart_coords + np.array([1.0, 0.0, 0.0])
    both = BUILT.structure.copy()
    for site, place in zip(BUILT.structure, moved, strict=True):
        both.append(site.specie, place, coords_are_cartesian=True)
    beads = dataclasses.replace(BUILT.beads, blocks=BUILT.beads.blocks * 2, connections=BUILT.beads.connections * 2)
    fault = contact_fault(both, beads)
    assert fault is not None
    assert fault.startswith("contact: blocks touch in ")
    assert fault.endswith("but have 12 joints")


def test_joints_that_are_not_bonds_are_found():
    """The linkers shifted by 0.5 Å: one end comes close to its node, the other is out of reach."""
    structure = BUILT.structure.copy()
    node = structure.composition.num_atoms - 3 * 10  # atoms of phenylene: C6H4
    structure.translate_sites(range(int(node), len(structure)), [0.5, 0.5, 0.5], frac_coords=False)
    assert contact_fault(structure, BUILT.beads).startswith("joint: 3 of 6 joints are too long")
