"""Henry coefficients by Widom insertion and heats of adsorption at zero loading."""

from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator
from pymatgen.core import Structure

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.blocking import describe_pockets
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.force_fields import HostGuestModel, find_force_field
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import Gas, find_gas
from screening.adsorption.raspa import (
    BLOCKS,
    KJ_PER_MOL_PER_KELVIN,
    MOVES_PER_CYCLE,
    build_system,
    load_raspalib,
    run_monte_carlo,
    standard_error,
)
from screening.adsorption.seeds import derive_seed

MIN_WIDOM_FOR_HEAT = 1e-4  # below, the gas hardly fits: a molecule could not even be placed in reasonable time
UNRELIABLE_ERROR = 0.25  # relative; beyond it few insertions carry the average and the error bar is a lower bound


class HenrySettings(Config):
    """Protocol of Henry coefficients and zero-loading heats."""

    model: HostGuestModel = HostGuestModel()
    gases: tuple[str, ...] = ("CO2", "N2")
    temperature: float = Field(default=298.0, gt=0.0)  # K
    insertions: int = Field(default=8_000, ge=200)  # Widom insertions a gas
    heat_moves: int = Field(default=4_000, ge=200)  # Monte Carlo moves of one molecule, a gas; a tenth more to settle

    @model_validator(mode="after")
    def _gases_are_known(self) -> Self:
        known = find_force_field(self.model.force_field).gases
        if not self.gases:
            raise ValueError(f"no gases: {self.model.force_field} has {', '.join(known)}")
        for name in self.gases:
            try:
                find_gas(known, name)
            except InputError as error:
                raise ValueError(f"{self.model.force_field} has {', '.join(known)}; {error}") from None
        return self


@dataclass(frozen=True)
class HenryResult:
    """Zero-loading adsorption of one gas."""

    gas: str
    temperature: float  # K
    henry_coefficient: float  # mol/(kg Pa), absolute
    henry_std: float  # one standard error
    heat: float | None  # kJ/mol, isosteric, positive when adsorption releases heat; None: no molecule fits
    heat_std: float | None  # one standard error
    widom_factor: float  # <exp(-U/kT)> over the whole cell, overlaps counted as zero
    widom_std: float  # one standard error
    insertions: int
    method: str
    note: str = ""  # a warning on the figures, when there is one


def henry_coefficient(
    structure: Structure,
    gas: str,
    *,
    temperature: float = 298.0,
    settings: HenrySettings | None = None,
    seed: int = 0,
) -> HenryResult:
    """Henry coefficient and zero-loading heat of adsorption of a gas in a rigid framework.

    K_H = W / (R T rho) with the Widom factor W over the whole cell and the framework density rho. The heat is
    q_st = R T - <U> with <U> the mean host-guest energy of a single molecule in a canonical Monte Carlo run,
    which samples the strong sites that random insertions seldom meet (D. Frenkel, B. Smit, Understanding
    Molecular Simulation; T. J. H. Vlugt et al., J. Chem. Theory Comput. 4, 1107 (2008)).

    Args:
        structure: ordered periodic framework; a site property `charge` (e) is used as given.
        gas: name in the force field, such as `CO2`.
        temperature: K; this argument, not `settings.temperature`, is used.
        settings: model and effort.
        seed: the result is a function of (structure, gas, temperature, settings, seed) alone.

    Raises:
        InputError: unknown gas or element, disorder, or charges that are not neutral.
        GeometryError: a cell that cannot be simulated.
    """
    settings = settings or HenrySettings()
    return henry_of_host(prepare_host(structure, settings.model), gas, temperature, settings, seed)


def henry_of_host(host: Host, gas_name: str, temperature: float, settings: HenrySettings, seed: int) -> HenryResult:
    """`henry_coefficient` of a framework that is already prepared."""
    if not temperature > 0.0:
        raise InputError(f"temperature {temperature} K is not above 0: give it in kelvin")
    gas = find_gas(host.force_field.gases, gas_name)
    raspalib = load_raspalib()
    cycles = _cycles(settings.insertions)
    system = run_monte_carlo(
        build_system(
            host,
            [gas],
            temperature=temperature,
            pressure=1.0,  # a ghost exerts none; raspalib wants a number
            fugacity_coefficients=[1.0],
            mole_fractions=[1.0],
            moves=raspalib.MCMoveProbabilities(widom_probability=1.0),
            molecules=[0],
        ),
        cycles=cycles,
        equilibration_cycles=0,
        seed=derive_seed(seed, "widom", gas.name, temperature),
    )
    widom, interval = system.components[0].average_rosenbluth_weights.result()
    widom_std = standard_error(interval)
    per_factor = 1.0 / (GAS_CONSTANT * temperature * host.density)
    heat = heat_std = None
    note = ""
    if widom < MIN_WIDOM_FOR_HEAT:
        note = f"hardly any of {cycles * MOVES_PER_CYCLE} insertions found room: {gas.name} does not fit"
    else:
        heat, heat_std = _zero_loading_heat(host, gas, temperature, settings, seed)
        if widom_std > UNRELIABLE_ERROR * widom:
            note = "few insertions carry the average: the error is a lower bound"
    return HenryResult(
        gas=gas.name,
        temperature=temperature,
        henry_coefficient=widom * per_factor,
        henry_std=widom_std * per_factor,
        heat=heat,
        heat_std=heat_std,
        widom_factor=float(widom),
        widom_std=widom_std,
        insertions=cycles * MOVES_PER_CYCLE,
        method=f"RASPA3 Widom, {cycles * MOVES_PER_CYCLE} insertions; heat from one molecule (NVT, "
        f"{_cycles(settings.heat_moves) * MOVES_PER_CYCLE} moves); {BLOCKS} blocks; {host.method}; "
        f"{describe_pockets(host, [gas])}",
        note=note,
    )


def _zero_loading_heat(
    host: Host, gas: Gas, temperature: float, settings: HenrySettings, seed: int
) -> tuple[float, float]:
    """(q_st, standard error) in kJ/mol from the mean energy of one molecule."""
    raspalib = load_raspalib()
    rotation = 0.3 if len(gas.sites) > 1 else 0.0
    cycles = _cycles(settings.heat_moves)
    system = run_monte_carlo(
        build_system(
            host,
            [gas],
            temperature=temperature,
            pressure=1.0,
            fugacity_coefficients=[1.0],
            mole_fractions=[1.0],
            moves=raspalib.MCMoveProbabilities(
                translation_probability=0.3, rotation_probability=rotation, reinsertion_cbmc_probability=0.4
            ),
            molecules=[1],
        ),
        cycles=cycles,
        equilibration_cycles=max(cycles // 10, 1),
        seed=derive_seed(seed, "heat", gas.name, temperature),
    )
    mean, interval = system.average_energies.result()
    energy = mean.total_energy.energy  # K
    energy_std = standard_error(interval.total_energy.energy)  # K
    return (temperature - energy) * KJ_PER_MOL_PER_KELVIN, energy_std * KJ_PER_MOL_PER_KELVIN


def _cycles(moves: int) -> int:
    return max(-(-moves // MOVES_PER_CYCLE), BLOCKS)  # every block needs a cycle
