"""Symmetries of the bead network, blocks it never met, roles, conditions and guidance."""

import numpy as np
import pytest
import torch

from gen.crystals.config import NetworkConfig
from gen.crystals.lattice import decode
from gen.crystals.properties import PropertySpec
from gen.diffusion.wrapped_normal import wrap
from gen.sorbents.bead_network import BARRED, BeadNetwork, bound

CONNECTIONS = (2, 2, 2, 3, 3, 6, 6)  # of the blocks of a small library
MASK = len(CONNECTIONS)
VOID = PropertySpec("void_fraction", "scalar", 0.5, 0.2, 0.1, 0.9, 100)
PLD = PropertySpec("pld_angstrom", "scalar", 6.0, 3.0, 1.0, 20.0, 90)
CONFIG = NetworkConfig(channels=24, edge_channels=16, layers=2)


def make_network(count: int = len(CONNECTIONS)) -> BeadNetwork:
    """The first `count` blocks of the library; weights do not depend on how many."""
    torch.manual_seed(0)
    table = torch.randn(len(CONNECTIONS), 5, generator=torch.Generator().manual_seed(3))
    sizes = torch.tensor([0.0, 0.8, 2.0, 1.0, 1.5, 1.4, 2.5])
    network = BeadNetwork(CONFIG, table[:count], CONNECTIONS[:count], sizes[:count], (VOID, PLD)).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            if name == "repeat.weight":
                parameter.mul_(3)
    return network


@pytest.fixture(scope="module")
def network() -> BeadNetwork:
    return make_network()


