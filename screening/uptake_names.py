"""State points read off property names: `co2_uptake_0.15bar_298K`, `co2_pure_uptake_0.05bar_298K`, `co2_henry_298K`."""

import re

_UPTAKE = re.compile(r"([a-z0-9]+?)(?:_pure)?_uptake_([0-9.]+(?:e[-+]?\d+)?)bar_([0-9.]+)K")
_HENRY = re.compile(r"([a-z0-9]+)_henry_([0-9.]+)K")


def uptake_condition(name: str) -> tuple[str, float, float] | None:
    """(gas in lower case, pressure in Pa, temperature in K) of an uptake property; None for any other."""
    match = _UPTAKE.fullmatch(name)
    return None if match is None else (match[1], float(match[2]) * 1e5, float(match[3]))


def henry_condition(name: str) -> tuple[str, float] | None:
    """(gas in lower case, temperature in K) of a Henry coefficient; None for any other property."""
    match = _HENRY.fullmatch(name)
    return None if match is None else (match[1], float(match[2]))
