"""Frames of free atoms: they name elements' energies and are not trained on."""

import logging
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.training import prepare_training
from potentials.training_config import DataConfig, PotentialTrainingConfig
from potentials.training_data import load_frames

FREE = {"H": -13.0, "O": -430.0}  # eV
BINDING = -3.0  # eV per atom


def config(tmp_path: Path, *, free: bool) -> PotentialTrainingConfig:
    """Water with energies that lie `BINDING` an atom below its atoms, whose frames have no forces."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        atoms = molecule("H2O")
        atoms.rattle(0.05, rng=rng)
        energy = 2 * FREE["H"] + FREE["O"] + 3 * BINDING + rng.normal(0, 0.01)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=rng.normal(0, 1, (3, 3)))
        frames.append(atoms)
    for symbol, energy in FREE.items() if free else ():
        atoms = Atoms(symbol)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    write(tmp_path / "water.xyz", frames, format="extxyz")
    data = DataConfig(train=tmp_path / "water.xyz")
    # forces at random have no pairs behind them
    return PotentialTrainingConfig(data=data, out=tmp_path / "out", pair_baseline=False)


def test_free_atoms_are_told_apart_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        training, held_out, unbound = load_frames(config(tmp_path, free=True))
    assert len(training) + len(held_out) == 12
    assert all(len(frame.numbers) == 3 for frame in [*training, *held_out])
    assert [len(frame.numbers) for frame in unbound] == [1, 1]
    assert all(not frame.forces.any() for frame in unbound)
    assert "not trained on are frames (2) without two atoms within" in caplog.text


def test_they_fix_how_elements_differ_and_bonds_the_rest(tmp_path: Path) -> None:
    references = prepare_training(config(tmp_path, free=True)).model.reference_energies
    # one composition says only what its atoms have in common; the free atoms say how they differ
    assert references[8] - references[1] == pytest.approx(FREE["O"] - FREE["H"], abs=0.02)
    assert references[1] == pytest.approx(FREE["H"] + BINDING, abs=0.02)


def test_without_them_sums_alone_are_right(tmp_path: Path) -> None:
    references = prepare_training(config(tmp_path, free=False)).model.reference_energies
    total = 2 * FREE["H"] + FREE["O"] + 3 * BINDING
    assert 2 * references[1] + references[8] == pytest.approx(total, abs=0.02)
    assert references[8] - references[1] != pytest.approx(FREE["O"] - FREE["H"], abs=1.0)
