"""Process figures of a CO2/N2 separation from uptakes and Henry coefficients, with propagated errors.

First-order propagation of independent errors throughout. Definitions as in P. G. Boyd et al., Nature 576, 253
(2019) (working capacity) and Z. Bae, R. Q. Snurr, Angew. Chem. Int. Ed. 50, 11586 (2011) (regenerability).
"""

import math
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
