"""Which candidates are really distinguishable: places under an ensemble of models and their Monte Carlo errors.

Every draw takes one model for all candidates (a force field's mistake is shared by all it describes) and draws each
candidate's objectives from that model's values and errors; the candidates are scored as the ranking scores them, with
S-curves from that model's values. Over the draws: an interval of places, the probability that one beats the other,
and groups. Two candidates are told apart when one beats the other in at least `LEVEL` of the draws; those that share a
letter cannot all be told apart (compact letter display: H.-P. Piepho, J. Comput. Graph. Stat. 13, 456 (2004)).
Without an ensemble in the store the same is done with the campaign's own model alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.candidate import Candidate, Property
from screening.intervals import DRAWS, LEVEL, draw_values, is_positive
from screening.model_names import split_member
from screening.model_transfer import is_touched, transferred
from screening.ranking import Objective, Ranked, Ranking, SCurve

OWN = "the campaign's own model"
MOST = 26  # candidates compared at most: as many as letters, and a matrix that can be read


@dataclass(frozen=True)
class Distinction:
    """How far the first candidates of a ranking can be told apart; arrays follow the ranking's order."""

    places: tuple[int, ...]  # [k] of the candidates compared
    models: tuple[str, ...]  # the campaign's own first
    model_places: NDArray[np.int64]  # [models, k] place among the compared, Monte Carlo errors aside
    rank_low: NDArray[np.int64]  # [k] 5th percentile of the place among the compared
    rank_high: NDArray[np.int64]  # [k] 95th
    own_rank_low: NDArray[np.int64]  # [k] the same with the campaign's own model alone
    own_rank_high: NDArray[np.int64]  # [k]
    beats: NDArray[np.float64]  # [k, k] probability that the row's candidate scores above the column's
    groups: tuple[str, ...]  # [k] letters; two without a common letter are told apart
    unmoved: tuple[str, ...]  # objectives that no other model was measured for
    missing: int  # candidates among the compared that lack a model's figures
    level: float = LEVEL
    draws: int = DRAWS

    @property
    def told_apart(self) -> float:
        """Share of the pairs that can be told apart."""
        k = len(self.places)
        if k < 2:
            return 0.0
        upper = np.triu_indices(k, 1)
        return float((np.maximum(self.beats, self.beats.T)[upper] >= self.level).mean())


def distinguish(ranking: Ranking, *, most: int = MOST, level: float = LEVEL, draws: int = DRAWS) -> Distinction:
    """Compare the first `most` candidates of a ranking under every model the store holds figures of.

    Args:
        ranking: as `screening.ranking.rank` gives it.
        most: how many of the first candidates.
        level: probability from which one candidate counts as better than another, and of the intervals.
        draws: Monte Carlo draws; the result is a function of the ranking and these arguments.
    """
    entries = ranking.entries[:most]
    k = len(entries)
    members = _members(entries)
    models = (OWN, *members)
    by_candidate = [_by_member(entry.candidate) for entry in entries]
    unmoved, missing = _gaps(ranking.objectives, entries, by_candidate, members)
    weights = np.array([objective.weight for objective in ranking.objectives])
    weights = weights / weights.sum() if k else weights
    everyone = np.array([_own_values(entry.candidate, ranking.objectives) for entry in ranking.entries])  # [n, m]
    scores = np.empty((len(models), draws, k))
    model_places = np.empty((len(models), k), dtype=np.int64)
    for number, model in enumerate(models):
        values = everyone.copy()
        samples = np.empty((draws, k, len(ranking.objectives)))
        for i, entry in enumerate(entries):
            member = by_candidate[i].get(model, {})
            for j, objective in enumerate(ranking.objectives):
                value, std = _value(entry.candidate, objective, model, member)
                sign = 1.0 if objective.direction == "max" else -1.0
                values[i, j] = sign * value
                key = (ranking.seed, entry.candidate.id, objective.property, *([] if model == OWN else [model]))
                samples[:, i, j] = sign * draw_values(
                    value, std, positive=is_positive(objective.property), key=key, draws=draws
                )
        if k:
            scale = SCurve(values)
            scores[number] = scale(samples) @ weights
            model_places[number] = _places(scale(values[:k]) @ weights)
    chosen = _generator(ranking.seed, "model").integers(len(models), size=draws)
    drawn = scores[chosen, np.arange(draws)]  # [draws, k]
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = _interval(drawn, tails)
    own_low, own_high = _interval(scores[0], tails)
    beats = _beats(drawn)
    return Distinction(
        places=tuple(entry.place for entry in entries),
        models=models,
        model_places=model_places,
        rank_low=low,
        rank_high=high,
        own_rank_low=own_low,
        own_rank_high=own_high,
        beats=beats,
        groups=letter_groups(np.maximum(beats, beats.T) >= level),
        unmoved=unmoved,
        missing=missing,
        level=level,
        draws=draws,
    )


