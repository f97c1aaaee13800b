"""A measured isotherm: what every reader of this package returns, in one set of units."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from potentials.errors import InputError

Kind = Literal["excess", "absolute", "unknown"]
Category = Literal["experiment", "simulation", "model", "unknown"]

MIN_TOP_PRESSURE = 100.0  # Pa; an isotherm that ends below is one whose unit is wrong (400 ppm are 40 Pa, a rare start)
MAX_TOP_PRESSURE = 2e8  # Pa
_CRYOGENIC = ("H2", "D2", "He", "Ne")  # gases anyone measures below 60 K
_CONDENSABLE_LIMIT = 130.0  # mol/kg; twice the sorbent's own mass in water, 2.5 cm3/g of liquid nitrogen
_GAS_LIMIT = 70.0  # mol/kg; near ambient temperature at high pressure (the record for CO2 is 54)
_LOW_PRESSURE_LIMIT = 25.0  # mol/kg; near ambient temperature and pressure


@dataclass(frozen=True)
class MeasuredIsotherm:
    """Loadings of one gas on one material at one temperature, by rising pressure (the adsorption branch)."""

    gas: str  # formula
    material: str  # as the source names it
    temperature: float  # K
    pressure: NDArray[np.float64]  # [n] Pa, not falling
    loading: NDArray[np.float64]  # [n] mol/kg
    loading_std: NDArray[np.float64] | None = None  # [n] mol/kg, one standard error, where the source gives it
    kind: Kind = "unknown"
    category: Category = "unknown"  # what kind of study the figures are from
    source: str = ""  # DOI, or the file when there is none
    material_key: str = ""  # the source's own identifier of the material
    notes: tuple[str, ...] = ()  # rows left out, units read one way or another

    def __len__(self) -> int:
        return len(self.pressure)


@dataclass(frozen=True)
class IsothermRead:
    """One isotherm of a file, or the reason why there is none."""

    name: str
    isotherm: MeasuredIsotherm | None
    error: str | None = None

    @property
    def sound(self) -> MeasuredIsotherm:
        """The isotherm.

        Raises:
            InputError: it could not be read.
        """
        if self.isotherm is None:
            raise InputError(self.error or f"{self.name} could not be read")
        return self.isotherm


def make_isotherm(
    *,
    gas: str,
    material: str,
    temperature: float,
    pressure: NDArray[np.float64],
    loading: NDArray[np.float64],
    loading_std: NDArray[np.float64] | None = None,
    kind: Kind = "unknown",
    category: Category = "unknown",
    source: str = "",
    material_key: str = "",
    notes: tuple[str, ...] = (),
    units: tuple[str, str] = ("Pa", "mol/kg"),
) -> MeasuredIsotherm:
    """An isotherm from raw columns: bad rows out, the adsorption branch in order, magnitudes checked.

    Args:
        pressure, loading, loading_std: [n] in Pa and mol/kg, already converted; NaN marks what could not be read.
        units: pressure and loading unit as declared, for the error message.

    Raises:
        InputError: no usable row, or magnitudes that only a wrong unit explains.
    """
    pressure, loading = np.asarray(pressure, dtype=float), np.asarray(loading, dtype=float)
    told = list(notes)
    usable = np.isfinite(pressure) & np.isfinite(loading) & (pressure >= 0) & (loading >= 0)
    for number in np.flatnonzero(~usable):
        p, q = pressure[number], loading[number]
        why = "is not a number" if not np.isfinite(p + q) else "is negative"
        told.append(f"row {number + 1} left out: pressure {p:g} Pa, loading {q:g} mol/kg {why}")
    rows = np.flatnonzero(usable)
    if not len(rows):
        raise InputError(f"none of {len(pressure)} rows holds a pressure and a loading that are zero or more")
    rows, remark = _adsorption_branch(rows, pressure)
    if remark:
        told.append(remark)
    isotherm = MeasuredIsotherm(
        gas=gas,
        material=material,
        temperature=float(temperature),
        pressure=pressure[rows],
        loading=loading[rows],
        loading_std=None if loading_std is None else np.asarray(loading_std, dtype=float)[rows],
        kind=kind,
        category=category,
        source=source,
        material_key=material_key,
        notes=tuple(told),
    )
    check_magnitudes(isotherm, units)
    return isotherm


def check_magnitudes(isotherm: MeasuredIsotherm, units: tuple[str, str] = ("Pa", "mol/kg")) -> None:
    """Refuse numbers that only a wrong unit explains.

    Raises:
        InputError: naming the column, the declared unit, and which unit the numbers look like.
    """
    kelvin, top = isotherm.temperature, float(isotherm.pressure.max())
    if not np.isfinite(kelvin) or kelvin <= 0 or kelvin > 2000:
        raise InputError(f"temperature {kelvin:g} K is not one an isotherm is measured at: give it in kelvin")
    if kelvin < 60 and isotherm.gas not in _CRYOGENIC:
        raise InputError(
            f"temperature {kelvin:g} K: {isotherm.gas} is solid there, the number looks like °C: "
            f"declare {kelvin + 273.15:g} K"
        )
    if not MIN_TOP_PRESSURE <= top <= MAX_TOP_PRESSURE:
        side = f"below {MIN_TOP_PRESSURE:g}" if top < MIN_TOP_PRESSURE else f"above {MAX_TOP_PRESSURE:g}"
        raise InputError(
            f"pressures end at {top:.3g} Pa, {side} Pa, with the declared unit {units[0]}: "
            f"the numbers look like {_likely_pressure_unit(top, units[0])}: declare the unit they are in"
        )
    limit = _loading_limit(isotherm.gas, kelvin, top)
    most = float(isotherm.loading.max())
    if most > limit:
        raise InputError(
            f"loadings reach {most:.3g} mol/kg, above {limit:g} for {isotherm.gas} at {kelvin:g} K and {top:.3g} Pa, "
            f"with the declared unit {units[1]}: the numbers look like cm3(STP)/g or mg/g: declare the unit they are in"
        )


def loading_at(isotherm: MeasuredIsotherm, pressure: float) -> float | None:
    """Loading (mol/kg) at `pressure` (Pa), between the measured points; None outside of what was measured.

    Between points the logarithms are joined (a straight line where the isotherm follows Henry's law). Below the
    first point the line from the origin is used, down to half its pressure.
    """
    p, q = _unique(isotherm)
    if not len(p) or pressure > p[-1] * 1.02 or pressure < 0.5 * p[0]:
        return None
    if pressure <= p[0]:
        return float(q[0] * pressure / p[0])
    if (q > 0).all():
        return float(np.exp(np.interp(np.log(pressure), np.log(p), np.log(q))))
    return float(np.interp(pressure, p, q))


def _unique(isotherm: MeasuredIsotherm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pressures above zero, each once, with their mean loading."""
    above = isotherm.pressure > 0
    pressures, where, counts = np.unique(isotherm.pressure[above], return_inverse=True, return_counts=True)
    total = np.zeros(len(pressures))
    np.add.at(total, where, isotherm.loading[above])
    return pressures, total / counts


def _adsorption_branch(rows: NDArray[np.intp], pressure: NDArray[np.float64]) -> tuple[NDArray[np.intp], str]:
    """Rows by rising pressure. A run that comes back down from the highest pressure is desorption, and left out."""
    steps = np.diff(pressure[rows])
    if (steps >= 0).all():
        return rows, ""
    peak = int(pressure[rows].argmax())
    down = len(rows) - 1 - peak
    if down >= 2 and (steps[:peak] >= 0).all() and (steps[peak:] <= 0).all() and peak >= 2:
        return rows[: peak + 1], f"{down} points of desorption left out"
    order = np.argsort(pressure[rows], kind="stable")
    return rows[order], f"pressures did not rise in {int((steps < 0).sum())} places: sorted"


def _loading_limit(gas: str, kelvin: float, top: float) -> float:
    if kelvin < 200 or gas == "H2O":
        return _CONDENSABLE_LIMIT
    return _LOW_PRESSURE_LIMIT if top <= 2e5 else _GAS_LIMIT


def _likely_pressure_unit(top: float, declared: str) -> str:
    from screening.experiments.units import PRESSURE_PA

    written = top / PRESSURE_PA.get(declared.strip().lower(), 1.0)
    if top > MAX_TOP_PRESSURE:
        return "Pa" if written > 1e4 else "kPa or mbar"
    return "bar" if written <= 100 else "kPa or mbar"
