"""Warnings on frameworks: each named with its remedy on a structure that has the fault, none on sound ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.cif import format_cif, parse_cif
from potentials.errors import GeometryError
from screening.adsorption.evaluator import HenrySettings, evaluate_henry
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import check_framework
from screening.adsorption.host_checks import force_field_warnings, framework_warnings, with_warnings
from screening.candidate import Candidate, Property, content_id

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
    assert "1 H2O in the pores" in found[0]
    assert "remove the solvent" in found[0]


def test_layers_are_named():
    layers = Structure(Lattice.hexagonal(2.46, 12.0), ["C", "C"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    assert any("2 dimensions (layers)" in w for w in framework_warnings(layers, 12.0))


def test_a_huge_box_is_named():
    big = cha()
    big.make_supercell([4, 4, 4])
    assert any("atoms, so every point takes minutes" in w for w in framework_warnings(big, 12.0))


def test_alternatives_of_a_disordered_part_are_refused_when_they_overlap_and_named_when_nearly_so():
    structure = graphite_like(True)
    structure.append("C", structure.cart_coords[0] + [0.0, 0.0, 0.6], coords_are_cartesian=True)
    with pytest.raises(GeometryError, match=r"1 pairs of atoms overlap, the closest C and C, 0\.60 Å apart: the file"):
        check_framework(structure, HostGuestModel())
    structure = graphite_like(True)
    check_framework(structure, HostGuestModel())
    structure.append("C", structure.cart_coords[0] + [0.0, 0.0, 0.95], coords_are_cartesian=True)
    check_framework(structure, HostGuestModel())
    found = framework_warnings(structure, 12.0)
    assert any("1 pairs of atoms are closer than bonds can be (the closest C and C, 0.95 Å)" in w for w in found)


def test_short_bonds_of_metals_and_triple_bonds_are_no_disorder():
    structure = Structure(Lattice.cubic(12.0), ["N", "N", "Mo", "Mo"], [[0, 0, z] for z in (0, 1.10 / 12, 0.5, 0.673)])
    check_framework(structure, HostGuestModel())
    assert not any("closer than bonds" in w for w in framework_warnings(structure, 12.0))


def test_a_hydrogen_off_its_atom_is_not_called_solvent():
    structure = lta()
    oxygen = next(site for site in structure if site.specie.symbol == "O")
    lattice, others = structure.lattice, structure.frac_coords
    places = oxygen.coords + 1.3 * np.vstack([np.eye(3), -np.eye(3)])
    apart = lattice.get_all_distances(lattice.get_fractional_coords(places), others).min(axis=1)
    structure.append("H", places[np.argmax(apart)], coords_are_cartesian=True)
    found = framework_warnings(structure, 12.0)
    assert any("1 hydrogen atoms are bound to nothing, the nearest atom 1.30 Å away: misplaced" in w for w in found)
    assert not any("in the pores" in w for w in found)


def test_charges_that_a_file_gives_for_some_atoms_only_are_told():
    text = format_cif(
        Structure(lta().lattice, lta().species, lta().frac_coords, site_properties={"charge": [0.1] * 72})
    )
    ((_, whole),) = parse_cif(text)
    assert "charge" in whole.site_properties
    ((_, part),) = parse_cif(text.replace(" 0.100000\n", " ?\n", 2))
    assert "charge" not in part.site_properties
    assert any("no charge for 2 of 72 atoms" in w for w in framework_warnings(part, 12.0))
    ((_, none),) = parse_cif(text.replace(" 0.100000\n", " ?\n"))
    assert framework_warnings(none, 12.0) == []


def test_zeolites_under_a_generic_force_field_are_warned_of():
    (silica,) = force_field_warnings(cha(), HostGuestModel())
    assert "use model.force_field=trappe-zeo" in silica
    assert force_field_warnings(cha(), HostGuestModel(force_field="trappe-zeo")) == []
    assert force_field_warnings(cha(), HostGuestModel(force_field="zeolite")) == []
    acid = cha()
    acid.replace(next(i for i, site in enumerate(acid) if site.specie.symbol == "Si"), "Al")
    assert "bring one made for them" in force_field_warnings(acid, HostGuestModel())[0]
    assert force_field_warnings(graphite_like(True), HostGuestModel()) == []


def test_a_campaign_says_so_beside_each_figure() -> None:
    zeolite = cha()
    settings = HenrySettings(gases=("N2",), error=0.3)
    found = evaluate_henry(Candidate(id=content_id(zeolite), index=0, structure=zeolite, provenance={}), settings, 0)
    assert found.properties
    assert all("a thousand times too strongly" in one.note for one in found.properties)
    (quiet,) = with_warnings([Property("x", 1.0, "", note="as it was")], zeolite, HostGuestModel(force_field="zeolite"))
    assert quiet.note == "as it was"
