"""The alternative score network: the interaction layers of `potentials/` over the atoms within a cutoff.

Each layer gathers densities of spherical harmonics from the neighbours and multiplies them at the atoms
(`potentials.network.Interaction`, e3nn's irreps), so that one surrounding is read alike however it is turned. The
coordinate score is a vector read off the atoms, and with the species it depends on the crystal alone, not on how it is
turned; the lattice head also sees the lattice's components, which have axes. `CrystalNetwork` sees every pair of a
cell, this one what is near: `network.kind: equivariant`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gen.crystals.config import NetworkConfig
from gen.crystals.lattice import BASIS
from gen.crystals.network import TIME_FREQUENCIES, time_features
from gen.crystals.properties import Conditioning, PropertySpec, layer_shifts
from gen.diffusion.wrapped_normal import nearest
from potentials.density import edge_layout
from potentials.network import Interaction
from potentials.network import NetworkConfig as InteractionConfig
from potentials.radial import BesselBasis
from potentials.spherical import spherical_harmonics

MAX_REACH = 3  # cells around the home cell that are searched; only very flat ones reach farther
CLOSEST = 0.2  # Å; noise may put atoms on one place
TYPICAL_DENSITY = 0.05  # atoms/Å^3, of the random crystals that set the layers' constant scales


class EquivariantCrystalNetwork(nn.Module):
    """Predicts, from a noisy crystal, the coordinate score, the lattice velocity and the hidden species.

    Permutation equivariant; invariant to periodic translations; score and species do not depend on how the lattice is
    turned. Species index `species` is the mask.
    """

    def __init__(self, config: NetworkConfig, species: int, properties: Sequence[PropertySpec] = ()) -> None:
        super().__init__()
        self.config = config
        self.properties = tuple(properties)
        channels = config.channels
        carried = (channels, channels, channels // 2)
        shape = InteractionConfig(
            cutoff=config.cutoff,
            channels=channels,
            lmax=2,
            carried=carried,
            layers=config.layers,
            body_order=3,
            radial_functions=config.radial,
            radial_hidden=64,
        )
        self.embedding = nn.Embedding(species + 1, channels)
        self.basis = BesselBasis(config.cutoff, config.radial)
        self.harmonics = spherical_harmonics(2)
        self.cell_in = nn.Linear(2 * TIME_FREQUENCIES + 3, channels)  # of what does not depend on axes
        self.cell_out = nn.Linear(channels, channels)
        self.layers = nn.ModuleList()
        incoming: tuple[int, ...] = carried[:1]
        for _ in range(config.layers):
            layer = Interaction(shape, species + 1, incoming, carried)
            layer.readout = nn.Sequential()  # energies are not asked for
            self.layers.append(layer)
            incoming = carried
        self.modulations = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(config.layers))
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.species_head = nn.Linear(channels, species)
        self.score_head = nn.Linear(carried[1], 1, bias=False)
        self.strain_head = nn.Linear(carried[2], 1, bias=False)
        self.strain_gain = nn.Parameter(torch.ones(6))
        self.lattice_in = nn.Linear(2 * channels + 6, channels)
        self.lattice_out = nn.Linear(channels, 6)
        for head in (self.score_head, self.strain_head, self.lattice_out):
            nn.init.normal_(head.weight, std=1e-2)
        self.register_buffer("strain_components", _strain_components(), persistent=False)
        self.strain_components: Tensor
        self.conditioning = Conditioning(self.properties, channels, config.layers + 1) if self.properties else None
        self._calibrate(species)

    def forward(
        self,
        tokens: Tensor,
        frac: Tensor,
        components: Tensor,
        lattice: Tensor,
        t: Tensor,
        values: Tensor | None = None,
        *,
        calibrate: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate the network on B crystals of N atoms; arguments and results as `CrystalNetwork.forward`.

        `tokens` are species indices only; `calibrate` sets the layers' constant scales on this batch.
        """
        with torch.autocast(frac.device.type, enabled=False):  # distances need every digit, small products no help
            batch, count = tokens.shape
            size = torch.tensor([math.log(count), 1 / count], dtype=frac.dtype, device=frac.device).expand(batch, 2)
            known = torch.cat([time_features(t), components[:, :1], size], dim=-1)
            cell = functional.silu(self.cell_out(functional.silu(self.cell_in(known))))  # [B, C]
            shifts = layer_shifts(self.conditioning, values, len(self.layers) + 1)

            centre, neighbour, vectors = near_images(frac, lattice, self.config.cutoff)
            layout = edge_layout(centre, neighbour, batch * count)
            outside = vectors.new_tensor([0.0, 0.0, 2 * self.config.cutoff])
            slots = layout.spread(vectors, outside)
            basis = self.basis(torch.linalg.vector_norm(slots, dim=1).clamp_min(CLOSEST))
            harmonics = self.harmonics(slots)
            species = tokens.reshape(-1)[layout.order]
            crystal_of = torch.arange(batch, device=frac.device).repeat_interleave(count)[layout.order]

            features = [self.embedding(species)[:, None, :]]
            for layer, modulation, shift in zip(self.layers, self.modulations, shifts, strict=False):
                scale, offset = modulation(cell + shift).chunk(2, dim=-1)
                scalars = features[0] * (1 + scale[crystal_of, None]) + offset[crystal_of, None]
                features, _ = layer([scalars, *features[1:]], species, basis, harmonics, layout, calibrate)
                features = [self.norm(features[0]), *(_bounded(part) for part in features[1:])]
            h, turned, strains = (part[layout.inverse].view(batch, count, *part.shape[1:]) for part in features)
            h = h.squeeze(2)  # [B, N, C]

            pulls = self.score_head(turned).squeeze(-1)  # [B, N, 3] along Cartesian axes
            length = torch.linalg.det(lattice).abs().pow(1 / 3)[:, None, None]
            score = torch.linalg.solve(lattice, pulls, left=False) * length  # displacements in fractional coordinates
            score = score - score.mean(1, keepdim=True)
            strain = self.strain_head(strains).squeeze(-1).mean(1) @ self.strain_components  # [B, 6]
            pooled = torch.cat([h.mean(1), cell + shifts[-1], components], dim=-1)
            velocity = self.lattice_out(functional.silu(self.lattice_in(pooled))) + self.strain_gain * strain
            return score, velocity, self.species_head(h)

    @torch.no_grad()
    def _calibrate(self, species: int) -> None:
        """Set the layers' constant scales on random crystals, the same for every network of one shape."""
        generator = torch.Generator().manual_seed(0)
        batch, count = 8, 10
        side = (count / TYPICAL_DENSITY) ** (1 / 3)
        lattice = side * (torch.eye(3) + 0.1 * torch.randn(batch, 3, 3, generator=generator))
        tokens = torch.randint(species + 1, (batch, count), generator=generator)
        frac = torch.rand(batch, count, 3, generator=generator)
        components = torch.randn(batch, 6, generator=generator)
        self(tokens, frac, components, lattice, torch.rand(batch, generator=generator), calibrate=True)


