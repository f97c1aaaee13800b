"""The report of a campaign: one HTML file that needs nothing else, opens from disk and asks no network.

Text and tables are written here and read without JavaScript; the plot and the 3-D view are drawn in the browser by
the JavaScript of the installed plotly package (MIT), which is inlined when the report is made.
"""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

from potentials.files import write_atomic
from screening.candidate import Snapshot
from screening.rank_uncertainty import Distinction, distinguish
from screening.ranking import Ranking
from screening.report.comparison import comparison_html
from screening.report.details import candidates_html
from screening.report.distinction import distinction_html
from screening.report.drawing import picture, scene
from screening.report.sections import (
    answer_html,
    asked_html,
    cards_html,
    funnel_html,
    limits_html,
    plot_axes,
    table_html,
    unranked_html,
)
from screening.report.words import safe

SHOWN = 200  # ranked candidates on the page; the others are in ranking.csv
DRAWN = 40  # structures that can be turned, at most


def write_report(
    path: str | Path, snapshot: Snapshot, ranking: Ranking, distinction: Distinction | None = None
) -> Path:
    """Write the report to `path`, atomically; `distinction` is worked out here when not given.

    The same snapshot and ranking give the same bytes.

    Raises:
        InputError: `path` cannot be written.
    """
    return write_atomic(path, render_report(snapshot, ranking, distinction))


def render_report(snapshot: Snapshot, ranking: Ranking, distinction: Distinction | None = None) -> str:
    """The report as HTML text."""
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    distinction = distinction or distinguish(ranking)
    told_apart = distinction_html(ranking, distinction)
    compared = comparison_html(snapshot.comparison)
    entries = ranking.entries[:SHOWN]
    scenes = [scene(entry.candidate.structure) for entry in entries[: min(max(ranking.top, 1), DRAWN)]]
    pictures = [
        picture(drawn, f"Unit cell of {entry.candidate.structure.composition.reduced_formula}")
        for drawn, entry in zip(scenes, entries, strict=False)
    ]
    files = importlib.resources.files(__name__)
    x, y, options = plot_axes(ranking)
    return fill(
        files.joinpath("page.html").read_text(encoding="utf-8"),
        {
            "title": safe(snapshot.name),
            "question": safe(snapshot.question),
            "campaign": safe(snapshot.config_hash),
            "answer": answer_html(snapshot, ranking),
            "asked": asked_html(snapshot, ranking),
            "funnel": funnel_html(snapshot, ranking),
            "cards": cards_html(ranking, pictures),
            "axis_x": _options(options, x),
            "axis_y": _options(options, y),
            "table": table_html(ranking, entries, distinction),
            "distinction": _section("distinction", "Which candidates are really distinguishable", told_apart)
            if told_apart
            else "",
            "comparison": _section("comparison", f"Against {snapshot.comparison.baseline.proposer}", compared)
            if snapshot.comparison is not None
            else "",
            "candidates": candidates_html(ranking, entries, pictures, distinction),
            "unranked": unranked_html(ranking),
            "limits": limits_html(snapshot, ranking, distinction),
            "plotly_version": safe(get_plotlyjs_version()),
            "data": embedded_json(_data(ranking, scenes)),
            "css": files.joinpath("page.css").read_text(encoding="utf-8"),
            "plotly": get_plotlyjs().replace("</script", "<\\/script"),
            "js": files.joinpath("page.js").read_text(encoding="utf-8"),
        },
    )


def _section(name: str, title: str, inside: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{safe(title)}</h2>{inside}</section>'


def fill(template: str, values: dict[str, str]) -> str:
    """Replace each `{{name}}` of the template once; what is filled in is never read again as a template."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], template)


def embedded_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _data(ranking: Ranking, scenes: list[dict[str, Any] | None]) -> dict[str, Any]:
    """What the plot and the viewer draw; everything else of the page is text already."""
    _, _, options = plot_axes(ranking)
    candidates = []
    for i, entry in enumerate(ranking.entries[:SHOWN]):
        values = {name: _point(entry.candidate.properties.get(name)) for name, _ in options if name != "score"}
        low, high = entry.score_interval
        values["score"] = [entry.score, entry.score - low, high - entry.score]
        candidates.append(
            {
                "place": entry.place,
                "name": entry.candidate.structure.composition.reduced_formula,
                "id": entry.candidate.id[:8],
                "front": entry.front,
                "values": {name: value for name, value in values.items() if value is not None},
                "scene": scenes[i] if i < len(scenes) else None,
            }
        )
    return {"candidates": candidates, "labels": dict(options), "wanted": _wanted(ranking)}


def _point(found: Any) -> list[float] | None:
    """A value and the length of its error bar to both sides."""
    if found is None or found.value is None or not abs(found.value) < float("inf"):
        return None
    std = found.std if found.std is not None and 0 < found.std < float("inf") else 0.0
    return [found.value, std, std]


def _wanted(ranking: Ranking) -> dict[str, str]:
    return {objective.property: objective.direction for objective in ranking.objectives} | {"score": "max"}


def _options(options: list[tuple[str, str]], chosen: str) -> str:
    return "".join(
        f'<option value="{safe(name)}"{" selected" if name == chosen else ""}>{safe(text)}</option>'
        for name, text in options
    )
