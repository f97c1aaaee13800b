"""Atoms and cell as one set of coordinates that an optimiser can move without knowing which is which.

Each system has one row per atom and three rows for its cell. The cell coordinate is the logarithmic strain eps,
taken from the current geometry in every step: `cell' = cell exp(eps)`, `positions' = (positions + d) exp(eps)`.
Its conjugate force at eps = 0 is exactly -V stress, so no derivative of the exponential is needed, a symmetric eps
never rotates the cell, and volumes stay positive however large the step. (The exponential map is that of the
Fréchet cell filter of ASE, which keeps the first geometry as reference instead.)

The strain is scaled by sqrt(N) Å: its stiffness V C / N (C an elastic constant) then is that of a bond,
about 1-30 eV/Å^2, for any number N of atoms, and atoms and cell relax at one pace.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

_MAX_STRAIN = 0.04  # per step; tiny cells would otherwise be free to change shape by 20 % at once


class Layout(NamedTuple):
    """Where the atoms and cells of B systems with N atoms in all sit among M = N + 3 B rows."""

    owner: Tensor  # [M] system of each row
    atom_rows: Tensor  # [N]
    cell_rows: Tensor  # [B, 3]
    scale: Tensor  # [B] Å, sqrt(number of atoms)
    movable: Tensor  # [B] bool, whether the cell takes part


def lay_out(batch: Batch, *, variable_cell: bool) -> Layout:
    """Rows of a batch; only cells periodic in three directions can move."""
    counts = batch.ptr[1:] - batch.ptr[:-1]
    systems = torch.arange(batch.num_graphs, device=counts.device)
    owner = torch.repeat_interleave(systems, counts + 3)
    atom_rows = torch.arange(batch.num_nodes, device=counts.device) + 3 * batch.batch
    cell_rows = (batch.ptr[1:] + 3 * systems)[:, None] + torch.arange(3, device=counts.device)
    movable = batch.pbc.all(dim=1) & variable_cell
    return Layout(owner, atom_rows, cell_rows, counts.double().sqrt(), movable)


def generalised_forces(batch: Batch, layout: Layout, forces: Tensor, stress: Tensor | None) -> Tensor:
    """Forces on all rows, eV/Å [M, 3], from forces [N, 3] eV/Å and stress [B, 3, 3] eV/Å^3."""
    rows = forces.new_zeros(len(layout.owner), 3)
    rows[layout.atom_rows] = forces
    if stress is not None:
        volume = torch.linalg.det(batch.cell).abs()
        on_cell = -stress * (volume / layout.scale)[:, None, None]
        rows[layout.cell_rows] = torch.where(layout.movable[:, None, None], on_cell, torch.zeros_like(on_cell))
    return rows


def displace(batch: Batch, layout: Layout, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """New positions [N, 3] and cells [B, 3, 3] after moving all rows by `displacement` [M, 3]."""
    strain = displacement[layout.cell_rows] / layout.scale[:, None, None]
    strain = (strain + strain.mT) / 2
    size = torch.linalg.matrix_norm(strain)
    strain = strain * (_MAX_STRAIN / size.clamp_min(_MAX_STRAIN))[:, None, None]
    deformation = torch.linalg.matrix_exp(strain)
    moved = batch.positions + displacement[layout.atom_rows]
    positions = torch.einsum("ni,nij->nj", moved, deformation[batch.batch])
    return positions, batch.cell @ deformation
