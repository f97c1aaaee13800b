"""Henry coefficients by Widom insertion and heats of adsorption at zero loading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator
from pymatgen.core import Structure

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.batched.energy_grid import EnergyGrid, energy_grid
from screening.adsorption.batched.host_field import HostField, host_field
from screening.adsorption.batched.widom import SPACING, widom
from screening.adsorption.blocking import describe_pockets, pocket_blocks
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
    engine: Literal["batched", "raspa"] = "batched"  # ours on energy grids, or RASPA3; the same physics
    error: float = Field(default=0.05, gt=0.0, lt=1.0)  # relative standard error of K_H to reach; batched only
    insertions: int = Field(default=8_000, ge=200)  # Widom insertions a gas; raspa only
    # Monte Carlo moves of one molecule, a gas; a tenth more to settle; raspa only
    heat_moves: int = Field(default=4_000, ge=200)

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
    q_st = R T - <U> with <U> the mean host-guest energy of a single molecule: of the weighted insertions themselves
    where they are drawn by importance (engine `batched`), of a canonical Monte Carlo run where they are uniform and
    seldom meet the strong sites (engine `raspa`). D. Frenkel, B. Smit, Understanding Molecular Simulation;
    T. J. H. Vlugt et al., J. Chem. Theory Comput. 4, 1107 (2008).

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
    if settings.engine == "batched":
        return henry_at_temperatures(host, gas_name, [temperature], settings, seed)[0]
    return _henry_by_raspa(host, find_gas(host.force_field.gases, gas_name), temperature, settings, seed)


def henry_at_temperatures(
    host: Host, gas_name: str, temperatures: Sequence[float], settings: HenrySettings, seed: int
) -> tuple[HenryResult, ...]:
    """Henry coefficients of one gas at several temperatures (K) from one set of insertions, by the batched engine.

    Raises:
        InputError: unknown gas, or a temperature that is not positive.
    """
    if not temperatures or min(temperatures) <= 0.0:
        raise InputError(f"temperatures {list(temperatures)} K: give one or more above 0, in kelvin")
    gas = find_gas(host.force_field.gases, gas_name)
    field, grid = _field_and_grid(host, gas, settings)
    pockets = pocket_blocks(host, gas)
    estimate = widom(
        field,
        grid,
        gas,
        temperatures,
        error=settings.error,
        seed=seed,
        blocks=(pockets.centres, pockets.radii),
    )
    results = []
    for i, temperature in enumerate(temperatures):
        factor, factor_std = float(estimate.factors[i]), float(estimate.factor_stds[i])
        per_factor = 1.0 / (GAS_CONSTANT * temperature * host.density)
        fits = factor >= MIN_WIDOM_FOR_HEAT
        note = "" if fits else f"hardly any of {estimate.drawn} insertions found room: {gas.name} does not fit"
        if fits and (factor_std > UNRELIABLE_ERROR * factor or estimate.largest_shares[i] > UNRELIABLE_ERROR):
            note = "few insertions carry the average: the error is a lower bound"
        elif fits and factor_std > 1.5 * settings.error * factor:
            note = f"the error of {settings.error:.0%} asked for was not reached"
        results.append(
            HenryResult(
                gas=gas.name,
                temperature=temperature,
                henry_coefficient=factor * per_factor,
                henry_std=factor_std * per_factor,
                heat=(temperature - float(estimate.energies[i])) * KJ_PER_MOL_PER_KELVIN if fits else None,
                heat_std=float(estimate.energy_stds[i]) * KJ_PER_MOL_PER_KELVIN if fits else None,
                widom_factor=factor,
                widom_std=factor_std,
                insertions=estimate.drawn,
                method=f"batched Widom, {estimate.drawn} insertions weighed on a {SPACING:g} Å grid, of these "
                f"{estimate.exact} summed exactly; {host.method}; {describe_pockets(host, [gas])}",
                note=note,
            )
        )
    return tuple(results)


def _field_and_grid(host: Host, gas: Gas, settings: HenrySettings) -> tuple[HostField, EnergyGrid]:
    """Of all gases of the settings at once, kept with the host; of another gas alone."""
    gases = [find_gas(host.force_field.gases, name) for name in settings.gases]
    if gas not in gases:
        gases = [gas]
    key = "energy grid of " + ", ".join(each.name for each in gases)
    if key not in host.cache:
        field = host_field(host, gases)
        host.cache[key] = gases, field, energy_grid(field, SPACING)
    known, field, grid = host.cache[key]
    if known != gases:  # the same name, another model of the gas
        field = host_field(host, gases)
        grid = energy_grid(field, SPACING)
    return field, grid


def _henry_by_raspa(host: Host, gas: Gas, temperature: float, settings: HenrySettings, seed: int) -> HenryResult:
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
