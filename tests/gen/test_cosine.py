"""The cosine schedule: ends, moments, and the ancestral chain of a known Gaussian."""

import itertools

import pytest
import torch

from gen.diffusion import cosine


def test_ends_and_monotony():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    signal = cosine.alpha_bar(t)
    assert signal[0].item() == pytest.approx(1.0)
    assert signal[-1].item() == cosine.FLOOR
    assert (signal.diff() < 0).all()
    # eq. 17 at half time
    assert cosine.alpha_bar(torch.tensor(0.5, dtype=torch.float64)).item() == pytest.approx(0.4939, abs=2e-4)


def test_moments_and_inverse():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200_000, generator=generator, dtype=torch.float64)
    t = torch.tensor(0.6, dtype=torch.float64)
    x = cosine.noised(torch.full_like(noise, 2.0), t, noise)
    signal = cosine.alpha_bar(t)
    assert x.mean().item() == pytest.approx(2.0 * signal.sqrt().item(), abs=0.01)
    assert x.var().item() == pytest.approx(1 - signal.item(), rel=0.01)
    assert torch.allclose(cosine.clean(x, noise, t), torch.full_like(x, 2.0))


def test_ancestral_chain_with_the_exact_noise_gives_the_data():
    """Data N(3, 0.5^2): E[eps | x_t] is linear in x_t; 300 steps from N(0, 1) return mean and spread."""
    generator = torch.Generator().manual_seed(1)
    mean, std = 3.0, 0.5
    x = torch.randn(50_000, generator=generator, dtype=torch.float64)
    times = torch.linspace(1, 0, 301, dtype=torch.float64)
    for t, t_next in itertools.pairwise(times):
        signal = cosine.alpha_bar(t)
        spread = signal * std**2 + (1 - signal)
        exact = (1 - signal).sqrt() * (x - signal.sqrt() * mean) / spread
        x = cosine.reverse_step(x, exact, t, t_next, torch.randn(x.shape, generator=generator, dtype=x.dtype))
    assert x.mean().item() == pytest.approx(mean, abs=0.02)
    assert x.std().item() == pytest.approx(std, rel=0.03)
