"""A recipe on a model framework: what is measured, how figures follow from it, and what is said when it cannot be."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.config import parse_config
from potentials.errors import InputError
from screening.adsorption.cycles import find_recipe
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.henry import HenryResult
from screening.adsorption.isotherms import Langmuir
from screening.adsorption.recipe_figures import parse_point, point_property, recipe_properties, require_objectives
from screening.adsorption.recipe_run import (
    IsothermPoint,
    RecipeSettings,
    fit_points,
    isotherm_pressures,
    run_recipe,
)

MODEL = HostGuestModel(charges="none", pockets="open")
QUICK = {
    "model": MODEL,
    "insertions": 2000,
    "heat_moves": 1000,
    "isotherm_points": 4,
    "gcmc_engine": "raspa",
    "equilibration_cycles": 40,
    "production_cycles": 300,
}


@pytest.fixture(scope="module")
def host():
    return prepare_host(Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]]), MODEL)


def properties(host, seed=1, **values):
    settings = RecipeSettings(**{**QUICK, **values})
    run = run_recipe(host, settings, seed)
    return run, {item.name: item for item in recipe_properties(host, run, settings, seed)}


def test_a_vacuum_swing_simulated(host):
    run, found = properties(host)
    assert all(item.value is not None and item.std is not None and item.method for item in found.values())
    co2, n2, left = (found[f"vsa_{name}"].value for name in ("co2_uptake", "n2_uptake", "co2_left"))
    assert found["vsa_working_capacity"].value == pytest.approx(co2 - left)
    assert found["vsa_co2_n2_selectivity"].value == pytest.approx(co2 / n2 / (0.15 / 0.85))
    assert found["vsa_regenerability"].value == pytest.approx(100 * (1 - left / co2))
    assert found["vsa_purity"].value == pytest.approx((co2 - left) / (co2 - left + n2))
    assert found["vsa_aps"].value == pytest.approx(found["vsa_co2_n2_selectivity"].value * (co2 - left))
    assert found["vsa_co2_excess_uptake"].value < co2
    assert 0.1 < found["helium_void_fraction"].value < 1.0
    assert found["vsa_co2_n2_henry_ratio"].value == pytest.approx(
        found["co2_henry_298K"].value / found["n2_henry_298K"].value
    )
    assert {point.gas for points in run.points.values() for point in points} == {"CO2", "N2"}
    for gas, points in run.points.items():
        for point in points:
            gas_name, pressure, temperature = parse_point(found[point_property(point).name])
            assert (gas_name, temperature) == (gas, 298.0)
            assert pressure == pytest.approx(point.pressure, rel=1e-5)
    assert run_recipe(host, RecipeSettings(**QUICK), 1) == run


def test_predicted_mixtures_agree_with_simulated_ones(host):
    # at such low loadings both are Henry's law
    _, simulated = properties(host, production_cycles=900, isotherm_points=0, insertions=6000)
    run, predicted = properties(host, mixtures="iast", insertions=6000)
    assert "IAST" in predicted["vsa_co2_uptake"].method
    for name in ("vsa_co2_uptake", "vsa_n2_uptake", "vsa_co2_left"):
        error = math.hypot(simulated[name].std, predicted[name].std)
        assert abs(simulated[name].value - predicted[name].value) < 4 * error + 0.05 * simulated[name].value
    assert not run.notes


def test_humid_air(host):
    run, found = properties(host, conditions="dac", mixtures="iast")
    assert "H2O" in run.henry
    assert "H2O" not in run.points  # water is taken from its Henry coefficient
    dry, humid = found["dac_co2_uptake"].value, found["dac_co2_uptake_humid"].value
    assert 0 < humid <= dry * 1.001
    assert 0 < found["dac_humid_share"].value <= 1.0
    assert found["dac_co2_h2o_henry_ratio"].value > 0
    # 0.1 bar of CO2 holds more on such a weak sorbent than 40 Pa do, hot or not
    assert found["dac_working_capacity"].value < 0
    for name in ("dac_regenerability", "dac_purity", "dac_aps"):
        assert found[name].value is None
        assert "the cycle yields no CO2" in found[name].note


def test_parasitic_energy(host):
    _, found = properties(host, conditions="coal-psa", mixtures="none")
    energy = found["coal_psa_parasitic_energy"]
    # little CO2 sticks to an argon lattice: either nothing is yielded, with the reason, or at a high price
    assert energy.unit == "MJ/kg"
    assert (energy.value is None and energy.note) or energy.value > 0.5


@pytest.mark.slow  # compiles its kernel
def test_both_engines_agree(host):
    pytest.importorskip("numba")
    _, raspa = properties(host, henry_engine="raspa", production_cycles=3000, insertions=20_000)
    run, ours = properties(host, gcmc_engine="auto", uptake_error=0.02)
    assert "RASPA" not in run.feed.method
    for name in ("co2_henry_298K", "vsa_co2_uptake", "vsa_n2_uptake", "vsa_co2_left"):
        error = math.hypot(raspa[name].std, ours[name].std)
        assert abs(raspa[name].value - ours[name].value) < 5 * error, name


def test_henry_alone(host):
    run, found = properties(host, mixtures="none", isotherm_points=0, gases=("ch4",))
    assert set(run.henry) == {"CO2", "N2", "CH4"}
    assert not run.points
    assert run.feed is None
    assert "vsa_working_capacity" not in found
    assert found["ch4_henry_298K"].value > 0


def test_a_framework_without_room_says_so():
    iron = Structure.from_spacegroup("Im-3m", Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]])
    dense = prepare_host(iron, MODEL)
    _, found = properties(
        dense, insertions=200, heat_moves=200, production_cycles=20, equilibration_cycles=0, isotherm_points=0
    )
    assert found["vsa_co2_uptake"].value == 0.0
    assert found["vsa_co2_n2_selectivity"].value is None
    assert found["vsa_co2_n2_selectivity"].note == "no N2 adsorbed"
    _, found = properties(
        dense, insertions=200, heat_moves=200, production_cycles=20, mixtures="iast", isotherm_points=3
    )
    assert found["vsa_co2_uptake"].value is None
    assert "nothing is adsorbed" in found["vsa_co2_uptake"].note


def test_isotherm_pressures_cover_the_recipe():
    recipe = find_recipe("flue-gas")
    pressures = isotherm_pressures(recipe, "CO2", 6)
    assert 15000.0 in pressures
    assert pressures == sorted(pressures)
    assert pressures[0] == pytest.approx(1500.0)
    assert pressures[-1] == pytest.approx(1e5)
    assert isotherm_pressures(recipe, "CH4", 6) == pressures


def test_fits_go_through_points_and_henry_limit():
    truth = Langmuir(3.0, 2e-5)
    points = tuple(
        IsothermPoint("CO2", 298.0, p, p, float(truth.loading(p)), 0.01 * float(truth.loading(p)), None)
        for p in np.geomspace(1e3, 1e5, 6)
    )
    henry = HenryResult("CO2", 298.0, 6e-5, 6e-7, 25.0, 0.1, 1.0, 0.01, 1000, "test")
    fit = fit_points(points, henry)
    assert fit.isotherm.loading(3e4) == pytest.approx(truth.loading(3e4), rel=0.01)
    assert fit.isotherm.henry_coefficient == pytest.approx(6e-5, rel=0.02)
    assert "too few" in fit_points(points[:2], henry)


def test_settings_name_the_nearest_recipe():
    with pytest.raises(InputError, match="gas 'H2O' is not in this force field"):
        parse_config(RecipeSettings, {"conditions": "dac", "model": {"force_field": "zeolite"}}, "test")
    with pytest.raises(InputError, match="did you mean 'coal-tpsa'"):
        parse_config(RecipeSettings, {"conditions": "coal_tpsaa"}, "test")
    with pytest.raises(InputError, match="isotherm_points is 2"):
        require_objectives(RecipeSettings(conditions="coal-tpsa", isotherm_points=2))
