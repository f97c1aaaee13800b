"""What errors of partial charges do to a guest in the pores: a loss on energies of poses and on the Henry coefficient.

The energy of a rigid guest in a pose k is linear in the charges of the host. With the operator B_kj, the energy in kT
per elementary charge on the distinct atom j and all atoms equivalent to it, charges off by dq change the energy of the
pose by dU_k = sum_j B_kj dq_j. With p_k the share of the pose in the Henry coefficient at the true charges, the
coefficient changes by

    ln(K / K_ref) = ln sum_k p_k exp(-dU_k)

(R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954)), exact as the poses become many. A constant shift of the potential,
which a neutral guest does not feel, is no part of B.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GuestPoses:
    """Poses of a guest in one host, K of them, over its N distinct atoms."""

    operator: Tensor  # [K, N] 1/e: energy in kT per charge of a distinct atom and its equivalents
    log_share: Tensor  # [K] log of each pose's share in the Henry coefficient at the reference charges; shares sum to 1


def energy_changes(poses: GuestPoses, charge_error: Tensor) -> Tensor:
    """Change [K] (kT) of the energy of each pose when the charges [N] (e) are off by `charge_error`."""
    return poses.operator @ charge_error


def log_henry_change(poses: GuestPoses, charge_error: Tensor) -> Tensor:
    """ln(K / K_ref) when the charges [N] (e) are off by `charge_error`; differentiable."""
    return torch.logsumexp(poses.log_share - energy_changes(poses, charge_error), dim=0)
