"""Measurements as plain JSON values, the way a store keeps them: an isotherm, or a single figure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from potentials.errors import InputError
from screening.candidate import Measurement
from screening.experiments.measured_isotherm import MeasuredIsotherm


def isotherm_measurement(isotherm: MeasuredIsotherm, *, material: str = "", source: str = "") -> Measurement:
    """A measured isotherm as the store keeps it; `material` and `source` win over the isotherm's own."""
    std = None
    if isotherm.loading_std is not None:
        std = [float(s) if math.isfinite(s) else None for s in isotherm.loading_std]
    return Measurement(
        source=source or isotherm.source,
        material=material or isotherm.material,
        data={
            "type": "isotherm",
            "gas": isotherm.gas,
            "temperature_k": isotherm.temperature,
            "pressure_pa": isotherm.pressure.tolist(),
            "loading_mol_kg": isotherm.loading.tolist(),
            "loading_std_mol_kg": std,
            "kind": isotherm.kind,
            "category": isotherm.category,
            "material_key": isotherm.material_key,
            "notes": list(isotherm.notes),
        },
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def figure_measurement(
    name: str, value: float, unit: str, *, std: float | None = None, source: str, material: str = "", method: str = ""
) -> Measurement:
    """A single measured figure, named like the computed property it stands beside.

    Raises:
        InputError: the value or its error is not finite, or no source is given.
    """
    if not math.isfinite(value) or (std is not None and not (math.isfinite(std) and std >= 0)):
        raise InputError(f"measured {name} {value} ± {std} is not a finite number with an error of zero or more")
    if not source.strip():
        raise InputError(f"measured {name} has no source: give a DOI or say who measured it")
    return Measurement(
        source=source,
        material=material,
        data={"type": "figure", "name": name, "value": value, "unit": unit, "std": std, "method": method},
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def isotherm_of(measurement: Measurement) -> MeasuredIsotherm | None:
    """The isotherm of a measurement; None where it is a single figure.

    Raises:
        KeyError, TypeError, ValueError: the stored values are damaged.
    """
    data: Mapping[str, Any] = measurement.data
    if data.get("type") != "isotherm":
        return None
    std = data["loading_std_mol_kg"]
    return MeasuredIsotherm(
        gas=str(data["gas"]),
        material=measurement.material,
        temperature=float(data["temperature_k"]),
        pressure=np.array(data["pressure_pa"], dtype=float),
        loading=np.array(data["loading_mol_kg"], dtype=float),
        loading_std=None if std is None else np.array([math.nan if s is None else s for s in std]),
        kind=data["kind"],
        category=data["category"],
        source=measurement.source,
        material_key=str(data["material_key"]),
        notes=tuple(data["notes"]),
    )
