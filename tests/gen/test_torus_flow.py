"""Flow matching on the torus against closed forms: moments of the path, and the exact flow of known data."""

import itertools

import pytest
import torch

from gen.diffusion import torus_flow
from gen.diffusion.wrapped_normal import nearest


def test_moments_of_the_path():
    """Before folding x_t has mean x_0 and variance (1 - 1/N) t^2 / 12, and the atoms' mean stays where it was."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(1, 4, 3, generator=generator, dtype=torch.float64).expand(50_000, 4, 3)
    velocity = torus_flow.displacement(torch.rand(x0.shape, generator=generator, dtype=torch.float64))
    for t in (0.1, 0.5, 1.0):
        apart = nearest(torus_flow.noised(x0, torch.tensor(t, dtype=torch.float64), velocity) - x0)
        inside = (t * velocity).abs() < 0.5  # nothing was folded
        assert torch.allclose(apart[inside], (t * velocity)[inside], atol=1e-12)
        unfolded = t * velocity
        assert unfolded.mean(0).abs().max() < 5e-3
        assert unfolded.var(0).mean().item() == pytest.approx((1 - 1 / 4) * t**2 / 12, rel=0.01)
        assert unfolded.mean(1).abs().max() < 1e-12


def test_time_one_is_the_uniform_prior_up_to_a_shift():
    """Differences of two atoms at time 1 are uniform on the circle."""
    generator = torch.Generator().manual_seed(1)
    x0 = torch.tensor([[[0.2] * 3, [0.33] * 3]], dtype=torch.float64).expand(100_000, 2, 3)
    velocity = torus_flow.displacement(torch.rand(x0.shape, generator=generator, dtype=torch.float64))
    x1 = torus_flow.noised(x0, torch.tensor(1.0), velocity)
    counts = torch.histc((x1[:, 0] - x1[:, 1]).remainder(1.0), bins=10, min=0, max=1)
    assert (counts / counts.sum()).numpy() == pytest.approx([0.1] * 10, abs=0.003)


def test_clean_undoes_noised():
    generator = torch.Generator().manual_seed(2)
    x0 = torch.rand(5, 3, 3, generator=generator, dtype=torch.float64)
    velocity = torus_flow.displacement(torch.rand(5, 3, 3, generator=generator, dtype=torch.float64))
    back = torus_flow.clean(torus_flow.noised(x0, torch.tensor(0.7, dtype=torch.float64), velocity), velocity, 0.7)
    assert nearest(back - x0).abs().max() < 1e-12


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_one_point_is_reached_in_any_number_of_steps(steps):
    """Paths to a single point are straight, so Euler steps are exact."""
    x = torch.linspace(0, 1, 40, dtype=torch.float64)[:-1]
    point, weight = torch.tensor([0.3], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
    for t, t_next in itertools.pairwise(times):
        x = torus_flow.reverse_step(x, torus_flow.mixture_velocity(x, t, point, weight), t, t_next)
    assert nearest(x - point).abs().max() < 1e-9


def test_exact_velocities_carry_the_prior_to_a_mixture():
    """Two points of weights 0.7 and 0.3, a quarter apart."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(10_000, generator=generator, dtype=torch.float64)
    points = torch.tensor([0.4, 0.65], dtype=torch.float64)
    weights = torch.tensor([0.7, 0.3], dtype=torch.float64)
    times = torch.linspace(1, 0, 401, dtype=torch.float64).tolist()
    for t, t_next in itertools.pairwise(times):
        x = torus_flow.reverse_step(x, torus_flow.mixture_velocity(x, t, points, weights), t, t_next)
    near = nearest(x.unsqueeze(-1) - points).abs() < 0.02
    assert near.any(-1).double().mean() > 0.99
    assert near[:, 0].double().mean().item() == pytest.approx(0.7, abs=0.02)


def test_drift_never_passes_the_predicted_point():
    x, velocity = torch.tensor([0.5]), torch.tensor([0.4])
    assert torus_flow.reverse_step(x, velocity, 0.5, 0.45, drift=100.0).item() == pytest.approx(0.5 - 0.5 * 0.4)
    assert torus_flow.reverse_step(x, velocity, 0.5, 0.45, drift=2.0).item() == pytest.approx(0.5 - 0.1 * 0.4)
