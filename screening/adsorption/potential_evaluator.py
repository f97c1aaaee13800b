"""Henry coefficients on a potential as a stage of a campaign."""

import functools
import json

from pydantic import Field

from potentials.errors import GeometryError, InputError
from potentials.potential import Potential, PotentialChoice, load_potential
from screening.adsorption.potential_widom import PotentialWidomSettings, henry_with_potential
from screening.candidate import Candidate, Evaluation, Property


class PotentialHenrySettings(PotentialWidomSettings):
    """Which potential and gases, and the protocol of the insertions."""

    potential: PotentialChoice = "chgnet-fast"  # as `load_potential` takes it
    gases: tuple[str, ...] = Field(default=("CO2",), min_length=1)
    temperature: float = Field(default=298.0, gt=0.0)  # K


def evaluate_potential_henry(candidate: Candidate, settings: PotentialHenrySettings, seed: int) -> Evaluation:
    """Properties `<gas>_potential_henry_<T>K` (mol/(kg Pa)) and `<gas>_potential_heat_<T>K` (kJ/mol) of every gas.

    A framework the potential does not know, or a cell that cannot be simulated, is rejected with the reason.
    """
    potential = _potential(json.dumps(settings.potential, sort_keys=True))
    properties: list[Property] = []
    for gas in settings.gases:
        try:
            found = henry_with_potential(candidate.structure, gas, potential, settings.temperature, settings, seed)
        except (InputError, GeometryError) as error:
            return Evaluation(tuple(properties), rejected=str(error))
        prefix, suffix = found.gas.lower(), f"{found.temperature:g}K"
        properties += [
            Property(
                f"{prefix}_potential_henry_{suffix}",
                found.henry_coefficient,
                "mol/(kg Pa)",
                found.henry_std,
                found.method,
                found.note,
            ),
            Property(
                f"{prefix}_potential_heat_{suffix}", found.heat, "kJ/mol", found.heat_std, found.method, found.note
            ),
        ]
    return Evaluation(tuple(properties))


@functools.lru_cache(maxsize=2)
def _potential(choice: str) -> Potential:
    """Loaded once per process, from the choice as JSON."""
    return load_potential(json.loads(choice))
