"""Charges and their electrostatic energy: known sums, conservation, derivatives, symmetries, mixed batches."""

import json
import math

import numpy as np
import potential_contract
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.config import parse_config
from potentials.energies import batch_energies
from potentials.errors import InputError
from potentials.insertion import host_state
from potentials.long_range import LongRangeConfig, conserved
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential
from potentials.smeared_charges import COULOMB, coulomb_energy
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig

ELEMENTS = {1: -13.6, 6: -1029.5, 8: -2041.8, 11: -1.3, 17: -1.8}


def energy_of(atoms: Atoms, charges, smearing: float) -> torch.Tensor:
    batch = collate([graph_from_atoms(atoms)])
    charges = torch.tensor(charges, dtype=torch.float64)
    return coulomb_energy(batch.positions, charges, batch.cell, batch.pbc, batch.batch, smearing)


def build(smearing: float = 1.0, dtype=torch.float64, architecture: str = "density") -> EnergyModel:
    torch.manual_seed(0)
    config = NetworkConfig(architecture=architecture, cutoff=3.2, channels=8, radial_hidden=8)
    if architecture == "density":
        config = config.model_copy(update={"carried": (8, 8, 4)})
    model = EnergyModel(config, ELEMENTS, 0.7, dtype=dtype, long_range=LongRangeConfig(smearing=smearing, hidden=8))
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    model.calibrate(batch, neighbour_list(batch, model.config.cutoff))
    return model


def systems() -> list[Atoms]:
    """An atom, a molecule, a slab with its vacuum not along z, salt in a skewed cell."""
    slab = Atoms("Na2Cl2", [[0.3, 0, 0], [0.2, 2.8, 0.1], [0, 0.2, 2.9], [0.1, 2.7, 2.7]], cell=[0, 5.6, 5.7])
    slab.cell[0] = (0, 0, 0)
    slab.pbc = (False, True, True)
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    salt.set_cell(salt.cell.array + np.array([[0, 0.3, 0], [0, 0, 0], [0.2, 0, 0.1]]), scale_atoms=True)
    salt.rattle(0.1, seed=2)
    return [Atoms("C"), molecule("CH3CH2OH"), slab, salt]


def run(model: EnergyModel, atoms: Atoms | list[Atoms], **options) -> dict[str, torch.Tensor]:
    batch = collate([graph_from_atoms(a) for a in (atoms if isinstance(atoms, list) else [atoms])])
    return model(batch, neighbour_list(batch, model.config.cutoff), **options)


def test_madelung_constants() -> None:
    """Of rock salt 1.747565 and caesium chloride 1.762675 per ion pair, in units of the nearest distance."""
    salt = bulk("NaCl", "rocksalt", a=5.64)
    energy = energy_of(salt, [1, -1], smearing=0.35)
    assert -energy.item() / COULOMB * 2.82 == pytest.approx(1.747565, abs=2e-6)
    caesium = bulk("CsCl", "cesiumchloride", a=4.12)
    energy = energy_of(caesium, [1, -1], smearing=0.35)
    assert -energy.item() / COULOMB * 4.12 * math.sqrt(3) / 2 == pytest.approx(1.762675, abs=2e-6)


def test_the_sum_does_not_see_how_the_cell_is_chosen() -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64)
    cubic = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    primitive = energy_of(salt, [1, -1], 1.0).item()
    assert energy_of(cubic, [1, -1] * 4, 1.0).item() == pytest.approx(4 * primitive, abs=1e-6)
    skewed = salt.copy()
    skewed.set_cell([[1, 0, 0], [1, 1, 0], [-1, 2, 1]] @ salt.cell.array, scale_atoms=False)
    assert energy_of(skewed, [1, -1], 1.0).item() == pytest.approx(primitive, abs=1e-6)


def test_far_charges_obey_coulombs_law_and_near_ones_stay_finite() -> None:
    for distance in (8.0, 20.0):
        pair = Atoms("NaCl", [[0, 0, 0], [0, 0, distance]])
        assert energy_of(pair, [1, -1], 1.0).item() == pytest.approx(-COULOMB / distance, rel=1e-9)
    close = Atoms("NaCl", [[0, 0, 0], [0, 0, 1e-4]])
    assert energy_of(close, [1, -1], 1.0).item() == pytest.approx(-COULOMB * math.sqrt(2 / math.pi), rel=1e-6)


def test_a_molecule_in_a_large_box_has_the_energy_it_has_alone() -> None:
    """A molecule with no dipole: the pair sum, the slab sum and the crystal sum must agree."""
    square = Atoms("NaClNaCl", [[0, 0, 0], [2.5, 0, 0], [2.5, 2.5, 0], [0, 2.5, 0]])
    alone = energy_of(square, [1, -1, 1, -1], 0.8).item()
    boxed = square.copy()
    boxed.cell, boxed.pbc = [28, 28, 28], True
    assert energy_of(boxed, [1, -1, 1, -1], 0.8).item() == pytest.approx(alone, abs=2e-3)
    boxed.pbc = (True, True, False)
    assert energy_of(boxed, [1, -1, 1, -1], 0.8).item() == pytest.approx(alone, abs=2e-3)


