"""Intervals: samples have the stated moments, and probabilities match closed forms and brute force."""

import numpy as np
import pytest
from scipy.stats import norm

from screening.intervals import draw_values, is_positive, spread
from screening.pareto import non_dominated, pareto_fronts


def dominates(a, b) -> bool:
    return all(a >= b) and any(a > b)


def brute_front(values) -> list[bool]:
    return [not any(dominates(b, a) for b in values) for a in values]


@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_front_is_that_of_brute_force(m):
    rng = np.random.default_rng(m)
    values = rng.integers(0, 5, size=(40, 23, m)).astype(float)  # many ties and many equal candidates
    assert non_dominated(values).tolist() == [brute_front(draw) for draw in values]


def test_fronts_are_peeled_one_from_another():
    values = np.random.default_rng(3).normal(size=(60, 3))
    fronts, left, number = np.zeros(60, dtype=int), np.arange(60), 1
    while left.size:
        on = np.array(brute_front(values[left]))
        fronts[left[on]] = number
        left, number = left[~on], number + 1
    assert pareto_fronts(values).tolist() == fronts.tolist()
    assert pareto_fronts(np.zeros((0, 2))).size == 0
    assert pareto_fronts(np.ones((3, 2))).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("value", "std"), [(2.0, 0.1), (2.0, 1.5)])
@pytest.mark.parametrize("positive", [False, True])
def test_samples_have_the_mean_and_error_given(value, std, positive):
    drawn = draw_values(value, std, positive=positive, key=(0, "a", "x"), draws=200_000)
    assert drawn.mean() == pytest.approx(value, abs=5 * std / np.sqrt(200_000))
    assert drawn.std() == pytest.approx(std, rel=0.03)
    assert (drawn.min() > 0) == (positive or std < 0.2)


def test_a_measured_zero_is_never_drawn_negative():
    drawn = draw_values(0.0, 0.1, positive=True, key=(0, "a", "uptake"))
    assert drawn.min() == 0.0
    assert drawn.max() > 0.2


@pytest.mark.parametrize("std", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_without_an_error_the_value_is_exact(std):
    assert set(draw_values(1.5, std, positive=True, key=("k",), draws=10)) == {1.5}


def test_a_stream_is_its_own_and_comes_again():
    first, again, other = (draw_values(1.0, 0.1, positive=False, key=(0, c, "x")) for c in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.06  # 4 standard errors of no correlation


def test_which_properties_cannot_be_negative():
    assert is_positive("co2_uptake_0.15bar_298K")
    assert is_positive("co2_n2_selectivity_298K")
    assert not is_positive("co2_working_capacity_vsa")
    assert not is_positive("co2_heat_of_adsorption_298K")


def test_intervals_and_probabilities_match_closed_forms():
    means, stds = np.array([1.0, 0.8, -3.0]), np.array([0.2, 0.3, 0.1])
    draws = 200_000
    samples = np.stack(
        [
            draw_values(m, s, positive=False, key=(i,), draws=draws)
            for i, (m, s) in enumerate(zip(means, stds, strict=True))
        ],
        axis=1,
    )[:, :, None]
    sure = spread(samples, lambda x: x[..., 0], top=1)
    ahead = norm.cdf((means[0] - means[1]) / np.hypot(stds[0], stds[1]))  # P(first > second) for normal errors
    assert sure.top_probability == pytest.approx([ahead, 1 - ahead, 0.0], abs=0.005)
    assert sure.front_probability == pytest.approx(sure.top_probability)  # with one objective the front is the best
    assert sure.score_low == pytest.approx(means + norm.ppf(0.05) * stds, abs=0.01)
    assert sure.score_high == pytest.approx(means + norm.ppf(0.95) * stds, abs=0.01)
    assert sure.rank_low.tolist() == [1, 1, 3]
    assert sure.rank_high.tolist() == [2, 2, 3]


def test_exact_values_leave_no_interval_and_ties_keep_their_order():
    samples = np.tile(np.array([[2.0], [1.0], [1.0], [0.0]]), (50, 1, 1))
    sure = spread(samples, lambda x: x[..., 0], top=2)
    assert sure.rank_low.tolist() == sure.rank_high.tolist() == [1, 2, 3, 4]
    assert sure.top_probability.tolist() == [1, 1, 0, 0]
    assert sure.score_low.tolist() == sure.score_high.tolist() == [2, 1, 1, 0]
