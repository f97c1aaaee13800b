"""From what was measured for a recipe to named properties: uptakes, selectivities, process figures.

Names begin with the recipe's prefix (`vsa_working_capacity`), except quantities that belong to the framework alone:
Henry coefficients, heats, the void fraction, and the points of pure isotherms (`co2_pure_uptake_0.05bar_298K`).
"""

import re
from dataclasses import replace

import numpy as np

from potentials.errors import InputError
from screening.adsorption.framework import Host
from screening.adsorption.iast import iast
from screening.adsorption.isotherms import Isotherm, Langmuir
from screening.adsorption.parasitic_energy import SOURCES, Bed, ParasiticEnergy, gas_from_isotherm, parasitic_energy
from screening.adsorption.process import (
    Measured,
    performance_score,
    purity,
    ratio,
    regenerability,
    sample,
    selectivity,
    working_capacity,
)
from screening.adsorption.recipe_run import (
    MIN_POINTS,
    IsothermPoint,
    RecipeRun,
    RecipeSettings,
    Uptakes,
    state_fugacities,
    state_gases,
)
from screening.adsorption.void_fraction import excess_uptake
from screening.candidate import Property

PARASITIC_DRAWS = 12  # of fits and heats behind the error of a parasitic energy
LIQUID_WATER = 997.05 / 0.0180153  # mol/m^3 at 298 K: what a pore filled with water holds
_POINT = re.compile(r"([a-z0-9]+)_pure_uptake_([0-9.e+-]+)bar_([0-9.]+)K")


def recipe_properties(host: Host, run: RecipeRun, settings: RecipeSettings, seed: int) -> tuple[Property, ...]:
    """Every figure of a run, with unit, standard error and method."""
    return (
        *henry_properties(run),
        *_void_properties(run),
        *(point_property(point) for points in run.points.values() for point in points),
        *_cycle_properties(host, run),
        *_humid_properties(host, run, seed),
        *_parasitic_properties(host, run, settings, seed),
    )


def henry_properties(run: RecipeRun) -> list[Property]:
    """Henry coefficients, zero-loading heats, and Henry ratios of the target over every other gas."""
    found = []
    suffix = f"{run.recipe.feed.temperature:g}K"
    for name, item in run.henry.items():
        low, how = name.lower(), item.method
        found.append(
            Property(f"{low}_henry_{suffix}", item.henry_coefficient, "mol/(kg Pa)", item.henry_std, how, item.note)
        )
        how = f"isosteric at zero loading, positive when heat is released; {item.method}"
        found.append(Property(f"{low}_heat_{suffix}", item.heat, "kJ/mol", item.heat_std, how, item.note))
    target = run.henry.get(run.recipe.target)
    for name, item in run.henry.items():
        if target is None or name == run.recipe.target:
            continue
        quotient = ratio(
            Measured(target.henry_coefficient, target.henry_std), Measured(item.henry_coefficient, item.henry_std)
        )
        label = f"{run.recipe.prefix}_{target.gas.lower()}_{name.lower()}_henry_ratio"
        how = f"K_H({target.gas}) / K_H({name}) at {suffix}; {item.method}"
        found.append(_property(label, quotient, "", how, f"no room for {name}"))
    return found


def point_property(point: IsothermPoint) -> Property:
    """A point of a pure isotherm as a property that a store can keep."""
    name = f"{point.gas.lower()}_pure_uptake_{point.pressure / 1e5:.6g}bar_{point.temperature:g}K"
    return Property(name, point.uptake, "mol/kg", point.uptake_std, point.method, point.note)


def parse_point(item: Property) -> tuple[str, float, float] | None:
    """(gas, pressure in Pa, temperature in K) of a property that `point_property` made; None for any other."""
    match = _POINT.fullmatch(item.name)
    return None if match is None else (match[1].upper(), float(match[2]) * 1e5, float(match[3]))


def _void_properties(run: RecipeRun) -> list[Property]:
    if run.pores is None:
        return []
    void = run.pores.void_fraction
    return [Property("helium_void_fraction", void.value, "", void.std, run.pores.method)]


def _cycle_properties(host: Host, run: RecipeRun) -> list[Property]:
    recipe, feed = run.recipe, run.feed
    if feed is None and not run.notes:
        return []
    if feed is None:
        reason = "; ".join(run.notes)
        return [Property(f"{recipe.prefix}_{recipe.target.lower()}_uptake", None, "mol/kg", None, recipe.title, reason)]
    prefix, how = recipe.prefix, f"{recipe.title}; {feed.method}"
    found = []
    for name, uptake in feed.loadings.items():
        item = _property(f"{prefix}_{name.lower()}_uptake", uptake, "mol/kg", f"absolute; {how}")
        found.append(replace(item, note=feed.note))
        if name in feed.heats:
            found.append(_property(f"{prefix}_{name.lower()}_heat", feed.heats[name], "kJ/mol", how))
    if run.pores is not None:
        found.append(_excess_property(host, run, feed))
    target = feed.loadings[recipe.target]
    selectivities = {}
    for name, uptake in feed.loadings.items():
        if name == recipe.target:
            continue
        pair = recipe.feed.mixture[recipe.target], recipe.feed.mixture[name]
        selectivities[name] = selectivity(target, uptake, pair[0] / sum(pair))
        label = f"{prefix}_{recipe.target.lower()}_{name.lower()}_selectivity"
        found.append(_property(label, selectivities[name], "", f"(q1/q2)/(y1/y2); {how}", f"no {name} adsorbed"))
    if run.regeneration is not None:
        found += _swing_properties(run, run.regeneration, selectivities)
    return found


def _swing_properties(
    run: RecipeRun, regeneration: Uptakes, selectivities: dict[str, Measured | None]
) -> list[Property]:
    assert run.feed is not None
    prefix, target = run.recipe.prefix, run.recipe.target
    how = f"{run.recipe.title}; {run.feed.method}; regeneration: {regeneration.method}"
    nothing = Measured(0.0, 0.0)  # a gas that is not over the bed at regeneration is desorbed altogether
    capacities = {
        name: working_capacity(uptake, regeneration.loadings.get(name, nothing))
        for name, uptake in run.feed.loadings.items()
    }
    own = capacities[target]
    others = [capacity for name, capacity in capacities.items() if name != target]
    low = target.lower()
    # more held after regeneration than before: a share of that, or a score, would be a number without a meaning
    barren = f"the cycle yields no {target}: more is held under the gas of regeneration than was taken up"
    yields = own.value > 0.0
    found = [
        replace(
            _property(f"{prefix}_{low}_left", regeneration.loadings[target], "mol/kg", f"absolute; {how}"),
            note=regeneration.note,
        ),
        _property(f"{prefix}_working_capacity", own, "mol/kg", how),
        _property(
            f"{prefix}_regenerability",
            regenerability(run.feed.loadings[target], regeneration.loadings[target]) if yields else None,
            "%",
            how,
            barren,
        ),
    ]
    if others:
        share = purity(own, others)
        label = "mole fraction of the target in what the solid gives back, gas between grains left out"
        found.append(_property(f"{prefix}_purity", share, "", f"{label}; {how}", barren))
    if len(selectivities) == 1 and (first := next(iter(selectivities.values()))) is not None:
        score = performance_score(first, own) if yields else None
        found.append(_property(f"{prefix}_aps", score, "mol/kg", f"selectivity x WC; {how}", barren))
    return found


def _excess_property(host: Host, run: RecipeRun, feed: Uptakes) -> Property:
    assert run.pores is not None
    names = list(feed.state.mixture)
    excess = excess_uptake(
        feed.loadings[run.recipe.target],
        names.index(run.recipe.target),
        state_gases(host, feed.state),
        list(feed.state.mixture.values()),
        pressure=feed.state.pressure,
        temperature=feed.state.temperature,
        pore_volume=run.pores.volume,
    )
    how = f"absolute less helium pore volume times gas density; {run.recipe.title}; {feed.method}"
    return _property(f"{run.recipe.prefix}_{run.recipe.target.lower()}_excess_uptake", excess, "mol/kg", how)


def _humid_properties(host: Host, run: RecipeRun, seed: int) -> list[Property]:
    """What is left of the target's uptake in humid gas: IAST with water as a Langmuir gas that fills the pores.

    A screen: water's isotherm is taken as a Langmuir curve with its Henry coefficient and the pore volume full of
    liquid as capacity. Water that condenses or clusters is taken up more steeply, so the figure is an upper bound
    where water wets the pores.
    """
    recipe = run.recipe
    if recipe.relative_humidity <= 0.0:
        return []
    label = f"{recipe.prefix}_{recipe.target.lower()}_uptake_humid"
    how = (
        f"IAST screen at {100 * recipe.relative_humidity:g} % relative humidity, water as a Langmuir gas with its "
        f"Henry coefficient and the helium pore volume of liquid as capacity; {recipe.title}"
    )
    names = list(recipe.feed.mixture)
    water = run.henry.get("H2O")
    missing = [name for name in names if name not in run.fits]
    if missing or water is None or run.pores is None or water.henry_coefficient <= 0.0:
        reason = f"no fitted isotherm of {', '.join(missing)}" if missing else "no pore water can enter"
        return [Property(label, None, "mol/kg", None, how, reason)]
    dry = state_fugacities(host, recipe.feed) * (1.0 - recipe.water_pressure / recipe.feed.pressure)
    pressures = np.append(dry, recipe.water_pressure)
    capacity = max(run.pores.volume.value * LIQUID_WATER, 1e-6)
    index = names.index(recipe.target)

    def uptake(models: list[Isotherm], henry: float) -> float:
        return float(iast([*models, Langmuir(capacity, henry / capacity)], pressures).loadings[index])

    value = uptake([run.fits[name].isotherm for name in names], water.henry_coefficient)
    rng = np.random.default_rng([seed, 11])
    columns = [run.fits[name].draws(PARASITIC_DRAWS, name, seed, "humid") for name in names]
    relative = min(water.henry_std / water.henry_coefficient, 1.0)
    drawn = [
        uptake(list(models), water.henry_coefficient * float(np.exp(relative * error)))
        for models, error in zip(zip(*columns, strict=True), rng.standard_normal(PARASITIC_DRAWS), strict=True)
    ]
    found = sample(drawn, value)
    alone = uptake([run.fits[name].isotherm for name in names], 1e-30)
    share = ratio(found, Measured(alone, 0.0))
    return [
        _property(label, found, "mol/kg", how),
        _property(f"{recipe.prefix}_humid_share", share, "", f"of the uptake from dry gas; {how}", "nothing adsorbed"),
    ]