@pytest.fixture
def beads() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = 0.15 * torch.randn(3, 6, generator=generator, dtype=torch.float64)
    shape[:, 0] += 2.8
    tokens = torch.tensor([[0, 1, MASK, 3, 5], [2, 2, 2, MASK, 6], [MASK] * 5])
    return {
        "tokens": tokens,
        "frac": torch.rand(3, 5, 3, generator=generator, dtype=torch.float64),
        "components": torch.randn(3, 6, generator=generator, dtype=torch.float64),
        "lattice": decode(shape),
        "t": torch.rand(3, generator=generator, dtype=torch.float64),
        "values": torch.tensor([[0.5, 4.0], [np.nan, 8.0], [np.nan, np.nan]], dtype=torch.float64),
        "roles": torch.tensor([[2, 2, 2, 3, 6], [2, 2, 2, 3, 6], [2, 2, 3, 3, 6]]),
    }


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_periodic_translation_rotation_and_reflection(network, beads):
    shift = torch.tensor([0.31, 0.77, 0.05], dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    moved = {**beads, "frac": wrap(beads["frac"] + shift), "lattice": beads["lattice"] @ rotation}
    assert_same(network(**beads), network(**moved))


def linked(beads) -> dict:
    """The same with graphs: two of them known, the third open."""
    joined = torch.zeros(3, 5, 5, dtype=torch.int8)
    for i, j, times in ((0, 3, 1), (0, 4, 1), (1, 4, 2), (2, 3, 2)):
        joined[:, i, j] += times
        joined[:, j, i] += times
    joined[2] = -1
    return {**beads, "joined": joined}


def test_graph_matters_where_it_is_known_and_keeps_the_symmetries(network, beads):
    given = linked(beads)
    free, told = network(**beads), network(**given)
    assert_same([x[2] for x in free], [x[2] for x in told])
    for one, other in zip(free, told, strict=True):
        assert not torch.allclose(one[:2], other[:2], atol=1e-3)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = {**given, **{name: given[name][:, order] for name in ("tokens", "frac", "roles")}}
    shuffled["joined"] = given["joined"][:, order][:, :, order]
    score, velocity, logits = told
    assert_same((score[:, order], velocity, logits[:, order]), network(**shuffled))
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    assert_same(told, network(**{**given, "lattice": beads["lattice"] @ rotation}))


def test_guidance_keeps_the_graph(network, beads):
    given = linked(beads)
    inputs = [given[name] for name in ("tokens", "frac", "components", "lattice", "t")]
    free = network(**{**given, "values": None})
    told = network(**given)
    steered = bound(network, given["roles"], given["values"], 2.0, joined=given["joined"])(*inputs)
    assert_same(steered, [f + 2.0 * (v - f) for f, v in zip(free, told, strict=True)])


def test_permutation(network, beads):
    order = torch.tensor([3, 0, 4, 1, 2])
    score, velocity, logits = network(**beads)
    shuffled = {**beads, **{name: beads[name][:, order] for name in ("tokens", "frac", "roles")}}
    assert_same((score[:, order], velocity, logits[:, order]), network(**shuffled))


def test_inversion_is_seen_and_scores_have_no_mean(network, beads):
    score, _, _ = network(**beads)
    inverted, _, _ = network(**{**beads, "frac": wrap(-beads["frac"])})
    assert torch.allclose(score.mean(1), torch.zeros(3, 3, dtype=torch.float64), atol=1e-12)
    assert not torch.allclose(score, inverted)


def test_blocks_of_other_roles_are_barred(network, beads):
    _, _, logits = network(**beads)
    right = beads["roles"].unsqueeze(-1) == torch.tensor(CONNECTIONS)
    assert torch.all((logits > BARRED / 2) == right)


def test_a_larger_library_changes_nothing_for_the_blocks_there_were(beads):
    small, large = make_network(6), make_network(7)
    tokens = torch.tensor([[0, 1, 4, 3, 5], [2, 2, 2, 4, 5], [1, 0, 3, 3, 5]])
    known = {**beads, "tokens": tokens}
    (score, velocity, logits), (more_score, more_velocity, more_logits) = small(**known), large(**known)
    assert_same((score, velocity, logits), (more_score, more_velocity, more_logits[..., :6]))
    assert torch.all(more_logits[:, 4, 6] > BARRED / 2)  # the new block stands for choice like any other


def test_a_block_is_its_fingerprint(beads):
    network = make_network()
    network.embedding.fingerprints[1] = network.embedding.fingerprints[0]
    network.sizes[1] = network.sizes[0]
    tokens = beads["tokens"].clone()
    tokens[0, :2] = torch.tensor([1, 0])
    first, second = network(**beads), network(**{**beads, "tokens": tokens})
    assert_same(first, second)


def test_known_blocks_may_attract_more_of_their_kind(beads):
    network = make_network()
    torch.nn.init.zeros_(network.repeat.weight)
    with torch.no_grad():
        network.repeat.bias.copy_(torch.tensor([5.0, 0.0]))
    with_gate = network(**beads)[2]
    with torch.no_grad():
        network.repeat.bias.zero_()
    gain = with_gate - network(**beads)[2]
    assert torch.allclose(gain[0, 2, :3], torch.tensor([5.0, 5.0, 0.0], dtype=torch.float64))  # 0 and 1 are there
    assert torch.allclose(gain[2], torch.zeros_like(gain[2]))  # all hidden: nothing to repeat


def test_bound_network_is_the_network_and_guidance_extrapolates(network, beads):
    roles, values = beads["roles"], beads["values"]
    inputs = tuple(beads[name] for name in ("tokens", "frac", "components", "lattice", "t"))
    told = network(*inputs, values, roles)
    free = network(*inputs, None, roles)
    assert_same(bound(network, roles, values)(*inputs), told)
    assert_same(bound(network, roles)(*inputs), free)
    assert_same(bound(network, roles, values, 0.0)(*inputs), free)
    steered = bound(network, roles, values, 2.5)(*inputs)
    assert_same(steered, (f + 2.5 * (t - f) for f, t in zip(free, told, strict=True)))
    assert not torch.allclose(steered[0][0], told[0][0])
    assert torch.isfinite(steered[2]).all()
    assert torch.allclose(steered[1][2], free[1][2])  # a row that asks for nothing
    one = bound(network, roles[0], values[0], 2.5)(*(x[:1] for x in inputs))
    assert_same((part[:1] for part in steered), one)
