"""The network without built-in symmetry: what it still obeys, and the turned frames it learns from."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.atom_graph import collate, graph_from_atoms
from potentials.augmentation import random_orthogonal, turned
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.config import parse_config
from potentials.dataset import attach_neighbours
from potentials.errors import InputError
from potentials.neighbours import batch_neighbours, neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel
from potentials.plain_network import PlainNetwork
from potentials.training import prepare_training, train_potential
from potentials.training_config import PotentialTrainingConfig
from potentials.training_loop import PotentialModule

ELEMENTS = {1: -13.6, 6: -1029.5, 8: -2041.8, 13: -3.7}
PLAIN = NetworkConfig(architecture="plain", cutoff=4.0, channels=8, radial_hidden=8)


def build() -> EnergyModel:
    torch.manual_seed(0)
    model = EnergyModel(PLAIN, ELEMENTS, energy_scale=0.7, dtype=torch.float64)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    model.calibrate(batch, neighbour_list(batch, 4.0))
    return model


def systems() -> list[Atoms]:
    made = [Atoms("C"), molecule("CH3CH2OH"), bulk("Al", cubic=True)]
    for number, atoms in enumerate(made):
        atoms.rattle(0.08, seed=number)
    return made


def run(model: EnergyModel, atoms: Atoms | list[Atoms], **options) -> dict[str, torch.Tensor]:
    batch = collate([graph_from_atoms(a) for a in (atoms if isinstance(atoms, list) else [atoms])])
    return model(batch, neighbour_list(batch, model.config.cutoff), **options)


def test_it_is_chosen_by_name_and_knows_its_keys() -> None:
    assert isinstance(build().network, PlainNetwork)
    with pytest.raises(InputError, match="architecture plain has no carried, body_order"):
        parse_config(NetworkConfig, {"architecture": "plain", "carried": [8], "body_order": 2}, "test")
    assert parse_config(NetworkConfig, {"architecture": "plain", "lmax": 0}, "test").lmax == 0
    with pytest.raises(InputError, match=r"network.*architecture|architecture = 'plane'"):
        parse_config(NetworkConfig, {"architecture": "plane"}, "test")


def test_blind_to_translation_and_order_but_not_to_rotation() -> None:
    model = build()
    atoms = systems()[1]
    before = run(model, atoms)
    moved = atoms.copy()
    moved.positions += [1.0, -2.0, 0.5]
    torch.testing.assert_close(run(model, moved)["energy"], before["energy"], atol=1e-9, rtol=0)
    order = np.random.default_rng(0).permutation(len(atoms))
    shuffled = run(model, atoms[order])
    torch.testing.assert_close(shuffled["energy"], before["energy"], atol=1e-9, rtol=0)
    torch.testing.assert_close(shuffled["forces"], before["forces"][torch.from_numpy(order)], atol=1e-9, rtol=0)
    turned_atoms = atoms.copy()
    turned_atoms.rotate(40, (1, 1, 0))
    assert abs(run(model, turned_atoms)["energy"] - before["energy"]) > 1e-5


def test_forces_and_stress_are_derivatives() -> None:
    model, step = build(), 2e-5
    for atoms in systems()[1:]:
        exact = run(model, atoms)
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[0, 1] += sign * step
            energies.append(run(model, moved)["energy"].item())
        assert exact["forces"][0, 1].item() == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)
    # a stress is symmetric for an energy that does not turn; here it is the derivative for symmetric strains
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * step * np.diag([0, 0, 1])), scale_atoms=True)
        energies.append(run(model, strained)["energy"].item())
    numeric = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    assert exact["stress"][0, 2, 2].item() == pytest.approx(numeric, abs=1e-6)


def test_smooth_where_a_neighbour_leaves() -> None:
    model = build()
    found = []
    for distance in (4.0 - 2e-5, 4.0 + 2e-5):
        vectors = torch.tensor([[1.1, 0, 0], [0, distance, 0]], dtype=torch.float64)
        height = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        vectors = vectors + torch.tensor([[0, 0, 0], [0, 1.0, 0]], dtype=torch.float64) * height
        edges = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]])
        energy = model.network(torch.tensor([0, 1, 2]), *edges, torch.cat([vectors, -vectors])).sum()
        force = torch.autograd.grad(energy, height, create_graph=True)[0]
        found.append((energy.item(), force.item(), torch.autograd.grad(force, height)[0].item()))
    for inside, outside in zip(*found, strict=True):
        assert inside == pytest.approx(outside, abs=1e-3 * max(1.0, abs(outside)))


def test_batch_equals_single_and_copies_add_up() -> None:
    model = build()
    together = run(model, systems())
    alone = [run(model, atoms)["energy"][0] for atoms in systems()]
    torch.testing.assert_close(together["energy"], torch.stack(alone), atol=1e-9, rtol=0)
    aluminium = systems()[2]
    assert run(model, aluminium.repeat((2, 1, 2)))["energy"].item() == pytest.approx(4 * alone[2].item(), abs=1e-8)


def test_checkpoint_round_trip(tmp_path) -> None:
    model = build()
    loaded = load_checkpoint(save_checkpoint(tmp_path, model))
    batch = collate([graph_from_atoms(systems()[1])])
    torch.testing.assert_close(loaded(batch)["forces"], run(model, systems()[1])["forces"])


def test_turns_are_uniform_orthogonal_and_reproducible() -> None:
    turns = random_orthogonal(4000, seed=3, step=5)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), torch.eye(3).double().expand(4000, 3, 3))
    assert torch.equal(turns, random_orthogonal(4000, seed=3, step=5))
    assert not torch.equal(turns, random_orthogonal(4000, seed=3, step=6))
    assert torch.linalg.det(turns).mean().abs() < 0.06  # as many reflections as rotations
    assert turns.mean(0).abs().max() < 0.05
    # second moments of a uniform direction: <x_i x_j> = delta_ij / 3
    row = turns[:, 0]
    torch.testing.assert_close(row.T @ row / 4000, torch.eye(3).double() / 3, atol=0.02, rtol=0)


def test_turned_frames_are_what_an_equivariant_network_takes_them_for() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(cutoff=4.0, channels=8, carried=(8, 8), radial_hidden=8)
    model = EnergyModel(config, ELEMENTS, dtype=torch.float64)
    frames = [graph_from_atoms(atoms) for atoms in systems()]
    attach_neighbours(frames, 4.0)
    batch = collate(frames)
    model.calibrate(batch, batch_neighbours(batch))
    labels = model(batch, batch_neighbours(batch))
    batch.forces, batch.stress = labels["forces"], labels["stress"]
    positions = batch.positions.clone()
    other = turned(batch, random_orthogonal(3, seed=0))
    assert torch.equal(batch.positions, positions)  # the frames themselves stay
    found = model(other, batch_neighbours(other))
    torch.testing.assert_close(found["energy"], labels["energy"], atol=1e-9, rtol=0)
    torch.testing.assert_close(found["forces"], other.forces, atol=1e-9, rtol=0)
    torch.testing.assert_close(found["stress"], other.stress, atol=1e-9, rtol=0)
    assert (other.forces - batch.forces).abs().max() > 0.1


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("plain")
    frames = []
    for number in range(24):
        atoms = bulk("Cu", cubic=True, a=3.65)
        atoms.positions += np.random.default_rng([5, number]).normal(0, 0.15, (4, 3))
        atoms.calc = EMT()
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        frames.append(atoms)
    write(folder / "train.xyz", frames, format="extxyz")
    return {
        "out": str(folder / "out"),
        "data": {"train": str(folder / "train.xyz"), "validation_fraction": 0.2},
        "network": {"architecture": "plain", "cutoff": 4.0, "channels": 8, "radial_hidden": 8},
        "train": {"epochs": 6, "batch_size": 4, "lr": 0.01, "ema": 0.8, "warmup_steps": 5},
    }


def test_frames_turn_for_the_plain_network_and_on_request(settings: dict) -> None:
    def turns(**changes) -> bool:
        config = parse_config(PotentialTrainingConfig, {**settings, **changes}, "test")
        prepared = prepare_training(config)
        return PotentialModule(prepared.config, prepared.model, prepared.frames, prepared.held_out).turns_frames()

    assert turns()
    assert not turns(train={"random_rotations": False})
    assert not turns(network={"cutoff": 4.0})
    assert turns(network={"cutoff": 4.0}, train={"random_rotations": True})


def test_training_runs_through_the_same_pipeline_and_learns(settings: dict) -> None:
    config = parse_config(PotentialTrainingConfig, settings, "test")
    out = train_potential(config, progress=False)
    description = json.loads((out / "model.json").read_text())
    assert description["network"]["architecture"] == "plain"
    rows = (out / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("validation_forces_rmse")
    errors = [float(row.split(",")[column]) for row in rows[1:]]
    assert errors[-1] < 0.7 * errors[0]
    again = config.model_copy(update={"out": out.parent / "again"})
    train_potential(again, progress=False)
    assert (out / "model.safetensors").read_bytes() == (out.parent / "again/model.safetensors").read_bytes()
