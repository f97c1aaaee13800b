"""Fits find the model and the parameters behind noisy points, and say how sure they are."""

import numpy as np
import pytest

from potentials.errors import InputError
from screening.adsorption.isotherm_fits import fit_isotherm
from screening.adsorption.isotherms import BET, DualSiteLangmuir, Henry, Langmuir, Quadratic, Toth
from screening.adsorption.process import Measured

PRESSURES = np.geomspace(30.0, 3e5, 14)


def noisy(isotherm, relative=0.02, seed=1):
    q = isotherm.loading(PRESSURES)
    return q * (1.0 + relative * np.random.default_rng(seed).standard_normal(len(q))), relative * q


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("henry", Henry(2e-6)),
        ("langmuir", Langmuir(4.0, 2e-5)),
        ("dual-site-langmuir", DualSiteLangmuir(1.0, 2e-3, 6.0, 4e-6)),
        ("toth", Toth(6.0, 2e-4, 0.45)),
        ("quadratic", Quadratic(3.0, 1e-6, 4e-10)),
    ],
)
def test_aic_finds_the_model_and_the_fit_the_curve(name, truth):
    q, errors = noisy(truth)
    fit = fit_isotherm(PRESSURES, q, errors)
    assert fit.model == name or fit.considered[name] - fit.aic < 2.5  # as likely as makes no difference
    assert fit.isotherm.loading(PRESSURES) == pytest.approx(truth.loading(PRESSURES), rel=0.05)
    assert fit.deviation < 1.6


def test_the_henry_limit_is_kept():
    truth = Langmuir(4.0, 2e-5)
    high = PRESSURES[PRESSURES > 4e3]
    q = truth.loading(high)
    free = fit_isotherm(high, q * 1.05, 0.05 * q, models=["toth"])
    tied = fit_isotherm(high, q * 1.05, 0.05 * q, henry=Measured(8e-5, 8e-7), models=["toth"])
    assert tied.isotherm.henry_coefficient == pytest.approx(8e-5, rel=0.02)
    assert abs(free.isotherm.henry_coefficient / 8e-5 - 1.0) > 0.02
    assert tied.points == free.points + 1


def test_precise_points_weigh_more():
    truth = Langmuir(4.0, 2e-5)
    q = truth.loading(PRESSURES)
    wrong = q.copy()
    wrong[3] *= 1.5
    errors = np.full_like(q, 0.01) * q
    trusted = fit_isotherm(PRESSURES, wrong, errors, models=["langmuir"])
    errors[3] = wrong[3]
    doubted = fit_isotherm(PRESSURES, wrong, errors, models=["langmuir"])
    assert doubted.isotherm.loading(1e4) == pytest.approx(truth.loading(1e4), rel=0.01)
    assert trusted.deviation > 5 * doubted.deviation


def test_draws_spread_as_repeated_experiments_do():
    truth = Langmuir(4.0, 2e-5)
    found = [fit_isotherm(PRESSURES, *noisy(truth, 0.05, seed), models=["langmuir"]) for seed in range(40)]
    repeated = np.std([fit.isotherm.loading(2e4) for fit in found])
    drawn = np.std([isotherm.loading(2e4) for isotherm in found[0].draws(400, "test")])
    assert drawn == pytest.approx(repeated, rel=0.5)
    assert found[0].draws(3, "test")[2] == found[0].draws(3, "test")[2]


def test_bet_is_fitted_when_asked_for():
    truth = BET(2.0, 40.0, 2.5e-6)
    q, errors = noisy(truth, 0.01)
    assert fit_isotherm(PRESSURES, q, errors, models=["bet"]).parameters["monolayer"] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("pressures", "loadings", "options", "message"),
    [
        ([1e3, 1e4], [0.1, 0.5], {"models": ["dual-site-langmuir"]}, "too few"),
        ([1e3, 1e4], [0.1, 0.5], {"models": ["langmiur"]}, "choose from henry, langmuir"),
        ([1e3, 1e4], [0.0, 0.0], {}, "nothing is adsorbed"),
        ([1e3, 1e4], [0.1], {}, "one of each a point"),
        ([1e3, -1.0], [0.1, 0.5], {}, "pressures above 0"),
        (
            PRESSURES,
            Langmuir(4.0, 2e-5).loading(PRESSURES) ** 0.7,
            {"models": ["freundlich"], "henry": Measured(8e-5, 1e-6)},
            "no Henry limit",
        ),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(pressures, loadings, options, message):
    with pytest.raises(InputError, match=message):
        fit_isotherm(pressures, loadings, **options)
