"""The example campaign with figures of three more models and a measured isotherm, for tests and pictures."""

from dataclasses import replace

import numpy as np
from example_snapshot import example_snapshot

from screening.candidate import Candidate, Property, Snapshot
from screening.experiments.measured_isotherm import make_isotherm
from screening.experiments.record import isotherm_measurement
from screening.store_measurements import with_measurements

MEMBERS = ("uff-trappe+eqeq", "dreiding-trappe+environment", "dreiding-trappe+eqeq")


def ensemble_snapshot(scatter: float = 0.35, measured: bool = True) -> Snapshot:
    """`scatter`: of the members' Henry coefficients about the campaign's own, in ln, per candidate."""
    snapshot = example_snapshot()
    rng = np.random.default_rng(3)
    shifts = {"uff-trappe+eqeq": 0.3, "dreiding-trappe+environment": -0.2, "dreiding-trappe+eqeq": 0.1}
    rows = []
    for row in snapshot.rows:
        candidate = row.candidate
        if row.state == "active" and candidate is not None:
            candidate = with_members(candidate, shifts, scatter, rng)
            if measured and row.index % 7 == 0:
                candidate = with_measurements(candidate, (isotherm_measurement(langmuir(candidate)),))
        rows.append(replace(row, candidate=candidate))
    return replace(snapshot, rows=tuple(rows))


def with_members(candidate: Candidate, shifts: dict[str, float], scatter: float, rng: np.random.Generator) -> Candidate:
    """The candidate with Henry coefficients, its own and each member's."""
    uptake = candidate.properties["co2_uptake_0.15bar_298K"].value or 1.0
    own = {"co2": 1.4 * uptake / 15_000.0, "n2": 0.05 * uptake / 15_000.0}
    properties = dict(candidate.properties)
    for gas, value in own.items():
        name = f"{gas}_henry_298K"
        properties[name] = Property(name, value, "mol/(kg Pa)", 0.03 * value, "own")
        for member, shift in shifts.items():
            moved = value * float(np.exp(shift + scatter * rng.standard_normal()))
            full = f"{name}@{member}"
            properties[full] = Property(full, moved, "mol/(kg Pa)", 0.04 * moved, member)
    return replace(candidate, properties=properties)


def langmuir(candidate: Candidate):
    """A measured isotherm a fifth below the computed uptake at 0.15 bar."""
    computed = candidate.properties["co2_uptake_0.15bar_298K"].value or 1.0
    pressure = np.linspace(1_000.0, 110_000.0, 18)
    top = 4.0 * computed
    slope = 0.8 * computed / (15_000.0 * (1 - 0.8 * computed / top))
    loading = top * slope * pressure / (top + slope * pressure)
    return make_isotherm(
        gas="CO2",
        material="sample 7",
        temperature=298.15,
        pressure=pressure,
        loading=loading,
        loading_std=0.03 * loading,
        kind="excess",
        category="experiment",
        source="10.1000/example",
    )
