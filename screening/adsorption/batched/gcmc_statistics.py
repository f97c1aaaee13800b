"""What a trace of a grand-canonical run says: where equilibrium begins, means and their errors, heats."""

import math

import numpy as np

from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.raspa import cycle_lengths

BLOCKS = 20
REPLICAS = 4  # independent runs of a state point, half of them from empty and half from full pores


def sampling_error(trace: np.ndarray) -> np.ndarray:
    """Standard error [c] of the means of replicas joined end to end [n, c].

    The larger of the block error and the spread between replicas, which alone knows of what no replica crossed.
    """
    means = trace.reshape(REPLICAS, -1, trace.shape[1]).mean(axis=1)
    between = means.std(axis=0, ddof=1) / math.sqrt(REPLICAS)
    return np.asarray(np.maximum(block_error(trace), between))


def equilibrated(trace: np.ndarray) -> int:
    """Samples to discard: where the squared standard error of the rest is least (MSER; K. P. White, 1997).

    At most half of the trace [n] is discarded.
    """
    groups = trace[: len(trace) // 5 * 5].reshape(-1, 5).mean(axis=1)
    n = len(groups)
    tail_sum, tail_square = np.cumsum(groups[::-1])[::-1], np.cumsum(groups[::-1] ** 2)[::-1]
    left = n - np.arange(n)
    error = (tail_square - tail_sum**2 / left) / left**2
    return int(np.argmin(error[: n // 2 + 1])) * 5


def block_error(trace: np.ndarray) -> np.ndarray:
    """Standard error [c] of the means of a correlated trace [n, c], from `BLOCKS` block averages.

    The larger of that and the error from half as many blocks of double length, which differ where blocks correlate.
    """
    length = len(trace) // BLOCKS
    blocks = trace[len(trace) - BLOCKS * length :].reshape(BLOCKS, length, -1).mean(axis=1)
    pairs = 0.5 * (blocks[::2] + blocks[1::2])
    errors = [each.std(axis=0, ddof=1) / math.sqrt(len(each)) for each in (blocks, pairs)]
    return np.asarray(np.maximum(*errors))


def cycle_weights(counts: np.ndarray) -> np.ndarray:
    """Weights [n], of mean 1, that turn averages over moves into those over RASPA's cycles of max(20, N) moves.

    A sample a cycle comes the more seldom the more molecules are in the box. This is the limit of a box that changes
    little within a cycle; figures published as means over cycles are met with it.

    Args:
        counts: molecules [n, c] in the box.
    """
    weights = 1.0 / cycle_lengths(counts)
    return np.asarray(weights / weights.mean())


def weighted_mean(trace: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means [c] of a trace [n, c] under weights [n] of mean 1, and a trace whose plain mean and errors are theirs."""
    mean = (weights[:, None] * trace).mean(axis=0)
    return mean, mean + weights[:, None] * (trace - mean)


def heats_of(
    trace: np.ndarray, components: int, temperature: float, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Isosteric heats [c] (kJ/mol) from fluctuations and standard errors by the jackknife over blocks.

    With `weights` [n], of mean 1, every sample counts as much as its own.
    """
    length = len(trace) // BLOCKS
    start = len(trace) - BLOCKS * length
    blocks = trace[start:].reshape(BLOCKS, length, -1)
    share = np.ones((BLOCKS, length)) if weights is None else weights[start:].reshape(BLOCKS, length)
    numbers, energy = blocks[..., :components], blocks[..., components:].sum(axis=2)
    w = share.mean(axis=1)
    n = np.einsum("bt,bti->bi", share, numbers) / length
    u = (share * energy).mean(axis=1)
    nn = np.einsum("bt,bti,btj->bij", share, numbers, numbers) / length
    un = np.einsum("bt,bt,bti->bi", share, energy, numbers) / length

    def heat(keep: np.ndarray) -> np.ndarray:
        all_w = w[keep].mean()
        mean_n, mean_u = n[keep].mean(axis=0) / all_w, u[keep].mean() / all_w
        spread = nn[keep].mean(axis=0) / all_w - np.outer(mean_n, mean_n)
        cross = un[keep].mean(axis=0) / all_w - mean_u * mean_n
        try:
            slope = np.linalg.solve(spread, cross)
        except np.linalg.LinAlgError:
            slope = np.full(components, np.nan)
        return np.asarray((temperature - slope) * GAS_CONSTANT / 1000.0)

    everything = np.arange(BLOCKS)
    left_out = np.array([heat(np.delete(everything, i)) for i in everything])
    std = np.sqrt((BLOCKS - 1) / BLOCKS * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    return heat(everything), std
