"""The equivariant network: neighbour densities by matrix products, many-body products at the atoms.

A layer sends features h_j of degrees 0..L' along the bonds. Their densities with the spherical harmonics of the bond
directions, weighted by learned radial functions, are matrix products (`density`); Clebsch-Gordan coefficients turn them
into A_l at the atoms, which is the sum over neighbours of the tensor product (h_j x Y) a NequIP layer takes on each
edge (Batzner et al. 2022), since that sum and the coefficients commute. Products A x A and (A x A) x A then add the
body orders 3 and 4 as in ACE and MACE (Drautz 2019; Batatia et al. 2022).
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import pydantic
import torch
from torch import Tensor, nn

from potentials.config import Config
from potentials.density import EdgeLayout, edge_layout
from potentials.neighbour_density import neighbour_density
from potentials.radial import BesselBasis, RadialNetwork
from potentials.spherical import (
    NodeProduct,
    coupling_matrix,
    paths_per_degree,
    product_paths,
    spherical_harmonics,
    split_degrees,
)

_STAGES = ("density", "square", "cube")
# with which each stage enters at first: products are the noisier the higher their order, and small weights let the
# network learn from what is smooth before it uses them
_FIRST_WEIGHTS = (1.0, 0.3, 0.1)


class NetworkConfig(Config):
    """Shape of the network; saved with its weights."""

    # density: equivariant, this file; plain: no symmetry built in (`potentials.plain_network`), for comparison
    architecture: Literal["density", "plain"] = "density"
    cutoff: Annotated[float, pydantic.Field(gt=0.5, le=20)] = 5.0  # Å, bonds a message travels
    channels: Annotated[int, pydantic.Field(ge=1, le=1024)] = 64  # features of each degree at an atom
    lmax: Annotated[int, pydantic.Field(ge=0, le=4)] = 2  # highest degree of densities and products
    # channels of degrees 0, 1, ... that atoms send in the second layer and later: (64,) is scalars only
    carried: tuple[Annotated[int, pydantic.Field(ge=1, le=1024)], ...] = (64, 64, 32)
    layers: Annotated[int, pydantic.Field(ge=1, le=6)] = 2
    body_order: Annotated[int, pydantic.Field(ge=2, le=4)] = 3  # 2: densities, 3: their products, 4: triple products
    radial_functions: Annotated[int, pydantic.Field(ge=2, le=64)] = 8  # Bessel functions
    # width of a network on top of the Bessel functions; 0: none, radial functions are sums of them
    radial_hidden: Annotated[int, pydantic.Field(ge=0, le=512)] = 0
    radial_per_pair: bool = False  # a radial function for each (degree sent, degree of Y), not for each degree sent

    @pydantic.model_validator(mode="after")
    def _carried_fits(self) -> "NetworkConfig":
        if self.architecture == "density" and not 1 <= len(self.carried) <= self.lmax + 1:
            raise ValueError(f"carried holds {len(self.carried)} degrees: give 1 to lmax + 1 = {self.lmax + 1}")
        return self

    @pydantic.model_validator(mode="after")
    def _plain_knows_its_keys(self) -> "NetworkConfig":
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        given = [key for key in ("carried", "body_order", "radial_per_pair") if getattr(self, key) != defaults[key]]
        if self.architecture == "plain" and given:
            raise ValueError(f"architecture plain has no {', '.join(given)}: leave them out")
        return self


class AtomicNetwork(nn.Module):
    """How networks of atomic energies are called; each has its own computation in `on_slots`."""

    config: NetworkConfig

    def forward(
        self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor, *, calibrate: bool = False
    ) -> Tensor:
        """Atomic energies [N], dimensionless.

        Args:
            species: element index of each atom [N].
            centre, neighbour: directed edges, both directions of each bond [E].
            vectors: position of the neighbour relative to the centre, Å [E, 3].
            calibrate: set each layer's constant scales so that its densities and products have unit mean square
                on this batch.
        """
        return self._run(species, centre, neighbour, vectors, calibrate)[0]

    def descriptors(self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor) -> Tensor:
        """What the last readout sees of each atom [N, channels]; arguments as `forward`."""
        return self._run(species, centre, neighbour, vectors, False)[1]

    def energies_and_descriptors(
        self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`forward` and `descriptors` from one pass."""
        return self._run(species, centre, neighbour, vectors, False)

    def _run(
        self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor, calibrate: bool
    ) -> tuple[Tensor, Tensor]:
        layout = edge_layout(centre, neighbour, len(species))
        outside = vectors.new_tensor([0.0, 0.0, 2 * self.config.cutoff])
        return self.on_slots(species, layout, layout.spread(vectors, outside), calibrate=calibrate)

    def on_slots(
        self, species: Tensor, layout: EdgeLayout, slot_vectors: Tensor, *, calibrate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Atomic energies [N] and last features [N, channels] of edges laid out in slots."""
        raise NotImplementedError


class EquivariantNetwork(AtomicNetwork):
    """Atomic energies from species and bond vectors, in units of the caller's energy scale.

    Args:
        config: shape of the network.
        n_species: number of distinct elements; species are indices below it.

    Before training, call it once with `calibrate=True` on a typical batch.
    """

    def __init__(self, config: NetworkConfig, n_species: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.randn(n_species, config.carried[0]))
        self.basis = BesselBasis(config.cutoff, config.radial_functions)
        self.harmonics = spherical_harmonics(config.lmax)
        self.layers = nn.ModuleList()
        incoming: tuple[int, ...] = config.carried[:1]
        for number in range(config.layers):
            last = number == config.layers - 1
            outgoing = config.carried[:1] if last else config.carried
            self.layers.append(Interaction(config, n_species, incoming, outgoing))
            incoming = outgoing

    def on_slots(
        self, species: Tensor, layout: EdgeLayout, slot_vectors: Tensor, *, calibrate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Atomic energies [N] and last features [N, carried[0]] of edges already laid out in slots.

        No shape in here depends on the values of a tensor, so that it can be traced.

        Args:
            species: element index of each atom [N].
            layout: the slots of each atom.
            slot_vectors: bond vectors, Å [S, 3]; farther than the cutoff where a slot is empty.
            calibrate: as `forward`.
        """
        basis = self.basis(torch.linalg.vector_norm(slot_vectors, dim=1))  # [S, functions]
        harmonics = self.harmonics(slot_vectors)  # [S, M]

        species = species[layout.order]
        features = [self.embedding[species][:, None, :]]
        energies = slot_vectors.new_zeros(species.shape[0])
        for layer in self.layers:
            features, contribution = layer(features, species, basis, harmonics, layout, calibrate)
            energies = energies + contribution
        return energies[layout.inverse], features[0][:, 0][layout.inverse]


class Interaction(nn.Module):
    """One layer: messages to densities, densities to products, products to new features and an energy."""

    def __init__(
        self,
        config: NetworkConfig,
        n_species: int,
        incoming: tuple[int, ...],
        outgoing: tuple[int, ...],
    ) -> None:
        super().__init__()
        lmax, channels = config.lmax, config.channels
        degrees = range(lmax + 1)

        # messages: one radial function a channel and pair (degree sent, degree of Y), or a channel and degree sent
        resolved = [degree == 0 or config.radial_per_pair for degree in range(len(incoming))]
        self.radial_sizes = [count * (lmax + 1 if r else 1) for count, r in zip(incoming, resolved, strict=True)]
        self.radial = RadialNetwork(config.radial_functions, config.radial_hidden, sum(self.radial_sizes))
        self.send = nn.ParameterList(_weight(count, count) for count in incoming)
        self.density_counts = []
        widths = [0] * (lmax + 1)  # channels that arrive in each degree of the density
        for degree, count in enumerate(incoming):
            paths = product_paths(degrees, [degree], lmax)
            self.density_counts.append(paths_per_degree(paths, lmax))
            matrix = coupling_matrix(paths, degrees, [degree]).to(torch.get_default_dtype())
            self.register_buffer(f"coupling_{degree}", matrix, persistent=False)
            widths = [w + count * p for w, p in zip(widths, self.density_counts[-1], strict=True)]
        self.mix_density = nn.ParameterList(_weight(width, channels) for width in widths)

        self.density_kernel: Callable[..., Tensor] = neighbour_density  # `potentials.kernels` puts another in its place

        # atoms: what reaches the new features of degree l is the density, its products and triple products
        stages = [[1] * len(outgoing)]  # paths into each degree
        self.square = self.cube = None
        if config.body_order >= 3:
            self.square = NodeProduct(lmax, lmax, symmetric=True)
            stages.append(self.square.counts[: len(outgoing)])
        if config.body_order >= 4 and self.square is not None:
            self.cube = NodeProduct(lmax, len(outgoing) - 1, symmetric=False)
            stages.append(self.cube.counts)
            self.contract = nn.ParameterList(
                torch.randn(n_species, n, channels) / math.sqrt(n) for n in self.square.counts
            )
        counts = [sum(paths) for paths in zip(*stages, strict=True)]
        self.species_weights = nn.ParameterList(
            _first_weights(paths, channels).repeat(n_species, 1) for paths in zip(*stages, strict=True)
        )
        self.mix_products = nn.ParameterList(_weight(n * channels, c) for n, c in zip(counts, outgoing, strict=True))
        self.keep = nn.ParameterList(_weight(a, b) for a, b in zip(incoming, outgoing, strict=False))
        self.hidden = nn.Linear(outgoing[0], outgoing[0])
        self.gates = nn.Linear(outgoing[0], sum(outgoing))  # new scalars, then one gate a channel of higher degree
        self.readout = nn.Sequential(nn.Linear(outgoing[0], 32), nn.SiLU(), nn.Linear(32, 1))
        self.register_buffer("scales", torch.ones(len(_STAGES), lmax + 1))  # of densities, squares and cubes
        self.scales: Tensor

    def forward(
        self,
        features: list[Tensor],
        species: Tensor,
        basis: Tensor,
        harmonics: Tensor,
        layout: EdgeLayout,
        calibrate: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        """New features, one [N, 2l + 1, C_l] a degree, and atomic energies [N]; see `EquivariantNetwork`."""
        density = self._scaled("density", self._density(features, basis, harmonics, layout), calibrate)
        terms = [density]
        if self.square is not None:
            stacked = torch.cat(density, dim=1)  # [N, M, C]
            squares = self._scaled("square", self.square(stacked), calibrate)
            terms.append(squares)
            if self.cube is not None:
                cubes = self.cube(self._contract(squares, species), stacked)
                terms.append(self._scaled("cube", cubes, calibrate))
        updates = []
        for degree, mix in enumerate(self.mix_products):
            products = torch.cat([term[degree] for term in terms], dim=2)  # [N, 2l + 1, paths * C]
            weights = self.species_weights[degree].index_select(0, species)[:, None, :]
            updates.append((products * weights) @ mix)
        return self._update(features, updates)

    def _density(self, features: list[Tensor], basis: Tensor, harmonics: Tensor, layout: EdgeLayout) -> list[Tensor]:
        """A_l, one [N, 2l + 1, C] a degree."""
        radial = self.radial(basis).split(self.radial_sizes, dim=1)
        arrived: list[list[Tensor]] = [[] for _ in self.mix_density]
        for degree, (feature, send) in enumerate(zip(features, self.send, strict=True)):
            coupling = getattr(self, f"coupling_{degree}") if degree > 0 else None  # of scalars it is the identity
            pairs = self.density_kernel(harmonics, feature @ send, radial[degree], layout, coupling)
            for target, part in zip(arrived, split_degrees(pairs, self.density_counts[degree]), strict=True):
                target.append(part)
        return [torch.cat(parts, dim=2) @ weight for parts, weight in zip(arrived, self.mix_density, strict=True)]

    def _contract(self, squares: list[Tensor], species: Tensor) -> Tensor:
        """Sum over the paths of A x A with weights that depend on the element: [N, M, C]."""
        parts = []
        for square, weights in zip(squares, self.contract, strict=True):
            paths, channels = weights.shape[1:]
            chosen = weights.index_select(0, species)[:, None]  # [N, 1, paths, C]
            parts.append((square.view(*square.shape[:2], paths, channels) * chosen).sum(2))
        return torch.cat(parts, dim=1)

    def _scaled(self, stage: str, parts: list[Tensor], calibrate: bool) -> list[Tensor]:
        """Products grow with the power of the density: constant scales, one a degree, keep each at order one."""
        row = _STAGES.index(stage)
        if calibrate:
            for degree, part in enumerate(parts):
                rms = part.detach().square().mean().sqrt()
                self.scales[row, degree] = 1 / rms if rms > 0 else 1.0
        return [part * scale for part, scale in zip(parts, self.scales[row], strict=False)]

    def _update(self, features: list[Tensor], updates: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Scalars pass a perceptron, higher degrees are gated by it; both keep what they were (residual)."""
        widths = [update.shape[2] for update in updates]
        hidden = nn.functional.silu(self.hidden(updates[0][:, 0]))
        scalars, *gates = self.gates(hidden).split(widths, dim=1)
        new = [(updates[0][:, 0] + scalars)[:, None, :]]
        new += [update * gate[:, None, :] for update, gate in zip(updates[1:], gates, strict=True)]
        for degree, keep in enumerate(self.keep):
            new[degree] = new[degree] + features[degree] @ keep
        return new, self.readout(new[0][:, 0])[:, 0]


def _weight(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns) / math.sqrt(rows)


def _first_weights(paths: Sequence[int], channels: int) -> Tensor:
    """For so many paths of each stage [sum of paths * channels]."""
    found = [torch.full((n * channels,), weight) for n, weight in zip(paths, _FIRST_WEIGHTS, strict=False)]
    return torch.cat(found)
