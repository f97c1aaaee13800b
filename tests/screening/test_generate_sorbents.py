"""`sorbus generate model=sorbents`: files, provenance, beads that can be given back, mistakes."""

import json

import pytest
from pymatgen.core import Structure
from structures.bead_samples import random_model

from gen.sorbents.bead_model import write_bead_model
from gen.sorbents.beads import BeadRow
from potentials.structure_files import read_structures
from screening.cli import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(write_bead_model(tmp_path_factory.mktemp("weights") / "sorbents", random_model(), {"command": "test"}))


def test_frameworks_are_written_and_can_be_given_back(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gen.sorbents.proposer.CHUNK", 2)
    out = tmp_path / "out"
    call = ["generate", "model=sorbents", "seed=2", "steps=3", f"--checkpoint={checkpoint}"]
    # random weights know no geometry: one is given, and all of it kept
    kept = ["--fix", "pcu:N16:E14", "--fix-what", "nodes,linkers,coordinates,lattice"]
    assert main([*call, "count=2", *kept, f"out={out}"]) == 0
    assert "2 of 2 structures" in capsys.readouterr().out
    records = [json.loads(line) for line in (out / "provenance.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == [0, 1]
    assert records[0]["blocks"] == {"E14": 3, "N16": 1}
    assert records[0]["sampling"]["steps"] == 3
    assert "beads" not in records[0]
    for record in records:
        cif = Structure.from_file(out / record["file"])
        assert cif.composition.as_dict() == {"Zn": 4, "C": 24, "H": 12, "O": 13}
    assert len(json.loads((out / "json" / "structures.json").read_text())) == 2
    assert all(result.error is None for result in read_structures(out / "extxyz"))
    beads = out / "beads" / records[0]["file"].replace(".cif", ".json")
    assert BeadRow.from_json(json.loads(beads.read_text())).beads.blocks.count("E14") == 3
    again = [*call, "count=1", "--fix", str(beads), "--fix-what", "nodes,linkers,coordinates,lattice"]
    assert main([*again, f"out={tmp_path / 'again'}"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conditions.void_fractio=0.5"], "did you mean 'void_fraction'"),
        (["--condition", "metals=Zm"], "no block of the library holds 'Zm'"),
        (["--condition", "net=pcuu"], "did you mean 'pcu'"),
        (["--fix", "nothing"], "neither a file of beads nor a recipe"),
        (["settings.resampl=2"], "did you mean 'resample'"),
    ],
)
def test_mistakes_are_one_sentence(checkpoint, tmp_path, capsys, words, message):
    call = ["generate", "model=sorbents", "count=1", f"--checkpoint={checkpoint}", f"out={tmp_path}", *words]
    assert main(call) != 0
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
