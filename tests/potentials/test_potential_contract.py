"""The contract every potential keeps, run over each of them."""

from pathlib import Path

import numpy as np
import potential_contract
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from potentials.ase_calculator import SorbusCalculator
from potentials.ase_potential import ASEPotential
from potentials.atom_graph import collate, graph_from_atoms
from potentials.neighbours import neighbour_list
from potentials.potential import Potential, load_potential


def salt_and_water() -> list[Atoms]:
    """A rattled, sheared crystal, a small cell of it, a molecule."""
    salt = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    strain = np.array([[0.02, 0.03, 0], [0, -0.04, 0.01], [0, 0, 0.05]])
    salt.set_cell(salt.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    salt.rattle(0.1, seed=1)
    thin = bulk("NaCl", "rocksalt", 5.5)
    thin.rattle(0.05, seed=2)
    water = molecule("H2O")
    water.rattle(0.05, seed=3)
    return [salt, thin, water]


def argon() -> list[Atoms]:
    solid = bulk("Ar", "fcc", 5.3, cubic=True)
    solid.rattle(0.2, seed=1)
    pair = Atoms("Ar2", [[0, 0, 0], [0.1, 3.6, 0.2]])
    return [solid, bulk("Ar", "fcc", 5.5), pair]


def metals() -> list[Atoms]:
    solid = bulk("Cu", "fcc", 3.7, cubic=True)
    solid.symbols[0] = "Au"
    solid.rattle(0.1, seed=1)
    cluster = Atoms("Pt3", [[0, 0, 0], [2.5, 0.1, 0], [1.2, 2.3, 0.3]])
    return [solid, bulk("Al", "fcc", 4.0), cluster]


def trained_network(folder: Path) -> Potential:
    """A small random network that went through a checkpoint, as a user's would."""
    network_potential = pytest.importorskip("potentials.network_potential")
    checkpoint = pytest.importorskip("potentials.checkpoint")
    network = pytest.importorskip("potentials.network")
    torch.manual_seed(0)
    model = network_potential.EnergyModel(
        network.NetworkConfig(cutoff=4.0, channels=8),
        {1: -1.0, 8: -2.0, 11: -3.0, 17: -4.0},
        0.5,
        zbl=True,
        pair_baseline=True,
    )
    torch.nn.init.constant_(model.pair_baseline.coefficients, 0.1)
    batch = collate([graph_from_atoms(atoms) for atoms in salt_and_water()])
    model.calibrate(batch, neighbour_list(batch, 4.0))
    checkpoint.save_checkpoint(folder / "network", model, name="tiny")
    return load_potential(folder / "network", precision="float64")


POTENTIALS = {
    "chgnet": (lambda folder: load_potential("chgnet-fast", dtype="float64"), salt_and_water),
    "chgnet with skin": (lambda folder: load_potential("chgnet-fast", dtype="float64", skin=0.4), salt_and_water),
    "network": (trained_network, salt_and_water),
    "shipped": (lambda folder: load_potential("sorbus-crystals", precision="float64"), salt_and_water),
    "lj": (lambda folder: load_potential("lj", cutoff=7.0), argon),
    "emt": (lambda folder: load_potential("emt"), metals),
    # out of a Potential, into ASE, and back
    "round trip": (
        lambda folder: ASEPotential(lambda: SorbusCalculator(load_potential("lj", cutoff=7.0)), cutoff=7.0),
        argon,
    ),
}


@pytest.fixture(scope="module", params=POTENTIALS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Potential, list[Atoms]]:
    make, systems = POTENTIALS[request.param]
    return make(tmp_path_factory.mktemp("potential")), systems()


# ASE's Lennard-Jones switch has a continuous force but a kink in it; the contract must notice.
KINKED = ("lj", "sorbuscalculator")


@pytest.mark.parametrize("check", potential_contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(case: tuple[Potential, list[Atoms]], check) -> None:
    if check is potential_contract.check_curvature and case[0].name in KINKED:
        with pytest.raises(AssertionError):
            check(*case)
    else:
        check(*case)


def test_the_contract_catches_a_wrong_stress_sign() -> None:
    lj = load_potential("lj", cutoff=7.0)

    class Flipped:
        name, elements, cutoff = "flipped", lj.elements, lj.cutoff

        def __call__(self, batch, *, stress=True):
            output = lj(batch, stress=stress)
            if stress:
                output["stress"] = -output["stress"]
            return output

    with pytest.raises(AssertionError):
        potential_contract.check_stress(Flipped(), argon())
