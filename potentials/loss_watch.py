"""Notices that a training has left the minimum it was in.

A rate too high for what has been learned throws the weights out of their minimum, long into a training that went well:
the loss is finite, below what it was at first, and tens of times what it was a minute ago. The geometric mean of recent
losses shows that; wild single batches hardly move it.
"""

import math
from collections.abc import MutableMapping
from typing import Any

_MEMORY = 0.98  # of the mean, a step: 50 steps
_SETTLED = 50  # steps before it means something
_RISEN = 30.0  # times the lowest: errors more than five times what they were


def has_risen(watched: MutableMapping[str, Any], loss: float) -> bool:
    """Whether recent losses lie far above what they have been; call it once a step.

    Args:
        watched: what to remember between steps, finite numbers; empty at first, emptied once it has risen.
        loss: of this step, finite; over the weight of its growing part where that grows, so that no rise is its doing.
    """
    value = math.log(max(loss, 1e-30))
    steps = watched.get("steps", 0) + 1
    mean = watched.get("mean", value)
    mean = mean + max(1 - _MEMORY, 1 / steps) * (value - mean)
    if mean > watched.get("lowest", math.inf) + math.log(_RISEN):
        watched.clear()
        return True
    watched.update(steps=steps, mean=mean)
    if steps >= _SETTLED:
        watched["lowest"] = min(watched.get("lowest", math.inf), mean)
    return False


def is_settled(watched: MutableMapping[str, Any]) -> bool:
    """Whether recent losses are near the lowest: weights of now are worth going back to."""
    return bool("lowest" in watched and watched["mean"] < watched["lowest"] + math.log(3.0))
