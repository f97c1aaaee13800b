"""The score network: a fully connected edge network on fractional differences and the lattice.

Message passing over all N^2 pairs of a cell, after Jiao et al. 2023 (DiffCSP, eqs. 6-9). The first edge layer is
split into node terms, W [h_i, h_j, f_ij] = W_1 h_i + W_2 h_j + W_3 f_ij, so that only W_3 runs over pairs. There
is no neighbour list and no scatter: crystals of a batch have equal atom counts and tensors are dense.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gen.crystals.config import NetworkConfig
from gen.crystals.pairs import direction_count, feature_count, pair_features
from gen.crystals.properties import Conditioning, PropertySpec, layer_shifts

TIME_FREQUENCIES = 32
NEIGHBOUR_RANGE = 4.0  # Å, to the nearest image of an atom
NEIGHBOURS = 4.0  # typical number within it, so that sums are of order one


class EdgeLayer(nn.Module):
    """One round of messages; time and lattice modulate the normalised node features (FiLM)."""

    def __init__(self, channels: int, edge_channels: int, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.modulation = nn.Linear(channels, 2 * channels)
        self.from_i = nn.Linear(channels, edge_channels)
        self.from_j = nn.Linear(channels, edge_channels, bias=False)
        self.from_pair = nn.Linear(features, edge_channels, bias=False)
        self.edge = nn.Linear(edge_channels, edge_channels)
        self.node_in = nn.Linear(channels + 2 * edge_channels, channels)
        self.node_out = nn.Linear(channels, channels)

    def forward(self, h: Tensor, crystal: Tensor, features: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """h [B, N, C], crystal [B, C], features [B, N, N, F], near [B, N, N] -> new h, messages [B, N, N, E].

        Messages reach an atom twice: as the mean over the cell, and summed over neighbours by `near`.
        """
        scale, shift = self.modulation(crystal).unsqueeze(1).chunk(2, dim=-1)
        x = self.norm(h) * (1 + scale) + shift
        messages = self.from_pair(features) + self.from_i(x).unsqueeze(2) + self.from_j(x).unsqueeze(1)
        messages = functional.silu(self.edge(functional.silu(messages)))
        around = torch.einsum("bij,bije->bie", near, messages)
        update = self.node_out(functional.silu(self.node_in(torch.cat([x, messages.mean(2), around], dim=-1))))
        return h + update, messages


class CrystalNetwork(nn.Module):
    """Predicts, from a noisy crystal, the coordinate score, the lattice velocity and the hidden species.

    Permutation equivariant; invariant to periodic translations; blind to rotations (it sees the symmetric
    polar factor of the lattice). Species index `species` is the mask.
    """

    def __init__(
        self,
        config: NetworkConfig,
        species: int,
        properties: Sequence[PropertySpec] = (),
        more: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> None:
        """See the class.

        `more` features and directions of a pair, inputs of the cell and of its head than crystals have.
        """
        super().__init__()
        self.config = config
        self.properties = tuple(properties)
        channels, edge_channels = config.channels, config.edge_channels
        self.embedding: nn.Module = nn.Embedding(species + 1, channels)
        more_features, more_directions, more_inputs, more_cell = more
        self.crystal_in = nn.Linear(2 * TIME_FREQUENCIES + 6 + 2 + more_inputs, channels)
        self.crystal_out = nn.Linear(channels, channels)
        features = feature_count(config.frequencies, config.radial) + more_features
        self.layers = nn.ModuleList(EdgeLayer(channels, edge_channels, features) for _ in range(config.layers))
        self.norm = nn.LayerNorm(channels)
        self.species_head: nn.Module = nn.Linear(channels, species)
        self.node_score = nn.Linear(channels, 3, bias=False)
        self.pair_score = nn.Linear(edge_channels, direction_count(config.frequencies) + more_directions)
        self.lattice_in = nn.Linear(2 * channels + more_cell, channels)
        self.lattice_out = nn.Linear(channels, config.lattice_outputs)
        for head in (self.node_score, self.pair_score, self.lattice_out):
            nn.init.normal_(head.weight, std=1e-2)
        # one adapter a layer and one for the lattice head
        self.conditioning = Conditioning(self.properties, channels, config.layers + 1) if self.properties else None

    def forward(
        self,
        tokens: Tensor,
        frac: Tensor,
        components: Tensor,
        lattice: Tensor,
        t: Tensor,
        values: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate the network on B crystals of N atoms.

        Args:
            tokens: [B, N] species indices, some masked; or [B, N, species] noisy one-hot vectors.
            frac: [B, N, 3] noisy fractional coordinates.
            components: [B, 6] noisy standardised lattice components.
            lattice: [B, 3, 3] Å, the same lattice decoded.
            t: [B] time of lattice and coordinates.
            values: [B, P] of `properties` to be conditioned on, NaN where free; None asks for nothing.

        Returns:
            score [B, N, 3] in units of its root mean square, of zero mean over atoms; velocity
            [B, lattice_outputs];
            species logits [B, N, species].
        """
        score, velocity, h = self.geometry(self._embed(tokens), frac, components, lattice, t, values)
        return score, velocity, self.species_head(h)

    def _embed(self, tokens: Tensor) -> Tensor:
        """[B, N, C]; of vectors the mix of the species' rows, of unit variance for noise of it, from the mask's row."""
        if not tokens.is_floating_point():
            embedded: Tensor = self.embedding(tokens)
            return embedded
        rows = cast(Tensor, self.embedding.weight)
        return tokens @ rows[:-1] / math.sqrt(tokens.shape[-1]) + rows[-1]

    def geometry(
        self,
        h: Tensor,
        frac: Tensor,
        components: Tensor,
        lattice: Tensor,
        t: Tensor,
        values: Tensor | None,
        more: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All but the species: from embedded atoms h [B, N, C] to the geometry heads and the last h [B, N, C].

        `more` are features [B, N, N, F'], directions [B, N, N, 3, D'], inputs of the cell [B, I'] and of its
        head [B, L'] beside the crystals'.
        """
        config = self.config
        with torch.autocast(frac.device.type, enabled=False):  # distances need every digit
            features, directions, shortest = pair_features(
                frac, lattice, config.frequencies, config.radial, config.cutoff
            )
        if more is not None:
            features, directions = torch.cat([features, more[0]], dim=-1), torch.cat([directions, more[1]], dim=-1)
        near = torch.exp(-((shortest / NEIGHBOUR_RANGE) ** 4)) / NEIGHBOURS
        count = frac.shape[1]
        size = torch.tensor([math.log(count), 1 / count], dtype=frac.dtype, device=frac.device).expand(len(t), 2)
        known = torch.cat([time_features(t), components, size, *(more[2:3] if more is not None else ())], dim=-1)
        crystal = functional.silu(self.crystal_out(functional.silu(self.crystal_in(known))))  # [B, C]
        messages = features
        shifts = layer_shifts(self.conditioning, values, len(self.layers) + 1)
        for layer, shift in zip(self.layers, shifts, strict=False):
            h, messages = layer(h, crystal + shift, features, near)
        h = self.norm(h)
        # each neighbour pulls along its direction with a strength read off the last message
        pulls = (self.pair_score(messages).unsqueeze(3) * directions).sum((2, 4))  # [B, N, 3]
        score = self.node_score(h) + pulls
        score = score - score.mean(1, keepdim=True)
        pooled = torch.cat([h.mean(1), crystal + shifts[-1], *(more[3:] if more is not None else ())], dim=-1)
        velocity = self.lattice_out(functional.silu(self.lattice_in(pooled)))
        return score, velocity, h


def time_features(t: Tensor) -> Tensor:
    """[B] times in [0, 1] to [B, 2 * TIME_FREQUENCIES] sines and cosines of geometric frequencies."""
    frequencies = torch.exp(
        torch.linspace(0.0, math.log(200.0), TIME_FREQUENCIES, dtype=t.dtype, device=t.device)
    )  # one to 200 radians over the unit interval
    phase = t.unsqueeze(-1) * frequencies
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)
