"""Fit isotherm models to measured points: weighted by their errors, tied to the Henry limit, chosen by AIC.

Least squares in the logarithms of the parameters (all are positive), from a few fixed starts. The model is chosen by
the Akaike information criterion corrected for few points (C. M. Hurvich, C.-L. Tsai, Biometrika 76, 297 (1989)).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from potentials.errors import InputError
from screening.adsorption.isotherms import MODELS, Isotherm
from screening.adsorption.process import Measured
from screening.adsorption.seeds import derive_seed

Array = NDArray[np.float64]

CANDIDATES = ("henry", "langmuir", "toth", "dual-site-langmuir", "quadratic")  # all have a Henry limit
SMALLEST_ERROR = 0.01  # relative; block errors of a few points are themselves uncertain
DETOUR = 2.0  # standard deviation of the weak prior on ln(parameter) that keeps ill-determined ones from running away
_SHAPES = ("heterogeneity", "exponent")  # parameters that are powers
_SHAPE_REACH = 1.5  # in the logarithm; beyond, the curve is a step


@dataclass(frozen=True)
class IsothermFit:
    """A fitted model, and how sure it is."""

    model: str
    isotherm: Isotherm
    covariance: Array  # [k, k] of the logarithms of the parameters
    deviation: float  # root mean square of (fit - point)/error
    aic: float  # corrected, of the chosen model
    considered: Mapping[str, float]  # model -> corrected AIC; infinite where there are too few points
    points: int  # fitted, the Henry limit included

    @property
    def parameters(self) -> dict[str, float]:
        """Name to value, in the units of the model's fields."""
        return {name: float(getattr(self.isotherm, name)) for name in _names(type(self.isotherm))}

    def draws(self, count: int, *key: object) -> list[Isotherm]:
        """What the isotherm could have been: `count` models drawn from the fit's normal distribution, seeded."""
        kind = type(self.isotherm)
        mean = np.log(list(self.parameters.values()))
        rng = np.random.default_rng(derive_seed(0, "isotherm draws", *key))
        vectors, sizes = _principal(self.covariance)
        steps = rng.standard_normal((count, len(mean))) * sizes @ vectors.T
        return [kind(*np.exp(mean + step)) for step in steps]

    @property
    def method(self) -> str:
        """One phrase for a result's method string."""
        return f"{self.model} fit to {self.points} points (AICc {self.aic:.1f})"


def fit_isotherm(
    pressures: ArrayLike,
    loadings: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    henry: Measured | None = None,
    models: Sequence[str] = CANDIDATES,
) -> IsothermFit:
    """The model that describes the points best for its number of parameters.

    Args:
        pressures: [n] Pa (or fugacities), above 0.
        loadings: [n] mol/kg.
        errors: [n] standard errors, mol/kg; at least `SMALLEST_ERROR` of the loading is assumed, also without.
        henry: Henry coefficient, mol/(kg Pa), a point at zero pressure weighted by its own error; models without a
            Henry limit are refused then.
        models: names from `MODELS`; the best of them is taken.

    Raises:
        InputError: points that are no isotherm, too few points for every model, an unknown model, or one without a
            Henry limit together with `henry`.
    """
    p, q = np.asarray(pressures, dtype=float), np.asarray(loadings, dtype=float)
    error = np.zeros_like(q) if errors is None else np.asarray(errors, dtype=float)
    if p.ndim != 1 or p.shape != q.shape or error.shape != q.shape:
        raise InputError(f"{p.size} pressures, {q.size} loadings, {error.size} errors: give one of each a point")
    if not (np.isfinite(p).all() and np.isfinite(q).all() and (p > 0.0).all() and (q >= 0.0).all()):
        raise InputError("an isotherm needs pressures above 0 and loadings not below 0, all finite: check the points")
    if not (q > 0.0).any():
        raise InputError("nothing is adsorbed at any of the points: there is no isotherm to fit")
    unknown = [name for name in models if name not in MODELS]
    if unknown or not models:
        raise InputError(f"isotherm models {list(models)}: choose from {', '.join(MODELS)}")
    if henry is not None and not henry.value > 0.0:
        henry = None
    weight = 1.0 / np.maximum(np.nan_to_num(error), SMALLEST_ERROR * np.maximum(q, 0.01 * q.max()))
    fits = {name: _fit(name, p, q, weight, henry) for name in dict.fromkeys(models)}
    considered = {name: float("inf") if fit is None else fit[3] for name, fit in fits.items()}
    best = min(considered, key=lambda name: considered[name])
    chosen = fits[best]
    if chosen is None:
        raise InputError(f"{len(p)} points are too few to fit {', '.join(models)}: measure more pressures")
    isotherm, covariance, deviation, aic = chosen
    return IsothermFit(best, isotherm, covariance, deviation, aic, considered, len(p) + (henry is not None))


