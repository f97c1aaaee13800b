"""Run a process recipe on one framework: Henry coefficients, isotherms, mixtures, figures.

The order is cheap to dear: Widom insertion of every gas, pure-gas isotherms at the temperature of adsorption, the
mixture at both ends of the cycle (simulated, or predicted from the pure gases), figures with propagated errors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.batched.gcmc_sampling import MOST_WORK
from screening.adsorption.cycles import Recipe, State, find_recipe
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.force_fields import HostGuestModel, find_force_field
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas, find_gas
from screening.adsorption.gcmc import GcmcSettings, UptakeResult
from screening.adsorption.henry import HenryResult, HenrySettings, henry_of_host
from screening.adsorption.iast import iast
from screening.adsorption.isotherm_fits import CANDIDATES, IsothermFit, fit_isotherm
from screening.adsorption.isotherm_temperature import at_temperature
from screening.adsorption.isotherms import Isotherm
from screening.adsorption.process import Measured, sample
from screening.adsorption.uptake_engine import Engine, uptakes
from screening.adsorption.void_fraction import PoreVolume, helium_void
from screening.stage_report import tell

DRAWS = 32  # of the fits behind the errors of predicted mixtures
LOWEST_SHARE = 0.1  # the isotherm begins at this share of the gas's partial pressure
MIN_POINTS = 3  # of an isotherm that is fitted


class RecipeSettings(Config):
    """What to measure for which process, and with how much effort."""

    conditions: str = "flue-gas"  # a recipe of `screening.adsorption.cycles`, or the path of a recipe file
    model: HostGuestModel = HostGuestModel()
    gases: tuple[str, ...] = ()  # Henry coefficients and isotherms of these besides the recipe's own gases
    # At the two ends of the cycle: simulated, predicted from pure-gas isotherms (moved in T by the heats), or left out
    mixtures: Literal["gcmc", "iast", "none"] = "gcmc"
    # Henry coefficients and heats: by our batched insertions to a relative error, or by RASPA3 with fixed effort
    henry_engine: Literal["batched", "raspa"] = "batched"
    henry_error: float = Field(default=0.05, gt=0.0, lt=1.0)  # batched only
    insertions: int = Field(default=8_000, ge=200)  # Widom insertions a gas; raspa only
    heat_moves: int = Field(default=4_000, ge=200)  # moves of one molecule, a gas, for the heat; raspa only
    isotherm_points: int = Field(default=6, ge=0, le=60)  # a gas, at the temperature of adsorption; 0: none
    # Isotherms and mixtures: by our engine on energy grids to a relative error, or by RASPA3 with the cycles below;
    # auto takes ours unless a gas is polar
    gcmc_engine: Engine = "auto"
    equilibration_cycles: int = Field(default=300, ge=0)  # of every grand-canonical run; raspa only
    production_cycles: int = Field(default=900, ge=10)  # raspa only
    uptake_error: float = Field(default=0.03, gt=0.0, lt=1.0)  # relative standard error to reach; batched only
    # distances between guests looked at a state point, 3 to 10 ns each, after which it stops and says so; batched only
    uptake_work: float = Field(default=MOST_WORK, ge=1e6)
    heat_capacity: float = Field(default=948.0, gt=0.0)  # J/(kg K) of the framework, for parasitic energies

    @field_validator("conditions")
    @classmethod
    def _recipe_exists(cls, name: str) -> str:
        try:
            found = find_recipe(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name if name.lower().endswith((".yaml", ".yml")) else found.name

    @field_validator("gases")
    @classmethod
    def _more_gases_are_known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "model" in info.data:  # else its own fault is told
            _require_gases(info.data["model"], value)
        return value

    @model_validator(mode="after")
    def _gases_are_known(self) -> Self:
        _require_gases(self.model, self.recipe.gases)
        return self

    @property
    def recipe(self) -> Recipe:
        """The recipe of `conditions`."""
        return find_recipe(self.conditions)


@dataclass(frozen=True)
class IsothermPoint:
    """One pure-gas state point."""

    gas: str
    temperature: float  # K
    pressure: float  # Pa
    fugacity: float  # Pa
    uptake: float  # mol/kg, absolute
    uptake_std: float  # one standard error
    heat: float | None  # kJ/mol, where resolved
    method: str = ""
    note: str = ""  # a warning on the figure, when there is one


@dataclass(frozen=True)
class Uptakes:
    """What a mixture puts into the pores at one state."""

    state: State
    loadings: dict[str, Measured]  # mol/kg
    heats: dict[str, Measured]  # kJ/mol, where resolved
    method: str
    note: str = ""  # a warning on the figures, when there is one


@dataclass(frozen=True)
class RecipeRun:
    """Everything measured on one framework."""

    recipe: Recipe
    henry: dict[str, HenryResult]
    pores: PoreVolume | None
    points: dict[str, tuple[IsothermPoint, ...]]
    fits: dict[str, IsothermFit]  # loading against fugacity
    feed: Uptakes | None
    regeneration: Uptakes | None
    notes: tuple[str, ...]


def run_recipe(host: Host, settings: RecipeSettings, seed: int) -> RecipeRun:
    """Measure what a recipe asks for; a function of its arguments alone.

    Raises:
        InputError: a gas the force field lacks.
    """
    recipe = settings.recipe
    temperature = recipe.feed.temperature
    wanted = tuple(dict.fromkeys([*recipe.gases, *(_canonical(host, name) for name in settings.gases)]))
    protocol = HenrySettings(
        model=settings.model,
        engine=settings.henry_engine,
        error=settings.henry_error,
        insertions=settings.insertions,
        heat_moves=settings.heat_moves,
    )
    henry = {}
    for name in wanted:
        tell(f"{name}: Henry coefficient at {temperature:g} K")
        henry[name] = henry_of_host(host, name, temperature, protocol, seed)
    tell("pore volume")
    pores = helium_void(host, settings.insertions // 2, seed) if "He" in host.force_field.gases else None
    dry = [name for name in wanted if name != "H2O" or "H2O" in recipe.feed.mixture or "H2O" in settings.gases]
    points, fits, notes = {}, {}, []
    if settings.isotherm_points:
        for name in dry:
            pressures = isotherm_pressures(recipe, name, settings.isotherm_points)
            points[name] = measure_isotherm(host, name, pressures, temperature, settings, seed)
            fit = fit_points(points[name], henry[name])
            if isinstance(fit, str):
                notes.append(fit)
            else:
                fits[name] = fit
    feed = regeneration = None
    if settings.mixtures == "gcmc":
        feed = simulate(host, recipe.feed, settings, seed)
        regeneration = simulate(host, recipe.regeneration, settings, seed) if recipe.regeneration else None
    elif settings.mixtures == "iast" and all(name in fits for name in recipe.feed.mixture):
        try:
            feed = predict(host, recipe.feed, fits, henry, seed)
            regeneration = predict(host, recipe.regeneration, fits, henry, seed) if recipe.regeneration else None
        except InputError as error:
            notes.append(str(error))
    elif settings.mixtures == "iast":
        notes.append("the mixture cannot be predicted: every gas needs an isotherm that can be fitted")
    return RecipeRun(recipe, henry, pores, points, fits, feed, regeneration, tuple(notes))


def isotherm_pressures(recipe: Recipe, gas: str, count: int) -> list[float]:
    """Pressures (Pa) of a gas's isotherm: from a tenth of its partial pressure to the total, that pressure among them.

    A gas foreign to the recipe gets the range of the target.
    """
    own = recipe.partial_pressure(gas) or recipe.partial_pressure(recipe.target)
    low, high = LOWEST_SHARE * own, max(recipe.feed.pressure, 3.0 * own)
    grid = np.geomspace(low, high, count) if count > 1 else np.array([own])
    grid[np.argmin(np.abs(np.log(grid / own)))] = own
    return [float(f"{pressure:.6g}") for pressure in grid]


def measure_isotherm(
    host: Host, gas: str, pressures: list[float], temperature: float, settings: RecipeSettings, seed: int
) -> tuple[IsothermPoint, ...]:
    """Grand-canonical uptake of a pure gas at every pressure."""
    found = []
    for result in grand_canonical(host, {gas: 1.0}, pressures, temperature, settings, seed):
        part = result.components[0]
        found.append(
            IsothermPoint(
                gas=part.gas,
                temperature=temperature,
                pressure=result.pressure,
                fugacity=part.fugacity,
                uptake=part.uptake,
                uptake_std=part.uptake_std,
                heat=part.heat,
                method=result.method,
                note=result.note,
            )
        )
    return tuple(found)


def grand_canonical(
    host: Host,
    mixture: Mapping[str, float],
    pressures: Sequence[float],
    temperature: float,
    settings: RecipeSettings,
    seed: int,
) -> list[UptakeResult]:
    """Uptake at every pressure (Pa) by the engine of the settings."""
    protocol = GcmcSettings(
        model=settings.model,
        equilibration_cycles=settings.equilibration_cycles,
        production_cycles=settings.production_cycles,
    )
    engine, error = settings.gcmc_engine, settings.uptake_error
    return uptakes(
        host,
        mixture,
        pressures,
        temperature,
        engine=engine,
        error=error,
        protocol=protocol,
        seed=seed,
        most_work=settings.uptake_work,
    )


def fit_points(points: tuple[IsothermPoint, ...], henry: HenryResult) -> IsothermFit | str:
    """The model AIC chooses for the points and the Henry coefficient, against fugacity; or why there is none."""
    gas = points[0].gas
    if len(points) < MIN_POINTS:
        return f"{len(points)} points of {gas} are too few for a fit: measure at least {MIN_POINTS}"
    limit = Measured(henry.henry_coefficient, henry.henry_std) if henry.henry_coefficient > 0.0 else None
    try:
        return fit_isotherm(
            [point.fugacity for point in points],
            [point.uptake for point in points],
            [point.uptake_std for point in points],
            henry=limit,
            models=CANDIDATES,
        )
    except InputError as error:
        return f"{gas}: {error}"


def simulate(host: Host, state: State, settings: RecipeSettings, seed: int) -> Uptakes:
    """The mixture by grand-canonical Monte Carlo."""
    (found,) = grand_canonical(host, state.mixture, [state.pressure], state.temperature, settings, seed)
    return Uptakes(
        state,
        {part.gas: Measured(part.uptake, part.uptake_std) for part in found.components},
        {
            part.gas: Measured(part.heat, part.heat_std)
            for part in found.components
            if part.heat is not None and part.heat_std is not None
        },
        found.method,
        found.note,
    )


def predict(
    host: Host, state: State, fits: dict[str, IsothermFit], henry: dict[str, HenryResult], seed: int
) -> Uptakes:
    """The mixture by IAST from the fitted isotherms, moved to the state's temperature by the zero-loading heats.

    Errors: the spread over `DRAWS` draws of all fits, and of the heats where the temperature changes.
    """
    names = list(state.mixture)
    fugacities = state_fugacities(host, state)
    models = [_moved(fits[name].isotherm, henry[name], state.temperature, 0.0) for name in names]
    best = iast(models, fugacities).loadings
    drawn = np.array([iast(list(each), fugacities).loadings for each in _draws(names, fits, henry, state, seed)])
    moved = any(henry[name].temperature != state.temperature for name in names)
    how = "; ".join(f"{name}: {fits[name].method}" for name in names)
    return Uptakes(
        state,
        {name: sample(drawn[:, i].tolist(), float(best[i])) for i, name in enumerate(names)},
        {},
        f"IAST from {how}" + ("; moved in temperature by the zero-loading heats" if moved else ""),
    )


def state_fugacities(host: Host, state: State) -> np.ndarray:
    """Fugacity of every gas of a state, Pa, by Peng-Robinson."""
    gases = state_gases(host, state)
    fractions = list(state.mixture.values())
    phi = peng_robinson(gases, fractions, temperature=state.temperature, pressure=state.pressure).fugacity_coefficients
    return np.array(fractions) * np.array(phi) * state.pressure


def _require_gases(model: HostGuestModel, names: Iterable[str]) -> None:
    known = find_force_field(model.force_field).gases
    for name in names:
        try:
            find_gas(known, name)
        except InputError as error:
            raise ValueError(str(error)) from None


def state_gases(host: Host, state: State) -> list[Gas]:
    """The gases of a state as the force field has them."""
    return [find_gas(host.force_field.gases, name) for name in state.mixture]


def _draws(
    names: list[str], fits: dict[str, IsothermFit], henry: dict[str, HenryResult], state: State, seed: int
) -> list[tuple[Isotherm, ...]]:
    rng = np.random.default_rng([seed, 7])
    columns: list[list[Isotherm]] = []
    for name in names:
        errors = rng.standard_normal(DRAWS)
        models = fits[name].draws(DRAWS, name, seed)
        columns.append(
            [_moved(model, henry[name], state.temperature, error) for model, error in zip(models, errors, strict=True)]
        )
    return list(zip(*columns, strict=True))


def _moved(isotherm: Isotherm, henry: HenryResult, temperature: float, error: float) -> Isotherm:
    """The isotherm at another temperature, its heat `error` standard errors off."""
    if temperature == henry.temperature:
        return isotherm
    if henry.heat is None:
        raise InputError(f"{henry.gas} has no heat of adsorption to move its isotherm to {temperature:g} K by")
    return at_temperature(isotherm, henry.heat + error * (henry.heat_std or 0.0), henry.temperature, temperature)


def _canonical(host: Host, name: str) -> str:
    return find_gas(host.force_field.gases, name).name
