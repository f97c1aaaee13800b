"""Symmetries of the score network: translation, permutation, rotation, and independence of the batch."""

import pytest
import torch
from crystal_samples import noisy_crystals

from gen.crystals.config import NetworkConfig
from gen.crystals.network import CrystalNetwork
from gen.crystals.pairs import feature_count, pair_features
from gen.diffusion.wrapped_normal import wrap

SPECIES = 7


@pytest.fixture(scope="module")
def network() -> CrystalNetwork:
    torch.manual_seed(0)
    return CrystalNetwork(NetworkConfig(channels=24, edge_channels=16, layers=2), SPECIES).double().eval()


@pytest.fixture
def crystals() -> dict[str, torch.Tensor]:
    return noisy_crystals(SPECIES)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_periodic_translation(network, crystals):
    shift = torch.tensor([0.31, 0.77, 0.05], dtype=torch.float64)
    moved = {**crystals, "frac": wrap(crystals["frac"] + shift)}
    assert_same(network(**crystals), network(**moved))


def test_one_atom_moved_by_a_lattice_vector(network, crystals):
    frac = crystals["frac"].clone()
    frac[:, 2] += torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    assert_same(network(**crystals), network(**{**crystals, "frac": frac}))


def test_permutation(network, crystals):
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    score, velocity, logits = network(**crystals)
    shuffled = {**crystals, "tokens": crystals["tokens"][:, order], "frac": crystals["frac"][:, order]}
    assert_same((score[:, order], velocity, logits[:, order]), network(**shuffled))


def test_rotation_and_reflection(network, crystals):
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    assert_same(network(**crystals), network(**{**crystals, "lattice": crystals["lattice"] @ rotation}))


def test_batch_is_a_list_of_singles(network, crystals):
    together = network(**crystals)
    for row in range(3):
        alone = network(**{name: value[row : row + 1] for name, value in crystals.items()})
        assert_same((part[row : row + 1] for part in together), alone)


def test_score_moves_no_centre_and_the_network_sees_its_inputs(network, crystals):
    score, velocity, logits = network(**crystals)
    assert torch.allclose(score.mean(1), torch.zeros(3, 3, dtype=torch.float64), atol=1e-12)
    for name in ("frac", "components", "lattice", "t"):
        other = network(**{**crystals, name: crystals[name] * 0.9 + 0.01})
        changed = [not torch.allclose(a, b) for a, b in zip((score, velocity, logits), other, strict=True)]
        # an affine map of all coordinates changes differences, so every input must matter
        assert any(changed), name


def test_pair_features_know_the_shortest_image():
    """Rock salt: the nearest image of Cl lies a/2 from Na, along a cell axis of the conventional frame."""
    a = 5.64
    lattice = torch.tensor([[[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]], dtype=torch.float64)
    frac = torch.tensor([[[0.0, 0, 0], [0.5, 0.5, 0.5]]], dtype=torch.float64)
    features, _, distance = pair_features(frac, lattice, 4, 16, 8.0)
    assert features.shape == (1, 2, 2, feature_count(4, 16))
    assert distance[0, 0, 1] == pytest.approx(a / 2)
    assert distance[0, 0, 0] == pytest.approx(a / 2**0.5)  # Na to its own image


def test_pair_features_are_continuous_where_the_nearest_image_changes():
    lattice = torch.tensor([[[2.9, 0, 0], [0.3, 3.1, 0], [-0.2, 0.4, 4.0]]], dtype=torch.float64)
    one, other = (
        pair_features(torch.tensor([[[0.0, 0, 0], [x, 0.5, 0.31]]], dtype=torch.float64), lattice, 4, 16, 8.0)
        for x in (0.5 - 1e-7, 0.5 + 1e-7)
    )
    for first, second in zip(one, other, strict=True):
        assert (first - second).abs().max() < 1e-4


def test_directions_are_odd():
    frac = torch.rand(2, 5, 3, dtype=torch.float64)
    lattice = 5 * torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    _, directions, _ = pair_features(frac, lattice, 4, 16, 8.0)
    assert torch.allclose(directions, -directions.transpose(1, 2), atol=1e-10)
