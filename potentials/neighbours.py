"""Neighbour lists of a batch of systems, and a Verlet skin that rebuilds only what moved.

The lists themselves are made by vesin (compiled, CPU, any cell shape); a displacement vector is
`positions[j] - positions[i] + shifts @ cell`.
"""

from typing import NamedTuple

import numpy as np
import torch
import vesin
from torch import Tensor
from torch_geometric.data import Batch

from potentials.close_pairs import periodic_rows
from potentials.errors import GeometryError
from potentials.gate import cell_heights


class Neighbours(NamedTuple):
    """Directed edges of a batch, system after system."""

    edge_index: Tensor  # [2, E] int64: row 0 the centre i, row 1 the neighbour j; indices into the batch
    shifts: Tensor  # [E, 3] whole cells to add to j, in the dtype of the positions
    edge_batch: Tensor  # [E] int64, the system of each edge


def neighbour_list(batch: Batch, cutoff: float, *, half: bool = False) -> Neighbours:
    """All pairs within `cutoff` Å, images included, each in both directions (or once with `half`).

    Raises:
        GeometryError: a cell or a position that would hang or crash the list; run the gate first.
    """
    check_cells(batch.positions.detach(), batch.cell.detach(), batch.pbc)
    positions, cells, pbc = (t.detach().cpu().double().numpy() for t in (batch.positions, batch.cell, batch.pbc))
    ptr = batch.ptr.tolist()
    parts = [
        _pairs(positions[start:stop], cell, periodic.astype(bool), cutoff, half=half)
        for start, stop, cell, periodic in zip(ptr[:-1], ptr[1:], cells, pbc, strict=True)
    ]
    return _join(parts, batch)


def batch_neighbours(batch: Batch) -> Neighbours:
    """The neighbour list of a batch of frames that carry theirs."""
    return Neighbours(batch.edge_index, batch.shifts, batch.batch[batch.edge_index[0]])


def edge_vectors(batch: Batch, neighbours: Neighbours, cell: Tensor | None = None) -> Tensor:
    """Vectors from centre to neighbour, Å [E, 3]; differentiable in `batch.positions` and the cell."""
    centre, neighbour = neighbours.edge_index
    cell = batch.cell if cell is None else cell
    offsets = torch.einsum("ei,eij->ej", neighbours.shifts, cell[neighbours.edge_batch])
    return batch.positions[neighbour] - batch.positions[centre] + offsets


def check_cells(positions: Tensor, cell: Tensor, pbc: Tensor, min_height: float = 0.5) -> None:
    """The last line before compiled code: finite numbers, and no periodic axis thinner than `min_height` Å.

    Raises:
        GeometryError: naming the system in the batch.
    """
    if not bool(torch.isfinite(positions).all() and torch.isfinite(cell).all()):
        raise GeometryError("a position or cell in the batch is not finite: pass structures through the gate first")
    heights = cell.new_full((len(cell), 3), torch.inf)
    bulk = pbc.all(dim=1)
    heights[bulk] = bulk_heights(cell[bulk])
    for system in torch.nonzero(pbc.any(dim=1) & ~bulk)[:, 0].tolist():
        heights[system] = torch.from_numpy(cell_heights(cell[system].cpu().double().numpy(), pbc[system].cpu().numpy()))
    low = torch.nonzero(~(heights >= min_height))
    if len(low):
        system, axis = low[0].tolist()
        raise GeometryError(
            f"cell height {float(heights[system, axis]):.3g} Å along {'abc'[axis]} is below {min_height:g} Å "
            f"(system {system} of the batch): drop it or rescale"
        )


def bulk_heights(cell: Tensor) -> Tensor:
    """Heights of cells periodic in three directions, Å [B, 3]: volume over the area of each face."""
    normals = torch.linalg.cross(cell[:, [1, 2, 0]], cell[:, [2, 0, 1]])  # a_(k+1) x a_(k+2), [B, 3, 3]
    volume = (cell[:, 0] * normals[:, 0]).sum(-1).abs()
    return volume[:, None] / normals.norm(dim=-1).clamp_min(1e-12)


