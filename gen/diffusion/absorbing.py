"""Absorbing (masked) diffusion of categories in continuous time.

At time t in [0, 1] each token has been replaced by the mask with probability m(t) = t, independently
(Austin et al. 2021, D3PM; continuous time as in Shi et al. 2024, "Simplified and generalized masked diffusion",
eqs. 4 and 9). The reverse process keeps revealed tokens and reveals each masked one between t and s < t with
probability (t - s) / t. That is the same as giving every token a reveal time, uniform on [0, 1] and drawn before the
start, and revealing it in the step that passes this time; the number of steps is free.

The best prediction of a masked token given the rest does not depend on t (Ou et al. 2024, "Your absorbing
discrete diffusion secretly models the conditional distributions of clean data", eq. 3.2): no time is fed to
the network for this channel.
"""

import torch
from torch import Tensor
from torch.nn import functional


def masked(tokens: Tensor, t: Tensor, uniform: Tensor, mask: int) -> Tensor:
    """Sample of q(x_t | x_0).

    Args:
        tokens: [B, N] int64.
        t: [B] in [0, 1].
        uniform: [B, N] draws from U(0, 1).
        mask: index of the mask token.
    """
    return torch.where(uniform < t.unsqueeze(-1), mask, tokens)


def loss(logits: Tensor, tokens: Tensor, noisy: Tensor, mask: int) -> Tensor:
    """Negative evidence bound of each row, divided by N + 1.

    The bound is E_t[(1/t) sum over masked of cross-entropy]. With t uniform, E[1/t | k of N masked] is
    (N + 1)/k, so the mean cross-entropy over the masked tokens is the same bound with t integrated out:
    the 1/t weight and its variance are gone.

    Args:
        logits: [B, N, E] prediction of the clean tokens.
        tokens: [B, N] clean.
        noisy: [B, N] with masks.

    Returns:
        [B] nats; zero for a row without masks.
    """
    hidden = noisy == mask
    entropy = functional.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")  # [B, N]
    return (entropy * hidden).sum(-1) / hidden.sum(-1).clamp_min(1)


def reveal(noisy: Tensor, drawn: Tensor, reveal_time: Tensor, t_next: float, mask: int) -> Tensor:
    """One reverse step down to `t_next`.

    Args:
        noisy: [B, N] tokens, some masked.
        drawn: [B, N] tokens drawn from the network's prediction at this step.
        reveal_time: [B, N] in (0, 1], fixed for the whole reverse process.

    Returns:
        [B, N]; at `t_next` = 0 nothing is masked.
    """
    return torch.where((noisy == mask) & (reveal_time > t_next), drawn, noisy)


def one_at_a_time(uniform: Tensor) -> Tensor:
    """Reveal times k/N in random order, [..., N] from as many uniform draws: N equal steps reveal one token each."""
    rank = uniform.argsort(-1).argsort(-1)
    return (rank + 1) / uniform.shape[-1]


def draw(logits: Tensor, temperature: float, uniform: Tensor) -> Tensor:
    """Category by inverse transform of one uniform draw each: [..., E], [...] -> [...]."""
    if temperature <= 0:
        return logits.argmax(-1)
    cumulative = torch.softmax(logits / temperature, dim=-1).cumsum(-1)
    target = uniform.unsqueeze(-1) * cumulative[..., -1:]  # the float32 sum need not be exactly one
    return (cumulative <= target).sum(-1).clamp_max(logits.shape[-1] - 1)
