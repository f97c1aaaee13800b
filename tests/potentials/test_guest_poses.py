"""What charge errors do in the pores: the change of a Henry coefficient, and the loss that learns from it."""

from dataclasses import replace

import pytest
import torch

from potentials.charge_network import ChargeGraph, ChargeNetworkConfig
from potentials.charge_training import (
    ChargeTrainConfig,
    LabelledGraph,
    charge_errors,
    huber,
    pore_penalty,
    train_charge_network,
)
from potentials.guest_poses import GuestPoses, energy_changes, log_henry_change


def poses(seed: int, count: int = 50, atoms: int = 4, scale: float = 3.0) -> GuestPoses:
    generator = torch.Generator().manual_seed(seed)
    share = torch.softmax(torch.randn(count, generator=generator), dim=0)
    return GuestPoses(scale * torch.randn(count, atoms, generator=generator), share.log())


def system(seed: int, own: GuestPoses | None) -> LabelledGraph:
    """Four atoms in a row, charged by their place."""
    generator = torch.Generator().manual_seed(seed)
    spacing = 1.5 + torch.rand(3, generator=generator)
    x = torch.cat([torch.zeros(1), spacing.cumsum(0)])
    centre, neighbour = torch.nonzero(~torch.eye(4, dtype=torch.bool), as_tuple=True)
    vectors = torch.zeros(len(centre), 3)
    vectors[:, 0] = x[neighbour] - x[centre]
    near = vectors.norm(dim=1) < 4.0
    graph = ChargeGraph(
        numbers=torch.tensor([8, 6, 6, 30]),
        centre=centre[near],
        neighbour=neighbour[near],
        vectors=vectors[near],
        multiplicity=torch.ones(4),
        base=torch.tensor([-0.5, 0.0, 0.0, 0.5]),
        prior=torch.zeros(4, 1),
        system=torch.zeros(4, dtype=torch.int64),
    )
    target = graph.base + 0.1 * torch.cat([-spacing[:1], spacing[:1], -spacing[1:2], spacing[1:2]])
    return LabelledGraph(graph, target, own)


def test_the_henry_coefficient_follows_the_energies_of_the_poses():
    own = poses(0)
    right, off = torch.zeros(4), torch.tensor([0.02, -0.01, 0.03, -0.04])
    assert float(log_henry_change(own, right)) == pytest.approx(0.0, abs=1e-6)
    boltzmann = own.log_share.exp() * torch.exp(-energy_changes(own, off))
    assert float(log_henry_change(own, off)) == pytest.approx(float(boltzmann.sum().log()), abs=1e-6)
    deeper = GuestPoses(torch.ones(50, 4), own.log_share)  # every pose by the same energy: K by its Boltzmann factor
    assert float(log_henry_change(deeper, torch.tensor([-0.5, -0.5, 0.0, 0.0]))) == pytest.approx(1.0, abs=1e-6)


def test_the_gradient_at_the_true_charges_is_the_mean_energy():
    own = poses(1)
    error = torch.zeros(4, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_henry_change(own, error), error)
    assert gradient == pytest.approx((-own.log_share.exp() @ own.operator).numpy(), abs=1e-6)


def test_the_penalty_is_the_mean_over_systems_that_have_poses():
    config = ChargeTrainConfig(henry_weight=0.3, henry_delta=0.2, pose_weight=0.05, pose_delta=0.4)
    first, second = system(0, poses(0)), system(1, poses(1))
    error = 0.02 * torch.randn(12, generator=torch.Generator().manual_seed(5))

    def by_hand(own, part):
        henry = huber(log_henry_change(own, part), 0.2)
        return 0.3 * henry + 0.05 * huber(energy_changes(own, part), 0.4).mean()

    expected = 0.5 * (by_hand(first.poses, error[:4]) + by_hand(second.poses, error[8:]))
    found = pore_penalty(config, [first, system(2, None), second], error)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(pore_penalty(config, [system(2, None)], error[:4])) == 0.0


def test_errors_state_what_happens_in_the_pores():
    class Fixed(torch.nn.Module):
        def forward(self, graph):
            return torch.cat([one.target for one in systems]) + off

    systems = [system(0, poses(0)), system(1, None), system(2, poses(2, scale=30.0))]
    off = torch.tensor([0.02, -0.02, 0.0, 0.0]).repeat(3)
    found = charge_errors(Fixed(), systems)
    changes = [abs(float(log_henry_change(s.poses, off[:4]))) for s in systems if s.poses is not None]
    assert found.log_henry == pytest.approx(sum(changes) / 2, rel=1e-5)
    assert found.within == sum(change < 0.405465 for change in changes) / 2
    assert found.mean_absolute == pytest.approx(0.01, rel=1e-5)
    assert found.score(0.5) == pytest.approx(found.mean_absolute + 0.5 * found.log_henry)
    bare = charge_errors(Fixed(), [replace(s, poses=None) for s in systems])
    assert bare.log_henry is None
    assert bare.score(0.5) == bare.mean_absolute


def test_training_on_the_pores_brings_the_henry_coefficients_closer(tmp_path):
    shape = ChargeNetworkConfig(cutoff=4.0, channels=4, carried=(4,), layers=1, radial_hidden=4, prior_features=1)
    systems = [system(k, poses(k % 2, scale=8.0)) for k in range(16)]
    plain = ChargeTrainConfig(epochs=12, atoms=16, lr=2e-2, warmup_steps=2, ema=0.5, noise=0.0, keep="last")
    found = {}
    for name, config in {"plain": plain, "pores": plain.model_copy(update={"henry_weight": 0.5})}.items():
        model, progress = train_charge_network(config, shape, systems, systems, tmp_path / name, identity={}, seed=1)
        assert progress["best_epoch"] == 11  # the last, whatever its error
        found[name] = charge_errors(model, systems)
    assert found["pores"].log_henry < 0.8 * found["plain"].log_henry
