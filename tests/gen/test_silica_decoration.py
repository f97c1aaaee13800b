"""Aluminium and cations in silica frameworks."""

import numpy as np
import pytest
from pymatgen.core import Structure

from gen.zeolites.decoration import CATIONS, choose_aluminium, decorate, loewenstein_fault, neutrality_fault
from gen.zeolites.electrostatics import COULOMB, potential_at
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
    # just beside a cation, whose own 1/r is taken off again
    (near,) = potential_at(np.array([[1e-4, 0, 0]]), sites, charges, 5.64 * np.eye(3))
    assert (near - COULOMB / 5.64e-4) * 2.82 / COULOMB == pytest.approx(-1.747565, abs=1e-3)


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
