"""Wave vectors of a periodic cell: what Ewald sums run over."""

import numpy as np


def half_space(cell: np.ndarray, k_max: float) -> np.ndarray:
    """Integer indices [n_k, 3] of the wave vectors up to `k_max` (1/Å), one of each pair k and -k, without zero.

    Args:
        cell: [3, 3] Å, rows are vectors. The wave vector of indices m is 2 pi m @ inv(cell).T.
        k_max: 1/Å.
    """
    reach = np.floor(k_max * np.linalg.norm(cell, axis=1) / (2.0 * np.pi)).astype(int)
    ranges = [np.arange(0, reach[0] + 1), np.arange(-reach[1], reach[1] + 1), np.arange(-reach[2], reach[2] + 1)]
    m = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    first = (m[:, 0] > 0) | ((m[:, 0] == 0) & ((m[:, 1] > 0) | ((m[:, 1] == 0) & (m[:, 2] > 0))))
    k = 2.0 * np.pi * m @ np.linalg.inv(cell).T
    return np.asarray(m[first & ((k**2).sum(axis=1) <= k_max**2)])
