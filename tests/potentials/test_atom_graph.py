"""Graphs, batches of them, and the way to ASE and pymatgen and back."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from pymatgen.core import Lattice, Structure

from potentials.atom_graph import (
    AtomGraph,
    atoms_from_graph,
    collate,
    graph_from,
    graph_from_atoms,
    graph_from_structure,
    make_graph,
    structure_from_graph,
    with_geometry,
)
from potentials.errors import InputError


@pytest.mark.parametrize("atoms", [bulk("NaCl", "rocksalt", 5.6), molecule("H2O"), fcc111("Al", (1, 1, 2), vacuum=5)])
def test_ase_round_trip(atoms: Atoms) -> None:
    back = atoms_from_graph(graph_from_atoms(atoms))
    assert back == atoms
    assert (back.pbc == atoms.pbc).all()


def test_pymatgen_round_trip_ignores_oxidation_states() -> None:
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    back = structure_from_graph(graph_from_structure(structure))
    assert back.composition == structure.copy().remove_oxidation_states().composition
    np.testing.assert_allclose(back.frac_coords, structure.frac_coords, atol=1e-12)
    assert back.lattice == structure.lattice


def test_batches_concatenate_atoms_and_stack_cells() -> None:
    atoms = [bulk("Cu"), molecule("H2O"), bulk("NaCl", "rocksalt", 5.6)]
    batch = collate([graph_from_atoms(a) for a in atoms])
    assert batch.num_graphs == 3
    assert batch.positions.shape == (6, 3)
    assert batch.cell.shape == (3, 3, 3)
    assert batch.pbc.shape == (3, 3)
    assert batch.batch.tolist() == [0, 1, 1, 1, 2, 2]
    assert batch.ptr.tolist() == [0, 1, 4, 6]
    for k, a in enumerate(atoms):
        assert atoms_from_graph(batch[k]) == a
    with pytest.raises(InputError, match="no structures"):
        collate([])


def test_a_graph_does_not_share_memory_with_its_source() -> None:
    atoms = bulk("Cu")
    graph = graph_from_atoms(atoms)
    atoms.positions += 1
    atoms.set_cell(atoms.cell * 2)
    assert graph.positions.abs().max() == 0
    assert graph.cell.max() < 2


def test_precision_can_be_chosen() -> None:
    graph = graph_from_atoms(bulk("Cu"), dtype=torch.float32)
    assert graph.positions.dtype == graph.cell.dtype == torch.float32


def test_what_is_no_ordered_system_of_atoms_is_refused() -> None:
    with pytest.raises(InputError, match=r"site 1 is partially occupied \(Cu:0\.5, Au:0\.5\)"):
        graph_from(Structure(Lattice.cubic(4), ["Cu", {"Cu": 0.5, "Au": 0.5}], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    from pymatgen.core import DummySpecies

    with pytest.raises(InputError, match=r"site 0 holds .*X.*, which is no chemical element"):
        graph_from(Structure(Lattice.cubic(4), [DummySpecies("X")], [[0, 0, 0]]))
    with pytest.raises(InputError, match="cannot use a str"):
        graph_from("NaCl")
    with pytest.raises(InputError, match=r"\(2,\), \(1, 3\), \(3, 3\), \(3,\)"):
        make_graph([1, 1], [[0, 0, 0]])
    with pytest.raises(InputError, match="without a cell"):
        structure_from_graph(graph_from_atoms(molecule("H2O")))


def test_new_geometry_keeps_everything_else() -> None:
    atoms = bulk("NaCl", "rocksalt", 5.6)
    atoms.set_initial_charges([1, -1])
    moved = with_geometry(atoms, atoms.positions + 1, atoms.cell.array * 2)
    assert moved.get_initial_charges().tolist() == [1, -1]
    np.testing.assert_allclose(moved.positions, atoms.positions + 1)
    graph = with_geometry(graph_from_atoms(atoms), atoms.positions, atoms.cell.array * 2)
    assert isinstance(graph, AtomGraph)
    assert float(graph.cell.max()) == pytest.approx(5.6)
