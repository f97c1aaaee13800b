"""Process figures of a separation from uptakes and Henry coefficients, with propagated errors.

First-order propagation of independent errors throughout. Definitions as in P. G. Boyd et al., Nature 576, 253
(2019) (working capacity) and Y.-S. Bae, R. Q. Snurr, Angew. Chem. Int. Ed. 50, 11586 (2011) (regenerability);
adsorbent performance score as in Y. G. Chung et al., Sci. Adv. 2, e1600909 (2016).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from potentials.errors import InputError


@dataclass(frozen=True)
class Measured:
    """A number and its standard error, in one unit."""

    value: float
    std: float


def ratio(numerator: Measured, denominator: Measured) -> Measured | None:
    """a / b with its error; None when the denominator is not above zero."""
    if not denominator.value > 0.0:
        return None
    value = numerator.value / denominator.value
    return Measured(value, math.hypot(numerator.std, value * denominator.std) / denominator.value)


def selectivity(first: Measured, second: Measured, first_fraction: float) -> Measured | None:
    """(q1/q2) / (y1/y2) of a binary mixture; None when none of the second gas is adsorbed.

    Args:
        first, second: uptakes from the mixture, mol/kg.
        first_fraction: mole fraction of the first gas in the gas phase.

    Raises:
        InputError: the fraction is not between 0 and 1.
    """
    if not 0.0 < first_fraction < 1.0:
        raise InputError(f"mole fraction {first_fraction} is not between 0 and 1: give that of a binary mixture")
    loading_ratio = ratio(first, second)
    if loading_ratio is None:
        return None
    feed_ratio = first_fraction / (1.0 - first_fraction)
    return Measured(loading_ratio.value / feed_ratio, loading_ratio.std / feed_ratio)


def working_capacity(adsorbed: Measured, desorbed: Measured) -> Measured:
    """Uptake at the adsorption point less uptake at the desorption point, mol/kg."""
    return Measured(adsorbed.value - desorbed.value, math.hypot(adsorbed.std, desorbed.std))


def regenerability(adsorbed: Measured, desorbed: Measured) -> Measured | None:
    """Share of the adsorbed gas that desorption gives back, %; None when nothing was adsorbed."""
    remaining = ratio(desorbed, adsorbed)
    return None if remaining is None else Measured(100.0 * (1.0 - remaining.value), 100.0 * remaining.std)


def product(first: Measured, second: Measured) -> Measured:
    """a b with its error."""
    return Measured(first.value * second.value, math.hypot(first.std * second.value, second.std * first.value))


def performance_score(selectivity: Measured, capacity: Measured) -> Measured:
    """Adsorbent performance score, APS = S x WC, mol/kg."""
    return product(selectivity, capacity)


def purity(target: Measured, others: Sequence[Measured]) -> Measured | None:
    """Mole fraction of the target in what a cycle yields; None when it yields none of it.

    Args:
        target: working capacity of the target, mol/kg.
        others: those of the other gases; a negative one (more is held after regeneration) counts as none.
    """
    if not target.value > 0.0:
        return None
    rest = sum(max(other.value, 0.0) for other in others)
    rest_std = math.hypot(*(other.std for other in others)) if others else 0.0
    total = target.value + rest
    # d(t / (t + r)) = (r dt - t dr) / (t + r)^2
    return Measured(target.value / total, math.hypot(rest * target.std, target.value * rest_std) / total**2)


def sample(values: Sequence[float], value: float) -> Measured:
    """A value with the standard deviation of what it could have been."""
    finite = [x for x in values if math.isfinite(x)]
    mean = sum(finite) / len(finite) if finite else value
    spread = sum((x - mean) ** 2 for x in finite) / (len(finite) - 1) if len(finite) > 1 else 0.0
    return Measured(value, math.sqrt(spread))
