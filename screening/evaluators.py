"""The evaluators a campaign may name, each one line: where it lives, what it costs, what it needs.

An evaluator is a plain function `(candidate, settings, seed) -> Evaluation`; one that compares candidates
with each other is a batch evaluator, `(candidates, settings, seed) -> {id: Evaluation}`. Modules are given by
name and imported only where an evaluator runs, since they pull in torch or compiled simulation codes.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from potentials.config import Config, parse_config
from potentials.errors import InputError


@dataclass(frozen=True)
class Evaluator:
    """A registry line. `function` and `settings` are written `module:name`."""

    name: str
    function: str
    settings: str
    cost: str  # per candidate: "cheap" (under 1 s), "moderate" (seconds), "dear" (minutes)
    needs: tuple[str, ...] = ()  # packages it imports beyond numpy and pymatgen
    batch: bool = False  # sees all survivors at once


EVALUATORS: Mapping[str, Evaluator] = {
    entry.name: entry
    for entry in (
        Evaluator("validity", "screening.validity:evaluate_validity", "screening.validity:ValiditySettings", "cheap"),
        Evaluator(
            "uniqueness",
            "screening.uniqueness:evaluate_uniqueness",
            "screening.uniqueness:UniquenessSettings",
            "cheap",
            batch=True,
        ),
        Evaluator(
            "novelty", "screening.novelty:evaluate_novelty", "screening.novelty:NoveltySettings", "cheap", batch=True
        ),
        Evaluator(
            "relaxation",
            "screening.relaxation:evaluate_relaxation",
            "screening.relaxation:RelaxationSettings",
            "dear",
            needs=("torch", "chgnet"),
        ),
        Evaluator(
            "pores", "screening.pores:evaluate_pores", "screening.pores:PoreSettings", "moderate", needs=("pyzeo",)
        ),
        Evaluator(
            "henry",
            "screening.adsorption.evaluator:evaluate_henry",
            "screening.adsorption.evaluator:HenrySettings",
            "moderate",
            needs=("raspalib",),
        ),
        Evaluator(
            "uptake",
            "screening.adsorption.evaluator:evaluate_uptake",
            "screening.adsorption.evaluator:UptakeSettings",
            "dear",
            needs=("raspalib",),
        ),
        Evaluator(
            "process",
            "screening.adsorption.process_evaluator:evaluate_process",
            "screening.adsorption.process_evaluator:RecipeSettings",
            "dear",
            needs=("raspalib",),
        ),
        Evaluator(
            "ensemble",
            "screening.adsorption.ensemble:evaluate_ensemble",
            "screening.adsorption.ensemble:EnsembleSettings",
            "dear",
            needs=("raspalib",),
        ),
        Evaluator(
            "potential_henry",
            "screening.adsorption.potential_evaluator:evaluate_potential_henry",
            "screening.adsorption.potential_evaluator:PotentialHenrySettings",
            "dear",
            needs=("torch",),
        ),
        Evaluator(
            "diffusion",
            "screening.adsorption.diffusion:evaluate_diffusion",
            "screening.adsorption.diffusion:DiffusionSettings",
            "dear",
            needs=("torch",),
        ),
        Evaluator(
            "elasticity",
            "screening.elastic:evaluate_elasticity",
            "screening.elastic:ElasticSettings",
            "dear",
            needs=("torch", "chgnet"),
        ),
        Evaluator("silica", "screening.silica:evaluate_silica", "screening.silica:SilicaSettings", "cheap"),
        Evaluator(
            "water_stability",
            "screening.water_stability:evaluate_water_stability",
            "screening.water_stability:WaterStabilitySettings",
            "cheap",
        ),
    )
}


def registry(extra: Iterable[Evaluator] = ()) -> dict[str, Evaluator]:
    """The built-in evaluators and those of the caller, by short name.

    Raises:
        InputError: an extra evaluator takes a name that is already used.
    """
    table = dict(EVALUATORS)
    for entry in extra:
        if entry.name in table:
            raise InputError(f"an evaluator named {entry.name!r} exists already: choose another name")
        table[entry.name] = entry
    return table


def find_evaluator(name: str, table: Mapping[str, Evaluator] = EVALUATORS) -> Evaluator:
    """The registry line of `name`, its packages present.

    Raises:
        InputError: no such evaluator (the nearest name is given), or a package it needs is not installed.
    """
    if name not in table:
        nearest = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(sorted(table))}"
        raise InputError(f"no evaluator is called {name!r}: {hint}")
    entry = table[name]
    for package in entry.needs:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"the evaluator {name!r} needs the package {package}: pip install {package}")
    return entry


def resolve(target: str) -> Any:
    """The object that `module:name` points at."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def evaluator_settings(settings_class: str, values: Mapping[str, Any], where: str) -> Config:
    """Check the `settings` of a stage against the evaluator's own settings class.

    Args:
        settings_class: `module:Class` of a `Config` subclass.
        values: what the configuration file gives.
        where: named in the error, e.g. `stage pores, settings`.

    Raises:
        InputError: naming the key and the nearest valid one.
    """
    return parse_config(resolve(settings_class), dict(values), where)
