"""Measured isotherms as the properties a campaign ranks by: the same names as the computed ones.

An uptake property (`co2_uptake_0.15bar_298K`, `co2_pure_uptake_1bar_298K`) is read off the isotherms of that gas
within `SAME_TEMPERATURE` kelvin; a Henry coefficient (`co2_henry_298K`) is the zero-loading limit of ln(q/p) against q;
a working capacity and a regenerability follow where both uptakes they are made of were measured. Several sources: the
median, and their scatter.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from screening.candidate import Measurement, Property
from screening.experiments.measured_isotherm import MeasuredIsotherm, loading_at
from screening.experiments.record import isotherm_of
from screening.uptake_names import henry_condition, uptake_condition

SAME_TEMPERATURE = 1.0  # K; 298 and 298.15 are one temperature, 298 and 303 are two
MIN_HENRY_POINTS = 4
_HENRY_RANGE = 0.5  # of the largest loading; beyond, ln(q/p) bends

Figure = tuple[float, float | None, str]  # value, standard error, source


def measured_properties(measurements: Sequence[Measurement], computed: Mapping[str, Property]) -> dict[str, Property]:
    """Measured stand-ins of the computed properties, by name.

    Args:
        measurements: all of one candidate.
        computed: what was computed on it; only isotherm figures of these names are derived. Single figures are
            taken whether or not the like was computed.
    """
    isotherms = [found for m in measurements if (found := isotherm_of(m)) is not None]
    measured: dict[str, Property] = {}
    for name, item in computed.items():
        uptake, henry = uptake_condition(name), henry_condition(name)
        if uptake is not None:
            gas, pressure, kelvin = uptake
            figures = [
                (q, _error_at(i, pressure, q), i.source)
                for i in _fitting(isotherms, gas, kelvin)
                if (q := loading_at(i, pressure)) is not None
            ]
            note = "pure gas; the computed figure is from the mixture" if "from the mixture" in item.method else ""
            if figures:
                measured[name] = _property(name, figures, item.unit, "measured isotherm", note)
        elif henry is not None:
            slopes = [(*k, i.source) for i in _fitting(isotherms, *henry) if (k := henry_of_isotherm(i)) is not None]
            if slopes:
                measured[name] = _property(name, slopes, item.unit, "measured isotherm, ln(q/p) at zero loading", "")
    measured |= _cycle_figures(measured, computed)
    return measured | _single_figures(measurements)


def henry_of_isotherm(isotherm: MeasuredIsotherm) -> tuple[float, float | None] | None:
    """(Henry coefficient in mol/(kg Pa), its standard error) by extrapolating ln(q/p) to zero loading.

    The virial form ln(q/p) = ln K + A1 q + ... (as used since R. M. Barrer), over loadings up to half the largest. None
    with fewer than `MIN_HENRY_POINTS` points there, or when they tell no slope.
    """
    p, q = isotherm.pressure, isotherm.loading
    use = (p > 0) & (q > 0) & (q <= _HENRY_RANGE * q.max())
    if use.sum() < MIN_HENRY_POINTS or np.ptp(q[use]) <= 0:
        return None
    x, y = q[use], np.log(q[use] / p[use])
    design = np.stack([np.ones_like(x), x], axis=1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ solution
    variance = residual @ residual / (len(x) - 2)
    log_std = math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    value = math.exp(solution[0])
    return (value, value * log_std) if math.isfinite(value) and math.isfinite(log_std) else None


def _fitting(isotherms: Sequence[MeasuredIsotherm], gas: str, kelvin: float) -> list[MeasuredIsotherm]:
    return [i for i in isotherms if i.gas.lower() == gas and abs(i.temperature - kelvin) <= SAME_TEMPERATURE]


def _error_at(isotherm: MeasuredIsotherm, pressure: float, loading: float) -> float | None:
    """The relative error of the nearest point, carried to `loading`."""
    if isotherm.loading_std is None:
        return None
    near = int(np.abs(isotherm.pressure - pressure).argmin())
    std, point = float(isotherm.loading_std[near]), float(isotherm.loading[near])
    return std / point * loading if math.isfinite(std) and std >= 0 and point > 0 else None


def _property(name: str, figures: Sequence[Figure], unit: str, how: str, note: str) -> Property:
    value, std = _combined(figures)
    sources = sorted({source for *_, source in figures})
    shown = ", ".join(sources[:4]) + (f" and {len(sources) - 4} more" if len(sources) > 4 else "")
    many = f", median of {len(figures)}" if len(figures) > 1 else ""
    return Property(name, value, unit, std, f"{how}{many}; {shown}", note, "measured")


def _combined(figures: Sequence[Figure]) -> tuple[float, float | None]:
    """Median and its standard error: the scatter between figures, or, of a single one, its own error."""
    values = np.array([value for value, *_ in figures])
    middle = float(np.median(values))
    if len(values) == 1:
        return middle, figures[0][1]
    scatter = 1.4826 * float(np.median(np.abs(values - middle)))  # of one figure, as if normal
    return middle, 1.2533 * scatter / math.sqrt(len(values))  # the median's error is 1.25 times the mean's


def _cycle_figures(measured: Mapping[str, Property], computed: Mapping[str, Property]) -> dict[str, Property]:
    """Working capacity and regenerability from measured uptakes, where the computed ones show which two they are of."""
    capacity = computed.get("vsa_working_capacity")
    if capacity is None or capacity.value is None:
        return {}
    names = [name for name in computed if name.startswith("co2_uptake_") and computed[name].value is not None]
    for adsorbed in names:
        for desorbed in names:
            difference = (computed[adsorbed].value or 0.0) - (computed[desorbed].value or 0.0)
            if adsorbed == desorbed or not math.isclose(difference, capacity.value, rel_tol=1e-6, abs_tol=1e-9):
                continue
            high, low = measured.get(adsorbed), measured.get(desorbed)
            if high is None or low is None or high.value is None or low.value is None:
                return {}
            std = math.hypot(high.std or 0.0, low.std or 0.0) or None
            method = f"from measured uptakes; {high.method}"
            found = {
                "vsa_working_capacity": Property(
                    "vsa_working_capacity", high.value - low.value, capacity.unit, std, method, high.note, "measured"
                )
            }
            share = computed.get("regenerability")
            if share is not None and high.value > 0:
                error = None if std is None else 100.0 * std / high.value
                found["regenerability"] = Property(
                    "regenerability", 100.0 * (1 - low.value / high.value), "%", error, method, high.note, "measured"
                )
            return found
    return {}


def _single_figures(measurements: Sequence[Measurement]) -> dict[str, Property]:
    figures: dict[str, list[Figure]] = {}
    about: dict[str, tuple[str, str]] = {}
    for item in measurements:
        data = item.data
        if data.get("type") == "figure":
            figures.setdefault(data["name"], []).append((float(data["value"]), data["std"], item.source))
            about.setdefault(data["name"], (data["unit"], data["method"]))
    return {
        name: _property(name, values, about[name][0], f"measured{f' ({about[name][1]})' if about[name][1] else ''}", "")
        for name, values in figures.items()
    }
