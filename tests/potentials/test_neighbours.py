"""Neighbour lists against ASE's, and the Verlet skin against lists built afresh."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list

from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import GeometryError
from potentials.neighbours import Neighbours, VerletList, bulk_heights, edge_vectors, neighbour_list


def systems() -> list[Atoms]:
    skewed = bulk("Cu", cubic=True)
    skewed.set_cell(skewed.cell.array @ [[1, 0.9, 0], [0, 1, -0.8], [0, 0, 1]], scale_atoms=True)
    found = [bulk("Si"), molecule("C6H6"), skewed, fcc111("Al", (2, 1, 2)), Atoms("He", [[0, 0, 0]])]
    for k, atoms in enumerate(found):
        atoms.rattle(0.1, seed=k)
        atoms.positions += [7.0, -3.0, 0.0]  # outside the cell
    return found


def distances(batch, neighbours: Neighbours, system: int) -> np.ndarray:
    return np.sort(edge_vectors(batch, neighbours)[neighbours.edge_batch == system].norm(dim=1).numpy())


def test_equals_ase() -> None:
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    neighbours = neighbour_list(batch, 4.5)
    assert neighbours.edge_index.shape == (2, len(neighbours.shifts))
    for k, atoms in enumerate(systems()):
        np.testing.assert_allclose(distances(batch, neighbours, k), np.sort(neighbor_list("d", atoms, 4.5)), atol=1e-10)
    centre, neighbour = neighbours.edge_index
    assert torch.equal(batch.batch[centre], batch.batch[neighbour])
    assert torch.equal(batch.batch[centre], neighbours.edge_batch)


def test_half_list_has_each_pair_once() -> None:
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    full, half = neighbour_list(batch, 4.5), neighbour_list(batch, 4.5, half=True)
    assert 2 * half.edge_index.shape[1] == full.edge_index.shape[1]
    both = torch.cat([edge_vectors(batch, half), -edge_vectors(batch, half)])
    expected = edge_vectors(batch, full)
    order, other = (torch.from_numpy(np.lexsort(v.numpy().round(6).T)) for v in (both, expected))
    torch.testing.assert_close(both[order], expected[other], atol=1e-6, rtol=0)


def test_vectors_carry_gradients_to_positions_and_cell() -> None:
    batch = collate([graph_from_atoms(bulk("Si"))])
    neighbours = neighbour_list(batch, 4.0)
    batch.positions.requires_grad_()
    batch.cell.requires_grad_()
    edge_vectors(batch, neighbours).pow(2).sum().backward()
    assert batch.cell.grad.abs().max() > 0
    torch.testing.assert_close(batch.positions.grad.sum(0), torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0)


@pytest.mark.parametrize("half", [False, True])
def test_skin_is_complete_while_atoms_and_cells_move(half: bool) -> None:
    rng = np.random.default_rng(0)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    verlet = VerletList(4.0, 0.6, half=half)
    steps = 40
    for _ in range(steps):
        found, expected = verlet(batch), neighbour_list(batch, 4.0, half=half)
        for k in range(batch.num_graphs):
            np.testing.assert_allclose(distances(batch, found, k), distances(batch, expected, k), atol=1e-9)
        batch.positions = batch.positions + torch.from_numpy(rng.normal(scale=0.03, size=batch.positions.shape))
        strain = torch.eye(3) + torch.from_numpy(rng.normal(scale=0.004, size=(batch.num_graphs, 3, 3)))
        bulk_cells = batch.pbc.all(dim=1)
        cell = torch.where(bulk_cells[:, None, None], batch.cell @ strain, batch.cell)
        deformation = torch.where(bulk_cells[:, None, None], strain, torch.eye(3, dtype=strain.dtype))
        batch.positions = torch.einsum("ni,nij->nj", batch.positions, deformation[batch.batch])
        batch.cell = cell
    assert batch.num_graphs < verlet.rebuilt < batch.num_graphs * steps / 2


def test_skin_follows_a_change_of_batch() -> None:
    verlet = VerletList(4.0, 0.5)
    for chosen in ([0, 1], [1], [2, 0], [2, 0]):
        batch = collate([graph_from_atoms(systems()[k]) for k in chosen])
        found, expected = verlet(batch), neighbour_list(batch, 4.0)
        assert found.edge_index.shape == expected.edge_index.shape
    assert verlet.rebuilt == 5


def test_flat_and_broken_cells_never_reach_compiled_code() -> None:
    flat = Atoms("Cu", cell=[[3, 0, 0], [0, 3, 0], [1, 1, 1e-5]], pbc=True)
    good = graph_from_atoms(bulk("Cu"))
    with pytest.raises(GeometryError, match="system 1 of the batch"):
        neighbour_list(collate([good, graph_from_atoms(flat)]), 5.0)
    thin_slab = Atoms("Cu", cell=[[3, 0, 0], [3, 1e-4, 0], [0, 0, 0]], pbc=[True, True, False])
    with pytest.raises(GeometryError, match="cell height"):
        neighbour_list(collate([graph_from_atoms(thin_slab)]), 5.0)
    for broken in (Atoms("Cu", [[np.nan, 0, 0]]), Atoms("Cu", cell=[np.inf, 1, 1], pbc=True)):
        with pytest.raises(GeometryError, match="not finite"):
            VerletList(5.0)(collate([graph_from_atoms(broken)]))
    with pytest.raises(GeometryError, match="skin -1"):
        VerletList(5.0, -1)


def test_heights_match_volume_over_face() -> None:
    cell = torch.tensor([[[3.0, 0, 0], [0, 4, 0], [0, 3, 5]]])
    torch.testing.assert_close(bulk_heights(cell), torch.tensor([[3.0, 20 / np.hypot(3, 5), 5.0]], dtype=cell.dtype))
