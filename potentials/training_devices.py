"""One training on several devices: each batch is shared out, and the loss stays that of the whole batch.

Lightning starts one process a device and averages their gradients (DDP). Plain means would weigh a device's few atoms
as another's many; `batch_mean` divides by the counts of the whole batch instead, so that the averaged gradient is that
of one device, to rounding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, distributed


def device_count() -> int:
    """Processes that train together; 1 before they have met."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device_rank() -> int:
    """This process among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first_process() -> bool:
    """Whether this process writes files and talks to the user; known before the processes meet."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


def share_of(batch: Sequence[int], rank: int, count: int) -> list[int]:
    """Every `count`-th frame of a batch from `rank` on; one stand-in (see `is_idle`) where there are fewer frames."""
    return list(batch[rank::count]) or list(batch[:1])


def is_idle(batch_size: int) -> bool:
    """Whether a batch of so many frames leaves nothing for this device but a stand-in that must not count."""
    return device_rank() >= batch_size


def batch_mean(values: Tensor, idle: bool = False) -> Tensor:
    """Mean over all devices' values, scaled so that DDP's average of gradients is the gradient of this mean.

    Every device must call it equally often; one that is idle, or has no values, adds nothing. Zero if nobody has any.
    """
    if device_count() == 1:
        return values.mean() if values.numel() else values.sum()
    count = torch.tensor(0 if idle else values.numel(), device=values.device)
    distributed.all_reduce(count)
    share = values.sum() * (0.0 if idle else 1.0)
    return share * device_count() / count.clamp(min=1)


def device_mean(value: Tensor) -> float:
    """Mean of one number over the devices."""
    if device_count() == 1:
        return value.item()
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total.item() / device_count()


def from_first(value: float, device: torch.device) -> float:
    """The first device's number: clocks differ, and schedules that follow them must not."""
    if device_count() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(shared, 0)
    return shared.item()


def gathered(value: Any) -> list[Any]:
    """What every device holds, in order of rank; numbers and dictionaries of them."""
    if device_count() == 1:
        return [value]
    values: list[Any] = [None] * device_count()
    distributed.all_gather_object(values, value)
    return values
