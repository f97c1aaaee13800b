"""A picture of pure-gas isotherms, one panel a gas, drawn with matplotlib where it is installed."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_CURVES = 10  # in a panel; more cannot be told apart
_LONGEST_NAME = 36  # letters, in the legend


def draw_isotherms(
    points: Sequence[Mapping[str, Any]], best: Sequence[str], title: str, folder: Path
) -> tuple[Path, ...]:
    """Write `isotherms.png` and `isotherms.svg`; nothing without points or without matplotlib.

    Args:
        points: rows with `name`, `gas`, `temperature [K]`, `pressure [Pa]`, `uptake [mol/kg]`, `uptake std`.
        best: names in the order of their rank; the first ten are drawn, the rest in grey.
        title: above the picture.
        folder: where to write.
    """
    if not points or importlib.util.find_spec("matplotlib") is None:
        return ()
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    gases = list(dict.fromkeys(str(point["gas"]) for point in points))
    names = [*best, *dict.fromkeys(str(point["name"]) for point in points if point["name"] not in best)]
    figure = Figure(figsize=(1.0 + 4.2 * len(gases), 4.6), layout="constrained")
    panels = figure.subplots(1, len(gases), squeeze=False)[0]
    for panel, gas in zip(panels, gases, strict=True):
        for order, name in enumerate(names):
            curve = sorted(
                (point for point in points if point["gas"] == gas and point["name"] == name),
                key=lambda point: float(point["pressure [Pa]"]),
            )
            if not curve:
                continue
            style: dict[str, Any] = {"color": "0.8", "zorder": 1, "lw": 0.8}
            if order < MOST_CURVES:
                style = {
                    "color": f"C{order}",
                    "label": _shortened(name),
                    "zorder": 3,
                    "lw": 1.4,
                    "marker": "o",
                    "ms": 4,
                }
            panel.errorbar(
                [point["pressure [Pa]"] / 1e5 for point in curve],
                [point["uptake [mol/kg]"] for point in curve],
                yerr=[point["uptake std"] or 0.0 for point in curve],
                capsize=2,
                **style,
            )
        panel.set_xscale("log")
        if any(point["uptake [mol/kg]"] > 0 for point in points if point["gas"] == gas):
            panel.set_yscale("log")
        else:
            panel.text(0.5, 0.75, "nothing adsorbed", transform=panel.transAxes, ha="center", color="0.4")
        for axis in (panel.xaxis, panel.yaxis):
            _plain_ticks(axis)
        temperatures = sorted({point["temperature [K]"] for point in points if point["gas"] == gas})
        panel.set_title(f"{_subscripted(gas)}, {', '.join(f'{value:g}' for value in temperatures)} K", fontsize=10)
        panel.set_xlabel("pressure [bar]")
        panel.grid(True, which="both", lw=0.3, alpha=0.5)
    panels[0].set_ylabel("absolute uptake [mol/kg]")
    shown = [pair for panel in panels for pair in zip(*panel.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in shown}
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), 2 * len(gases))),
        fontsize=7,
        frameon=False,
    )
    figure.suptitle(_subscripted(title), fontsize=9)
    paths = tuple(folder / f"isotherms.{ending}" for ending in ("png", "svg"))
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _plain_ticks(axis: Any) -> None:
    """Numbers of a logarithmic axis as 0.02, 0.1 or 5; a linear one is left alone."""
    from matplotlib import ticker

    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        subs = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
        axis.set_major_locator(ticker.LogLocator(base=10, subs=subs, numticks=12))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_formatter(ticker.NullFormatter())


def _subscripted(text: str) -> str:
    """Formulas as they are written: CO2 with its 2 below the line."""
    return re.sub(r"\b(?:[A-Z][a-z]?\d*)+\b", lambda formula: re.sub(r"\d+", r"$_{\g<0>}$", formula[0]), text)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
