"""A network with no symmetry built in: it sees bond vectors as plain numbers and learns from turned copies of the data.

The control of the equivariant network (`potentials.network`): the same radial functions, the same densities of
neighbours as matrix products, the same smooth cutoff, but what stands at an atom is mixed by an ordinary perceptron
over all components of all channels, with no regard to how they turn. It is still blind to translation and to the order
of atoms, and forces are still derivatives of its energy. Whether symmetry is better built in or learned from randomly
turned data is the question AlphaFold 3 (Abramson et al., Nature 630, 493 (2024)) answered with the latter.
"""

import math

import torch
from torch import Tensor, nn

from potentials.density import EdgeLayout, project
from potentials.network import AtomicNetwork, NetworkConfig
from potentials.radial import BesselBasis, RadialNetwork
from potentials.spherical import spherical_harmonics

_SILU = 1.679  # keeps the second moment of silu of a unit normal at one
_WIDTH = 4  # hidden units of an atom's perceptron, in multiples of the channels


class PlainNetwork(AtomicNetwork):
    """Atomic energies from species and bond vectors; called as `EquivariantNetwork` is.

    Args:
        config: `cutoff`, `channels`, `layers`, `lmax` (degree of the polynomials of a bond's direction) and the radial
            keys are used.
        n_species: number of distinct elements; species are indices below it.
    """

    def __init__(self, config: NetworkConfig, n_species: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.randn(n_species, config.channels))
        self.basis = BesselBasis(config.cutoff, config.radial_functions)
        self.harmonics = spherical_harmonics(config.lmax)
        self.layers = nn.ModuleList(PlainInteraction(config) for _ in range(config.layers))

    def on_slots(
        self, species: Tensor, layout: EdgeLayout, slot_vectors: Tensor, *, calibrate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Atomic energies [N] and last features [N, channels] of edges laid out in slots; as the equivariant one's."""
        basis = self.basis(torch.linalg.vector_norm(slot_vectors, dim=1))  # [S, functions]
        harmonics = self.harmonics(slot_vectors)  # [S, M]
        features = self.embedding[species[layout.order]]  # [N, C]
        energies = slot_vectors.new_zeros(species.shape[0])
        for layer in self.layers:
            features, contribution = layer(features, basis, harmonics, layout, calibrate)
            energies = energies + contribution
        return energies[layout.inverse], features[layout.inverse]


class PlainInteraction(nn.Module):
    """One layer: densities of what the neighbours send, a perceptron over all their numbers, a residual, an energy."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, components = config.channels, (config.lmax + 1) ** 2
        self.radial = RadialNetwork(config.radial_functions, config.radial_hidden, channels)
        self.send = nn.Parameter(torch.randn(channels, channels) / math.sqrt(channels))
        hidden = _WIDTH * channels
        self.mix = nn.Sequential(
            _linear((components + 1) * channels, hidden),
            nn.SiLU(),
            _linear(hidden, hidden, _SILU),
            nn.SiLU(),
            _linear(hidden, channels, _SILU),
        )
        self.readout = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 1))
        self.register_buffer("scale", torch.ones(()))  # brings the densities to order one
        self.scale: Tensor

    def forward(
        self, features: Tensor, basis: Tensor, harmonics: Tensor, layout: EdgeLayout, calibrate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """New features [N, C] and atomic energies [N]."""
        sent = (features @ self.send).index_select(0, layout.sender)  # [S, C]
        density = project(harmonics, self.radial(basis) * sent, layout.blocks).flatten(1)  # [N, M C]
        if calibrate:
            rms = density.detach().square().mean().sqrt()
            self.scale.fill_(float(1 / rms) if rms > 0 else 1.0)
        new = features + self.mix(torch.cat([density * self.scale, features], dim=1))
        return new, self.readout(new)[:, 0]


def _linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """A linear layer that keeps the size of what goes through it, unlike torch's own start."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer
