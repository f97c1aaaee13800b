"""`sorbus measure` from file to report: read, add, list, calibrate, apply."""

import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from screening.candidate import Evaluation, Property, content_id
from screening.cli import main
from screening.geometry_json import encode_structure, formula_columns
from screening.store import Store
from screening.tasks import encode_evaluation

UPTAKE = "co2_uptake_0.15bar_298K"


def rock_salt(a: float) -> Structure:
    return Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished campaign of four rock salts with a computed uptake each."""
    config = {
        "name": "salts",
        "question": "Which salt takes up most?",
        "seed": 1,
        "proposer": {"name": "files", "count": 4, "settings": {}, "batch": 1, "deadline_s": 1.0},
        "stages": [{"name": "uptake", "evaluator": "uptake", "settings": {}, "require": {}, "keep": None}],
        "ranking": {"objectives": [{"property": UPTAKE, "direction": "max", "weight": 1.0}], "top": 3},
    }
    meta = {"name": "salts", "question": config["question"], "config": config, "config_hash": "0" * 16, "versions": {}}
    with Store.create(tmp_path / "store.sqlite", meta) as store:
        for index, a in enumerate((4.0, 4.4, 4.8, 5.2)):
            structure = rock_salt(a)
            store.commit_proposal(
                {
                    "index": index,
                    "id": content_id(structure),
                    "structure": encode_structure(structure),
                    **formula_columns(structure),
                    "provenance": {"file": f"salt{index}.cif"},
                    "failure": None,
                    "wall_seconds": 0.0,
                }
            )
            item = Property(UPTAKE, 1.0 + index, "mol/kg", 0.05, "GCMC, 1000 cycles; uff-trappe, 2x2x2 cells")
            store.commit_evaluation(content_id(structure), "uptake", encode_evaluation(Evaluation((item,))), 0.1)
        store.close_stage("proposed")
        store.close_stage("uptake")
    return tmp_path


def isotherm(folder: Path, name: str, slope: float) -> str:
    """A straight isotherm of `slope` mol/kg at 0.15 bar."""
    rows = "\n".join(f"{p}, {slope * p / 0.15}" for p in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3))
    path = folder / name
    path.write_text(
        f"# gas: CO2\n# temperature: 298.15 K\n# source: 10.1/{name}\npressure [bar], uptake [mmol/g]\n{rows}\n"
    )
    return str(path)


def test_from_file_to_ranking(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [isotherm(tmp_path, f"{k}.csv", slope) for k, slope in enumerate((0.8, 1.6, 9.0))]
    assert main(["measure", "read", *files]) == 0
    assert "3 isotherms read" in capsys.readouterr().out

    for k, file in enumerate(files):
        assert main(["measure", "add", str(run_folder), file, "--candidate", f"salt{k}"]) == 0
    shown = capsys.readouterr().out
    assert "1 measurements entered" in shown
    assert "* measured in a laboratory" in shown
    assert "measured" in (run_folder / "report.html").read_text()
    first = (run_folder / "ranking.csv").read_text().splitlines()[1]
    assert ",2," in first  # proposal 2, computed 3.0 and measured 9.0, now stands before the computed 4.0
    assert main(["measure", "add", str(run_folder), files[0], "--candidate", "salt0"]) == 0
    assert "stood there already" in capsys.readouterr().out

    assert main(["measure", "list", str(run_folder)]) == 0
    assert capsys.readouterr().out.count("10.1/") == 3

    target = str(tmp_path / "calibration.json")
    assert main(["measure", "calibrate", str(run_folder), "--out", target]) == 0
    assert json.loads(Path(target).read_text())["materials"] == 3
    assert "calibrated x" in capsys.readouterr().out
    before = (run_folder / "ranking.csv").read_text()
    assert main(["measure", "apply", str(run_folder), target, "--out", str(tmp_path / "calibrated")]) == 0
    assert (run_folder / "ranking.csv").read_text() == before
    assert "calibrated x" in (tmp_path / "calibrated" / "report.html").read_text()
    assert main(["measure", "apply", str(run_folder), target, "--out", str(run_folder)]) == 2


def test_a_single_figure(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["measure", "add", str(run_folder), "--candidate", "salt0", "--property", UPTAKE, "--unit", "mol/kg"]
    assert main([*words, "--source", "our lab"]) == 2
    assert "needs --value" in capsys.readouterr().err
    assert main([*words, "--value", "7.5", "--std", "0.2"]) == 2
    assert "has no source" in capsys.readouterr().err
    assert main([*words, "--value", "7.5", "--std", "0.2", "--source", "our lab"]) == 0
    assert "7.50 ± 0.20*" in capsys.readouterr().out
    wrong = ["measure", "add", str(run_folder), "--candidate", "salt1", "--value", "1", "--source", "our lab"]
    assert main([*wrong, "--property", UPTAKE, "--unit", "cm3/g"]) == 2
    assert "the run has it in mol/kg" in capsys.readouterr().err
    assert main([*wrong, "--property", UPTAKE.replace("298", "299"), "--unit", "mol/kg"]) == 0
    assert f"did you mean {UPTAKE}?" in capsys.readouterr().out


def test_what_cannot_be_used_is_said_in_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("pressure [bar], uptake [mmol/m2]\n0.1, 1\n")
    assert main(["measure", "read", str(tmp_path / "bad.csv")]) == 2
    assert "does not say the gas" in capsys.readouterr().out
    words = ["measure", "add", str(run_folder), str(tmp_path / "bad.csv"), "--gas", "CO2", "--temperature", "298"]
    assert main([*words, "--candidate", "salt0"]) == 2
    assert "mmol/m2" in capsys.readouterr().out
    assert main([*words, "--candidate", "nobody"]) == 2
    assert "no candidate answer" in capsys.readouterr().err
    assert main(["measure", "add", str(run_folder), "--candidate", "salt0"]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert main(["measure", "calibrate", str(run_folder)]) == 2
    assert "0 materials" in capsys.readouterr().err
