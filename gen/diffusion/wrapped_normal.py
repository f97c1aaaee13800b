"""Variance-exploding diffusion on the unit torus: wrapped normal noise and its exact score.

The forward kernel is x_t = x_0 + sigma eps mod 1 per coordinate, with density (Jing et al. 2022, "Torsional
diffusion", eq. 6; Jiao et al. 2023, DiffCSP, eq. 5)

    p(x; sigma) = sum_k exp(-(x + k)^2 / (2 sigma^2)) / (sigma sqrt(2 pi)),                      (1)

equal by Poisson summation to the theta series

    p(x; sigma) = 1 + 2 sum_{n >= 1} q^{n^2} cos(2 pi n x),   q = exp(-2 pi^2 sigma^2).           (2)

(1) converges fast for small sigma, (2) for large; each is used where a handful of terms reaches float32
accuracy. Near uniformity the score is tiny, and (1) would lose it to cancellation where (2) keeps it.
"""

import math

import torch
from torch import Tensor

SWITCH = 0.35  # sigma; below it 2 images either side, above it 4 harmonics, are exact to 1e-7
IMAGES = 2
HARMONICS = 4


def wrap(x: Tensor) -> Tensor:
    """Coordinates folded into [0, 1), any shape."""
    folded = x - torch.floor(x)
    return torch.where(folded >= 1.0, torch.zeros_like(folded), folded)  # -1e-9 folds to 1.0 in float32


def nearest(x: Tensor) -> Tensor:
    """Differences folded into [-0.5, 0.5], any shape."""
    return x - torch.round(x)


def score(x: Tensor, sigma: Tensor) -> Tensor:
    """d/dx log p(x; sigma) of eqs. (1) and (2).

    Args:
        x: differences from the clean coordinate, any shape, any real value.
        sigma: noise level, broadcastable to `x`.

    Returns:
        Score, shape of `x`.
    """
    x = nearest(x)
    sigma = sigma.expand_as(x)
    return torch.where(sigma < SWITCH, _image_score(x, sigma), _harmonic_score(x, sigma))


def _image_score(x: Tensor, sigma: Tensor) -> Tensor:
    shifts = torch.arange(-IMAGES, IMAGES + 1, dtype=x.dtype, device=x.device)
    displaced = x.unsqueeze(-1) + shifts  # [..., K]
    weights = torch.softmax(-0.5 * (displaced / sigma.unsqueeze(-1)) ** 2, dim=-1)
    return -(weights * displaced).sum(-1) / sigma**2


def _harmonic_score(x: Tensor, sigma: Tensor) -> Tensor:
    orders = torch.arange(1, HARMONICS + 1, dtype=x.dtype, device=x.device)
    amplitude = torch.exp(-2 * math.pi**2 * (orders * sigma.unsqueeze(-1)) ** 2)  # q^(n^2), [..., n]
    phase = 2 * math.pi * orders * x.unsqueeze(-1)
    density = 1 + 2 * (amplitude * torch.cos(phase)).sum(-1)
    slope = -4 * math.pi * (orders * amplitude * torch.sin(phase)).sum(-1)
    # below SWITCH this branch is discarded by the caller, but must stay finite
    return slope / density.clamp_min(1e-12)


def score_norm(sigma: Tensor, points: int = 2001) -> Tensor:
    """Root mean square of the score, sqrt(E_p[score^2]), by quadrature of eqs. (1) and (2).

    It tends to 1/sigma for small sigma and to sqrt(2) 2 pi q for large. Computed in float64.

    Args:
        sigma: [S].

    Returns:
        [S], dtype of `sigma`.
    """
    level = sigma.double().unsqueeze(-1)
    # a grid in units of sigma for narrow densities, over the whole circle for wide ones
    reach = torch.minimum(torch.full_like(level, 0.5), 8 * level)
    x = reach * torch.linspace(-1, 1, points, dtype=torch.float64)
    shifts = torch.arange(-IMAGES, IMAGES + 1, dtype=torch.float64)
    images = torch.exp(-0.5 * ((x.unsqueeze(-1) + shifts) / level.unsqueeze(-1)) ** 2).sum(-1)
    orders = torch.arange(1, HARMONICS + 1, dtype=torch.float64)
    harmonics = 1 + 2 * (
        torch.exp(-2 * math.pi**2 * (orders * level.unsqueeze(-1)) ** 2)
        * torch.cos(2 * math.pi * orders * x.unsqueeze(-1))
    ).sum(-1)
    density = torch.where(level < SWITCH, images, harmonics)
    squared = score(x, level) ** 2
    mean = torch.trapezoid(density * squared, x, dim=-1) / torch.trapezoid(density, x, dim=-1)
    return mean.sqrt().to(sigma.dtype)


class ScoreNorm:
    """`score_norm` for repeated use: tabulated once against log sigma, 512 points interpolate to 1e-5."""

    def __init__(self, sigma_min: float, sigma_max: float) -> None:
        # cells of many atoms start below sigma_min
        low, high = 0.05 * sigma_min, sigma_max
        self._log_sigma = torch.linspace(0, 1, 512, dtype=torch.float64) * torch.log(
            torch.tensor(high / low, dtype=torch.float64)
        ) + torch.log(torch.tensor(low, dtype=torch.float64))
        self._log_norm = score_norm(self._log_sigma.exp()).log()

    def __call__(self, sigma: Tensor) -> Tensor:
        """Root mean square of the score at `sigma`, same shape."""
        # on the device itself, so that nothing waits for a copy; Apple's has no float64
        device = torch.device("cpu") if sigma.device.type == "mps" else sigma.device
        log_sigma, log_norm = self._log_sigma.to(device), self._log_norm.to(device)
        place = (sigma.to(device).double().log() - log_sigma[0]) / (log_sigma[1] - log_sigma[0])
        place = place.clamp(0, len(log_sigma) - 1.001)
        left = place.floor().long()
        share = place - left
        value = log_norm[left] * (1 - share) + log_norm[left + 1] * share
        return value.exp().to(sigma)


def reverse_step(
    x: Tensor, score_x: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor, drift: float = 1.0
) -> Tensor:
    """Ancestral step from `sigma` to a smaller `sigma_next` (Song et al. 2021, SMLD ancestral sampling, eq. 47).

    x' = x + (sigma^2 - sigma'^2) score + sqrt(sigma'^2 (sigma^2 - sigma'^2) / sigma^2) noise, folded. A `drift` above
    one pulls harder to the data at the same noise ("anti-annealing", Miller et al. 2024, FlowMM, sec. 4), but never
    beyond sigma^2 score, which is where the denoised coordinate lies (Tweedie's formula).
    """
    drop = sigma**2 - sigma_next**2
    pull = torch.minimum(drift * drop, sigma**2)
    return wrap(x + pull * score_x + (sigma_next**2 * drop / sigma**2).sqrt() * noise)


def langevin_step(x: Tensor, score_x: Tensor, sigma: Tensor, step: float, noise: Tensor) -> Tensor:
    """Langevin corrector at fixed noise, step size step * sigma^2 (Song & Ermon 2019, Algorithm 1), folded."""
    size = step * sigma**2
    return wrap(x + size * score_x + (2 * size).sqrt() * noise)
