"""The Adsorption Information Format (AIF): a CIF-like text with one isotherm a block.

J. D. Evans, V. Bon, I. Senkovska, S. Kaskel, Langmuir 37, 4222 (2021). Items read: `_exptl_adsorptive`,
`_exptl_temperature`, `_exptl_isotherm_type`, `_exptl_method`, `_adsnt_material_id` (or `_sample_material_id`),
`_citation_doi`, `_units_pressure`, `_units_loading`, `_units_temperature`, and the loop of `_adsorp_pressure` and
`_adsorp_amount`. Without unit items the format means Pa, mol/kg and K.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from pymatgen.io.cif import CifBlock

from potentials.errors import InputError
from screening.experiments.csv_isotherm import KINDS
from screening.experiments.measured_isotherm import IsothermRead, Kind, MeasuredIsotherm, make_isotherm
from screening.experiments.units import RELATIVE, gas_formula, loading_factor, pressure_factor


def parse_aif(text: str, name: str, options: Mapping[str, str | None] | None = None) -> list[IsothermRead]:
    """Every isotherm of an AIF text, or what is wrong with it.

    Args:
        text: the file's content.
        name: of the file, in errors.
        options: `material`, `source`, `density` (kg/m3), `cell_mass` (g/mol) and `kind` win over the file.

    Raises:
        InputError: the text holds no data block or is not CIF-like at all.
    """
    parts = re.split(r"^data_", text, flags=re.M | re.I)[1:]
    if not parts:
        raise InputError(f"{name} has no data_ block: it is not an AIF file, or it is truncated")
    found = []
    for part in parts:
        title = part.split(maxsplit=1)[0] if part.strip() else name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # the tokeniser only warns of a stray word
                block = CifBlock.from_str(f"data_{part}")
        except Exception as error:  # a broken loop raises ValueError, IndexError or ZeroDivisionError
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            found.append(IsothermRead(title, None, f"{name}, block {title} is not valid AIF ({reason})"))
            continue
        try:
            found.append(IsothermRead(title, _isotherm(block.data, f"{name}, block {title}", options or {})))
        except InputError as error:
            found.append(IsothermRead(title, None, f"{name}, block {title}: {error}"))
    return found


def _isotherm(data: Mapping[str, Any], where: str, options: Mapping[str, str | None]) -> MeasuredIsotherm:
    gas = gas_formula(_item(data, "_exptl_adsorptive", "_exptl_adsorptive_name"))
    temperature = _number(_item(data, "_exptl_temperature"))
    if (_optional(data, "_units_temperature") or "K").strip("°").upper().startswith("C"):
        temperature += 273.15
    notes = []
    pressure_unit, loading_unit = _optional(data, "_units_pressure"), _optional(data, "_units_loading")
    if pressure_unit is None or loading_unit is None:
        notes.append("units not declared: the format's own, Pa and mol/kg, taken")
    pressure_unit, loading_unit = pressure_unit or "Pa", loading_unit or "mol/kg"
    to_molal, remark = loading_factor(
        loading_unit,
        gas,
        density=_positive(options.get("density")),
        cell_mass=_positive(options.get("cell_mass")),
    )
    if remark:
        notes.append(remark)
    pressure = _column(data, "_adsorp_pressure")
    if pressure_unit.strip().lower().replace(" ", "") in RELATIVE:
        given = _positive(options.get("saturation_pressure"))
        factor: Any = pressure_factor(pressure_unit, given)
    else:
        factor = pressure_factor(pressure_unit)
    kind = (options.get("kind") or _optional(data, "_exptl_isotherm_type") or "unknown").strip().lower()
    return make_isotherm(
        gas=gas,
        material=options.get("material") or _optional(data, "_adsnt_material_id", "_sample_material_id") or "",
        temperature=temperature,
        pressure=pressure * factor,
        loading=_column(data, "_adsorp_amount") * to_molal,
        kind=cast(Kind, kind if kind in KINDS else "unknown"),
        category="simulation" if "simul" in (_optional(data, "_exptl_method") or "").lower() else "experiment",
        source=options.get("source") or _optional(data, "_citation_doi", "_exptl_DOI") or where.split(",")[0],
        notes=tuple(notes),
        units=(pressure_unit, loading_unit),
    )


def _optional(data: Mapping[str, Any], *tags: str) -> str | None:
    for tag in tags:
        value = data.get(tag)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str) and value.strip() not in ("", ".", "?"):
            return value.strip()
    return None


def _item(data: Mapping[str, Any], *tags: str) -> str:
    value = _optional(data, *tags)
    if value is None:
        raise InputError(f"{tags[0]} is missing: complete the file")
    return value


def _number(text: str) -> float:
    try:
        return float(text.partition("(")[0])
    except ValueError:
        raise InputError(f"{text!r} is not a number: correct it") from None


def _positive(text: str | None) -> float | None:
    return None if text is None else _number(str(text))


def _column(data: Mapping[str, Any], tag: str) -> np.ndarray:
    value = data.get(tag)
    if value is None:
        raise InputError(f"the loop has no column {tag}: complete the file")
    cells = [value] if isinstance(value, str) else list(value)
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(str(cell).partition("(")[0]))
        except ValueError:
            numbers.append(np.nan)
    return np.array(numbers)
