"""Peng-Robinson equation of state: compressibility and fugacity coefficients of a gas mixture.

D.-Y. Peng, D. B. Robinson, Ind. Eng. Chem. Fundam. 15, 59 (1976), with van der Waals one-fluid mixing:
a = sum_ij y_i y_j sqrt(a_i a_j) (1 - k_ij), b = sum_i y_i b_i. The binary interaction coefficients k_ij are zero unless
given, as in RASPA and the published uptakes we compare with; at a few bar they change a fugacity by less than 1 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from potentials.errors import InputError
from screening.adsorption.gases import Gas

GAS_CONSTANT = 8.31446261815324  # J/(mol K), exact in the 2019 SI

# k_ij fitted to vapour-liquid equilibria: H. Knapp et al., Vapor-Liquid Equilibria for Mixtures of Low Boiling
# Substances, DECHEMA Chemistry Data Series VI (1982)
KNAPP: Mapping[frozenset[str], float] = {
    frozenset({"CO2", "N2"}): -0.017,
    frozenset({"CO2", "CH4"}): 0.0919,
    frozenset({"CO2", "C2H6"}): 0.1322,
    frozenset({"N2", "CH4"}): 0.0311,
    frozenset({"N2", "C2H6"}): 0.0515,
    frozenset({"CH4", "C2H6"}): -0.0026,
}


@dataclass(frozen=True)
class GasState:
    """A gas mixture at one temperature and pressure."""

    temperature: float  # K
    pressure: float  # Pa
    compressibility: float  # Z = P V / (n R T)
    molar_density: float  # mol/m^3
    fugacity_coefficients: tuple[float, ...]  # f_i / (y_i P), in the order of the gases


def peng_robinson(
    gases: Sequence[Gas],
    mole_fractions: Sequence[float],
    *,
    temperature: float,
    pressure: float,
    interactions: Mapping[frozenset[str], float] | None = None,
) -> GasState:
    """State of a gas mixture; with several real roots, the one of lowest Gibbs energy.

    Args:
        gases: the species, with critical constants and acentric factor.
        mole_fractions: one a gas, summing to one.
        temperature: K.
        pressure: Pa.
        interactions: k_ij by the names of two gases, such as `KNAPP`; pairs left out, and all without, are zero.

    Raises:
        InputError: temperature or pressure is not positive, or the fractions do not sum to one.
    """
    y = np.asarray(mole_fractions, dtype=float)
    if not (np.isfinite(temperature) and temperature > 0.0):
        raise InputError(f"temperature {temperature} K is not above 0: give it in kelvin")
    if not (np.isfinite(pressure) and pressure > 0.0):
        raise InputError(f"pressure {pressure} Pa is not above 0: give it in pascal")
    if len(y) != len(gases) or (y < 0.0).any() or abs(y.sum() - 1.0) > 1e-6:
        raise InputError(f"mole fractions {y.tolist()} of {len(gases)} gases do not sum to 1: give one a gas")

    t_c = np.array([gas.critical_temperature for gas in gases])
    p_c = np.array([gas.critical_pressure for gas in gases])
    omega = np.array([gas.acentric_factor for gas in gases])
    kappa = 0.37464 + 1.54226 * omega - 0.26992 * omega**2
    alpha = (1.0 + kappa * (1.0 - np.sqrt(temperature / t_c))) ** 2
    a = 0.45724 * (GAS_CONSTANT * t_c) ** 2 / p_c * alpha
    b = 0.07780 * GAS_CONSTANT * t_c / p_c
    k_ij = np.array([[(interactions or {}).get(frozenset({i.name, j.name}), 0.0) for j in gases] for i in gases])
    a_ij = np.sqrt(np.outer(a, a)) * (1.0 - k_ij)
    a_mix = float(y @ a_ij @ y)
    b_mix = float(y @ b)
    big_a = a_mix * pressure / (GAS_CONSTANT * temperature) ** 2
    big_b = b_mix * pressure / (GAS_CONSTANT * temperature)

    roots = np.roots([1.0, big_b - 1.0, big_a - 3.0 * big_b**2 - 2.0 * big_b, big_b**3 + big_b**2 - big_a * big_b])
    real = roots[np.abs(roots.imag) < 1e-9].real
    candidates = real[real > big_b]

    def log_fugacity_coefficients(z: float) -> np.ndarray:
        attraction = 2.0 * (a_ij @ y) / a_mix - b / b_mix
        log_ratio = np.log((z + (1.0 + np.sqrt(2.0)) * big_b) / (z + (1.0 - np.sqrt(2.0)) * big_b))
        return b / b_mix * (z - 1.0) - np.log(z - big_b) - big_a / (2.0 * np.sqrt(2.0) * big_b) * attraction * log_ratio

    z = min(candidates, key=lambda root: float(y @ log_fugacity_coefficients(root)))
    return GasState(
        temperature=temperature,
        pressure=pressure,
        compressibility=float(z),
        molar_density=float(pressure / (z * GAS_CONSTANT * temperature)),
        fugacity_coefficients=tuple(np.exp(log_fugacity_coefficients(z)).tolist()),
    )
