"""Insertion energies by local re-evaluation equal those of the whole crystal; energies without forces stay the same."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from potentials.ase_potential import lennard_jones
from potentials.atom_graph import collate, graph_from_structure, make_graph
from potentials.energies import batch_energies
from potentials.insertion import host_state, insertion_energies
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential

CO2 = np.array([8, 6, 8])
SHAPE = np.array([[0.0, 0.0, 1.16], [0.0, 0.0, 0.0], [0.0, 0.0, -1.16]])


def zeolite_like() -> Structure:
    """Triclinic, 5 atoms, with a hole at the corner of the cell."""
    lattice = Lattice.from_parameters(6.1, 6.6, 7.0, 84.0, 97.0, 103.0)
    places = [[0.5, 0.5, 0.5], [0.5, 0.75, 0.5], [0.5, 0.5, 0.25], [0.75, 0.5, 0.5], [0.3, 0.3, 0.7]]
    return Structure(lattice, ["C", "O", "O", "C", "O"], places)


def network(layers: int, zbl: bool, carried: tuple[int, ...] = (6, 4, 3)) -> NetworkPotential:
    torch.manual_seed(layers)
    config = NetworkConfig(cutoff=3.0, channels=6, carried=carried, layers=layers, radial_hidden=8)
    model = EnergyModel(config, {6: -1.5, 8: 2.5}, 0.7, zbl, torch.float64, pair_baseline=zbl)
    if model.pair_baseline is not None:
        torch.nn.init.constant_(model.pair_baseline.coefficients, 0.3)
    torch.nn.init.uniform_(model.factors, 0.5, 1.5)
    batch = collate([graph_from_structure(zeolite_like()), make_graph(CO2, SHAPE)])
    model.calibrate(batch, neighbour_list(batch, config.cutoff))
    return NetworkPotential(model)


@pytest.mark.parametrize(("layers", "zbl", "carried"), [(1, False, (6,)), (2, True, (6, 4, 3)), (3, False, (6,))])
def test_insertion_equals_the_whole_crystal(layers, zbl, carried):
    host, potential = zeolite_like(), network(layers, zbl, carried)
    rng = np.random.default_rng(0)
    # anywhere in space, close contacts too, one far outside the cell
    sites = SHAPE + (rng.random((4, 1, 3)) @ host.lattice.matrix) + np.array([0, 0, 0, 40.0])[:, None, None]
    state = host_state(potential, np.array(host.atomic_numbers), host.cart_coords, host.lattice.matrix)
    found = insertion_energies(state, CO2, sites)
    box = host * (2, 2, 2) if layers < 3 else host * (3, 3, 3)  # images must not feel each other
    box = box * (2, 2, 2) if layers == 2 else box
    cell = box.lattice.matrix
    numbers = np.concatenate([box.atomic_numbers, CO2])
    graphs = [make_graph(numbers, np.concatenate([box.cart_coords, site]), cell) for site in sites]
    together = batch_energies(potential, collate(graphs))
    apart = batch_energies(potential, collate([make_graph(box.atomic_numbers, box.cart_coords, cell)]))
    alone = batch_energies(potential, collate([make_graph(CO2, SHAPE)]))
    # an untrained network makes large numbers of close contacts: rounding goes with them
    rounding = 1e-9 + 1e-12 * float(together.abs().max())
    assert found == pytest.approx((together - apart - alone).numpy(), abs=rounding, rel=1e-9)
    assert np.abs(found).max() > 0.01
    # one at a time or together
    single = [insertion_energies(state, CO2, site[None])[0] for site in sites]
    assert found == pytest.approx(np.array(single), abs=rounding, rel=1e-9)


def test_a_molecule_out_of_reach_has_no_interaction():
    potential = network(2, True)
    atom = Structure(Lattice.cubic(30.0), ["C"], [[0, 0, 0]])
    state = host_state(potential, np.array([6]), atom.cart_coords, atom.lattice.matrix)
    assert insertion_energies(state, CO2, SHAPE[None] + 15.0) == pytest.approx(0.0, abs=1e-10)


def test_energies_alone_equal_energies_with_forces():
    graphs = [graph_from_structure(zeolite_like()), make_graph(CO2, SHAPE)]
    for potential in (network(2, True), lennard_jones()):
        expected = potential(collate(graphs), stress=False)["energy"]
        assert batch_energies(potential, collate(graphs)) == pytest.approx(expected.numpy(), abs=1e-10)


def test_chgnet_energies_alone_equal_energies_with_forces():
    from potentials import load_potential

    potential = load_potential("chgnet-fast")
    graphs = [graph_from_structure(zeolite_like())] * 2
    expected = potential(collate(graphs), stress=False)["energy"]
    assert batch_energies(potential, collate(graphs)) == pytest.approx(expected.numpy(), abs=1e-6)
