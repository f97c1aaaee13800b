"""Variance-preserving diffusion of a vector towards the standard normal.

Song et al. 2021 (Score-based generative modelling through SDEs), eq. 11 with linear beta(t), t in [0, 1]:

    x_t = alpha x_0 + sigma eps,   log alpha = -s^2 (beta_1 - beta_0) / 4 - s beta_0 / 2,   alpha^2 + sigma^2 = 1,

where s = t^p. The power p > 1 holds the noise back: in a joint process, whatever shares the time t with another
variable and should be settled before it takes the larger power.

A prior of another mean and variance is had by standardising x before it comes here. The network predicts the
velocity v = alpha eps - sigma x_0 (Salimans & Ho 2022, eq. 11), whose variance is one at every time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VariancePreserving:
    """Linear-beta variance-preserving process."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    power: float = 1.0

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise amplitude at times `t`, both of its shape."""
        s = t**self.power
        log_alpha = -0.25 * s**2 * (self.beta_max - self.beta_min) - 0.5 * s * self.beta_min
        return torch.exp(log_alpha), torch.sqrt(-torch.expm1(2 * log_alpha))

    def noised(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Sample of q(x_t | x_0); `t` broadcasts to `x0`."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * x0 + sigma * noise

    def velocity(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The network's target v = alpha eps - sigma x_0."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * noise - sigma * x0

    def clean(self, x: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
        """Predicted x_0 = alpha x_t - sigma v."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * x - sigma * velocity

    def reverse_step(self, x: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor, noise: Tensor) -> Tensor:
        """Sample of q(x_s | x_t, x_0 predicted), s = `t_next` < t (Kingma et al. 2021, eqs. 25-26).

        Zero `noise` gives the posterior mean.
        """
        alpha, sigma = self.alpha_sigma(t)
        alpha_s, sigma_s = self.alpha_sigma(t_next)
        ratio = alpha / alpha_s
        between = sigma**2 - ratio**2 * sigma_s**2  # variance of q(x_t | x_s)
        mean = (ratio * sigma_s**2 * x + alpha_s * between * self.clean(x, velocity, t)) / sigma**2
        return mean + (between.clamp_min(0) * sigma_s**2 / sigma**2).sqrt() * noise
