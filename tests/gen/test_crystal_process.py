"""The process interface: each step of the diffusion is exactly the mathematics it names, for any lattice numbers."""

import pytest
import torch
from crystal_samples import dataset
from safetensors.torch import load_file

from gen.crystals.checkpoint import read_model
from gen.crystals.config import SIZES, CrystalTrainingConfig, NetworkConfig, ProcessConfig
from gen.crystals.diffusion_process import DiffusionProcess
from gen.crystals.lattice import decode, fit_scale
from gen.crystals.network import CrystalNetwork
from gen.crystals.process import CleanCrystals, Geometry
from gen.crystals.processes import KINDS, make_process
from gen.crystals.training import train_crystals
from gen.diffusion import absorbing, wrapped_normal
from potentials.config import parse_config
from potentials.errors import InputError

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


def perfect_heads(process, clean: Geometry, t: float, noise: Geometry) -> Geometry:
    return process.targets(clean, torch.full((len(clean.frac),), t), noise)


def noise_for(process, seed: int) -> Geometry:
    generator = torch.Generator().manual_seed(seed)
    shake = torch.rand if process.uniform_shake else torch.randn
    return Geometry(shake(3, 4, 3, generator=generator), torch.randn(3, process.lattice_size, generator=generator))


@pytest.mark.parametrize("kind", ["flow", "diffcsp"])
@pytest.mark.parametrize("t", [0.1, 0.4])
def test_right_heads_give_back_the_clean_crystal(scale, kind, t):
    """Denoising with the targets as heads is exact, up to a shift of all atoms that no score knows."""
    process = make_process(ProcessConfig(kind=kind), scale, SPECIES)
    clean = Geometry(
        torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(5)), process.encode(lattices(3), n_atoms=4)
    )
    noise = noise_for(process, 6)
    noisy = process.noised(clean, torch.full((3,), t), noise)
    found = process.denoised(noisy, perfect_heads(process, clean, t, noise), t)
    assert torch.allclose(found.components, clean.components, atol=1e-4)
    apart = wrapped_normal.nearest(found.frac - clean.frac)
    # a wrapped score points home exactly only where its width is far below the circumference
    assert apart.abs().max() < 1e-4
    last = process.reverse_step(noisy, perfect_heads(process, clean, t, noise), t, 0.0, noise, 0.0)
    assert torch.allclose(last.components, clean.components, atol=1e-3)


def test_flow_targets_have_unit_variance(scale):
    process = make_process(ProcessConfig(kind="flow"), scale, SPECIES)
    generator = torch.Generator().manual_seed(7)
    count, n_atoms = 20_000, 4
    clean = Geometry(torch.rand(count, n_atoms, 3, generator=generator), torch.randn(count, 6, generator=generator))
    noise = Geometry(torch.rand(count, n_atoms, 3, generator=generator), torch.randn(count, 6, generator=generator))
    targets = process.targets(clean, torch.rand(count, generator=generator), noise)
    assert targets.frac.var().item() == pytest.approx(1 - 1 / n_atoms, rel=0.02)
    assert targets.components.var().item() == pytest.approx(1.0, rel=0.02)


def test_flow_path_is_straight_between_data_and_prior(scale):
    """A step with the target as head lands on the path, whatever its length."""
    process = make_process(ProcessConfig(kind="flow"), scale, SPECIES)
    clean = Geometry(torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(8)), process.encode(lattices(3), 4))
    noise = noise_for(process, 9)
    here = process.noised(clean, torch.full((3,), 0.9), noise)
    there = process.noised(clean, torch.full((3,), 0.2), noise)
    stepped = process.reverse_step(here, perfect_heads(process, clean, 0.9, noise), 0.9, 0.2, noise, 0.0)
    assert wrapped_normal.nearest(stepped.frac - there.frac).abs().max() < 1e-5
    assert torch.allclose(stepped.components, there.components, atol=1e-4)
    assert torch.allclose(process.noised(clean, torch.ones(3), noise).components, noise.components, atol=1e-6)


def test_flow_has_no_corrector(scale, geometry):
    process = make_process(ProcessConfig(kind="flow"), scale, SPECIES)
    with pytest.raises(InputError, match="corrector"):
        process.corrector_step(geometry[0], geometry[1], 0.5, 0.1, geometry[2].frac)


