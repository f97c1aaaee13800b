"""Everything known of each ranked candidate, as HTML: numbers, errors, methods, provenance, structure."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pymatgen.core import Structure

from screening.candidate import Candidate, Property
from screening.export import cif_name, model_rank_interval
from screening.model_names import is_member
from screening.rank_uncertainty import Distinction
from screening.ranking import Ranked, Ranking
from screening.report.measured import beside_html, measured_html
from screening.report.words import formula_html, name_of, number_html, percent, safe, unit_html

FOLDED = 240  # characters of a value above which it is shown on demand, such as the building blocks of a framework


def candidates_html(
    ranking: Ranking, entries: Sequence[Ranked], pictures: Sequence[str], distinction: Distinction
) -> str:
    """One article a candidate; the page shows the selected one, or all where there is no JavaScript."""
    still = [*pictures, *[""] * (len(entries) - len(pictures))]
    return "".join(_article(ranking, entry, drawn, distinction) for entry, drawn in zip(entries, still, strict=True))


def _article(ranking: Ranking, entry: Ranked, drawn: str, distinction: Distinction) -> str:
    candidate = entry.candidate
    low, high = entry.score_interval
    first, last = entry.rank_interval
    rank = f"{first} to {last}" if first != last else str(first)
    level = f"{ranking.level:.0%}"
    parts = "".join(_part_html(ranking, name, part) for name, part in entry.parts.items())
    own = [found for name, found in candidate.properties.items() if not is_member(name)]
    others = [found for name, found in candidate.properties.items() if is_member(name)]
    numbers = "".join(_number_html(candidate, found) for found in own)
    still = f'<div class="still">{drawn}</div>' if drawn else ""
    return (
        f'<article class="candidate" id="candidate-{entry.place}" data-place="{entry.place}">'
        f"<h3>{entry.place}. {formula_html(candidate.structure)}</h3>{still}"
        f'<p class="quiet">{safe(candidate.id)} · proposal {entry.index} · '
        f'<a href="candidates/{safe(cif_name(entry, len(ranking.entries)))}">CIF</a></p>'
        f"<p>Score <b>{entry.score:.3f}</b> ({low:.2f} to {high:.2f}, {level}), rank {rank} ({level}), "
        f"among the top {ranking.top} in {percent(entry.top_probability)} and not dominated in "
        f"{percent(entry.front_probability)} of {ranking.draws} draws; Pareto front {entry.front}."
        f"{_under_models(entry, distinction)}</p>"
        f'<dl class="parts">{parts}</dl>'
        f'<h4>Numbers</h4><dl class="numbers">{numbers}</dl>'
        f"{_other_models(candidate, others)}{measured_html(candidate)}"
        f"<h4>Structure</h4>{_pairs(_cell(candidate.structure))}"
        f"<h4>Provenance</h4>{_pairs(candidate.provenance)}</article>"
    )


def _under_models(entry: Ranked, distinction: Distinction) -> str:
    """Places under the ensemble and the letters, in a sentence."""
    found = model_rank_interval(distinction, entry.place)
    if found is None:
        return ""
    letters = f"group <b>{safe(distinction.groups[entry.place - 1])}</b>"
    if len(distinction.models) == 1:
        return f" In {letters} of those that cannot be told apart."
    low, high = found
    places = f"{low} to {high}" if low != high else str(low)
    return f" Under {len(distinction.models)} models rank {places} ({distinction.level:.0%}), {letters}."


def _part_html(ranking: Ranking, name: str, part: float) -> str:
    total = sum(objective.weight for objective in ranking.objectives)
    weight = next(o.weight for o in ranking.objectives if o.property == name) / total
    bar = (
        '<svg class="bar" width="100%" height="8" aria-hidden="true"><rect class="bar-all" width="100%" height="8"/>'
        f'<rect class="bar-left" width="{100 * part:.1f}%" height="8"/></svg>'
    )
    return f"<div><dt>{safe(name_of(name))}</dt><dd>{bar}<span>{part:.2f} × {weight:.0%}</span></dd></div>"


def _other_models(candidate: Candidate, found: Sequence[Property]) -> str:
    """What other models of an ensemble give, folded away."""
    if not found:
        return ""
    numbers = "".join(_number_html(candidate, item) for item in found)
    return (
        f'<details><summary>{len(found)} figures of other models</summary><dl class="numbers">{numbers}</dl></details>'
    )


def _number_html(candidate: Candidate, found: Property) -> str:
    if found.unit == "bool" and found.value in (0.0, 1.0):
        value = "yes" if found.value else "no"
    else:
        unit = f' <span class="unit">{unit_html(found.unit)}</span>' if found.unit and found.value is not None else ""
        value = number_html(found.value, found.std) + unit
    exact = found.unit == "bool" or found.value is None or (found.std is not None and math.isfinite(found.std))
    remarks = [found.method, found.note, "" if exact else "no error estimate", beside_html(candidate, found)]
    how = "; ".join(text for text in remarks if text)
    small = f'<dd class="quiet">{safe(how)}</dd>' if how else ""
    badge = ' <span class="badge">measured</span>' if found.fidelity == "measured" else ""
    return f'<div><dt>{safe(name_of(found.name))}{badge}</dt><dd class="value">{value}</dd>{small}</div>'


def _cell(structure: Structure) -> dict[str, str]:
    lattice = structure.lattice
    return {
        "formula": structure.composition.formula,
        "atoms in the cell": str(len(structure)),
        "a, b, c": f"{lattice.a:.3f}, {lattice.b:.3f}, {lattice.c:.3f} Å",
        "α, β, γ": f"{lattice.alpha:.2f}, {lattice.beta:.2f}, {lattice.gamma:.2f}°",
        "volume": f"{lattice.volume:.1f} Å³",
        "density": f"{float(structure.density):.3f} g/cm³",
    }


def _pairs(values: Mapping[str, Any]) -> str:
    items = "".join(f"<div><dt>{safe(str(key))}</dt><dd>{_text(value)}</dd></div>" for key, value in values.items())
    return f'<dl class="facts">{items}</dl>'


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= FOLDED:
        return safe(text)
    return f"<details><summary>{len(text)} characters</summary>{safe(text)}</details>"
