"""The equivariant score network: its symmetries, its neighbours, and that it trains, is saved and samples."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from ase.data import chemical_symbols
from crystal_samples import dataset, noisy_crystals
from pydantic import ValidationError

from gen.crystals.checkpoint import read_model
from gen.crystals.config import CrystalTrainingConfig, NetworkConfig
from gen.crystals.equivariant_network import EquivariantCrystalNetwork, near_images
from gen.crystals.training import train_crystals
from gen.diffusion.wrapped_normal import wrap
from gen.generator import Generator
from potentials.config import parse_config

SPECIES = 7
CHANNELS = ("coordinates", "lattice", "species")


@pytest.fixture(scope="module")
def network() -> EquivariantCrystalNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(kind="equivariant", channels=8, layers=2, radial=6, cutoff=5.0)
    return EquivariantCrystalNetwork(config, SPECIES).double().eval()


@pytest.fixture
def crystals() -> dict[str, torch.Tensor]:
    return noisy_crystals(SPECIES)


def assert_same(first, second) -> None:
    for one, other in zip(first, second, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_periodic_translation(network, crystals) -> None:
    moved = {**crystals, "frac": wrap(crystals["frac"] + torch.tensor([0.31, 0.77, 0.05], dtype=torch.float64))}
    assert_same(network(**crystals), network(**moved))


def test_one_atom_moved_by_a_lattice_vector(network, crystals) -> None:
    frac = crystals["frac"].clone()
    frac[:, 2] += torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    assert_same(network(**crystals), network(**{**crystals, "frac": frac}))


def test_permutation(network, crystals) -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    score, velocity, logits = network(**crystals)
    shuffled = {**crystals, "tokens": crystals["tokens"][:, order], "frac": crystals["frac"][:, order]}
    assert_same((score[:, order], velocity, logits[:, order]), network(**shuffled))


def test_turned_and_mirrored_crystals_have_the_same_score_and_species(network, crystals) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    score, _, logits = network(**crystals)
    for rotation in (turn, -turn):
        turned = network(**{**crystals, "lattice": crystals["lattice"] @ rotation})
        assert_same((score, logits), (turned[0], turned[2]))
    assert score.abs().max() > 1e-4


def test_another_choice_of_cell_axes_turns_the_score_with_them(network, crystals) -> None:
    """Axes (a, b, c) -> (b, c, -a): one crystal, so fractional displacements change as coordinates do."""
    axes = torch.tensor([[0.0, 1, 0], [0, 0, 1], [-1, 0, 0]], dtype=torch.float64)
    other = {**crystals, "lattice": axes @ crystals["lattice"], "frac": wrap(crystals["frac"] @ axes.T)}
    score, _, logits = network(**crystals)
    moved = network(**other)
    assert_same((score @ axes.T, logits), (moved[0], moved[2]))


def test_one_crystal_at_a_time_is_the_batch(network, crystals) -> None:
    whole = network(**crystals)
    for row in range(3):
        alone = network(**{key: value[row : row + 1] for key, value in crystals.items()})
        assert_same(alone, (head[row : row + 1] for head in whole))


def test_neighbours_are_all_images_within_the_cutoff(crystals) -> None:
    centre, neighbour, vectors = near_images(crystals["frac"], crystals["lattice"], 5.0)
    expected = []
    for crystal, (frac, lattice) in enumerate(zip(crystals["frac"], crystals["lattice"], strict=True)):
        for i, j in itertools.product(range(6), repeat=2):
            for image in itertools.product(range(-5, 6), repeat=3):
                vector = (frac[j] - frac[i] + torch.tensor(image)) @ lattice
                if 1e-9 < vector.norm() < 5.0:
                    expected.append((6 * crystal + i, 6 * crystal + j, round(vector.norm().item(), 9)))
    found = zip(centre.tolist(), neighbour.tolist(), [round(v, 9) for v in vectors.norm(dim=1).tolist()], strict=True)
    assert sorted(found) == sorted(expected)


def test_an_atom_crossing_the_cutoff_changes_nothing_suddenly(network) -> None:
    lattice = 14.0 * torch.eye(3, dtype=torch.float64)[None]
    rest = {
        "tokens": torch.tensor([[0, 1]]),
        "components": torch.zeros(1, 6).double(),
        "t": torch.tensor([0.3]).double(),
    }

    def score(distance: float) -> torch.Tensor:
        frac = torch.tensor([[[0.1, 0.1, 0.1], [0.1 + distance / 14, 0.1, 0.1]]], dtype=torch.float64)
        return network(frac=frac, lattice=lattice, **rest)[0]

    assert torch.allclose(score(5 - 1e-4), score(5 + 1e-4), atol=1e-9)
    assert not torch.allclose(score(3.0), score(5.1), atol=1e-6)


def test_atoms_on_one_place_stay_finite(network, crystals) -> None:
    frac = crystals["frac"].clone()
    frac[:, 1] = frac[:, 0]
    assert all(head.isfinite().all() for head in network(**{**crystals, "frac": frac}))


def test_it_trains_is_saved_and_samples(tmp_path: Path) -> None:
    values = {
        "out": str(tmp_path / "model"),
        "network": {"kind": "equivariant", "channels": 8, "layers": 1},
        "train": {"epochs": 30, "batch_size": 8, "lr": 5e-3, "warmup_steps": 5, "validate_every": 10},
    }
    folder = train_crystals(parse_config(CrystalTrainingConfig, values, "test"), dataset=dataset())
    model = read_model(folder)
    assert isinstance(model.network, EquivariantCrystalNetwork)
    assert model.network.config.cutoff == 6.0  # of its own default size
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [sum(row[f"validation_{name}"] for name in CHANNELS) for row in rows if "validation_species" in row]
    assert losses[-1] < 0.9 * losses[0]
    generator = Generator.from_pretrained(str(folder))
    first, again = (generator.sample(2, seed=3, steps=4, quench_steps=0) for _ in range(2))
    assert first == again
    known = {chemical_symbols[z] for z in model.elements}
    assert all(set(structure.symbol_set) <= known for structure in first)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"edge_channels": 64}, "has no edge_channels"),
        ({"lattice_outputs": 9}, "lattice_outputs = 6"),
        ({"channels": 9}, "even"),
    ],
)
def test_fields_it_does_not_have(given, complaint) -> None:
    with pytest.raises(ValidationError, match=complaint):
        NetworkConfig.model_validate({"kind": "equivariant", **given})