def letter_groups(different: NDArray[np.bool_]) -> tuple[str, ...]:
    """Letters so that two share one exactly when they are not `different` (insert-and-absorb; Piepho 2004).

    Args:
        different: [n, n], symmetric, False on the diagonal.

    Returns:
        [n]; letters in the order in which their groups begin.
    """
    n = len(different)
    columns: list[frozenset[int]] = [frozenset(range(n))] if n else []
    for i in range(n):
        for j in range(i + 1, n):
            if not different[i, j]:
                continue
            split = []
            for column in columns:
                split += [column - {i}, column - {j}] if {i, j} <= column else [column]
            unique = list(dict.fromkeys(split))
            columns = [c for c in unique if not any(c < other for other in unique)]
    columns.sort(key=lambda column: sorted(column))
    letters = [_letter(number) for number in range(len(columns))]
    return tuple("".join(x for x, column in zip(letters, columns, strict=True) if i in column) for i in range(n))


def _letter(number: int) -> str:
    """a to z, A to Z, then a1, b1, ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    round_, place = divmod(number, len(alphabet))
    return alphabet[place] + (str(round_) if round_ else "")


def _members(entries: Sequence[Ranked]) -> tuple[str, ...]:
    """Models any of the candidates has figures of, in the order of measuring."""
    found: dict[str, None] = {}
    for entry in entries:
        for name, item in entry.candidate.properties.items():
            base, member = split_member(name)
            if member is not None and item.value is not None and base != "ensemble":
                found.setdefault(member)
    return tuple(found)


def _by_member(candidate: Candidate) -> dict[str, dict[str, Property]]:
    """Member -> its properties under plain names."""
    found: dict[str, dict[str, Property]] = {}
    for name, item in candidate.properties.items():
        base, member = split_member(name)
        if member is not None:
            found.setdefault(member, {})[base] = item
    return found


def _own_values(candidate: Candidate, objectives: Sequence[Objective]) -> list[float]:
    values = []
    for objective in objectives:
        value = candidate.properties[objective.property].value
        assert value is not None  # ranked
        values.append(value if objective.direction == "max" else -value)
    return values


def _value(
    candidate: Candidate, objective: Objective, model: str, member: Mapping[str, Property]
) -> tuple[float, float | None]:
    """An objective with a model; the campaign's own figure where the model says nothing, or it was measured."""
    own = candidate.properties[objective.property]
    assert own.value is not None
    if model == OWN or own.fidelity == "measured":  # no force field moves what was weighed
        return own.value, own.std
    return transferred(objective.property, _computed(candidate), member) or (own.value, own.std)


def _computed(candidate: Candidate) -> dict[str, Property]:
    """The simulations' figures also where a measurement stands before them: ratios are of model to model."""
    return {**candidate.properties, **candidate.superseded}


def _gaps(
    objectives: Sequence[Objective],
    entries: Sequence[Ranked],
    by_candidate: Sequence[Mapping[str, Mapping[str, Property]]],
    members: Sequence[str],
) -> tuple[tuple[str, ...], int]:
    """(objectives no model moves, candidates that some model says nothing of)."""
    touched = [o.property for o in objectives if is_touched(o.property)]
    known = {
        (i, member, name)
        for i, entry in enumerate(entries)
        for member in members
        for name in touched
        if transferred(name, _computed(entry.candidate), by_candidate[i].get(member, {})) is not None
    }
    moved = {name for *_, name in known}
    unmoved = tuple(o.property for o in objectives if o.property not in moved) if members else ()
    missing = sum(
        any((i, member, name) not in known for member in members for name in moved) for i in range(len(entries))
    )
    return unmoved, missing


def _places(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """[k] scores -> [k] places, 1 is best; ties fall in order."""
    order = np.argsort(-scores, kind="stable")
    places = np.empty(len(scores), dtype=np.int64)
    places[order] = np.arange(1, len(scores) + 1)
    return places


def _interval(scores: NDArray[np.float64], tails: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[draws, k] scores -> lower and upper place of each candidate."""
    if not scores.shape[1]:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    low, high = np.quantile(ranks, tails, axis=0, method="inverted_cdf")
    return low.astype(np.int64), high.astype(np.int64)


def _beats(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """[draws, k] -> [k, k] share of draws in which the row is above the column; ties count half, 0.5 with itself."""
    k = scores.shape[1]
    beats = np.full((k, k), 0.5)
    for i in range(k):
        for j in range(i):
            above = float((scores[:, i] > scores[:, j]).mean() + 0.5 * (scores[:, i] == scores[:, j]).mean())
            beats[i, j], beats[j, i] = above, 1.0 - above
    return beats


def _generator(seed: int, what: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0rank uncertainty\0{what}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest)))
