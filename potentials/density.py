"""Neighbour densities as batched matrix products: edges laid out in padded blocks, one row a centre.

What a message-passing layer needs of its edges is A[i] = sum_j Y(r_ij)^T (R(r_ij) h_j). With the neighbours of an
atom side by side this is one small matrix product an atom; the Clebsch-Gordan work is left to the atoms, of which
there are tens of times fewer than edges.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# A new block is opened where more than this share of a block, and more than so many slots, would be padding.
_WASTE = 0.03
_WASTE_SLOTS = 64


@dataclass(frozen=True)
class EdgeLayout:
    """Edges sorted into blocks of atoms that have about as many neighbours; atoms are renumbered block by block.

    A slot is a place for an edge. Slots that hold none have their own centre as sender and a vector beyond the cutoff.
    """

    order: Tensor  # [N] old index of each renumbered atom
    inverse: Tensor  # [N] new index of each old atom
    blocks: tuple[tuple[int, int], ...]  # (atoms, slots per atom) of each block
    edge_slot: Tensor  # [E] slot of each edge
    sender: Tensor  # [S] renumbered neighbour of each slot

    def spread(self, edge_values: Tensor, empty: Tensor) -> Tensor:
        """Edge values [E, ...] to slots [S, ...]; slots without an edge hold `empty` [...]."""
        slots = empty.expand(len(self.sender), *empty.shape)
        return slots.index_copy(0, self.edge_slot, edge_values)


def edge_layout(centre: Tensor, neighbour: Tensor, n_atoms: int) -> EdgeLayout:
    """Lay out directed edges `centre [E]` <- `neighbour [E]` (indices below `n_atoms`, any order)."""
    device = centre.device
    degree = torch.bincount(centre, minlength=n_atoms)
    order = torch.argsort(degree, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(n_atoms, device=device)
    blocks = _blocks(degree[order].tolist())

    widths = torch.tensor([width for size, width in blocks for _ in range(size)], dtype=torch.int64, device=device)
    first_slot = torch.cumsum(widths, 0) - widths  # of each renumbered atom
    row = inverse[centre]
    by_row = torch.argsort(row, stable=True)
    row_start = torch.cumsum(degree[order], 0) - degree[order]
    rank = torch.arange(len(centre), device=device) - row_start[row[by_row]]
    edge_slot = torch.empty_like(centre)
    edge_slot[by_row] = first_slot[row[by_row]] + rank

    sender = torch.repeat_interleave(torch.arange(n_atoms, device=device), widths)
    sender[edge_slot] = inverse[neighbour]
    return EdgeLayout(order, inverse, blocks, edge_slot, sender)


def dense_layout(neighbours: Tensor) -> EdgeLayout:
    """The layout in which every atom has the same number of slots: one block, atoms in their own order.

    Its shapes follow from the argument's alone, as tracing and compilers need it.

    Args:
        neighbours: [N, K] index of the neighbour in each slot; anything, e.g. the atom itself, where it is empty.
    """
    atoms, width = neighbours.shape
    order = torch.arange(atoms, device=neighbours.device)
    slots = torch.arange(atoms * width, device=neighbours.device)
    return EdgeLayout(order, order, ((atoms, width),), slots, neighbours.reshape(-1))


def project(weights: Tensor, values: Tensor, blocks: tuple[tuple[int, int], ...]) -> Tensor:
    """sum over an atom's slots of weights [S, M] times values [S, F]: the density [N, M, F]."""
    densities = []
    start = 0
    for atoms, width in blocks:
        stop = start + atoms * width
        left = weights[start:stop].view(atoms, width, weights.shape[1])
        right = values[start:stop].view(atoms, width, values.shape[1])
        densities.append(torch.bmm(left.transpose(1, 2), right))
        start = stop
    return densities[0] if len(densities) == 1 else torch.cat(densities)


def _blocks(degrees: list[int]) -> tuple[tuple[int, int], ...]:
    """Cut ascending degrees into (atoms, widest degree) runs that waste little."""
    blocks: list[tuple[int, int]] = []
    stop = len(degrees)
    while stop > 0:
        width, start, filled = degrees[stop - 1], stop, 0
        while start > 0:
            padded, wanted = width * (stop - start + 1), filled + degrees[start - 1]
            if padded - wanted > max(_WASTE * wanted, _WASTE_SLOTS):
                break
            start, filled = start - 1, wanted
        blocks.append((stop - start, width))
        stop = start
    return tuple(reversed(blocks))
