"""Measured isotherms as CSV: columns and units in the header, what else is known in `# key: value` lines above it.

    # gas: CO2
    # temperature: 298 K
    # material: HKUST-1
    # source: 10.1021/ja00000a000
    # kind: excess
    pressure [bar], loading [mmol/g], error [mmol/g]
    0.011, 0.12, 0.01

Comma, semicolon (then also with decimal commas) or tab; options given by the caller win over the file.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from potentials.errors import InputError
from screening.experiments.measured_isotherm import Category, Kind, MeasuredIsotherm, make_isotherm
from screening.experiments.units import gas_formula, loading_factor, pressure_factor

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "pressure": ("pressure", "p"),
    "loading": ("loading", "uptake", "adsorption", "amount", "adsorbed", "amount adsorbed", "q", "n"),
    "error": ("error", "std", "uncertainty", "loading error", "loading std", "uptake std", "sd"),
}
_KEYS = ("gas", "temperature", "material", "source", "doi", "kind", "category", "density", "cell_mass",
         "saturation_pressure", "pressure_unit", "loading_unit")  # fmt: skip
KINDS = ("excess", "absolute", "unknown")
CATEGORIES: Mapping[str, Category] = {
    "exp": "experiment",
    "experiment": "experiment",
    "experimental": "experiment",
    "sim": "simulation",
    "simulation": "simulation",
    "mod": "model",
    "model": "model",
    "": "unknown",
    "unknown": "unknown",
}


def parse_csv(text: str, name: str, options: Mapping[str, str | None] | None = None) -> MeasuredIsotherm:
    """The isotherm of a CSV text.

    Args:
        text: the file's content.
        name: of the file; the source when none is declared, and in errors.
        options: `gas`, `temperature` (K), `material`, `source`, `kind`, `category`, `density` (kg/m3), `cell_mass`
            (g/mol), `saturation_pressure` (Pa), `pressure_unit`, `loading_unit`; each wins over the file.

    Raises:
        InputError: a column, a unit, the gas or the temperature is missing or unknown, or no row is usable.
    """
    known, lines = _declared(text)
    known |= {key: value for key, value in (options or {}).items() if value is not None}
    if not lines:
        raise InputError(f"{name} holds no table: give a header line with pressure and loading, then rows")
    delimiter = next((mark for mark in (";", "\t", ",") if mark in lines[0][1]), ",")
    header = [cell.strip().strip('"') for cell in lines[0][1].split(delimiter)]
    place, units = _columns(header, name)
    gas = gas_formula(_needed(known, "gas", name, "--gas CO2"))
    temperature = _kelvin(_needed(known, "temperature", name, "--temperature 298"))
    pressure_unit = known.get("pressure_unit") or units["pressure"]
    loading_unit = known.get("loading_unit") or units["loading"]
    for what, unit in (("pressure", pressure_unit), ("loading", loading_unit)):
        if not unit:
            raise InputError(f"{name} does not say the unit of its {what}: write it in the header, as in {what} [unit]")
    to_pascal = pressure_factor(pressure_unit, _number_or_none(known.get("saturation_pressure")))
    to_molal, remark = loading_factor(
        loading_unit,
        gas,
        density=_number_or_none(known.get("density")),
        cell_mass=_number_or_none(known.get("cell_mass")),
    )
    decimal_comma = delimiter != ","
    rows = [[_value(cell, decimal_comma) for cell in line.split(delimiter)] for _, line in lines[1:]]
    columns = {what: np.array([_cell(row, k) for row in rows]) for what, k in place.items()}
    notes = [remark] if remark else []
    notes += [
        f"line {number}: {line.strip()[:60]!r} cannot be read"
        for (number, line), p, q in zip(lines[1:], columns["pressure"], columns["loading"], strict=True)
        if not math.isfinite(p + q)
    ]
    kind = known.get("kind", "unknown").strip().lower()
    if kind not in KINDS:
        raise InputError(f"{name}: kind {kind!r} is none of {', '.join(KINDS)}: correct it")
    return make_isotherm(
        gas=gas,
        material=known.get("material", ""),
        temperature=temperature,
        pressure=columns["pressure"] * to_pascal,
        loading=columns["loading"] * to_molal,
        loading_std=columns["error"] * to_molal if "error" in columns else None,
        kind=cast(Kind, kind),
        category=CATEGORIES.get(known.get("category", "").strip().lower(), "unknown"),
        source=known.get("source") or known.get("doi") or name,
        notes=tuple(notes),
        units=(pressure_unit, loading_unit),
    )


def _declared(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """(`# key: value` pairs, the other lines with their numbers)."""
    known: dict[str, str] = {}
    lines = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if line.lstrip().startswith("#"):
            key, _, value = line.lstrip("# \t").replace("=", ":", 1 if ":" not in line else 0).partition(":")
            key = key.strip().lower().replace(" ", "_")
            if key in _KEYS and value.strip():
                known[key] = value.strip()
        elif line.strip(" ,;\t\r"):
            lines.append((number, line))
    return known, lines


def _columns(header: Sequence[str], name: str) -> tuple[dict[str, int], dict[str, str]]:
    """Where each column stands and the unit its head declares: `pressure [bar]`, `p (bar)`, `pressure_bar`."""
    place: dict[str, int] = {}
    units: dict[str, str] = {"pressure": "", "loading": ""}
    for k, cell in enumerate(header):
        match = re.fullmatch(r"\s*([^\[(/]+?)\s*(?:\[(.+)\]|\((.+)\)|\s/\s(.+))?\s*", cell)
        title = (match[1] if match else cell).lower()
        unit = next((part for part in match.groups()[1:] if part), "") if match else ""
        for what, names in _COLUMNS.items():
            words = title.replace("_", " ").split()
            plain = " ".join(words)
            if what in place:
                continue
            if plain in names:
                place[what], units[what] = k, unit
            elif not unit and what != "error" and len(words) > 1 and words[0] in names:
                place[what], units[what] = k, "/".join(words[1:])
    missing = [what for what in ("pressure", "loading") if what not in place]
    if missing:
        raise InputError(
            f"{name} has the columns {', '.join(header)} and none for {' and '.join(missing)}: "
            "head them like pressure [bar], loading [mmol/g]"
        )
    return place, units


def _needed(known: Mapping[str, str], key: str, name: str, example: str) -> str:
    value = known.get(key, "")
    if not str(value).strip():
        raise InputError(f"{name} does not say the {key}: add a line `# {key}: ...` above the header, or {example}")
    return str(value)


def _kelvin(text: str) -> float:
    """`298`, `298 K` or `25 C` in kelvin."""
    match = re.fullmatch(r"\s*(-?[\d.]+)\s*(K|kelvin|°?\s*C|celsius)?\s*", text, re.I)
    if not match:
        raise InputError(f"temperature {text!r} is not a number in K: write it like 298 K")
    value = float(match[1])
    return value + 273.15 if (match[2] or "").lower().strip("° ").startswith("c") else value


def _number_or_none(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(str(text).split()[0])
    except (ValueError, IndexError):
        raise InputError(f"{text!r} is not a number: correct it") from None
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{text!r} is not above zero: correct it")
    return value


def _value(cell: str, decimal_comma: bool) -> float:
    text = cell.strip().strip('"')
    if decimal_comma and "," in text and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cell(row: Sequence[float], k: int) -> float:
    return row[k] if k < len(row) else math.nan
