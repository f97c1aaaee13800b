"""One system as tensors, and the way to it from and back to ASE and pymatgen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Batch, Data

from potentials.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


class AtomGraph(Data):
    """Atoms in space; a `torch_geometric` batch of them concatenates atoms and stacks cells.

    Attributes (single graph, then batch of B graphs):
        numbers: atomic numbers, int64 [N]; [sum N].
        positions: Cartesian, Å [N, 3]; [sum N, 3].
        cell: rows are lattice vectors, Å [3, 3]; [B, 3, 3]. Zero rows where there is no vector.
        pbc: periodic along each row, bool [3]; [B, 3].
    """

    numbers: torch.Tensor
    positions: torch.Tensor
    cell: torch.Tensor
    pbc: torch.Tensor

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key in ("cell", "pbc"):
            return None  # a new batch dimension
        return super().__cat_dim__(key, value, *args, **kwargs)


def make_graph(
    numbers: Any, positions: Any, cell: Any = None, pbc: Any = None, *, dtype: torch.dtype = torch.float64
) -> AtomGraph:
    """Build a graph from array-likes; no cell means a molecule, a cell without `pbc` a crystal.

    Raises:
        InputError: shapes do not fit each other.
    """
    # torch.tensor copies: a graph must not change when the arrays it was made from do
    numbers = torch.tensor(np.asarray(numbers), dtype=torch.int64)
    positions = torch.tensor(np.asarray(positions), dtype=dtype)
    if pbc is None:
        pbc = [cell is not None] * 3
    cell = torch.tensor(np.zeros((3, 3)) if cell is None else np.asarray(cell), dtype=dtype)
    pbc = torch.tensor(np.asarray(pbc), dtype=torch.bool)
    if numbers.ndim != 1 or positions.shape != (len(numbers), 3) or cell.shape != (3, 3) or pbc.shape != (3,):
        shapes = ", ".join(str(tuple(t.shape)) for t in (numbers, positions, cell, pbc))
        raise InputError(f"shapes of numbers, positions, cell, pbc are {shapes}: give [N], [N, 3], [3, 3], [3]")
    return AtomGraph(numbers=numbers, positions=positions, cell=cell, pbc=pbc, num_nodes=len(numbers))


def graph_from_atoms(atoms: "Atoms", dtype: torch.dtype = torch.float64) -> AtomGraph:
    """Graph of an `ase.Atoms`; positions are taken as they are, not wrapped."""
    return make_graph(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, dtype=dtype)


def graph_from_structure(structure: "Structure", dtype: torch.dtype = torch.float64) -> AtomGraph:
    """Graph of an ordered `pymatgen.Structure`.

    Raises:
        InputError: a site is partially occupied or holds no real element.
    """
    return make_graph(
        structure_numbers(structure),
        structure.cart_coords,
        structure.lattice.matrix,
        structure.lattice.pbc,
        dtype=dtype,
    )


def structure_numbers(structure: "Structure") -> np.ndarray:
    """Atomic numbers [N] of an ordered structure; oxidation states are ignored.

    Raises:
        InputError: naming the first site that is partially occupied or holds no real element.
    """
    numbers = []
    for index, site in enumerate(structure):
        if not site.is_ordered:
            raise InputError(f"site {index} is partially occupied ({site.species_string}): choose one ordered variant")
        number = getattr(site.specie, "Z", 0)
        if not isinstance(number, int | np.integer) or not 1 <= number <= 118:
            raise InputError(f"site {index} holds {site.species_string!r}, which is no chemical element: replace it")
        numbers.append(int(number))
    return np.array(numbers, dtype=np.int64)


def graph_from(system: Any, dtype: torch.dtype = torch.float64) -> AtomGraph:
    """Graph of an `Atoms`, a `Structure` or an `AtomGraph` (returned as it is).

    Raises:
        InputError: another type, or a structure that is not ordered.
    """
    from ase import Atoms
    from pymatgen.core import Structure

    if isinstance(system, AtomGraph):
        return system
    if isinstance(system, Atoms):
        return graph_from_atoms(system, dtype)
    if isinstance(system, Structure):
        return graph_from_structure(system, dtype)
    raise InputError(f"cannot use a {type(system).__name__} as a system of atoms: give ase.Atoms or pymatgen.Structure")


def atoms_from_graph(graph: AtomGraph) -> "Atoms":
    """`ase.Atoms` with the same numbers, positions, cell and periodicity."""
    from ase import Atoms

    return Atoms(
        numbers=graph.numbers.cpu().numpy(),
        positions=graph.positions.detach().cpu().double().numpy(),
        cell=graph.cell.detach().cpu().double().numpy(),
        pbc=graph.pbc.cpu().numpy(),
    )


def structure_from_graph(graph: AtomGraph) -> "Structure":
    """`pymatgen.Structure` with the same sites; positions are not wrapped.

    Raises:
        InputError: the graph has no three-dimensional cell, so it is not a `Structure`.
    """
    from pymatgen.core import Lattice, Structure

    matrix = graph.cell.detach().cpu().double().numpy()
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise InputError("a system without a cell is no pymatgen Structure: use atoms_from_graph")
    a, b, c = graph.pbc.tolist()
    return Structure(
        Lattice(matrix, pbc=(a, b, c)),
        graph.numbers.tolist(),
        graph.positions.detach().cpu().double().numpy(),
        coords_are_cartesian=True,
    )


def with_geometry(system: Any, positions: np.ndarray, cell: np.ndarray) -> Any:
    """A copy of an `Atoms`, `Structure` or `AtomGraph` with new positions [N, 3] and cell [3, 3], Å; the rest stays.

    Sites keep their order, species, labels and properties. An `Atoms` loses its calculator.
    """
    from pymatgen.core import Lattice, Structure

    if isinstance(system, AtomGraph):
        return make_graph(system.numbers, positions, cell, system.pbc, dtype=system.positions.dtype)
    if isinstance(system, Structure):
        return Structure(
            Lattice(cell, pbc=system.lattice.pbc),
            [site.species for site in system],
            positions,
            coords_are_cartesian=True,
            site_properties=system.site_properties,
            labels=system.labels,
            charge=system._charge,
            properties=system.properties,
        )
    atoms = system.copy()
    atoms.set_cell(cell)
    atoms.positions = positions
    return atoms


def collate(graphs: Sequence[AtomGraph]) -> Batch:
    """One batch of B graphs; `batch [N]` is the graph of each atom, `ptr [B + 1]` where each graph's atoms start.

    Raises:
        InputError: no graph at all.
    """
    if not graphs:
        raise InputError("no structures given: a batch needs at least one")
    return Batch.from_data_list(list(graphs))
