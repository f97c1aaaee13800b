"""Measured isotherms of a candidate beside what was computed, as a still picture and in words."""

import math
from collections.abc import Callable, Iterable

from screening.candidate import Candidate, Property
from screening.experiments.as_properties import SAME_TEMPERATURE
from screening.experiments.measured_isotherm import MeasuredIsotherm
from screening.experiments.record import isotherm_of
from screening.quantities import with_error
from screening.report.words import name_of, safe
from screening.uptake_names import uptake_condition

_WIDTH, _HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 36  # px around the axes
_MARKS = 4  # sources told apart by their marks; the others share the last


def measured_html(candidate: Candidate) -> str:
    """A picture a gas and temperature, and the sources; empty where nothing was measured."""
    if not candidate.measurements:
        return ""
    read = [isotherm_of(item) for item in candidate.measurements]
    numbered = [(min(n, _MARKS - 1), isotherm) for n, isotherm in enumerate(read) if isotherm is not None]
    pictures = "".join(
        _picture(gas, kelvin, members, candidate) for (gas, kelvin), members in _by_state(numbered).items()
    )
    sources = "".join(
        f'<li><svg class="mark" viewBox="0 0 10 10" aria-hidden="true"><circle class="measured '
        f'm{min(n, _MARKS - 1)}" cx="5" cy="5" r="4"/></svg>{safe(item.source)}'
        + (f' <span class="quiet">as {safe(item.material)}</span>' if item.material else "")
        + f'<span class="quiet">{safe(_remarks(item.data.get("notes")))}</span></li>'
        for n, item in enumerate(candidate.measurements)
    )
    return f'<h4>Measured</h4>{pictures}<ul class="plain sources">{sources}</ul>'


def beside_html(candidate: Candidate, found: Property) -> str:
    """The computed figure a measurement stands before, as `computed 2.1 ± 0.1, ratio 1.2`; empty for all others."""
    before = candidate.superseded.get(found.name)
    if before is None:
        return ""
    ratio = ""
    if found.value and before.value:
        ratio = f", measured / computed {found.value / before.value:.2f}"
    return f"computed {with_error(before.value, before.std)}{ratio}; {before.method}"


def _remarks(notes: object) -> str:
    if not isinstance(notes, list) or not notes:
        return ""
    return "; " + "; ".join(map(str, notes[:3])) + (f" and {len(notes) - 3} more remarks" if len(notes) > 3 else "")


Marked = tuple[int, MeasuredIsotherm]  # which mark its points carry


def _by_state(isotherms: Iterable[Marked]) -> dict[tuple[str, float], list[Marked]]:
    """Isotherms that belong into one picture: one gas, temperatures within `SAME_TEMPERATURE`."""
    groups: dict[tuple[str, float], list[Marked]] = {}
    for mark, isotherm in isotherms:
        gas, kelvin = isotherm.gas, isotherm.temperature
        key = next((k for k in groups if k[0] == gas and abs(k[1] - kelvin) <= SAME_TEMPERATURE), (gas, kelvin))
        groups.setdefault(key, []).append((mark, isotherm))
    return groups


def _computed_points(candidate: Candidate, gas: str, kelvin: float) -> list[tuple[float, float, float]]:
    """(pressure in bar, loading, standard error) of every computed uptake of the gas at that temperature."""
    points = []
    for name, item in {**candidate.properties, **candidate.superseded}.items():
        condition = uptake_condition(name)
        if condition is None or item.value is None or item.fidelity == "measured":
            continue
        if condition[0] == gas.lower() and abs(condition[2] - kelvin) <= SAME_TEMPERATURE:
            points.append((condition[1] / 1e5, item.value, item.std or 0.0))
    return sorted(points)


def _picture(gas: str, kelvin: float, marked: list[Marked], candidate: Candidate) -> str:
    isotherms = [isotherm for _, isotherm in marked]
    computed = _computed_points(candidate, gas, kelvin)
    top_bar = max([i.pressure.max() / 1e5 for i in isotherms] + [p for p, *_ in computed])
    if computed and top_bar > 20 * computed[-1][0]:  # a measurement to 50 bar would hide the points at 0.15
        top_bar = 20 * computed[-1][0]
    top_loading = max(
        [float(i.loading[i.pressure <= top_bar * 1e5].max(initial=0.0)) for i in isotherms]
        + [q + s for _, q, s in computed]
    )
    x_step, y_step = _step(top_bar), _step(top_loading)
    x_most, y_most = math.ceil(top_bar / x_step) * x_step, math.ceil(top_loading / y_step) * y_step

    def place(bar: float, loading: float) -> tuple[float, float]:
        x = _LEFT + bar / x_most * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - loading / y_most * (_HEIGHT - _TOP - _BOTTOM)

    shapes = [_axes(x_most, y_most, x_step, y_step, place)]
    for mark, isotherm in marked:
        inside = isotherm.pressure <= top_bar * 1e5
        for p, q in zip(isotherm.pressure[inside] / 1e5, isotherm.loading[inside], strict=True):
            x, y = place(float(p), float(q))
            shapes.append(f'<circle class="measured m{mark}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    for bar, loading, std in computed:
        x, y = place(bar, loading)
        _, high = place(bar, loading + std)
        _, low = place(bar, max(loading - std, 0.0))
        shapes.append(
            f'<line class="computed" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<rect class="computed" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" '
            f'transform="rotate(45 {x:.1f} {y:.1f})"/>'
        )
    title = f"{name_of(f'{gas.lower()}_uptake_{kelvin:g}K')}"
    key = "dots: measured" + ("; diamonds: computed" if computed else "; nothing was computed at this temperature")
    return (
        f'<figure class="isotherm"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{safe(title)}, '
        f'measured and computed">{"".join(shapes)}</svg><figcaption>{safe(title)}; {key}</figcaption></figure>'
    )


def _axes(
    x_most: float, y_most: float, x_step: float, y_step: float, place: Callable[[float, float], tuple[float, float]]
) -> str:
    parts = []
    for n in range(round(x_most / x_step) + 1):
        x, y = place(n * x_step, 0.0)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + 4:.1f}"/>'
            f'<text class="tick" x="{x:.1f}" y="{y + 16:.1f}">{n * x_step:g}</text>'
        )
    for n in range(round(y_most / y_step) + 1):
        x, y = place(0.0, n * y_step)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick side" x="{x - 6:.1f}" y="{y + 4:.1f}">{n * y_step:g}</text>'
        )
    parts.append(f'<text class="tick" x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 4}">pressure, bar</text>')
    parts.append(
        f'<text class="tick" transform="translate(11 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)">mol/kg</text>'
    )
    return "".join(parts)


def _step(most: float) -> float:
    """A round distance between ticks: three to six of them up to `most`."""
    if not most > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * f for f in (0.2, 0.5, 1.0, 2.0) if most / (power * f) <= 6)
