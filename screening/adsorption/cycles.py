"""Process recipes as data: what gas is treated, how the bed is regenerated, and what a sorbent is ranked by.

Adding a process is one entry in `RECIPES`, or a YAML file of your own given by its path (`RecipeFile`).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from potentials.config import Config, parse_config
from potentials.errors import InputError
from screening.adsorption.gases import read_yaml
from screening.adsorption.parasitic_energy import ATMOSPHERE, SOURCES, Mode

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class State:
    """A gas mixture over the bed."""

    mixture: Mapping[str, float]  # gas -> mole fraction, dry
    pressure: float  # Pa, total
    temperature: float  # K


@dataclass(frozen=True)
class Recipe:
    """One cycle."""

    name: str
    prefix: str  # of the properties it makes: vsa_working_capacity
    title: str
    source: str
    feed: State
    regeneration: State | None = None  # None: only the uptake counts
    target: str = "CO2"  # the gas to be captured
    relative_humidity: float = 0.0  # of the feed; its water displaces dry gas
    parasitic: tuple[str, Mode] | None = None  # gas source and mode of `parasitic_energy`
    # Figures to rank by, without the prefix: (name, which end is best, weight)
    objectives: tuple[tuple[str, Direction, float], ...] = ()

    @property
    def gases(self) -> tuple[str, ...]:
        """All gases of the recipe, the target first, water last."""
        others = [gas for gas in self.feed.mixture if gas != self.target]
        return (self.target, *others, *(["H2O"] if self.relative_humidity > 0.0 else []))

    @property
    def water_pressure(self) -> float:
        """Partial pressure of water in the feed, Pa."""
        return self.relative_humidity * water_vapour_pressure(self.feed.temperature)

    def partial_pressure(self, gas: str) -> float:
        """Pa in the feed, humidity taken into account."""
        if gas == "H2O" and self.relative_humidity > 0.0:
            return self.water_pressure
        return self.feed.mixture.get(gas, 0.0) * (self.feed.pressure - self.water_pressure)


def water_vapour_pressure(temperature: float) -> float:
    """Saturated vapour pressure of water, Pa (W. Wagner, A. Pruss, J. Phys. Chem. Ref. Data 22, 783 (1993)).

    Raises:
        InputError: below the triple point or above the critical point.
    """
    critical, triple = 647.096, 273.16  # K
    if not triple <= temperature <= critical:
        raise InputError(f"water has no vapour pressure at {temperature} K: give {triple} to {critical} K")
    tau = 1.0 - temperature / critical
    terms = (
        (-7.85951783, 1.0),
        (1.84408259, 1.5),
        (-11.7866497, 3.0),
        (22.6807411, 3.5),
        (-15.9618719, 4.0),
        (1.80122502, 7.5),
    )
    exponent = sum(coefficient * tau**power for coefficient, power in terms)
    return float(22.064e6 * np.exp(critical / temperature * exponent))


_FLUE = State({"CO2": 0.15, "N2": 0.85}, 1e5, 298.0)
_AIR = State({"CO2": 400e-6, "N2": 1.0 - 400e-6}, ATMOSPHERE, 298.0)
_BAE_SNURR = "Y.-S. Bae, R. Q. Snurr, Angew. Chem. Int. Ed. 50, 11586 (2011)"


def _swing(other: str) -> tuple[tuple[str, Direction, float], ...]:
    """What a swing process is ranked by unless its recipe says otherwise."""
    return (("working_capacity", "max", 2.0), (f"co2_{other}_selectivity", "max", 1.0), ("regenerability", "max", 1.0))


_PE_OBJECTIVES: tuple[tuple[str, Direction, float], ...] = (("parasitic_energy", "min", 1.0),)


def _parasitic_recipes() -> list[Recipe]:
    """Three gases and three modes of Huck et al. (2014); working capacities between the ends of a typical cycle."""
    recipes = []
    for source in SOURCES.values():
        feed = State({"CO2": source.co2_fraction, "N2": 1.0 - source.co2_fraction}, source.pressure, source.temperature)
        for mode in ("TPSA", "PSA", "TSA"):
            recipes.append(
                Recipe(
                    name=f"{source.name}-{mode.lower()}",
                    prefix=f"{source.name.replace('-', '_')}_{mode.lower()}",
                    title=f"{100 * source.co2_fraction:g} % CO2 in N2 ({source.name}), 1 atm, "
                    f"{source.temperature:g} K; {mode} at the desorption condition of least parasitic energy",
                    source="J. M. Huck et al., Energy Environ. Sci. 7, 4132 (2014)",
                    feed=feed,
                    parasitic=(source.name, mode),
                    objectives=_PE_OBJECTIVES,
                )
            )
    return recipes


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in [
        Recipe(
            name="flue-gas",
            prefix="vsa",
            title="15 % CO2 in N2, 1 bar, 298 K; vacuum swing to 0.1 bar CO2 at 363 K",
            source="P. G. Boyd et al., Nature 576, 253 (2019)",
            feed=_FLUE,
            regeneration=State({"CO2": 1.0}, 1e4, 363.0),
            objectives=_swing("n2"),
        ),
        Recipe(
            name="flue-gas-tsa",
            prefix="tsa",
            title="15 % CO2 in N2, 1 bar, 298 K; temperature swing to 0.7 bar CO2 at 413 K",
            source="P. G. Boyd et al., Nature 576, 253 (2019)",
            feed=_FLUE,
            regeneration=State({"CO2": 1.0}, 0.7e5, 413.0),
            objectives=_swing("n2"),
        ),
        Recipe(
            name="hmof-0.1bar",
            prefix="hmof",
            title="pure CO2 at 0.1 bar, 298 K: the capacity hypothetical MOFs are compared by",
            source="C. E. Wilmer et al., Nature Chem. 4, 83 (2012); X. Yan et al. (MOFA), arXiv:2501.10651",
            feed=State({"CO2": 1.0}, 1e4, 298.0),
            objectives=(("co2_uptake", "max", 1.0),),
        ),
        Recipe(
            name="dac",
            prefix="dac",
            title="400 ppm CO2 in air, 1 atm, 298 K, 50 % relative humidity; to 0.1 bar CO2 at 373 K",
            source="400 ppm and 298 K as the direct-air-capture literature has them; the regeneration is our choice",
            feed=_AIR,
            regeneration=State({"CO2": 1.0}, 1e4, 373.0),
            relative_humidity=0.5,
            objectives=(("co2_uptake_humid", "max", 2.0), ("co2_h2o_henry_ratio", "max", 1.0)),
        ),
        Recipe(
            name="dac-dry",
            prefix="dac_dry",
            title="400 ppm CO2 in dry air, 1 atm, 298 K; to 0.1 bar CO2 at 373 K",
            source="as dac",
            feed=_AIR,
            regeneration=State({"CO2": 1.0}, 1e4, 373.0),
            objectives=(("co2_uptake", "max", 2.0), ("co2_n2_selectivity", "max", 1.0)),
        ),
        Recipe(
            name="natural-gas-purification",
            prefix="ngp",
            title="10 % CO2 in CH4, 5 bar, 298 K; pressure swing to 1 bar",
            source=f"{_BAE_SNURR}, case 1",
            feed=State({"CO2": 0.1, "CH4": 0.9}, 5e5, 298.0),
            regeneration=State({"CO2": 0.1, "CH4": 0.9}, 1e5, 298.0),
            objectives=_swing("ch4"),
        ),
        Recipe(
            name="landfill-gas",
            prefix="landfill",
            title="50 % CO2 in CH4, 1 bar, 298 K; vacuum swing to 0.1 bar",
            source=f"{_BAE_SNURR}, case 3",
            feed=State({"CO2": 0.5, "CH4": 0.5}, 1e5, 298.0),
            regeneration=State({"CO2": 0.5, "CH4": 0.5}, 1e4, 298.0),
            objectives=_swing("ch4"),
        ),
        *_parasitic_recipes(),
    ]
}


class StateFile(Config):
    """A gas mixture in a recipe file."""

    mixture: dict[str, float] = Field(min_length=1)  # gas -> mole fraction, dry
    pressure: float = Field(gt=0.0, le=1e9, allow_inf_nan=False)  # Pa
    temperature: float = Field(gt=50.0, lt=2000.0)  # K

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Self:
        total = sum(self.mixture.values())
        if min(self.mixture.values()) <= 0.0 or abs(total - 1.0) > 1e-6:
            raise ValueError(f"mole fractions {dict(self.mixture)} sum to {total:g}: give each above 0, 1 in all")
        return self


class ObjectiveFile(Config):
    """A figure to rank by in a recipe file."""

    figure: str  # without the prefix, such as working_capacity
    direction: Direction = "max"
    weight: float = Field(default=1.0, ge=0.0)


class RecipeFile(Config):
    """A process in a YAML file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    source: str
    feed: StateFile
    regeneration: StateFile | None = None
    target: str = "CO2"
    relative_humidity: float = Field(default=0.0, ge=0.0, lt=1.0)
    objectives: tuple[ObjectiveFile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _target_is_there(self) -> Self:
        for state in (self.feed, self.regeneration):
            if state is not None and self.target not in state.mixture:
                raise ValueError(f"the target {self.target} is not in the mixture {', '.join(state.mixture)}")
        return self


def load_recipe(path: str | Path) -> Recipe:
    """A recipe from its YAML file.

    Raises:
        InputError: no such file, or what it says is no process.
    """
    raw = parse_config(RecipeFile, read_yaml(Path(path), "process"), str(path))

    def state(given: StateFile) -> State:
        return State(dict(given.mixture), given.pressure, given.temperature)

    return Recipe(
        name=raw.name,
        prefix=raw.prefix,
        title=raw.title,
        source=raw.source,
        feed=state(raw.feed),
        regeneration=state(raw.regeneration) if raw.regeneration else None,
        target=raw.target,
        relative_humidity=raw.relative_humidity,
        objectives=tuple((goal.figure, goal.direction, goal.weight) for goal in raw.objectives),
    )


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or in that YAML file.

    Raises:
        InputError: there is none (the nearest name and all names are given), or the file is no recipe.
    """
    if name.lower().endswith((".yaml", ".yml")):
        return load_recipe(name)
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key in RECIPES:
        return RECIPES[key]
    nearest = difflib.get_close_matches(key, RECIPES, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise InputError(f"no conditions are called {name!r}: {hint}there are {', '.join(RECIPES)}")
