"""Atoms and cells of many structures side by side, as `potentials.cell_filter` moves them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class PairBatch:
    """The fields of a PyG batch that moving atoms and cells needs; `positions` and `cell` are replaced as they move."""

    ptr: Tensor  # [B + 1] where each structure's atoms start
    batch: Tensor  # [N] structure of each atom
    num_graphs: int  # B
    num_nodes: int  # N
    pbc: Tensor  # [B, 3] bool, all true
    cell: Tensor  # [B, 3, 3] Å
    positions: Tensor  # [N, 3] Å


def make_pair_batch(lattices: Sequence[np.ndarray], coordinates: Sequence[np.ndarray]) -> PairBatch:
    """A batch of lattices [3, 3] Å and fractional coordinates [n, 3], in double precision."""
    counts = torch.tensor([len(frac) for frac in coordinates])
    positions = np.concatenate([frac @ lattice for lattice, frac in zip(lattices, coordinates, strict=True)])
    return PairBatch(
        ptr=torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]),
        batch=torch.repeat_interleave(torch.arange(len(counts)), counts),
        num_graphs=len(counts),
        num_nodes=int(counts.sum()),
        pbc=torch.ones(len(counts), 3, dtype=torch.bool),
        cell=torch.from_numpy(np.stack(lattices)).double(),
        positions=torch.from_numpy(positions).double(),
    )
