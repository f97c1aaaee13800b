"""Everything known of each ranked candidate, as HTML: numbers, errors, methods, provenance, structure."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pymatgen.core import Structure

from screening.candidate import Property
from screening.export import cif_name
from screening.ranking import Ranked, Ranking
from screening.report.words import formula_html, name_of, number_html, percent, safe, unit_html


def candidates_html(ranking: Ranking, entries: Sequence[Ranked], pictures: Sequence[str]) -> str:
    """One article a candidate; the page shows the selected one, or all where there is no JavaScript."""
    still = [*pictures, *[""] * (len(entries) - len(pictures))]
    return "".join(_article(ranking, entry, drawn) for entry, drawn in zip(entries, still, strict=True))


def _article(ranking: Ranking, entry: Ranked, drawn: str) -> str:
    candidate = entry.candidate
    low, high = entry.score_interval
    first, last = entry.rank_interval
    rank = f"{first} to {last}" if first != last else str(first)
    level = f"{ranking.level:.0%}"
    parts = "".join(_part_html(ranking, name, part) for name, part in entry.parts.items())
    numbers = "".join(_number_html(found) for found in candidate.properties.values())
    still = f'<div class="still">{drawn}</div>' if drawn else ""
    return (
        f'<article class="candidate" id="candidate-{entry.place}" data-place="{entry.place}">'
        f"<h3>{entry.place}. {formula_html(candidate.structure)}</h3>{still}"
        f'<p class="quiet">{safe(candidate.id)} · proposal {entry.index} · '
        f'<a href="candidates/{safe(cif_name(entry, len(ranking.entries)))}">CIF</a></p>'
        f"<p>Score <b>{entry.score:.3f}</b> ({low:.2f} to {high:.2f}, {level}), rank {rank} ({level}), "
        f"among the top {ranking.top} in {percent(entry.top_probability)} and not dominated in "
        f"{percent(entry.front_probability)} of {ranking.draws} draws; Pareto front {entry.front}.</p>"
        f'<dl class="parts">{parts}</dl>'
        f'<h4>Numbers</h4><dl class="numbers">{numbers}</dl>'
        f"<h4>Structure</h4>{_pairs(_cell(candidate.structure))}"
        f"<h4>Provenance</h4>{_pairs(candidate.provenance)}</article>"
    )


def _part_html(ranking: Ranking, name: str, part: float) -> str:
    total = sum(objective.weight for objective in ranking.objectives)
    weight = next(o.weight for o in ranking.objectives if o.property == name) / total
    bar = (
        '<svg class="bar" width="100%" height="8" aria-hidden="true"><rect class="bar-all" width="100%" height="8"/>'
        f'<rect class="bar-left" width="{100 * part:.1f}%" height="8"/></svg>'
    )
    return f"<div><dt>{safe(name_of(name))}</dt><dd>{bar}<span>{part:.2f} × {weight:.0%}</span></dd></div>"


def _number_html(found: Property) -> str:
    if found.unit == "bool" and found.value in (0.0, 1.0):
        value = "yes" if found.value else "no"
    else:
        unit = f' <span class="unit">{unit_html(found.unit)}</span>' if found.unit and found.value is not None else ""
        value = number_html(found.value, found.std) + unit
    exact = found.unit == "bool" or found.value is None or (found.std is not None and math.isfinite(found.std))
    remarks = [found.method, found.note, "" if exact else "no error estimate"]
    how = "; ".join(text for text in remarks if text)
    small = f'<dd class="quiet">{safe(how)}</dd>' if how else ""
    return f'<div><dt>{safe(name_of(found.name))}</dt><dd class="value">{value}</dd>{small}</div>'


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
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
