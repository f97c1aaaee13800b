"""The gradient by differences is that of differentiating twice."""

import pytest
import torch

from potentials.atom_graph import collate, make_graph
from potentials.difference_loss import difference_loss
from potentials.long_range import LongRangeConfig
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel

SHAPE = {"cutoff": 4.0, "channels": 8, "radial_hidden": 8}


def system(dtype=torch.float64, **changes):
    """A molecule, a crystal and a lone atom; a model calibrated on them."""
    generator = torch.Generator().manual_seed(3)
    molecule = torch.rand(6, 3, generator=generator, dtype=torch.float64) * 3
    crystal = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 3.8
    zero, cell = torch.zeros(3, 3, dtype=torch.float64), 3.8 * torch.eye(3, dtype=torch.float64)
    nothing, all_axes = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    batch = collate(
        [
            make_graph([1, 8, 1, 6, 6, 1], molecule, zero, nothing),
            make_graph([8, 6, 6, 8], crystal, cell, all_axes),
            make_graph([1], molecule[:1], zero, nothing),
        ]
    )
    torch.manual_seed(0)
    model = EnergyModel(
        NetworkConfig(**SHAPE | changes), {1: -1.0, 6: 2.0, 8: 0.5}, 2.0, zbl=True, dtype=dtype, pair_baseline=True
    )
    assert model.pair_baseline is not None
    torch.nn.init.constant_(model.pair_baseline.coefficients, 0.5)
    neighbours = neighbour_list(batch, 4.0)
    model.calibrate(batch, neighbours)
    return model, batch, neighbours


def some_loss(output):
    """Of everything, with weights that differ by system."""
    total = (output["energy"] * torch.tensor([1.0, -2.0, 0.3])).sum() + output["forces"].square().sum()
    total = total + 3 * (output["site_energies"] - 0.2).square().sum()
    return total + 30 * output["stress"].square().sum() + output["stress"][1, 0, 1]


def gradients(loss, model):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("architecture", ["density", "plain"])
def test_agrees_with_differentiating_twice(architecture):
    model, batch, neighbours = system(architecture=architecture)
    exact = some_loss(model(batch, neighbours, differentiable=True))
    found = difference_loss(model, batch, neighbours, some_loss, stress=True)
    torch.testing.assert_close(found, exact)
    expected, mine = gradients(exact, model), gradients(found, model)
    assert (mine - expected).norm() < 1e-4 * expected.norm()


def test_single_precision():
    model, batch, neighbours = system(torch.float32)
    exact = gradients(some_loss(model(batch, neighbours, differentiable=True)), model)
    mine = gradients(difference_loss(model, batch, neighbours, some_loss, stress=True), model)
    assert (mine - exact).norm() < 2e-3 * exact.norm()


def test_energies_alone():
    model, batch, neighbours = system()

    def loss(output):
        return output["energy"].square().sum()

    exact = gradients(loss(model(batch, neighbours, stress=False, differentiable=True)), model)
    mine = gradients(difference_loss(model, batch, neighbours, loss, stress=False), model)
    torch.testing.assert_close(mine, exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))


def test_long_range_is_refused():
    model, batch, neighbours = system()
    charged = EnergyModel(model.config, {1: 0.0, 6: 0.0, 8: 0.0}, long_range=LongRangeConfig())
    with pytest.raises(ValueError, match="long-range"):
        difference_loss(charged, batch, neighbours, some_loss, stress=True)
