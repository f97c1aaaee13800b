"""The wrapped normal against its definition: density, score, norm, moments."""

import itertools
import math

import pytest
import torch

from gen.diffusion import wrapped_normal
from gen.diffusion.wrapped_normal import SWITCH

SIGMAS = [0.0025, 0.02, 0.1, 0.3, SWITCH - 1e-3, SWITCH + 1e-3, 0.5, 0.8]


def log_density(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Equation (1) with far more images than any sigma here needs, in float64."""
    shifts = torch.arange(-40, 41, dtype=torch.float64)
    return torch.logsumexp(-((x.unsqueeze(-1) + shifts) ** 2) / (2 * sigma**2), dim=-1)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_score_is_the_gradient_of_the_log_density(sigma, dtype):
    x = torch.linspace(-0.49, 0.49, 99, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(log_density(x, sigma).sum(), x)
    score = wrapped_normal.score(x.detach().to(dtype), torch.tensor(sigma, dtype=dtype)).double()
    # relative to the size of the score: at sigma = 0.8 it is 4e-5 and must not drown in rounding
    assert (score - expected).abs().max() < 2e-6 * expected.abs().max()


def test_score_is_periodic_and_odd():
    x = torch.rand(100, dtype=torch.float64) - 0.5
    for sigma in SIGMAS:
        level = torch.tensor(sigma, dtype=torch.float64)
        score = wrapped_normal.score(x, level)
        scale = score.abs().max()
        assert torch.allclose(wrapped_normal.score(x + 3, level), score, atol=1e-9 * scale)
        assert torch.allclose(wrapped_normal.score(-x, level), -score, atol=1e-9 * scale)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_norm_is_the_root_mean_square_of_the_score(sigma):
    generator = torch.Generator().manual_seed(0)
    noise = sigma * torch.randn(200_000, generator=generator, dtype=torch.float64)
    sampled = wrapped_normal.score(noise, torch.tensor(sigma, dtype=torch.float64)).pow(2).mean().sqrt()
    norm = wrapped_normal.score_norm(torch.tensor([sigma], dtype=torch.float64))[0]
    assert norm == pytest.approx(float(sampled), rel=0.01)


def test_norm_has_both_limits():
    low, high = wrapped_normal.score_norm(torch.tensor([1e-3, 0.7], dtype=torch.float64))
    assert low == pytest.approx(1e3, rel=1e-6)
    q = math.exp(-2 * math.pi**2 * 0.7**2)
    assert high == pytest.approx(math.sqrt(2) * 2 * math.pi * q, rel=1e-3)


def test_forward_circular_moment():
    """E[exp(2 pi i (x_t - x_0))] = exp(-2 pi^2 sigma^2), the characteristic function of the wrapped normal."""
    generator = torch.Generator().manual_seed(1)
    for sigma in (0.05, 0.2, 0.4):
        x = wrapped_normal.wrap(0.3 + sigma * torch.randn(200_000, generator=generator, dtype=torch.float64))
        moment = torch.exp(2j * math.pi * (x - 0.3)).mean()
        assert moment.real == pytest.approx(math.exp(-2 * math.pi**2 * sigma**2), abs=5e-3)
        assert abs(moment.imag) < 5e-3


def test_wrap_stays_below_one():
    x = torch.tensor([-1e-9, -0.25, 0.0, 1.0, 7.75])
    assert torch.equal(wrapped_normal.wrap(x), torch.tensor([0.0, 0.75, 0.0, 0.0, 0.75]))


def test_reverse_process_finds_the_data():
    """With the exact score of two atoms' worth of data, ancestral steps end on the data with the right odds."""
    generator = torch.Generator().manual_seed(2)
    places, odds = torch.tensor([0.2, 0.7], dtype=torch.float64), torch.tensor([0.75, 0.25], dtype=torch.float64)
    sigmas = [*torch.exp(torch.linspace(math.log(0.5), math.log(0.005), 101, dtype=torch.float64)).tolist(), 0.0]
    x = torch.rand(4000, generator=generator, dtype=torch.float64)
    for sigma, after in itertools.pairwise(sigmas):
        level = torch.tensor(sigma, dtype=torch.float64)
        apart = x.unsqueeze(-1) - places
        weight = torch.softmax(log_density(apart, sigma) + odds.log(), dim=-1)
        score = (weight * wrapped_normal.score(apart, level)).sum(-1)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = wrapped_normal.reverse_step(x, score, level, torch.tensor(after, dtype=torch.float64), noise)
    near = wrapped_normal.nearest(x.unsqueeze(-1) - places).abs() < 1e-3
    assert near.any(-1).double().mean() > 0.99
    assert near[:, 0].double().mean() == pytest.approx(0.75, abs=0.04)


def test_langevin_keeps_the_stationary_density():
    generator = torch.Generator().manual_seed(3)
    sigma = torch.tensor(0.15, dtype=torch.float64)
    x = wrapped_normal.wrap(0.15 * torch.randn(20_000, generator=generator, dtype=torch.float64))
    for _ in range(50):
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = wrapped_normal.langevin_step(x, wrapped_normal.score(x, sigma), sigma, 0.05, noise)
    expected = math.exp(-2 * math.pi**2 * 0.15**2)
    assert torch.cos(2 * math.pi * x).mean() == pytest.approx(expected, abs=0.02)


def test_tabulated_norm_agrees_with_quadrature():
    norm = wrapped_normal.ScoreNorm(0.005, 0.5)
    sigma = torch.tensor([0.001, 0.0037, 0.02, 0.1, 0.33, 0.349, 0.351, 0.5], dtype=torch.float64)
    assert torch.allclose(norm(sigma), wrapped_normal.score_norm(sigma), rtol=2e-4)
    assert norm(sigma.view(2, 4).float()).shape == (2, 4)
