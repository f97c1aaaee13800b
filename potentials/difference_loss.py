"""Gradients of losses on forces without second derivatives.

Let L depend on the weights w through energies E and bond gradients g = dE/dr (forces and stresses are linear in g).
With u = dL/dg, held constant, what L owes to g is

    dL/dw = u . dg/dw = d/dw [E(r + h u) - E(r - h u)] / 2h + O(h^2),

a central difference of energies whose bond vectors are moved along u. Three passes forward and backward, none of which
keeps a graph of derivatives, replace one such graph and its own backward pass (cf. Pearlmutter 1994, Fast exact
multiplication by the Hessian, section 1). Energies at r are to the same order the mean of those at r + h u and r - h u,
so their part of the gradient costs nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Batch

from potentials.neighbours import Neighbours, edge_vectors
from potentials.network_potential import EnergyModel

Loss = Callable[[dict[str, Tensor]], Tensor]

# Å by which the bond that moves farthest in each system moves. Errors of the difference go with its square, those of
# rounding with its inverse; in float32 both are then near 1e-4 of the gradient.
_STEP = {torch.float32: 3e-3, torch.float64: 2e-4}


def difference_loss(model: EnergyModel, batch: Batch, neighbours: Neighbours, loss: Loss, *, stress: bool) -> Tensor:
    """The loss of a model's output, with the gradient above for the model's weights; a scalar.

    Args:
        model: without long-range charges, whose energy is no function of bond vectors alone.
        batch: collated `AtomGraph`s.
        neighbours: as the model takes them.
        loss: from the model's output (`energy`, `forces`, `site_energies` and, if asked for, `stress`) to a scalar.
        stress: whether the loss needs it.

    Raises:
        ValueError: a model with long-range charges.
    """
    if model.long_range is not None:
        raise ValueError("long-range energies depend on more than bond vectors: differentiate twice instead")
    output = {key: value.requires_grad_() for key, value in model(batch, neighbours, stress=stress).items()}
    value = loss(output)
    pulls = dict(zip(output, _derivatives(value, list(output.values())), strict=True))
    vectors, along = _moves(model, batch, neighbours, pulls)
    reach = torch.linalg.vector_norm(along, dim=1)
    farthest = reach.new_zeros(batch.num_graphs).scatter_reduce(0, neighbours.edge_batch, reach, "amax")
    step = _STEP[model.dtype] / farthest.clamp_min(torch.finfo(reach.dtype).tiny)  # [B]
    moved = along * step[neighbours.edge_batch][:, None]
    ahead, behind = _energies(model, batch, neighbours, vectors, moved)
    pull = pulls["energy"][batch.batch] + pulls["site_energies"]  # on each atom's energy, [N]
    carrier = (pull * (ahead + behind) / 2).sum()
    carrier = carrier + ((ahead - behind) / (2 * step)[batch.batch]).sum()
    return value.detach() + (carrier - carrier.detach()).to(value.dtype)


def _derivatives(value: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)


def _moves(model: EnergyModel, batch: Batch, neighbours: Neighbours, pulls: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Bond vectors and u, the derivative of the loss for each bond's gradient [E, 3]."""
    centre, neighbour = neighbours.edge_index
    vectors = edge_vectors(batch, neighbours).detach().to(model.dtype)
    along = pulls["forces"][centre] - pulls["forces"][neighbour]  # F_i = sum_j g_ij - sum_j g_ji
    if "stress" in pulls:
        along = along + torch.einsum(
            "ei,eij->ej", vectors, model.virial_pulls(batch, pulls["stress"])[neighbours.edge_batch]
        )
    return vectors, along


def _energies(model: EnergyModel, batch: Batch, neighbours: Neighbours, vectors: Tensor, moved: Tensor) -> Tensor:
    """Energies of atoms [2, N] with bond vectors moved one way and the other, in one pass over both copies."""
    species, edges, count = model.species(batch.numbers), neighbours.edge_index, len(batch.numbers)
    twice = torch.cat([species, species])
    centre, neighbour = torch.cat([edges, edges + count], dim=1)
    atomic = model.energies_and_features(twice, centre, neighbour, torch.cat([vectors + moved, vectors - moved]))[0]
    return atomic.double().view(2, count)
