"""Long-range electrostatics for a short-sighted network: charges of the atoms, and what they do to each other.

The charges are latent: nothing but energies and forces trains them (latent Ewald summation, B. Cheng, npj Comput.
Mater. 11, 80 (2025)). The net charge of each system is conserved by construction: what the atoms' own charges leave
over is taken off in proportion to a learned softness, as in charge equilibration (Rappé, Goddard, J. Phys. Chem. 95,
3358 (1991); for networks Ko et al., Nat. Commun. 12, 398 (2021)).
"""

from collections.abc import Sequence
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from potentials.charge_network import element_descriptors
from potentials.config import Config
from potentials.smeared_charges import coulomb_energy

_FIRST_CHARGE = 0.3  # e for each unit of the electronegativity descriptor, before training
_CORRECTION = 0.1  # e, of a correction of order one


class LongRangeConfig(Config):
    """Shape of the charge head; saved with the weights."""

    smearing: Annotated[float, pydantic.Field(ge=0.3, le=5)] = 1.0  # Å, width of the charge clouds; larger is cheaper
    hidden: Annotated[int, pydantic.Field(ge=4, le=512)] = 32  # width of the perceptron from features to charges


class LongRange(nn.Module):
    """Charges from the last features of a network, and their electrostatic energy.

    Args:
        config: shape of the head.
        n_features: what `descriptors` of the network gives an atom.
        elements: atomic number of each species index.
    """

    def __init__(self, config: LongRangeConfig, n_features: int, elements: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        # a quadratic function of charges has no slope at zero: begin where electronegativities point
        electronegativity = element_descriptors()[0][list(elements), 2].to(torch.get_default_dtype())
        self.base = nn.Parameter(-_FIRST_CHARGE * electronegativity)
        self.head = nn.Sequential(nn.Linear(n_features, config.hidden), nn.SiLU(), nn.Linear(config.hidden, 2))

    def charges(self, features: Tensor, species: Tensor, batch: Batch) -> Tensor:
        """Charges [N], e, float64; each system's sum is its `total_charge` ([B] e in the batch, or 0)."""
        correction, softness = self.head(features).double().unbind(dim=1)
        total = getattr(batch, "total_charge", None)
        raw = self.base.double()[species] + _CORRECTION * correction
        return conserved(raw, nn.functional.softplus(softness) + 1e-4, batch.batch, batch.num_graphs, total)

    def forward(self, features: Tensor, species: Tensor, batch: Batch) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Energies [B] eV, charges [N] e, and the leaves the energies depend on besides the features.

        The leaves are the positions [N, 3] and a strain [B, 3, 3] about zero that deforms positions and cells alike;
        with the features held they give the direct part of forces and stress.
        """
        positions = batch.positions.detach().double().requires_grad_()
        strain = positions.new_zeros(batch.num_graphs, 3, 3).requires_grad_()
        cell = batch.cell.detach().double()
        strained = positions + torch.einsum("ni,nij->nj", positions, strain[batch.batch])
        charges = self.charges(features, species, batch)
        energies = coulomb_energy(strained, charges, cell + cell @ strain, batch.pbc, batch.batch, self.config.smearing)
        return energies, charges, [positions, strain]


def conserved(charges: Tensor, softness: Tensor, system: Tensor, n_systems: int, total: Tensor | None = None) -> Tensor:
    """Charges [N] with each system's sum brought to `total` [B] (or 0) in proportion to `softness` [N] > 0."""
    zeros = charges.new_zeros(n_systems)
    excess = zeros.index_add(0, system, charges)
    if total is not None:
        excess = excess - total.to(excess).reshape(n_systems)
    soft = zeros.index_add(0, system, softness)
    return charges - softness * (excess / soft.clamp_min(1e-12))[system]