def near_images(frac: Tensor, lattice: Tensor, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Every atom's neighbours within `cutoff` Å, periodic images and its own among them.

    Args:
        frac: [B, N, 3].
        lattice: [B, 3, 3] Å, rows.

    Returns:
        centre [E], neighbour [E] (atoms numbered crystal after crystal) and vectors [E, 3] Å from one to the other. In
        cells thinner than `cutoff` / (`MAX_REACH` + 0.5) the farthest images are left out.
    """
    count = frac.shape[1]
    folded = nearest(frac.unsqueeze(1) - frac.unsqueeze(2))  # [B, i, j, 3]
    normals = torch.linalg.cross(lattice[:, [1, 2, 0]], lattice[:, [2, 0, 1]])
    heights = torch.linalg.det(lattice).abs()[:, None] / normals.norm(dim=-1).clamp_min(1e-9)
    # an image s cells away is at least (|s| - 1/2) heights off
    reach = min(MAX_REACH, max(1, math.ceil(cutoff / max(float(heights.min()), 1e-3) - 0.5)))
    axis = torch.arange(-reach, reach + 1, dtype=frac.dtype, device=frac.device)
    shifts = torch.cartesian_prod(axis, axis, axis)  # [K, 3]
    vectors = (folded @ lattice.unsqueeze(1)).unsqueeze(3) + (shifts @ lattice)[:, None, None]  # [B, N, N, K, 3]
    found = vectors.square().sum(-1) < cutoff**2
    atoms = torch.arange(count, device=frac.device)
    found[:, atoms, atoms, len(shifts) // 2] = False  # an atom is not its own neighbour
    crystal, centre, neighbour, image = found.nonzero(as_tuple=True)
    return crystal * count + centre, crystal * count + neighbour, vectors[crystal, centre, neighbour, image]


def _bounded(features: Tensor) -> Tensor:
    """[N, 2l + 1, C] of any size to a size of at most about one; noise may press atoms together."""
    return features * (1 + features.square().mean((1, 2), keepdim=True)).rsqrt()


def _strain_components() -> Tensor:
    """[5, 6]: lattice components (`lattice.BASIS`) of the symmetric matrix each component of degree 2 stands for."""
    generator = torch.Generator().manual_seed(0)
    directions = functional.normalize(torch.randn(64, 3, dtype=torch.float64, generator=generator), dim=-1)
    harmonics = spherical_harmonics(2)(directions)[:, 4:]  # Y_m = v^T Q_m v
    squares = torch.einsum("si,sj,kij->sk", directions, directions, BASIS)  # v^T B_k v
    components = torch.linalg.lstsq(squares, harmonics).solution.T  # Q_m in the basis B_k
    # least squares end on other last digits from call to call; without them a resumed training is the same to the bit
    return torch.round(components / components.norm(dim=1, keepdim=True), decimals=12).float()
