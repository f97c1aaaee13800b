"""Export: what is on disk reads back as what was ranked, and nothing old stays."""

import csv
import dataclasses
import json
import os

import numpy as np
import pytest
from example_snapshot import example_snapshot, perovskite
from pymatgen.core import Structure

from potentials.errors import InputError
from potentials.structure_files import read_structure
from screening.export import cif_text, format_ranking, write_ranking
from screening.quantities import label, with_error
from screening.ranking import rank


@pytest.fixture(scope="module")
def example():
    snapshot = example_snapshot()
    return snapshot, rank(snapshot)


def test_the_csv_holds_every_number_with_unit_and_error(tmp_path, example):
    snapshot, ranking = example
    path = write_ranking(tmp_path, snapshot, ranking)
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [entry.candidate.id for entry in ranking.entries]
    for row, entry in zip(rows, ranking.entries, strict=True):
        uptake = entry.candidate.properties["co2_uptake_0.15bar_298K"]
        assert float(row["co2_uptake_0.15bar_298K [mol/kg]"]) == pytest.approx(uptake.value, rel=1e-7)
        assert float(row["co2_uptake_0.15bar_298K_std [mol/kg]"]) == pytest.approx(uptake.std, rel=1e-2)
        assert float(row["score_p05"]) <= float(row["score"]) <= float(row["score_p95"])
        assert (int(row["rank_p05"]), int(row["rank_p95"])) == entry.rank_interval
        assert json.loads(row["provenance"]) == dict(entry.candidate.provenance)
        assert (tmp_path / row["cif"]).exists()
    assert "pld_angstrom_std [Å]" not in rows[0]  # no candidate has an error for it


def test_every_cif_is_the_structure_that_was_ranked(tmp_path, example):
    snapshot, ranking = example
    write_ranking(tmp_path, snapshot, ranking)
    names = sorted(path.name for path in (tmp_path / "candidates").iterdir())
    assert len(names) == len(ranking.entries)
    for name, entry in zip(names, ranking.entries, strict=True):
        assert name.startswith(f"{entry.place:02d}_")
        read = Structure.from_file(tmp_path / "candidates" / name)
        assert read.composition == entry.candidate.structure.composition
        assert read.lattice.parameters == pytest.approx(entry.candidate.structure.lattice.parameters, abs=1e-6)
        shortest = [np.sort(s.distance_matrix.ravel())[: 3 * len(s)] for s in (read, entry.candidate.structure)]
        assert shortest[0] == pytest.approx(shortest[1], abs=2e-3)  # the reader snaps near-special coordinates


def test_charges_are_kept_and_other_site_properties_are_not(tmp_path):
    structure = perovskite()
    structure.add_site_property("charge", [1.5, 2.0, -1.1, -1.2, -1.2])
    structure.add_site_property("forces", [[0.0, 0.0, 1.0]] * 5)
    (tmp_path / "a.cif").write_text(cif_text(structure))
    read = read_structure(tmp_path / "a.cif")
    assert read.site_properties["charge"] == [1.5, 2.0, -1.1, -1.2, -1.2]
    assert "forces" not in (tmp_path / "a.cif").read_text()
    assert "forces" in structure.site_properties  # the candidate itself is untouched


def test_a_second_ranking_leaves_no_stale_cif_and_no_stranger_is_touched(tmp_path, example):
    snapshot, ranking = example
    write_ranking(tmp_path, snapshot, ranking)
    mine = tmp_path / "candidates" / "my own.cif"
    mine.write_text("keep me")
    fewer = dataclasses.replace(ranking, entries=ranking.entries[:3])
    write_ranking(tmp_path, snapshot, fewer)
    assert len(list((tmp_path / "candidates").iterdir())) == 4
    assert mine.read_text() == "keep me"
    write_ranking(tmp_path, snapshot, dataclasses.replace(ranking, entries=()))
    assert list((tmp_path / "candidates").iterdir()) == [mine]
    assert (tmp_path / "ranking.csv").read_text().startswith("place,id")


def test_the_same_ranking_gives_the_same_bytes(tmp_path, example):
    snapshot, ranking = example
    write_ranking(tmp_path / "a", snapshot, ranking)
    write_ranking(tmp_path / "b", example_snapshot(), rank(example_snapshot()))
    for path in sorted((tmp_path / "a").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, example):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write"):
        write_ranking(tmp_path, *example)


def test_a_file_in_the_way_is_named(tmp_path, example):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write"):
        write_ranking(tmp_path / "run", *example)


def test_the_terminal_table_is_aligned_and_says_what_is_left_out(example):
    _, ranking = example
    lines = format_ranking(ranking, 5).splitlines()
    for head, words in zip(lines, ("CO2 uptake", "0.15 bar, 298 K", "mol/kg"), strict=False):
        assert words in head
    table = lines[3:8]
    assert [line.split()[0] for line in table] == ["1", "2", "3", "4", "5"]
    assert all(line.count("±") == 3 for line in table)
    column = lines[0].index("candidate")
    assert [line[column : column + 8] for line in table] == [e.candidate.id[:8] for e in ranking.entries[:5]]
    assert lines[8] == f"and {len(ranking.entries) - 5} more in ranking.csv"
    assert "share a letter cannot be told apart" in lines[9]
    assert "1 not rankable, e.g." in lines[10]
    nobody = dataclasses.replace(ranking, entries=(), unranked=())
    assert format_ranking(nobody, 5) == "no candidate could be ranked"


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (2.3123, 0.0496, "2.312 ± 0.050"),
        (2.3, 0.0996, "2.30 ± 0.10"),
        (3.5e-5, 6e-7, "(3.500 ± 0.060)e-05"),
        (1234.5, 23.0, "1234 ± 23"),
        (-18.23, 0.6, "-18.23 ± 0.60"),
        (0.0, 0.1, "0.00 ± 0.10"),
        (0.0, None, "0"),
        (-0.0, None, "0"),
        (12345678.0, None, "1.235e+07"),
        (0.99996, None, "1"),
        (3.14159, float("nan"), "3.142"),
        (None, None, "–"),
        (float("nan"), None, "nan"),
    ],
)
def test_numbers_carry_the_figures_their_error_allows(value, std, text):
    assert with_error(value, std) == text


def test_labels_are_read_by_people():
    assert label("co2_uptake_0.15bar_298K") == "CO2 uptake, 0.15 bar, 298 K"
    assert label("co2_n2_selectivity_298K") == "CO2/N2 selectivity, 298 K"
    assert label("pld_angstrom") == "PLD"
    assert label("vsa_working_capacity") == "VSA working capacity"
    assert label("n2_henry_298K") == "N2 Henry coefficient, 298 K"
    assert label("henry_selectivity_298K") == "Henry selectivity, 298 K"
    assert label("void_fraction") == "Void fraction"