def _parasitic_properties(host: Host, run: RecipeRun, settings: RecipeSettings, seed: int) -> list[Property]:
    """Parasitic energy and the figures of its cycle; errors from draws of the fits and of the heats."""
    recipe = run.recipe
    if recipe.parasitic is None:
        return []
    source, mode = recipe.parasitic
    bed = Bed(host.density, settings.heat_capacity)
    label, unit = f"{recipe.prefix}_parasitic_energy", "MJ/kg"
    how = f"{recipe.title}; {recipe.source}; heat capacity {bed.heat_capacity:g} J/(kg K); {host.method}"
    lacking = [name for name in ("CO2", "N2") if name not in run.fits or run.henry[name].heat is None]
    if lacking:
        reason = f"no fitted isotherm or no heat of {', '.join(lacking)}"
        return [Property(label, None, unit, None, how, reason)]
    rng = np.random.default_rng([seed, 13])

    def cycle(models: list[Isotherm], errors: list[float]) -> ParasiticEnergy | None:
        pure = []
        for name, model, error in zip(("CO2", "N2"), models, errors, strict=True):
            item = run.henry[name]
            heat = (item.heat or 0.0) + error * (item.heat_std or 0.0)
            pure.append(gas_from_isotherm(model, heat, item.temperature))
        return parasitic_energy(pure[0], pure[1], bed, SOURCES[source], mode)

    best = cycle([run.fits["CO2"].isotherm, run.fits["N2"].isotherm], [0.0, 0.0])
    if best is None:
        return [Property(label, None, unit, None, how, "no desorption condition yields any CO2")]
    columns = [run.fits[name].draws(PARASITIC_DRAWS, name, seed, "parasitic") for name in ("CO2", "N2")]
    drawn = [cycle(list(models), rng.standard_normal(2).tolist()) for models in zip(*columns, strict=True)]
    feasible = [item for item in drawn if item is not None]
    note = "" if len(feasible) == len(drawn) else f"{len(drawn) - len(feasible)} of {len(drawn)} draws yield no CO2"
    how = f"isotherms fitted ({run.fits['CO2'].model}, {run.fits['N2'].model}), constant heats; {how}"

    def figure(name: str, unit: str, pick: str) -> Property:
        measured = sample([getattr(item, pick) for item in feasible], getattr(best, pick))
        return replace(_property(f"{recipe.prefix}_{name}", measured, unit, how), note=note)

    return [
        figure("parasitic_energy", unit, "energy"),
        figure("desorption_temperature", "K", "desorption_temperature"),
        figure("desorption_pressure", "Pa", "desorption_pressure"),
        figure("mass_capacity", "kg/kg", "working_capacity"),
        figure("purity", "", "purity"),
    ]


def _property(name: str, measured: Measured | None, unit: str, method: str, otherwise: str = "") -> Property:
    """A property, or one without a value and the reason in its note."""
    if measured is None:
        return Property(name, None, unit, None, method, otherwise)
    return Property(name, measured.value, unit, measured.std, method)


def require_objectives(settings: RecipeSettings) -> None:
    """Check that the figures a recipe is ranked by will be measured.

    Raises:
        InputError: it needs isotherms, and none were asked for.
    """
    figures = settings.recipe.parasitic is not None or settings.recipe.relative_humidity > 0.0
    needs = settings.mixtures == "iast" or (figures and settings.mixtures != "none")
    if needs and settings.isotherm_points < MIN_POINTS:
        raise InputError(
            f"{settings.recipe.name} with mixtures={settings.mixtures} needs isotherms to fit, and "
            f"isotherm_points is {settings.isotherm_points}: ask for 4 or more"
        )
