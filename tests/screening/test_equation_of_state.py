"""Peng-Robinson against published figures and against thermodynamics itself."""

from dataclasses import replace

import numpy as np
import pytest

from potentials.errors import InputError
from screening.adsorption.equation_of_state import GAS_CONSTANT, KNAPP, peng_robinson
from screening.adsorption.gases import TRAPPE

CO2, N2, CH4 = TRAPPE["CO2"], TRAPPE["N2"], TRAPPE["CH4"]


def test_published_fugacity_coefficients_of_co2_in_methane():
    # RASPA3 manual, CO2/CH4 25:75 at 300 K and 10 bar (G8)
    state = peng_robinson([CO2, CH4], [0.25, 0.75], temperature=300.0, pressure=1e6)
    assert state.fugacity_coefficients == pytest.approx((0.95035, 0.97901), abs=5.1e-6)
    assert state.compressibility == pytest.approx(0.97144, abs=5.1e-6)


def test_published_methane_at_65_bar():
    # PorousMaterials.jl's tested figures for CH4 at 298 K (G27), with Poling's critical constants, to its tolerances
    methane = replace(CH4, critical_temperature=190.56, critical_pressure=45.99e5, acentric_factor=0.011)
    state = peng_robinson([methane], [1.0], temperature=298.0, pressure=65e5)
    assert state.compressibility == pytest.approx(0.874496, abs=1e-4)
    assert state.fugacity_coefficients[0] == pytest.approx(0.872903, abs=1e-4)
    assert state.molar_density == pytest.approx(3000.054, abs=0.2)


def test_low_pressure_is_an_ideal_gas():
    state = peng_robinson([CO2, N2], [0.15, 0.85], temperature=298.0, pressure=1.0)
    assert state.fugacity_coefficients == pytest.approx((1.0, 1.0), abs=1e-6)
    assert state.molar_density == pytest.approx(1.0 / (GAS_CONSTANT * 298.0), rel=1e-6)


def test_fugacity_coefficient_is_the_integral_of_the_compressibility():
    # ln phi = integral of (Z - 1)/P dP for a pure gas
    pressures = np.geomspace(10.0, 3e6, 4000)
    departure = [
        (peng_robinson([CO2], [1.0], temperature=310.0, pressure=p).compressibility - 1.0) / p for p in pressures
    ]
    expected = np.trapezoid(departure, pressures)
    phi = peng_robinson([CO2], [1.0], temperature=310.0, pressure=3e6).fugacity_coefficients[0]
    assert np.log(phi) == pytest.approx(expected, rel=2e-4)


def test_fugacities_satisfy_gibbs_duhem():
    # sum_i y_i d ln phi_i = 0 along a change of composition at fixed T, P
    h = 1e-5
    low = peng_robinson([CO2, CH4], [0.4 - h, 0.6 + h], temperature=300.0, pressure=4e6)
    high = peng_robinson([CO2, CH4], [0.4 + h, 0.6 - h], temperature=300.0, pressure=4e6)
    change = np.log(high.fugacity_coefficients) - np.log(low.fugacity_coefficients)
    assert np.abs(change).min() > 1e-7  # each does change
    assert 0.4 * change[0] + 0.6 * change[1] == pytest.approx(0.0, abs=1e-3 * np.abs(change).max())


def test_two_phase_region_takes_the_stable_root():
    # CO2 at 280 K condenses near 41.6 bar: vapour below, liquid above
    vapour = peng_robinson([CO2], [1.0], temperature=280.0, pressure=35e5)
    liquid = peng_robinson([CO2], [1.0], temperature=280.0, pressure=50e5)
    assert vapour.compressibility > 0.5
    assert liquid.compressibility < 0.2


@pytest.mark.parametrize("gases", [[CO2, CH4], [CO2, N2], [CO2, N2, CH4]])
def test_interaction_coefficients_keep_gibbs_duhem(gases):
    y = np.array([0.3, 0.7, 0.4])[: len(gases)]
    y = y / y.sum()
    step = 1e-5 * np.array([1.0, -1.0, 0.0])[: len(gases)]
    low, high = (
        peng_robinson(gases, y + sign * step, temperature=300.0, pressure=4e6, interactions=KNAPP) for sign in (-1, 1)
    )
    change = np.log(high.fugacity_coefficients) - np.log(low.fugacity_coefficients)
    assert y @ change == pytest.approx(0.0, abs=1e-3 * np.abs(change).max())


def test_interaction_coefficients_act_between_unlike_gases_alone():
    plain = peng_robinson([CO2], [1.0], temperature=300.0, pressure=4e6)
    assert peng_robinson([CO2], [1.0], temperature=300.0, pressure=4e6, interactions=KNAPP) == plain
    mixed = [
        peng_robinson([CO2, CH4], [0.25, 0.75], temperature=300.0, pressure=1e6, interactions=k).fugacity_coefficients
        for k in (None, {}, KNAPP)
    ]
    assert mixed[0] == mixed[1]
    assert mixed[2][0] > mixed[0][0]  # k > 0: unlike molecules like each other less
    assert mixed[2] == pytest.approx(mixed[0], rel=0.01)


@pytest.mark.parametrize("name", TRAPPE)
def test_every_gas_is_nearly_ideal_when_dilute(name):
    state = peng_robinson([TRAPPE[name]], [1.0], temperature=298.0, pressure=1e3)
    assert state.fugacity_coefficients[0] == pytest.approx(1.0, abs=2e-3)
    # second virial coefficient: ln phi = B P / (R T) at low pressure, B = b - a / (R T)
    assert np.log(state.fugacity_coefficients[0]) == pytest.approx(state.compressibility - 1.0, rel=1e-2)


def test_water_condenses_near_its_vapour_pressure():
    water = TRAPPE["H2O"]
    vapour = peng_robinson([water], [1.0], temperature=373.15, pressure=0.8e5)
    liquid = peng_robinson([water], [1.0], temperature=373.15, pressure=1.3e5)
    assert vapour.compressibility > 0.9
    assert liquid.compressibility < 0.01


@pytest.mark.parametrize(
    ("fractions", "temperature", "pressure", "message"),
    [
        ([0.5, 0.6], 300.0, 1e5, "do not sum to 1"),
        ([1.0], 300.0, 1e5, "do not sum to 1"),
        ([0.5, 0.5], 0.0, 1e5, "temperature 0.0 K"),
        ([0.5, 0.5], 300.0, float("nan"), "pressure nan Pa"),
    ],
)
def test_bad_input_is_named(fractions, temperature, pressure, message):
    with pytest.raises(InputError, match=message):
        peng_robinson([CO2, CH4], fractions, temperature=temperature, pressure=pressure)
