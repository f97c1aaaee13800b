"""IGSO(3) against its definition: density, moments, semigroup, score, limits, and the reverse process."""

import itertools
import math

import pytest
import torch

from gen.diffusion import so3
from gen.diffusion.so3 import SWITCH

SIGMAS = [0.03, 0.2, 0.5, SWITCH - 1e-3, SWITCH + 1e-3, 1.6, 3.0]
F64 = torch.float64


def level(sigma: float) -> torch.Tensor:
    return torch.tensor(sigma, dtype=F64)


def definition(angle: torch.Tensor, sigma: float) -> torch.Tensor:
    """Equation (1) with far more terms than any sigma here needs, as it stands."""
    degrees = torch.arange(400, dtype=F64)
    weights = (2 * degrees + 1) * torch.exp(-0.5 * degrees * (degrees + 1) * sigma**2)
    characters = torch.sin((degrees + 0.5) * angle.unsqueeze(-1)) / torch.sin(0.5 * angle).unsqueeze(-1)
    return (weights * characters).sum(-1)


def noise(sigma: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(sigma.shape, generator=generator, dtype=F64)
    return so3.noise_vector(sigma, uniform, torch.randn(*sigma.shape, 3, generator=generator, dtype=F64))


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_density_is_the_series(sigma, dtype):
    angle = torch.linspace(1e-3, math.pi, 200, dtype=F64)
    expected = definition(angle, sigma)
    found = so3.log_density(angle.to(dtype), torch.tensor(sigma, dtype=dtype)).exp().double()
    assert (found - expected).abs().max() < 3e-6 * expected.max()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_angles_are_normalised(sigma):
    angle = torch.linspace(0, math.pi, 20001, dtype=F64)
    assert torch.trapezoid(so3.angle_density(angle, level(sigma)), angle) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_radial_score_is_the_slope_of_the_log_density(sigma, dtype):
    # where the density is below 1e-12 of its maximum the reference itself has no digits left
    angle = torch.linspace(1e-3, min(math.pi - 1e-4, 7 * sigma), 300, dtype=F64, requires_grad=True)
    (expected,) = torch.autograd.grad(definition(angle, sigma).log().sum(), angle)
    found = so3.radial_score(angle.detach().to(dtype), torch.tensor(sigma, dtype=dtype)).double()
    assert (found - expected).abs().max() < 3e-5 * expected.abs().max()


@pytest.mark.parametrize("sigma", [0.2, 0.8, 1.3])
def test_score_is_the_gradient_along_the_group(sigma):
    """Differences of the log density over left multiplication by a small rotation, in every direction."""
    vector = torch.tensor([[0.3, -0.2, 0.5], [-1.5, 1.0, 0.4], [0.01, 0.0, -0.02]], dtype=F64)
    turn, step, found = so3.rotation(vector), 1e-4, so3.score(vector, level(sigma).expand(3))
    for axis in torch.eye(3, dtype=F64):
        values = [
            so3.log_density(so3.rotation_vector(so3.rotation(sign * step * axis) @ turn).norm(dim=-1), level(sigma))
            for sign in (1, -1)
        ]
        torch.testing.assert_close(found @ axis, (values[0] - values[1]) / (2 * step), atol=1e-5, rtol=1e-5)


def test_small_noise_is_a_normal_vector():
    sigma = 0.02
    vector = noise(level(sigma).expand(200_000), 0)
    covariance = vector.T @ vector / len(vector)
    torch.testing.assert_close(covariance, sigma**2 * torch.eye(3, dtype=F64), atol=0.01 * sigma**2, rtol=0)
    angle = torch.linspace(0, 6 * sigma, 50, dtype=F64)
    maxwell = math.sqrt(2 / math.pi) * angle**2 / sigma**3 * torch.exp(-(angle**2) / (2 * sigma**2))
    torch.testing.assert_close(so3.angle_density(angle, level(sigma)), maxwell, atol=1e-3 / sigma, rtol=0)
    torch.testing.assert_close(
        so3.score(vector[:50], level(sigma).expand(50)), -vector[:50] / sigma**2, rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("sigma", [0.1, 0.6, 1.2, 2.5])
def test_moments_of_samples(sigma):
    """E[chi_l] = (2l + 1) exp(-l (l + 1) sigma^2 / 2); chi_1 is the trace."""
    turn = so3.rotation(noise(level(sigma).expand(100_000), 1))
    angle = so3.rotation_vector(turn).norm(dim=-1)
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert trace.mean() == pytest.approx(3 * math.exp(-(sigma**2)), abs=0.02)
    second = 1 + 2 * torch.cos(angle) + 2 * torch.cos(2 * angle)
    assert second.mean() == pytest.approx(5 * math.exp(-3 * sigma**2), abs=0.03)


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.4), (0.7, 0.9), (0.4, 1.5)])
def test_two_noisings_are_one(first, second):
    """The heat kernel's semigroup: the integral of f(R S^T; a) f(S; b) over S is f(R; sqrt(a^2 + b^2)).

    By quadrature over the angle of S and the cosine between its axis and that of R, by the half-angle formula.
    """
    w = torch.linspace(0, math.pi, 1201, dtype=F64)
    cosine = torch.linspace(-1, 1, 401, dtype=F64)
    for angle in (0.1, 0.7, 1.9, 3.0):
        half = (
            math.cos(angle / 2) * torch.cos(w / 2)[:, None] + math.sin(angle / 2) * torch.sin(w / 2)[:, None] * cosine
        )
        between = 2 * torch.arccos(half.abs().clamp_max(1.0))
        inner = 0.5 * torch.trapezoid(so3.log_density(between, level(first)).exp(), cosine, dim=1)
        total = torch.trapezoid(inner * so3.angle_density(w, level(second)), w)
        expected = so3.log_density(level(angle), level(math.hypot(first, second))).exp()
        assert total == pytest.approx(float(expected), rel=2e-3, abs=1e-4)


