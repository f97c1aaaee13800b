"""The ensemble stage: one set of figures a model, named after it; a model that cannot do it says so."""

import pytest
from pymatgen.core import Lattice, Structure

from potentials.config import parse_config
from potentials.errors import InputError
from screening.adsorption.dreiding import DREIDING
from screening.adsorption.ensemble import EnsembleSettings, evaluate_ensemble
from screening.adsorption.force_fields import FORCE_FIELDS
from screening.adsorption.uff import UFF
from screening.candidate import Candidate, content_id


def toy(charges: bool = False) -> Structure:
    """A chain of zinc, carbon and oxygen in a wide cell: any charge method and force field can describe it."""
    places = [(0, 0, 0), (0.25, 0, 0), (0.39, 0, 0), (0.22, 0, 0.2), (0.6, 0, 0)]
    structure = Structure(Lattice.cubic(9.0), ["Zn", "C", "C", "O", "O"], places)
    if charges:
        structure.add_site_property("charge", [0.8, 0.1, 0.1, -0.5, -0.5])
    return structure


def candidate(structure: Structure) -> Candidate:
    return Candidate(content_id(structure), 0, structure, {})


QUICK = {"gases": ["CO2"], "error": 0.2, "model": {"cutoff": 8.0}}


def settings(**extra) -> EnsembleSettings:
    return parse_config(EnsembleSettings, {**QUICK, **extra}, "test")


def test_every_model_but_the_campaigns_own() -> None:
    evaluation = evaluate_ensemble(candidate(toy()), settings(), 1)
    assert evaluation.rejected is None
    names = [p.name for p in evaluation.properties]
    assert [n for n in names if n.startswith("co2_henry_298K")] == [
        "co2_henry_298K@uff-trappe+eqeq",
        "co2_henry_298K@dreiding-uff-trappe+learned",
        "co2_henry_298K@dreiding-uff-trappe+eqeq",
    ]
    assert not any("heat" in n for n in names)


def test_given_charges_leave_only_the_force_fields() -> None:
    evaluation = evaluate_ensemble(candidate(toy(charges=True)), settings(), 1)
    assert {p.name.partition("@")[2] for p in evaluation.properties} == {"dreiding-uff-trappe+learned"}


def test_a_model_that_lacks_an_element_says_so_and_rejects_nobody() -> None:
    structure = Structure(Lattice.cubic(9.0), ["U", "O", "O"], [(0, 0, 0), (0.25, 0, 0), (-0.25, 0, 0)])
    evaluation = evaluate_ensemble(candidate(structure), settings(force_fields=["uff-trappe", "trappe-zeo"]), 1)
    assert evaluation.rejected is None
    silent = [p for p in evaluation.properties if p.value is None]
    assert any("trappe-zeo" in p.name and "U" in p.note for p in silent)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"force_fields": ["uff-trappe"], "charges": ["eqeq"]}, "two models or more"),
        ({"force_fields": ["uff-trappe", "amber"]}, "amber"),
        ({"charges": ["environment", "mulliken"]}, "charges"),
        ({"force_field": ["uff-trappe"]}, "force_fields"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        settings(**wrong)


def test_the_mixed_force_field_is_dreiding_and_uff_for_the_metals_it_lacks() -> None:
    mixed = FORCE_FIELDS["dreiding-uff-trappe"].framework
    assert all(mixed[element] == DREIDING[element] for element in DREIDING)
    added = set(mixed) - set(DREIDING)
    assert {"Mg", "Cu", "Zr", "Ni", "Co", "Ti"} <= added
    for element in added:
        assert mixed[element] == pytest.approx(UFF[element], rel=1e-4)


@pytest.mark.slow
def test_the_whole_uptake_stage_can_be_repeated() -> None:
    uptake = {"engine": "raspa", "equilibration_cycles": 20, "production_cycles": 40}
    evaluation = evaluate_ensemble(candidate(toy()), settings(measure="uptake", charges=["learned"], uptake=uptake), 1)
    names = {p.name for p in evaluation.properties}
    assert "vsa_working_capacity@dreiding-uff-trappe+learned" in names
    assert "co2_uptake_0.15bar_298K@dreiding-uff-trappe+learned" in names


@pytest.mark.slow
def test_a_process_can_be_repeated() -> None:
    process = {"gcmc_engine": "batched", "isotherm_points": 0, "uptake_error": 0.2}
    evaluation = evaluate_ensemble(
        candidate(toy()), settings(measure="process", charges=["learned"], process=process), 1
    )
    found = {p.name: p.value for p in evaluation.properties}
    assert found["vsa_working_capacity@dreiding-uff-trappe+learned"] is not None
