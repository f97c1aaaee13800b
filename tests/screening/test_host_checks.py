"""Warnings on frameworks: each named with its remedy on a structure that has the fault, none on sound ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.adsorption.host_checks import framework_warnings

sys.path.insert(0, str(Path(__file__).parents[1]))
from structures.published import cha, lta


@pytest.mark.parametrize("structure", [cha(), lta()], ids=["CHA", "LTA"])
def test_sound_zeolites_pass(structure):
    assert framework_warnings(structure, 12.0) == []


def graphite_like(hydrogen: bool) -> Structure:
    """A benzene ring in a box, with or without its hydrogens."""
    angles = np.radians(np.arange(6) * 60.0)
    ring = np.stack([1.39 * np.cos(angles), 1.39 * np.sin(angles), 0 * angles], axis=1) + 5.0
    outer = np.stack([2.48 * np.cos(angles), 2.48 * np.sin(angles), 0 * angles], axis=1) + 5.0
    species = ["C"] * 6 + ["H"] * 6 * hydrogen
    positions = np.vstack([ring, outer]) if hydrogen else ring
    return Structure(Lattice.cubic(10.0), species, positions, coords_are_cartesian=True)


def test_missing_hydrogen_is_seen_at_ring_carbons():
    assert any("no hydrogen in the file though 6 carbon" in w for w in framework_warnings(graphite_like(False), 12.0))
    assert not any("hydrogen" in w for w in framework_warnings(graphite_like(True), 12.0))


def test_one_missing_hydrogen_is_counted():
    structure = graphite_like(True)
    structure.remove_sites([11])
    assert any("1 carbon atoms lack a hydrogen" in w for w in framework_warnings(structure, 12.0))


@pytest.mark.parametrize(("distance", "warned"), [(2.05, True), (1.6, False)])
def test_terminal_oxygen_is_water_when_far_and_oxide_when_near(distance, warned):
    structure = Structure(Lattice.cubic(12.0), ["V", "O"], [[0, 0, 0], [0, 0, distance / 12.0]])
    found = framework_warnings(structure, 12.0)
    assert any("bound to one metal and nothing else" in w for w in found) == warned


def test_solvent_is_named_and_counted():
    structure = lta()
    center = np.array([0.5, 0.5, 0.5])
    for element, shift in (("O", 0.0), ("H", 0.08), ("H", -0.08)):
        structure.append(element, [*(center + np.array([shift, 0, 0]))])
    found = framework_warnings(structure, 12.0)
    assert len(found) == 1
    assert "1 H2O1 in the pores" in found[0]
    assert "remove the solvent" in found[0]


def test_layers_are_named():
    layers = Structure(Lattice.hexagonal(2.46, 12.0), ["C", "C"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    assert any("2 dimensions (layers)" in w for w in framework_warnings(layers, 12.0))


def test_a_huge_box_is_named():
    big = cha()
    big.make_supercell([4, 4, 4])
    assert any("atoms, so every point takes minutes" in w for w in framework_warnings(big, 12.0))
