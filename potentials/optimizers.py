"""The optimisers relaxation can choose from, and how their states lose and gain systems.

A state is a named tuple of tensors; fields named in `row_fields` have the rows of all systems on their second to last
axis, all others have the systems on their last axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from potentials.fire import fire_init, fire_step
from potentials.guarded_lbfgs import ROW_FIELDS, guarded_init, guarded_step, restart


class Optimizer(NamedTuple):
    """A pair of pure functions and the layout of what they hand on."""

    init: Callable[[int, int], Any]  # (rows, systems) -> state
    step: Callable[[Any, Tensor, Tensor], tuple[Tensor, Any]]  # (state, force, owner) -> (displacement, state)
    row_fields: frozenset[str]
    # (state, owner, systems restarted, of these those to be careful with) -> state; None where none needs it
    restart: Callable[[Any, Tensor, Tensor, Tensor], Any] | None = None


OPTIMIZERS = {
    "fire": Optimizer(fire_init, fire_step, frozenset({"velocity"})),
    "lbfgs": Optimizer(guarded_init, guarded_step, ROW_FIELDS, restart),
}


def keep_systems(optimizer: Optimizer, state: Any, rows: Tensor, systems: Tensor) -> Any:
    """The state of some of its systems only; `rows` [M] and `systems` [B] are indices or masks."""
    return type(state)(
        *(
            field[..., rows, :] if name in optimizer.row_fields else field[..., systems]
            for name, field in zip(state._fields, state, strict=True)
        )
    )


def join_systems(optimizer: Optimizer, state: Any, other: Any) -> Any:
    """The state of the systems of `state`, then those of `other`."""
    return type(state)(
        *(
            torch.cat([first, second], dim=-2 if name in optimizer.row_fields else -1)
            for name, first, second in zip(state._fields, state, other, strict=True)
        )
    )
