"""What counts as a broken framework, on silica moved in known ways."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta

from potentials.errors import InputError
from screening.framework import framework_change


def shaken(structure, amplitude, seed=0):
    positions = structure.cart_coords + np.random.default_rng(seed).normal(0, amplitude, (len(structure), 3))
    return Structure(structure.lattice, structure.species, positions, coords_are_cartesian=True)


def test_nothing_moved():
    change = framework_change(cha(), cha())
    assert change.intact
    assert change.reason is None
    assert (change.broken, change.formed) == ((), ())
    assert change.volume_change_percent == pytest.approx(0)
    assert change.max_displacement == pytest.approx(0, abs=1e-9)
    assert change.dimension == 3


def test_small_moves_and_strain_keep_it_intact():
    after = shaken(cha(), 0.05)
    after.apply_strain([0.03, -0.02, 0.04])
    change = framework_change(cha(), after)
    assert change.intact
    assert change.volume_change_percent == pytest.approx(100 * (1.03 * 0.98 * 1.04 - 1), abs=0.01)
    assert 0.05 < change.max_displacement < 0.4  # strain does not count as displacement


def test_wrapping_and_a_common_shift_are_no_change():
    before = lta()
    after = Structure(before.lattice, before.species, (before.frac_coords + np.array([0.35, 0.6, 0.0])) % 1.0)
    change = framework_change(before, after)
    assert change.intact
    assert change.max_displacement == pytest.approx(0, abs=1e-6)


def test_an_atom_pulled_away_breaks_its_bonds_and_is_named():
    before = cha()
    oxygen = next(k for k, site in enumerate(before) if site.specie.symbol == "O")
    neighbours = before.get_neighbors(before[oxygen], 1.8)
    away = before[oxygen].coords - np.mean([site.coords for site in neighbours], axis=0)
    after = before.copy()
    after.translate_sites([oxygen], 1.6 * away / np.linalg.norm(away), frac_coords=False)
    change = framework_change(before, after)
    assert not change.intact
    assert len(change.broken) == 2
    for bond in change.broken:
        assert oxygen in bond.atoms
        assert set(bond.symbols) == {"Si", "O"}
        assert bond.before < 1.7 < 2.4 < bond.after
    assert "2 bonds broke" in change.reason
    assert f"O{oxygen}" in change.reason


def test_bonds_that_form_are_seen():
    before = Structure(Lattice.cubic(12.0), ["C", "C"], [(0.0, 0.0, 0.0), (0.25, 0.0, 0.0)])
    after = Structure(Lattice.cubic(12.0), ["C", "C"], [(0.0, 0.0, 0.0), (0.125, 0.0, 0.0)])
    change = framework_change(before, after, min_dimension=0)
    assert len(change.formed) == 1
    assert change.formed[0].before == pytest.approx(3.0)
    assert change.formed[0].after == pytest.approx(1.5)
    assert "1 bonds formed" in change.reason


def test_a_bond_across_the_boundary_is_followed():
    before = Structure(Lattice.cubic(8.0), ["C", "C"], [(0.02, 0.5, 0.5), (0.83, 0.5, 0.5)])  # 1.52 Å through the face
    inside = Structure(Lattice.cubic(8.0), ["C", "C"], [(0.98, 0.5, 0.5), (0.79, 0.5, 0.5)])  # both moved left, 1.52 Å
    assert framework_change(before, inside, min_dimension=0).intact
    apart = Structure(Lattice.cubic(8.0), ["C", "C"], [(0.12, 0.5, 0.5), (0.73, 0.5, 0.5)])
    assert len(framework_change(before, apart, min_dimension=0).broken) == 1


def test_volume_and_dimension_limits():
    after = cha()
    after.scale_lattice(after.volume * 1.2)
    assert framework_change(cha(), after).intact
    assert "volume changed by +20 %" in framework_change(cha(), after, max_volume_change_percent=15).reason
    layer = Structure(Lattice.hexagonal(2.46, 10), ["C", "C"], [(1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)])
    assert "2 dimensions, below 3" in framework_change(layer, layer).reason
    assert framework_change(layer, layer, min_dimension=2).intact


def test_a_metal_that_drifts_from_a_carboxylate_carbon_loses_no_bond():
    """Cd-C 2.6 Å of a carboxylate is within bonding distance and yet no bond."""
    symbols = ["Cd", "O", "O", "C", "C"]
    points = np.array([(0, 0, 0), (1.9, 1.1, 0), (1.9, -1.1, 0), (2.5, 0, 0), (4.0, 0, 0)])

    def build(shift):
        positions = points + 8.0
        positions[0, 0] -= shift
        return Structure(Lattice.cubic(16), symbols, positions, coords_are_cartesian=True)

    change = framework_change(build(0.0), build(0.7), min_dimension=0)  # Cd-O 2.20 -> 2.82, Cd-C 2.5 -> 3.2 Å
    assert change.broken == ()


def test_collapse_is_a_reason_not_a_crash():
    after = Structure(Lattice.orthorhombic(13, 13, 0.01), cha().species, cha().frac_coords)
    change = framework_change(cha(), after)
    assert not change.intact
    assert "ran into each other" in change.reason


def test_other_atoms_are_refused():
    with pytest.raises(InputError, match="different atoms"):
        framework_change(cha(), lta())
