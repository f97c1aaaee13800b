"""Joint features of beads: what they are on a net drawn by hand, and their symmetries."""

import math

import pytest
import torch

from gen.sorbents.joint_pairs import CENTRES, PAIRS, SHELLS, SPRINGS, VIRIAL, joint_features, reach_features

FRAC = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]], dtype=torch.float64)  # pcu
EDGE = torch.tensor([[False, True, True, True]])
SIZES = torch.tensor([[1.5, 1.0, 1.0, 1.0]], dtype=torch.float64)  # they meet where the cell is 5 long


def cubic(length: float) -> torch.Tensor:
    return length * torch.eye(3, dtype=torch.float64).unsqueeze(0)


def test_closed_joints_pull_nowhere_and_fill_the_shell_at_one():
    shells, springs, virial = joint_features(FRAC, cubic(5.0), SIZES, EDGE)
    assert shells.shape == (1, 4, 4, SHELLS)
    assert springs.shape == (1, 4, 4, 3, SPRINGS)
    assert virial.shape == (1, VIRIAL)
    assert float(shells[0, 0, 1, CENTRES.index(1.0)]) == pytest.approx(2.0)  # an edge half way between two images
    assert torch.allclose(springs, torch.zeros_like(springs), atol=1e-12)
    # other images lie at sqrt(5) times the reach and beyond, where springs are worn out: exp(-(1.24/0.8)^2) at most
    assert float(virial.abs().max()) < 1.2


def test_virial_tells_which_axis_is_too_long():
    def strain(scale: tuple[float, float, float]) -> torch.Tensor:
        lattice = cubic(5.0) * torch.tensor(scale, dtype=torch.float64)
        return joint_features(FRAC, lattice, SIZES, EDGE)[2].reshape(len(PAIRS), SPRINGS)[:, 0]

    relaxed = strain((1.0, 1.0, 1.0))
    longer = strain((1.1, 1.0, 1.0)) - relaxed
    shorter = strain((0.9, 1.0, 1.0)) - relaxed
    assert float(longer[0]) > 0.05
    assert float(shorter[0]) < -0.05
    assert abs(float(longer[1])) < 0.3 * float(longer[0])
    assert abs(float(longer[3])) < 1e-9  # no shear


def test_springs_point_back_to_the_middle():
    moved = FRAC.clone()
    moved[0, 1, 0] += 0.04  # the first linker slides towards the node's next image
    _, springs, _ = joint_features(moved, cubic(5.0), SIZES, EDGE)
    from_node = springs[0, 0, 1, :, 0]
    assert abs(float(from_node[0])) > 0.05
    assert torch.allclose(from_node[1:], torch.zeros(2, dtype=torch.float64), atol=1e-12)
    assert torch.equal(springs[0, 1, 0], -springs[0, 0, 1])
    opposite = FRAC.clone()
    opposite[0, 1, 0] -= 0.04
    _, other, _ = joint_features(opposite, cubic(5.0), SIZES, EDGE)
    assert torch.allclose(other[0, 0, 1], -springs[0, 0, 1], atol=1e-12)


def test_only_nodes_and_edges_are_joined():
    shells, springs, _ = joint_features(FRAC, cubic(5.0), SIZES, EDGE)
    assert float(shells[0, 1, 2].abs().max()) == 0.0
    assert float(springs[0, 0, 0].abs().max()) == 0.0


def test_continuous_where_another_image_becomes_the_nearest():
    generator = torch.Generator().manual_seed(0)
    lattice = cubic(5.0) + 0.8 * torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
    frac = torch.rand(1, 4, 3, generator=generator, dtype=torch.float64)
    sides = []
    for step in (-1e-7, 1e-7):
        there = frac.clone()
        there[0, 1] = frac[0, 0] + torch.tensor([0.5 + step, 0.2, -0.3])
        sides.append(joint_features(there, lattice, SIZES, EDGE))
    for one, other in zip(*sides, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_rows_of_a_batch_with_other_roles_do_not_mix():
    swapped = EDGE.flip(1)
    both = joint_features(
        FRAC.repeat(2, 1, 1), cubic(5.2).repeat(2, 1, 1), SIZES.repeat(2, 1), torch.cat([EDGE, swapped])
    )
    for row, edges in enumerate((EDGE, swapped)):
        alone = joint_features(FRAC, cubic(5.2), SIZES, edges)
        for part, whole in zip(alone, both, strict=True):
            assert torch.allclose(whole[row : row + 1], part)


def test_reach_features_follow_joints_and_cell():
    roles = torch.tensor([[6, 2, 2, 2]])
    first = reach_features(cubic(5.0), SIZES, roles)
    assert float(first[0, 0]) == pytest.approx(math.log(2.5))  # 1.5 of the node and 1.0 of the edges
    assert float(first[0, 1]) == pytest.approx(math.log(5.0 / 4 ** (1 / 3) / 2.5))
    both = reach_features(cubic(10.0), 2 * SIZES, roles)
    assert float(both[0, 0] - first[0, 0]) == pytest.approx(math.log(2))
    assert float(both[0, 1]) == pytest.approx(float(first[0, 1]))
