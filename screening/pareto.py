"""Pareto dominance: who is not beaten in everything at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def non_dominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which candidates no other one dominates, in each of many draws at once.

    `a` dominates `b` when it is at least as good in every objective and better in one. Equal candidates do not
    dominate each other.

    Args:
        values: [draws, n, m]; larger is better in every objective; finite.

    Returns:
        [draws, n]; at least one True a draw when n > 0.
    """
    draws, n, _ = values.shape
    front = np.zeros((draws, n), dtype=bool)
    remaining = np.ones((draws, n), dtype=bool)
    # A dominating candidate has the larger sum of ranks (integers: exact), so the remaining one with the largest
    # sum is on the front. Taking it and dropping all it dominates needs as many rounds as the front is long.
    height = rankdata(values, method="dense", axis=1).sum(axis=2) if n else np.zeros((draws, 0))
    every = np.arange(draws)
    while remaining.any():
        best = np.where(remaining, height, -1.0).argmax(axis=1)  # [draws]
        front[every, best] |= remaining[every, best]
        champion = values[every, best][:, None, :]  # [draws, 1, m]
        dominated = (champion >= values).all(axis=2) & (champion > values).any(axis=2)
        # A draw that is done has no champion of its own; what it drops again was dropped before.
        remaining &= ~dominated
        remaining[every, best] = False
    return front


def pareto_fronts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the front each candidate is on: 1 is not dominated, 2 is dominated by front 1 only, and so on.

    Non-dominated sorting (Deb et al., IEEE Trans. Evol. Comput. 6, 182, 2002).

    Args:
        values: [n, m]; larger is better in every objective; finite.

    Returns:
        [n], from 1.
    """
    fronts = np.zeros(len(values), dtype=np.int64)
    number = 0
    while (left := np.flatnonzero(fronts == 0)).size:
        number += 1
        fronts[left[non_dominated(values[None, left])[0]]] = number
    return fronts
