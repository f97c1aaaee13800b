"""`sorbus dataset distill` makes two labelled sets of structures; `sorbus relax first=...` relaxes in two stages."""

import csv
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from screening.cli import main


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    crystals = []
    for k in range(12):
        atoms = bulk("Cu", cubic=True, a=3.9)
        rng = np.random.default_rng(k)
        atoms.symbols = [("Cu", "Ag", "Au", "Pd")[i] for i in rng.integers(0, 4, 4)]
        crystals.append(atoms)
    write(tmp_path / "pool.extxyz", crystals, format="extxyz")
    return tmp_path / "pool.extxyz"


def test_structures_become_two_labelled_sets(pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "distill.yaml"
    settings.write_text(
        f"out: {tmp_path / 'out'}\nstructures: [{pool}]\nteacher: emt\nheld_out: 0.3\nmin_structures_per_element: 1\n"
        "perturbed: {copies: 1, rattles: [0.05]}\ntrajectories: {share: 0}\n"
    )
    assert main(["dataset", "distill", str(settings)]) == 0
    said = capsys.readouterr().out
    assert "12 of 12 structures labelled by" in said
    frames = read(tmp_path / "out" / "train.extxyz", index=":") + read(tmp_path / "out" / "held_out.extxyz", index=":")
    assert len(frames) == 24
    assert main(["dataset", "distill", str(settings), "seed=2"]) == 2
    assert "another configuration" in capsys.readouterr().err


def test_relaxation_in_two_stages(pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relax", str(pool), "potential=emt", "first=emt", f"out={tmp_path / 'relaxed'}", "fmax=0.02"]) == 0
    with open(tmp_path / "relaxed" / "relaxed.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["converged"] == "True" for row in rows)
    assert any(int(row["first_steps"]) > 0 for row in rows)
