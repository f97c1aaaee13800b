"""Property embeddings, zero-initialised adapters, dropping, guidance."""

import math

import pytest
import torch

from gen.crystals.config import NetworkConfig
from gen.crystals.guidance import steered
from gen.crystals.network import CrystalNetwork
from gen.crystals.properties import drop, fit_specs

NAN = math.nan
SMALL = NetworkConfig(channels=16, layers=2, edge_channels=16, frequencies=4, radial=8)
VALUES = torch.tensor([[1.0, 225.0], [3.0, NAN], [NAN, 2.0], [NAN, NAN]])


@pytest.fixture
def network() -> CrystalNetwork:
    torch.manual_seed(0)
    return CrystalNetwork(SMALL, 5, fit_specs(["density", "space_group"], VALUES))


@pytest.fixture
def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return (
        torch.randint(0, 5, (4, 3)),
        torch.rand(4, 3, 3),
        torch.randn(4, 6),
        torch.eye(3).expand(4, 3, 3) * 4,
        torch.rand(4),
    )


def train(network: CrystalNetwork) -> None:
    with torch.no_grad():
        for adapter in network.conditioning.adapters:
            adapter.weight.normal_(std=0.3)


def test_specs():
    density, group = fit_specs(["density", "space_group"], VALUES)
    assert (density.mean, density.std, density.low, density.high, density.count) == (2.0, 1.0, 1.0, 3.0, 2)
    assert (group.kind, group.count) == ("category", 2)


def test_new_adapters_change_nothing(network, inputs):
    for free, told in zip(network(*inputs), network(*inputs, VALUES), strict=True):
        assert torch.equal(free, told)


def test_a_row_without_values_is_the_unconditioned_network(network, inputs):
    train(network)
    for free, told in zip(network(*inputs), network(*inputs, VALUES), strict=True):
        assert torch.allclose(free[3], told[3], atol=1e-6)
        assert not torch.allclose(free[:3], told[:3], atol=1e-4)


def test_every_property_matters_on_its_own(network, inputs):
    train(network)
    heads = [
        network(*inputs, torch.tensor([row]).expand(4, 2))[1] for row in ([1.0, NAN], [2.0, NAN], [NAN, 2], [1.0, 2])
    ]
    for i, first in enumerate(heads):
        assert not any(torch.allclose(first, second, atol=1e-5) for second in heads[i + 1 :])


def test_dropping_shows_every_subset():
    uniform = torch.rand(20000, 5, generator=torch.Generator().manual_seed(0))
    hidden = drop(torch.zeros(20000, 3), 0.2, uniform).isnan()
    assert hidden.all(1).float().mean() == pytest.approx(0.2, abs=0.015)
    kept = (~hidden).sum(1)
    for count in (1, 2, 3):  # as often each
        assert (kept == count).float().mean() == pytest.approx(0.8 / 3, abs=0.015)
    assert hidden.float().mean(0).tolist() == pytest.approx([hidden.float().mean().item()] * 3, abs=0.02)


def test_guidance_extrapolates_from_free_to_conditioned(network, inputs):
    train(network)
    values = torch.tensor([2.5, 62.0])
    free, told = network(*inputs), network(*inputs, values.expand(4, 2))
    for weight in (1.0, 2.0, 0.5):
        for head, without, with_values in zip(steered(network, values, weight)(*inputs), free, told, strict=True):
            assert torch.allclose(head, without + weight * (with_values - without), atol=1e-5)
