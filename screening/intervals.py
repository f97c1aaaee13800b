"""How sure a ranking is: the measured errors carried through it by seeded Monte Carlo."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.pareto import non_dominated

DRAWS = 4000  # a probability is then known to ±0.008 (one standard error, at worst)
LEVEL = 0.90  # of every interval
_CHUNK = 1_000_000  # numbers handled at a time

# Words in the name of a property that cannot be negative; its error is taken as log-normal.
POSITIVE = ("uptake", "selectivity", "henry", "pld", "lcd", "surface", "void", "volume", "density", "parasitic")
SIGNED = ("excess",)  # words that take that back: an excess uptake is negative where the gas outside is denser


@dataclass(frozen=True)
class Spread:
    """What the errors make of each candidate's place; arrays over the n candidates."""

    score_low: NDArray[np.float64]  # [n] 5th percentile of the score
    score_high: NDArray[np.float64]  # [n] 95th
    rank_low: NDArray[np.int64]  # [n] 5th percentile of the rank, 1 is best
    rank_high: NDArray[np.int64]  # [n] 95th
    top_probability: NDArray[np.float64]  # [n] that the rank is at most `top`
    front_probability: NDArray[np.float64]  # [n] that no other candidate dominates


def is_positive(name: str) -> bool:
    """Whether a property is one that physics keeps from being negative, by its name."""
    lowered = name.lower()
    return any(word in lowered for word in POSITIVE) and not any(word in lowered for word in SIGNED)


def draw_values(
    value: float, std: float | None, *, positive: bool, key: Sequence[object], draws: int = DRAWS
) -> NDArray[np.float64]:
    """What a quantity could have been: `draws` samples of it given one standard error.

    Normal with mean `value` and standard deviation `std`; where it cannot be negative, log-normal with the same
    mean and standard deviation (the two agree when the relative error is small); a measured zero of such a
    quantity is normal, cut at zero. Without an error the value is taken as exact.

    Args:
        value: the mean; finite.
        std: one standard error; None, zero, negative or not finite means none is known.
        positive: the quantity cannot be negative.
        key: seeds the stream (campaign seed, candidate id, property), so that a candidate's draws do not depend
            on which others are ranked with it or in which order.
        draws: number of samples.

    Returns:
        [draws]
    """
    if std is None or not np.isfinite(std) or std <= 0:
        return np.full(draws, value)
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    normal = np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest))).standard_normal(draws)
    if not positive:
        return value + std * normal
    if value <= 0:
        return np.maximum(value + std * normal, 0.0)
    variance = np.log1p((std / value) ** 2)  # of the logarithm
    return value * np.exp(np.sqrt(variance) * normal - variance / 2)


def spread(
    samples: NDArray[np.float64],
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    top: int,
    level: float = LEVEL,
) -> Spread:
    """Intervals of score and rank, and the probabilities of the top and of the Pareto front.

    Args:
        samples: [draws, n, m]; larger is better in every objective; candidates in the order in which ties fall.
        score: [..., m] -> [...]; what the ranking sorts by.
        top: how many count as the top.
        level: probability that an interval holds, cut evenly at both ends.
    """
    chunks = np.array_split(samples, max(1, samples.size // _CHUNK))  # the work arrays are larger than the samples
    scores = np.concatenate([score(chunk) for chunk in chunks])  # [draws, n]
    on_front = sum(non_dominated(chunk).sum(axis=0) for chunk in chunks)  # [n]
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    tails = [(1 - level) / 2, (1 + level) / 2]
    score_low, score_high = np.quantile(scores, tails, axis=0)
    rank_low, rank_high = np.quantile(ranks, tails, axis=0, method="inverted_cdf")  # a rank that occurred
    return Spread(
        score_low=score_low,
        score_high=score_high,
        rank_low=rank_low.astype(np.int64),
        rank_high=rank_high.astype(np.int64),
        top_probability=(ranks <= top).mean(axis=0),
        front_probability=np.asarray(on_front / len(samples)),
    )
