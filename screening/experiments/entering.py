"""Entering measurements in a run, and showing them beside what was computed."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from potentials.errors import InputError
from screening.candidate import Candidate, Measurement, Snapshot
from screening.experiments.calibration import Calibration, fit_calibration, pairs_of
from screening.experiments.measured_isotherm import MeasuredIsotherm
from screening.model_names import is_member
from screening.quantities import label, with_error
from screening.store import STORE_NAME, Store
from screening.summary import find_row
from screening.table import aligned
from screening.uptake_names import uptake_condition


def find_candidate(snapshot: Snapshot, wanted: str | None, material: str | None = None) -> str:
    """The id of the candidate a measurement belongs to.

    Args:
        snapshot: of the run.
        wanted: id, unique beginning of one, proposal number, reduced formula, or the file name it came from.
        material: tried the same way when `wanted` is None.

    Raises:
        InputError: nothing is named, or none or several candidates answer to it.
    """
    name = wanted or material
    if not name:
        raise InputError(
            f"say whose measurement it is: --candidate with an id that `sorbus show {snapshot.name}` lists"
        )
    matches = {
        row.candidate.id
        for row in snapshot.rows
        if row.candidate is not None
        and (name == row.candidate.structure.composition.reduced_formula or name in _stems(row.candidate))
    }
    if len(matches) == 1:
        return matches.pop()
    if len(matches) > 1:
        raise InputError(
            f"{len(matches)} candidates answer to {name!r}: name one by its id, as `sorbus show` lists them"
        )
    candidate = find_row(snapshot, name).candidate
    if candidate is None:
        raise InputError(f"proposal {name} was never built: a measurement needs a structure")
    return candidate.id


def check_figure(snapshot: Snapshot, name: str, unit: str) -> str:
    """Hold a single figure against what the run computed; a remark when nothing of that name was.

    Raises:
        InputError: the run computed the property in another unit.
    """
    units = {
        property_name: item.unit
        for row in snapshot.rows
        if row.candidate is not None
        for property_name, item in row.candidate.properties.items()
        if not is_member(property_name)
    }
    if name not in units:
        nearest = difflib.get_close_matches(name, units, n=1, cutoff=0.6)
        hint = f" (did you mean {nearest[0]}?)" if nearest else ""
        return f"nothing called {name} was computed in {snapshot.name}{hint}: kept, but it stands before nothing"
    if units[name] != unit:
        wanted = units[name] or "none (a pure number): give --unit ''"
        raise InputError(f"{name} is given in {unit or 'no unit'}, the run has it in {wanted}: convert it first")
    return ""


def enter_measurements(folder: str | Path, identity: str, measurements: Sequence[Measurement]) -> str:
    """Write measurements of one candidate into a run's store; a sentence on what came of it.

    Raises:
        InputError: the store is missing, in use or cannot be written.
    """
    with Store.open(Path(folder) / STORE_NAME, "w") as store, store.transaction():
        added = sum(store.add_measurement(identity, item) for item in measurements)
    already = len(measurements) - added
    text = f"{added} measurements entered for {identity}"
    return text + (f"; {already} stood there already" if already else "")


def measured_text(snapshot: Snapshot) -> str:
    """Every measured figure of a run as a table, the computed one beside it."""
    lines = []
    for row in snapshot.rows:
        if row.candidate is None or not row.candidate.measurements:
            continue
        measured = {n: p for n, p in row.candidate.properties.items() if p.fidelity == "measured"}
        for name, item in measured.items():
            before = row.candidate.superseded.get(name)
            ratio = item.value / before.value if before and before.value and item.value is not None else None
            lines.append(
                {
                    "candidate": row.candidate.id[:8],
                    "formula": row.candidate.structure.composition.reduced_formula[:28],
                    "figure": label(name),
                    "unit": item.unit,
                    "measured": with_error(item.value, item.std),
                    "computed": with_error(before.value, before.std) if before else "–",
                    "measured/computed": ratio,
                    "source": "; ".join(m.source for m in row.candidate.measurements)[:60],
                }
            )
        if not measured:
            sources = "; ".join(m.source for m in row.candidate.measurements)
            lines.append(
                {"candidate": row.candidate.id[:8], "figure": "nothing computed to compare", "source": sources}
            )
    return aligned(lines) if lines else f"{snapshot.name} holds no measurements: enter some with `sorbus measure add`"


def calibration_of_snapshots(snapshots: Iterable[Snapshot], gas: str) -> Calibration:
    """A calibration over the measured candidates of runs that used one model.

    Raises:
        InputError: too few materials, or the runs computed with different models.
    """
    candidates = [row.candidate for snapshot in snapshots for row in snapshot.rows if row.candidate is not None]
    candidates = list({candidate.id: candidate for candidate in candidates if candidate.superseded}.values())
    models, kelvins = set(), []
    for candidate in candidates:
        for name, item in candidate.superseded.items():
            condition = uptake_condition(name)
            if condition is not None and condition[0] == gas.lower():
                models.add(_model_of(item.method))
                kelvins.append(condition[2])
    if len(models) > 1:
        raise InputError(
            f"the computed uptakes are of {len(models)} models ({'; '.join(sorted(models))[:200]}): "
            "calibrate one model at a time"
        )
    pairs = pairs_of(candidates, gas)
    return fit_calibration(
        pairs, model=models.pop() if models else "", gas=gas, temperature=float(np.mean(kelvins)) if kelvins else 0.0
    )


def isotherm_text(isotherm: MeasuredIsotherm, most: int = 12) -> str:
    """An isotherm for the terminal: what it is, remarks, and up to `most` of its points."""
    head = [
        f"{isotherm.gas} on {isotherm.material or 'an unnamed material'}, {isotherm.temperature:g} K, {len(isotherm)} "
        f"points, {isotherm.kind} loading, {isotherm.category}; {isotherm.source}",
        *(f"  {note}" for note in isotherm.notes),
    ]
    chosen = np.unique(np.linspace(0, len(isotherm) - 1, min(most, len(isotherm))).round().astype(int))
    rows = [
        {"pressure [Pa]": float(isotherm.pressure[k]), "loading [mol/kg]": float(isotherm.loading[k])} for k in chosen
    ]
    return "\n".join(head) + "\n" + aligned(rows)


def _model_of(method: str) -> str:
    """The force-field part of a method string: behind the last `; `, without the box."""
    return method.rpartition("; ")[2].rpartition(",")[0] or method


def _stems(candidate: Candidate) -> set[str]:
    """Names a candidate's provenance gives it, with and without their ending."""
    names = {str(value) for value in candidate.provenance.values() if isinstance(value, str)}
    return names | {Path(name).name for name in names} | {Path(name).stem for name in names}
