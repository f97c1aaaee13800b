"""The score network on beads: the crystal network, its table of elements replaced by fingerprints of blocks.

What a block is enters by an MLP on its fingerprint, and what a hidden bead may be is scored by the inner product of
the bead's features with another MLP on the fingerprint, so that neither knows how many blocks there are: one never
seen in training takes part like any other. How many connections a bead has (its role) is known from the start, and
which beads are linked may be: the graph of the net, without the cells its links cross into.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gen.crystals.config import NetworkConfig
from gen.crystals.network import CrystalNetwork
from gen.crystals.process import ScoreNetwork
from gen.crystals.properties import PropertySpec
from gen.sorbents.beads import EDGE
from gen.sorbents.joint_pairs import REACHES, SHELLS, SPRINGS, VIRIAL, joint_features, reach_features

MOST_CONNECTIONS = 32  # the library's largest block has 24
GRAPH = 2  # inputs of a pair: how often it is linked, and whether that is known
BARRED = -1e4  # logit of a block of another role: no probability, and yet finite, so that guidance may subtract it


class BlockTable(nn.Module):
    """Vectors of all blocks from their fingerprints [T, F], once to embed [T + 1, C], once to compare with [T, C]."""

    def __init__(self, fingerprints: Tensor, channels: int) -> None:
        super().__init__()
        self.register_buffer("fingerprints", fingerprints)
        self.fingerprints: Tensor
        self.hidden = nn.Linear(fingerprints.shape[1], 2 * channels)
        self.embed = nn.Linear(2 * channels, channels)
        self.key = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels + 1))
        self.mask = nn.Parameter(torch.randn(1, channels))

    def forward(self, jitter: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [T + 1, C], the mask last; keys [T, C]; biases [T]; `jitter` [T, F] is added to fingerprints."""
        hidden = functional.silu(self.hidden(self.fingerprints if jitter is None else self.fingerprints + jitter))
        keys = self.key(hidden)
        return torch.cat([self.embed(hidden), self.mask]), keys[:, :-1] / math.sqrt(keys.shape[1]), keys[:, -1]


