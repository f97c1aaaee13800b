"""Times on a shared machine: process time, and the least of many."""

import time
from collections.abc import Callable


def least_seconds(call: Callable[[], object], repeats: int = 15) -> float:
    """Least process time of `repeats` calls, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times[2:])
