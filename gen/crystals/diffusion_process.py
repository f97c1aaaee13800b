"""Diffusion of crystals: wrapped normal noise on coordinates, variance-preserving noise on log-polar components."""

import torch
from torch import Tensor

from gen.crystals.config import ProcessConfig
from gen.crystals.lattice import LatticeScale
from gen.crystals.log_polar_process import LogPolarProcess
from gen.crystals.process import Geometry
from gen.diffusion import wrapped_normal
from gen.diffusion.schedules import geometric
from gen.diffusion.variance_preserving import VariancePreserving


class DiffusionProcess(LogPolarProcess):
    """Noise levels of lattice and coordinates for cells of any atom count.

    The coordinate head is the score in units of its root mean square, the lattice head the velocity
    alpha eps - sigma x_0.
    """

    def __init__(self, config: ProcessConfig, scale: LatticeScale, mask: int) -> None:
        super().__init__(config, scale, mask)
        self.lattice_noise = VariancePreserving(config.beta_min, config.beta_max, config.lattice_power)
        self.score_norm = wrapped_normal.ScoreNorm(config.sigma_min, config.sigma_max)

    def sigma(self, t: Tensor, n_atoms: int) -> Tensor:
        """Fractional noise level at times `t`: from sigma_min N^(-1/3) at 0 to sigma_max at 1, same shape."""
        low = torch.tensor(self.config.sigma_min * n_atoms ** (-1 / 3), dtype=t.dtype, device=t.device)
        return geometric(t, low, torch.tensor(self.config.sigma_max, dtype=t.dtype, device=t.device))

    def noised(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Wrapped normal coordinates, variance-preserving components."""
        shift = self._levels(t, clean.frac.shape[1]) * noise.frac
        components = self.lattice_noise.noised(clean.components, t[:, None], noise.components)
        return Geometry(wrapped_normal.wrap(clean.frac + shift), components)

    def targets(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Normalised score and velocity.

        The marginal density is invariant to translations of the crystal, so its true score has zero mean over the
        atoms; taking the mean out of the target removes variance and no signal.
        """
        sigma = self._levels(t, clean.frac.shape[1])
        target = wrapped_normal.score(sigma * noise.frac, sigma) / self.score_norm(sigma)
        target = target - target.mean(1, keepdim=True)
        return Geometry(target, self.lattice_noise.velocity(clean.components, t[:, None], noise.components))

    def reverse_step(
        self, geometry: Geometry, heads: Geometry, t: float, t_next: float, noise: Geometry, anti_annealing: float
    ) -> Geometry:
        """Ancestral steps of both."""
        score, sigma = self._score(geometry, heads, t)
        n_atoms = geometry.frac.shape[1]
        after = self.sigma(torch.full_like(sigma, t_next), n_atoms) if t_next > 0 else torch.zeros_like(sigma)
        drift = 1 + anti_annealing * (1 - t) if t_next > 0 else 1.0
        frac = wrapped_normal.reverse_step(geometry.frac, score, sigma, after, noise.frac, drift)
        velocity = heads.components
        components = self.lattice_noise.reverse_step(
            geometry.components,
            velocity,
            torch.full_like(velocity, t),
            torch.full_like(velocity, t_next),
            noise.components,
        )
        return Geometry(frac, components)

    def corrector_step(self, geometry: Geometry, heads: Geometry, t: float, step: float, noise: Tensor) -> Geometry:
        """A Langevin step of the coordinates."""
        score, sigma = self._score(geometry, heads, t)
        return Geometry(wrapped_normal.langevin_step(geometry.frac, score, sigma, step, noise), geometry.components)

    def at_level(self, geometry: Geometry, t: float) -> Geometry:
        """Components shrunk by alpha; coordinates as they are."""
        alpha, _ = self.lattice_noise.alpha_sigma(torch.full_like(geometry.components, t))
        return Geometry(geometry.frac, alpha * geometry.components)

    def denoised(self, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
        """Tweedie's formula for the coordinates, alpha x - sigma v for the components."""
        score, sigma = self._score(geometry, heads, t)
        time = torch.full_like(geometry.components, t)
        components = self.lattice_noise.clean(geometry.components, heads.components, time)
        return Geometry(wrapped_normal.wrap(geometry.frac + sigma**2 * score), components)

    def forward_step(self, geometry: Geometry, t: float, t_next: float, noise: Geometry) -> Geometry:
        """Sample of q(x_t' | x_t), t' > t: the missing variance on the coordinates, alpha'/alpha on the components."""
        n_atoms = geometry.frac.shape[1]
        low = self.sigma(torch.full_like(geometry.frac[:, :1, :1], t), n_atoms)
        high = self.sigma(torch.full_like(low, t_next), n_atoms)
        frac = wrapped_normal.wrap(geometry.frac + (high**2 - low**2).sqrt() * noise.frac)
        alpha, sigma = self.lattice_noise.alpha_sigma(torch.full_like(geometry.components, t))
        alpha_next, sigma_next = self.lattice_noise.alpha_sigma(torch.full_like(geometry.components, t_next))
        ratio = alpha_next / alpha
        spread = (sigma_next**2 - ratio**2 * sigma**2).clamp_min(0).sqrt()
        return Geometry(frac, ratio * geometry.components + spread * noise.components)

    def _levels(self, t: Tensor, n_atoms: int) -> Tensor:
        return self.sigma(t, n_atoms)[:, None, None]  # [B, 1, 1]

    def _score(self, geometry: Geometry, heads: Geometry, t: float) -> tuple[Tensor, Tensor]:
        batch, n_atoms, _ = geometry.frac.shape
        time = torch.full((batch,), t, dtype=geometry.frac.dtype, device=geometry.frac.device)
        sigma = self._levels(time, n_atoms)
        return heads.frac * self.score_norm(sigma), sigma
