"""The forward process of DiffCSP (Jiao et al. 2023), as a baseline to compare with at equal network and training.

The raw 3 x 3 lattice in Å diffuses towards N(0, I) under a cosine schedule, whatever the atom count or density
(DiffCSP, eqs. 2-4); the network predicts its noise as M L_t with M invariant, which makes it turn with the crystal
(their eq. 10). Coordinates take wrapped normal noise from 0.005 to 0.5 whatever the atom count, and the target is the
normalised score (their eqs. 5-6, App. B.1). Its sampler is predictor-corrector with 1000 steps and a corrector step of
1e-5 (sigma / sigma_min)^2 on MP-20 (App. B.3), which is 0.4 sigma^2: `steps=1000 corrector=true corrector_step=0.4
quench_steps=0`, 2,000 network evaluations, all in float32: bfloat16 is too coarse for the lattice's noise, and with few
steps the first ones, which divide by a small alpha, leave most lattices flat or far too large.
"""

import torch
from torch import Tensor

from gen.crystals.config import ProcessConfig
from gen.crystals.lattice import LatticeScale
from gen.crystals.process import CrystalProcess, Geometry, ScoreNetwork
from gen.diffusion import cosine, wrapped_normal
from gen.diffusion.schedules import geometric
from gen.diffusion.wrapped_normal import ScoreNorm

METRIC_UNIT = 25.0  # Å^2, brings the elements of L L^T near one for the network


class BaselineProcess(CrystalProcess):
    """DiffCSP's diffusion; the heads are the score over its root mean square, and the noise of the raw lattice."""

    lattice_size = 9
    holds_symmetry = False

    def __init__(self, config: ProcessConfig, scale: LatticeScale, mask: int) -> None:
        super().__init__(config, scale, mask)
        self.score_norm = ScoreNorm(config.sigma_min, config.sigma_max)

    def sigma(self, t: Tensor) -> Tensor:
        """Fractional noise level at times `t`, same shape."""
        low = torch.tensor(self.config.sigma_min, dtype=t.dtype, device=t.device)
        return geometric(t, low, torch.tensor(self.config.sigma_max, dtype=t.dtype, device=t.device))

    def encode(self, lattice: Tensor, n_atoms: int) -> Tensor:
        """The lattice vectors as they are, in Å."""
        return lattice.flatten(1)

    def view(self, components: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
        """The six elements of L L^T, and the lattice as it is."""
        lattice = components.unflatten(1, (3, 3))
        metric = lattice @ lattice.transpose(1, 2) / METRIC_UNIT
        row, column = torch.triu_indices(3, 3, device=metric.device)
        return metric[:, row, column], lattice

    def prior(self, uniform: Tensor, normal: Tensor) -> Geometry:
        """Uniform coordinates, a standard normal lattice in Å."""
        return Geometry(uniform, normal)

    def noised(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Wrapped normal coordinates, variance-preserving lattice."""
        frac = wrapped_normal.wrap(clean.frac + self.sigma(t)[:, None, None] * noise.frac)
        return Geometry(frac, cosine.noised(clean.components, t[:, None], noise.components))

    def targets(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Normalised score, and the noise of the lattice."""
        sigma = self.sigma(t)[:, None, None]
        return Geometry(wrapped_normal.score(sigma * noise.frac, sigma) / self.score_norm(sigma), noise.components)

    def evaluate(self, network: ScoreNetwork, tokens: Tensor, geometry: Geometry, t: Tensor) -> tuple[Geometry, Tensor]:
        """One network evaluation; the nine numbers M of the lattice head become the noise M L."""
        inputs, lattice = self.view(geometry.components, tokens.shape[1])
        score, matrix, logits = network(tokens, geometry.frac, inputs, lattice, t)
        # half a percent of rounding in every step would add up to nonsense over a thousand of them
        with torch.autocast(lattice.device.type, enabled=False):
            noise = matrix.to(lattice).unflatten(1, (3, 3)) @ lattice
        return Geometry(score, noise.flatten(1)), logits

    def reverse_step(
        self, geometry: Geometry, heads: Geometry, t: float, t_next: float, noise: Geometry, anti_annealing: float
    ) -> Geometry:
        """Ancestral steps of both."""
        score, sigma = self._score(geometry, heads, t)
        after = self.sigma(torch.full_like(sigma, t_next)) if t_next > 0 else torch.zeros_like(sigma)
        drift = 1 + anti_annealing * (1 - t) if t_next > 0 else 1.0
        times = torch.full_like(heads.components, t), torch.full_like(heads.components, t_next)
        return Geometry(
            wrapped_normal.reverse_step(geometry.frac, score, sigma, after, noise.frac, drift),
            cosine.reverse_step(geometry.components, heads.components, *times, noise.components),
        )

    def corrector_step(self, geometry: Geometry, heads: Geometry, t: float, step: float, noise: Tensor) -> Geometry:
        """A Langevin step of the coordinates."""
        score, sigma = self._score(geometry, heads, t)
        return Geometry(wrapped_normal.langevin_step(geometry.frac, score, sigma, step, noise), geometry.components)

    def at_level(self, geometry: Geometry, t: float) -> Geometry:
        """The lattice shrunk by sqrt(alpha_bar); coordinates as they are."""
        signal = cosine.alpha_bar(torch.full_like(geometry.components, t))
        return Geometry(geometry.frac, signal.sqrt() * geometry.components)

    def denoised(self, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
        """Tweedie's formula for both."""
        score, sigma = self._score(geometry, heads, t)
        components = cosine.clean(geometry.components, heads.components, torch.full_like(heads.components, t))
        return Geometry(wrapped_normal.wrap(geometry.frac + sigma**2 * score), components)

    def _score(self, geometry: Geometry, heads: Geometry, t: float) -> tuple[Tensor, Tensor]:
        time = torch.full_like(geometry.frac[:, :1, :1], t)
        sigma = self.sigma(time)
        return heads.frac * self.score_norm(sigma), sigma
