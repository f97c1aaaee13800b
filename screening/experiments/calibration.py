"""How far a model's uptakes lie from measured ones, over many materials: a factor with its uncertainty.

Fitted to y = ln(measured / computed) at matched temperature and pressure, with a random effect a material:

    y_ij = mu + b_i + e_ij,    b_i ~ N(0, tau^2),    e_ij ~ N(0, s_i^2).

A material's own figure is the median of its y_ij (robust against one bad paper or point); its error s_i comes from
their scatter, and from what is known of both errors. tau^2 solves the moment equation of R. C. Paule, J. Mandel
(J. Res. Natl. Bur. Stand. 87, 377 (1982)); mu is the weighted mean, exp(mu) the factor. A new material's own factor is
known to sqrt(var(mu) + tau^2) only: that is what a calibrated figure carries. Nothing is calibrated unless asked for.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from potentials.errors import InputError
from potentials.files import write_atomic
from screening.candidate import Candidate, Property, Snapshot
from screening.uptake_names import uptake_condition

FORMAT = "sorbus-calibration-1"
MIN_MATERIALS = 3  # a scatter between materials cannot be had from fewer
LAB_SCATTER = 0.10  # ln; of one laboratory's figure where nothing says how good it is (Park et al. 2017 find more)


@dataclass(frozen=True)
class Pair:
    """One measured figure beside the computed one, at one temperature and pressure."""

    material: str
    measured: float  # mol/kg
    computed: float  # mol/kg
    log_std: float  # of ln(measured / computed), from what is known of both errors
    pressure: float  # Pa


@dataclass(frozen=True)
class Calibration:
    """ln(measured / computed) of one gas under one model."""

    model: str  # force field and charges the computed figures are of
    gas: str
    temperature: float  # K, mean of the pairs
    pressure_low: float  # Pa, range of the pairs
    pressure_high: float  # Pa
    log_factor: float  # mu
    log_factor_std: float  # of mu
    material_scatter: float  # tau, ln
    materials: int
    pairs: int
    median_ratio: float  # measured / computed, over materials: no model in it

    @property
    def factor(self) -> float:
        """What a computed uptake is multiplied with."""
        return math.exp(self.log_factor)

    @property
    def new_material_std(self) -> float:
        """How well the factor of one new material is known, ln."""
        return math.hypot(self.log_factor_std, self.material_scatter)

    @property
    def text(self) -> str:
        """One line for method strings and the terminal."""
        return (
            f"calibrated x {self.factor:.3g} (+-{100 * self.new_material_std:.0f} % a material) on {self.pairs} "
            f"measured {self.gas} uptakes of {self.materials} materials, {self.pressure_low / 1e5:g} to "
            f"{self.pressure_high / 1e5:g} bar, {self.temperature:.0f} K, {self.model}"
        )


def fit_calibration(pairs: Iterable[Pair], *, model: str, gas: str, temperature: float) -> Calibration:
    """The factor and scatter of a model over materials.

    Raises:
        InputError: fewer than `MIN_MATERIALS` materials with both figures above zero.
    """
    by_material: dict[str, list[Pair]] = defaultdict(list)
    used = [p for p in pairs if p.measured > 0 and p.computed > 0]
    for pair in used:
        by_material[pair.material].append(pair)
    if len(by_material) < MIN_MATERIALS:
        raise InputError(
            f"{len(by_material)} materials have a measured and a computed {gas} uptake above zero, at least "
            f"{MIN_MATERIALS} are needed to tell the scatter between materials: add measurements"
        )
    centres, variances = zip(*(_material(members) for members in by_material.values()), strict=True)
    y, v = np.array(centres), np.array(variances)
    tau2 = _between_variance(y, v)
    weights = 1.0 / (v + tau2)
    mu = float(weights @ y / weights.sum())
    pressures = [p.pressure for p in used]
    return Calibration(
        model=model,
        gas=gas,
        temperature=temperature,
        pressure_low=min(pressures),
        pressure_high=max(pressures),
        log_factor=mu,
        log_factor_std=float(1.0 / math.sqrt(weights.sum())),
        material_scatter=math.sqrt(tau2),
        materials=len(by_material),
        pairs=len(used),
        median_ratio=float(np.exp(np.median(y))),
    )


def calibrate(item: Property, calibration: Calibration) -> Property:
    """A computed uptake multiplied with the factor, its error widened; whatever else it is comes back as it was.

    Out of the calibration's pressures (by more than a factor of two) or temperature (20 K) nothing is changed and the
    note says so. A measured figure is never touched.
    """
    condition = uptake_condition(item.name)
    if item.fidelity == "measured" or item.value is None or condition is None:
        return item
    gas, pressure, kelvin = condition
    if gas != calibration.gas.lower():
        return item
    inside = calibration.pressure_low / 2 <= pressure <= 2 * calibration.pressure_high
    if not inside or abs(kelvin - calibration.temperature) > 20.0:
        note = f"not calibrated: outside of {calibration.pressure_low:g} to {calibration.pressure_high:g} Pa, 20 K"
        return replace(item, note="; ".join(filter(None, (item.note, note))))
    value = item.value * calibration.factor
    relative = 0.0 if item.std is None or not item.value else item.std / item.value
    spread = math.sqrt(math.expm1(calibration.new_material_std**2))  # relative, of a log-normal
    method = f"{item.method}; {calibration.text}"
    return replace(item, value=value, std=abs(value) * math.hypot(relative, spread), method=method)


def calibrated_snapshot(snapshot: Snapshot, calibration: Calibration) -> Snapshot:
    """The snapshot with every computed uptake of that gas calibrated; working capacities follow theirs.

    A working capacity whose desorption uptake lies outside of the calibration keeps that part as computed.
    """
    rows = []
    for row in snapshot.rows:
        if row.candidate is not None:
            row = replace(row, candidate=_calibrated(row.candidate, calibration))
        rows.append(row)
    return replace(snapshot, rows=tuple(rows))


def pairs_of(candidates: Iterable[Candidate], gas: str) -> list[Pair]:
    """Measured uptakes of candidates beside the computed ones they stand before."""
    pairs = []
    for candidate in candidates:
        for name, computed in candidate.superseded.items():
            condition, measured = uptake_condition(name), candidate.properties[name]
            if condition is None or condition[0] != gas.lower() or not computed.value or not measured.value:
                continue
            if computed.value <= 0 or measured.value <= 0:
                continue
            own = LAB_SCATTER if measured.std is None else measured.std / measured.value
            log_std = math.hypot(own, (computed.std or 0.0) / computed.value)
            pairs.append(Pair(candidate.id, measured.value, computed.value, log_std, condition[1]))
    return pairs


def save_calibration(calibration: Calibration, path: str | Path) -> Path:
    """Write a calibration as JSON."""
    return write_atomic(path, json.dumps({"format": FORMAT, **asdict(calibration)}, indent=1) + "\n")


def load_calibration(path: str | Path) -> Calibration:
    """Read what `save_calibration` wrote.

    Raises:
        InputError: there is no such file, or it is not a calibration.
    """
    try:
        values: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no calibration {path}: make one with `sorbus measure calibrate`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as JSON: {str(error)[:80]}") from None
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise InputError(f"{path} is not a calibration: make one with `sorbus measure calibrate`")
    try:
        calibration = Calibration(**{key: value for key, value in values.items() if key != "format"})
        sound = all(math.isfinite(float(x)) for x in (calibration.log_factor, calibration.new_material_std))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is a damaged calibration ({error}): make it again") from None
    if not sound:
        raise InputError(f"{path} holds a factor that is not finite: make it again")
    return calibration


def _material(members: Sequence[Pair]) -> tuple[float, float]:
    """(median of ln(measured / computed), its variance) of one material."""
    y = np.array([math.log(p.measured / p.computed) for p in members])
    middle = float(np.median(y))
    known = float(np.median([p.log_std for p in members]))  # points of one sample share most of their error
    scatter = 1.4826 * float(np.median(np.abs(y - middle)))
    return middle, known**2 + scatter**2 / len(y)


def _between_variance(y: np.ndarray, v: np.ndarray) -> float:
    """tau^2 for which sum (y - mu)^2 / (v + tau^2) = n - 1; zero when the scatter is within the errors."""

    def excess(tau2: float) -> float:
        weights = 1.0 / (v + tau2)
        mu = weights @ y / weights.sum()
        return float(weights @ (y - mu) ** 2 - (len(y) - 1))

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.ptp(y) ** 2) + 1e-12  # at the squared range every term is below one
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return 0.5 * (low + high)


def _calibrated(candidate: Candidate, calibration: Calibration) -> Candidate:
    from screening.model_transfer import cycle_uptakes

    before = dict(candidate.properties)
    after = {name: calibrate(item, calibration) for name, item in before.items()}
    pair = cycle_uptakes(before)
    capacity = before.get("vsa_working_capacity")
    if pair is not None and capacity is not None and capacity.fidelity == "computed":
        high, low = after[pair[0]], after[pair[1]]
        assert high.value is not None
        assert low.value is not None
        if high is not before[pair[0]] and high.value != before[pair[0]].value:
            value = high.value - low.value
            own = 0.0 if capacity.std is None or not capacity.value else capacity.std / capacity.value
            spread = math.sqrt(math.expm1(calibration.new_material_std**2))  # shared by both uptakes: not squared twice
            after["vsa_working_capacity"] = replace(
                capacity,
                value=value,
                std=abs(value) * math.hypot(own, spread),
                method=f"{capacity.method}; {calibration.text}",
            )
    return replace(candidate, properties=after)
