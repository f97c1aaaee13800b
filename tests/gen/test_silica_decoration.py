"""Aluminium and cations in silica frameworks."""

import numpy as np
import pytest
from pymatgen.core import Structure

from gen.zeolites.bonding import bonded_framework
from gen.zeolites.cations import (
    APART,
    CATIONS,
    GRID,
    Q_ALUMINIUM,
    Q_BRIDGE,
    Q_OXYGEN,
    Q_SILICON,
    TO_TETRAHEDRON,
    nearest,
    place_cations,
)
from gen.zeolites.decoration import choose_aluminium, decorate, loewenstein_fault, neutrality_fault
from gen.zeolites.electrostatics import COULOMB, grid_points, potential_on_grid
from gen.zeolites.framework import supercell
from gen.zeolites.geometry import relax_geometry
from gen.zeolites.nets import silica_of_net
from potentials.errors import InputError


@pytest.fixture(scope="module")
def sodalite() -> Structure:
    """Primitive cell of SOD, Si6O12."""
    return relax_geometry([silica_of_net("sod")])[0].framework.to_structure()


def test_madelung_constant_of_rock_salt() -> None:
    cations = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([cations, cations + np.array([0.5, 0, 0])])
    charges = np.repeat([1.0, -1.0], 4)
    # a grid point just beside a cation, whose own 1/r is taken off again
    near = potential_on_grid((2, 3, 4), sites - [1e-4, 0, 0], charges, 5.64 * np.eye(3))[0, 0, 0]
    assert (near - COULOMB / 5.64e-4) * 2.82 / COULOMB == pytest.approx(-1.747565, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_loewenstein_and_neutrality_hold(sodalite: Structure, seed: int) -> None:
    made = decorate(sodalite, aluminium=2, cation="Na", seed=seed)
    assert (made.aluminium, made.cations, made.silicon_per_aluminium) == (2, 2, 2.0)
    assert loewenstein_fault(made.structure) is None
    assert neutrality_fault(made.structure) is None
    oxygens = [k for k, site in enumerate(made.structure) if site.specie.symbol == "O"]
    for k in (len(sodalite), len(sodalite) + 1):
        closest = min(made.structure.get_distance(k, oxygen) for oxygen in oxygens)
        assert CATIONS["Na"][1] - 1e-6 <= closest < 3.0


def test_rule_is_exact_and_says_so(sodalite: Structure) -> None:
    with pytest.raises(InputError, match="Loewenstein"):
        decorate(sodalite, silicon_per_aluminium=1)  # six-rings link like parities in the primitive cell
    framework = supercell(silica_of_net("sod"), np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    assert len(choose_aluminium(framework, 6, 0)) == 6  # the cubic cell has room for strict alternation
    with pytest.raises(InputError, match="below 1"):
        decorate(sodalite, silicon_per_aluminium=0.5)


def test_bad_requests(sodalite: Structure) -> None:
    with pytest.raises(InputError, match="no cation"):
        decorate(sodalite, aluminium=1, cation="Xx")
    with pytest.raises(InputError, match="multiple of 2"):
        decorate(sodalite, aluminium=1, cation="Ca")
    with pytest.raises(InputError, match="either"):
        decorate(sodalite)


def test_faults_are_seen(sodalite: Structure) -> None:
    charged = sodalite.copy()
    charged.replace(0, "Al")
    assert "-1 e" in (neutrality_fault(charged) or "")
    bridged = sodalite.copy()
    for site in range(6):
        bridged.replace(site, "Al")
    assert "bridges two Al" in (loewenstein_fault(bridged) or "")


def test_room_is_made_for_aluminium_in_any_order_of_sites(sodalite: Structure) -> None:
    mixed = Structure.from_sites([sodalite[k] for k in np.random.default_rng(0).permutation(len(sodalite))])
    made = decorate(mixed, aluminium=2, cation="Na", seed=3).structure
    numbers = np.array(made.atomic_numbers)
    bonds = {z: np.sort(made.distance_matrix[numbers == z][:, numbers == 8], axis=1)[:, :4] for z in (13, 14)}
    assert bonds[13] == pytest.approx(1.74, abs=0.02)
    assert bonds[14] == pytest.approx(1.61, abs=0.02)
    assert [site.specie.symbol == "O" for site in made[:18]] == [site.specie.symbol == "O" for site in mixed]
    still = decorate(mixed, aluminium=2, cation="Na", seed=3, relax=False).structure
    assert np.allclose(still.frac_coords[:18], mixed.frac_coords)
    assert np.allclose(still.lattice.matrix, mixed.lattice.matrix)


def test_cations_are_where_their_energy_is_lowest(sodalite: Structure) -> None:
    """No single cation can be moved to a better point: checked by sums over all charges, without the table."""
    framework = bonded_framework(sodalite)
    chosen = choose_aluminium(framework, 2, 0)
    first, second = place_cations(framework, chosen, "Na", 2, 0)
    charges = np.full(18, Q_OXYGEN)
    charges[:6] = np.where(np.isin(np.arange(6), chosen), Q_ALUMINIUM, Q_SILICON)
    charges[6:][np.isin(framework.silicon, chosen).any(1)] = Q_BRIDGE
    shape = tuple(int(n) for n in np.ceil(np.array(sodalite.lattice.abc) / GRID))
    sites = np.concatenate([framework.frac, [second]])
    energy = potential_on_grid(shape, sites, np.append(charges, 1.0), framework.lattice).ravel()
    points = grid_points(shape)
    free = nearest(points, framework.frac[6:], framework.lattice) >= CATIONS["Na"][1]
    free &= nearest(points, framework.frac[:6], framework.lattice) >= CATIONS["Na"][1] + TO_TETRAHEDRON
    free &= nearest(points, np.array([second]), framework.lattice) >= APART
    here = energy[np.abs(points - first).sum(1).argmin()]
    assert here == pytest.approx(energy[free].min(), abs=1e-6)


def test_faujasite_takes_fourteen_sodium() -> None:
    framework = relax_geometry([silica_of_net("fau")])[0].framework.to_structure()
    made = decorate(framework, silicon_per_aluminium=2.4, cation="Na", seed=1)
    assert made.aluminium == made.cations == 14
    assert loewenstein_fault(made.structure) is None
    assert neutrality_fault(made.structure) is None
