"""Ideal adsorbed solution theory: analytic cases, its own inverse, published simulated mixtures."""

import numpy as np
import pytest

from potentials.errors import InputError
from potentials.files import data_root
from screening.adsorption.iast import iast, pressure_of_spreading, reverse_iast
from screening.adsorption.isotherms import (
    BET,
    DualSiteLangmuir,
    Freundlich,
    Henry,
    Interpolated,
    Langmuir,
    Quadratic,
    Toth,
)

RNG = np.random.default_rng(3)
MIXED = [DualSiteLangmuir(3.0, 1e-4, 4.0, 1e-6), Toth(5.0, 2e-6, 0.6), Quadratic(2.0, 1e-6, 1e-11)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_equal_saturations_give_the_extended_langmuir_model(count):
    affinities = np.array([1e-4, 3e-6, 5e-7, 2e-5])[:count]
    pressures = RNG.uniform(0.0, 3e5, (50, count))
    found = iast([Langmuir(3.0, b) for b in affinities], pressures)
    x = pressures * affinities
    assert found.loadings == pytest.approx(3.0 * x / (1.0 + x.sum(axis=1, keepdims=True)), rel=1e-8)
    assert found.adsorbed_fractions.sum(axis=1) == pytest.approx(1.0)


def test_henry_gases_do_not_see_each_other():
    found = iast([Henry(1e-5), Henry(3e-7)], [2e4, 8e4])
    assert found.loadings == pytest.approx([0.2, 0.024], rel=1e-9)
    assert found.selectivity() == pytest.approx(1e-5 / 3e-7, rel=1e-8)


def test_the_equations_themselves_hold():
    pressures = RNG.uniform(10.0, 1e6, (40, 3))
    found = iast(MIXED, pressures)
    psi = np.stack([m.spreading_pressure(found.pure_pressures[:, i]) for i, m in enumerate(MIXED)], axis=1)
    assert psi == pytest.approx(np.repeat(found.spreading_pressure[:, None], 3, axis=1), rel=1e-9)
    assert found.adsorbed_fractions * found.pure_pressures == pytest.approx(pressures, rel=1e-8)
    pure = np.stack([m.loading(found.pure_pressures[:, i]) for i, m in enumerate(MIXED)], axis=1)
    assert 1.0 / found.total == pytest.approx((found.adsorbed_fractions / pure).sum(axis=1), rel=1e-9)


def test_reverse_iast_returns_the_gas():
    pressures = RNG.uniform(10.0, 1e6, (40, 3))
    found = iast(MIXED, pressures)
    back = reverse_iast(MIXED, found.adsorbed_fractions, pressures.sum(axis=1))
    assert back.gas_fractions == pytest.approx(pressures / pressures.sum(axis=1, keepdims=True), rel=1e-7)
    assert back.loadings == pytest.approx(found.loadings, rel=1e-7)


def test_a_gas_that_is_not_there_changes_nothing():
    alone = MIXED[0].loading(2e4)
    found = iast(MIXED, [2e4, 0.0, 0.0])
    assert found.loadings == pytest.approx([alone, 0.0, 0.0], rel=1e-9)


def test_many_state_points_at_once_are_each_as_alone():
    pressures = RNG.uniform(10.0, 1e6, (20, 3))
    together = iast(MIXED, pressures.reshape(4, 5, 3)).loadings.reshape(20, 3)
    assert together == pytest.approx(np.array([iast(MIXED, row).loadings for row in pressures]), rel=1e-8)


def test_pressures_over_many_magnitudes_converge():
    pressures = 10.0 ** RNG.uniform(-6.0, 7.0, (200, 2))
    found = iast([Langmuir(8.0, 1e-2), Langmuir(2.0, 1e-9)], pressures)
    assert (found.adsorbed_fractions * found.pure_pressures) == pytest.approx(pressures, rel=1e-7)


def test_pressure_of_spreading_inverts():
    p = np.geomspace(1e-3, 1e8, 40)
    for model in MIXED:
        assert pressure_of_spreading(model, model.spreading_pressure(p), np.full(40, 1e4)) == pytest.approx(p, rel=1e-7)


def test_an_isotherm_that_ends_too_early_is_named():
    short = Interpolated(np.array([1e3, 1e4]), np.array([0.01, 0.08]))
    with pytest.raises(InputError, match=r"gas 2 would have to be known beyond 0.1 bar"):
        iast([Langmuir(3.0, 1e-3), short], [5e4, 5e4])
    layers = BET(2.0, 5.0, 1e-5)  # condenses at 1 bar, and so is defined for any spreading pressure
    assert np.isfinite(iast([layers, Langmuir(3.0, 1e-4)], [5e4, 9e4]).loadings).all()


@pytest.mark.parametrize(
    ("isotherms", "pressures", "message"),
    [
        ([Freundlich(1e-3, 0.5), Henry(1e-5)], [1e4, 1e4], "no Henry limit"),
        ([Henry(1e-5), Henry(1e-5)], [1e4, -1.0], "not negative"),
        ([Henry(1e-5), Henry(1e-5)], [0.0, 0.0], "not all zero"),
        ([Henry(1e-5), Henry(1e-5)], [1e4], "the last axis is the gases"),
        ([Henry(0.0), Henry(1e-5)], [1e4, 1e4], "must be above 0"),
    ],
)
def test_bad_input_is_named(isotherms, pressures, message):
    with pytest.raises(InputError, match=message):
        iast(isotherms, pressures)


def test_adsorbed_fractions_must_sum_to_one():
    with pytest.raises(InputError, match="do not sum to 1"):
        reverse_iast(MIXED, [0.5, 0.2, 0.1], 1e5)


@pytest.mark.skipif(
    not (data_root() / "sorbents" / "pyiast" / "test").is_dir(), reason="pyIAST's test data are not at hand"
)
def test_published_mixtures_in_irmof_1():
    from benchmarks.adsorption_iast import deviations, read

    pure = [Interpolated(1e5 * read(name)[:, 0], read(name)[:, 1], saturates=True) for name in ("CH4", "C2H6")]
    found = deviations(*pure)  # G31
    assert found["CH4"] == pytest.approx(0.9, abs=0.05)
    assert found["C2H6"] == pytest.approx(5.2, abs=0.05)
