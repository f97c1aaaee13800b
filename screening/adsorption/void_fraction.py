"""Helium void fraction, pore volume, and the excess uptake an experiment measures.

Simulations count every molecule in the pores (absolute uptake). A gravimetric or volumetric experiment finds the
excess: absolute less what the pore volume would hold of the gas outside. The pore volume is that of helium, as in the
experiment: the void fraction is helium's Widom factor at 298 K (O. Talu, A. L. Myers, AIChE J. 47, 1160 (2001)),
overlaps counted as zero.
"""

from dataclasses import dataclass

from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas
from screening.adsorption.henry import HenrySettings, henry_of_host
from screening.adsorption.process import Measured

HELIUM_TEMPERATURE = 298.0  # K, where helium is held not to adsorb


@dataclass(frozen=True)
class PoreVolume:
    """What helium finds."""

    void_fraction: Measured
    volume: Measured  # m^3/kg of framework
    method: str


def helium_void(host: Host, insertions: int = 4000, seed: int = 0) -> PoreVolume:
    """Void fraction and pore volume of a framework by Widom insertion of helium.

    Raises:
        InputError: the force field has no helium and none comes with the package.
    """
    settings = HenrySettings(model=host.model, insertions=max(insertions, 200), heat_moves=200, error=0.02)
    found = henry_of_host(host, "He", HELIUM_TEMPERATURE, settings, seed)
    void = Measured(found.widom_factor, found.widom_std)
    volume = Measured(void.value / host.density, void.std / host.density)
    return PoreVolume(void, volume, f"helium Widom factor at {HELIUM_TEMPERATURE:g} K; {found.method}")


def excess_uptake(
    absolute: Measured,
    gas_index: int,
    gases: list[Gas],
    fractions: list[float],
    *,
    pressure: float,
    temperature: float,
    pore_volume: Measured,
) -> Measured:
    """Excess uptake of one gas of a mixture: absolute less y rho V, the density rho by Peng-Robinson.

    Args:
        absolute: mol/kg.
        gas_index: of the gas in `gases`.
        gases, fractions: the gas phase.
        pressure: Pa, total.
        temperature: K.
        pore_volume: m^3/kg.
    """
    density = peng_robinson(gases, fractions, temperature=temperature, pressure=pressure).molar_density
    held = Measured(
        fractions[gas_index] * density * pore_volume.value, fractions[gas_index] * density * pore_volume.std
    )
    return Measured(absolute.value - held.value, (absolute.std**2 + held.std**2) ** 0.5)
