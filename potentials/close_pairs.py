"""Close pairs of one system, without the seconds torch takes to import: what the geometry gate needs."""

import numpy as np
import vesin


def close_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices i, j and distances of all pairs of one system closer than `cutoff` Å, each pair once."""
    finder = vesin.NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
    first, second, distances = finder.compute(positions, periodic_rows(cell, pbc), pbc, "ijd")
    return first.astype(np.int64), second.astype(np.int64), distances


def periodic_rows(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with every non-periodic row zeroed: vesin ignores them, and they need not be sound."""
    return np.where(np.asarray(pbc, dtype=bool)[:, None], cell, 0.0)
