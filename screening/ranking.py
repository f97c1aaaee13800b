"""Ranking: Pareto fronts, a weighted score, and how sure both are.

Score. Each objective is placed on an S-curve set by the ranked candidates themselves,

    s(x) = 1 / (1 + 3^(-2 (x - median) / IQR)),

so that the median scores 0.5 and half an interquartile range above it 0.75; for an objective to be minimised the
sign of x is turned. The score is the weighted mean of s, between 0 and 1. The curve does not depend on units, never
saturates into ties for any but absurd outliers, and one outlier neither stretches the scale for the others (as
min-max scaling does) nor wins by itself; unlike plain ranks it keeps the size of differences. A candidate that
dominates another always scores at least as high.

Uncertainty. The standard errors of the objectives are carried through score, rank and dominance by Monte Carlo
(`screening/intervals.py`), each objective's error taken as independent; the S-curve is held fixed meanwhile.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from potentials.errors import InputError
from screening.candidate import Candidate, Row, Snapshot
from screening.intervals import DRAWS, LEVEL, draw_values, is_positive, spread
from screening.pareto import pareto_fronts

METHOD = (
    "Score: weighted mean over the objectives of s(x) = 1/(1 + 3^(-2(x - median)/IQR)) over the ranked candidates. "
    "Front: non-dominated sorting. Intervals: {level:.0%} of {draws} seeded Monte Carlo draws of the objectives from "
    "their standard errors, independent, normal, log-normal for quantities that cannot be negative."
)


@dataclass(frozen=True)
class Objective:
    """One thing wanted of a candidate."""

    property: str
    direction: str  # "max" or "min"
    weight: float
    unit: str = ""


@dataclass(frozen=True)
class Ranked:
    """A candidate's place and how sure it is."""

    place: int  # 1 is best
    index: int  # of its row
    candidate: Candidate
    score: float  # 0 to 1
    parts: Mapping[str, float]  # objective -> s(x), 0 to 1
    front: int  # 1: not dominated
    score_interval: tuple[float, float]
    rank_interval: tuple[int, int]
    top_probability: float
    front_probability: float

    @property
    def measured(self) -> tuple[str, ...]:
        """Objectives whose value is a laboratory's, not a simulation's."""
        return tuple(name for name in self.parts if self.candidate.properties[name].fidelity == "measured")


@dataclass(frozen=True)
class Unranked:
    """A candidate that went through the funnel but lacks a number the ranking needs."""

    index: int
    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class Ranking:
    """The ranked candidates, best first, and those that could not be ranked."""

    objectives: tuple[Objective, ...]
    entries: tuple[Ranked, ...]
    unranked: tuple[Unranked, ...]
    top: int  # what "top" means in `top_probability`
    draws: int
    seed: int
    level: float = LEVEL

    @property
    def method(self) -> str:
        """How score, fronts and intervals were made, in a few sentences."""
        text = METHOD.format(level=self.level, draws=self.draws)
        measured = sum(bool(entry.measured) for entry in self.entries)
        if measured:
            text += (
                f" Measured figures stand before computed ones: {measured} of {len(self.entries)} candidates have some."
            )
        return text


def rank(snapshot: Snapshot, *, draws: int = DRAWS) -> Ranking:
    """Rank the candidates of a campaign that went through every stage.

    The result does not depend on the order of the rows; equal scores fall by front, then candidate id. Candidates whose
    objective is missing or not finite are listed under `unranked` with the reason.

    Args:
        snapshot: what the store holds; `config["ranking"]` names the objectives and the top, `config["seed"]`
            (0 if absent) seeds the intervals.
        draws: Monte Carlo draws behind the intervals.

    Raises:
        InputError: the configuration asks for no objective, or for one that cannot be ranked by.
    """
    wanted, top = _wanted(snapshot.config)
    seed = int(snapshot.config.get("seed") or 0)
    rankable: list[tuple[int, Candidate]] = []
    unranked = []
    for row in snapshot.rows:
        if row.state != "active" or row.candidate is None:
            continue
        reason = _missing(row, wanted)
        if reason:
            unranked.append(Unranked(row.index, row.candidate, reason))
        else:
            rankable.append((row.index, row.candidate))
    unranked.sort(key=lambda item: item.candidate.id)
    if not rankable:
        return Ranking(wanted, (), tuple(unranked), top, draws, seed)

    objectives = tuple(_with_unit(objective, rankable[0][1]) for objective in wanted)
    rankable.sort(key=lambda item: (item[1].id, item[0]))
    values = np.array([[_oriented(candidate, o) for o in objectives] for _, candidate in rankable])  # [n, m]
    scale = SCurve(values)
    weights = np.array([objective.weight for objective in objectives])
    weights = weights / weights.sum()
    scores, fronts = scale(values) @ weights, pareto_fronts(values)
    order = np.lexsort((fronts, -scores))  # by score, then front, then id: the sort is stable
    rankable = [rankable[i] for i in order]
    values, scores, fronts = values[order], scores[order], fronts[order]
    samples = np.stack([_draws(candidate, objectives, seed, draws) for _, candidate in rankable], axis=1)
    sure = spread(samples, lambda x: scale(x) @ weights, top)
    parts = scale(values)
    entries = tuple(
        Ranked(
            place=i + 1,
            index=index,
            candidate=candidate,
            score=float(scores[i]),
            parts={o.property: float(part) for o, part in zip(objectives, parts[i], strict=True)},
            front=int(fronts[i]),
            score_interval=(float(sure.score_low[i]), float(sure.score_high[i])),
            rank_interval=(int(sure.rank_low[i]), int(sure.rank_high[i])),
            top_probability=float(sure.top_probability[i]),
            front_probability=float(sure.front_probability[i]),
        )
        for i, (index, candidate) in enumerate(rankable)
    )
    return Ranking(objectives, entries, tuple(unranked), top, draws, seed)


