"""Blocks that touch where no joint is, and joints too long for a bond."""

import dataclasses

import numpy as np
import pytest
from ase.data import covalent_radii
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from structures.bead_samples import cubic_net

from gen.sorbents.bead_assembly import assemble_beads
from gen.sorbents.bodies import library_body, transformed
from gen.sorbents.clashes import ANGLE, ANGLE_PUSH, STRAIGHT_PUSH, Clashes
from gen.sorbents.contacts import contact_fault
from gen.sorbents.joints import Joint

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


def test_a_bent_triple_bond_is_found():
    """Ethyne linkers (E44), the first turned by 40° about its middle: its joints hold, but are no longer straight."""
    radius = float(library_body("N16").radii.mean() + library_body("E44").radii.mean())
    built = assemble_beads(cubic_net("N16", "E44", 2 * radius))
    assert contact_fault(built.structure, built.beads) is None
    structure = built.structure.copy()
    pair = [len(structure) - 6, len(structure) - 5]  # carbons of the first of three linkers
    step = structure.frac_coords[pair[1]] - structure.frac_coords[pair[0]]
    bond = (step - np.round(step)) @ structure.lattice.matrix
    middle = structure.cart_coords[pair[0]] + 0.5 * bond
    aside = np.cross(bond, [0.3, 1.0, 0.2])
    turned = Rotation.from_rotvec(np.radians(40) * aside / np.linalg.norm(aside)).apply(0.5 * bond)
    for index, place in zip(pair, (middle - turned, middle + turned), strict=True):
        structure.replace(index, structure[index].specie, place, coords_are_cartesian=True)
    assert contact_fault(structure, built.beads).startswith("joint: the bonds of a carbon with two neighbours are ")


@pytest.mark.parametrize(("linker", "weight"), [("E14", ANGLE_PUSH), ("E44", STRAIGHT_PUSH)])
def test_joints_are_pushed_open(linker, weight):
    """What a joint bonds is left alone; what it puts two bonds apart is pushed, but not as far as other atoms."""
    node, edge = library_body("N16"), library_body(linker)
    arm = node.points[0] / np.linalg.norm(node.points[0])
    own = edge.points[0] / np.linalg.norm(edge.points[0])
    turn = Rotation.align_vectors([-arm], [own])[0].as_matrix()
    edge = transformed(edge, turn, node.points[0] + arm * np.linalg.norm(edge.points[0]))
    bodies = [node, edge]
    clashes = Clashes(bodies, [Joint((0, 1), (0, 0), np.zeros(3, int))])
    clashes.find(np.concatenate([body.atoms for body in bodies]), np.eye(3) * 60)
    a, b = int(node.anchors[0]), int(edge.anchors[0])
    listed = {(min(pair), max(pair)): k for k, pair in enumerate(clashes.pairs.tolist())}
    first = len(node.numbers)
    assert (a, first + b) not in listed
    partner = int(edge.bonds[(edge.bonds == b).any(axis=1)][0].sum() - b)
    k = listed[a, first + partner]
    radii = covalent_radii[node.numbers[a]] + covalent_radii[edge.numbers[partner]]
    assert clashes.weight[k] == weight
    assert clashes.wanted[k] >= ANGLE * radii - 1e-9
    assert (clashes.wanted[k] > ANGLE * radii + 0.1) == (linker == "E44")  # 160° against 100°
