"""kUPS's way of averaging a heat, and why it comes out low in short blocks."""

import numpy as np
import pytest

from benchmarks.adsorption_kups import block_means, heat_of_blocks, plateau_blocks
from screening.adsorption.equation_of_state import GAS_CONSTANT


def slow(rng: np.random.Generator, n: int, length: float) -> np.ndarray:
    """An autoregressive series [n] of unit variance whose correlation falls by e in `length` samples."""
    keep = np.exp(-1.0 / length)
    noise = rng.normal(size=n) * (1.0 - keep**2) ** 0.5
    out = np.zeros(n)
    for i in range(1, n):
        out[i] = keep * out[i - 1] + noise[i]
    return out


def test_one_kind_of_site_gives_its_heat_at_any_length_of_blocks():
    number = np.random.default_rng(1).poisson(9.0, 2000).astype(float)
    expected = (300.0 + 3000.0) * GAS_CONSTANT / 1000.0
    for blocks in (1, 4, 100):
        assert heat_of_blocks(-3000.0 * number, number, 300.0, blocks) == pytest.approx(expected)


def test_short_blocks_see_only_the_sites_that_change_quickly():
    rng = np.random.default_rng(2)
    strong, weak = 3.0 * slow(rng, 20_000, 300.0), 3.0 * slow(rng, 20_000, 3.0)  # K of binding: 3,500 and 2,500
    number, energy = strong + weak, -3500.0 * strong - 2500.0 * weak
    long, short = (heat_of_blocks(energy, number, 300.0, blocks) for blocks in (1, 1000))
    assert long == pytest.approx((300.0 + 3000.0) * GAS_CONSTANT / 1000.0, rel=0.05)
    assert short == pytest.approx((300.0 + 2500.0) * GAS_CONSTANT / 1000.0, rel=0.05)


def test_blocks_are_lengthened_until_the_error_stays():
    rng = np.random.default_rng(3)
    assert plateau_blocks(rng.normal(size=8192)) > 500  # nothing correlates: at once
    assert plateau_blocks(slow(rng, 8192, 100.0)) < 100
    np.testing.assert_allclose(block_means(np.arange(7.0), 3), [0.5, 2.5, 4.5])
