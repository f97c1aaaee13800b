"""Noise levels against time, and the times a sampler visits."""

import torch
from torch import Tensor


def geometric(t: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """sigma(t) = low (high/low)^t, the variance-exploding schedule (Song et al. 2021, eq. 9 and App. C)."""
    return low * (high / low) ** t


def time_grid(steps: int) -> Tensor:
    """[steps + 1] float64 times from 1 to 0, equally spaced."""
    return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)
