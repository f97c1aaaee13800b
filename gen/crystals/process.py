"""The joint forward process of a crystal, and the loss that teaches the network to undo it.

A process is three things: how the lattice is written as numbers, how geometry (lattice and coordinates) is noised and
what the network's two geometry heads then mean, and how a sampler steps back. Species are hidden alike in all of them
(`gen.diffusion.absorbing`). `gen.crystals.processes` lists the kinds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gen.crystals.config import ProcessConfig
from gen.crystals.lattice import LatticeScale
from gen.diffusion import absorbing
from potentials.errors import InputError

# what a network looks like from here: (tokens, frac, inputs, lattice, t) -> coordinate head, lattice head, logits; see
# `CrystalNetwork.forward`. A network bound to conditions looks the same.
ScoreNetwork = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Geometry:
    """Coordinates and lattice of B crystals with N atoms; also their noise, their targets and the network's heads."""

    frac: Tensor  # [B, N, 3]
    components: Tensor  # [B, D] lattice in the numbers of the process


@dataclass(frozen=True)
class CleanCrystals:
    """A batch of B crystals with N atoms each, in the coordinates the process runs on."""

    tokens: Tensor  # [B, N] int64 species indices
    frac: Tensor  # [B, N, 3]
    components: Tensor  # [B, D]


@dataclass(frozen=True)
class Draws:
    """Every random number one noising of a batch needs, so that who draws them is the caller's business."""

    t_geometry: Tensor  # [B]
    t_species: Tensor  # [B]
    hide: Tensor  # [B, N] uniform
    shake: Tensor  # [B, N, 3] as the prior of the coordinates asks: standard normal or uniform
    strain: Tensor  # [B, D] standard normal
    flip: Tensor  # [B] +1 or -1: inversion through the origin, a symmetry of the data


@dataclass(frozen=True)
class ChannelLosses:
    """Losses of each crystal by channel, each [B]; one is the loss of a network that knows nothing."""

    coordinates: Tensor  # mean squared error of the score or velocity over its root mean square
    lattice: Tensor  # mean squared error of the velocity or noise
    species: Tensor  # nats a hidden atom


class CrystalProcess(ABC):
    """Noising and denoising of crystals of any atom count.

    Time runs from 0 (data) to 1 (prior). The network's raw geometry heads travel as a `Geometry`: `frac` is the
    coordinate head [B, N, 3], `components` the lattice head [B, D].
    """

    lattice_size = 6  # D
    uniform_shake = False  # whether `Draws.shake` is uniform on [0, 1) rather than standard normal
    holds_symmetry = True  # whether its lattice has no orientation, so that a space group can be held
    diffuses_species = False  # whether species travel as noisy vectors instead of being hidden

    def __init__(self, config: ProcessConfig, scale: LatticeScale, mask: int) -> None:
        self.config = config
        self.scale = scale
        self.mask = mask  # token index

    @abstractmethod
    def encode(self, lattice: Tensor, n_atoms: int) -> Tensor:
        """Row lattices [B, 3, 3] in Å to the components [B, D] the process runs on."""

    @abstractmethod
    def view(self, components: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
        """What the network sees of a noisy lattice: six invariant numbers [B, 6] and a row lattice [B, 3, 3] in Å."""

    @abstractmethod
    def prior(self, uniform: Tensor, normal: Tensor) -> Geometry:
        """Geometry at time 1 from uniform [B, N, 3] and standard normal [B, D] draws."""

    @abstractmethod
    def noised(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Sample of the forward process at times `t` [B] from a clean geometry.

        `noise.frac` is what `Draws.shake` holds, `noise.components` standard normal.
        """

    @abstractmethod
    def targets(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """What the heads should say of `noised(clean, t, noise)`, each of about unit variance."""

    @abstractmethod
    def reverse_step(
        self, geometry: Geometry, heads: Geometry, t: float, t_next: float, noise: Geometry, anti_annealing: float
    ) -> Geometry:
        """From time `t` down to `t_next` < t.

        Args:
            heads: the network's geometry heads at (geometry, t).
            noise: standard normal draws, scaled by the caller as it likes; a deterministic process ignores them.
            anti_annealing: slope s, the coordinates' drift is scaled by 1 + s (1 - t).
        """

    @abstractmethod
    def corrector_step(self, geometry: Geometry, heads: Geometry, t: float, step: float, noise: Tensor) -> Geometry:
        """A Langevin step of the coordinates at fixed time; step size over sigma^2, noise [B, N, 3] standard normal."""

    @abstractmethod
    def at_level(self, geometry: Geometry, t: float) -> Geometry:
        """A nearly clean geometry scaled as its noised versions at time `t` are on average, with no noise added."""

    @abstractmethod
    def denoised(self, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
        """The clean geometry the heads predict from `geometry` at time `t`."""

    def forward_step(self, geometry: Geometry, t: float, t_next: float, noise: Geometry) -> Geometry:
        """From time `t` up to `t_next` > t by the forward process, for in-painting that goes back and forth.

        Raises:
            InputError: a process without forward steps between two times.
        """
        raise InputError("resample > 1 needs a checkpoint of the diffusion process: leave resample at 1")

    def draw(self, batch: int, n_atoms: int, generator: torch.Generator) -> Draws:
        """Random times and noise for training."""
        config = self.config
        t_geometry = torch.rand(batch, generator=generator)
        t_species = torch.rand(batch, generator=generator)
        mode = torch.rand(batch, generator=generator)
        t_species = torch.where(mode < config.known_species, 0.0, t_species)
        no_geometry = (mode >= config.known_species) & (mode < config.known_species + config.no_geometry)
        shake = torch.rand if self.uniform_shake else torch.randn
        return Draws(
            t_geometry=torch.where(no_geometry, 1.0, t_geometry),
            t_species=t_species,
            hide=torch.rand(batch, n_atoms, generator=generator),
            shake=shake(batch, n_atoms, 3, generator=generator),
            strain=torch.randn(batch, self.lattice_size, generator=generator),
            flip=torch.randint(0, 2, (batch,), generator=generator) * 2.0 - 1.0,
        )

    def noised_and_targets(self, clean: CleanCrystals, draws: Draws) -> tuple[Geometry, Geometry]:
        """The geometry of a batch as training draws it, and what the heads should say of it."""
        whole = Geometry(draws.flip[:, None, None] * clean.frac, clean.components)
        noise = Geometry(draws.shake, draws.strain)
        return self.noised(whole, draws.t_geometry, noise), self.targets(whole, draws.t_geometry, noise)

    def losses(self, network: ScoreNetwork, clean: CleanCrystals, draws: Draws) -> ChannelLosses:
        """Noise a batch, evaluate the network, compare."""
        noisy, target = self.noised_and_targets(clean, draws)
        tokens = absorbing.masked(clean.tokens, draws.t_species, draws.hide, self.mask)
        heads, logits = self.evaluate(network, tokens, noisy, draws.t_geometry)
        return ChannelLosses(
            coordinates=((heads.frac - target.frac) ** 2).mean((1, 2)),
            lattice=((heads.components - target.components) ** 2).mean(1),
            species=absorbing.loss(logits, clean.tokens, tokens, self.mask),
        )

    def evaluate(self, network: ScoreNetwork, tokens: Tensor, geometry: Geometry, t: Tensor) -> tuple[Geometry, Tensor]:
        """One network evaluation at times `t` [B]: geometry heads and species logits [B, N, E]."""
        inputs, lattice = self.view(geometry.components, tokens.shape[1])
        score, velocity, logits = network(tokens, geometry.frac, inputs, lattice, t)
        return Geometry(score, velocity), logits
