"""Limited-memory BFGS over many independent systems at once, without a line search.

Liu, Nocedal, Math. Program. 45, 503 (1989); two-loop recursion of Nocedal, Math. Comput. 35, 773 (1980). The step is
capped instead of searched, as is usual for atoms: one force call a step, and the cap keeps the model honest.
Pairs with negative curvature are left out of the history.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from potentials.fire import limit_rows, sum_rows

MEMORY = 20  # pairs of steps and force changes kept
STIFFNESS = 70.0  # eV/Å^2 assumed before anything is known; that of a stiff covalent bond


class LbfgsState(NamedTuple):
    """State of B systems with M rows in all; histories are newest last."""

    steps: Tensor  # [K, M, 3] Å
    changes: Tensor  # [K, M, 3] eV/Å, minus the change of force along each step
    inverse: Tensor  # [K, B] 1 / (step . change); 0 where a pair is not used
    force: Tensor  # [M, 3] at the last geometry
    displacement: Tensor  # [M, 3] made there
    stiffness: Tensor  # [B] eV/Å^2, assumed where the history knows nothing


def lbfgs_init(n_rows: int, n_systems: int) -> LbfgsState:
    """No history."""
    rows = torch.zeros(n_rows, 3, dtype=torch.float64)
    return LbfgsState(
        steps=torch.zeros(MEMORY, n_rows, 3, dtype=torch.float64),
        changes=torch.zeros(MEMORY, n_rows, 3, dtype=torch.float64),
        inverse=torch.zeros(MEMORY, n_systems, dtype=torch.float64),
        force=rows,
        displacement=rows.clone(),
        stiffness=torch.full((n_systems,), STIFFNESS, dtype=torch.float64),
    )


def lbfgs_step(state: LbfgsState, force: Tensor, owner: Tensor) -> tuple[Tensor, LbfgsState]:
    """One step: displacement [M, 3] of all rows, and the next state; arguments as `fire.fire_step`."""
    n_systems = state.inverse.shape[1]
    step, change = state.displacement, state.force - force
    curvature = sum_rows(step * change, owner, n_systems)
    usable = curvature > 1e-10
    inverse = torch.where(usable, 1 / torch.where(usable, curvature, 1.0), torch.zeros_like(curvature))
    steps = torch.cat([state.steps[1:], step[None]])
    changes = torch.cat([state.changes[1:], change[None]])
    inverses = torch.cat([state.inverse[1:], inverse[None]])

    direction = force
    weights = []
    for k in range(MEMORY - 1, -1, -1):
        weight = inverses[k] * sum_rows(steps[k] * direction, owner, n_systems)
        direction = direction - weight[owner, None] * changes[k]
        weights.append(weight)
    stiffness = state.stiffness[owner, None]
    direction = direction / stiffness
    for k, weight in zip(range(MEMORY), reversed(weights), strict=True):
        correction = weight - inverses[k] * sum_rows(changes[k] * direction, owner, n_systems)
        direction = direction + correction[owner, None] * steps[k]

    # A direction against the force comes from a stale history: follow the force instead.
    ascends = sum_rows(direction * force, owner, n_systems) <= 0
    direction = torch.where(ascends[owner, None], force / stiffness, direction)
    inverses = torch.where(ascends, torch.zeros_like(inverses), inverses)
    displacement = limit_rows(direction, owner, n_systems)
    return displacement, LbfgsState(steps, changes, inverses, force, displacement, state.stiffness)


def stiffest(state: LbfgsState, owner: Tensor) -> Tensor:
    """Largest curvature y.y / s.y among the pairs of each system's history, eV/Å^2 [B]; at least what it assumed."""
    n_systems = state.inverse.shape[1]
    seen = [
        sum_rows(change * change, owner, n_systems) * inverse
        for change, inverse in zip(state.changes, state.inverse, strict=True)
    ]
    return torch.stack([state.stiffness, *seen]).amax(0)
