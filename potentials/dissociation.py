"""What an atom's energy becomes as its neighbours leave: that of the free atom, exactly.

Free atoms lie several eV above bound ones. A network that must bridge that by itself, from labels of free atoms alone,
pays with its forces where atoms are bound; one that never saw them ends anywhere. So the bridge is given,

    E_i = e_i + lift_i + s(rho_i) (network_i - lift_i),   s = 1 - exp(-4 rho),
    rho_i = sum_j exp(-3.5 (r_ij / d_ij - 1)) u(r_ij),

with the reference energy e_i of a bound atom, the lift by which the free atom's energy lies above it, d_ij the sum of
the covalent radii and u the network's smooth cutoff. The two constants follow the universal binding-energy curve (Rose,
Smith, Guinea, Ferrante, Phys. Rev. B 29, 2963 (1984)) of a single bond: 0.98 at d, one half at 1.5 d, a tenth at 2 d.
Several neighbours saturate s, as in embedded-atom models, and the network has nothing to do but the rest.
"""

from collections.abc import Mapping, Sequence

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from potentials.radial import polynomial_cutoff

_SATURATION, _DECAY = 4.0, 3.5
LARGEST_LIFT = 20.0  # eV; no element is bound by half as much, so labels beyond it are of another level of theory


class DissociationLimit(nn.Module):
    """Fades atomic energies to those of free atoms; leaves elements alone whose free atom is not known.

    Args:
        lifts: by how much a free atom's energy lies above the reference energy, eV, by atomic number.
        elements: atomic number of each species index.
        cutoff: Å, of the network; beyond it atoms are free.
    """

    def __init__(self, lifts: Mapping[int, float], elements: Sequence[int], cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.lifts = {z: float(lifts[z]) for z in elements if z in lifts}
        dtype = torch.get_default_dtype()
        self.register_buffer("lift", torch.tensor([self.lifts.get(z, 0.0) for z in elements], dtype=dtype), False)
        self.register_buffer("known", torch.tensor([z in self.lifts for z in elements], dtype=dtype), False)
        self.register_buffer("radii", torch.tensor([covalent_radii[z] for z in elements], dtype=dtype), False)
        self.lift: Tensor
        self.known: Tensor
        self.radii: Tensor

    def forward(self, atomic: Tensor, species: Tensor, centre: Tensor, neighbour: Tensor, lengths: Tensor) -> Tensor:
        """Atomic energies above the reference energies, eV [N].

        Args:
            atomic: what the network adds to each atom's reference energy, eV [N].
            species: element index of each atom [N].
            centre, neighbour: directed edges, both directions of each bond [E].
            lengths: bond lengths, Å [E].
        """
        sums = self.radii[species[centre]] + self.radii[species[neighbour]]
        terms = torch.exp(-_DECAY * (lengths / sums - 1)) * polynomial_cutoff(lengths / self.cutoff)
        density = terms.new_zeros(species.shape[0]).index_add(0, centre, terms)
        lost = self.known[species] * torch.exp(-_SATURATION * density)
        return atomic + lost * (self.lift[species] - atomic)
