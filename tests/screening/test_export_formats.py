"""Candidates of a run in other programs' formats, and the run in plain text."""

import csv
import dataclasses
import json
from pathlib import Path

import ase.io
import pytest
from example_snapshot import example_snapshot

from potentials.errors import InputError
from potentials.structure_files import read_structures
from screening import summary
from screening.candidate import Snapshot
from screening.export_formats import export_snapshot


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return example_snapshot()


def test_csv_holds_survivors_or_everything(snapshot: Snapshot, tmp_path: Path) -> None:
    active = [row for row in snapshot.rows if row.state == "active"]
    for everything, expected in ((False, len(active)), (True, len(snapshot.rows))):
        count, path = export_snapshot(snapshot, tmp_path / "a.csv", everything=everything)
        with open(path, newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert count == len(rows) == expected
    assert {row["state"] for row in rows} == {row.state for row in snapshot.rows}


def test_json_names_are_optimade(snapshot: Snapshot, tmp_path: Path) -> None:
    _, path = export_snapshot(snapshot, tmp_path / "a.json")
    first = json.loads(path.read_text())["data"][0]
    candidate = next(row.candidate for row in snapshot.rows if row.state == "active")
    assert candidate is not None
    assert first["id"] == candidate.id
    assert first["attributes"]["nsites"] == len(first["attributes"]["species_at_sites"]) == len(candidate.structure)
    assert first["attributes"]["elements"] == sorted(first["attributes"]["elements"])


def test_structures_read_back_with_their_charges(snapshot: Snapshot, tmp_path: Path) -> None:
    row = next(row for row in snapshot.rows if row.state == "active")
    assert row.candidate is not None
    structure = row.candidate.structure.copy()
    structure.add_site_property("charge", [0.25] * len(structure))
    row = dataclasses.replace(row, candidate=dataclasses.replace(row.candidate, structure=structure))
    one = dataclasses.replace(snapshot, rows=(row,))
    assert export_snapshot(one, tmp_path / "cifs")[0] == 1
    (result,) = read_structures(tmp_path / "cifs")
    assert result.structure.site_properties["charge"] == [0.25] * len(structure)
    _, path = export_snapshot(one, tmp_path / "a.extxyz")
    atoms = ase.io.read(path, format="extxyz")
    assert len(atoms) == len(structure)
    assert atoms.info["id"] == row.candidate.id


def test_an_unknown_ending_is_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end it in \.csv"):
        export_snapshot(snapshot, tmp_path / "a.docx")


def test_the_funnel_adds_up_and_every_loss_is_told(snapshot: Snapshot) -> None:
    lost = [row for row in snapshot.rows if row.state != "active"]
    assert len(summary.losses_text(snapshot).splitlines()) == len(lost) + 1
    last = summary.funnel_text(snapshot).splitlines()[-1].split()
    assert int(last[-1]) == len(snapshot.rows) - len(lost)


def test_a_candidate_is_found_by_the_start_of_its_id(snapshot: Snapshot) -> None:
    row = next(row for row in snapshot.rows if row.state == "active")
    assert row.candidate is not None
    text = summary.candidate_text(snapshot, row.candidate.id)
    assert all(name in text for name in row.candidate.properties)
    with pytest.raises(InputError, match="no candidate answer"):
        summary.find_row(snapshot, "zzzz")
