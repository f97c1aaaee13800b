"""L-BFGS that can be told, system by system, to forget what it learned or to go on as FIRE.

It decides nothing itself: `potentials.relaxation_guard` sees energies and says when a system has lost its way.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from potentials.fire import FireState, fire_init, fire_step
from potentials.lbfgs import STIFFNESS, LbfgsState, lbfgs_init, lbfgs_step, stiffest

STIFFEST = 10 * STIFFNESS  # eV/Å^2; what looks stiffer is no bond but atoms that ran into each other

_N_LBFGS, _N_FIRE = len(LbfgsState._fields), len(FireState._fields)


class GuardedState(NamedTuple):
    """The states of L-BFGS and of FIRE for B systems with M rows in all, and which of the two each system follows."""

    steps: Tensor  # [K, M, 3] Å; this and the next five as in `LbfgsState`
    changes: Tensor
    inverse: Tensor
    force: Tensor
    displacement: Tensor
    stiffness: Tensor
    velocity: Tensor  # [M, 3]; this and the next three as in `FireState`
    dt: Tensor
    alpha: Tensor
    downhill: Tensor
    careful: Tensor  # [B] bool, follows FIRE


ROW_FIELDS = frozenset({"steps", "changes", "force", "displacement", "velocity"})


def guarded_init(n_rows: int, n_systems: int) -> GuardedState:
    """No history, all systems follow L-BFGS."""
    careful = torch.zeros(n_systems, dtype=torch.bool)
    return GuardedState(*lbfgs_init(n_rows, n_systems), *fire_init(n_rows, n_systems), careful)


def guarded_step(state: GuardedState, force: Tensor, owner: Tensor) -> tuple[Tensor, GuardedState]:
    """One step of each system's own optimiser; arguments as `fire.fire_step`."""
    quick, lbfgs = lbfgs_step(LbfgsState(*state[:_N_LBFGS]), force, owner)
    if not bool(state.careful.any()):
        return quick, GuardedState(*lbfgs, *state[_N_LBFGS:])
    slow, fire = fire_step(FireState(*state[_N_LBFGS : _N_LBFGS + _N_FIRE]), force, owner)
    displacement = torch.where(state.careful[owner, None], slow, quick)
    return displacement, GuardedState(*lbfgs, *fire, state.careful)


def restart(state: GuardedState, owner: Tensor, restarted: Tensor, careful: Tensor) -> GuardedState:
    """The state after some systems were put back to an earlier geometry.

    All that L-BFGS keeps is how stiff the stiffest bond was: from molecules whose bonds are stiffer than it assumes at
    first it is thrown by its first steps, and would be thrown again.

    Args:
        state: of B systems with M rows.
        owner: system of each row [M].
        restarted: systems whose history no longer belongs to their geometry [B], bool.
        careful: those of them that go on as FIRE, from rest [B], bool.
    """
    rows, n_rows = restarted[owner], len(owner)
    fresh = guarded_init(n_rows, len(restarted))
    fields = {
        name: torch.where(
            rows[:, None] if name in ROW_FIELDS else restarted, getattr(fresh, name), getattr(state, name)
        )
        for name in GuardedState._fields
    }
    stiff = stiffest(LbfgsState(*state[:_N_LBFGS]), owner).clamp_max(STIFFEST)
    fields["stiffness"] = torch.where(restarted, stiff, state.stiffness)
    return GuardedState(**fields | {"careful": state.careful | careful})
