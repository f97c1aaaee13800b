"""What a ranking's objectives would have been with another model, from that model's Henry coefficients.

An ensemble member measures Henry coefficients only (seconds); the objectives are often uptakes at a pressure (minutes).
A member's uptake is estimated from the campaign's own through a Langmuir isotherm: with the computed uptake q at
pressure p and the computed Henry coefficient K, the saturation q_s follows from q = q_s K p / (q_s + K p), and the
member's uptake is that expression with the member's K. Where q >= K p (still in the Henry regime, or gathering), the
uptake is scaled with K. At another temperature the ratio of Henry coefficients is taken to come from an energy,
r(T2) = r(T1)^(T1/T2). Selectivities scale with the ratio of the two gases' ratios, as of Langmuir mixtures with one
saturation. What the objective is made of is estimated, never the Monte Carlo again: an estimate of how far the model
moves a candidate, not a result with that model.
"""

import math
from collections.abc import Mapping

from screening.candidate import Property
from screening.uptake_names import henry_condition, uptake_condition

_LARGEST_RATIO = 1e4  # of Henry coefficients; beyond, one of the models says that the gas does not fit


def transferred(
    name: str, computed: Mapping[str, Property], member: Mapping[str, Property]
) -> tuple[float, float | None] | None:
    """(value, standard error) of the property `name` with the member's model; None where it cannot be told.

    Args:
        name: of an objective.
        computed: the campaign's own properties of the candidate.
        member: the member's, under plain names.
    """
    direct = member.get(name)
    if direct is not None:
        return None if direct.value is None else (direct.value, direct.std)
    own = computed.get(name)
    if own is None or own.value is None:
        return None
    ratios = _henry_ratios(computed, member)
    if not ratios:
        return None
    if uptake_condition(name) is not None:
        value = _uptake(name, computed, ratios)
        return None if value is None else (value, _scaled(own, value))
    if name in ("vsa_working_capacity", "regenerability"):
        return _cycle(name, own, computed, ratios)
    if name == "co2_n2_selectivity" and {"co2", "n2"} <= ratios.keys():
        value = own.value * ratios["co2"][0] / ratios["n2"][0]
        return value, _scaled(own, value)
    return None


def is_touched(name: str) -> bool:
    """Whether another model could move the property at all: pore sizes and relaxations are none of its business."""
    return any(word in name for word in ("uptake", "henry", "selectivity", "working_capacity", "regenerability"))


def _henry_ratios(
    computed: Mapping[str, Property], member: Mapping[str, Property]
) -> dict[str, tuple[float, float, float]]:
    """Gas -> (member's over own Henry coefficient, temperature in K, own Henry coefficient)."""
    ratios = {}
    for name, theirs in member.items():
        condition, own = henry_condition(name), computed.get(name)
        if condition is None or own is None or not own.value or not theirs.value or own.value <= 0 or theirs.value <= 0:
            continue
        ratio = theirs.value / own.value
        if 1 / _LARGEST_RATIO < ratio < _LARGEST_RATIO:
            ratios[condition[0]] = (ratio, condition[1], own.value)
    return ratios


def _uptake(
    name: str, computed: Mapping[str, Property], ratios: Mapping[str, tuple[float, float, float]]
) -> float | None:
    condition, own = uptake_condition(name), computed[name].value
    if condition is None or own is None or condition[0] not in ratios or own < 0:
        return None
    gas, pressure, temperature = condition
    ratio, kelvin, coefficient = ratios[gas]
    ratio = ratio ** (kelvin / temperature)
    # the saturation is that of the temperature at which K is known; at another one K is not, and the isotherm is
    # nearly straight there (desorption is hot and at low pressure): scaled
    if abs(temperature - kelvin) > 1.0 or own >= coefficient * pressure:
        return own * ratio
    inverse_saturation = 1.0 / own - 1.0 / (coefficient * pressure) if own > 0 else math.inf
    return 1.0 / (inverse_saturation + 1.0 / (ratio * coefficient * pressure)) if own > 0 else 0.0


def _cycle(
    name: str,
    own: Property,
    computed: Mapping[str, Property],
    ratios: Mapping[str, tuple[float, float, float]],
) -> tuple[float, float | None] | None:
    """Working capacity or regenerability, from the two uptakes whose difference the computed one is."""
    pair = cycle_uptakes(computed)
    if pair is None:
        return None
    high, low = (_uptake(uptake, computed, ratios) for uptake in pair)
    if high is None or low is None:
        return None
    if name == "vsa_working_capacity":
        return high - low, _scaled(own, high - low)
    return (100.0 * (1.0 - low / high), own.std) if high > 0 else None


def cycle_uptakes(computed: Mapping[str, Property]) -> tuple[str, str] | None:
    """Names of the CO2 uptakes at adsorption and desorption: those whose difference is the working capacity."""
    capacity = computed.get("vsa_working_capacity")
    if capacity is None or capacity.value is None:
        return None
    values = {n: p.value for n, p in computed.items() if n.startswith("co2_uptake_") and p.value is not None}
    for high, high_value in values.items():
        for low, low_value in values.items():
            if high != low and math.isclose(high_value - low_value, capacity.value, rel_tol=1e-6, abs_tol=1e-9):
                return high, low
    return None


def _scaled(own: Property, value: float) -> float | None:
    """The relative error of the campaign's own figure, kept."""
    if own.std is None or not own.value:
        return own.std
    return abs(own.std * value / own.value)
