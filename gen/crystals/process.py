"""The joint forward process of a crystal, and the loss that teaches the network to undo it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gen.crystals.config import ProcessConfig
from gen.crystals.lattice import LatticeScale, decode
from gen.crystals.network import CrystalNetwork
from gen.diffusion import absorbing, wrapped_normal
from gen.diffusion.schedules import geometric
from gen.diffusion.variance_preserving import VariancePreserving


@dataclass(frozen=True)
class CleanCrystals:
    """A batch of B crystals with N atoms each, in the coordinates the diffusion runs on."""

    tokens: Tensor  # [B, N] int64 species indices
    frac: Tensor  # [B, N, 3]
    components: Tensor  # [B, 6] standardised lattice components


@dataclass(frozen=True)
class Draws:
    """Every random number one noising of a batch needs, so that who draws them is the caller's business."""

    t_geometry: Tensor  # [B]
    t_species: Tensor  # [B]
    hide: Tensor  # [B, N] uniform
    shake: Tensor  # [B, N, 3] standard normal
    strain: Tensor  # [B, 6] standard normal
    flip: Tensor  # [B] +1 or -1: inversion through the origin, a symmetry of the data


@dataclass(frozen=True)
class ChannelLosses:
    """Losses of each crystal by channel, each [B]; one is the loss of a network that knows nothing."""

    coordinates: Tensor  # mean squared error of the score over its root mean square
    lattice: Tensor  # mean squared error of the velocity
    species: Tensor  # nats a hidden atom


class CrystalProcess:
    """Noise levels of lattice, coordinates and species for cells of any atom count."""

    def __init__(self, config: ProcessConfig, scale: LatticeScale, mask: int) -> None:
        self.config = config
        self.scale = scale
        self.mask = mask  # token index
        self.lattice_noise = VariancePreserving(config.beta_min, config.beta_max, config.lattice_power)
        # norm of the score against log sigma, tabulated once: 512 points interpolate to 1e-5
        low, high = 0.05 * config.sigma_min, config.sigma_max
        self._log_sigma = torch.linspace(0, 1, 512, dtype=torch.float64) * torch.log(
            torch.tensor(high / low, dtype=torch.float64)
        ) + torch.log(torch.tensor(low, dtype=torch.float64))
        self._log_norm = wrapped_normal.score_norm(self._log_sigma.exp()).log()

    def sigma(self, t: Tensor, n_atoms: int) -> Tensor:
        """Fractional noise level at times `t`: from sigma_min N^(-1/3) at 0 to sigma_max at 1, same shape."""
        low = torch.tensor(self.config.sigma_min * n_atoms ** (-1 / 3), dtype=t.dtype, device=t.device)
        return geometric(t, low, torch.tensor(self.config.sigma_max, dtype=t.dtype, device=t.device))

    def score_norm(self, sigma: Tensor) -> Tensor:
        """Root mean square of the score at `sigma`, same shape."""
        step = self._log_sigma[1] - self._log_sigma[0]
        place = ((sigma.double().cpu().log() - self._log_sigma[0]) / step).clamp(0, len(self._log_sigma) - 1.001)
        left = place.floor().long()
        share = place - left
        value = self._log_norm[left] * (1 - share) + self._log_norm[left + 1] * share
        return value.exp().to(sigma)

    def draw(self, batch: int, n_atoms: int, generator: torch.Generator) -> Draws:
        """Random times and noise for training."""
        config = self.config
        t_geometry = torch.rand(batch, generator=generator)
        t_species = torch.rand(batch, generator=generator)
        mode = torch.rand(batch, generator=generator)
        t_species = torch.where(mode < config.known_species, 0.0, t_species)
        no_geometry = (mode >= config.known_species) & (mode < config.known_species + config.no_geometry)
        return Draws(
            t_geometry=torch.where(no_geometry, 1.0, t_geometry),
            t_species=t_species,
            hide=torch.rand(batch, n_atoms, generator=generator),
            shake=torch.randn(batch, n_atoms, 3, generator=generator),
            strain=torch.randn(batch, 6, generator=generator),
            flip=torch.randint(0, 2, (batch,), generator=generator) * 2.0 - 1.0,
        )

    def losses(self, network: CrystalNetwork, clean: CleanCrystals, draws: Draws) -> ChannelLosses:
        """Noise a batch, evaluate the network, compare.

        The marginal density is invariant to translations of the crystal, so its true score has zero mean over the
        atoms; taking the mean out of the target removes variance and no signal.
        """
        n_atoms = clean.tokens.shape[1]
        sigma = self.sigma(draws.t_geometry, n_atoms)[:, None, None]  # [B, 1, 1]
        shift = sigma * draws.shake
        frac = wrapped_normal.wrap(draws.flip[:, None, None] * clean.frac + shift)
        target = wrapped_normal.score(shift, sigma) / self.score_norm(sigma)
        target = target - target.mean(1, keepdim=True)
        time = draws.t_geometry[:, None]
        components = self.lattice_noise.noised(clean.components, time, draws.strain)
        velocity = self.lattice_noise.velocity(clean.components, time, draws.strain)
        tokens = absorbing.masked(clean.tokens, draws.t_species, draws.hide, self.mask)
        lattice = decode(self.scale.restore(components, n_atoms))
        score, predicted_velocity, logits = network(tokens, frac, components, lattice, draws.t_geometry)
        return ChannelLosses(
            coordinates=((score - target) ** 2).mean((1, 2)),
            lattice=((predicted_velocity - velocity) ** 2).mean(1),
            species=absorbing.loss(logits, clean.tokens, tokens, self.mask),
        )
