"""Isotherm models of one gas: loading, spreading pressure and Henry limit as functions of pressure.

The reduced spreading pressure, pi A / (R T) = integral from 0 to p of q(p')/p' dp' (mol/kg), is what ideal adsorbed
solution theory equates between gases (A. L. Myers, J. M. Prausnitz, AIChE J. 11, 121 (1965)). It has a closed form
for every model here. "Pressure" is the variable the points were given in, pressure or fugacity, in Pa; a mixture
must be asked for in the same one.

Adding a model: a frozen dataclass with the methods of `Isotherm`, and one entry in `MODELS`.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp2f1

from potentials.errors import InputError

Array = NDArray[np.float64]

_legendre = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = 0.5 * (_legendre[0] + 1.0), 0.5 * _legendre[1]  # on [0, 1]


class Isotherm(Protocol):
    """What every model offers. Arrays of any shape in, the same shape out."""

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa).

        Raises:
            InputError: the model has no Henry limit, so that its spreading pressure contradicts thermodynamics.
        """
        ...

    @property
    def largest_pressure(self) -> float:
        """Pa; beyond it the model has no value (infinite for most)."""
        ...

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg at a pressure in Pa."""
        ...

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """Reduced spreading pressure, mol/kg."""
        ...


@dataclass(frozen=True)
class Henry:
    """q = K p."""

    henry: float  # mol/(kg Pa)

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.henry

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        return self.henry * np.asarray(pressure, dtype=float)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """K p, mol/kg."""
        return self.loading(pressure)


@dataclass(frozen=True)
class Langmuir:
    """q = q_s b p / (1 + b p) (I. Langmuir, J. Am. Chem. Soc. 40, 1361 (1918))."""

    saturation: float  # mol/kg
    affinity: float  # 1/Pa

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.saturation * self.affinity

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        x = self.affinity * np.asarray(pressure, dtype=float)
        return self.saturation * x / (1.0 + x)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """q_s ln(1 + b p), mol/kg."""
        return self.saturation * np.log1p(self.affinity * np.asarray(pressure, dtype=float))


@dataclass(frozen=True)
class DualSiteLangmuir:
    """Two kinds of independent Langmuir sites."""

    saturation_1: float  # mol/kg
    affinity_1: float  # 1/Pa
    saturation_2: float  # mol/kg
    affinity_2: float  # 1/Pa

    largest_pressure: ClassVar[float] = np.inf

    @property
    def sites(self) -> tuple[Langmuir, Langmuir]:
        """The two sites."""
        return Langmuir(self.saturation_1, self.affinity_1), Langmuir(self.saturation_2, self.affinity_2)

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return sum(site.henry_coefficient for site in self.sites)

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        first, second = self.sites
        return first.loading(pressure) + second.loading(pressure)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """Sum over the sites, mol/kg."""
        first, second = self.sites
        return first.spreading_pressure(pressure) + second.spreading_pressure(pressure)


@dataclass(frozen=True)
class Toth:
    """q = q_s b p / (1 + (b p)^t)^(1/t): a spread of site energies, with a Henry limit (J. Tóth, 1971)."""

    saturation: float  # mol/kg
    affinity: float  # 1/Pa
    heterogeneity: float  # t; 1 is Langmuir

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.saturation * self.affinity

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        u = self._share(pressure)
        return self.saturation * u ** (1.0 / self.heterogeneity)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """mol/kg; with u = x^t/(1 + x^t) and a = 1/t the integral is q_s u^a 2F1(1, a; 1 + a; u).

        Beyond u = 1/2, where the hypergeometric series loses its digits, its logarithm is taken out and the rest
        integrated by Gauss and Legendre.
        """
        x = self._scaled(pressure)
        u, a = x / (1.0 + x), 1.0 / self.heterogeneity
        low = np.minimum(u, 0.5)
        series = low**a * hyp2f1(1.0, a, 1.0 + a, low)
        # a int s^(a-1)/(1-s) ds from 1/2 to u = a [-ln(1-u) + ln(1/2) - int (1 - s^(a-1))/(1-s) ds]
        width = np.maximum(u - 0.5, 0.0)
        s = 0.5 + width[..., None] * _NODES
        rest = width * (-np.expm1((a - 1.0) * np.log(s)) / (1.0 - s) @ _WEIGHTS)
        beyond = a * (np.log1p(x) + np.log(0.5) - rest)
        return self.saturation * np.where(u > 0.5, series + beyond, series)

    def _scaled(self, pressure: ArrayLike) -> Array:
        with np.errstate(divide="ignore"):  # the logarithm of no pressure
            exponent = self.heterogeneity * np.log(self.affinity * np.asarray(pressure, dtype=float))
        return np.exp(np.minimum(exponent, 600.0))  # a solver may try absurd pressures

    def _share(self, pressure: ArrayLike) -> Array:
        x = self._scaled(pressure)
        return x / (1.0 + x)


@dataclass(frozen=True)
class Quadratic:
    """q = q_s (A p + 2 B p^2) / (1 + A p + B p^2): two molecules a site that help each other; can be S-shaped."""

    saturation: float  # mol/kg of sites; each takes two molecules
    first: float  # A, 1/Pa
    second: float  # B, 1/Pa^2

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.saturation * self.first

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        p = np.asarray(pressure, dtype=float)
        linear, square = self.first * p, self.second * p**2
        return self.saturation * (linear + 2.0 * square) / (1.0 + linear + square)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """q_s ln(1 + A p + B p^2), mol/kg."""
        p = np.asarray(pressure, dtype=float)
        return self.saturation * np.log1p(self.first * p + self.second * p**2)


@dataclass(frozen=True)
class BET:
    """Multilayers: q = q_m C x / ((1 - x)(1 - x + C x)), x = p / p0 (Brunauer, Emmett, Teller, 1938); p < p0."""

    monolayer: float  # mol/kg
    strength: float  # C, first layer over the next ones
    condensation: float  # 1/p0, 1/Pa

    @property
    def largest_pressure(self) -> float:
        """p0, where the layers become liquid, Pa."""
        return 1.0 / self.condensation

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa)."""
        return self.monolayer * self.strength * self.condensation

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg; infinite from p0 on."""
        x = self.condensation * np.asarray(pressure, dtype=float)
        inside = np.minimum(x, 1.0 - 1e-12)
        value = self.monolayer * self.strength * inside / ((1.0 - inside) * (1.0 - inside + self.strength * inside))
        return np.where(x < 1.0, value, np.inf)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """q_m ln((1 - x + C x)/(1 - x)), mol/kg; infinite from p0 on."""
        x = self.condensation * np.asarray(pressure, dtype=float)
        inside = np.minimum(x, 1.0 - 1e-12)
        value = self.monolayer * np.log1p(self.strength * inside / (1.0 - inside))
        return np.where(x < 1.0, value, np.inf)


@dataclass(frozen=True)
class Sips:
    """q = q_s (b p)^n / (1 + (b p)^n) (R. Sips, 1948): describes measured curves, but for n != 1 has no Henry limit."""

    saturation: float  # mol/kg
    affinity: float  # 1/Pa
    exponent: float  # n

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """dq/dp at zero pressure, mol/(kg Pa); exists for n = 1 alone."""
        if self.exponent != 1.0:
            raise _no_henry_limit(f"the Sips model with exponent {self.exponent:.3g}")
        return self.saturation * self.affinity

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        x = (self.affinity * np.asarray(pressure, dtype=float)) ** self.exponent
        return self.saturation * x / (1.0 + x)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """(q_s/n) ln(1 + (b p)^n), mol/kg."""
        x = (self.affinity * np.asarray(pressure, dtype=float)) ** self.exponent
        return self.saturation / self.exponent * np.log1p(x)


@dataclass(frozen=True)
class Freundlich:
    """q = k p^n (H. Freundlich, 1907): an interpolation without a Henry limit."""

    prefactor: float  # mol/(kg Pa^n)
    exponent: float  # n

    largest_pressure: ClassVar[float] = np.inf

    @property
    def henry_coefficient(self) -> float:
        """There is none unless n = 1."""
        if self.exponent != 1.0:
            raise _no_henry_limit(f"the Freundlich model with exponent {self.exponent:.3g}")
        return self.prefactor

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg."""
        return self.prefactor * np.asarray(pressure, dtype=float) ** self.exponent

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """k p^n / n, mol/kg."""
        return self.loading(pressure) / self.exponent


