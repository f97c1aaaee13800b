"""Revealing species one after the other, so that none ever exceeds what may be in the cell."""

import torch
from torch import Tensor
from torch.nn import functional

from gen.crystals.element_conditions import Bounds
from gen.diffusion import absorbing


def reveal_within(
    tokens: Tensor,
    logits: Tensor,
    reveal_time: Tensor,
    t_next: float,
    mask: int,
    temperature: float,
    choice: Tensor,
    bounds: Bounds,
    leader: Tensor | None,
) -> Tensor:
    """One reverse step of the species down to `t_next` within bounds on the atoms of each.

    Every atom is drawn from its own logits with the species barred that are full; once the atoms left are only as many
    as must still come, nothing else may. Where the bars leave nothing, they are lifted, and the finished crystal fails.

    Args:
        tokens: [B, N], some masked.
        logits: [B, N, E].
        reveal_time: [B, N], equal within an orbit.
        choice: [B, N] uniform draws.
        leader: [B, N] first atom of each atom's orbit, None where every atom is its own.
    """
    batch, count, kinds = logits.shape
    own = torch.arange(count, device=tokens.device).expand(batch, count)
    leader = own if leader is None else leader
    size = functional.one_hot(leader, count).sum(1).gather(1, leader)  # [B, N] atoms of each atom's orbit
    lower = torch.zeros(kinds, device=tokens.device)
    upper = torch.full((kinds,), torch.inf, device=tokens.device)
    for species, least in bounds.lower.items():
        lower[species] = least
    for species, most in bounds.upper.items():
        upper[species] = most
    while True:
        due = (tokens == mask) & (reveal_time > t_next)
        if not bool(due.any()):
            return tokens
        # the latest revealed first, one orbit a row
        place = torch.where(due, reveal_time, -1.0).argmax(1, keepdim=True)  # [B, 1]
        atom = leader.gather(1, place)
        present = functional.one_hot(tokens.clamp_max(kinds), kinds + 1)[..., :kinds].sum(1)  # [B, E]
        room = size.gather(1, atom)  # [B, 1]
        needed = (lower - present).clamp_min(0)  # [B, E]
        left = (tokens == mask).sum(1, keepdim=True)
        barred = (present + room > upper) | ((needed.sum(1, keepdim=True) >= left) & (needed <= 0))
        own_logits = logits.gather(1, atom.unsqueeze(-1).expand(-1, -1, kinds)).squeeze(1)  # [B, E]
        held = own_logits.masked_fill(barred, -torch.inf)
        possible = torch.isfinite(held).any(1, keepdim=True)
        drawn = absorbing.draw(torch.where(possible, held, own_logits), temperature, choice.gather(1, atom).squeeze(1))
        chosen = (leader == atom) & due.any(1, keepdim=True)
        tokens = torch.where(chosen, drawn.unsqueeze(1), tokens)
