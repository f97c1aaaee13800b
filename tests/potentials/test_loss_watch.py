"""Rising losses are told from noisy ones."""

import math

import numpy as np
import pytest

from potentials.loss_watch import has_risen, is_settled


def losses(count: int, seed: int = 0, *, spread: float = 1.0) -> np.ndarray:
    """Falling by four orders of magnitude, noisy."""
    noise = np.random.default_rng(seed).normal(0, spread, count)
    return np.exp(np.linspace(0, -9.2, count) + noise)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_rise(seed: int) -> None:
    watched: dict = {}
    values = losses(3000, seed)
    values[::200] *= 1e4  # wild batches
    assert not any(has_risen(watched, float(value)) for value in values)
    assert is_settled(watched)


def test_a_minimum_that_was_left_shows_within_a_hundred_steps_and_once() -> None:
    watched: dict = {}
    values = [*losses(3000), *[0.1] * 500]  # a tenth of the first loss, a thousand times the last
    risen = [step for step, value in enumerate(values) if has_risen(watched, float(value))]
    assert len(risen) == 1
    assert 3000 < risen[0] < 3100


def test_what_rose_a_little_is_not_settled() -> None:
    watched: dict = {}
    assert not any(has_risen(watched, 1e-3) for _ in range(100))
    assert is_settled(watched)
    assert not any(has_risen(watched, 1e-2) for _ in range(200))
    assert not is_settled(watched)


def test_beginnings_and_zeros() -> None:
    watched: dict = {}
    assert not is_settled(watched)
    assert not has_risen(watched, 1e-8)  # the first losses of a model that starts from nothing say little
    assert not any(has_risen(watched, 1.0) for _ in range(49))
    watched = {}
    assert not any(has_risen(watched, 0.0) for _ in range(200))
    assert all(math.isfinite(value) for value in watched.values())
