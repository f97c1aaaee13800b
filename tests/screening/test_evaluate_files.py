"""`sorbus evaluate` and `sorbus improve` end to end on small crystals, with a Lennard-Jones twin."""

import argparse
import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gen.evaluation.hull import make_table, write_table
from potentials.config import parse_config
from potentials.errors import InputError
from screening.cli import improve, main
from screening.evaluate_files import EvaluateSettings, evaluate_files, headline

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def rock_salt(cation: str, anion: str, a: float) -> Structure:
    return Structure(Lattice(FCC * a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two crystals that are novel, and a file that is none."""
    folder = tmp_path / "samples"
    folder.mkdir()
    rock_salt("Xe", "Kr", 7.0).to(str(folder / "a.cif"))
    rock_salt("Ar", "Ne", 6.5).to(str(folder / "b.cif"))
    (folder / "broken.cif").write_text("data_nothing\n")
    return folder


@pytest.fixture
def hull(tmp_path: Path) -> Path:
    """Xe-Kr far above nothing: 1 eV/atom down; Ar-Ne without a reference for Ne."""
    rows = [("Xe", 0.0, True, ""), ("Kr", 0.0, True, ""), ("Ar", 0.0, True, ""), ("XeKr3", 0.2, True, "")]
    return write_table(make_table(rows, "lj", "by hand", "0" * 64), tmp_path / "hull.json.gz")


def settings(**values: object) -> EvaluateSettings:
    return parse_config(EvaluateSettings, values, "test")


def test_stability_is_reported_with_rows_and_a_picture(samples: Path, hull: Path, tmp_path: Path) -> None:
    chosen = settings(stability=True, hull=str(hull), twin={"potential": "lj", "max_steps": 40})
    report = evaluate_files([str(samples)], chosen)
    values = {metric.name: metric.value for metric in report.metrics}
    assert values["with_hull"] == 0.5
    assert values["metastable"] == values["msun"] == 0.5
    assert headline(report).startswith("1 of 2 are metastable")
    assert len(report.unreadable) == 1
    written = report.write(tmp_path / "metrics.csv")
    payload = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["metastable_unique_novel"] for row in payload["structures"]] == [True, False]
    assert payload["structures"][1]["failure"] == "no reference for Ne"
    with open(tmp_path / "metrics.csv", newline="") as stream:
        assert all(row["protocol"] for row in csv.DictReader(stream))
    if find_spec("matplotlib") is not None:
        assert written[-1].read_bytes().startswith(b"\x89PNG")


def test_predictions_are_matched_with_their_targets(samples: Path, tmp_path: Path) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    rock_salt("Xe", "Kr", 7.1).to(str(targets / "a.cif"))
    rock_salt("Na", "Cl", 5.64).to(str(targets / "b.cif"))
    report = evaluate_files([str(samples)], settings(targets=str(targets)))
    values = {metric.name: metric.value for metric in report.metrics}
    assert values["match_rate_1_ungated"] == values["metre"] == 0.5
    assert values["crmse"] == pytest.approx(0.25, abs=1e-6)


def test_known_structures_decide_novelty(samples: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.cif"
    rock_salt("Xe", "Kr", 6.9).to(str(known))
    report = evaluate_files([str(samples)], settings(known=str(known)))
    values = {metric.name: metric.value for metric in report.metrics}
    assert values["novel_by_matching"] == 0.5
    assert values["coverage_recall"] == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targets": "absent"}, "absent"),
        ({"reference": "crystls"}, "crystls"),
        ({"stability": True, "hull": "absent.json.gz"}, "absent.json.gz"),
    ],
)
def test_settings_that_point_to_nothing(samples: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_files([str(samples)], settings(**values))


def test_the_command_takes_its_reference_as_an_option(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(samples), "--reference", "crystals", "--print-config"]) == 0
    assert "reference: crystals" in capsys.readouterr().out
    assert main(["evaluate", str(samples), "--reference", "absent"]) == 2


def test_improve_shows_its_settings_and_refuses_stray_words(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    improve.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["improve", "crystals", "rounds=4", "--print-config"])
    assert improve.run(arguments) == 0
    assert "rounds: 4" in capsys.readouterr().out
    with pytest.raises(InputError, match="stray"):
        improve.run(parser.parse_args(["improve", "crystals", "stray"]))
    with pytest.raises(InputError, match="did you mean 'rounds'"):
        improve.run(parser.parse_args(["improve", "crystals", "round=4"]))
