"""Measurements in a store: entered once, put before computed figures, kept out of the funnel; old stores upgraded."""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_snapshot import ensemble_snapshot, langmuir
from example_snapshot import example_snapshot

from potentials.errors import InputError
from screening.candidate import Candidate, Property
from screening.experiments.as_properties import henry_of_isotherm, measured_properties
from screening.experiments.entering import find_candidate, measured_text
from screening.experiments.measured_isotherm import make_isotherm
from screening.experiments.record import figure_measurement, isotherm_measurement, isotherm_of
from screening.export import format_ranking, write_ranking
from screening.ranking import rank
from screening.store import Store
from screening.store_measurements import with_measurements
from screening.store_schema import SCHEMA_VERSION
from screening.summary import candidate_text

UPTAKE = "co2_uptake_0.15bar_298K"


def first_active(**options) -> Candidate:
    return next(
        row.candidate
        for row in ensemble_snapshot(measured=False, **options).rows
        if row.state == "active" and row.candidate is not None
    )


def test_an_old_store_is_upgraded_when_opened_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("store_schema_1.sql").read_text())
    with Store.open(path) as store:  # reading changes nothing
        identity = store.snapshot().rows[0].candidate.id  # type: ignore[union-attr]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    figure = figure_measurement("a", 1.75, "eV", std=0.05, source="10.1/x")
    with Store.open(path, "w") as store:
        assert store.add_measurement(identity, figure)
        assert not store.add_measurement(identity, figure)  # the same twice is once
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("SELECT count(*) FROM event WHERE kind = 'schema upgraded'").fetchone() == (1,)
    with Store.open(path) as store:
        candidate = store.snapshot().rows[0].candidate
        assert candidate is not None
        assert candidate.properties["a"] == Property("a", 1.75, "eV", 0.05, "measured; 10.1/x", "", "measured")
        assert candidate.superseded["a"].value == 1.5
        assert store.properties(identity)["a"].value == 1.5  # what the funnel sees is what was computed
        assert store.candidate_values(0)["properties"][0]["value"] == 1.5


def test_an_isotherm_survives_the_store_and_back() -> None:
    isotherm = replace(langmuir(first_active()), loading_std=None)
    measurement = isotherm_measurement(isotherm)
    back = isotherm_of(measurement)
    assert back is not None
    np.testing.assert_array_equal(back.loading, isotherm.loading)
    assert (back.gas, back.kind, back.source) == ("CO2", "excess", "10.1000/example")
    with pytest.raises(InputError, match="has no source"):
        figure_measurement("a", 1.0, "eV", source=" ")
    with pytest.raises(InputError, match="not a finite number"):
        figure_measurement("a", float("nan"), "eV", source="x")


def test_uptake_and_henry_are_read_off_an_isotherm() -> None:
    candidate = first_active()
    measured = with_measurements(candidate, (isotherm_measurement(langmuir(candidate)),))
    before, after = candidate.properties[UPTAKE], measured.properties[UPTAKE]
    assert before.value is not None
    assert after.value == pytest.approx(0.8 * before.value, rel=0.01)
    assert after.std == pytest.approx(0.03 * after.value, rel=0.05)
    assert (after.fidelity, after.unit) == ("measured", "mol/kg")
    assert "10.1000/example" in after.method
    assert measured.superseded[UPTAKE] == before
    assert measured.properties["co2_henry_298K"].fidelity == "measured"
    assert measured.properties["n2_henry_298K"].fidelity == "computed"
    assert measured.properties["pld_angstrom"] == candidate.properties["pld_angstrom"]


def test_another_temperature_is_another_property() -> None:
    candidate = first_active()
    warm = replace(langmuir(candidate), temperature=303.0)
    assert measured_properties((isotherm_measurement(warm),), candidate.properties) == {}


def test_several_laboratories_give_their_median_and_scatter() -> None:
    candidate = first_active()
    base = langmuir(candidate)
    several = tuple(
        isotherm_measurement(replace(base, loading=f * base.loading, loading_std=None, source=f"10.1/{f}"))
        for f in (0.8, 1.0, 1.3)
    )
    one = measured_properties(several[1:2], candidate.properties)[UPTAKE]
    found = measured_properties(several, candidate.properties)[UPTAKE]
    assert one.std is None
    assert found.value == pytest.approx(one.value)
    assert found.std == pytest.approx(1.2533 * 1.4826 * 0.2 * one.value / 3**0.5, rel=1e-3)
    assert "median of 3" in found.method


