"""The two graphs CHGNet works on, as index tensors of a whole batch: bonds between atoms, angles between bonds.

Deng et al., Nature Machine Intelligence 5, 1031 (2023): the atom graph holds all pairs within one cut-off,
the bond graph all ordered pairs of distinct short bonds that share an atom. The package builds
both one Python object an edge; here they are a handful of array operations on a vesin half list.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from potentials.neighbours import Neighbours, VerletList, edge_vectors


class CHGNetGraph(NamedTuple):
    """Index tensors of a batch with N atoms, U bonds (each once), S short bonds, H angles (each once).

    Directed bonds are numbered so that `k` points from the bond's first atom to its second and `k + U` back;
    directed short bonds likewise with S.
    """

    centre: Tensor  # [2U] the atom a directed bond starts from
    neighbour: Tensor  # [2U] the atom it ends at
    vectors: Tensor  # [U, 3] Å, from first to second atom
    bond_system: Tensor  # [U] which system of the batch
    short: Tensor  # [S] the bonds within the bond-graph cut-off
    short_centre: Tensor  # [2S] the atom a directed short bond starts from
    angle_first: Tensor  # [H] directed short bond
    angle_second: Tensor  # [H] another directed short bond from the same atom


def build_graph(batch: Batch, pairs: VerletList, bond_cutoff: float, dtype: torch.dtype) -> CHGNetGraph:
    """Both graphs of a batch, with vectors in `dtype`.

    Args:
        batch: collated `AtomGraph`s.
        pairs: half list with CHGNet's atom-graph cut-off.
        bond_cutoff: Å, within which two bonds at an atom make an angle.
        dtype: precision the network runs in.

    Raises:
        GeometryError: a cell or position no neighbour list may see.
    """
    neighbours = pairs(batch)
    vectors = _bond_vectors(batch, neighbours, dtype)
    first, second = neighbours.edge_index
    short = torch.nonzero(vectors.norm(dim=1) < bond_cutoff)[:, 0]
    short_centre = torch.cat([first[short], second[short]])
    angle_first, angle_second = _pairs_at_one_atom(short_centre, batch.num_nodes)
    return CHGNetGraph(
        centre=torch.cat([first, second]),
        neighbour=torch.cat([second, first]),
        vectors=vectors,
        bond_system=neighbours.edge_batch,
        short=short,
        short_centre=short_centre,
        angle_first=angle_first,
        angle_second=angle_second,
    )


def _bond_vectors(batch: Batch, neighbours: Neighbours, dtype: torch.dtype) -> Tensor:
    """Vectors of all bonds, Å [U, 3].

    In single precision they are rounded where the package rounds (fractional coordinates and cell first), because its
    stiffest bonds turn 1e-6 Å of another rounding into 1e-4 eV/Å of force.
    """
    if dtype != torch.float32 or not bool(batch.pbc.all()):
        return edge_vectors(batch, neighbours).detach().to(dtype)
    cell = batch.cell.detach().float()
    to_fractional = torch.linalg.inv(batch.cell.detach().double())[batch.batch]
    fractional = torch.einsum("ni,nij->nj", batch.positions.detach().double(), to_fractional).float()
    positions = torch.einsum("ni,nij->nj", fractional, cell[batch.batch])
    first, second = neighbours.edge_index
    offsets = torch.einsum("ei,eij->ej", neighbours.shifts.float(), cell[neighbours.edge_batch])
    return positions[second] + offsets - positions[first]


def _pairs_at_one_atom(centre: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """All unordered pairs of distinct entries of `centre` [M] with equal value, as two index tensors [H]."""
    order = torch.argsort(centre, stable=True)
    ends = torch.bincount(centre, minlength=n_atoms).cumsum(0)  # where each atom's run stops in `order`
    place = torch.arange(len(centre), device=centre.device)
    partners = ends[centre[order]] - 1 - place  # entries after this one in the same run
    first = torch.repeat_interleave(place, partners)
    start = torch.repeat_interleave(partners.cumsum(0) - partners, partners)
    second = first + 1 + torch.arange(len(first), device=centre.device) - start
    return order[first], order[second]