def test_a_slab_does_not_feel_its_vacuum_and_carries_its_dipole() -> None:
    """Two oppositely charged sheets attract like a plate capacitor: dE/dd = sigma^2 A / (2 eps0), at any distance."""
    area = 3.0 * 3.0
    energies = []
    for distance in (9.0, 14.0):
        sheets = Atoms("NaCl", [[0, 0, 0], [0.7, 1.1, distance]], cell=[3.0, 3.0, 40.0], pbc=(True, True, False))
        energies.append(energy_of(sheets, [1, -1], 1.0).item())
        sheets.cell[2, 2] = 90.0
        assert energy_of(sheets, [1, -1], 1.0).item() == pytest.approx(energies[-1], abs=1e-9)
    slope = (energies[1] - energies[0]) / 5.0
    assert slope == pytest.approx(COULOMB * 2 * math.pi / area, rel=1e-5)


def test_charges_are_conserved() -> None:
    model = build()
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    found = model(batch, neighbour_list(batch, model.config.cutoff))["charges"]
    sums = torch.zeros(4, dtype=torch.float64).index_add(0, batch.batch, found)
    assert sums.abs().max() < 1e-12
    assert found[batch.batch == 0].item() == 0  # an atom alone is neutral
    assert found.std() > 0.05
    batch.total_charge = torch.tensor([0.0, 1.0, 0.0, -2.0])
    found = model(batch, neighbour_list(batch, model.config.cutoff))["charges"]
    sums = torch.zeros(4, dtype=torch.float64).index_add(0, batch.batch, found)
    torch.testing.assert_close(sums, batch.total_charge.double())


def test_the_softer_atom_takes_more_of_the_excess() -> None:
    system = torch.tensor([0, 0])
    found = conserved(torch.tensor([0.5, 0.1]), torch.tensor([2.0, 1.0]), system, 1)
    torch.testing.assert_close(found, torch.tensor([0.1, -0.1]))


@pytest.mark.parametrize("architecture", ["density", "plain"])
def test_forces_and_stress_are_derivatives(architecture: str) -> None:
    model = build(architecture=architecture)
    step = 2e-5
    for atoms in systems()[1:]:
        exact = run(model, atoms)
        for atom, axis in ((0, 0), (len(atoms) - 1, 2)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(run(model, moved)["energy"].item())
            numeric = -(energies[0] - energies[1]) / (2 * step)
            assert exact["forces"][atom, axis].item() == pytest.approx(numeric, abs=2e-6, rel=1e-6)
        assert exact["forces"].sum(0).abs().max() < 1e-9
        if not atoms.pbc.all():
            continue
        for a, b in ((0, 0), (0, 1), (1, 2), (2, 2)):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * step / 2
                strain[b, a] += sign * step / 2
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                energies.append(run(model, strained)["energy"].item())
            numeric = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
            assert exact["stress"][0, a, b].item() == pytest.approx(numeric, abs=1e-6)


def test_the_long_range_part_matters_here() -> None:
    """Far apart, the forces above are those of charges: without them a network sees nothing."""
    model = build()
    far = Atoms("HOH", [[0, 0, 0], [0.96, 0, 0], [0, 0, 9.0]])
    force = run(model, far)["forces"][2]
    assert force.abs().max() > 1e-3
    model.long_range = None
    assert run(model, far)["forces"][2].abs().max() == 0


def test_turned_and_moved_alike() -> None:
    model = build()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn = torch.from_numpy(rotation)
    for atoms in systems():
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ rotation.T)
        moved.positions = atoms.positions @ rotation.T + [1.3, -0.4, 2.0]
        before, after = run(model, atoms), run(model, moved)
        torch.testing.assert_close(after["energy"], before["energy"], atol=1e-8, rtol=0)
        torch.testing.assert_close(after["forces"], before["forces"] @ turn.T, atol=1e-8, rtol=0)
        torch.testing.assert_close(after["stress"], turn @ before["stress"] @ turn.T, atol=1e-8, rtol=0)
        torch.testing.assert_close(after["charges"], before["charges"], atol=1e-9, rtol=0)


def test_images_of_atoms_are_the_same_atoms() -> None:
    model = build()
    salt = systems()[3]
    moved = salt.copy()
    moved.positions[3] += salt.cell.array[0] - 2 * salt.cell.array[2]
    torch.testing.assert_close(run(model, moved)["energy"], run(model, salt)["energy"], atol=1e-8, rtol=0)


def test_energy_is_extensive() -> None:
    model = build()
    salt = systems()[3]
    single, repeated = run(model, salt), run(model, salt.repeat((2, 1, 2)))
    assert repeated["energy"].item() == pytest.approx(4 * single["energy"].item(), abs=1e-5)
    torch.testing.assert_close(repeated["stress"], single["stress"], atol=1e-7, rtol=0)
    ethanol = molecule("CH3CH2OH")
    far = ethanol.copy()
    far.positions += [300.0, 0, 0]  # of two dipoles, so far apart
    both = run(model, ethanol + far)["energy"].item()
    assert both == pytest.approx(2 * run(model, ethanol)["energy"].item(), abs=1e-6)


