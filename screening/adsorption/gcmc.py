"""Uptake of gases and gas mixtures at a pressure and temperature by grand-canonical Monte Carlo."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from pymatgen.core import Structure

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.raspa import (
    BLOCKS,
    KJ_PER_MOL_PER_KELVIN,
    build_system,
    load_raspalib,
    run_monte_carlo,
    standard_error,
)
from screening.adsorption.seeds import derive_seed


class GcmcSettings(Config):
    """Protocol of one grand-canonical run; a cycle is max(20, adsorbed molecules) moves."""

    model: HostGuestModel = HostGuestModel()
    equilibration_cycles: int = Field(default=400, ge=0)  # discarded
    production_cycles: int = Field(default=1000, ge=10)
    ideal_gas: bool = False  # True: fugacity = pressure, to compare with figures given that way


@dataclass(frozen=True)
class ComponentUptake:
    """What is adsorbed of one gas."""

    gas: str
    mole_fraction: float  # in the gas phase
    fugacity: float  # Pa
    uptake: float  # mol/kg of framework, absolute (all molecules in the pores)
    uptake_std: float  # one standard error
    heat: float | None  # kJ/mol, isosteric, positive when adsorption releases heat; None: not resolved
    heat_std: float | None  # one standard error


@dataclass(frozen=True)
class UptakeResult:
    """Adsorption from a gas (mixture) at one state point."""

    temperature: float  # K
    pressure: float  # Pa
    components: tuple[ComponentUptake, ...]
    method: str

    def __getitem__(self, gas: str) -> ComponentUptake:
        return next(component for component in self.components if component.gas.lower() == gas.lower())


def gcmc_uptake(
    structure: Structure,
    mixture: Mapping[str, float] | None = None,
    pressure: float = 1e5,
    temperature: float = 298.0,
    *,
    settings: GcmcSettings | None = None,
    seed: int = 0,
) -> UptakeResult:
    """Absolute loading of every gas of a mixture in a rigid framework.

    Fugacities by Peng-Robinson (`equation_of_state.py`). Equilibration cycles are discarded; errors come from
    block averages over production. Heats from the fluctuations of energy and number (D. Nicholson,
    N. G. Parsonage, Computer Simulation and the Statistical Mechanics of Adsorption, 1982), which need loaded
    pores: where numbers fluctuate too little, the heat is None.

    Args:
        structure: ordered periodic framework; a site property `charge` (e) is used as given.
        mixture: gas name to mole fraction in the gas phase; `None` is dry flue gas, 15 % CO2 in N2.
        pressure: Pa, of the mixture.
        temperature: K.
        settings: model and effort.
        seed: the result is a function of all other arguments and this seed alone.

    Raises:
        InputError: unknown gas or element, fractions that do not sum to one, charges that are not neutral.
        GeometryError: a cell that cannot be simulated.
    """
    settings = settings or GcmcSettings()
    mixture = mixture or {"CO2": 0.15, "N2": 0.85}
    return uptake_of_host(prepare_host(structure, settings.model), mixture, pressure, temperature, settings, seed)


def uptake_of_host(
    host: Host,
    mixture: Mapping[str, float],
    pressure: float,
    temperature: float,
    settings: GcmcSettings,
    seed: int,
) -> UptakeResult:
    """`gcmc_uptake` of a framework that is already prepared."""
    gases = [find_gas(host.force_field.gases, name) for name in mixture]
    fractions = list(mixture.values())
    state = peng_robinson(gases, fractions, temperature=temperature, pressure=pressure)
    if any(fraction <= 0.0 for fraction in fractions):
        raise InputError(f"mixture {dict(mixture)} holds a gas of no amount: leave it out")
    coefficients = [1.0] * len(gases) if settings.ideal_gas else list(state.fugacity_coefficients)
    raspalib = load_raspalib()
    rotation = 0.2 if any(len(gas.sites) > 1 for gas in gases) else 0.0
    system = run_monte_carlo(
        build_system(
            host,
            gases,
            temperature=temperature,
            pressure=pressure,
            fugacity_coefficients=coefficients,
            mole_fractions=fractions,
            moves=raspalib.MCMoveProbabilities(
                translation_probability=0.2,
                rotation_probability=rotation,
                reinsertion_cbmc_probability=0.2,
                swap_cbmc_probability=0.4,
            ),
            molecules=[0] * len(gases),
        ),
        cycles=settings.production_cycles,
        equilibration_cycles=settings.equilibration_cycles,
        seed=derive_seed(seed, "gcmc", sorted(mixture.items()), pressure, temperature),
    )
    loading, loading_interval = system.average_loadings.result()
    box_mass = host.cell_mass * math.prod(host.repeats)  # kg/mol of simulation boxes
    enthalpies = system.average_enthalpies_of_adsorption.result()
    components = []
    for index, (gas, fraction, coefficient) in enumerate(zip(gases, fractions, coefficients, strict=True)):
        heat, heat_std = _heat(enthalpies, index)
        components.append(
            ComponentUptake(
                gas=gas.name,
                mole_fraction=fraction,
                fugacity=fraction * coefficient * pressure,
                uptake=loading.number_of_molecules[index] / box_mass,
                uptake_std=standard_error(loading_interval.number_of_molecules[index]) / box_mass,
                heat=heat,
                heat_std=heat_std,
            )
        )
    fugacity = "ideal gas" if settings.ideal_gas else "Peng-Robinson"
    return UptakeResult(
        temperature=temperature,
        pressure=pressure,
        components=tuple(components),
        method=f"RASPA3 GCMC, absolute loading, {fugacity} fugacity, {settings.equilibration_cycles} + "
        f"{settings.production_cycles} cycles, {BLOCKS} blocks; {host.method}",
    )


def _heat(enthalpies: list[tuple[float, float]], index: int) -> tuple[float | None, float | None]:
    """(heat, standard error) in kJ/mol of a component from raspalib's enthalpies (K), None when not resolved."""
    if index >= len(enthalpies):
        return None, None
    enthalpy, interval = enthalpies[index]
    heat, heat_std = -enthalpy * KJ_PER_MOL_PER_KELVIN, standard_error(interval) * KJ_PER_MOL_PER_KELVIN
    # an error of tens of kJ/mol is a singular fluctuation matrix, not a measurement
    if not (np.isfinite(heat) and np.isfinite(heat_std)) or heat_std > 20.0 or heat_std == 0.0:
        return None, None
    return heat, heat_std
