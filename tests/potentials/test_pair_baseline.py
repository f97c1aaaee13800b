"""Pair energies fitted beforehand: found again where they are there, kept small where nothing is known, and everywhere
that a potential is used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii
from ase.io import write

from potentials.atom_graph import AtomGraph, collate, graph_from_atoms, make_graph
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.config import parse_config
from potentials.dataset import attach_neighbours
from potentials.errors import InputError
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel
from potentials.new_model import new_model
from potentials.pair_baseline import DECAYS, MOST_ELEMENTS, PairBaseline
from potentials.training import prepare_training, train_potential
from potentials.training_config import PotentialTrainingConfig

CUTOFF = 4.0


def chain(number: int, spread: float = 0.1) -> Atoms:
    """H-C-C-O, bent, its atoms moved at random; hydrogens of different molecules never meet."""
    random = np.random.default_rng(number)
    places = np.array([[-0.7, 0.9, 0.0], [0.0, 0.0, 0.0], [1.4, 0.1, 0.0], [2.0, 1.2, 0.3]])
    return Atoms("HCCO", places + spread * random.normal(size=(4, 3)))


def true_pairs(dtype: torch.dtype = torch.float64) -> PairBaseline:
    """Of H, C and O, repulsive inside, with a well outside."""
    pairs = PairBaseline([1, 6, 8], CUTOFF, dtype)
    random = torch.Generator().manual_seed(0)
    numbers = torch.rand(3, 3, len(DECAYS), generator=random, dtype=dtype)
    signs = torch.tensor([0.5, -1.5, 1.0, 0.3], dtype=dtype)
    pairs.coefficients.copy_((numbers + numbers.transpose(0, 1)) * signs)
    return pairs


def labelled(count: int = 80) -> list:
    """Graphs whose energies and forces are those of `true_pairs`, and -1, -2, -3 eV of the atoms."""
    frames = [graph_from_atoms(chain(number)) for number in range(count)]
    attach_neighbours(frames, CUTOFF)
    for frame in frames:
        energy, forces, _ = true_pairs().labels(collate([frame]))
        zero = sum({1: -1.0, 6: -2.0, 8: -3.0}[z] for z in frame.numbers.tolist())
        frame.energy, frame.forces = energy + zero, forces
    return frames


def config(**changes: object) -> PotentialTrainingConfig:
    shape = {"cutoff": CUTOFF, "channels": 4, "lmax": 1, "carried": [4]}
    return parse_config(PotentialTrainingConfig, {"data": {"train": "none.xyz"}, "network": shape, **changes}, "test")


def test_forces_are_minus_the_slope_of_the_energy() -> None:
    atoms, step = chain(1), 1e-5
    energies = []
    for move in (step, -step, 0.0):
        moved = atoms.copy()
        moved.positions[2, 1] += move
        frames = [graph_from_atoms(moved)]
        attach_neighbours(frames, CUTOFF)
        energy, forces, sites = true_pairs().labels(collate(frames))
        energies.append(energy.item())
    assert forces[2, 1].item() == pytest.approx((energies[1] - energies[0]) / (2 * step), rel=1e-6)
    assert sites.sum().item() == pytest.approx(energies[2], abs=1e-12)
    assert forces.sum(0).abs().max() < 1e-12


def test_pairs_end_smoothly_at_twice_the_length_of_a_bond_or_the_cutoff() -> None:
    pairs = true_pairs()
    for other, end in ((0, 4 * covalent_radii[1]), (1, 2 * (covalent_radii[1] + covalent_radii[6]))):
        kinds = torch.zeros(1, dtype=torch.int64), torch.tensor([other])
        for distance, largest in ((end - 1e-3, 1e-7), (end + 1e-9, 0.0), (CUTOFF + 1.0, 0.0)):
            assert pairs.shapes(*kinds, torch.tensor([distance], dtype=torch.float64)).abs().max() <= largest
    near = PairBaseline([6], 2.0, torch.float64)
    one = torch.zeros(1, dtype=torch.int64)
    assert not near.shapes(one, one, torch.tensor([2.0], dtype=torch.float64)).any()


def test_pairs_behind_the_labels_are_found_again() -> None:
    frames = labelled()
    found = PairBaseline([1, 6, 8], CUTOFF, torch.float64)
    found.fit(frames)
    forces = torch.cat([frame.forces for frame in frames])
    off = forces - found.labels(collate(frames))[1]
    assert off.square().mean() < 1e-3 * forces.square().mean()
    assert torch.equal(found.coefficients, found.coefficients.transpose(0, 1))


def test_pairs_squeezed_beyond_the_data_are_what_they_are() -> None:
    """What the baseline is for: the other frames, wilder by half, are met nearly as well."""
    found = PairBaseline([1, 6, 8], CUTOFF, torch.float64)
    found.fit(labelled())
    wild = [graph_from_atoms(chain(1000 + number, spread=0.15)) for number in range(40)]
    attach_neighbours(wild, CUTOFF)
    forces, guess = true_pairs().labels(collate(wild))[1], found.labels(collate(wild))[1]
    assert (guess - forces).square().mean() < 0.01 * forces.square().mean()


def test_elements_that_were_never_bonded_get_none() -> None:
    """Two hydrogens 2.2 Å apart in every frame say nothing of 1 Å: least squares alone would say anything."""

    def pair(length: float) -> AtomGraph:
        bond = 2 * covalent_radii[1]
        energy = np.exp(-4 * (length / bond - 1))
        frame = make_graph([1, 1], [[0, 0, 0], [length, 0, 0]])
        frame.energy = torch.tensor([energy])
        frame.forces = torch.tensor([[-4 / bond * energy, 0, 0], [4 / bond * energy, 0, 0]])
        return frame

    far, near = [pair(length) for length in np.linspace(2.1, 2.3, 9)], [pair(length) for length in (0.7, 0.75, 0.9)]
    attach_neighbours([*far, *near], CUTOFF)
    found = PairBaseline([1], CUTOFF, torch.float64)
    found.fit(far)
    assert not found.coefficients.any()
    found.fit([*near, *near, *far])
    assert found.coefficients.any()


def test_a_broken_label_does_not_decide() -> None:
    frames, broken = labelled(), labelled(1)[0]
    broken.forces = 1000 * broken.forces
    found, with_it = (PairBaseline([1, 6, 8], CUTOFF, torch.float64) for _ in range(2))
    found.fit(frames)
    with_it.fit([*frames, broken])
    assert torch.equal(found.coefficients, with_it.coefficients)


def test_pairs_that_would_fall_into_each_other_get_none() -> None:
    """Forces of the other sign: attraction that grows towards contact."""
    frames = labelled()
    for frame in frames:
        frame.forces = -frame.forces
    found = PairBaseline([1, 6, 8], CUTOFF, torch.float64)
    found.fit(frames)
    scaled = torch.linspace(0.4, 0.8, 9, dtype=torch.float64)[:, None]
    for first in range(3):
        for second in range(3):
            energies = torch.exp(-found.decays * (scaled - 1)) @ found.coefficients[first, second]
            assert (energies.diff() <= 1e-9).all()


def test_what_a_training_starts_from_holds_the_pairs() -> None:
    """Labels that pairs explain leave nothing to learn: scale and reference energies are those of the rest."""
    frames = labelled()
    model, plain = new_model(config(), frames, [], []), new_model(config(pair_baseline=False), frames, [], [])
    assert model.pair_baseline is not None
    assert plain.pair_baseline is None
    assert model.energy_scale < 0.05 * plain.energy_scale
    zero = model.reference_energies
    assert zero[1] + 2 * zero[6] + zero[8] == pytest.approx(-8.0, abs=0.5)  # of one molecule, only the sum is known


def test_models_add_it_to_what_the_network_says() -> None:
    torch.manual_seed(0)
    shape = NetworkConfig(cutoff=CUTOFF, channels=4, lmax=1, carried=(4,))
    model = EnergyModel(shape, {1: -1.0, 6: -2.0, 8: -3.0}, dtype=torch.float64, zbl=True, pair_baseline=True)
    batch = collate([graph_from_atoms(chain(2)), graph_from_atoms(chain(3))])
    neighbours = neighbour_list(batch, CUTOFF)
    without = model(batch, neighbours)
    assert model.pair_baseline is not None
    model.pair_baseline.coefficients.copy_(true_pairs().coefficients)
    frames = [graph_from_atoms(chain(2)), graph_from_atoms(chain(3))]
    attach_neighbours(frames, CUTOFF)
    energies, forces, sites = true_pairs().labels(collate(frames))
    found = model(batch, neighbours)
    assert torch.allclose(found["energy"], without["energy"] + energies, atol=1e-10)
    assert torch.allclose(found["forces"], without["forces"] + forces, atol=1e-10)
    assert torch.allclose(found["site_energies"], without["site_energies"] + sites, atol=1e-10)


def write_frames(path: Path) -> Path:
    systems = []
    for frame in labelled():
        atoms = Atoms(frame.numbers.numpy(), frame.positions.numpy())
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy.item(), forces=frame.forces.numpy())
        systems.append(atoms)
    write(path, systems, format="extxyz")
    return path


def test_training_saves_it_and_fine_tuning_keeps_it(tmp_path: Path) -> None:
    values = {
        "out": str(tmp_path / "out"),
        "data": {"train": str(write_frames(tmp_path / "train.xyz"))},
        "network": {"cutoff": CUTOFF, "channels": 4, "lmax": 1, "carried": [4]},
        "train": {"epochs": 2, "warmup_steps": 2},
    }
    out = train_potential(parse_config(PotentialTrainingConfig, values, "test"), progress=False)
    kept = load_checkpoint(out).model.pair_baseline
    assert kept is not None
    assert kept.coefficients.abs().max() > 0.1
    again = save_checkpoint(tmp_path / "again", load_checkpoint(out).model)
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()

    del values["network"]
    values |= {"out": str(tmp_path / "tuned"), "start": {"checkpoint": str(out)}}
    prepared = prepare_training(parse_config(PotentialTrainingConfig, values, "test"))
    assert prepared.config.pair_baseline is True
    assert prepared.model.pair_baseline is not None
    assert torch.equal(prepared.model.pair_baseline.coefficients, kept.coefficients)
    with pytest.raises(InputError, match="pair_baseline differs"):
        prepare_training(parse_config(PotentialTrainingConfig, {**values, "pair_baseline": False}, "test"))


def test_many_elements_missing_forces_and_crystals_go_without() -> None:
    frames = labelled(4)
    for frame in frames:
        del frame["forces"]
    assert new_model(config(), frames, [], []).pair_baseline is None
    with pytest.raises(InputError, match="data have none"):
        new_model(config(pair_baseline=True), frames, [], [])
    numbers = list(range(1, MOST_ELEMENTS + 2))
    crowd = make_graph(numbers, 3.0 * np.arange(len(numbers))[:, None] * np.array([1.0, 0.0, 0.0]))
    crowd.energy, crowd.forces = torch.tensor([1.0]), torch.ones(len(numbers), 3, dtype=torch.float64)
    attach_neighbours([crowd], CUTOFF)
    assert new_model(config(), [crowd], [], []).pair_baseline is None
    solid = labelled(4)
    for frame in solid:
        frame.cell, frame.pbc = 20.0 * torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    assert new_model(config(), solid, [], []).pair_baseline is None
    assert new_model(config(pair_baseline=True), solid, [], []).pair_baseline is not None
    with pytest.raises(InputError, match="at most 16 elements"):
        new_model(config(pair_baseline=True), [crowd], [], [])


def test_the_length_of_a_bond_is_its_unit() -> None:
    pairs = PairBaseline([1, 6], CUTOFF, torch.float64)
    bond = torch.tensor([float(covalent_radii[1] + covalent_radii[6])], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.int64)
    shapes = pairs.shapes(0 * one, one, bond)[0]
    assert shapes.min() == shapes.max()  # each is what the cutoff leaves of 1
    assert 0.8 < shapes[0] < 1.0
