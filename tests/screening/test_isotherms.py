"""Isotherm models: closed-form spreading pressures against quadrature, Henry limits, and what is refused."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from potentials.errors import InputError
from screening.adsorption.isotherm_temperature import (
    Shifted,
    at_temperature,
    isosteric_heat,
    points_at_temperature,
    pressure_factor,
)
from screening.adsorption.isotherms import (
    BET,
    DualSiteLangmuir,
    Freundlich,
    Henry,
    Interpolated,
    Langmuir,
    Quadratic,
    Sips,
    Toth,
    require_henry_limit,
)

POINTS = Interpolated(np.array([1e3, 1e4, 1e5]), np.array([0.1, 0.8, 2.0]), saturates=True)
WITH_LIMIT = [
    Henry(1e-5),
    Langmuir(3.0, 1e-5),
    DualSiteLangmuir(3.0, 1e-4, 4.0, 1e-6),
    Toth(3.0, 1e-5, 0.4),
    Toth(3.0, 1e-3, 1.7),
    Quadratic(2.0, 1e-6, 1e-10),
    BET(2.0, 50.0, 1e-6),
    POINTS,
    Shifted(DualSiteLangmuir(3.0, 1e-4, 4.0, 1e-6), 5.0),
]


@pytest.mark.parametrize("isotherm", [*WITH_LIMIT, Sips(3.0, 1e-5, 0.7), Freundlich(1e-3, 0.6)])
@pytest.mark.parametrize("pressure", [10.0, 1e4, 5e5])
def test_spreading_pressure_is_the_integral_of_loading_over_pressure(isotherm, pressure):
    # in ln p, in pieces, so that the corners of straight lines fall on limits
    edges = np.log([1e-14, 1e-3, *(p for p in (1e3, 1e4, 1e5) if p < pressure), pressure])
    parts = [
        quad(lambda x: float(isotherm.loading(np.exp(x))), a, b, limit=200)[0] for a, b in itertools.pairwise(edges)
    ]
    assert float(isotherm.spreading_pressure(pressure)) == pytest.approx(sum(parts), rel=1e-5)


@pytest.mark.parametrize("isotherm", WITH_LIMIT)
def test_the_henry_coefficient_is_the_slope_at_zero(isotherm):
    pressure = 1e-4
    slope = float(isotherm.loading(pressure)) / pressure
    assert isotherm.henry_coefficient == pytest.approx(slope, rel=2e-3)
    assert require_henry_limit(isotherm) == isotherm.henry_coefficient


def test_toth_far_into_saturation_goes_on_as_a_logarithm():
    isotherm = Toth(3.0, 1e-3, 1.7)
    low, high = isotherm.spreading_pressure(1e12), isotherm.spreading_pressure(1e15)
    assert high - low == pytest.approx(3.0 * np.log(1e3), rel=1e-6)


@pytest.mark.parametrize("isotherm", [Sips(3.0, 1e-5, 0.7), Freundlich(1e-3, 0.6)])
def test_a_model_without_a_henry_limit_is_refused_for_mixtures(isotherm):
    with pytest.raises(InputError, match="no Henry limit"):
        require_henry_limit(isotherm)


def test_langmuir_is_the_common_limit_of_its_generalisations():
    p = np.geomspace(1.0, 1e7, 30)
    plain = Langmuir(3.0, 1e-5)
    for other in (Toth(3.0, 1e-5, 1.0), Sips(3.0, 1e-5, 1.0), DualSiteLangmuir(1.0, 1e-5, 2.0, 1e-5)):
        assert other.loading(p) == pytest.approx(plain.loading(p), rel=1e-12)
        assert other.spreading_pressure(p) == pytest.approx(plain.spreading_pressure(p), rel=1e-9)


def test_interpolation_ends_where_the_points_end_unless_told_otherwise():
    ends = Interpolated(np.array([1e3, 1e4]), np.array([0.1, 0.8]))
    assert ends.largest_pressure == 1e4
    assert np.isnan(ends.loading(2e4))
    assert np.isnan(ends.spreading_pressure(2e4))
    assert POINTS.loading(1e9) == 2.0


@pytest.mark.parametrize(
    ("pressures", "loadings", "message"),
    [
        ([1e4, 1e3], [0.1, 0.8], "rising"),
        ([0.0, 1e3], [0.1, 0.8], "above 0"),
        ([1e3, 1e4], [0.1], "one loading a pressure"),
        ([1e3, 1e4], [-0.1, 0.8], "must not be negative"),
        ([1e3, float("nan")], [0.1, 0.8], "finite"),
    ],
)
def test_points_that_are_no_isotherm_are_refused(pressures, loadings, message):
    with pytest.raises(InputError, match=message):
        Interpolated(np.array(pressures), np.array(loadings))


def test_clausius_clapeyron_there_and_back():
    cold = DualSiteLangmuir(3.0, 1e-4, 4.0, 1e-6)
    warm = at_temperature(cold, 30.0, 300.0, 350.0)
    assert warm.henry_coefficient < cold.henry_coefficient
    loadings = np.array([0.5, 2.0, 4.0])
    assert isosteric_heat(cold, warm, (300.0, 350.0), loadings) == pytest.approx(30.0, rel=1e-8)
    again = at_temperature(warm, 30.0, 350.0, 300.0)
    assert again.loading(1e4) == pytest.approx(cold.loading(1e4), rel=1e-12)
    # van 't Hoff: d ln K / d(1/T) = q/R
    assert np.log(cold.henry_coefficient / warm.henry_coefficient) == pytest.approx(
        30e3 / 8.31446261815324 * (1 / 300 - 1 / 350)
    )


def test_points_move_with_heats_of_their_own():
    p, q = np.array([1e3, 1e4, 1e5]), np.array([0.1, 0.8, 2.0])
    moved = points_at_temperature(p, q, [30.0, 28.0, 20.0], 300.0, 350.0)
    assert moved.pressures == pytest.approx(p * pressure_factor([30.0, 28.0, 20.0], 300.0, 350.0))
    with pytest.raises(InputError, match="turns back at 350 K"):
        points_at_temperature(p, q, [60.0, 60.0, 10.0], 300.0, 350.0)
