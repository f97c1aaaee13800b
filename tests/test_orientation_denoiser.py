"""Rotations of blocks by diffusion: symmetry of blocks, geometry of sites, equivariance, and learning a true turn."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is no installed package

from benchmarks.orientation_denoiser import (
    OrientationNetwork,
    ScoreNorms,
    Sites,
    covering_turns,
    denoising_loss,
    diffused_orientations,
    joined,
    sample_turns,
    sites_of,
)
from gen.diffusion import so3
from gen.sorbents.assembly import assemble
from gen.sorbents.bodies import Body
from gen.sorbents.catalog import load_catalog
from gen.sorbents.recipe import Recipe


@pytest.fixture(scope="module")
def framework():
    return assemble(Recipe("pcu", ("N16",), ("E14",)), load_catalog())


def star(*arms: tuple[float, float, float]) -> Body:
    """A metal with an atom on the way to each connection point."""
    points = np.array(arms, float)
    numbers = np.array([30, *[6] * len(points)])
    atoms = np.concatenate([np.zeros((1, 3)), 0.6 * points])
    ends = np.arange(1, len(points) + 1)
    return Body("star", numbers, atoms, points, ends, np.stack([np.zeros_like(ends), ends], axis=1))


OCTAHEDRON = [(2, 0, 0), (-2, 0, 0), (0, 2, 0), (0, -2, 0), (0, 0, 2), (0, 0, -2)]
STRETCHED = [*OCTAHEDRON[:4], (0, 0, 3), (0, 0, -3)]
TETRAHEDRON = [(2, 2, 2), (2, -2, -2), (-2, 2, -2), (-2, -2, 2)]


@pytest.mark.parametrize(
    ("arms", "rotations", "reflections"), [(OCTAHEDRON, 24, 24), (STRETCHED, 8, 8), (TETRAHEDRON, 12, 12)]
)
def test_point_groups_of_shapes(arms, rotations, reflections):
    turned = Rotation.random(random_state=1).as_matrix()
    turns = covering_turns(star(*(np.array(arms, float) @ turned.T).tolist()))
    signs = np.array([round(float(np.linalg.det(turn))) for turn in turns])
    assert ((signs == 1).sum(), (signs == -1).sum()) == (rotations, reflections)
    for first in turns[:4]:  # closed under composition
        for second in turns:
            assert min(np.abs(first @ second - turn).max() for turn in turns) < 1e-6


def test_atoms_lower_the_symmetry_of_connection_points():
    body = star(*OCTAHEDRON)
    marked = dataclasses.replace(body, numbers=np.array([30, 7, 6, 6, 6, 6, 6]))
    assert len(covering_turns(marked)) == 8  # C4v


def test_sites_hold_the_vectors_between_beads(framework):
    beads, links = framework.beads, framework.links
    ((c, (nodes, sites)),) = sites_of(beads, links).items()
    assert (c, len(nodes)) == (6, 1)
    # in pcu every linker lies half way between images of the one node
    torch.testing.assert_close(sites.far, 2 * sites.near, atol=0.3, rtol=0)
    lengths = np.sort(sites.far[0].norm(dim=-1).numpy())
    np.testing.assert_allclose(lengths, np.sort(np.repeat(framework.structure.lattice.abc, 2)), atol=1e-3)
    shifts = torch.randn(len(beads.blocks), 3)
    moved = sites.noised(shifts, torch.zeros(1, 3, 3))
    torch.testing.assert_close(moved.far, sites.far)  # a node and its image move together
    torch.testing.assert_close((moved.near - sites.near)[0], shifts[sites.beads[0, 1:7]] - shifts[nodes[0]])


def test_score_turns_with_everything_and_does_not_see_inversion(framework):
    ((_, (_, sites)),) = sites_of(framework.beads, framework.links).items()
    sites = joined([sites] * 5)
    generator = torch.Generator().manual_seed(0)
    network = OrientationNetwork()
    turns = so3.uniform_rotation(torch.randn(5, 4, generator=generator))
    sigma = torch.tensor([0.05, 0.2, 0.5, 1.0, 2.0])
    plain = network(sites, turns, sigma)
    whole = so3.uniform_rotation(torch.randn(4, generator=generator))
    turned = dataclasses.replace(sites, near=sites.near @ whole.mT, far=sites.far @ whole.mT)
    torch.testing.assert_close(network(turned, whole @ turns, sigma), plain @ whole.mT, atol=2e-5, rtol=1e-4)
    mirrored = {name: -getattr(sites, name) for name in ("near", "far", "arms", "bonds")}
    torch.testing.assert_close(network(dataclasses.replace(sites, **mirrored), turns, sigma), plain)
    order = torch.tensor([3, 1, 5, 0, 2, 4])  # neighbours come in no order
    slots = {name: getattr(sites, name)[:, order] for name in ("near", "far", "edges", "others")}
    torch.testing.assert_close(network(dataclasses.replace(sites, **slots), turns, sigma), plain, atol=2e-5, rtol=1e-4)


def test_what_is_learnt_on_some_turns_holds_for_others():
    """Blocks without symmetry, each turned at random; half of them are trained on."""
    generator = torch.Generator().manual_seed(0)
    arms = torch.tensor([[2.0, 0.3, 0.0], [-1.2, 1.9, 0.2], [-0.5, -1.0, 2.2], [0.1, -1.6, -1.5]])
    truth = so3.uniform_rotation(torch.randn(96, 4, generator=generator))
    vectors = 1.5 * arms @ truth.mT
    tokens = torch.ones(96, 4, dtype=torch.long)
    sites = Sites(
        block=torch.full((96,), 5),
        arms=arms.expand(96, 4, 3),
        bonds=functional.normalize(arms, dim=-1).expand(96, 4, 3),
        edges=tokens,
        others=tokens,
        near=vectors,
        far=2 * vectors,
        beads=torch.zeros(96, 9, dtype=torch.long),
        framework=torch.zeros(96, dtype=torch.long),
    )
    mine, unseen = torch.arange(48), torch.arange(48, 96)
    torch.manual_seed(0)
    network, norms = OrientationNetwork(), ScoreNorms()

    def loss(rows: torch.Tensor, seed: int) -> torch.Tensor:
        own = torch.Generator().manual_seed(seed)
        return denoising_loss(network, sites.take(rows), truth[rows].unsqueeze(1), norms, own)

    def unseen_loss() -> float:
        return float(torch.stack([loss(unseen, seed) for seed in range(8)]).detach().mean())

    before = unseen_loss()
    assert before < 0.7  # 1 for a network that says nothing: arms are turned to neighbours from the start
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for update in range(80):
        optimizer.zero_grad()
        loss(mine, update + 10).backward()
        optimizer.step()
    assert unseen_loss() < 0.97 * before
    found = sample_turns(network, sites.take(unseen), torch.Generator().manual_seed(2), 20, norms)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(48))


def test_samples_are_a_function_of_the_seed_and_serve_every_neighbour(framework):
    beads, links = framework.beads, framework.links
    torch.manual_seed(0)
    network = OrientationNetwork()
    (ways,) = diffused_orientations(network, beads, links, 4, draws=2, steps=5).values()
    assert all(sorted(way.order) == list(range(6)) for way in ways)
    (again,) = diffused_orientations(network, beads, links, 4, draws=2, steps=5).values()
    np.testing.assert_array_equal(ways[0].turn, again[0].turn)
    assert np.abs(ways[0].turn - ways[1].turn).max() > 1e-3
