"""Ideal adsorbed solution theory: what a mixture puts into the pores, from the isotherms of the pure gases.

A. L. Myers, J. M. Prausnitz, AIChE J. 11, 121 (1965). Every gas i is adsorbed as if pure at its own pressure p_i0 at
which all spreading pressures agree; Raoult's law y_i P = x_i p_i0 ties them to the gas phase, and
1/q_total = sum_i x_i / q_i(p_i0). One number, the common spreading pressure psi, remains: sum_i y_i P / p_i0(psi) = 1.
It is bracketed by the smallest and largest psi_i(P), and the sum is convex and falling in psi, so that a Newton step
from below never overshoots. Any number of gases and any number of state points at once.

Pressures may be fugacities throughout, if the isotherms are given in fugacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potentials.errors import InputError
from screening.adsorption.isotherms import Isotherm, require_henry_limit

Array = NDArray[np.float64]

TOLERANCE = 1e-10  # relative, of pressures
MAX_STEPS = 200


@dataclass(frozen=True)
class Mixture:
    """An adsorbed mixture and the gas above it; the last axis is over the gases."""

    loadings: Array  # [..., n] mol/kg
    gas_fractions: Array  # [..., n]
    adsorbed_fractions: Array  # [..., n]
    pure_pressures: Array  # [..., n] Pa, at which each pure gas has the mixture's spreading pressure
    spreading_pressure: Array  # [...] mol/kg, reduced

    @property
    def total(self) -> Array:
        """All molecules, mol/kg [...]."""
        return self.loadings.sum(axis=-1)

    def selectivity(self, first: int = 0, second: int = 1) -> Array:
        """(x_1/x_2) / (y_1/y_2) [...]."""
        x, y = self.adsorbed_fractions, self.gas_fractions
        return (x[..., first] / x[..., second]) / (y[..., first] / y[..., second])


def iast(isotherms: Sequence[Isotherm], partial_pressures: ArrayLike) -> Mixture:
    """Loadings of every gas of a mixture.

    Args:
        isotherms: one a gas.
        partial_pressures: [..., n] Pa (or fugacities); zero for a gas that is not there.

    Raises:
        InputError: a negative pressure, a model without a Henry limit, or one that ends below the pressure needed.
    """
    partial = _checked(isotherms, partial_pressures, "partial pressures")
    shape = partial.shape
    partial = partial.reshape(-1, shape[-1])
    total = partial.sum(axis=1)
    present = partial > 0.0
    at_total = np.stack([_spreading(isotherm, total) for isotherm in isotherms], axis=1)
    low = np.where(present, at_total, np.inf).min(axis=1)
    high = np.where(present, at_total, -np.inf).max(axis=1)
    psi = low.copy()
    pure = np.repeat(total[:, None], shape[-1], axis=1)
    for _ in range(MAX_STEPS):
        pure = _pure_pressures(isotherms, psi, pure, present)
        shares = partial / pure
        excess = shares.sum(axis=1) - 1.0
        low, high = np.where(excess >= 0.0, psi, low), np.where(excess < 0.0, psi, high)
        done = (np.abs(excess) < TOLERANCE) | (high - low <= 1e-14 * high)
        if done.all():
            break
        loadings = _each_loading(isotherms, pure)
        step = excess / np.where(present, shares / loadings, 0.0).sum(axis=1)
        newton = psi + step
        inside = (newton >= low) & (newton <= high * (1.0 + 1e-12))
        psi = np.where(done, psi, np.where(inside, newton, 0.5 * (low + high)))
    else:
        raise InputError("the mixture equations did not converge: check that the isotherms rise with pressure")
    adsorbed = shares / shares.sum(axis=1, keepdims=True)
    return _mixture(isotherms, adsorbed, partial / total[:, None], pure, psi, shape)


def reverse_iast(isotherms: Sequence[Isotherm], adsorbed_fractions: ArrayLike, pressure: ArrayLike) -> Mixture:
    """The gas that stands above an adsorbed mixture of known composition at a total pressure.

    Solves sum_i x_i p_i0(psi) = P for the common spreading pressure; y_i = x_i p_i0 / P.

    Args:
        isotherms: one a gas.
        adsorbed_fractions: [..., n], summing to one.
        pressure: [...] Pa, of the gas mixture.

    Raises:
        InputError: fractions that do not sum to one, a pressure that is not positive, or as `iast` does.
    """
    x = _checked(isotherms, adsorbed_fractions, "adsorbed fractions")
    if (np.abs(x.sum(axis=-1) - 1.0) > 1e-6).any():
        raise InputError(f"adsorbed fractions {x.tolist()} do not sum to 1: give one a gas")
    total = np.broadcast_to(np.asarray(pressure, dtype=float), x.shape[:-1]).reshape(-1)
    if not (np.isfinite(total).all() and (total > 0.0).all()):
        raise InputError(f"pressure {total.min():g} Pa is not above 0: give it in pascal")
    shape = x.shape
    x = x.reshape(-1, shape[-1])
    present = x > 0.0
    at_total = np.stack([_spreading(isotherm, total) for isotherm in isotherms], axis=1)
    low = np.where(present, at_total, np.inf).min(axis=1)  # every p_i0 <= P here, so the sum is at most P
    high = np.where(present, at_total, -np.inf).max(axis=1)
    pure = np.repeat(total[:, None], shape[-1], axis=1)
    psi = 0.5 * (low + high)
    for _ in range(MAX_STEPS):
        pure = _pure_pressures(isotherms, psi, pure, present)
        excess = (x * pure).sum(axis=1) / total - 1.0
        low, high = np.where(excess <= 0.0, psi, low), np.where(excess > 0.0, psi, high)
        done = (np.abs(excess) < TOLERANCE) | (high - low <= 1e-14 * high)
        if done.all():
            break
        slope = np.where(present, x * pure / _each_loading(isotherms, pure), 0.0).sum(axis=1) / total
        newton = psi - excess / slope
        inside = (newton > low) & (newton < high)
        psi = np.where(done, psi, np.where(inside, newton, 0.5 * (low + high)))
    else:
        raise InputError("the mixture equations did not converge: check that the isotherms rise with pressure")
    gas = x * pure / (x * pure).sum(axis=1, keepdims=True)
    return _mixture(isotherms, x, gas, pure, psi, shape)


def _mixture(
    isotherms: Sequence[Isotherm], x: Array, y: Array, pure: Array, psi: Array, shape: tuple[int, ...]
) -> Mixture:
    per_molecule = np.where(x > 0.0, x / _each_loading(isotherms, pure), 0.0).sum(axis=1)  # 1/q_total
    return Mixture(
        loadings=(x / per_molecule[:, None]).reshape(shape),
        gas_fractions=y.reshape(shape),
        adsorbed_fractions=x.reshape(shape),
        pure_pressures=pure.reshape(shape),
        spreading_pressure=psi.reshape(shape[:-1]),
    )


def _checked(isotherms: Sequence[Isotherm], values: ArrayLike, what: str) -> Array:
    array = np.asarray(values, dtype=float)
    if array.ndim == 0 or array.shape[-1] != len(isotherms) or array.size == 0:
        raise InputError(f"{what} of shape {array.shape} for {len(isotherms)} isotherms: the last axis is the gases")
    if not np.isfinite(array).all() or (array < 0.0).any() or (array.sum(axis=-1) <= 0.0).any():
        raise InputError(f"{what} must be finite, not negative, and not all zero: got {array.tolist()}")
    for isotherm in isotherms:
        require_henry_limit(isotherm)
    return array


def _each_loading(isotherms: Sequence[Isotherm], pure: Array) -> Array:
    return np.stack([isotherm.loading(pure[:, i]) for i, isotherm in enumerate(isotherms)], axis=1)


def _spreading(isotherm: Isotherm, pressure: Array) -> Array:
    """Spreading pressure at a pressure, or where the isotherm ends if that is below."""
    return isotherm.spreading_pressure(np.minimum(pressure, isotherm.largest_pressure * (1.0 - 1e-12)))


def _pure_pressures(isotherms: Sequence[Isotherm], psi: Array, guess: Array, present: NDArray[np.bool_]) -> Array:
    """Pressure at which each pure gas has the spreading pressure psi [S] -> [S, n]; P for a gas that is not there."""
    columns = []
    for i, isotherm in enumerate(isotherms):
        wanted = present[:, i]
        column = guess[:, i].copy()
        if wanted.any():
            column[wanted] = pressure_of_spreading(isotherm, psi[wanted], column[wanted], f"gas {i + 1}")
        columns.append(column)
    return np.stack(columns, axis=1)


def pressure_of_spreading(isotherm: Isotherm, psi: Array, guess: Array, what: str = "the isotherm") -> Array:
    """The pressure (Pa) at which a pure gas has the reduced spreading pressure psi (mol/kg), by Newton in ln p.

    psi is convex and rising in ln p (its slope is the loading), so steps from above never overshoot.

    Raises:
        InputError: the isotherm ends below that pressure.
    """
    ceiling = isotherm.largest_pressure
    if np.isfinite(ceiling):
        reachable = float(isotherm.spreading_pressure(ceiling * (1.0 - 1e-12)))
        if (psi > reachable * (1.0 + 1e-9)).any():
            raise InputError(
                f"{what} would have to be known beyond {ceiling / 1e5:.4g} bar, where its isotherm ends: "
                "measure it to higher pressure or fit a model to it"
            )
        psi = np.minimum(psi, reachable)
    # below the Henry line psi <= K p for concave isotherms; a start from the guess, mended by bisection when it leaves
    p = np.clip(guess, psi / isotherm.henry_coefficient * 1e-6, ceiling)
    low, high = np.zeros_like(p), np.full_like(p, ceiling)
    for _ in range(MAX_STEPS):
        value = isotherm.spreading_pressure(p)
        error = value - psi
        low, high = np.where(error <= 0.0, p, low), np.where(error > 0.0, p, high)
        done = (np.abs(error) <= 0.01 * TOLERANCE * psi) | (np.isfinite(high) & (high - low <= 1e-14 * high))
        if done.all():
            return p
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            newton = p * np.exp(np.clip(-error / isotherm.loading(p), -50.0, 50.0))
        halved = np.where(np.isfinite(high), 0.5 * (low + np.where(np.isfinite(high), high, 0.0)), 2.0 * p + 1e-300)
        inside = np.isfinite(newton) & (newton > low) & (newton < high)
        p = np.where(done, p, np.where(inside, newton, halved))
    raise InputError(f"{what} has no pressure of spreading pressure {psi.max():g} mol/kg: check that it rises")
