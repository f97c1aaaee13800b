"""Ziegler-Biersack-Littmark repulsion: what keeps two nuclei apart where no training data are."""

from collections.abc import Sequence

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from potentials.radial import polynomial_cutoff

# The universal screening function (Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids, 1985).
_AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
_DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
_COULOMB = 14.3996454  # e^2 / (4 pi eps0), eV Å
_SCREENING_LENGTH = 0.46850  # Å, 0.8854 Bohr radii
_SCREENING_EXPONENT = 0.23
# of the sum of covalent radii, of single bonds: triple bonds are 0.78 of it long, and hot ones get 0.1 Å shorter yet
REACH = 0.75


class ZBLRepulsion(nn.Module):
    """Screened nuclear repulsion, faded out smoothly at a share of the sum of the two covalent radii.

    Inside a bond length it is what a collision would see; at bond lengths and beyond it is zero, so that it
    leaves the learned part alone.

    Args:
        elements: atomic number of each species index.
        cutoff: Å, the reach of the neighbour list; no pair acts beyond it.
        reach: share of the sum of covalent radii at which it ends. At 1, as in potentials of format 2, it overlaps with
            multiple bonds, which then are learned more slowly.
    """

    def __init__(self, elements: Sequence[int], cutoff: float, reach: float = REACH) -> None:
        super().__init__()
        self.cutoff, self.reach = cutoff, reach
        numbers = torch.tensor(elements, dtype=torch.get_default_dtype())
        radii = torch.tensor([reach * float(covalent_radii[z]) for z in elements], dtype=torch.get_default_dtype())
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("radii", radii, persistent=False)
        self.numbers: Tensor
        self.radii: Tensor

    def forward(self, species: Tensor, centre: Tensor, neighbour: Tensor, lengths: Tensor) -> Tensor:
        """Atomic energies, eV [N]; each directed edge carries half of its pair's energy.

        Args:
            species: element index of each atom [N].
            centre, neighbour: directed edges, both directions of each bond [E].
            lengths: bond lengths, Å [E].
        """
        z_centre, z_neighbour = self.numbers[species[centre]], self.numbers[species[neighbour]]
        screening = _SCREENING_LENGTH / (z_centre**_SCREENING_EXPONENT + z_neighbour**_SCREENING_EXPONENT)
        scaled = (lengths / screening)[:, None]
        amplitudes, decays = lengths.new_tensor(_AMPLITUDES), lengths.new_tensor(_DECAYS)
        screened = (amplitudes * torch.exp(-decays * scaled)).sum(1)
        reach = (self.radii[species[centre]] + self.radii[species[neighbour]]).clamp(max=self.cutoff)
        pair = _COULOMB * z_centre * z_neighbour / lengths * screened * polynomial_cutoff(lengths / reach)
        return pair.new_zeros(species.shape[0]).index_add(0, centre, 0.5 * pair)
