"""Equilibration found where it is known to be, and error bars that hold for correlated series."""

import numpy as np
import pytest

from screening.adsorption.equilibration import after, detect_equilibrium, mean_and_error, statistical_inefficiency


def correlated(n: int, tau: float, seed: int) -> np.ndarray:
    """An autoregressive series of unit variance with autocorrelation exp(-t / tau)."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1.0 / tau)
    values = np.empty(n)
    values[0] = rng.normal()
    for i in range(1, n):
        values[i] = keep * values[i - 1] + np.sqrt(1.0 - keep * keep) * rng.normal()
    return values


@pytest.mark.parametrize("tau", [2.0, 10.0, 30.0])
def test_inefficiency_of_a_known_process(tau):
    keep = np.exp(-1.0 / tau)
    exact = (1.0 + keep) / (1.0 - keep)
    found = np.mean([statistical_inefficiency(correlated(20_000, tau, seed)) for seed in range(4)])
    assert found == pytest.approx(exact, rel=0.25)


def test_independent_and_constant_series():
    assert statistical_inefficiency(np.random.default_rng(0).normal(size=5000)) == pytest.approx(1.0, abs=0.2)
    assert statistical_inefficiency(np.zeros(100)) == 1.0
    assert statistical_inefficiency(np.full(100, 3.0)) == 100.0
    assert mean_and_error(np.full(100, 3.0)) == (3.0, 0.0)


@pytest.mark.parametrize("length", [100.0, 300.0])
def test_a_transient_is_discarded_and_little_else(length):
    # approach to equilibrium as of filling pores: the mean of what is kept must be clean of it
    shifts = []
    for seed in range(8):
        series = correlated(4000, 5.0, seed) - 12.0 * np.exp(-np.arange(4000) / length)
        state = detect_equilibrium([series])
        assert 1.5 * length < state.start * 4000 < 8.0 * length
        assert state.enough(30)
        shifts.append(after(series, state.start).mean())
    assert np.mean(shifts) == pytest.approx(0.0, abs=0.06)


def test_an_equilibrated_run_is_kept_whole_or_nearly():
    starts = [detect_equilibrium([correlated(4000, 5.0, seed)]).start for seed in range(10)]
    assert np.median(starts) < 0.2


def test_a_run_that_still_drifts_is_not_enough():
    series = np.linspace(0.0, 50.0, 1000) + correlated(1000, 5.0, 1)
    assert not detect_equilibrium([series]).enough(30)


def test_a_run_that_froze_is_not_enough():
    assert not detect_equilibrium([np.full(1000, 2.0)]).enough(30)
    assert detect_equilibrium([np.zeros(1000)]).enough(30)  # nothing adsorbed, ever


def test_the_slowest_series_decides():
    fast, slow = correlated(4000, 2.0, 1), correlated(800, 5.0, 2) - 10.0 * np.exp(-np.arange(800) / 80.0)
    both = detect_equilibrium([fast, slow])
    assert both.start >= detect_equilibrium([slow]).start - 1e-9
    assert both.samples < 800 / 5.0


def test_error_bars_cover_the_spread_of_repeats():
    means, errors = zip(*(mean_and_error(correlated(3000, 8.0, seed)) for seed in range(60)), strict=True)
    assert np.sqrt(np.mean(np.square(errors))) / np.std(means) == pytest.approx(1.0, abs=0.3)
