"""The NIST/ARPA-E adsorption database (ISODB): one JSON an isotherm, and the single-gas table derived from it.

D. W. Siderius et al., NIST Standard Reference Database 205, https://doi.org/10.18434/T43882. The JSON is what the
public API gives: `DOI`, `temperature`, `adsorbent` {name, hashkey}, `adsorbates`, `isotherm_data` [{pressure,
species_data: [{adsorption}]}], `pressureUnits`, `adsorptionUnits`, `category`. More than half of the entries have no
category: measured, simulated and modelled isotherms stand side by side.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from potentials.errors import InputError
from screening.experiments.csv_isotherm import CATEGORIES
from screening.experiments.measured_isotherm import IsothermRead, MeasuredIsotherm, make_isotherm
from screening.experiments.units import gas_formula, loading_factor, pressure_factor


def parse_isodb(text: str, name: str, options: Mapping[str, str | None] | None = None) -> list[IsothermRead]:
    """The isotherm of an ISODB JSON, or each of a JSON list of them.

    Args:
        text: the file's content.
        name: of the file, in errors.
        options: `density` (kg/m3) and `cell_mass` (g/mol), for units that need them.

    Raises:
        InputError: the text is not JSON.
    """
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({str(error)[:80]}): it may be truncated") from None
    entries = content if isinstance(content, list) else [content]
    found = []
    for number, entry in enumerate(entries):
        title = str(entry.get("filename", name)) if isinstance(entry, Mapping) else f"{name}, entry {number}"
        try:
            found.append(IsothermRead(title, _from_entry(entry, options or {})))
        except InputError as error:
            found.append(IsothermRead(title, None, f"{title}: {error}"))
    return found


def read_isodb_table(
    path: str | Path, *, gas: str | None = None, options: Mapping[str, str | None] | None = None
) -> Iterator[IsothermRead]:
    """Rows of the derived single-gas table (`single_gas*.csv.gz`), one isotherm each, in the order of the file.

    Args:
        path: the gzipped CSV.
        gas: formula; only this gas.
        options: as of `parse_isodb`.

    Raises:
        InputError: the file does not exist or is not that table.
    """
    import gzip

    path = Path(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"pressure", "adsorption", "temperature_K", "adsorbent_hashkey"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path} is not the single-gas table of ISODB: its columns are {reader.fieldnames}")
            for row in reader:
                if gas is not None and row["gas"].upper() != gas.upper():
                    continue
                try:
                    yield IsothermRead(row["filename"], _from_row(row, options or {}))
                except InputError as error:
                    yield IsothermRead(row["filename"], None, f"{row['filename']}: {error}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}: give the gzipped single-gas table") from None


def _from_entry(entry: Any, options: Mapping[str, str | None]) -> MeasuredIsotherm:
    if not isinstance(entry, Mapping):
        raise InputError("it is not a JSON object: give what the database's isotherm address answers")
    adsorbates = entry.get("adsorbates") or []
    if len(adsorbates) != 1:
        raise InputError(f"it holds {len(adsorbates)} gases: only isotherms of one gas are read")
    first = adsorbates[0]
    adsorbent = entry.get("adsorbent") or {}
    pressures, loadings = [], []
    for point in entry.get("isotherm_data") or ():
        species = point.get("species_data") or [{}] if isinstance(point, Mapping) else [{}]
        pressures.append(_float(point.get("pressure") if isinstance(point, Mapping) else None))
        loadings.append(_float(species[0].get("adsorption", point.get("total_adsorption"))))
    return _isotherm(
        gas=str(first.get("name") if isinstance(first, Mapping) else first),
        adsorbent=str(adsorbent.get("name", "")),
        key=str(adsorbent.get("hashkey", "")),
        temperature=_float(entry.get("temperature")),
        pressure=np.array(pressures, dtype=float),
        loading=np.array(loadings, dtype=float),
        units=(str(entry.get("pressureUnits", "")), str(entry.get("adsorptionUnits", ""))),
        category=str(entry.get("category", "")),
        source=str(entry.get("DOI", "") or entry.get("filename", "")),
        options=options,
    )


def _from_row(row: Mapping[str, str], options: Mapping[str, str | None]) -> MeasuredIsotherm:
    pressure, loading = (np.array([_float(cell) for cell in row[key].split()]) for key in ("pressure", "adsorption"))
    if len(pressure) != len(loading):
        raise InputError(f"{len(pressure)} pressures stand beside {len(loading)} loadings: the row is damaged")
    return _isotherm(
        gas=row["gas"],
        adsorbent=row["adsorbent"],
        key=row["adsorbent_hashkey"],
        temperature=_float(row["temperature_K"]),
        pressure=pressure,
        loading=loading,
        units=(row["pressureUnits"], row["adsorptionUnits"]),
        category=row["category"],
        source=row["DOI"] or row["filename"],
        options=options,
    )


def _isotherm(
    *,
    gas: str,
    adsorbent: str,
    key: str,
    temperature: float,
    pressure: np.ndarray,
    loading: np.ndarray,
    units: tuple[str, str],
    category: str,
    source: str,
    options: Mapping[str, str | None],
) -> MeasuredIsotherm:
    formula = gas_formula(gas)
    saturation, density, cell = (options.get(name) for name in ("saturation_pressure", "density", "cell_mass"))
    to_pascal = pressure_factor(units[0] or "?", None if saturation is None else float(saturation))
    to_molal, remark = loading_factor(
        units[1] or "?",
        formula,
        density=None if density is None else float(density),
        cell_mass=None if cell is None else float(cell),
    )
    return make_isotherm(
        gas=formula,
        material=adsorbent,
        temperature=temperature,
        pressure=pressure * to_pascal,
        loading=loading * to_molal,
        category=CATEGORIES.get(category.strip().lower(), "unknown"),
        source=source,
        material_key=key,
        notes=(remark,) if remark else (),
        units=units,
    )


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