@dataclass(frozen=True)
class Interpolated:
    """Straight lines between points, and from the origin to the first.

    Beyond the last point the loading stays what it is there if `saturates`; otherwise there is no value.
    """

    pressures: Array  # [n] Pa, rising, above 0
    loadings: Array  # [n] mol/kg
    saturates: bool = False
    _slopes: Array = field(init=False, repr=False)  # [n], of the piece that ends at each point
    _spreading: Array = field(init=False, repr=False)  # [n], at the points

    def __post_init__(self) -> None:
        p = np.asarray(self.pressures, dtype=float)
        q = np.asarray(self.loadings, dtype=float)
        if p.ndim != 1 or p.shape != q.shape or len(p) == 0:
            raise InputError(f"{p.size} pressures and {q.size} loadings are no isotherm: give one loading a pressure")
        if not (np.isfinite(p).all() and np.isfinite(q).all()) or p[0] <= 0.0 or (np.diff(p) <= 0.0).any():
            raise InputError("the pressures of an isotherm must be finite, above 0 and rising: sort and check them")
        if (q < 0.0).any() or q[0] <= 0.0:
            raise InputError("the loadings of an isotherm must not be negative, the first above 0: check the points")
        before, loading_before = np.concatenate([[0.0], p[:-1]]), np.concatenate([[0.0], q[:-1]])
        slopes = (q - loading_before) / (p - before)
        intercepts = q - slopes * p
        # q/p = intercept/p + slope on a piece; the first has no intercept
        pieces = slopes * (p - before)
        pieces[1:] += intercepts[1:] * np.log(p[1:] / p[:-1])
        for name, value in (("pressures", p), ("loadings", q), ("_slopes", slopes), ("_spreading", np.cumsum(pieces))):
            object.__setattr__(self, name, value)

    @property
    def largest_pressure(self) -> float:
        """The last point's, Pa, unless the loading stays beyond it."""
        return np.inf if self.saturates else float(self.pressures[-1])

    @property
    def henry_coefficient(self) -> float:
        """Loading over pressure at the first point, mol/(kg Pa)."""
        return float(self._slopes[0])

    def loading(self, pressure: ArrayLike) -> Array:
        """mol/kg; not a number beyond the last point unless `saturates`."""
        p = np.asarray(pressure, dtype=float)
        right = self.loadings[-1] if self.saturates else np.nan
        return np.interp(p, np.r_[0.0, self.pressures], np.r_[0.0, self.loadings], right=right)

    def spreading_pressure(self, pressure: ArrayLike) -> Array:
        """Integral over the pieces, mol/kg; not a number beyond the last point unless `saturates`."""
        p = np.asarray(pressure, dtype=float)
        last = self.pressures[-1]
        piece = np.minimum(np.searchsorted(self.pressures, p), len(self.pressures) - 1)
        start = np.where(piece > 0, self.pressures[piece - 1], 0.0)
        below = np.where(piece > 0, self._spreading[piece - 1], 0.0)
        slope = self._slopes[piece]
        inside = np.minimum(p, last)
        intercept = np.where(piece > 0, self.loadings[piece] - slope * self.pressures[piece], 0.0)
        log_ratio = np.log(np.where(piece > 0, inside / np.where(piece > 0, start, 1.0), 1.0))
        value = below + slope * (inside - start) + intercept * log_ratio
        if self.saturates:
            return value + self.loadings[-1] * np.log(np.maximum(p, last) / last)
        return np.where(p <= last * (1.0 + 1e-12), value, np.nan)


MODELS: dict[str, type] = {
    "henry": Henry,
    "langmuir": Langmuir,
    "dual-site-langmuir": DualSiteLangmuir,
    "toth": Toth,
    "quadratic": Quadratic,
    "bet": BET,
    "sips": Sips,
    "freundlich": Freundlich,
}


def require_henry_limit(isotherm: Isotherm) -> float:
    """The Henry coefficient of a model that is about to be used for a mixture, mol/(kg Pa).

    Raises:
        InputError: the model has none, or it is not positive.
    """
    henry = isotherm.henry_coefficient
    if not (np.isfinite(henry) and henry > 0.0):
        raise InputError(f"the isotherm has a Henry coefficient of {henry:g} mol/(kg Pa): it must be above 0")
    return float(henry)


def _no_henry_limit(what: str) -> InputError:
    return InputError(
        f"{what} has no Henry limit, so mixtures cannot be predicted from it: "
        "fit langmuir, dual-site-langmuir, toth, quadratic or bet, or interpolate the points"
    )
