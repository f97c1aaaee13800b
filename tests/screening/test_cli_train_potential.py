"""`sorbus train potential` as a user meets it: no YAML file, pictures also in wandb, one sentence when it fails."""

import re
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from screening.cli import main

TINY = [
    "network.channels=4",
    "network.carried=[4]",
    "network.lmax=1",
    "network.cutoff=3.5",
    "network.radial_hidden=8",
    "train.epochs=2",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    frames = []
    for seed in range(10):
        atoms = bulk("Cu", "fcc", 3.6, cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    write(tmp_path / "frames.extxyz", frames)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_data_alone_are_enough_and_pictures_go_to_wandb_too(folder: Path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    command = ["train", "potential", "data.train=frames.extxyz", "data.labels.stress_key=stress", *TINY]
    assert main([*command, "--wandb", "offline"]) == 0
    out = folder / "runs/potential"
    names = {"learning_curve", "parity", "errors_by_element"}
    assert {path.stem for path in out.glob("*.png")} == names
    media = {re.sub(r"_\d+_[0-9a-f]+$", "", path.stem) for path in out.glob("wandb/offline-run-*/files/media/images/*")}
    assert media == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no training data: add data.train=frames.extxyz"),
        (["network.channels=4"], "no training data: add data.train=frames.extxyz"),
        (["frames.extxyz"], "frames.extxyz is no configuration: write sorbus train potential data.train=frames.extxyz"),
        (["a.yaml", "b.xyz"], "a.yaml and b.xyz: name one YAML file"),
        (["data.train=none.xyz"], "no training data at none.xyz"),
    ],
)
def test_what_is_missing_is_said(words: list[str], said: str, folder: Path, capsys) -> None:
    assert main(["train", "potential", *words]) == 2
    assert said in capsys.readouterr().err
