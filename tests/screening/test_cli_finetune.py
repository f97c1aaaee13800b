"""From a table to a crystal with the property asked for, on the command line."""

import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from screening.cli import main

SALTS = {("Li", "F"): 4.027, ("Na", "Cl"): 5.640, ("K", "Cl"): 6.292, ("Mg", "O"): 4.212}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["file,hardness"]
    for number, ((cation, anion), a) in enumerate(SALTS.items()):
        salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
        salt.to(filename=str(tmp_path / f"{number}.cif"))
        rows.append(f"{number}.cif,{2 + number}")
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([*rows, "missing.cif,3"]))
    return path


def test_finetune_then_generate(table: Path, tmp_path: Path, capsys) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    options = ["train.epochs=1", f"out={model}"]
    assert main(["finetune", "crystals", "--data", str(table), "--property", "hardness", *options]) == 0
    assert "1 rows of" in capsys.readouterr().out
    asked = ["--condition", "hardness=3.5", "--condition", "num_atoms=2", "--guidance", "1.5"]
    assert main(["generate", "--checkpoint", str(model), *asked, "count=1", "steps=5", f"out={out}"]) == 0
    record = json.loads((out / "provenance.jsonl").read_text())
    assert record["conditions"] == {"hardness": 3.5, "num_atoms": 2}
    assert record["sampling"]["guidance"] == 1.5
    assert len(list((out / "primitive").glob("*.cif"))) == 1
    assert (out / "extxyz" / "structures.extxyz").is_file()
    assert json.loads((out / "json" / "structures.json").read_text())[0]["provenance"]["seed"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune", "crystals", "--data", "nowhere.csv", "--property", "gap"], "no table nowhere.csv"),
        (["finetune", "crystals", "--property", "gap"], "no table"),
        (["generate", "--condition", "hardness=2"], "unknown condition 'hardness'"),
        (["generate", "--condition", "hardness"], "is not NAME=VALUE"),
        (["generate", "--guidance", "much"], "--guidance 'much' is not a number"),
        (["generate", "--fix-sites", "0;1", "--fix", "x.cif"], "is not a list of site numbers"),
        (["generate", "--fix-sites", "0,1"], "fix_sites without fix"),
    ],
)
def test_wrong_requests(arguments: list[str], message: str, capsys) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