def _fit(
    name: str, p: Array, q: Array, weight: Array, henry: Measured | None
) -> tuple[Isotherm, Array, float, float] | None:
    """(model, covariance, rms residual, AICc), or None when the points cannot determine that many parameters."""
    kind = MODELS[name]
    starts = _starts(name, p, q, henry)
    k, n = len(starts[0]), len(p) + (henry is not None)
    if n < k or (n == k and n > 1):
        return None
    relative = max((henry.std / henry.value) if henry else 0.0, SMALLEST_ERROR)

    def residuals(logarithms: Array) -> Array:
        isotherm = kind(*np.exp(logarithms))
        found = (np.minimum(isotherm.loading(p), 1e12) - q) * weight
        if henry is None:
            return found
        return np.append(found, (isotherm.henry_coefficient / henry.value - 1.0) / relative)

    # a factor 3000 either way: an infinite saturation capacity is Henry's law, which is a candidate of its own
    reach = np.array([_SHAPE_REACH if label in _SHAPES else 8.0 for label in _names(kind)])
    best = None
    for start in starts:
        guess = np.log(start)
        attempt = least_squares(residuals, guess, bounds=(guess - reach, guess + reach), x_scale=1.0, max_nfev=400)
        if best is None or attempt.cost < best.cost:
            best = attempt
    assert best is not None
    chi2 = 2.0 * float(best.cost)
    spread = max(1.0, chi2 / (n - k)) if n > k else 1.0
    covariance = np.linalg.inv(best.jac.T @ best.jac / spread + np.eye(k) / DETOUR**2)
    correction = 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf if k > 1 else 0.0
    return kind(*np.exp(best.x)), covariance, float(np.sqrt(chi2 / n)), chi2 + 2.0 * k + correction


def _starts(name: str, p: Array, q: Array, henry: Measured | None) -> list[Array]:
    """First guesses of the parameters, in the order of the model's fields."""
    slope = henry.value if henry is not None else float((q / p)[np.argmin(p)]) or float(np.max(q / p))
    most, last = float(q.max()), float(p.max())
    if name == "henry":
        return [np.array([float(np.median(q[q > 0] / p[q > 0]))])]
    if name == "dual-site-langmuir":
        return [
            np.array([share * most, 0.9 * slope / (share * most), reach * most, rest / last])
            for share, reach, rest in product((0.3, 0.8), (1.5,), (0.1, 1.0))
        ]
    capacities = [factor * most for factor in (1.2, 3.0)]
    if name == "langmuir":
        return [np.array([c, slope / c]) for c in capacities]
    if name == "toth":
        return [np.array([c, slope / c, t]) for c in capacities for t in (0.4, 0.9)]
    if name == "quadratic":
        return [np.array([0.5 * c, slope / c, (scale / last) ** 2]) for c in capacities for scale in (0.1, 2.0)]
    if name == "bet":
        return [np.array([0.5 * most, 20.0, 0.7 / last]), np.array([0.5 * most, 2.0, 0.9 / last])]
    if name == "sips":
        return [np.array([c, slope / c, n]) for c in capacities for n in (0.6, 1.0)]
    if name == "freundlich":
        return [np.array([most / last**n, n]) for n in (0.5, 0.9)]
    raise InputError(f"isotherm model {name!r} has no first guess: add one beside its entry in MODELS")


def _names(kind: type) -> list[str]:
    return [item.name for item in fields(kind)]


def _principal(covariance: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(covariance)
    return vectors, np.sqrt(np.maximum(values, 0.0))
