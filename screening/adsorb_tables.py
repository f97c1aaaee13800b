"""Rows of the tables `sorbus adsorb` writes."""

from collections.abc import Mapping, Sequence
from typing import Any

from screening.adsorption.recipe_figures import parse_point
from screening.candidate import Candidate, Evaluation
from screening.model_names import is_member, split_member
from screening.rank_uncertainty import Distinction
from screening.ranking import Ranked, Ranking


def columns_of(evaluation: Evaluation) -> dict[str, Any]:
    """Figures of a structure that belong into its row: neither isotherm points nor members of an ensemble."""
    columns: dict[str, Any] = {}
    for item in evaluation.properties:
        if parse_point(item) is None and not is_member(item.name):
            columns[f"{item.name} [{item.unit}]" if item.unit else item.name] = rounded(item.value)
            if item.std is not None:
                columns[f"{item.name} std"] = rounded(item.std)
    notes = dict.fromkeys(item.note for item in evaluation.properties if item.note and not is_member(item.name))
    return columns | ({"notes": "; ".join(notes)} if notes else {})


def rounded(value: float | None) -> float | None:
    """As many digits as mean anything in a table; `structures/*.json` holds all of them."""
    return None if value is None else float(f"{value:.6g}")


def point_rows(
    rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate | None], kept: Mapping[str, Evaluation | None]
) -> list[dict[str, Any]]:
    """One row for each isotherm point of each structure."""
    found = []
    for row, candidate in zip(rows, candidates, strict=True):
        evaluation = kept.get(candidate.id) if candidate else None
        for item in evaluation.properties if evaluation else ():
            if (point := parse_point(item)) is not None:
                gas, pressure, temperature = point
                found.append(
                    {
                        "name": row["name"],
                        "gas": gas,
                        "temperature [K]": temperature,
                        "pressure [Pa]": rounded(pressure),
                        "uptake [mol/kg]": rounded(item.value),
                        "uptake std": rounded(item.std),
                    }
                )
    return found


def model_rows(rows: Sequence[Mapping[str, Any]], ranking: Ranking) -> list[dict[str, Any]]:
    """What each model of the ensemble gives for the objectives, in the order of the ranking."""
    found = []
    for entry in ranking.entries:
        for item in entry.candidate.properties.values():
            name, member = split_member(item.name)
            if member is not None and (name == "ensemble" or any(name == o.property for o in ranking.objectives)):
                figure = {"property": name, "value": item.value, "std": item.std, "unit": item.unit, "note": item.note}
                found.append({"name": rows[entry.index]["name"], "model": member, **figure})
    return found


def place_interval(entry: Ranked, distinction: Distinction) -> tuple[int, int]:
    """90 % interval of a place: over models and Monte Carlo errors for those compared, over errors for the rest."""
    if entry.place in distinction.places:
        k = distinction.places.index(entry.place)
        return int(distinction.rank_low[k]), int(distinction.rank_high[k])
    return entry.rank_interval
