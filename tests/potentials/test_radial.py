"""Radial functions: smooth to the second derivative where bonds end."""

import pytest
import torch

from potentials.radial import BesselBasis, RadialNetwork, polynomial_cutoff


def derivatives(function, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    values = [function(x)]
    for _ in range(2):
        values.append(torch.autograd.grad(values[-1].sum(), x, create_graph=True)[0])
    return [value.detach() for value in values]


@pytest.mark.parametrize("exponent", [3, 6])
def test_envelope_is_one_at_zero_and_fades_with_two_derivatives(exponent: int) -> None:
    at_zero = polynomial_cutoff(torch.zeros(1, dtype=torch.float64), exponent)
    assert at_zero.item() == 1.0
    near = derivatives(lambda x: polynomial_cutoff(x, exponent), torch.tensor([1 - 1e-6], dtype=torch.float64))
    assert all(abs(value.item()) < 1e-3 for value in near)
    beyond = derivatives(lambda x: polynomial_cutoff(x, exponent), torch.tensor([1.0, 1.3], dtype=torch.float64))
    assert all((value == 0).all() for value in beyond)


def test_envelope_falls_monotonically() -> None:
    values = polynomial_cutoff(torch.linspace(0, 1, 200, dtype=torch.float64))
    assert (values.diff() < 0).all()


def test_bessel_functions_are_orthogonal_inside_the_sphere() -> None:
    # without the envelope, sqrt(2/c) sin(n pi r/c)/r are orthonormal with weight r^2
    cutoff, count = 4.0, 6
    r = torch.linspace(1e-4, cutoff, 40001, dtype=torch.float64)
    basis = BesselBasis(cutoff, count).double()(r) / polynomial_cutoff(r / cutoff)[:, None].clamp_min(1e-300)
    basis = basis[:-1] / r.new_tensor(cutoff).sqrt() * (cutoff / r[:-1, None]) * r[:-1, None] / cutoff
    r = r[:-1]
    gram = torch.trapezoid(basis[:, :, None] * basis[:, None, :] * r[:, None, None] ** 2, r, dim=0)
    assert torch.allclose(gram / gram[0, 0], torch.eye(count, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("hidden", [16, 0])
def test_weights_vanish_with_the_basis(hidden: int) -> None:
    network = RadialNetwork(8, hidden, 5)
    basis = BesselBasis(5.0, 8)(torch.tensor([2.0, 5.0, 7.0]))
    weights = network(basis)
    assert weights[0].abs().max() > 0
    assert (weights[1:] == 0).all()
