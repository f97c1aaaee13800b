"""Turned copies of labelled frames: what a network without built-in symmetry learns it from."""

import copy

import torch
from torch import Tensor
from torch_geometric.data import Batch


def random_orthogonal(count: int, seed: int, step: int = 0) -> Tensor:
    """Rotations and reflections [count, 3, 3], float64, uniform over O(3); a pure function of (count, seed, step).

    The QR decomposition of a normal matrix with the signs of R's diagonal moved into Q is uniform (Mezzadri, Notices of
    the AMS 54, 592 (2007)).
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r, dim1=1, dim2=2))[:, None, :]


def turned(batch: Batch, turns: Tensor) -> Batch:
    """The batch with system b turned by `turns[b]` [B, 3, 3]: positions, cells, and forces and stresses if present.

    Vectors are rows: x' = x Q^T, and a stress s' = Q s Q^T. Energies, bonds and whole-cell shifts stay as they are.
    """
    turns = turns.to(batch.positions)
    result = copy.copy(batch)  # shallow: the caller's batch stays where it is
    mine = turns[batch.batch]  # [N, 3, 3]
    result.positions = torch.einsum("nij,nj->ni", mine, batch.positions)
    result.cell = batch.cell @ turns.transpose(1, 2)
    if "forces" in batch:
        result.forces = torch.einsum("nij,nj->ni", mine, batch.forces)
    if "stress" in batch:
        result.stress = turns @ batch.stress @ turns.transpose(1, 2)
    return result