def test_baseline_ignores_atom_count_and_density(scale):
    """Its prior is N(0, I) Å and its noise level the same for any cell: what the default process does away with."""
    process = make_process(ProcessConfig(kind="diffcsp"), scale, SPECIES)
    clean = Geometry(torch.rand(3, 4, 3), 3 * process.encode(lattices(3), 4))
    noise = noise_for(process, 10)
    prior = process.noised(clean, torch.ones(3), noise)
    assert torch.allclose(prior.components, noise.components, atol=0.01)
    assert process.sigma(torch.zeros(1)).item() == pytest.approx(0.005)
    # 1e-5 (sigma / sigma_min)^2 of the paper
    assert 0.4 * process.sigma(torch.full((1,), 0.3)).item() ** 2 == pytest.approx(
        1e-5 * (process.sigma(torch.full((1,), 0.3)).item() / 0.005) ** 2
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_network_evaluation_keeps_the_symmetries(scale, kind):
    """Periodic translation and permutation of atoms, rotation of a raw lattice: heads follow."""
    process = make_process(ProcessConfig(kind=kind), scale, SPECIES)
    torch.manual_seed(0)
    sizes = NetworkConfig(channels=16, edge_channels=12, layers=2, lattice_outputs=process.lattice_size)
    network = CrystalNetwork(sizes, SPECIES).double().eval()
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(0, SPECIES + 1, (3, 4), generator=generator)
    frac = torch.rand(3, 4, 3, generator=generator, dtype=torch.float64)
    components = process.encode(lattices(3).double(), 4)
    time = torch.rand(3, generator=generator, dtype=torch.float64)
    heads, logits = process.evaluate(network, tokens, Geometry(frac, components), time)

    shifted = wrapped_normal.wrap(frac + torch.tensor([0.2, 0.7, 0.05], dtype=torch.float64))
    moved, _ = process.evaluate(network, tokens, Geometry(shifted, components), time)
    assert torch.allclose(moved.frac, heads.frac, atol=1e-10)
    assert torch.allclose(moved.components, heads.components, atol=1e-10)

    order = torch.tensor([2, 0, 3, 1])
    permuted, named = process.evaluate(network, tokens[:, order], Geometry(frac[:, order], components), time)
    assert torch.allclose(permuted.frac, heads.frac[:, order], atol=1e-10)
    assert torch.allclose(permuted.components, heads.components, atol=1e-10)
    assert torch.allclose(named, logits[:, order], atol=1e-10)

    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    turned = process.encode(lattices(3).double() @ rotation, 4)
    rotated, _ = process.evaluate(network, tokens, Geometry(frac, turned), time)
    assert torch.allclose(rotated.frac, heads.frac, atol=1e-8)
    expected = heads.components
    if kind.startswith("diffcsp"):  # the noise of a raw lattice turns with it
        expected = (expected.unflatten(1, (3, 3)) @ rotation).flatten(1)
    assert torch.allclose(rotated.components, expected, atol=1e-8)


def test_sizes_by_name_and_process_by_name():
    nano = parse_config(NetworkConfig, {"size": "nano", "layers": 3}, "test")
    assert (nano.channels, nano.layers) == (128, 3)
    assert "size" not in nano.model_dump()
    with pytest.raises(InputError, match="use one of nano, small, base"):
        parse_config(NetworkConfig, {"size": "huge"}, "test")
    config = parse_config(CrystalTrainingConfig, {"process": "flow", "network": {"size": "small"}}, "test")
    assert config.process.kind == "flow"
    with pytest.raises(InputError, match="lattice_outputs = 9"):
        parse_config(CrystalTrainingConfig, {"process": "diffcsp"}, "test")
    weights = {}
    for name in SIZES:
        network = CrystalNetwork(parse_config(NetworkConfig, {"size": name}, "test"), 80)
        weights[name] = sum(p.numel() for p in network.parameters())
    assert 0.5e6 < weights["nano"] < 0.65e6 < 2e6 < weights["small"] < 4e6 < 9e6 < weights["base"] < 15e6


class Interrupted(Exception):
    """Stands for a kill signal between two updates."""


class Interrupter:
    """A tracker that stops the run at an update."""

    def __init__(self, at: int) -> None:
        self.at = at

    def log(self, data: dict[str, float], step: int) -> None:
        if step == self.at:
            raise Interrupted


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_interrupted_training_resumes_bit_for_bit(tmp_path, kind):
    def config(name: str) -> CrystalTrainingConfig:
        outputs = 9 if kind.startswith("diffcsp") else 6
        network = {"channels": 16, "edge_channels": 12, "layers": 1, "lattice_outputs": outputs}
        train = {"epochs": 3, "batch_size": 8, "warmup_steps": 2, "log_every": 1, "checkpoint_seconds": 1e-6}
        values = {"out": str(tmp_path / name), "network": network, "process": kind, "train": train}
        return parse_config(CrystalTrainingConfig, values, "test")

    whole = train_crystals(config("whole"), dataset=dataset())
    with pytest.raises(Interrupted):
        train_crystals(config("stopped"), dataset=dataset(), tracker=Interrupter(at=4))
    resumed = train_crystals(config("stopped"), dataset=dataset())
    for name in ("state.safetensors", "model.safetensors"):
        expected, found = load_file(whole / name), load_file(resumed / name)
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    assert read_model(resumed).process.config.kind == kind
