"""Stated uncertainties: exact where they can be computed by hand, larger where the potential was not trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.atom_graph import collate, graph_from_atoms
from potentials.calibration import force_calibration
from potentials.checkpoint import load_checkpoint
from potentials.config import parse_config
from potentials.dataset import LabelConfig, read_frames
from potentials.descriptor_distance import DistancePotential
from potentials.ensemble import EnsemblePotential
from potentials.errors import InputError
from potentials.potential import PotentialOutput, load_potential
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig


def copper(count: int, seed: int, rattle: float) -> list[Atoms]:
    frames = []
    for number in range(count):
        atoms = bulk("Cu", cubic=True, a=3.65)
        atoms.positions += np.random.default_rng([seed, number]).normal(0, rattle, (4, 3))
        atoms.calc = EMT()
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        frames.append(atoms)
    return frames


class Gaussian:
    """A potential that states its uncertainty truly: errors drawn with the spread it gives."""

    name, elements, cutoff = "gaussian", frozenset({29}), None

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        std = 0.05 + 0.5 * torch.rand(len(batch.numbers), 1, generator=torch.Generator().manual_seed(1)).double()
        noise = torch.randn(len(batch.numbers), 3, generator=torch.Generator().manual_seed(2)).double()
        return PotentialOutput(forces=batch.forces + std * noise, forces_std=self.factor * std.expand(-1, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uncertainty")
    write(folder / "train.xyz", copper(40, 0, 0.08), format="extxyz")
    write(folder / "near.xyz", copper(40, 1, 0.08), format="extxyz")
    write(folder / "far.xyz", copper(20, 2, 0.25), format="extxyz")
    for seed in (0, 1, 2):
        config = {
            "out": str(folder / f"member{seed}"),
            "seed": seed,
            "data": {"train": str(folder / "train.xyz"), "validation_fraction": 0.2},
            "network": {"cutoff": 4.0, "channels": 8, "carried": [8, 8], "lmax": 1, "radial_hidden": 16},
            "train": {"epochs": 12, "batch_size": 4, "lr": 0.01, "ema": 0.9, "warmup_steps": 5},
        }
        train_potential(parse_config(PotentialTrainingConfig, config, "test"), progress=False)
    return folder


def frames(folder: Path, name: str):
    return read_frames(folder / name, LabelConfig())


def test_a_true_uncertainty_is_found_true(folder: Path) -> None:
    many = 10 * frames(folder, "near.xyz")
    judged = force_calibration(Gaussian(), many[:400])
    assert judged.coverage[0.9] == pytest.approx(0.9, abs=0.06)
    assert judged.coverage[0.5] == pytest.approx(0.5, abs=0.06)
    assert judged.factor == pytest.approx(1.0, abs=0.1)
    halved = force_calibration(Gaussian(0.5), many[:400])
    assert halved.factor == pytest.approx(2 * judged.factor, rel=1e-9)
    assert halved.coverage[0.9] < 0.7


def test_an_ensemble_is_the_mean_and_spread_of_its_members(folder: Path) -> None:
    members = [load_checkpoint(folder / f"member{seed}") for seed in (0, 1, 2)]
    ensemble = EnsemblePotential([str(folder / f"member{seed}") for seed in (0, 1, 2)], energy_factor=3.0)
    batch = collate([graph_from_atoms(atoms) for atoms in copper(3, 5, 0.1)])
    outputs = [member(batch) for member in members]
    result = ensemble(batch)
    for key in ("energy", "forces", "stress"):
        torch.testing.assert_close(result[key], sum(output[key] for output in outputs) / 3)
    energies = np.array([output["energy"].numpy() for output in outputs])
    np.testing.assert_allclose(result["energy_std"], 3.0 * energies.std(axis=0, ddof=1), rtol=1e-6)
    assert ensemble.name == "potential-x3"
    assert ensemble.elements == {29}
    loaded = load_potential({"name": "ensemble", "members": [str(folder / f"member{seed}") for seed in (0, 1)]})
    assert "forces_std" in loaded(batch, stress=False)
    with pytest.raises(InputError, match="cannot disagree"):
        EnsemblePotential(members[:1])


@pytest.mark.parametrize("kind", ["ensemble", "distance"])
def test_farther_from_training_is_less_sure_and_calibration_helps(folder: Path, kind: str) -> None:
    near, far = frames(folder, "near.xyz"), frames(folder, "far.xyz")
    if kind == "ensemble":
        members = [load_checkpoint(folder / f"member{seed}") for seed in (0, 1, 2)]
        factor = force_calibration(EnsemblePotential(members), near[:20]).factor
        potential = EnsemblePotential(members, forces_factor=factor)
    else:
        potential = DistancePotential(load_checkpoint(folder / "member0"), frames(folder, "train.xyz"), near[:20])
    inside, outside = force_calibration(potential, near[20:]), force_calibration(potential, far)
    assert outside.mean_std > 1.3 * inside.mean_std
    assert 0.75 < inside.coverage[0.9] < 0.99
    both = force_calibration(potential, [*near[20:], *far])
    assert both.rank_correlation > 0.4


def test_what_cannot_be_judged_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="states no force uncertainty"):
        force_calibration(load_checkpoint(folder / "member0"), frames(folder, "near.xyz"))
