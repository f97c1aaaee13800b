"""Numbers a generator is conditioned on: pores and the zero-loading adsorption of CO2."""

import hashlib
import math
from collections.abc import Mapping

from pymatgen.core import Structure

from potentials.errors import SorbusError
from screening.adsorption.framework import prepare_host
from screening.adsorption.henry import henry_of_host
from screening.pores import measure_pores
from screening.sorbent_dataset.settings import LabelSettings

GAS = "CO2"
# log10 of mol/(kg Pa). Below, a gas has a hundredth of the room of empty space: it does not fit. Above, a molecule lies
# on a charge no Lennard-Jones wall shields (a bare metal): the model fails; strong physisorbents reach 0.01.
LOG_HENRY_RANGE = (-8.0, 0.0)


def label(
    structure: Structure, key: str, settings: LabelSettings, seed: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Labels of a framework that has passed the validity tests, and why others are missing.

    `density_g_cm3`; `void_fraction`, the share of the cell the centre of a nitrogen-sized probe can reach, and
    `pld_angstrom` from Zeo++; `log10_co2_henry` (of mol/(kg Pa)) and `co2_heat` (kJ/mol, positive) at the
    temperature of the settings. A rigid framework; nothing here raises for what a framework is.
    """
    labels = {"density_g_cm3": float(structure.density)}
    notes: dict[str, str] = {}
    if settings.pores is not None:
        measured, note = measure_pores(structure, settings.pores, seed)
        values = {
            "void_fraction": measured.get("accessible_void_fraction"),
            "pld_angstrom": measured.get("pld_angstrom"),
        }
        labels |= {name: value for name, value in values.items() if value is not None}
        if note:
            notes["pores"] = note
    if settings.henry is not None and in_share(key, settings.henry_share):
        try:
            host = prepare_host(structure, settings.henry.model)
            found = henry_of_host(host, GAS, settings.henry.temperature, settings.henry, seed)
        except SorbusError as error:
            notes["henry"] = str(error)
        else:
            if found.henry_coefficient > 0.0 and math.isfinite(found.henry_coefficient):
                labels["log10_co2_henry"] = math.log10(found.henry_coefficient)
            if found.heat is not None and math.isfinite(found.heat):
                labels["co2_heat"] = found.heat
            if found.note:
                notes["henry"] = found.note
    return {name: round(value, 5) for name, value in labels.items()}, notes


def in_share(key: str, share: float) -> bool:
    """Whether a row is among the labelled share: a larger share only adds rows."""
    return int(hashlib.sha256(f"label {key}".encode()).hexdigest()[:12], 16) < share * 16**12


def sound_labels(labels: Mapping[str, float]) -> dict[str, float]:
    """Labels without Henry coefficient and heat where the coefficient is outside `LOG_HENRY_RANGE`."""
    low, high = LOG_HENRY_RANGE
    if low <= labels.get("log10_co2_henry", low) <= high:
        return dict(labels)
    return {name: value for name, value in labels.items() if name not in ("log10_co2_henry", "co2_heat")}
