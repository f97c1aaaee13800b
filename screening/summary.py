"""A run in plain text: its ranking, its losses, one candidate in full."""

import numpy as np

from potentials.errors import InputError
from screening.candidate import Comparison, Property, Row, Snapshot
from screening.ranking import rank
from screening.table import aligned

SHOWN = 240  # characters of a value of the provenance


def ranking_text(snapshot: Snapshot, top: int) -> str:
    """The question, the funnel in one line a stage, the best `top` candidates, and the baseline where there is one."""
    from screening.export import format_ranking

    ranking = rank(snapshot)
    text = f"{snapshot.question}\n\n{funnel_text(snapshot)}\n\n{format_ranking(ranking, top)}"
    return text if snapshot.comparison is None else f"{text}\n\n{comparison_text(snapshot.comparison)}"


def funnel_text(snapshot: Snapshot) -> str:
    """How many candidates entered each stage and how many it lost."""
    remaining = len(snapshot.rows)
    lines = []
    for stage in snapshot.stages:
        lost = sum(row.stage == stage and row.state != "active" for row in snapshot.rows)
        lines.append({"stage": stage, "entered": remaining, "lost": lost, "left": remaining - lost})
        remaining -= lost
    return aligned(lines)


def comparison_text(comparison: Comparison) -> str:
    """A campaign's proposer and its baseline, a line each: what was left of the proposals, the compared property."""
    lines = []
    high = 95 if comparison.order == "max" else 5
    for compared in (comparison.own, comparison.baseline):
        line: dict[str, object] = {"proposer": compared.proposer, "proposed": compared.proposed, **compared.left}
        if compared.values:
            line[f"median {comparison.property}"] = float(np.median(compared.values))
            line[f"{high}th percentile"] = float(np.percentile(compared.values, high))
        lines.append(line)
    return aligned(lines)


def losses_text(snapshot: Snapshot) -> str:
    """Every candidate that left the funnel, where, and why."""
    lines = [
        {"proposal": row.index, "state": row.state, "stage": row.stage, "reason": row.reason}
        for row in snapshot.rows
        if row.state != "active"
    ]
    return aligned(lines) if lines else "nothing was lost"


def candidate_text(snapshot: Snapshot, wanted: str) -> str:
    """One candidate: provenance, fate, and each number with unit, uncertainty and method.

    Raises:
        InputError: no candidate, or more than one, answers to `wanted`.
    """
    row = find_row(snapshot, wanted)
    fate = "through the funnel" if row.state == "active" else f"{row.state} at {row.stage}: {row.reason}"
    head = [f"proposal {row.index}: {fate}"]
    if row.candidate is None:
        return head[0]
    head.append(f"id {row.candidate.id}, {row.candidate.structure.composition.formula}")
    head += [f"{key}: {_shortened(str(value))}" for key, value in row.candidate.provenance.items()]
    head += [f"measurement: {item.source}, entered {item.added}" for item in row.candidate.measurements]
    lines = []
    for item in row.candidate.properties.values():
        lines.append(_line(item))
        if item.name in row.candidate.superseded:
            lines.append(_line(row.candidate.superseded[item.name]) | {"property": "  computed"})
    return "\n".join(head) + "\n\n" + aligned(lines)


def find_row(snapshot: Snapshot, wanted: str) -> Row:
    """The row with this id, unique beginning of an id, or proposal number.

    Raises:
        InputError: none or several match.
    """
    rows = snapshot.rows
    matches = [row for row in rows if row.candidate is not None and row.candidate.id.startswith(wanted)]
    if wanted.isdigit() and not any(row.candidate is not None and row.candidate.id == wanted for row in rows):
        matches = [row for row in rows if row.index == int(wanted)] or matches
    if len(matches) != 1:
        problem = "no candidate" if not matches else f"{len(matches)} candidates"
        raise InputError(f"{problem} answer to {wanted!r}: `sorbus show` lists the ids of {snapshot.name}")
    return matches[0]


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters; `sorbus export` has them all)"


def _line(item: Property) -> dict[str, object]:
    return {
        "property": item.name,
        "value": "-" if item.value is None else item.value,
        "±": item.std,
        "unit": item.unit,
        "method": item.method,
        "note": item.note,
    }