def test_a_mixed_batch_equals_its_members_alone() -> None:
    model = build()
    together = run(model, systems())
    start = 0
    for number, atoms in enumerate(systems()):
        alone = run(model, atoms)
        rows = slice(start, start + len(atoms))
        torch.testing.assert_close(together["energy"][number], alone["energy"][0], atol=1e-9, rtol=0)
        torch.testing.assert_close(together["forces"][rows], alone["forces"], atol=1e-9, rtol=0)
        torch.testing.assert_close(together["stress"][number], alone["stress"][0], atol=1e-9, rtol=0)
        torch.testing.assert_close(together["charges"][rows], alone["charges"], atol=1e-9, rtol=0)
        start += len(atoms)


def test_second_derivatives_reach_the_charges() -> None:
    """The gradient of a force loss with respect to weights of the head, against finite differences."""
    model = build()
    atoms = systems()[3]

    def loss() -> torch.Tensor:
        return run(model, atoms, differentiable=True)["forces"].square().sum()

    loss().backward()
    for name, index in (("long_range.base", 4), ("long_range.head.0.weight", 3), ("long_range.head.2.weight", 9)):
        parameter = model.get_parameter(name)
        exact, step, values = parameter.grad.flatten()[index].item(), 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.view(-1)[index] += sign * step
            values.append(loss().item())
            with torch.no_grad():
                parameter.view(-1)[index] -= sign * step
        assert exact == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-7), name


def test_one_periodic_axis_is_refused_with_its_cure() -> None:
    wire = molecule("H2O")
    wire.cell, wire.pbc = [9, 9, 9], (True, False, False)
    with pytest.raises(InputError, match=r"system 1 of the batch is periodic along one axis.*give it vacuum"):
        run(build(), [molecule("H2O"), wire])


@pytest.mark.parametrize("check", potential_contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(check) -> None:
    """What every potential must do; there is no cutoff for the two checks of it to look at."""
    _, ethanol, slab, salt = systems()
    check(NetworkPotential(build()), [salt, slab, ethanol])


def test_as_a_potential_and_through_a_checkpoint(tmp_path) -> None:
    model = build()
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    before = NetworkPotential(model)(batch)
    loaded = load_checkpoint(save_checkpoint(tmp_path, model))
    after = loaded(batch)
    assert loaded.cutoff is None  # charges feel each other at any distance
    for key in ("energy", "forces", "stress", "charges"):
        torch.testing.assert_close(after[key], before[key])
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["long_range"] == {"smearing": 1.0, "hidden": 8}


def test_energies_alone_hold_the_charges_and_insertion_refuses_them() -> None:
    potential = NetworkPotential(build())
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    torch.testing.assert_close(batch_energies(potential, batch), potential(batch)["energy"], atol=1e-9, rtol=0)
    salt = systems()[3]
    with pytest.raises(InputError, match="insertions need the whole box"):
        host_state(potential, salt.numbers, salt.positions, salt.cell.array)


def test_training_learns_what_the_cutoff_hides(tmp_path) -> None:
    """Two ions 6 to 9 Å apart and a cutoff of 3 Å: only charges can tell the distance."""
    frames = []
    for number in range(40):
        distance = 6.0 + 3.0 * np.random.default_rng([3, number]).random()
        atoms = Atoms("NaCl", [[0, 0, 0], [0, 0, distance]])
        pull = 0.36 * COULOMB / distance**2
        forces = [[0, 0, pull], [0, 0, -pull]]
        atoms.calc = SinglePointCalculator(atoms, energy=-0.36 * COULOMB / distance, forces=forces)
        frames.append(atoms)
    write(tmp_path / "train.xyz", frames, format="extxyz")
    settings = {
        "out": str(tmp_path / "out"),
        "data": {
            "train": str(tmp_path / "train.xyz"),
            "validation_fraction": 0.2,
            "labels": {"check_units": False},
        },
        "network": {"cutoff": 3.0, "channels": 4, "carried": [4], "lmax": 0, "layers": 1, "radial_hidden": 4},
        "train": {"epochs": 30, "batch_size": 4, "lr": 0.02, "ema": 0.9, "warmup_steps": 5},
        "reference_energies": {"Na": 0.0, "Cl": 0.0},
    }

    def error(**changes) -> float:
        config = parse_config(PotentialTrainingConfig, settings | changes, "test")
        out = train_potential(config, progress=False)
        return json.loads((out / "model.json").read_text())["training"]["validation_errors"]["forces_rmse"]

    without = error()
    with_charges = error(long_range={"hidden": 4}, out=str(tmp_path / "charged"))
    assert without == pytest.approx(1000 * 0.36 * COULOMB / 7.4**2 / math.sqrt(3), rel=0.3)  # it sees nothing
    assert with_charges < 0.05 * without
    charges = load_checkpoint(tmp_path / "charged")(collate([graph_from_atoms(frames[0])]))["charges"]
    assert charges.abs()[0].item() == pytest.approx(0.6, abs=0.02)
