"""What a relaxation may not change: atoms held in place, the symmetry of the start; and the pressure it works against.

Each is a projection of forces and stress, so optimisers need not know of it: atoms that feel nothing stay, and from a
symmetric start symmetric forces keep every operation. A held atom keeps its fractional coordinates when the cell moves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
import torch
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.data import chemical_symbols
from pymatgen.core import Structure
from torch import Tensor
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, make_graph
from potentials.errors import InputError

GPA = 1 / 160.21766208  # eV/Å^3
SYMPREC = 0.01  # Å, how far atoms of the start may be from where its symmetry wants them
_SAME_PLACE = 10 * SYMPREC  # Å within which an operation must bring one atom onto another


@dataclass(frozen=True)
class Constraint:
    """Of one system with N atoms; `None` holds nothing."""

    held: Tensor | None = None  # [N] bool
    rotations: Tensor | None = None  # [G, 3, 3] orthogonal, acting on column vectors
    sources: Tensor | None = None  # [G, N] atom that each operation brings to each place
    symbol: str | None = None  # space group kept, for the record

    def forces(self, forces: Tensor) -> Tensor:
        """The part of forces [N, 3] the system may follow."""
        if self.rotations is not None and self.sources is not None:
            # f_i = mean over g of R_g f_(g^-1 i)
            forces = torch.einsum("gab,gnb->na", self.rotations, forces[self.sources]) / len(self.rotations)
        return forces if self.held is None else torch.where(self.held[:, None], torch.zeros_like(forces), forces)

    def stress(self, stress: Tensor) -> Tensor:
        """The part of a stress [3, 3] the cell may follow."""
        if self.rotations is None:
            return stress
        return torch.einsum("gab,bc,gdc->ad", self.rotations, stress, self.rotations) / len(self.rotations)


def held_atoms(system: Any, elements: Collection[str] = ()) -> Tensor | None:
    """Atoms of a system that may not move [N] bool, or `None`.

    They are those of `FixAtoms` of an `Atoms`, those with `selective_dynamics` F F F of a `Structure` (as a POSCAR
    gives them), and all of the elements named.

    Raises:
        InputError: a constraint of another kind, which would be lost.
    """
    if isinstance(system, Atoms):
        numbers = system.numbers.tolist()
        held = np.zeros(len(system), dtype=bool)
        for constraint in system.constraints:
            if isinstance(constraint, FixAtoms) or (isinstance(constraint, FixCartesian) and np.all(constraint.mask)):
                held[constraint.index] = True
            else:
                kind = type(constraint).__name__
                raise InputError(f"its constraint {kind} cannot be kept: use FixAtoms, or remove it")
    elif isinstance(system, Structure):
        numbers = [site.specie.Z for site in system]
        free = np.array(system.site_properties.get("selective_dynamics") or np.ones((len(system), 3)), dtype=bool)
        partly = np.flatnonzero(free.any(1) & ~free.all(1))
        if len(partly):
            raise InputError(f"site {partly[0]} is held in some directions only: hold it in all (F F F) or in none")
        held = np.asarray(~free.all(1))
    else:
        numbers = system.numbers.tolist()
        held = np.zeros(len(numbers), dtype=bool)
    held = held | np.isin([chemical_symbols[z] for z in numbers], list(elements))
    return torch.from_numpy(held) if held.any() else None


def symmetric_start(graph: AtomGraph, held: Tensor | None = None) -> tuple[AtomGraph, Constraint]:
    """A system moved onto its own symmetry (by up to `SYMPREC`), and the constraint that keeps it there.

    Operations that bring a held atom onto a free one are left out.

    Raises:
        InputError: a system that is not periodic in three directions, or whose symmetry cannot be found.
    """
    if not bool(graph.pbc.all()):
        raise InputError("symmetry is kept in systems periodic in three directions only: set symmetry off")
    cell, positions = graph.cell.numpy(), graph.positions.numpy()
    numbers = graph.numbers.numpy()
    fractional = positions @ np.linalg.inv(cell)
    kinds = numbers if held is None else 2 * numbers + held.numpy()
    found = spglib.get_symmetry_dataset((cell, fractional, kinds), symprec=SYMPREC)  # type: ignore[arg-type]
    if found is None:
        raise InputError("its symmetry cannot be found: set symmetry off, or start from a cleaner structure")
    turns, shifts = found.rotations.astype(float), found.translations  # x' = W x + w

    metric = np.einsum("gji,jk,gkl->il", turns, cell @ cell.T, turns) / len(turns)  # W^T G W = G
    stretch = _root(np.linalg.inv(cell) @ metric @ np.linalg.inv(cell).T)
    symmetric_cell = cell @ stretch
    sources, mean = [], np.zeros_like(fractional)
    for turn, shift in zip(turns, shifts, strict=True):
        source, moved = _matched(fractional @ turn.T + shift, fractional, kinds, cell)
        sources.append(source)
        mean += moved / len(turns)
    change = symmetric_cell.T @ turns @ np.linalg.inv(symmetric_cell.T)
    constraint = Constraint(held, torch.from_numpy(change), torch.from_numpy(np.array(sources)), found.international)
    return make_graph(numbers, mean @ symmetric_cell, symmetric_cell, graph.pbc), constraint


def constrain(
    batch: Batch, constraints: Sequence[Constraint], forces: Tensor, stress: Tensor, pressure: float
) -> tuple[Tensor, Tensor]:
    """Forces [N, 3] and stresses [B, 3, 3] that systems may follow; zero where they are at rest under the pressure.

    Args:
        batch: B systems with N atoms in all.
        constraints: one a system.
        forces: eV/Å.
        stress: eV/Å^3, positive under tension.
        pressure: eV/Å^3; the enthalpy E + p V has the strain derivative V (stress + p).
    """
    if pressure:
        periodic = batch.pbc.all(dim=1)[:, None, None]
        stress = torch.where(periodic, stress + pressure * torch.eye(3, dtype=stress.dtype), stress)
    if all(one.held is None and one.rotations is None for one in constraints):
        return forces, stress
    parts = forces.split((batch.ptr[1:] - batch.ptr[:-1]).tolist())
    new = [one.forces(part) for one, part in zip(constraints, parts, strict=True)]
    cells = [one.stress(tensor) for one, tensor in zip(constraints, stress, strict=True)]
    return torch.cat(new), torch.stack(cells)


def prepared(graph: AtomGraph, system: Any, elements: Collection[str], symmetry: bool) -> tuple[AtomGraph, Constraint]:
    """The graph a relaxation starts from, and what it may not change.

    Raises:
        InputError: as `held_atoms` and `symmetric_start`.
    """
    held = held_atoms(system, elements)
    return symmetric_start(graph, held) if symmetry else (graph, Constraint(held))


def _matched(
    moved: np.ndarray, fractional: np.ndarray, kinds: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each place the atom that an operation brings there [N], and where it brings it, in the image nearest by."""
    apart = moved[None, :, :] - fractional[:, None, :]  # [place, atom, 3]
    apart -= np.round(apart)
    distance = np.linalg.norm(apart @ cell, axis=2)
    distance[kinds[:, None] != kinds[None, :]] = np.inf
    source = distance.argmin(1)
    places = np.arange(len(source))
    if len(set(source.tolist())) < len(source) or distance[places, source].max() > _SAME_PLACE:
        raise InputError("its symmetry does not map atoms onto atoms: set symmetry off, or clean the structure")
    return source, fractional + apart[places, source]


def _root(matrix: np.ndarray) -> np.ndarray:
    """Symmetric square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values)) @ vectors.T
