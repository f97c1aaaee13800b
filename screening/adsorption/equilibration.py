"""Where a Monte Carlo run stopped drifting, and how many independent samples it holds after that.

J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016): of all places where production could begin, the one that
leaves the most independent samples. A transient inflates the autocorrelation of what is kept, so dropping it pays;
dropping equilibrated cycles does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CANDIDATES = 40  # places tried, evenly spread over the first 95 % of the run
_FEWEST = 5  # values below which nothing is said about correlation


@dataclass(frozen=True)
class Equilibrium:
    """What a run's series say of it."""

    start: float  # share of the run to discard, 0 to 1
    samples: float  # independent samples in the rest, of the series that has the fewest

    def enough(self, samples: float) -> bool:
        """True when at least half the run is equilibrated and holds so many independent samples."""
        return self.start <= 0.5 and self.samples >= samples


def statistical_inefficiency(series: np.ndarray) -> float:
    """g = 1 + 2 tau, the number of successive values that are worth one independent one; at least 1.

    The autocorrelation is summed to where a pair of neighbouring lags adds up to nothing (C. J. Geyer,
    Statistical Science 7, 473 (1992)). A series that never changes is worth one value: the run is stuck; unless it
    is zero throughout, which is an answer.

    Args:
        series: [n] values in the order they were taken.
    """
    values = np.asarray(series, dtype=float)
    values = values - values.mean()
    n = len(values)
    variance = float(values @ values) / max(n, 1)
    scale = max(1.0, float(np.abs(series).max())) if n else 1.0
    if n < _FEWEST:
        return 1.0
    if variance <= (1e-12 * scale) ** 2:
        return float(n) if np.any(series) else 1.0
    transform = np.fft.rfft(values, 2 * n)  # padded: no wrapping around
    correlation = np.fft.irfft(transform * np.conj(transform))[:n] / (variance * n)
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)  # lags (0, 1), (2, 3), ...
    ends = np.flatnonzero(pairs <= 0.0)
    kept = pairs[: ends[0]] if len(ends) else pairs
    return float(min(max(2.0 * kept.sum() - 1.0, 1.0), n))


def detect_equilibrium(series: Sequence[np.ndarray]) -> Equilibrium:
    """Where production begins, and what is left.

    Args:
        series: one or more quantities over the same run, each [n_i], sampled as often as it was.

    Returns:
        The latest start that any of them asks for, and the fewest independent samples any has from there.
    """
    start = max((_best_start(values) for values in series), default=0.0)
    samples = [
        len(kept) / statistical_inefficiency(kept) for kept in (after(values, start) for values in series) if len(kept)
    ]
    return Equilibrium(start, min(samples, default=0.0))


def after(series: np.ndarray, start: float) -> np.ndarray:
    """What of a series lies after a share of the run."""
    return series[int(np.ceil(start * len(series) - 1e-9)) :]


def mean_and_error(series: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """(mean, one standard error) of an equilibrated, correlated series.

    Args:
        series: [n] values.
        weights: [n] how much each counts; None: all the same.
    """
    n = len(series)
    if n < 2:
        return float(np.mean(series)) if n else 0.0, float("inf")
    share = np.ones(n) if weights is None else weights / weights.mean()
    mean = float((share * series).mean())
    away = share * (series - mean)  # whose mean is what the mean is off by, to first order
    return mean, float(away.std(ddof=1) * np.sqrt(statistical_inefficiency(away) / n))


def _best_start(series: np.ndarray) -> float:
    best, most = 0.0, -1.0
    for share in np.linspace(0.0, 0.95, _CANDIDATES):
        kept = after(series, share)
        if len(kept) < _FEWEST:
            break
        samples = len(kept) / statistical_inefficiency(kept)
        if samples > most:
            best, most = float(share), samples
    return best
