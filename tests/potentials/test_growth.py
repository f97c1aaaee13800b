"""A trained network takes more features and says at first what it said."""

import pytest
import torch
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from
from potentials.growth import can_grow, grown
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel

SHAPE = {"cutoff": 4.0, "channels": 6, "lmax": 2, "carried": (5, 3), "layers": 3, "body_order": 4}


def batch():
    frames = [bulk("NaCl", "rocksalt", a=5.4), molecule("CH3CH2OH")]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=k)
    return collate([graph_from(atoms) for atoms in frames])


def model(**changes) -> EnergyModel:
    torch.manual_seed(3)
    config = NetworkConfig(**SHAPE | changes)
    return EnergyModel(config, dict.fromkeys((1, 6, 8, 11, 17), -1.0), 2.0, dtype=torch.float64)


@pytest.mark.parametrize("carried", [(5, 7), (5, 3, 2), (5, 4, 6)])
@pytest.mark.parametrize("changes", [{}, {"radial_hidden": 8}, {"radial_per_pair": True}, {"body_order": 3}])
def test_a_grown_network_says_what_it_said_and_its_new_features_learn(carried, changes):
    small = model(**changes)
    sample = batch()
    neighbours = neighbour_list(sample, 4.0)
    small.calibrate(sample, neighbours)
    large = grown(small, small.config.model_copy(update={"carried": carried}), seed=1)
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    old, new = small(sample, neighbours), large(sample, neighbours, differentiable=True)
    for key in ("energy", "forces", "stress", "site_energies"):
        torch.testing.assert_close(new[key].detach(), old[key].detach(), atol=1e-10, rtol=1e-10)
    new["forces"].square().sum().backward()
    for degree in range(3):  # what reads the new features is zero, and is told how to change
        weights = large.network.layers[1].mix_density[degree]
        fresh = (weights == 0).all(1)
        assert fresh.any()
        assert (weights.grad[fresh] != 0).any()


@pytest.mark.parametrize("carried", [(5, 3), (5, 4, 6)])
@pytest.mark.parametrize("changes", [{}, {"radial_hidden": 8}, {"radial_per_pair": True}])
def test_more_radial_functions_say_what_fewer_said_and_learn(carried, changes):
    small = model(**changes)
    sample = batch()
    neighbours = neighbour_list(sample, 4.0)
    small.calibrate(sample, neighbours)
    wanted = small.config.model_copy(update={"carried": carried, "radial_functions": 13})
    large = grown(small, wanted, seed=1)
    old, new = small(sample, neighbours), large(sample, neighbours, differentiable=True)
    for key in ("energy", "forces", "stress", "site_energies"):
        torch.testing.assert_close(new[key].detach(), old[key].detach(), atol=1e-10, rtol=1e-10)
    new["forces"].square().sum().backward()
    for layer in large.network.layers:
        weights = layer.radial.weights[0]
        assert len(weights) == 13
        assert (weights.grad[8:, :5] != 0).all()


def test_nothing_else_grows():
    config = NetworkConfig(**SHAPE)
    assert can_grow(config, config.model_copy(update={"carried": (5, 3, 1)}))
    assert can_grow(config, config.model_copy(update={"radial_functions": 9}))
    others = ({"carried": (6, 3)}, {"carried": (5, 2)}, {"carried": (5,)}, {"channels": 8}, {"layers": 2})
    for changes in (*others, {"radial_functions": 7}, {"radial_hidden": 8}):
        other = config.model_copy(update=changes)
        assert not can_grow(config, other)
        with pytest.raises(ValueError, match="cannot grow"):
            grown(model(), other, seed=0)