class BeadNetwork(CrystalNetwork):
    """Predicts, from noisy beads, the coordinate score, the lattice velocity and the hidden blocks.

    The symmetries are those of the crystal network. Token `len(connections)` is the mask.
    """

    def __init__(
        self,
        config: NetworkConfig,
        fingerprints: Tensor,
        connections: Sequence[int],
        sizes: Tensor,
        properties: Sequence[PropertySpec] = (),
        knows_nets: bool = True,
    ) -> None:
        """See the class.

        Args:
            fingerprints: [T, F] standardised.
            connections: of each of the T blocks.
            sizes: [T] mean distance of a block's connection points from their middle, in units of `LENGTH`.
            knows_nets: False for the first networks, which had no input for the graph.
        """
        times, more = (2, GRAPH) if knows_nets else (1, 0)
        more_inputs = (SHELLS + times * SPRINGS + more, times * SPRINGS, REACHES, times * VIRIAL)
        super().__init__(config, len(connections), properties, more=more_inputs)
        self.knows_nets = knows_nets
        channels = config.channels
        self.embedding = BlockTable(fingerprints, channels)
        self.species_head = nn.Linear(channels, channels)
        self.role_embedding = nn.Embedding(MOST_CONNECTIONS + 1, channels)
        # how strongly a bead wants a block that is there already, and one that is there many times: beads of one
        # symmetry class hold one block
        self.repeat = nn.Linear(channels, 2)
        nn.init.zeros_(self.repeat.weight)
        self.register_buffer("connections", torch.tensor(connections), persistent=False)
        self.connections: Tensor
        self.register_buffer("sizes", sizes)
        self.sizes: Tensor

    @property
    def fingerprints(self) -> Tensor:
        """[T, F] standardised fingerprints of the blocks."""
        table = self.embedding
        assert isinstance(table, BlockTable)
        return table.fingerprints

    def forward(
        self,
        tokens: Tensor,
        frac: Tensor,
        components: Tensor,
        lattice: Tensor,
        t: Tensor,
        values: Tensor | None = None,
        roles: Tensor | None = None,
        jitter: Tensor | None = None,
        joined: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate the network on B frameworks of N beads.

        Args:
            tokens: [B, N] block indices, some masked.
            frac: [B, N, 3] noisy fractional coordinates.
            components: [B, 6] noisy standardised lattice components.
            lattice: [B, 3, 3] the same lattice decoded, in units of `LENGTH`.
            t: [B] time of lattice and coordinates.
            values: [B, P] of `properties` to be conditioned on, NaN where free; None asks for nothing.
            roles: [B, N] connections of every bead; must be given, and agree with the tokens that are not masked.
            jitter: [T, F] noise on the fingerprints, in training: keeps single blocks from being learnt by heart.
            joined: [B, N, N] how often two beads are linked, -1 throughout a framework where that is open; None: open.

        Returns:
            score [B, N, 3], velocity [B, 6] and logits [B, N, T], `BARRED` for blocks of other roles.
        """
        assert roles is not None  # the argument comes last, so that the call looks as the crystal network's
        blocks, keys, biases = self.embedding(jitter)
        h = blocks[tokens] + self.role_embedding(roles)
        with torch.autocast(frac.device.type, enabled=False):
            sizes = self._sizes(tokens, roles)
            if self.knows_nets and joined is None:
                joined = torch.full((len(frac), frac.shape[1], frac.shape[1]), -1, device=frac.device)
            joined = joined.expand(len(frac), -1, -1) if joined is not None and self.knows_nets else None
            shells, springs, virial = joint_features(frac, lattice, sizes, roles == EDGE, joined)
            reaches = reach_features(lattice, sizes, roles)
            pull = springs.square().sum(3).add(1e-6).sqrt()  # how much a joint is off, whatever its direction
            graph = [] if joined is None else [torch.stack([joined.clamp_min(0), joined >= 0], dim=-1).to(frac.dtype)]
        more = (torch.cat([shells, pull, *graph], dim=-1), springs, reaches, virial)
        score, velocity, h = self.geometry(h, frac, components, lattice, t, values, more)
        logits = self.species_head(h) @ keys.T + biases
        logits = logits + self._repeats(h, tokens)
        wrong = roles.unsqueeze(-1) != self.connections
        return score, velocity, logits.masked_fill(wrong, BARRED)

    def _sizes(self, tokens: Tensor, roles: Tensor) -> Tensor:
        """[B, N] reach of every bead; a hidden one's is the mean over the blocks it may be."""
        possible = torch.zeros(MOST_CONNECTIONS + 1, dtype=self.sizes.dtype, device=tokens.device)
        mean = possible.scatter_reduce(0, self.connections, self.sizes, "mean", include_self=False)
        hidden = tokens == len(self.connections)
        return torch.where(hidden, mean[roles], self.sizes[tokens.clamp_max(len(self.connections) - 1)])

    def _repeats(self, h: Tensor, tokens: Tensor) -> Tensor:
        """[B, N, T] what logits gain for blocks that other beads of the framework are known to hold."""
        counts = torch.zeros(len(tokens), len(self.connections) + 1, dtype=h.dtype, device=h.device)
        counts.scatter_add_(1, tokens, torch.ones_like(tokens, dtype=h.dtype))
        known = counts[:, :-1]  # [B, T], the mask left out
        gates = self.repeat(h).to(h.dtype)
        return gates[..., :1] * (known > 0).unsqueeze(1) + gates[..., 1:] * torch.log1p(known).unsqueeze(1)


def bound(
    network: BeadNetwork,
    roles: Tensor,
    values: Tensor | None = None,
    guidance: float = 1.0,
    jitter: Tensor | None = None,
    joined: Tensor | None = None,
) -> ScoreNetwork:
    """The network with roles and conditions put in, as a network without either looks.

    With guidance every head is h(none) + guidance (h(values) - h(none)) (Ho & Salimans 2022, eq. 6, in the convention
    where 1 is plain conditioning); both are evaluated in one batch of twice the size.

    Args:
        roles: [B, N] or [N] connections of every bead.
        values: [B, P] or [P] of `network.properties`, NaN where free; None asks for nothing.
        jitter: see `BeadNetwork.forward`.
        joined: [B, N, N], see there.
    """

    def evaluate(
        tokens: Tensor, frac: Tensor, inputs: Tensor, lattice: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = len(tokens)
        every = roles.to(tokens.device).expand(batch, -1)
        graphs = None if joined is None else joined.to(tokens.device)
        if values is None or guidance == 0.0:
            return network(tokens, frac, inputs, lattice, t, roles=every, jitter=jitter, joined=graphs)
        asked = values.to(frac).expand(batch, -1)
        if guidance == 1.0:
            return network(tokens, frac, inputs, lattice, t, asked, every, jitter, graphs)
        both = torch.cat([torch.full_like(asked, math.nan), asked])
        given = (torch.cat([x, x]) for x in (tokens, frac, inputs, lattice, t))
        twice = None if graphs is None else graphs.expand(batch, -1, -1).repeat(2, 1, 1)
        heads = network(*given, both, torch.cat([every, every]), jitter, twice)
        score, velocity, logits = (free + guidance * (told - free) for free, told in (h.split(batch) for h in heads))
        return score, velocity, logits

    return evaluate
