"""Grand-canonical uptake: Henry's law, mixtures, fugacities, reproducibility."""

import math

import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.gases import TRAPPE
from screening.adsorption.gcmc import GcmcSettings, gcmc_uptake
from screening.adsorption.henry import HenrySettings, henry_coefficient

MODEL = HostGuestModel(charges="none")


def argon_lattice() -> Structure:
    """A made-up porous host: simple cubic argon, one atom in 8 x 8 x 8 Å."""
    return Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]])


def settings(**changes) -> GcmcSettings:
    return GcmcSettings(**{"model": MODEL, "equilibration_cycles": 200, "production_cycles": 3000} | changes)


def henry(gas: str, temperature: float = 298.0):
    protocol = HenrySettings(model=MODEL, insertions=20_000, heat_moves=10_000)
    return henry_coefficient(argon_lattice(), gas, temperature=temperature, settings=protocol, seed=1)


def test_dilute_uptake_follows_henrys_law_and_its_heat():
    pressure = 2e4
    result = gcmc_uptake(
        argon_lattice(), {"CH4": 1.0}, pressure, 298.0, settings=settings(production_cycles=5000), seed=2
    )
    methane, limit = result["CH4"], henry("CH4")
    expected = limit.henry_coefficient * methane.fugacity
    error = math.hypot(methane.uptake_std, limit.henry_std * pressure)
    assert methane.uptake == pytest.approx(expected, abs=4 * error)
    assert error < 0.1 * expected
    assert methane.heat == pytest.approx(limit.heat, abs=4 * math.hypot(methane.heat_std, limit.heat_std) + 0.3)


def test_components_of_a_dilute_mixture_ignore_each_other():
    # also pins how raspalib wants partial pressures: by component, not by its own equal shares
    result = gcmc_uptake(
        argon_lattice(), {"CO2": 0.15, "N2": 0.85}, 5e4, 298.0, settings=settings(production_cycles=12_000), seed=3
    )
    for gas in ("CO2", "N2"):
        limit, component = henry(gas), result[gas]
        expected = limit.henry_coefficient * component.fugacity
        error = math.hypot(component.uptake_std, limit.henry_std * component.fugacity)
        assert component.uptake == pytest.approx(expected, abs=4 * error + 0.03 * expected)
        assert error < 0.15 * expected


def test_fugacities_are_peng_robinsons_or_ideal():
    few = {"production_cycles": 20, "equilibration_cycles": 0}
    real = gcmc_uptake(argon_lattice(), {"CO2": 0.25, "CH4": 0.75}, 1e6, 300.0, settings=settings(**few))
    phi = peng_robinson([TRAPPE["CO2"], TRAPPE["CH4"]], [0.25, 0.75], temperature=300.0, pressure=1e6)
    assert real["CO2"].fugacity == pytest.approx(0.25e6 * phi.fugacity_coefficients[0])
    assert real["CH4"].fugacity == pytest.approx(0.75e6 * phi.fugacity_coefficients[1])
    assert "Peng-Robinson" in real.method
    ideal = gcmc_uptake(argon_lattice(), {"CO2": 1.0}, 1e6, 300.0, settings=settings(ideal_gas=True, **few))
    assert ideal["co2"].fugacity == 1e6
    assert "ideal gas" in ideal.method


def test_seed_decides_everything_and_nothing_is_left_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    few = settings(production_cycles=200, equilibration_cycles=20)
    first = gcmc_uptake(argon_lattice(), None, settings=few, seed=5)
    assert gcmc_uptake(argon_lattice(), None, settings=few, seed=5) == first
    assert gcmc_uptake(argon_lattice(), None, settings=few, seed=6) != first
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_bad_mixtures_are_refused():
    with pytest.raises(InputError, match="do not sum to 1"):
        gcmc_uptake(argon_lattice(), {"CO2": 0.5, "N2": 0.2}, settings=settings())
    with pytest.raises(InputError, match="of no amount"):
        gcmc_uptake(argon_lattice(), {"CO2": 1.0, "N2": 0.0}, settings=settings())
