"""Isotherms moved to another temperature by the Clausius-Clapeyron relation.

At constant loading d ln p / d(1/T) = -q_st / R with the isosteric heat q_st (positive when adsorption releases heat),
so that the pressure that gives a loading q at T is

    p(q, T) = p(q, T0) exp(-q_st(q)/R (1/T - 1/T0)).

The heat is taken as independent of temperature. Over 100 K that neglects some kJ/mol (heat capacities), which moves
pressures by some ten per cent; simulate at the other temperature where that matters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potentials.errors import InputError
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.isotherms import Interpolated, Isotherm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shifted:
    """An isotherm whose pressures are all multiplied by one factor."""

    isotherm: Isotherm
    factor: float  # pressure here over pressure there, at one loading

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.isotherm.henry_coefficient / self.factor

    @property
    def largest_pressure(self) -> float:
        """Pa."""
        return self.isotherm.largest_pressure * self.factor

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        return self.isotherm.loading(np.asarray(pressure, dtype=float) / self.factor)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """mol/kg; d ln p is the same at both temperatures."""
        return self.isotherm.spreading_pressure(np.asarray(pressure, dtype=float) / self.factor)


def pressure_factor(heat: ArrayLike, reference: float, temperature: float) -> Array:
    """p(T)/p(T0) at one loading.

    Args:
        heat: isosteric heat, kJ/mol, positive when adsorption releases heat; any shape.
        reference: T0, K.
        temperature: T, K.

    Raises:
        InputError: a temperature that is not above 0.
    """
    for value in (reference, temperature):
        if not (np.isfinite(value) and value > 0.0):
            raise InputError(f"temperature {value} K is not above 0: give it in kelvin")
    return np.exp(-np.asarray(heat, dtype=float) * 1e3 / GAS_CONSTANT * (1.0 / temperature - 1.0 / reference))


def at_temperature(isotherm: Isotherm, heat: float, reference: float, temperature: float) -> Isotherm:
    """The isotherm at another temperature when the heat (kJ/mol) does not depend on the loading."""
    if temperature == reference:
        return isotherm
    return Shifted(isotherm, float(pressure_factor(heat, reference, temperature)))


def points_at_temperature(
    pressures: ArrayLike, loadings: ArrayLike, heats: ArrayLike, reference: float, temperature: float
) -> Interpolated:
    """The isotherm through points with a heat each, at another temperature; constant beyond the last point.

    Args:
        pressures: [n] Pa at `reference`, rising.
        loadings: [n] mol/kg.
        heats: [n] or one, kJ/mol.
        reference, temperature: K.

    Raises:
        InputError: heats that fall so steeply with loading that the shifted pressures do not rise any more.
    """
    p = np.asarray(pressures, dtype=float)
    shifted = p * pressure_factor(np.broadcast_to(np.asarray(heats, dtype=float), p.shape), reference, temperature)
    if (np.diff(shifted) <= 0.0).any():
        where = int(np.argmax(np.diff(shifted) <= 0.0)) + 1
        raise InputError(
            f"heats fall so steeply at point {where + 1} that the isotherm turns back at {temperature:g} K: "
            "smooth the heats, or give one for all points"
        )
    return Interpolated(shifted, np.asarray(loadings, dtype=float), saturates=True)


def isosteric_heat(cold: Isotherm, warm: Isotherm, temperatures: tuple[float, float], loadings: ArrayLike) -> Array:
    """Isosteric heat (kJ/mol) from isotherms at two temperatures, at given loadings (mol/kg).

    Raises:
        InputError: two equal temperatures, or a loading that one of the isotherms does not reach below 1e9 Pa.
    """
    t_cold, t_warm = temperatures
    if t_cold == t_warm:
        raise InputError(f"both isotherms are at {t_cold:g} K: heats need two temperatures")
    wanted = np.atleast_1d(np.asarray(loadings, dtype=float))
    logs = [np.log([_pressure_of_loading(isotherm, q) for q in wanted]) for isotherm in (cold, warm)]
    return -GAS_CONSTANT * 1e-3 * (logs[1] - logs[0]) / (1.0 / t_warm - 1.0 / t_cold)


def _pressure_of_loading(isotherm: Isotherm, loading: float) -> float:
    from scipy.optimize import brentq

    low, high = np.log(1e-12), np.log(min(isotherm.largest_pressure, 1e9))
    if not isotherm.loading(np.exp(low)) < loading < isotherm.loading(np.exp(high)):
        raise InputError(f"an isotherm never reaches {loading:g} mol/kg: ask for smaller loadings")
    return float(np.exp(brentq(lambda x: float(isotherm.loading(np.exp(x))) - loading, low, high, xtol=1e-12)))
