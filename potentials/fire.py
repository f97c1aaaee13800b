"""FIRE, the fast inertial relaxation engine, over many independent systems at once.

Bitzek, Koskinen, Gähler, Moseler, Gumbsch, Phys. Rev. Lett. 97, 170201 (2006), with the corrections of Guénolé et al.,
Comput. Mater. Sci. 175, 109584 (2020) ("FIRE 2.0"): semi-implicit Euler integration, velocities mixed after the
force has acted, and half a step back after moving uphill. Every system has its own time step, mixing and
velocity, so a result does not depend on what else is in the batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

DT_START, DT_MAX, DT_MIN = 0.1, 1.0, 0.002  # unit masses, so Å/sqrt(eV)
DT_GROW, DT_SHRINK = 1.1, 0.5
ALPHA_START, ALPHA_SHRINK = 0.25, 0.99
PATIENCE = 10  # downhill steps before the time step grows
MAX_STEP = 0.2  # Å, longest move of any row


class FireState(NamedTuple):
    """State of B systems with M rows in all."""

    velocity: Tensor  # [M, 3]
    dt: Tensor  # [B]
    alpha: Tensor  # [B] how much the velocity is turned towards the force
    downhill: Tensor  # [B] int64, steps since the last uphill move


def fire_init(n_rows: int, n_systems: int) -> FireState:
    """Systems at rest."""
    return FireState(
        velocity=torch.zeros(n_rows, 3, dtype=torch.float64),
        dt=torch.full((n_systems,), DT_START, dtype=torch.float64),
        alpha=torch.full((n_systems,), ALPHA_START, dtype=torch.float64),
        downhill=torch.zeros(n_systems, dtype=torch.int64),
    )


def fire_step(state: FireState, force: Tensor, owner: Tensor) -> tuple[Tensor, FireState]:
    """One step: displacement [M, 3] of all rows, and the next state.

    Args:
        state: as `fire_init` or the previous step left it.
        force: on every row at the present geometry, eV/Å [M, 3].
        owner: system of each row [M].
    """
    velocity, dt, alpha, downhill = state
    uphill = sum_rows(force * velocity, owner, len(dt)) < 0
    back = torch.where(uphill[owner, None], -0.5 * dt[owner, None] * velocity, torch.zeros_like(velocity))

    downhill = torch.where(uphill, torch.zeros_like(downhill), downhill + 1)
    grows = downhill > PATIENCE
    faster = torch.where(grows, (dt * DT_GROW).clamp_max(DT_MAX), dt)
    dt = torch.where(uphill, (dt * DT_SHRINK).clamp_min(DT_MIN), faster)
    alpha = torch.where(uphill, torch.full_like(alpha, ALPHA_START), torch.where(grows, alpha * ALPHA_SHRINK, alpha))

    velocity = torch.where(uphill[owner, None], torch.zeros_like(velocity), velocity) + dt[owner, None] * force
    speed = sum_rows(velocity * velocity, owner, len(dt)).sqrt()
    strength = sum_rows(force * force, owner, len(dt)).sqrt().clamp_min(1e-30)
    mix = alpha[owner, None]
    velocity = (1 - mix) * velocity + mix * (speed / strength)[owner, None] * force

    displacement = limit_rows(dt[owner, None] * velocity + back, owner, len(dt))
    return displacement, FireState(velocity, dt, alpha, downhill)


def sum_rows(values: Tensor, owner: Tensor, n_systems: int) -> Tensor:
    """Sum of all entries of each system's rows, [B]."""
    return values.new_zeros(n_systems).index_add_(0, owner, values.sum(dim=1))


def limit_rows(displacement: Tensor, owner: Tensor, n_systems: int, longest: float = MAX_STEP) -> Tensor:
    """Shrink each system's displacement as a whole until no row moves farther than `longest` Å."""
    length = displacement.norm(dim=1)
    largest = length.new_zeros(n_systems).scatter_reduce_(0, owner, length, "amax")
    return displacement * (longest / largest.clamp_min(longest))[owner, None]
