"""The variance-preserving process: closed-form moments, and an exact reverse process for Gaussian data."""

import itertools

import pytest
import torch

from gen.diffusion.schedules import geometric, time_grid
from gen.diffusion.variance_preserving import VariancePreserving

PROCESS = VariancePreserving()


def test_amplitudes():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    alpha, sigma = PROCESS.alpha_sigma(t)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(t))
    assert alpha[0] == 1
    assert alpha[-1] == pytest.approx(0.0066, abs=1e-4)  # exp(-(20 - 0.1)/4 - 0.05)


def test_forward_moments():
    generator = torch.Generator().manual_seed(0)
    t = torch.tensor(0.3, dtype=torch.float64)
    x = PROCESS.noised(torch.tensor(2.0), t, torch.randn(400_000, generator=generator, dtype=torch.float64))
    alpha, sigma = PROCESS.alpha_sigma(t)
    assert x.mean() == pytest.approx(2 * float(alpha), abs=5e-3)
    assert x.var() == pytest.approx(float(sigma) ** 2, rel=5e-3)


def test_velocity_gives_back_the_clean_vector():
    x0, noise, t = torch.randn(5, 6), torch.randn(5, 6), torch.rand(5, 1)
    x = PROCESS.noised(x0, t, noise)
    assert torch.allclose(PROCESS.clean(x, PROCESS.velocity(x0, t, noise), t), x0, atol=1e-5)


def test_last_step_is_the_prediction():
    x, velocity, t = torch.randn(3, 6), torch.randn(3, 6), torch.full((3, 6), 0.02)
    stepped = PROCESS.reverse_step(x, velocity, t, torch.zeros(3, 6), torch.randn(3, 6))
    assert torch.allclose(stepped, PROCESS.clean(x, velocity, t), atol=1e-5)


def gaussian_spread(steps: int, mean: float, spread: float) -> tuple[float, float]:
    """Mean and spread of what the sampler makes of N(mean, spread^2), whose posterior mean is linear."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, generator=generator, dtype=torch.float64)
    for t, t_next in itertools.pairwise(time_grid(steps)):
        alpha, sigma = PROCESS.alpha_sigma(t)
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        x0 = mean + gain * (x - alpha * mean)
        velocity = alpha * (x - alpha * x0) / sigma - sigma * x0
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = PROCESS.reverse_step(x, velocity, t, t_next, noise)
    return float(x.mean()), float(x.std())


def test_reverse_moments_converge_for_gaussian_data():
    """Each step puts the posterior mean for the posterior, which narrows the spread; the error falls with the steps."""
    results = {steps: gaussian_spread(steps, 1.5, 0.4) for steps in (50, 200, 800)}
    errors = [0.4 - spread for _, spread in results.values()]
    assert all(mean == pytest.approx(1.5, abs=0.02) for mean, _ in results.values())
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    assert errors[2] == pytest.approx(0.0, abs=0.008)


def test_schedules():
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    sigma = geometric(t, torch.tensor(0.01, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(sigma, torch.tensor([0.01, 0.1, 1.0], dtype=torch.float64))
    assert time_grid(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
