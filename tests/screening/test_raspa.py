"""Molecules as they are handed to RASPA3: non-linear ones, and those whose charge would mislead their growth."""

import math

import pytest
from pymatgen.core import Lattice, Structure

from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.gases import TRAPPE, builtin_gas
from screening.adsorption.henry import HenrySettings, henry_coefficient
from screening.adsorption.raspa import growing_order

MODEL = HostGuestModel(cutoff=10.0)


def charged_lattice() -> Structure:
    """A made-up salt with room in it."""
    charges = {"charge": [0.15, -0.15]}
    return Structure(Lattice.cubic(9.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties=charges)


@pytest.mark.parametrize("gas", ["H2", "H2O", "h2o-spce"])
def test_both_engines_agree_on_polar_and_non_linear_molecules(gas):
    results = [
        henry_coefficient(
            charged_lattice(),
            gas,
            settings=HenrySettings(model=MODEL, engine=engine, insertions=4000, heat_moves=200, error=0.02),
            seed=1,
        )
        for engine in ("raspa", "batched")
    ]
    raspa, batched = results
    error = math.hypot(raspa.widom_std, batched.widom_std)
    assert error < 0.05 * batched.widom_factor
    assert raspa.widom_factor == pytest.approx(batched.widom_factor, abs=4 * error)


def test_a_molecule_is_grown_from_a_site_that_repels_and_carries_little_charge():
    for stem in ("h2-darkrim-levesque", "h2o-spce", "h2o-tip4p2005", "n2-trappe", "co2-trappe"):
        gas = builtin_gas(stem)
        sites = growing_order(gas)
        assert sites[0].epsilon > 0.0
        assert abs(sites[0].charge) <= 0.5
        assert sum(site.charge for site in sites) == pytest.approx(0.0, abs=1e-9)
        assert sum(site.mass for site in sites) == pytest.approx(gas.molar_mass)
        assert sum(site.epsilon for site in sites) == pytest.approx(sum(site.epsilon for site in gas.sites))
    assert growing_order(TRAPPE["CO2"]) == list(TRAPPE["CO2"].sites)
