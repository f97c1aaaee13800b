"""How sure learned charges are: rare elements, the spread over the networks, and what a table row says of both."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.adsorption_structures import mg_mof_74
from potentials.charge_network import ChargeEnsemble
from screening import adsorb_files
from screening.adsorb_files import AdsorbSettings, record_path
from screening.adsorption.charge_confidence import (
    FLOOR,
    SCALE,
    ChargeConfidence,
    charge_confidence,
    confidence_properties,
)
from screening.adsorption.charges import charge_model_mark, framework_charges
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.learned_charges import charges_of, member_charges, rare_elements, shipped_model


def symbols(structure: Structure) -> list[str]:
    return [site.specie.symbol for site in structure]


def test_the_spread_of_the_networks_becomes_a_standard_error_of_the_henry_coefficient():
    mof = mg_mof_74()
    model = shipped_model()
    members = member_charges(mof, symbols(mof), model)
    assert members.shape == (len(model.network.members) + 1, len(mof))  # the kernel is a member too
    assert members.sum(axis=1) == pytest.approx(np.zeros(len(members)), abs=1e-8)
    mean = np.array(model.network.shares) @ members
    assert mean == pytest.approx(charges_of(mof, symbols(mof), model)[0], abs=1e-8)
    found = charge_confidence(mof, symbols(mof))
    assert found.charge_spread == pytest.approx(np.sqrt(members.var(axis=0, ddof=1).mean()), rel=1e-9)
    assert found.log_henry_spread > 0.01
    assert found.log_henry_std == pytest.approx(math.hypot(FLOOR, SCALE * found.log_henry_spread))
    assert charge_confidence(mof, symbols(mof)).log_henry_spread == found.log_henry_spread  # no chance left in it


def test_networks_that_agree_leave_the_floor_and_those_that_differ_more_a_larger_error():
    mof = mg_mof_74()
    model = shipped_model()
    own = charge_confidence(mof, symbols(mof))
    alike = ChargeEnsemble(list(copy.deepcopy(model.network.members)))
    for member in alike.members:
        member.load_state_dict(alike.members[0].state_dict())
    same = charge_confidence(mof, symbols(mof), model=replace(model, network=alike))
    assert same.charge_spread < 1e-6
    assert same.log_henry_std == pytest.approx(FLOOR, rel=1e-2)
    apart = copy.deepcopy(model.network)
    with torch.no_grad():
        for layer in apart.members[0].layers:
            for parameter in layer.readout[-1].parameters():
                parameter.mul_(3.0)
    assert charge_confidence(mof, symbols(mof), model=replace(model, network=apart)).charge_spread > own.charge_spread


def test_a_guest_that_does_not_fit_leaves_no_figure():
    rock = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = charge_confidence(rock, symbols(rock))
    assert found.log_henry_spread is None
    assert found.log_henry_std is None
    assert found.note == ""


def test_rare_elements_are_named_with_their_number():
    model = shipped_model()
    few = {**model.frameworks_by_element, "Mg": 4, "O": 2000, "C": 2000, "H": 2000}
    known = replace(model, description={**model.description, "training": {"frameworks_by_element": few}})
    assert rare_elements(["Mg", "O", "C", "H"], known) == {"Mg": 4}
    before = replace(model, description={**model.description, "training": {}})
    assert rare_elements(["Mg", "O"], before) == {}  # from before frameworks were counted
    assert ChargeConfidence({"Mg": 4}, 0.01, None).note == "learned charges know few frameworks with Mg (4)"
    assert "by a factor 1.2" in ChargeConfidence({}, 0.01, 0.1).note  # exp of hypot(0.05, 2 * 0.1)


def test_a_row_says_how_sure_learned_charges_are_and_nothing_of_others():
    mof = mg_mof_74()
    (found,) = confidence_properties(prepare_host(mof, HostGuestModel()))
    assert found.name == "charges_ln_henry_co2_std"
    assert found.value == pytest.approx(charge_confidence(mof, symbols(mof)).log_henry_std, rel=1e-6)
    assert "Henry coefficient uncertain by a factor" in found.note
    assert confidence_properties(prepare_host(mof, HostGuestModel(charges="eqeq"))) == ()
    _, method = framework_charges(mof, symbols(mof), "learned", None)
    assert shipped_model().mark == charge_model_mark()
    assert charge_model_mark() in method


def test_figures_kept_of_a_structure_are_those_of_one_charge_model(tmp_path, monkeypatch):
    learned, eqeq = AdsorbSettings(), AdsorbSettings(model=HostGuestModel(charges="eqeq"))
    before = [record_path(tmp_path, "x", settings) for settings in (learned, eqeq)]
    monkeypatch.setattr(adsorb_files, "charge_model_mark", lambda: "another")
    after = [record_path(tmp_path, "x", settings) for settings in (learned, eqeq)]
    assert before[0] != after[0]
    assert before[1] == after[1]