class VerletList:
    """Neighbours within `cutoff` from a list built once with `cutoff + skin`, rebuilt system by system.

    A pair absent from the list was farther than `cutoff + skin`. If since then the cell deformed by F
    (rows: h = h0 F) and no atom moved farther than u beyond that deformation, it is still farther than
    s (cutoff + skin) - 2 u, with s the smallest singular value of F; as long as that is at least
    `cutoff` the list is complete. With a fixed cell this is the usual rule u <= skin / 2.
    (Verlet, Phys. Rev. 159, 98 (1967).)
    """

    def __init__(self, cutoff: float, skin: float = 0.5, *, half: bool = False) -> None:
        if cutoff <= 0 or skin < 0:
            raise GeometryError(f"cutoff {cutoff} Å and skin {skin} Å: give a positive cutoff and no negative skin")
        self.cutoff, self.skin, self.half = cutoff, skin, half
        self.rebuilt = 0  # systems whose list was built so far
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._positions = self._cell = self._ptr = self._pbc = torch.empty(0)

    def __call__(self, batch: Batch) -> Neighbours:
        """Complete list within `cutoff` for the batch as it is now."""
        check_cells(batch.positions.detach(), batch.cell.detach(), batch.pbc)
        positions = batch.positions.detach().cpu().double()
        cell = batch.cell.detach().cpu().double()
        stale = self._stale(positions, cell, batch)
        ptr = batch.ptr.tolist()
        for system in stale:
            rows = slice(ptr[system], ptr[system + 1])
            self._parts[system] = _pairs(
                positions[rows].numpy(),
                cell[system].numpy(),
                batch.pbc[system].cpu().numpy(),
                self.cutoff + self.skin,
                half=self.half,
            )
            self._positions[rows] = positions[rows]
            self._cell[system] = cell[system]
        self.rebuilt += len(stale)
        neighbours = _join(self._parts, batch)
        near = edge_vectors(batch, neighbours).detach().norm(dim=1) < self.cutoff
        return Neighbours(neighbours.edge_index[:, near], neighbours.shifts[near], neighbours.edge_batch[near])

    def _stale(self, positions: Tensor, cell: Tensor, batch: Batch) -> list[int]:
        """Systems whose list may be incomplete; all of them when the batch has another layout."""
        n_systems = len(cell)
        same = (
            len(self._parts) == n_systems
            and self._positions.shape == positions.shape
            and torch.equal(self._ptr, batch.ptr)
            and torch.equal(self._pbc, batch.pbc)
        )
        if not same:
            self._parts = [_NO_PAIRS] * n_systems
            self._positions, self._cell = positions.clone(), cell.clone()
            self._ptr, self._pbc = batch.ptr.clone(), batch.pbc.clone()
            return list(range(n_systems))
        identity = torch.eye(3, dtype=cell.dtype)
        bulk = torch.linalg.det(self._cell).abs() > 1e-6
        deformation = torch.linalg.solve(torch.where(bulk[:, None, None], self._cell, identity), cell)
        deformation[~bulk] = identity
        affine = torch.einsum("ni,nij->nj", self._positions, deformation[batch.batch.cpu()])
        moved = positions.new_zeros(n_systems).scatter_reduce_(
            0, batch.batch.cpu(), (positions - affine).norm(dim=1), "amax"
        )
        shrink = torch.linalg.svdvals(deformation)[:, -1]
        complete = shrink * (self.cutoff + self.skin) - 2 * moved >= self.cutoff
        complete &= bulk | (self._cell == cell).flatten(1).all(dim=1)
        return torch.nonzero(~complete)[:, 0].tolist()


_NO_PAIRS = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3), np.int32))


def _pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float, *, half: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    finder = vesin.NeighborList(cutoff=cutoff, full_list=not half, n_threads=1)
    first, second, shifts = finder.compute(positions, periodic_rows(cell, pbc), pbc, "ijS")
    return first.astype(np.int64), second.astype(np.int64), shifts


def _join(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], batch: Batch) -> Neighbours:
    ptr = batch.ptr.tolist()
    device = batch.positions.device
    edge_index = np.stack(
        [np.concatenate([part[row] + start for part, start in zip(parts, ptr[:-1], strict=True)]) for row in (0, 1)]
    )
    shifts = np.concatenate([part[2] for part in parts])
    edge_batch = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return Neighbours(
        torch.from_numpy(edge_index).to(device),
        torch.from_numpy(shifts).to(device, batch.positions.dtype),
        torch.from_numpy(edge_batch).to(device),
    )
