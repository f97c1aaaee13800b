"""Training on several processes gives the weights of one."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from safetensors.torch import load_file

from potentials.config import dump_yaml, parse_config
from potentials.errors import InputError
from potentials.label_errors import LabelErrors
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig
from potentials.training_devices import share_of
from potentials.training_loop import EpochOrder

COMMAND = "import sys; from screening.cli import main; sys.exit(main(sys.argv[1:]))"


def frames(count: int) -> list[Atoms]:
    """Rattled copper of four or eight atoms, with EMT's labels: uneven shares of a batch."""
    result = []
    for number in range(count):
        generator = np.random.default_rng(number)
        atoms = bulk("Cu", cubic=True, a=3.65) * (1 + number % 2, 1, 1)
        atoms.positions += generator.normal(0, 0.1, atoms.positions.shape)
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        result.append(atoms)
    return result


def settings(folder: Path, out: str, architecture: str = "density", **train) -> PotentialTrainingConfig:
    values = {
        "out": str(folder / out),
        # 21 frames to train on: the last batch of an epoch has one frame for two devices
        "data": {"train": str(folder / "train.xyz"), "validation_fraction": 0.2, "labels": {"stress_key": "stress"}},
        "network": {"architecture": architecture, "cutoff": 4.0, "channels": 8, "radial_hidden": 16}
        | ({"carried": [8, 8], "lmax": 1} if architecture == "density" else {}),
        "precision": "float64",
        # AdamW: bases of SOAP follow rounding errors
        "train": {"epochs": 3, "batch_size": 4, "optimizer": "adamw", "lr": 0.01, "warmup_steps": 5, "ema": 0.9}
        | {"device": "cpu"}
        | train,
    }
    return parse_config(PotentialTrainingConfig, values, "test")


# the plain network turns its frames: each has to be turned alike wherever it is
@pytest.mark.parametrize("architecture", ["density", pytest.param("plain", marks=pytest.mark.slow)])
def test_two_processes_train_as_one(tmp_path: Path, architecture: str) -> None:
    write(tmp_path / "train.xyz", frames(26), format="extxyz")
    alone = train_potential(settings(tmp_path, "alone", architecture), progress=False)
    config = settings(tmp_path, "shared", architecture, devices=2)
    (tmp_path / "config.yaml").write_text(dump_yaml(config))
    script = tmp_path / "train.py"
    script.write_text(COMMAND)
    done = subprocess.run(
        [sys.executable, script, "train", "potential", tmp_path / "config.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model in") == 1

    ours, theirs = (load_file(folder / "model.safetensors") for folder in (alone, config.out))
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-7, atol=1e-9, msg=name)
    facts = [json.loads((folder / "model.json").read_text())["training"] for folder in (alone, config.out)]
    assert facts[0]["validation_errors"] == pytest.approx(facts[1]["validation_errors"])


def test_shares_of_a_batch_are_the_batch() -> None:
    shares = [share_of(range(7), rank, 3) for rank in range(3)]
    assert sorted(itertools.chain(*shares)) == list(range(7))
    assert share_of([5], 1, 2) == [5]  # a stand-in
    whole = EpochOrder(10, 4, seed=1, epoch=0).batches
    parts = [EpochOrder(10, 4, seed=1, epoch=0, share=(rank, 2)).batches for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def test_errors_of_parts_merge_to_those_of_the_whole() -> None:
    values = torch.arange(7.0)
    parts, whole = [LabelErrors(), LabelErrors(), LabelErrors()], LabelErrors()
    whole._accumulate("forces", values)
    parts[0]._accumulate("forces", values[:2])
    parts[2]._accumulate("forces", values[2:])
    assert LabelErrors.merged(parts).summary() == whole.summary()


def test_more_devices_than_frames_in_a_batch(tmp_path: Path) -> None:
    write(tmp_path / "train.xyz", frames(10), format="extxyz")
    with pytest.raises(InputError, match="each device needs a frame"):
        train_potential(settings(tmp_path, "out", devices=5), progress=False)
