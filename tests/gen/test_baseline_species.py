"""DiffCSP's de novo process: exact heads give back the crystal, losses vanish, seeds decide, no conditions."""

import pytest
import torch
from torch import Tensor, nn

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.config import CrystalTrainingConfig, NetworkConfig, ProcessConfig
from gen.crystals.generation import generate_crystals, make_task
from gen.crystals.lattice import fit_scale
from gen.crystals.network import CrystalNetwork
from gen.crystals.prediction import predict_structures
from gen.crystals.process import CleanCrystals, Geometry
from gen.crystals.processes import make_process
from gen.crystals.sampling import SamplingConfig, Task, draw_seed, sample_batch
from gen.diffusion import cosine
from gen.diffusion.wrapped_normal import nearest
from potentials.config import parse_config
from potentials.errors import InputError

ELEMENTS = (8, 11, 17, 22, 38)
TOKENS = torch.tensor([4, 3, 0, 0])  # Sr Ti O O
FRAC = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.1, 0.4, 0.8]])
LATTICE = torch.tensor([[4.0, 0.1, 0.0], [0.0, 4.4, 0.3], [0.2, 0.0, 5.1]])
CONFIG = SamplingConfig(steps=120, corrector=True, corrector_step=0.2, quench_steps=0)


class Oracle(nn.Module):
    """What a perfect network says when there is only one crystal in the world."""

    def __init__(self, process) -> None:
        super().__init__()
        self.process = process
        self.anchor = nn.Parameter(torch.zeros(1))
        self.properties = ()

    def forward(self, tokens: Tensor, frac: Tensor, inputs: Tensor, lattice: Tensor, t: Tensor):
        signal = cosine.alpha_bar(t)[:, None, None]
        vectors = nn.functional.one_hot(TOKENS, len(ELEMENTS)).to(frac)
        species_noise = (tokens - signal.sqrt() * vectors) / (1 - signal).sqrt()
        lattice_noise = (lattice - signal.sqrt() * LATTICE) / (1 - signal).sqrt()
        sigma = self.process.sigma(t)[:, None, None]
        score = nearest(FRAC - frac) / sigma**2 / self.process.score_norm(sigma)
        return score, (lattice_noise @ torch.linalg.inv(lattice)).flatten(1), species_noise


class Blunt(Oracle):
    """Half sure of the coordinates, so that samples keep some of their noise."""

    def forward(self, *inputs: Tensor):
        score, lattice, species = super().forward(*inputs)
        return 0.5 * score, lattice, species


@pytest.fixture(scope="module")
def process():
    scale = fit_scale({4: 4.0 * torch.eye(3) + 0.4 * torch.randn(12, 3, 3, generator=torch.Generator().manual_seed(0))})
    return make_process(ProcessConfig(kind="diffcsp_denovo"), scale, len(ELEMENTS))


@pytest.fixture(scope="module")
def model(process) -> CrystalModel:
    return CrystalModel(Oracle(process), process, ELEMENTS, {4: 1}, {1: 1}, "0" * 64, {})


def test_perfect_heads_give_back_the_crystal(model):
    seeds = [draw_seed(1, index, 0, task(model), CONFIG, model.process) for index in range(3)]
    for sample in sample_batch(model, seeds, task(model), CONFIG):
        assert sample.numbers.tolist() == [38, 22, 8, 8]
        assert torch.allclose(sample.lattice @ sample.lattice.T, LATTICE @ LATTICE.T, atol=0.02)
        away = nearest(sample.frac - FRAC)
        assert away.abs().max() < 0.02


def test_losses_vanish_for_the_truth_alone(process):
    clean = CleanCrystals(TOKENS.expand(8, 4), FRAC.expand(8, 4, 3), process.encode(LATTICE.expand(8, 3, 3), 4))
    draws = process.draw(8, 4, torch.Generator().manual_seed(3))
    assert draws.hide.shape == (8, 4, len(ELEMENTS))
    assert torch.equal(draws.t_species, draws.t_geometry)  # all channels share one time
    right = process.losses(Oracle(process), clean, draws)
    assert right.species.max() < 1e-5
    assert right.lattice.max() < 1e-4
    wrong = process.losses(lambda *inputs: tuple(0 * head for head in Oracle(process)(*inputs)), clean, draws)
    assert wrong.species.mean() == pytest.approx(float((draws.hide**2).mean()), rel=1e-5)


def test_seed_and_index_decide_not_the_batch(process):
    model = CrystalModel(Blunt(process), process, ELEMENTS, {4: 1}, {1: 1}, "0" * 64, {})
    short = CONFIG.model_copy(update={"steps": 20})

    def raw(indices, seed):
        return sample_batch(
            model, [draw_seed(seed, i, 0, task(model), short, model.process) for i in indices], task(model), short
        )

    together, alone, other = raw(range(3), 1), raw([2], 1), raw([2], 2)
    assert torch.allclose(together[2].frac, alone[0].frac, atol=1e-4)
    assert not torch.allclose(alone[0].frac, other[0].frac, atol=1e-4)


def test_species_vectors_enter_the_network_with_unit_variance():
    network = CrystalNetwork(NetworkConfig(channels=64, edge_channels=12, layers=1, lattice_outputs=9), 50)
    noise = torch.randn(200, 4, 50, generator=torch.Generator().manual_seed(0))
    embedded = network._embed(noise) - network.embedding.weight[-1]
    assert embedded.var().item() == pytest.approx(1.0, rel=0.15)


def test_no_conditions(model):
    for conditions in ({"composition": "SrTiO2"}, {"chemical_system": "Sr-Ti-O"}, {"space_group": 221}):
        with pytest.raises(InputError, match="baseline without conditions"):
            make_task(model, conditions, CONFIG)
    with pytest.raises(InputError, match="use process diffcsp"):
        predict_structures(model, [[38, 22, 8, 8]], seed=1)
    with pytest.raises(InputError, match="lattice_outputs = 9"):
        parse_config(CrystalTrainingConfig, {"process": "diffcsp_denovo"}, "test")


def test_generation_runs_through_the_usual_gate(model):
    (made,) = generate_crystals(model, [0], 1, {"num_atoms": 4}, CONFIG)
    assert made.structure is not None
    assert made.structure.composition.reduced_formula == "SrTiO2"


def test_geometry_is_the_parents(process):
    """Only species differ from the baseline of structure prediction."""
    plain = make_process(ProcessConfig(kind="diffcsp"), process.scale, len(ELEMENTS))
    clean = Geometry(FRAC.expand(2, 4, 3), process.encode(LATTICE.expand(2, 3, 3), 4))
    noise = Geometry(torch.randn(2, 4, 3), torch.randn(2, 9))
    t = torch.tensor([0.2, 0.7])
    assert torch.equal(process.noised(clean, t, noise).frac, plain.noised(clean, t, noise).frac)
    assert torch.equal(process.targets(clean, t, noise).frac, plain.targets(clean, t, noise).frac)


def task(model) -> Task:
    return make_task(model, {"num_atoms": 4}, CONFIG)
