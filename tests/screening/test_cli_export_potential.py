"""`sorbus export potential`: the command, and what it says when it cannot."""

from pathlib import Path

import pytest
import torch
from ase.build import bulk

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import save_checkpoint
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel
from potentials.potential import load_potential
from screening.cli import main


def test_a_missing_checkpoint_and_missing_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "potential", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "model.json" in capsys.readouterr().err
    assert main(["export", "alone"]) == 2
    assert "write [potential|pair-style] FOLDER TARGET" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_becomes_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = EnergyModel(NetworkConfig(cutoff=4.0, channels=4, lmax=1, carried=(4,)), {11: -1.0, 17: -2.0})
    save_checkpoint(tmp_path / "model", model)
    words = ["potential", str(tmp_path / "model"), str(tmp_path / "out"), "--no-compile", "--precision", "float64"]
    assert main(["export", *words]) == 0
    assert "export.json, program.pt2 in" in capsys.readouterr().out
    batch = collate([graph_from_atoms(bulk("NaCl", "rocksalt", 5.5))])
    exported = load_potential({"name": "exported", "folder": tmp_path / "out"})
    expected = load_potential(tmp_path / "model", precision="float64")(batch)
    torch.testing.assert_close(exported(batch)["energy"], expected["energy"])
