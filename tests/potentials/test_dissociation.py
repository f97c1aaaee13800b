"""Energies end at those of free atoms, smoothly, and bound atoms are left alone."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.dissociation import DissociationLimit
from potentials.energies import batch_energies
from potentials.export_program import TensorModel, trace
from potentials.exported_potential import padded_inputs
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential
from potentials.training_data import free_atom_energies, lifts

REFERENCES = {1: -16.0, 6: -1035.0, 8: -2045.0}
LIFTS = {1: 2.5, 6: 6.0, 8: 3.5}
FREE = {z: REFERENCES[z] + LIFTS[z] for z in LIFTS}


def potential(free: dict[int, float] | None = None, *, zbl: bool = False) -> NetworkPotential:
    torch.manual_seed(0)
    config = NetworkConfig(cutoff=4.0, channels=8, carried=(8, 4))
    model = EnergyModel(config, REFERENCES, 0.8, zbl, torch.float64, free_atoms=LIFTS if free is None else free)
    sample = collate([graph_from_atoms(molecule("CH3CH2OH"))])
    model.calibrate(sample, neighbour_list(sample, config.cutoff))
    return NetworkPotential(model)


def energy(of: NetworkPotential, *systems: Atoms) -> np.ndarray:
    return of(collate([graph_from_atoms(atoms) for atoms in systems]))["energy"].numpy()


def stretched(length: float) -> Atoms:
    """Ethanol whose hydroxyl hydrogen, atom 3, has been pulled from the oxygen, atom 2."""
    atoms = molecule("CH3CH2OH")
    atoms.set_distance(2, 3, length, fix=0)
    return atoms


def test_atoms_out_of_sight_have_their_free_energies() -> None:
    alone = [Atoms(symbol) for symbol in "HCO"]
    assert energy(potential(), *alone) == pytest.approx([FREE[1], FREE[6], FREE[8]], abs=1e-9)
    apart = molecule("CH3CH2OH")
    apart.positions = 10.0 * np.arange(9)[:, None] * np.array([1.0, 0.3, 0.0])
    assert energy(potential(), apart) == pytest.approx(sum(FREE[int(z)] for z in apart.numbers), abs=1e-6)


def test_an_atom_that_leaves_takes_its_free_energy() -> None:
    gone, far = stretched(30.0), stretched(60.0)
    rest = gone[[0, 1, 2, *range(4, 9)]]
    found = energy(potential(), gone, far, rest)
    assert found[:2] == pytest.approx(found[2] + FREE[1], abs=1e-9)


def test_a_bond_follows_the_universal_curve() -> None:
    limit = DissociationLimit({1: 1.0}, [1, 8], cutoff=6.0).double()
    bond = limit.radii.sum()
    lengths = bond * torch.tensor([1.0, 1.5, 2.0], dtype=torch.float64)
    pairs = torch.arange(6).view(3, 2)
    centre, neighbour = torch.cat([pairs, pairs.flip(1)]).T
    species = torch.tensor([0, 1]).repeat(3)
    found = limit(torch.zeros(6, dtype=torch.float64), species, centre, neighbour, lengths.repeat(2))
    assert found[::2].tolist() == pytest.approx([0.02, 0.5, 0.9], abs=0.03)  # of the lift is left to climb
    assert not found[1::2].any()  # an element whose free atom is not known


@pytest.mark.parametrize("length", [0.97, 1.4, 2.2, 3.5])
def test_forces_are_derivatives(length: float) -> None:
    atoms, step = stretched(length), 1e-4
    with_limit = potential(zbl=True)
    forces = with_limit(collate([graph_from_atoms(atoms)]))["forces"].numpy()
    for atom, axis in ((3, 0), (3, 2), (2, 1)):
        moved = []
        for sign in (1, -1):
            other = atoms.copy()
            other.positions[atom, axis] += sign * step
            moved.append(other)
        ahead, behind = energy(with_limit, *moved)
        assert forces[atom, axis] == pytest.approx(-(ahead - behind) / (2 * step), abs=2e-6)


def test_bound_atoms_keep_what_the_network_says() -> None:
    bound = molecule("CH3CH2OH")
    with_limit, without = energy(potential(), bound)[0], energy(potential({}), bound)[0]
    assert with_limit == pytest.approx(without, abs=0.02 * sum(LIFTS[int(z)] for z in bound.numbers))
    assert with_limit != without


def test_an_element_without_free_atom_is_left_alone() -> None:
    water = molecule("H2O")
    only_carbon = potential({6: 6.0})
    assert energy(only_carbon, water) == pytest.approx(energy(potential({}), water), abs=0)


def test_every_way_of_evaluation_agrees(tmp_path: Path) -> None:
    first = potential(zbl=True)
    batch = collate([graph_from_atoms(atoms) for atoms in (stretched(1.0), stretched(1.8), stretched(9.0), Atoms("O"))])
    expected = first(batch)
    assert batch_energies(first, batch).tolist() == pytest.approx(expected["energy"].tolist(), abs=1e-9)
    second = load_checkpoint(save_checkpoint(tmp_path, first.model))
    assert second.model.free_atoms == first.model.free_atoms
    assert torch.equal(second(batch)["forces"], expected["forces"])
    neighbours = neighbour_list(batch, 4.0)
    inputs = padded_inputs(batch, first.model.species(batch.numbers), neighbours, 8.0)
    for program in (TensorModel(first.model), trace(first.model)):
        energies, forces, _ = program(*inputs)
        total = energies.new_zeros(4).index_add(0, batch.batch, energies)
        assert total.tolist() == pytest.approx(expected["energy"].tolist(), abs=1e-9)
        assert torch.allclose(forces, expected["forces"], atol=1e-9)


def test_a_free_atom_from_elsewhere_is_named_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    frames = [graph_from_atoms(Atoms(symbol)) for symbol in ("H", "H", "O")]
    for frame, value in zip(frames, (-13.5, -13.7, -430.0), strict=True):
        frame.energy = torch.tensor([value], dtype=torch.float64)
    free = free_atom_energies(frames)
    assert free == pytest.approx({1: -13.6, 8: -430.0})
    with caplog.at_level(logging.WARNING):
        found = lifts(free, REFERENCES)
    assert found == pytest.approx({1: 2.4})
    assert "free O lies 1615.0 eV" in caplog.text
