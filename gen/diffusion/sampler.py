"""The outline of every sampler: predictor steps along a time grid, corrector steps in between."""

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

State = TypeVar("State")


def predictor_corrector(
    state: State,
    times: list[float],
    predict: Callable[[State, int, float, float], State],
    correct: Callable[[State, int, float], State] | None = None,
) -> Iterator[State]:
    """Run the reverse process, yielding the state after each time of the grid (Song et al. 2021, Algorithm 1).

    Args:
        state: sample of the prior at times[0].
        times: falling, ending at 0.
        predict: (state, step, t, t_next) -> state at t_next.
        correct: (state, step, t) -> state at the same t; not called at t = 0, where there is no noise left.
    """
    for step, (t, t_next) in enumerate(itertools.pairwise(times)):
        state = predict(state, step, t, t_next)
        if correct is not None and t_next > 0:
            state = correct(state, step, t_next)
        yield state
