"""Blocks turned to their neighbours: recovered rotations, handedness, noise."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gen.sorbents.bodies import Body, library_body, transformed
from gen.sorbents.catalog import load_catalog
from gen.sorbents.orientation import kabsch, orientations


def node_of(connections: int) -> Body:
    """The first node of the library with so many connection points."""
    return library_body(next(b.name for b in load_catalog().blocks.values() if b.connections == connections))


@pytest.mark.parametrize("connections", [3, 4, 6, 8, 12])
def test_a_turned_block_is_recovered_from_shuffled_directions(connections):
    body = node_of(connections)
    rng = np.random.default_rng(connections)
    for seed in range(3):
        turn = Rotation.random(random_state=seed).as_matrix()
        shuffle = rng.permutation(connections)
        directions = transformed(body, turn, np.zeros(3)).points[shuffle] * rng.uniform(1, 3, (connections, 1))
        best = orientations(body, directions, limit=1)[0]
        assert best.rmsd < 1e-6
        assert np.linalg.det(best.turn) == pytest.approx(1.0)
        assert sorted(best.order) == list(range(connections))
        arms = body.points / np.linalg.norm(body.points, axis=1, keepdims=True)
        wanted = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        np.testing.assert_allclose(arms[best.order] @ best.turn.T, wanted, atol=1e-6)


@pytest.mark.parametrize(("noise", "limit"), [(0.05, 8.0), (0.2, 25.0)])
def test_noise_of_directions_bounds_the_error_of_the_turn(noise, limit):
    body = node_of(6)
    rng = np.random.default_rng(3)
    turn = Rotation.random(random_state=9).as_matrix()
    arms = body.points / np.linalg.norm(body.points, axis=1, keepdims=True)
    best = orientations(body, arms @ turn.T + rng.normal(0, noise, arms.shape), limit=1)[0]
    errors = arms[best.order] @ best.turn.T - arms @ turn.T
    assert np.degrees(np.linalg.norm(errors, axis=1).max()) < limit


def corner(*arms: tuple[float, float, float]) -> Body:
    """Three different arms at a metal: with its mirror image it cannot be brought to coincide."""
    points = np.array(arms, float)
    return Body("corner", np.array([30, 6, 6, 6]), np.concatenate([np.zeros((1, 3)), points / 2]), points,
                np.arange(1, 4), np.array([(0, 1), (0, 2), (0, 3)]))  # fmt: skip


def test_a_chiral_block_keeps_its_hand_and_is_mirrored_only_where_that_fits():
    block = corner((1.0, 0.0, 0.2), (0.1, 1.0, 0.0), (0.5, -0.3, 1.0))
    turn = Rotation.random(random_state=4).as_matrix()
    arms = block.points - block.centre
    assert np.linalg.det(orientations(block, arms @ turn.T)[0].turn) == pytest.approx(1.0)
    octahedron = node_of(6)
    mirrored = orientations(octahedron, -octahedron.points)[0]  # inversion leaves it as it is, or nearly so
    assert mirrored.rmsd < 0.3
    four = corner((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-0.2, 0.4, 1.0))
    arms = four.points - four.centre
    # Three directions from their own mean lie in a plane, where a mirror is a rotation: no reflection is needed.
    assert np.linalg.det(orientations(four, arms * np.array([1.0, 1.0, -1.0]))[0].turn) == pytest.approx(1.0)


def test_a_mirrored_net_takes_the_mirror_image():
    twisted = np.array([(1, 0, 0.35), (-1, 0, 0.35), (0.55, 0.835, -0.35), (-0.55, -0.835, -0.35)])
    body = Body("twisted", np.array([30, 6, 6, 6, 6]), np.concatenate([np.zeros((1, 3)), twisted / 2]), twisted,
                np.arange(1, 5), np.array([(0, k) for k in range(1, 5)]))  # fmt: skip
    kept = orientations(body, twisted @ Rotation.random(random_state=1).as_matrix().T)[0]
    assert np.linalg.det(kept.turn) == pytest.approx(1.0)
    mirrored = orientations(body, twisted * np.array([1.0, 1.0, -1.0]))[0]
    assert np.linalg.det(mirrored.turn) == pytest.approx(-1.0)
    assert mirrored.rmsd < 1e-6


def test_kabsch_agrees_with_scipy():
    rng = np.random.default_rng(0)
    vectors, wanted = rng.normal(size=(5, 7, 3)), rng.normal(size=(7, 3))
    for ours, each in zip(kabsch(vectors, wanted), vectors, strict=True):
        np.testing.assert_allclose(ours, Rotation.align_vectors(wanted, each)[0].as_matrix(), atol=1e-9)
