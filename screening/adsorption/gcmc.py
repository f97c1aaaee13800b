"""Uptake of gases and gas mixtures at a pressure and temperature by grand-canonical Monte Carlo."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field
from pymatgen.core import Structure

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.blocking import describe_pockets
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.equilibration import (
    Equilibrium,
    after,
    detect_equilibrium,
    mean_and_error,
    statistical_inefficiency,
)
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.raspa import (
    ENERGY_EVERY,
    KJ_PER_MOL_PER_KELVIN,
    Trace,
    build_system,
    cycle_lengths,
    load_raspalib,
    sample_grand_canonical,
)
from screening.adsorption.seeds import derive_seed

_MOST_BLOCKS, _FEWEST_BLOCKS = 20, 5  # of a run, for the error of its heats
_WORST_HEAT = 20.0  # kJ/mol; a larger error is no measurement


class GcmcSettings(Config):
    """Protocol of one grand-canonical run; a cycle is max(20, adsorbed molecules) moves.

    What is discarded as equilibration is detected, not set: `equilibration_cycles` only make the first run longer.
    """

    model: HostGuestModel = HostGuestModel()
    equilibration_cycles: int = Field(default=400, ge=0)  # allowed for
    production_cycles: int = Field(default=1000, ge=10)  # asked for; with the above, the length of the first run
    independent_samples: float = Field(default=20.0, ge=1.0)  # a run with fewer goes on, by half its first length
    longest: float = Field(default=3.0, ge=1.0)  # times its first length a run may grow to
    # "cycles" is what RASPA prints; it counts crowded moments too little (see `cycle_lengths` in raspa.py)
    averages: Literal["moves", "cycles"] = "moves"
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
    cycles: int = 0  # run, all told
    discarded: int = 0  # of these, as equilibration
    independent_samples: float = 0.0  # in the rest
    note: str = ""  # a warning on the figures, when there is one

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

    Fugacities by Peng-Robinson (`equation_of_state.py`). Equilibration is detected and discarded, a run with too few
    independent samples goes on, and errors take the autocorrelation into account (`equilibration.py`). Heats from
    the fluctuations of energy and number (D. Nicholson, N. G. Parsonage, Computer Simulation and the Statistical
    Mechanics of Adsorption, 1982), which need loaded pores: where numbers fluctuate too little, the heat is None.

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
    system = build_system(
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
    )
    trace, found = _run_to_equilibrium(
        system, settings, derive_seed(seed, "gcmc", sorted(mixture.items()), pressure, temperature)
    )
    numbers, energies = after(trace.numbers, found.start), after(trace.energies, found.start)
    box_mass = host.cell_mass * math.prod(host.repeats)  # kg/mol of simulation boxes
    weights = cycle_lengths(trace.numbers) if settings.averages == "moves" else np.ones(len(trace.numbers))
    looked = slice(ENERGY_EVERY - 1, None, ENERGY_EVERY)  # cycles whose energy is known
    heats = _heats(trace.numbers[looked][-len(energies) :], energies, weights[looked][-len(energies) :], temperature)
    weights = after(weights, found.start)
    components = []
    for index, (gas, fraction, coefficient) in enumerate(zip(gases, fractions, coefficients, strict=True)):
        mean, error = mean_and_error(numbers[:, index], weights)
        heat, heat_std = heats[index]
        components.append(
            ComponentUptake(
                gas=gas.name,
                mole_fraction=fraction,
                fugacity=fraction * coefficient * pressure,
                uptake=mean / box_mass,
                uptake_std=error / box_mass,
                heat=heat,
                heat_std=heat_std,
            )
        )
    fugacity = "ideal gas" if settings.ideal_gas else "Peng-Robinson"
    cycles, discarded = len(trace.numbers), len(trace.numbers) - len(numbers)
    note = ""
    if not found.enough(settings.independent_samples):
        note = (
            f"only {found.samples:.0f} independent samples in {cycles} cycles, {discarded} of them equilibration: "
            "the errors are lower bounds"
        )
    return UptakeResult(
        temperature=temperature,
        pressure=pressure,
        components=tuple(components),
        method=f"RASPA3 GCMC, absolute loading, {fugacity} fugacity, {cycles} cycles, {discarded} of them discarded as "
        f"equilibration (detected), {found.samples:.0f} independent samples, averages over "
        f"{settings.averages}; {host.method}; {describe_pockets(host, gases)}",
        cycles=cycles,
        discarded=discarded,
        independent_samples=found.samples,
        note=note,
    )


def _run_to_equilibrium(system: Any, settings: GcmcSettings, seed: int) -> tuple[Trace, Equilibrium]:
    """Run until enough independent samples lie beyond the detected equilibration, or as long as a run may be."""
    first = _multiple(settings.equilibration_cycles + settings.production_cycles)
    most = _multiple(int(first * settings.longest))
    system, trace = sample_grand_canonical(system, cycles=first, seed=seed)
    while True:
        state = detect_equilibrium([*trace.numbers.T, trace.energies])
        left = most - len(trace.numbers)
        if state.enough(settings.independent_samples) or left <= 0:
            return trace, state
        cycles = min(_multiple(first // 2), left)
        system, more = sample_grand_canonical(system, cycles=cycles, seed=derive_seed(seed, len(trace.numbers)))
        trace = trace.then(more)


def _multiple(cycles: int) -> int:
    return -(-cycles // ENERGY_EVERY) * ENERGY_EVERY


def _heats(
    numbers: np.ndarray, energies: np.ndarray, weights: np.ndarray, temperature: float
) -> list[tuple[float | None, float | None]]:
    """(heat, standard error) in kJ/mol of every component, None where numbers fluctuate too little to tell.

    q_i = R T - d<U>/d<N_i>, the derivative from the covariances of energy and numbers; errors by the jackknife
    over blocks of the run, each longer than the correlation.

    Args:
        numbers: [m, components] molecules in the box.
        energies: [m] K, at the same cycles.
        weights: [m] how much each counts.
        temperature: K.
    """
    count = numbers.shape[1]
    nothing: list[tuple[float | None, float | None]] = [(None, None)] * count
    longest = max(map(statistical_inefficiency, (*numbers.T, energies)), default=1.0)
    blocks = int(min(_MOST_BLOCKS, len(energies) / (2.0 * longest)))
    whole = _slopes(numbers, energies, weights)
    if blocks < _FEWEST_BLOCKS or whole is None:
        return nothing
    owner = np.arange(len(energies)) * blocks // len(energies)
    rest = [owner != block for block in range(blocks)]
    without = [_slopes(numbers[kept], energies[kept], weights[kept]) for kept in rest]
    if any(slopes is None for slopes in without):
        return nothing
    spread = np.sqrt((blocks - 1.0) * np.var(np.array(without), axis=0))
    heats = (temperature - whole) * KJ_PER_MOL_PER_KELVIN
    errors = spread * KJ_PER_MOL_PER_KELVIN
    # an error of tens of kJ/mol is a singular fluctuation matrix, not a measurement
    return [
        (float(q), float(e)) if 0.0 < e <= _WORST_HEAT else (None, None) for q, e in zip(heats, errors, strict=True)
    ]


def _slopes(numbers: np.ndarray, energies: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """d<U>/d<N_i> [components], K; None when the numbers do not fluctuate independently."""
    share = weights / weights.sum()
    away, excess = numbers - share @ numbers, energies - share @ energies
    covariance = away.T @ (share[:, None] * away)
    if np.linalg.matrix_rank(covariance, tol=1e-9) < len(covariance):
        return None
    return np.asarray(np.linalg.solve(covariance, away.T @ (share * excess)))
