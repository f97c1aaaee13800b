"""The sections of the report that do not depend on a selected candidate, as HTML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from screening.candidate import Snapshot
from screening.export import model_rank_interval, property_columns
from screening.model_names import is_member
from screening.rank_uncertainty import Distinction
from screening.ranking import Ranked, Ranking
from screening.report.losses import AlikeLosses, funnel
from screening.report.words import (
    formula_html,
    name_of,
    name_with_unit,
    number_html,
    percent,
    safe,
    told_together,
    unit_html,
)

EXAMPLES = 5  # losses shown of a kind


def answer_html(snapshot: Snapshot, ranking: Ranking) -> str:
    """The outcome in two sentences."""
    counts = f"{len(ranking.entries)} of {len(snapshot.rows)} proposals were ranked."
    if not ranking.entries:
        return f"<p>{counts} The funnel below says what became of them.</p>"
    first = ranking.entries[0]
    numbers = [
        f"{safe(name_of(o.property))} {_quantity(first.candidate.properties[o.property], plain=True)}"
        for o in ranking.objectives
    ]
    low, high = first.rank_interval
    place = f"place {low}" if low == high else f"places {low} to {high}"
    name = formula_html(first.candidate.structure)
    sure = f"its measured errors leave it at {place} with {ranking.level:.0%} probability"
    return (
        f'<p>{counts} First is <a href="#candidate-1" data-place="1"><strong>{name}</strong></a>: '
        f"{'; '.join(numbers)}; {sure}.</p>"
    )


def asked_html(snapshot: Snapshot, ranking: Ranking) -> str:
    """What was wanted, what was proposed, what each stage asked, and the whole configuration."""
    total = sum(objective.weight for objective in ranking.objectives)
    wants = "".join(
        f"<li>{'high' if o.direction == 'max' else 'low'} <b>{safe(name_with_unit(o.property, o.unit))}</b> "
        f'<span class="quiet">weight {o.weight / total:.0%}</span></li>'
        for o in ranking.objectives
    )
    proposer = snapshot.config.get("proposer") or {}
    proposed = f"{safe(proposer.get('count', len(snapshot.rows)))} from <b>{safe(proposer.get('name', '?'))}</b>"
    settings = _settings(proposer.get("settings"))
    stages = "".join(_stage_html(stage) for stage in snapshot.config.get("stages") or ())
    plain = json.loads(json.dumps(snapshot.config, default=str))
    config = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return (
        f'<h3>Wanted</h3><ul class="plain">{wants}</ul>'
        f"<h3>Proposed</h3><p>{proposed}{settings}</p>"
        f'<h3>Measured, in this order</h3><ol class="stages">{stages}</ol>'
        f"<details><summary>The whole configuration</summary><pre>{safe(config)}</pre></details>"
    )


def funnel_html(snapshot: Snapshot, ranking: Ranking) -> str:
    """A bar a step; under each the reasons for what it lost, with examples."""
    steps = funnel(snapshot, ranking)
    most = max(steps[0].left, 1)
    items = []
    for step in steps:
        width = 100 * step.left / most
        bar = (
            '<svg class="bar" role="presentation" width="100%" height="14" aria-hidden="true">'
            f'<rect class="bar-all" width="100%" height="14" rx="2"/>'
            f'<rect class="bar-left" width="{width:.1f}%" height="14" rx="2"/></svg>'
        )
        lost = f'<span class="lost">−{step.lost}</span>' if step.lost else '<span class="lost none">–</span>'
        line = f'<span class="step">{safe(step.name)}</span>{bar}<span class="left">{step.left}</span>{lost}'
        if step.groups:
            reasons = "".join(_reason_html(group) for group in step.groups)
            items.append(f"<li><details><summary>{line}</summary><ul>{reasons}</ul></details></li>")
        else:
            items.append(f'<li><div class="line">{line}</div></li>')
    return f'<ol class="funnel">{"".join(items)}</ol>'


def cards_html(ranking: Ranking, pictures: Sequence[str]) -> str:
    """The top candidates as pictures; each a link to its numbers."""
    cards = []
    for entry, drawn in zip(ranking.entries, pictures, strict=False):
        name = formula_html(entry.candidate.structure)
        cards.append(
            f'<li><a href="#candidate-{entry.place}" data-place="{entry.place}">{drawn or "<span>not drawn</span>"}'
            f'<span class="caption"><b>{entry.place}</b> {name}</span>'
            f'<span class="quiet">{entry.score:.2f} ({_range(*entry.score_interval)})</span></a></li>'
        )
    return f'<ol class="cards">{"".join(cards)}</ol>' if cards else ""


def plot_axes(ranking: Ranking) -> tuple[str, str, list[tuple[str, str]]]:
    """Properties of the x and y axes to begin with, and all that can be chosen, as (name, label)."""
    wanted = [objective.property for objective in ranking.objectives]
    units = {name: found.unit for e in reversed(ranking.entries) for name, found in e.candidate.properties.items()}
    numeric = [name for name in property_columns(ranking) if units.get(name) != "bool"]
    options = [(name, name_with_unit(name, units.get(name, ""))) for name in numeric] + [("score", "Score")]
    x = next((name for name in wanted if "selectivity" in name), wanted[1] if len(wanted) > 1 else "score")
    y = next((name for name in wanted if name != x), "score")
    return x, y, options


def table_html(ranking: Ranking, entries: Sequence[Ranked], distinction: Distinction) -> str:
    """The ranking as a table; columns beyond the objectives are marked `more`."""
    columns = property_columns(ranking)
    units = {name: found.unit for e in reversed(entries) for name, found in e.candidate.properties.items()}
    level = f"{ranking.level:.0%}"
    first, others = columns[: len(ranking.objectives)], columns[len(ranking.objectives) :]
    models = len(distinction.models)
    basis = f"{level}\n{models} models" if models > 1 else level
    heads = [("Place", "", ""), ("Candidate", "", ""), ("Score", level, ""), ("Rank", basis, "")]
    heads += [(*_two_lines(name, units), "") for name in first]
    heads += [
        ("Group", "not told apart", ""),
        ("Front", "", ""),
        ("Not dominated", "probability", ""),
        (f"Top {ranking.top}", "probability", ""),
    ]
    heads += [(*_two_lines(name, units), "more") for name in others]
    head = "".join(_head_html(i, *texts) for i, texts in enumerate(heads))
    rows = "".join(_row_html(entry, first, others, distinction) for entry in entries)
    left_out = len(ranking.entries) - len(entries)
    note = f'<p class="quiet">{left_out} more are in ranking.csv.</p>' if left_out else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Ranking table">'
        f'<table id="ranking"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'
    )


def unranked_html(ranking: Ranking) -> str:
    """Candidates that went through the funnel but lack a number."""
    if not ranking.unranked:
        return ""
    items = "".join(
        f"<li><b>{formula_html(item.candidate.structure)}</b> "
        f"<code>{safe(item.candidate.id)}</code>: {safe(item.reason)}</li>"
        for item in ranking.unranked
    )
    return f'<section><h2>Not rankable</h2><ul class="plain">{items}</ul></section>'


def limits_html(snapshot: Snapshot, ranking: Ranking, distinction: Distinction) -> str:
    """How the numbers were made, what they do not say, and with which versions."""
    methods: dict[str, list[str]] = {}
    for entry in ranking.entries:
        for name, found in entry.candidate.properties.items():
            if not is_member(name) and found.method and found.method not in methods.setdefault(name, []):
                methods[name].append(found.method)
    measured = "".join(
        f"<tr><th scope=row>{safe(name_of(name))}</th><td>{'<br>'.join(map(safe, told_together(texts)))}</td></tr>"
        for name, texts in methods.items()
    )
    versions = "".join(f"<div><dt>{safe(k)}</dt><dd>{safe(v)}</dd></div>" for k, v in snapshot.versions.items())
    seconds = "".join(
        f"<div><dt>{safe(stage)}</dt><dd>{snapshot.wall_seconds[stage]:.1f} s</dd></div>"
        for stage in snapshot.stages
        if stage in snapshot.wall_seconds
    )
    unknown = sorted(
        name_of(o.property)
        for o in ranking.objectives
        if any(e.candidate.properties[o.property].std is None for e in ranking.entries)
    )
    exact = f"<li>No error is known for {safe(', '.join(unknown))}: taken as exact.</li>" if unknown else ""
    return (
        f"<p>{safe(ranking.method)}</p>"
        f'<div class="scroll"><table class="methods"><tbody>{measured}</tbody></table></div>'
        "<h3>What the intervals do not hold</h3><ul>"
        f"<li>{_held(distinction)}</li>"
        "<li>Errors of different objectives are taken as independent, also where one simulation gave both.</li>"
        "<li>The score compares the candidates of one campaign; it means nothing across campaigns.</li>"
        f"<li>A candidate is a computed structure: whether it can be made was not asked.</li>{exact}</ul>"
        f'<div class="pairs"><div><h3>Versions</h3><dl>{versions}</dl></div>'
        f"<div><h3>Computing time</h3><dl>{seconds}</dl></div></div>"
    )


def _held(distinction: Distinction) -> str:
    """Which errors the intervals hold."""
    if len(distinction.models) == 1:
        return (
            "They carry the statistical errors of the simulations only. Errors of force field, partial charges and "
            "relaxed geometry are larger, partly shared by all candidates, and not in them."
        )
    return (
        f"Those of score, top and front carry the statistical errors of the simulations only; those of rank, for the "
        f"first {len(distinction.places)}, also the spread of {len(distinction.models)} models. What all of them get "
        "wrong alike (rigid frameworks, open metal sites, relaxed geometry) is in none. Uptakes under the other models "
        "are estimated from their Henry coefficients unless the stage measured uptakes."
    )


def _stage_html(stage: Mapping[str, Any]) -> str:
    name = stage.get("name") or stage.get("evaluator", "?")
    rules = [f"{safe(name_of(key))} {safe(text)}" for key, text in (stage.get("require") or {}).items()]
    keep = stage.get("keep")
    if keep:
        best = "highest" if keep.get("order", "max") == "max" else "lowest"
        rules.append(f"the {safe(keep.get('n'))} with the {best} {safe(name_of(str(keep.get('by'))))}")
    passes = f"; only <b>{'; '.join(rules)}</b> goes on" if rules else ""
    return f"<li>{safe(name)}{passes}{_settings(stage.get('settings'))}</li>"


def _is_deep(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values())


def _settings(settings: Mapping[str, Any] | None) -> str:
    if not settings:
        return ""
    # settings of settings are in the whole configuration below
    shown = {key: value for key, value in settings.items() if not _is_deep(value)}
    text = ", ".join(f"{key} {json.dumps(value, ensure_ascii=False, default=str)}" for key, value in shown.items())
    return f' <span class="quiet">{safe(text)}</span>'


def _reason_html(group: AlikeLosses) -> str:
    state = f'<span class="state">{safe(group.state)}</span> ' if group.state != "rejected" else ""
    shown = "; ".join(
        f"{loss.index}{f' {loss.formula}' if loss.formula else ''}"
        + (f": {loss.reason}" if loss.reason != group.reason else "")
        for loss in group.losses[:EXAMPLES]
    )
    more = f" and {len(group.losses) - EXAMPLES} more" if len(group.losses) > EXAMPLES else ""
    return (
        f"<li><b>{len(group.losses)}</b> {state}{safe(group.reason)}"
        f'<span class="quiet examples">proposal {safe(shown)}{more}</span></li>'
    )


def _head_html(column: int, text: str, under: str, kind: str = "") -> str:
    small = "".join(f'<span class="quiet">{line}</span>' for line in under.splitlines())
    return (
        f'<th scope="col" class="{kind}" aria-sort="none">'
        f'<button type="button" data-column="{column}">{text}</button>{small}</th>'
    )


def _two_lines(name: str, units: Mapping[str, str]) -> tuple[str, str]:
    """A property as a column head: its name, and below it conditions and unit, as HTML."""
    text, _, conditions = safe(name_of(name)).partition(", ")
    unit = unit_html(units.get(name, ""))
    return text, "\n".join(part for part in (conditions, unit) if part)


def _row_html(entry: Ranked, first: Sequence[str], others: Sequence[str], distinction: Distinction) -> str:
    under_models = model_rank_interval(distinction, entry.place) if len(distinction.models) > 1 else None
    low, high = under_models or entry.rank_interval
    group = safe(distinction.groups[entry.place - 1] if entry.place <= len(distinction.groups) else "")
    formula = safe(entry.candidate.structure.composition.reduced_formula)
    cells = [
        f'<td data-value="{entry.place}">{entry.place}</td>',
        f'<th scope="row" data-value="{formula}"><a href="#candidate-{entry.place}">'
        f"{formula_html(entry.candidate.structure)}</a> <code>{safe(entry.candidate.id[:8])}</code></th>",
        f'<td data-value="{entry.score:.6f}">{entry.score:.2f}{_interval_svg(entry)}</td>',
        f'<td data-value="{low + high}">{f"{low}–{high}" if low != high else low}</td>',
        *(_property_cell(entry, name, "") for name in first),
        f'<td data-value="{group}">{group}</td>',
        f'<td data-value="{entry.front}">{entry.front}</td>',
        f'<td data-value="{entry.front_probability:.4f}">{percent(entry.front_probability)}</td>',
        f'<td data-value="{entry.top_probability:.4f}">{percent(entry.top_probability)}</td>',
        *(_property_cell(entry, name, "more") for name in others),
    ]
    best = ' class="front"' if entry.front == 1 else ""
    return f'<tr data-place="{entry.place}"{best}>{"".join(cells)}</tr>'


def _property_cell(entry: Ranked, name: str, kind: str) -> str:
    found = entry.candidate.properties.get(name)
    value = "" if found is None or found.value is None else f"{found.value:.8g}"
    return f'<td class="{kind}" data-value="{value}">{_quantity(found)}{_badge(found)}</td>'


def _badge(found: Any) -> str:
    """A word on figures that a laboratory gave."""
    return '<span class="badge">measured</span>' if found is not None and found.fidelity == "measured" else ""


def _interval_svg(entry: Ranked) -> str:
    """The score's interval on a line from 0 to 1."""
    low, high = (100 * x for x in entry.score_interval)
    text = f"{_range(*entry.score_interval)}"
    return (
        f'<svg class="interval" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{text}">'
        f'<title>{text}</title><line class="all" x1="0" x2="100" y1="4" y2="4"/>'
        f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="4" y2="4"/>'
        f'<line class="point" x1="{100 * entry.score:.1f}" x2="{100 * entry.score:.1f}" y1="0" y2="8"/></svg>'
    )


def _quantity(found: Any, plain: bool = False) -> str:
    """A number with its error; with its unit where no column head says it."""
    if found is None:
        return "–"
    if found.unit == "bool" and found.value in (0.0, 1.0):
        return "yes" if found.value else "no"
    return number_html(found.value, found.std) + (f" {unit_html(found.unit)}" if plain and found.unit else "")


def _range(low: float, high: float) -> str:
    return f"{low:.2f}–{high:.2f}"
