"""How a bond's length enters the network: a smooth cutoff, a Bessel basis and a small network on top of it."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


def polynomial_cutoff(scaled: Tensor, exponent: int = 6) -> Tensor:
    """Envelope u(x) of x = r / cutoff: 1 at x = 0, and 0 with vanishing first and second derivative at x >= 1.

    Gasteiger et al. 2020 (DimeNet), eq. 8, with p = `exponent`.
    """
    p = exponent
    inside = scaled.clamp(max=1.0)
    envelope = (
        1.0 - (p + 1) * (p + 2) / 2 * inside**p + p * (p + 2) * inside ** (p + 1) - p * (p + 1) / 2 * inside ** (p + 2)
    )
    # the polynomial leaves a rounding error at x = 1; beyond the cutoff nothing may remain
    return torch.where(scaled < 1.0, envelope, torch.zeros_like(envelope))


class BesselBasis(nn.Module):
    """sqrt(2/c) sin(n pi r / c) / r for n = 1..count, times the polynomial cutoff (Gasteiger et al. 2020, eq. 7).

    The frequencies are fixed. Values are scaled by sqrt(c) so that they are of order one for any cutoff.
    """

    def __init__(self, cutoff: float, count: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", torch.arange(1, count + 1) * math.pi, persistent=False)
        self.frequencies: Tensor

    def forward(self, lengths: Tensor) -> Tensor:
        """Lengths [S] Å, all > 0, to basis values [S, count]."""
        scaled = (lengths / self.cutoff)[:, None]
        bessel = math.sqrt(2.0) * torch.sin(self.frequencies * scaled) / scaled
        return bessel * polynomial_cutoff(scaled)


class RadialNetwork(nn.Module):
    """Perceptron without biases from basis values to weights: where the basis vanishes, so do the weights.

    Since the basis goes to zero at the cutoff with two continuous derivatives, everything behind this
    network does too, whatever its weights are. `hidden` 0 leaves one matrix: weights linear in the basis.
    """

    def __init__(self, basis: int, hidden: int, outputs: int) -> None:
        super().__init__()
        widths = [basis, hidden, hidden, outputs] if hidden else [basis, outputs]
        self.weights = nn.ParameterList(torch.randn(a, b) / math.sqrt(a) for a, b in pairwise(widths))

    def forward(self, basis: Tensor) -> Tensor:
        """[S, basis] to [S, outputs]."""
        *first, last = self.weights  # a slice would be a list of new parameters
        hidden = basis
        for weight in first:
            # 1.68 keeps the second moment of silu of a unit normal at one
            hidden = 1.679 * nn.functional.silu(hidden @ weight)
        return hidden @ last
