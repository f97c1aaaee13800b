"""The process interface: each step of the diffusion is exactly the mathematics it names, for any lattice numbers."""

import pytest
import torch

from gen.crystals.config import NetworkConfig, ProcessConfig
from gen.crystals.diffusion_process import DiffusionProcess
from gen.crystals.lattice import decode, fit_scale
from gen.crystals.network import CrystalNetwork
from gen.crystals.process import CleanCrystals, Geometry
from gen.crystals.processes import KINDS, make_process
from gen.diffusion import absorbing, wrapped_normal

SPECIES = 5


def lattices(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 4.0 * torch.eye(3) + 0.4 * torch.randn(count, 3, 3, generator=generator)


@pytest.fixture(scope="module")
def scale():
    return fit_scale({4: lattices(12), 6: 1.2 * lattices(12, 1)})


@pytest.fixture(scope="module")
def geometry(scale) -> tuple[Geometry, Geometry, Geometry]:
    """A geometry of 3 crystals of 4 atoms, network heads for it, and noise."""
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return (
        Geometry(torch.rand(3, 4, 3, generator=generator), normal(3, 6)),
        Geometry(normal(3, 4, 3), normal(3, 6)),
        Geometry(normal(3, 4, 3), normal(3, 6)),
    )


def test_diffusion_steps_are_the_mathematics_bit_for_bit(scale, geometry):
    process = DiffusionProcess(ProcessConfig(), scale, SPECIES)
    now, heads, noise = geometry
    t, t_next = 0.6, 0.58
    sigma = process.sigma(torch.full((3,), t), 4)[:, None, None]
    after = process.sigma(torch.full_like(sigma, t_next), 4)
    score = heads.frac * process.score_norm(sigma)

    stepped = process.reverse_step(now, heads, t, t_next, noise, anti_annealing=2.0)
    frac = wrapped_normal.reverse_step(now.frac, score, sigma, after, noise.frac, 1 + 2.0 * (1 - t))
    times = torch.full((3, 6), t), torch.full((3, 6), t_next)
    components = process.lattice_noise.reverse_step(now.components, heads.components, *times, noise.components)
    assert torch.equal(stepped.frac, frac)
    assert torch.equal(stepped.components, components)

    corrected = process.corrector_step(now, heads, t, 0.1, noise.frac)
    assert torch.equal(corrected.frac, wrapped_normal.langevin_step(now.frac, score, sigma, 0.1, noise.frac))
    assert torch.equal(corrected.components, now.components)

    level = process.at_level(now, t)
    alpha, beta = process.lattice_noise.alpha_sigma(torch.full((3, 6), t))
    assert torch.equal(level.components, alpha * now.components)
    denoised = process.denoised(level, heads, t)
    assert torch.equal(denoised.frac, wrapped_normal.wrap(now.frac + sigma**2 * score))
    assert torch.equal(denoised.components, alpha * level.components - beta * heads.components)


def test_loss_is_the_mean_square_of_heads_against_targets(scale):
    process = make_process(ProcessConfig(), scale, SPECIES)
    network = CrystalNetwork(NetworkConfig(channels=16, edge_channels=12, layers=1), SPECIES).eval()
    generator = torch.Generator().manual_seed(3)
    draws = process.draw(5, 4, generator)
    tokens = torch.randint(0, SPECIES, (5, 4), generator=generator)
    clean = CleanCrystals(tokens, torch.rand(5, 4, 3, generator=generator), process.encode(lattices(5), 4))
    losses = process.losses(network, clean, draws)

    sigma = process.sigma(draws.t_geometry, 4)[:, None, None]
    shift = sigma * draws.shake
    frac = wrapped_normal.wrap(draws.flip[:, None, None] * clean.frac + shift)
    time = draws.t_geometry[:, None]
    components = process.lattice_noise.noised(clean.components, time, draws.strain)
    hidden = absorbing.masked(tokens, draws.t_species, draws.hide, SPECIES)
    lattice = decode(scale.restore(components, 4))
    score, velocity, _ = network(hidden, frac, components, lattice, draws.t_geometry)
    target = wrapped_normal.score(shift, sigma) / process.score_norm(sigma)
    target = target - target.mean(1, keepdim=True)
    assert torch.equal(losses.coordinates, ((score - target) ** 2).mean((1, 2)))
    wanted = process.lattice_noise.velocity(clean.components, time, draws.strain)
    assert torch.equal(losses.lattice, ((velocity - wanted) ** 2).mean(1))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_lattices_survive_encoding(scale, kind):
    """Any process gives back the cell it was given, up to orientation."""
    process = make_process(ProcessConfig(kind=kind), scale, SPECIES)
    given = lattices(6, seed=4)
    components = process.encode(given, 4)
    assert components.shape == (6, process.lattice_size)
    inputs, back = process.view(components, 4)
    assert inputs.shape == (6, 6)
    metric = given @ given.transpose(1, 2)
    assert torch.allclose(back @ back.transpose(1, 2), metric, rtol=1e-4, atol=1e-3)