def test_the_henry_limit_of_a_langmuir_isotherm() -> None:
    p = np.geomspace(100.0, 1e5, 25)
    isotherm = make_isotherm(
        gas="CO2", material="x", temperature=298.0, pressure=p, loading=5.0 * 2e-5 * p / (1 + 2e-5 * p)
    )
    found = henry_of_isotherm(isotherm)
    assert found is not None
    value, std = found
    assert value == pytest.approx(1e-4, rel=0.02)
    assert std is not None
    assert std < 0.02 * value
    assert henry_of_isotherm(replace(isotherm, pressure=p[-3:], loading=isotherm.loading[-3:])) is None


def test_working_capacity_follows_when_both_uptakes_are_measured() -> None:
    def uptake(name: str, value: float) -> Property:
        return Property(name, value, "mol/kg", 0.01)

    hot = "co2_uptake_0.1bar_363K"
    computed = {
        UPTAKE: uptake(UPTAKE, 3.0),
        hot: uptake(hot, 1.0),
        "vsa_working_capacity": uptake("vsa_working_capacity", 2.0),
        "regenerability": Property("regenerability", 66.7, "%", 1.0),
    }
    high = figure_measurement(UPTAKE, 2.0, "mol/kg", std=0.03, source="lab")
    p = np.linspace(1e3, 2e4, 8)
    curves = [
        make_isotherm(gas="CO2", material="x", temperature=t, pressure=p, loading=q * p / p0)
        for t, q, p0 in ((298.0, 2.0, 1.5e4), (363.0, 0.5, 1e4))
    ]
    found = measured_properties([isotherm_measurement(c) for c in curves], computed)
    assert found["vsa_working_capacity"].value == pytest.approx(1.5)
    assert found["regenerability"].value == pytest.approx(75.0)
    assert "vsa_working_capacity" not in measured_properties([isotherm_measurement(curves[0]), high], computed)


def test_the_ranking_uses_the_measurement_and_says_so(tmp_path: Path) -> None:
    computed, measured = (rank(ensemble_snapshot(measured=m)) for m in (False, True))
    ids = [e.candidate.id for e in measured.entries if e.measured]
    assert ids
    before = {e.candidate.id: e for e in computed.entries}
    for entry in measured.entries:
        if entry.candidate.id in ids:
            assert entry.measured == (UPTAKE,)
            assert entry.parts[UPTAKE] != before[entry.candidate.id].parts[UPTAKE]
    assert "Measured figures" in measured.method
    assert "Measured figures" not in computed.method
    text = format_ranking(measured, 20)
    assert "* measured in a laboratory" in text
    assert "laboratory" not in format_ranking(computed, 20)
    write_ranking(tmp_path, ensemble_snapshot(), measured)
    head, *rows = (tmp_path / "ranking.csv").read_text().splitlines()
    assert f"{UPTAKE}_fidelity,{UPTAKE}_computed [mol/kg]" in head
    assert sum(",measured," in row for row in rows) == len(ids)


def test_both_figures_are_shown() -> None:
    snapshot = ensemble_snapshot()
    identity = next(e.candidate.id for e in rank(snapshot).entries if e.measured)
    text = candidate_text(snapshot, identity)
    assert "10.1000/example" in text
    assert "  computed" in text
    table = measured_text(snapshot)
    assert "0.79" in table or "0.80" in table
    assert "10.1000/example" in table
    assert "holds no measurements" in measured_text(example_snapshot())


def test_a_candidate_by_any_of_its_names() -> None:
    snapshot = ensemble_snapshot()
    row = next(row for row in snapshot.rows if row.state == "active" and row.candidate is not None)
    candidate = row.candidate
    assert candidate is not None
    named = replace(candidate, provenance={**candidate.provenance, "file": "cifs/my_mof.cif"})
    rows = tuple(replace(r, candidate=named) if r is row else r for r in snapshot.rows)
    snapshot = replace(snapshot, rows=rows)
    for wanted in (candidate.id, candidate.id[:10], "my_mof", "my_mof.cif", "cifs/my_mof.cif"):
        assert find_candidate(snapshot, wanted) == candidate.id
    assert find_candidate(snapshot, None, "my_mof") == candidate.id
    with pytest.raises(InputError, match="candidates answer to 'SiO2'"):
        find_candidate(snapshot, "SiO2")
    with pytest.raises(InputError, match="no candidate answer"):
        find_candidate(snapshot, "unobtainium")
    with pytest.raises(InputError, match="say whose measurement"):
        find_candidate(snapshot, None)
