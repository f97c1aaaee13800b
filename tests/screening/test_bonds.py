"""Bonds, and what they connect, on structures whose answer is known."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta, mfi

from screening.bonds import bond_graph, components, is_metal, neighbour_counts


def diamond():
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [(0, 0, 0)])


def graphite():
    positions = [(0, 0, 0.25), (0, 0, 0.75), (1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)]
    return Structure(Lattice.hexagonal(2.464, 6.711), ["C"] * 4, positions)


def carbon_dioxide_ice():
    # Pa-3, a = 5.624 Å, C-O 1.155 Å along the body diagonals (De Smedt & Keesom 1924; Simon & Peters 1980)
    x = 1.155 / np.sqrt(3) / 5.624
    return Structure.from_spacegroup("Pa-3", Lattice.cubic(5.624), ["C", "O"], [(0, 0, 0), (x, x, x)])


@pytest.mark.parametrize("build", [mfi, lta, cha])
def test_silica_is_a_four_connected_framework(build):
    structure = build()
    graph = bond_graph(structure)
    neighbours = neighbour_counts(graph, np.ones(len(structure), bool))
    assert set(neighbours[graph.numbers == 14]) == {4}
    assert set(neighbours[graph.numbers == 8]) == {2}
    assert [(len(part.atoms), part.dimension) for part in components(graph)] == [(len(structure), 3)]


def test_dimension_of_a_network_a_layer_a_molecule():
    assert [part.dimension for part in components(bond_graph(diamond()))] == [3]
    assert [part.dimension for part in components(bond_graph(graphite()))] == [2, 2]
    parts = components(bond_graph(carbon_dioxide_ice()))
    assert [(len(part.atoms), part.dimension) for part in parts] == [(3, 0)] * 4


def test_a_chain_runs_on_in_one_dimension():
    polymer = Structure(Lattice.orthorhombic(1.54, 9, 9), ["C"], [(0, 0.5, 0.5)])
    (part,) = components(bond_graph(polymer))
    assert part.dimension == 1


def test_interpenetrating_nets_are_two_parts():
    one = Structure(Lattice.cubic(4.0), ["Si", "O", "O", "O"], [(0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)])
    one.scale_lattice(3.2**3)  # Si-O-Si along every axis
    two = one.copy()
    for site in one:
        two.append(site.specie, site.frac_coords + 0.5)
    two.scale_lattice(3.9**3)  # Si-O 1.95 Å still bonded (limit 2.21), between the nets Si...O 2.76 Å is not
    assert [part.dimension for part in components(bond_graph(two))] == [3, 3]


def test_the_graph_does_not_depend_on_the_choice_of_cell():
    small, large = diamond().get_primitive_structure(), diamond() * (2, 1, 1)
    assert len(bond_graph(small).pairs) == 2 * len(small)
    assert len(bond_graph(large).pairs) == 2 * len(large)
    assert components(bond_graph(small))[0].dimension == components(bond_graph(large))[0].dimension == 3


def test_every_bond_is_as_long_as_it_says():
    structure = mfi()
    graph = bond_graph(structure)
    cell = structure.lattice.matrix
    vectors = structure.cart_coords[graph.pairs[:, 1]] - structure.cart_coords[graph.pairs[:, 0]] + graph.images @ cell
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), graph.distances, atol=1e-6)


def test_metalloids_are_not_metals():
    assert is_metal(np.array([5, 14, 30, 40, 6])).tolist() == [False, False, True, True, False]
