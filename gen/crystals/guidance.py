"""Classifier-free guidance: a network bound to conditions, its heads pushed away from the unconditioned ones."""

import math

import torch
from torch import Tensor

from gen.crystals.networks import AnyCrystalNetwork
from gen.crystals.process import ScoreNetwork


def steered(network: AnyCrystalNetwork, values: Tensor, weight: float) -> ScoreNetwork:
    """The network conditioned on property values, as a network without conditions looks.

    Every head is h(none) + weight (h(values) - h(none)) (Ho & Salimans 2022, eq. 6, in the convention where weight 1 is
    plain conditioning, 0 none at all). Both are evaluated in one batch of twice the size.

    Args:
        values: [P] of `network.properties`, NaN where free.
    """

    def evaluate(
        tokens: Tensor, frac: Tensor, inputs: Tensor, lattice: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = len(tokens)
        asked = values.to(frac).expand(batch, -1)
        if weight == 1.0:
            return network(tokens, frac, inputs, lattice, t, asked)
        both = torch.cat([torch.full_like(asked, math.nan), asked])
        heads = network(*(torch.cat([x, x]) for x in (tokens, frac, inputs, lattice, t)), both)
        score, velocity, logits = (free + weight * (told - free) for free, told in (h.split(batch) for h in heads))
        return score, velocity, logits

    return evaluate
