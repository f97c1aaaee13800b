"""The cosine schedule of variance-preserving diffusion, continuous in time.

Nichol & Dhariwal 2021 ("Improved denoising diffusion probabilistic models"), eq. 17:

    alpha_bar(t) = cos^2((t + s) / (1 + s) pi/2) / cos^2(s / (1 + s) pi/2),   s = 0.008, t in [0, 1].

The network predicts the noise eps of x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020).
"""

import math

import torch
from torch import Tensor

OFFSET = 0.008
FLOOR = 1e-8  # of alpha_bar at t = 1, about where clipping beta at 0.999 leaves 1000 steps


def alpha_bar(t: Tensor) -> Tensor:
    """Signal variance at times `t`, same shape; 1 at 0, `FLOOR` at 1."""
    angle = (t + OFFSET) / (1 + OFFSET) * (math.pi / 2)
    return ((torch.cos(angle) / math.cos(OFFSET / (1 + OFFSET) * math.pi / 2)) ** 2).clamp(FLOOR, 1.0)


def noised(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Sample of q(x_t | x_0); `t` broadcasts to `x0`."""
    signal = alpha_bar(t)
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise


def clean(x: Tensor, predicted_noise: Tensor, t: Tensor) -> Tensor:
    """Predicted x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)."""
    signal = alpha_bar(t)
    return (x - (1 - signal).sqrt() * predicted_noise) / signal.sqrt()


def reverse_step(x: Tensor, predicted_noise: Tensor, t: Tensor, t_next: Tensor, noise: Tensor) -> Tensor:
    """Ancestral step from `t` to s = `t_next` (Ho et al. 2020, Algorithm 2, alpha = alpha_bar(t) / alpha_bar(s))."""
    now, after = alpha_bar(t), alpha_bar(t_next)
    alpha = now / after
    mean = (x - (1 - alpha) / (1 - now).sqrt() * predicted_noise) / alpha.sqrt()
    return mean + ((1 - alpha) * (1 - after) / (1 - now)).clamp_min(0).sqrt() * noise