def test_exponential_and_logarithm():
    generator = torch.Generator().manual_seed(2)
    axis = torch.randn(500, 3, generator=generator, dtype=F64)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    for angle in (0.0, 1e-9, 1e-4, 0.5, 2.0, math.pi - 1e-4, math.pi - 1e-9):
        turn = so3.rotation(angle * axis)
        torch.testing.assert_close(turn @ turn.transpose(-1, -2), torch.eye(3, dtype=F64).expand(500, 3, 3))
        torch.testing.assert_close(so3.rotation_vector(turn), angle * axis, atol=2e-8, rtol=0)
    half = so3.rotation_vector(torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=F64)))
    assert half.abs().tolist() == pytest.approx([math.pi, 0, 0])
    torch.testing.assert_close(so3.rotation(torch.zeros(3)), torch.eye(3))


def test_uniform_rotations_have_the_moments_of_the_haar_measure():
    generator = torch.Generator().manual_seed(3)
    turn = so3.uniform_rotation(torch.randn(100_000, 4, generator=generator, dtype=F64))
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(100_000, dtype=F64))
    assert turn.mean(0).abs().max() < 0.01
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert trace.pow(2).mean() == pytest.approx(1.0, abs=0.02)  # the trace is a character of an irrep


@pytest.mark.parametrize("sigma", [0.05, 0.9, 1.1, 2.0])
def test_norm_is_the_root_mean_square_of_the_score(sigma):
    vector = noise(level(sigma).expand(100_000), 4)
    sampled = so3.score(vector, level(sigma).expand(100_000)).square().sum(-1).mean().sqrt()
    norm = so3.score_norm(torch.tensor([sigma], dtype=F64))[0]
    assert norm == pytest.approx(float(sampled), rel=0.01)
    if sigma == 0.05:
        assert norm == pytest.approx(math.sqrt(3) / sigma, rel=1e-3)


def test_mixture_of_a_symmetric_body_is_even_and_finds_the_nearest():
    quarter = so3.rotation(torch.tensor([[0.0, 0.0, 0.5 * math.pi * k] for k in range(4)], dtype=F64))
    between = so3.rotation(torch.tensor([0.0, 0.0, 0.25 * math.pi], dtype=F64))
    assert so3.mixture_score(between, quarter, level(0.5)).abs().max() < 1e-9  # half way between two of the four
    vector = torch.tensor([0.02, 0.01, 0.5 * math.pi - 0.03], dtype=F64)
    found = so3.mixture_score(so3.rotation(vector), quarter, level(0.1))
    alone = so3.score(so3.rotation_vector(so3.rotation(vector) @ quarter[1].T), level(0.1))
    torch.testing.assert_close(found, alone)


def test_reverse_process_finds_the_data():
    """With the exact score of two rotations' worth of data, ancestral steps end on them with the right odds."""
    generator = torch.Generator().manual_seed(5)
    places = so3.rotation(torch.tensor([[0.0, 0.0, 0.0], [1.2, -1.0, 0.5]], dtype=F64))
    places = places[[0, 0, 0, 1]]  # three to one
    sigmas = [*torch.exp(torch.linspace(math.log(3.0), math.log(0.02), 61, dtype=F64)).tolist(), 0.0]
    turn = so3.uniform_rotation(torch.randn(1500, 4, generator=generator, dtype=F64))
    for sigma, after in itertools.pairwise(sigmas):
        now = level(sigma).expand(1500)
        pull = so3.mixture_score(turn, places.expand(1500, 4, 3, 3), now)
        normal = torch.randn(1500, 3, generator=generator, dtype=F64)
        turn = so3.reverse_step(turn, pull, now, level(after).expand(1500), normal)
    apart = so3.rotation_vector(turn.unsqueeze(1) @ places[[0, 3]].transpose(-1, -2)).norm(dim=-1)
    assert (apart.min(1).values < 1e-3).double().mean() > 0.99
    assert (apart.argmin(1) == 0).double().mean() == pytest.approx(0.75, abs=0.05)
