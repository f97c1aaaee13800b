"""Parasitic energy: what capturing a kilogram of CO2 takes from a power plant, or from the grid for air.

J. M. Huck et al., Energy Environ. Sci. 7, 4132 (2014), eqs. 1-2 and supplement, after L.-C. Lin et al., Nature Mater.
11, 633 (2012). A bed takes up CO2 and N2 from the gas (by ideal adsorbed solution theory), is heated and evacuated,
and gives back what it cannot hold under the product gas:

    PE = 0.75 eta Q + W,    eta = 1 - 283/(T_d + 10)    (steam 10 K above the bed, heat rejected at 283 K)
    Q  = [c_p m (T_d - T_a) + sum_i h_i (q_i,a - q_i,d) m] / WC        (sensible heat and heats of desorption)
    W  = compression of the product to 150 bar, a fit to a real compressor train (`compression_work`)

with m the framework in a cubic metre of bed and WC the mass of CO2 it yields, the gas between the grains included.
The desorption temperature and pressure are those of a grid that need least energy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potentials.errors import InputError
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.iast import iast
from screening.adsorption.isotherm_temperature import at_temperature, points_at_temperature
from screening.adsorption.isotherms import Isotherm

Array = NDArray[np.float64]
Mode = Literal["TPSA", "PSA", "TSA"]

ATMOSPHERE = 101_325.0  # Pa
CO2_MASS = 0.044  # kg/mol, as in the published figures
COLD_END = 283.0  # K, of the Carnot factor
APPROACH = 10.0  # K between steam and bed
TURBINE_EFFICIENCY = 0.75

# Desorption grid of the published figures: atm and K above adsorption
DESORPTION_ATM = np.arange(0.01, 1.5, 0.02)
DESORPTION_WARMING = np.arange(20.0, 120.0, 10.0)


@dataclass(frozen=True)
class GasSource:
    """Where the CO2 comes from; the rest is N2."""

    name: str
    co2_fraction: float
    temperature: float  # K, of adsorption
    pressure: float = ATMOSPHERE  # Pa


SOURCES = {
    "coal": GasSource("coal", 0.14, 313.0),
    "natural-gas": GasSource("natural-gas", 0.04, 313.0),
    "air": GasSource("air", 0.0004, 288.0),
}


@dataclass(frozen=True)
class Bed:
    """The solid and how it is packed."""

    density: float  # kg/m^3, of the framework
    heat_capacity: float = 948.0  # J/(kg K); the mean over MOFs, 761 to 1210
    void_fraction: float = 0.35  # of the bed, between the grains
    product_fraction: float = 0.99  # of CO2 in the gas over the bed at desorption


@dataclass(frozen=True)
class PureGas:
    """What the process must know of one gas."""

    at: Callable[[float], Isotherm]  # temperature (K) -> isotherm
    heat: Callable[[float], float]  # desorption pressure (Pa) -> heat of desorption, kJ/mol, positive


@dataclass(frozen=True)
class ParasiticEnergy:
    """The cheapest cycle."""

    energy: float  # MJ/kg CO2
    heat: float  # MJ/kg CO2 of it, as electricity not made
    compression: float  # MJ/kg CO2 of it
    desorption_temperature: float  # K
    desorption_pressure: float  # Pa
    working_capacity: float  # kg CO2 a kg framework, gas between the grains included
    purity: float  # mole fraction of CO2 in the product


def gas_from_points(pressures: ArrayLike, loadings: ArrayLike, heats: ArrayLike, temperature: float) -> PureGas:
    """A gas from points with a heat (kJ/mol) each: straight lines, moved in temperature point by point.

    The heat of desorption is that of the point nearest to the desorption pressure, as in the published figures.
    """
    p = np.asarray(pressures, dtype=float)
    each = np.broadcast_to(np.asarray(heats, dtype=float), p.shape)
    return PureGas(
        at=lambda other: points_at_temperature(p, loadings, each, temperature, other),
        heat=lambda pressure: float(each[np.argmin(np.abs(p - pressure))]),
    )


def gas_from_isotherm(isotherm: Isotherm, heat: float, temperature: float) -> PureGas:
    """A gas from a model and one heat (kJ/mol) for all loadings."""
    return PureGas(at=lambda other: at_temperature(isotherm, heat, temperature, other), heat=lambda _: heat)


def compression_work(pressure: ArrayLike, purity: ArrayLike) -> Array:
    """Work (J/kg CO2) to bring the product from a pressure (Pa) to 150 bar, from the fit of Huck et al. (2014).

    Impurities are compressed as well, at a cost that rises a little with pressure.
    """
    p, purity = np.asarray(pressure, dtype=float), np.asarray(purity, dtype=float)
    pure = 7.1723e5 - 5.4433e5 / np.log(1e6 / 1e3) * np.log(p / 1e3)
    impurity = 1.102 + (2.313 - 2.102) / (np.sqrt(1e6) - np.sqrt(1e3)) * (np.sqrt(p) - np.sqrt(1e3))
    return np.asarray(pure * (1.0 + impurity * (1.0 / purity - 1.0)))


def parasitic_energy(co2: PureGas, n2: PureGas, bed: Bed, source: GasSource, mode: Mode) -> ParasiticEnergy | None:
    """The desorption condition of least parasitic energy; None when no condition yields any CO2.

    Args:
        co2, n2: pure gases.
        bed: density, heat capacity and packing.
        source: gas to be treated.
        mode: `TPSA` scans temperature and pressure; `PSA` pressure, 20 K above adsorption (the bed warms);
            `TSA` temperature, at the pressure of adsorption.

    Raises:
        InputError: an unknown mode, a density that is not positive, or isotherms IAST cannot use.
    """
    if mode not in ("TPSA", "PSA", "TSA"):
        raise InputError(f"process {mode!r}: choose TPSA, PSA or TSA")
    if not (np.isfinite(bed.density) and bed.density > 0.0):
        raise InputError(f"framework density {bed.density} kg/m^3 is not above 0")
    warmings = DESORPTION_WARMING[:1] if mode == "PSA" else DESORPTION_WARMING
    pressures = np.array([source.pressure]) if mode == "TSA" else DESORPTION_ATM * ATMOSPHERE
    solid = bed.density * (1.0 - bed.void_fraction)  # kg/m^3 of bed

    def held(fractions: Array, temperature: float, pressure: Array) -> tuple[Array, Array]:
        """(adsorbed, between the grains) [P, 2], mol/kg."""
        partial = pressure[:, None] * fractions
        adsorbed = iast([co2.at(temperature), n2.at(temperature)], partial).loadings
        return adsorbed, partial * bed.void_fraction / (GAS_CONSTANT * temperature * solid)

    feed = np.array([source.co2_fraction, 1.0 - source.co2_fraction])
    product = np.array([bed.product_fraction, 1.0 - bed.product_fraction])
    taken, between = held(feed, source.temperature, np.array([source.pressure]))
    best: ParasiticEnergy | None = None
    for warm in source.temperature + warmings:
        left, left_between = held(product, warm, pressures)
        released = taken - left  # [P, 2] mol/kg
        yielded = released + between - left_between
        heats = np.array([[co2.heat(pressure), n2.heat(pressure)] for pressure in pressures])
        mass = yielded[:, 0] * CO2_MASS  # kg CO2 a kg framework
        useful = mass > 0.0
        if not useful.any():
            continue
        purity = yielded[useful, 0] / yielded[useful].sum(axis=1)
        sensible = bed.heat_capacity * (warm - source.temperature) / mass[useful]
        desorption = (1e3 * heats * released).sum(axis=1)[useful] / mass[useful]
        carnot = (warm + APPROACH - COLD_END) / (warm + APPROACH)
        heat = TURBINE_EFFICIENCY * carnot * (sensible + desorption)
        work = compression_work(pressures[useful], purity)
        energy = heat + work
        i = int(np.argmin(energy))
        if best is None or energy[i] * 1e-6 < best.energy:
            best = ParasiticEnergy(
                energy=float(energy[i]) * 1e-6,
                heat=float(heat[i]) * 1e-6,
                compression=float(work[i]) * 1e-6,
                desorption_temperature=float(warm),
                desorption_pressure=float(pressures[useful][i]),
                working_capacity=float(mass[useful][i]),
                purity=float(purity[i]),
            )
    return best
