"""Process figures: definitions, and error propagation against sampling."""

import numpy as np
import pytest

from potentials.errors import InputError
from screening.adsorption.process import Measured, ratio, regenerability, selectivity, working_capacity

CO2, N2, LEFT = Measured(3.0, 0.09), Measured(0.4, 0.02), Measured(0.6, 0.03)


def sampled(function, *inputs: Measured) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    values = function(*(rng.normal(x.value, x.std, 200_000) for x in inputs))
    return float(values.mean()), float(values.std())


def check(result: Measured, function, *inputs: Measured) -> None:
    mean, std = sampled(function, *inputs)
    assert result.value == pytest.approx(mean, rel=0.01)
    assert result.std == pytest.approx(std, rel=0.03)


def test_selectivity():
    assert selectivity(Measured(1.5, 0), Measured(1.7, 0), 0.15).value == pytest.approx(1.5 / 1.7 / (0.15 / 0.85))
    check(selectivity(CO2, N2, 0.15), lambda a, b: a / b / (0.15 / 0.85), CO2, N2)


def test_working_capacity():
    assert working_capacity(CO2, LEFT).value == pytest.approx(2.4)
    check(working_capacity(CO2, LEFT), lambda a, b: a - b, CO2, LEFT)


def test_regenerability():
    assert regenerability(CO2, LEFT).value == pytest.approx(80.0)
    check(regenerability(CO2, LEFT), lambda a, b: 100 * (a - b) / a, CO2, LEFT)


def test_nothing_adsorbed_has_no_ratio():
    nothing = Measured(0.0, 0.0)
    assert ratio(CO2, nothing) is None
    assert selectivity(CO2, nothing, 0.15) is None
    assert regenerability(nothing, LEFT) is None
    assert selectivity(nothing, N2, 0.15).value == 0.0


def test_fraction_must_be_that_of_a_mixture():
    with pytest.raises(InputError, match="mole fraction 1"):
        selectivity(CO2, N2, 1.0)
