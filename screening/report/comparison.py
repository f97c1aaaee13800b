"""The campaign's proposer against its baseline on the same budget: a table of what became of both, and one picture."""

import math
from collections.abc import Sequence

import numpy as np

from screening.candidate import ComparedSet, Comparison
from screening.report.words import name_of, name_with_unit, number_html, safe, unit_html

_WIDTH, _HEIGHT = 560, 270  # px of the picture before it is scaled to its column
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 22, 12, 46
_SETS = ("own", "baseline")  # classes of the two curves


def comparison_html(comparison: Comparison | None) -> str:
    """The section's inside; empty without a baseline."""
    if comparison is None:
        return ""
    unfinished = "" if comparison.finished else '<p class="notice">Not finished: run the campaign again to go on.</p>'
    return (
        f"{unfinished}{_words(comparison)}"
        f'<div class="comparison"><div class="scroll">{_table(comparison)}</div>'
        f"<figure>{_picture(comparison)}<figcaption>{_caption(comparison)}</figcaption></figure></div>"
    )


def _words(comparison: Comparison) -> str:
    """The outcome in a sentence or two; says which way it went, whichever that is."""
    own, other = comparison.own, comparison.baseline
    text = (
        f"<p><b>{safe(own.proposer)}</b> and <b>{safe(other.proposer)}</b> each made {other.proposed} proposals, which "
        f"went through the same stages to <b>{safe(comparison.through)}</b>; the baseline goes no further and is not "
        "ranked."
    )
    if own.proposed != other.proposed:
        text = (
            f"<p><b>{safe(own.proposer)}</b> made {own.proposed} proposals, <b>{safe(other.proposer)}</b> "
            f"{other.proposed}; both went through the same stages to <b>{safe(comparison.through)}</b>."
        )
    if own.values and other.values:
        ours, theirs = np.median(own.values), np.median(other.values)
        name = safe(name_of(comparison.property))
        better = (ours > theirs) == (comparison.order == "max")
        ratio = max(ours, theirs) / min(ours, theirs) if min(ours, theirs) > 0 else math.nan
        times = f" by a factor of {ratio:.2g}" if math.isfinite(ratio) else ""
        verdict = "the same" if ours == theirs else f"{'better' if better else 'worse'}{times}"
        text += f" The median {name} of what {safe(own.proposer)} brought there is {verdict}."
    return text + "</p>"


def _table(comparison: Comparison) -> str:
    sets = (comparison.own, comparison.baseline)
    rows = [_row("proposed", [str(s.proposed) for s in sets])]
    for stage in comparison.own.left:
        rows.append(_row(f"left after {stage}" if stage != "built" else "built", [_share(s, stage) for s in sets]))
    unit = unit_html(comparison.unit)
    name = f"{safe(name_of(comparison.property))} <span class=quiet>{unit}</span>"
    high, best = (95, max) if comparison.order == "max" else (5, min)
    rows.append(f'<tr class="head"><th colspan="3" scope="colgroup">{name}</th></tr>')
    for label, take in (
        ("median", lambda values: float(np.median(values))),
        (f"{high}th percentile", lambda values: float(np.percentile(values, high))),
        ("best", lambda values: float(best(values))),
    ):
        rows.append(_row(label, [_figure(take(s.values)) if s.values else "–" for s in sets]))
    heads = "".join(
        f'<th scope="col"><svg class="key" viewBox="0 0 18 8" aria-hidden="true"><line class="{kind}" x1="0" x2="18" '
        f'y1="4" y2="4"/></svg>{safe(s.proposer)}</th>'
        for kind, s in zip(_SETS, sets, strict=True)
    )
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(label: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{safe(label)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _share(compared: ComparedSet, stage: str) -> str:
    left = compared.left.get(stage, 0)
    share = f"{100 * left / compared.proposed:.0f} %" if compared.proposed else "–"
    return f'{left} <span class="quiet">{share}</span>'


def _figure(value: float) -> str:
    return number_html(float(f"{value:.3g}"), None)


def _picture(comparison: Comparison) -> str:
    """How many of the proposals reach at least (or at most) each value, as two stairs."""
    sets = (comparison.own, comparison.baseline)
    values = np.array([value for s in sets for value in s.values], dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return '<p class="quiet">Nothing was measured.</p>'
    logarithmic = bool((values > 0).all()) and values.max() > 20 * values.min()
    low, high = _ends(values, logarithmic)
    most = max(1, *(len(s.values) for s in sets))

    def x(value: float) -> float:
        place = (math.log10(value) if logarithmic else value) - low
        return _LEFT + place / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / most * (_HEIGHT - _TOP - _BOTTOM)

    ticks = _ticks(low, high, logarithmic)
    grid = "".join(
        f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP}" y2="{y(0):.1f}"/>'
        f'<text class="tick" x="{x(value):.1f}" y="{y(0) + 18:.1f}">{text}</text>'
        for value, text in ticks
    )
    for count in sorted({0, most // 2, most}):
        grid += (
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}"/>'
            f'<text class="tick side" x="{_LEFT - 6}" y="{y(count) + 4:.1f}">{count}</text>'
        )
    upward = comparison.order == "max"
    stairs = ""
    for kind, compared in zip(reversed(_SETS), reversed(sets), strict=True):
        reached = sorted((v for v in compared.values if math.isfinite(v)), reverse=upward)
        if not reached:
            continue
        points = []
        for count, value in enumerate(reached):
            points += [(x(value), y(count)), (x(value), y(count + 1))]
        edge = _LEFT if upward else _WIDTH - _RIGHT
        points.append((edge, y(len(reached))))
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        stairs += f'<polyline class="{kind}" points="{path}"><title>{safe(compared.proposer)}</title></polyline>'
    name = safe(name_with_unit(comparison.property, comparison.unit))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Candidates that reach a value, by proposer">'
        f'{grid}{stairs}<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}">{name}</text></svg>'
    )


def _ticks(low: float, high: float, logarithmic: bool) -> list[tuple[float, str]]:
    """Places on the axis and their text as SVG; `low` and `high` are powers of ten on a logarithmic one."""
    if not logarithmic:
        places = np.linspace(low, high, 5)
        return [(float(value), f"{value:.3g}".replace("-", "−")) for value in places]
    powers = range(math.ceil(low), math.floor(high) + 1)
    if len(powers) >= 2:
        return [(10.0**n, f'10<tspan dy="-5" font-size="8">{str(n).replace("-", "−")}</tspan>') for n in powers]
    return [(float(value), f"{value:.2g}".replace("-", "−")) for value in np.logspace(low, high, 4)]


def _ends(values: np.ndarray, logarithmic: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _caption(comparison: Comparison) -> str:
    side = "at least" if comparison.order == "max" else "at most"
    return (
        f"How many of the proposals reach {side} the {safe(name_of(comparison.property))} on the axis, by proposer, "
        f"both measured at the stage {safe(comparison.through)}; the higher curve is the better yield at that value."
    )