class SCurve:
    """s(x) of the module's docstring, its median and interquartile range taken from `values` [n, m]."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        low, self.median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        width = np.where(high > low, high - low, np.ptp(values, axis=0))  # most are equal: take the full range
        self.width = np.where(width > 0, width, 1.0)  # all are equal: everyone scores 0.5

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., m] -> [..., m], 0 to 1."""
        return 0.5 * (1 + np.tanh(np.log(3) * (x - self.median) / self.width))  # the same curve, without overflow


def _wanted(config: Mapping) -> tuple[tuple[Objective, ...], int]:
    asked = config.get("ranking") or {}
    objectives = tuple(
        Objective(str(item["property"]), str(item.get("direction", "max")), float(item.get("weight", 1.0)))
        for item in asked.get("objectives", ())
    )
    top = int(asked.get("top", 10))
    if not objectives:
        raise InputError("ranking.objectives is empty: name at least one property to rank by")
    for objective in objectives:
        if objective.direction not in ("max", "min"):
            raise InputError(f"ranking objective {objective.property}: {objective.direction!r} is neither max nor min")
        if not (math.isfinite(objective.weight) and objective.weight >= 0):
            raise InputError(f"ranking objective {objective.property}: weight {objective.weight} is not zero or more")
    if len({objective.property for objective in objectives}) < len(objectives):
        raise InputError("ranking.objectives names a property twice: give it one weight and one direction")
    if sum(objective.weight for objective in objectives) <= 0:
        raise InputError("ranking.objectives weigh nothing: give at least one a weight above 0")
    if top < 1:
        raise InputError(f"ranking.top is {top}: at least 1 candidate must count as the top")
    return objectives, top


def _missing(row: Row, objectives: tuple[Objective, ...]) -> str | None:
    """Why a row cannot be ranked, or None when every objective is a finite number."""
    assert row.candidate is not None
    for objective in objectives:
        found = row.candidate.properties.get(objective.property)
        if found is None:
            return f"{objective.property} was not measured"
        if found.value is None:
            return f"{objective.property} could not be measured" + (f": {found.note}" if found.note else "")
        if not math.isfinite(found.value):
            return f"{objective.property} is {found.value}" + (f": {found.note}" if found.note else "")
    return None


def _with_unit(objective: Objective, candidate: Candidate) -> Objective:
    unit = candidate.properties[objective.property].unit
    return Objective(objective.property, objective.direction, objective.weight, unit)


def _oriented(candidate: Candidate, objective: Objective) -> float:
    """The value, its sign turned when small is good."""
    value = candidate.properties[objective.property].value
    assert value is not None
    return value if objective.direction == "max" else -value


def _draws(candidate: Candidate, objectives: tuple[Objective, ...], seed: int, draws: int) -> NDArray[np.float64]:
    """[draws, m], larger is better."""
    columns = []
    for objective in objectives:
        found = candidate.properties[objective.property]
        assert found.value is not None
        key = (seed, candidate.id, objective.property)
        drawn = draw_values(found.value, found.std, positive=is_positive(found.name), key=key, draws=draws)
        columns.append(drawn if objective.direction == "max" else -drawn)
    return np.stack(columns, axis=1)
