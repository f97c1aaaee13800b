"""The funnel: how many candidates each step left, and why the others were lost, alike reasons together."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from screening.candidate import Snapshot
from screening.ranking import Ranking
from screening.report.words import common, pattern


@dataclass(frozen=True)
class Loss:
    """One candidate that was lost."""

    index: int
    formula: str  # "" when it was never built
    state: str
    reason: str


@dataclass(frozen=True)
class AlikeLosses:
    """Losses whose reasons differ in numbers only."""

    reason: str  # with … where they differ
    state: str
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Step:
    """One bar of the funnel."""

    name: str
    left: int
    groups: tuple[AlikeLosses, ...]  # most frequent first

    @property
    def lost(self) -> int:
        """How many this step lost."""
        return sum(len(group.losses) for group in self.groups)


def funnel(snapshot: Snapshot, ranking: Ranking) -> list[Step]:
    """Proposed, built, every stage in its order, ranked; the count of each is what the one before left minus losses."""
    at: dict[str, list[Loss]] = defaultdict(list)
    for row in snapshot.rows:
        if row.state != "active":
            formula = row.candidate.structure.composition.reduced_formula if row.candidate else ""
            stage = row.stage if row.stage in snapshot.stages else snapshot.stages[0]
            at[str(stage)].append(Loss(row.index, formula, row.state, row.reason or "no reason was recorded"))
    left = len(snapshot.rows)
    steps = [Step("proposed", left, ())]
    for stage in snapshot.stages:
        groups = _alike(at[stage])
        left -= len(at[stage])
        steps.append(Step("built" if stage == snapshot.stages[0] else stage, left, groups))
    unranked = [
        Loss(item.index, item.candidate.structure.composition.reduced_formula, "not rankable", item.reason)
        for item in ranking.unranked
    ]
    return [*steps, Step("ranked", len(ranking.entries), _alike(unranked))]


def _alike(losses: Iterable[Loss]) -> tuple[AlikeLosses, ...]:
    found: dict[tuple[str, str], list[Loss]] = defaultdict(list)
    for loss in losses:
        found[loss.state, pattern(loss.reason)].append(loss)
    groups = [
        AlikeLosses(common([loss.reason for loss in members]), state, tuple(sorted(members, key=lambda x: x.index)))
        for (state, _), members in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-len(group.losses), group.reason)))
