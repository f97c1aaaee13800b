"""Adsorption evaluators: what they report for a candidate, and when they reject it."""

import math

import pytest
from pymatgen.core import Lattice, Structure

from potentials.config import parse_config
from potentials.errors import InputError
from screening.adsorption.evaluator import HenrySettings, UptakeSettings, evaluate_henry, evaluate_uptake
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gcmc import GcmcSettings
from screening.adsorption.uptake_engine import Engine, uptakes
from screening.candidate import Candidate, content_id

NO_CHARGES = {"charges": "none"}


def candidate(structure: Structure) -> Candidate:
    return Candidate(content_id(structure), 0, structure, {"proposer": "test"})


def argon_lattice() -> Structure:
    return Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]])


def test_henry_reports_every_gas_with_unit_error_and_method():
    settings = parse_config(HenrySettings, {"model": NO_CHARGES, "insertions": 4000, "heat_moves": 2000}, "test")
    evaluation = evaluate_henry(candidate(argon_lattice()), settings, seed=1)
    assert evaluation.rejected is None
    found = {p.name: p for p in evaluation.properties}
    assert {name: p.unit for name, p in found.items()} == {
        "co2_henry_298K": "mol/(kg Pa)",
        "co2_heat_298K": "kJ/mol",
        "n2_henry_298K": "mol/(kg Pa)",
        "n2_heat_298K": "kJ/mol",
        "henry_selectivity_298K": "",
    }
    assert all(p.value > 0 and p.std > 0 and "12 Å cut-off" in p.method for p in found.values())
    co2, n2 = found["co2_henry_298K"], found["n2_henry_298K"]
    quotient = found["henry_selectivity_298K"]
    assert quotient.value == pytest.approx(co2.value / n2.value)
    assert quotient.std / quotient.value == pytest.approx(math.hypot(co2.std / co2.value, n2.std / n2.value))
    assert evaluate_henry(candidate(argon_lattice()), settings, seed=1) == evaluation


def test_uptake_reports_the_cycle():
    settings = UptakeSettings(model=NO_CHARGES, engine="raspa", equilibration_cycles=100, production_cycles=2000)
    evaluation = evaluate_uptake(candidate(argon_lattice()), settings, seed=1)
    found = {p.name: p for p in evaluation.properties}
    assert {name: p.unit for name, p in found.items()} == {
        "co2_uptake_0.15bar_298K": "mol/kg",
        "n2_uptake_0.85bar_298K": "mol/kg",
        "co2_uptake_0.1bar_363K": "mol/kg",
        "vsa_working_capacity": "mol/kg",
        "co2_n2_selectivity": "",
        "regenerability": "%",
    }
    feed, left = found["co2_uptake_0.15bar_298K"], found["co2_uptake_0.1bar_363K"]
    assert feed.value > left.value > 0
    assert found["vsa_working_capacity"].value == pytest.approx(feed.value - left.value)
    assert found["regenerability"].value == pytest.approx(100 * (1 - left.value / feed.value))
    assert all(p.std > 0 and p.method for p in found.values())


def test_an_unknown_gas_is_refused_with_the_settings():
    with pytest.raises(InputError, match="uff-trappe has CO2, N2, CH4"):
        parse_config(HenrySettings, {"gases": ["CO2", "H2S"]}, "test")


def test_names_follow_the_conditions():
    settings = UptakeSettings(
        model=NO_CHARGES,
        co2_fraction=0.04,
        adsorption_temperature=313.0,
        desorption_pressure=5e3,
        engine="raspa",
        equilibration_cycles=0,
        production_cycles=20,
    )
    names = [p.name for p in evaluate_uptake(candidate(argon_lattice()), settings, seed=1).properties]
    assert names[:3] == ["co2_uptake_0.04bar_313K", "n2_uptake_0.96bar_313K", "co2_uptake_0.05bar_363K"]


def test_no_room_leaves_figures_empty_with_the_reason():
    iron = Structure.from_spacegroup("Im-3m", Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]])
    henry = HenrySettings(model=NO_CHARGES, insertions=400, heat_moves=400)
    found = {p.name: p for p in evaluate_henry(candidate(iron), henry, seed=1).properties}
    assert found["co2_henry_298K"].value == pytest.approx(0.0, abs=1e-30)
    assert found["co2_heat_298K"].value is None
    assert "does not fit" in found["co2_heat_298K"].note
    assert found["henry_selectivity_298K"].value is None
    uptake = UptakeSettings(model=NO_CHARGES, engine="raspa", equilibration_cycles=0, production_cycles=20)
    found = {p.name: p for p in evaluate_uptake(candidate(iron), uptake, seed=1).properties}
    assert found["vsa_working_capacity"].value == 0.0
    assert found["co2_n2_selectivity"].value is None
    assert found["co2_n2_selectivity"].note == "no N2 adsorbed"


@pytest.mark.parametrize(
    ("settings", "charges", "message"),
    [
        (HenrySettings(model={"force_field": "zeolite"}), None, "no parameters for Ar"),
        (HenrySettings(), [0.4], "sum to 0.400 e"),
    ],
)
def test_a_candidate_that_cannot_be_modelled_is_rejected_with_the_reason(settings, charges, message):
    structure = argon_lattice()
    if charges:
        structure.add_site_property("charge", charges)
    evaluation = evaluate_henry(candidate(structure), settings, seed=1)
    assert message in evaluation.rejected
    assert evaluation.properties == ()
    assert message in evaluate_uptake(candidate(structure), UptakeSettings(model=settings.model), seed=1).rejected


def test_our_engine_is_taken_unless_a_gas_is_polar():
    pytest.importorskip("numba")
    model = HostGuestModel(charges="none")
    host = prepare_host(argon_lattice(), model)
    few = GcmcSettings(model=model, equilibration_cycles=0, production_cycles=20)
    choices: tuple[tuple[str, Engine, str], ...] = (
        ("CO2", "auto", "batched"),
        ("H2O", "auto", "RASPA3"),
        ("H2O", "batched", "batched"),
    )
    for gas, engine, method in choices:
        (found,) = uptakes(host, {gas: 1.0}, [1e3], 298.0, engine=engine, error=0.2, protocol=few, seed=1)
        assert found.method.startswith(method)
    assert UptakeSettings().engine == "auto"


def test_an_uptake_that_cost_too_much_is_reported_with_the_reason():
    pytest.importorskip("numba")
    settings = UptakeSettings(model=NO_CHARGES, error=0.0001, most_work=1e6)
    evaluation = evaluate_uptake(candidate(argon_lattice()), settings, seed=1)
    assert evaluation.rejected is None
    for item in evaluation.properties:
        assert item.value is not None
        assert "stopped at its budget of moves: its relative error is" in item.note


def test_both_engines_find_the_same_uptakes():
    pytest.importorskip("numba")
    found = {}
    for engine in ("raspa", "batched"):
        settings = UptakeSettings(model=NO_CHARGES, production_cycles=4000, engine=engine, error=0.02)
        evaluation = evaluate_uptake(candidate(argon_lattice()), settings, seed=1)
        found[engine] = {p.name: p for p in evaluation.properties}
    assert found["raspa"].keys() == found["batched"].keys()
    assert "batched" in found["batched"]["vsa_working_capacity"].method
    for name in ("co2_uptake_0.15bar_298K", "n2_uptake_0.85bar_298K", "co2_uptake_0.1bar_363K"):
        one, other = found["raspa"][name], found["batched"][name]
        assert one.value == pytest.approx(other.value, abs=4 * math.hypot(one.std, other.std) + 0.02 * other.value)
