"""Poses of a guest and their operator: against the engine's field, and what they predict of Henry coefficients."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.adsorption_structures import mg_mof_74
from potentials.errors import InputError
from potentials.guest_poses import log_henry_change
from screening.adsorption.batched.host_field import host_field, place_sites, random_turns, site_energies, site_kinds
from screening.adsorption.charge_dataset import distinct_atoms
from screening.adsorption.force_fields import HostGuestModel, find_force_field
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.guest_poses import PoseConfig, PoseHost, draw_poses, guest_operator
from screening.adsorption.henry import HenrySettings, henry_of_host

MODEL = HostGuestModel(truncation="truncated", cutoff=12.0, pockets="open")


def co2():
    return find_gas(find_force_field("uff-trappe").gases, "CO2")


def pose_host(structure: Structure, charges: np.ndarray, distinct: np.ndarray) -> PoseHost:
    elements = tuple(site.specie.symbol for site in structure)
    by_distinct = np.array([charges[distinct == k].mean() for k in range(distinct.max() + 1)])
    return PoseHost(structure.lattice.matrix, structure.frac_coords, elements, distinct, by_distinct)


def charged_mof() -> tuple[Structure, np.ndarray]:
    """Mg-MOF-74 with charges that differ by element only."""
    mof = mg_mof_74()
    by_element = {"Mg": 1.5, "O": -0.7, "C": 0.25, "H": 0.1}
    charges = np.array([by_element[site.specie.symbol] for site in mof])
    return mof, charges - charges.mean()


def with_charges(structure: Structure, charges: np.ndarray) -> Structure:
    charged = structure.copy()
    charged.add_site_property("charge", charges.tolist())
    return charged


def test_energies_are_those_of_the_engine_in_a_skewed_cell():
    rng = np.random.default_rng(0)
    structure = Structure(
        Lattice.from_parameters(9.0, 11.0, 14.0, 75, 98, 112), ["Zn", "O", "O", "C", "C", "H"], rng.random((6, 3))
    )
    charges = rng.normal(0, 0.5, 6)
    charges -= charges.mean()
    host = prepare_host(with_charges(structure, charges), MODEL)
    gas = co2()
    sites = place_sites(gas, rng.normal(0, 30, (40, 3)), random_turns(rng.random((40, 3))))  # in any image of the cell
    field = host_field(host, [gas])
    kinds = np.tile(site_kinds(field.types, gas), len(sites))
    potential = site_energies(field, sites.reshape(-1, 3), kinds)[1]
    exact = (field.types.charge[kinds] * potential).reshape(40, -1).sum(axis=1)
    operator = guest_operator(pose_host(structure, charges, np.arange(6)), gas, sites)
    assert operator @ charges == pytest.approx(exact, rel=1e-3, abs=1.0)  # K
    folded = guest_operator(pose_host(structure, charges, np.array([0, 1, 1, 2, 2, 3])), gas, sites)
    assert folded[:, 1] == pytest.approx(operator[:, 1] + operator[:, 2], rel=1e-6)


def test_a_change_of_charges_changes_the_henry_coefficient_as_the_poses_say():
    mof, charges = charged_mof()
    _, distinct, _ = distinct_atoms(mof)
    poses = draw_poses(pose_host(mof, charges, distinct), PoseConfig(), seed=1)
    assert poses is not None
    assert 0.2 * 128 < len(poses.log_share) <= 128
    assert float(poses.log_share.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    settings = HenrySettings(model=MODEL, gases=("CO2",), error=0.03)
    measured = [
        henry_of_host(prepare_host(with_charges(mof, scale * charges), MODEL), "CO2", 298.0, settings, 0)
        for scale in (1.0, 0.8)
    ]
    ratio = np.log(measured[1].henry_coefficient / measured[0].henry_coefficient)
    assert ratio < -0.6  # a large change
    error = torch.from_numpy(-0.2 * pose_host(mof, charges, distinct).charges).float()
    assert float(log_henry_change(poses, error)) == pytest.approx(ratio, abs=0.2)


def test_poses_are_a_function_of_the_seed():
    mof, charges = charged_mof()
    host = pose_host(mof, charges, np.arange(len(mof)))
    few = PoseConfig(kept=16)
    first, again, other = (draw_poses(host, few, seed) for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first.operator, again.operator)
    assert not torch.equal(first.log_share, other.log_share)


def test_a_solid_without_pores_has_no_poses():
    rock = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    charges = np.array([1.0 if site.specie.symbol == "Mg" else -1.0 for site in rock])
    assert draw_poses(pose_host(rock, charges, np.arange(8)), PoseConfig(rounds=1), seed=0) is None


def test_an_element_without_parameters_is_named():
    mof, charges = charged_mof()
    mof.replace(0, "Po")
    host = pose_host(mof, charges, np.arange(len(mof)))
    with pytest.raises(InputError, match="no parameters for"):
        draw_poses(host, PoseConfig(force_field="dreiding-trappe"), seed=0)
