"""Units of measured isotherms: pressures to Pa, loadings to mol/kg, and a refusal where a density would be needed.

"STP" here is 273.15 K and 101325 Pa, the convention of adsorption work (K. S. W. Sing et al., Pure Appl. Chem. 57, 603
(1985)), not IUPAC's later 1 bar, which would make every such loading 1.3 % smaller.
"""

import re
from collections.abc import Mapping

from potentials.errors import InputError

STP_MOLAR_VOLUME = 22413.97  # cm3/mol of an ideal gas at 273.15 K and 101325 Pa

PRESSURE_PA: Mapping[str, float] = {
    "pa": 1.0,
    "hpa": 100.0,
    "kpa": 1e3,
    "mpa": 1e6,  # never millipascal: nobody measures there
    "bar": 1e5,
    "mbar": 100.0,
    "atm": 101_325.0,
    "torr": 101_325.0 / 760.0,
    "mmhg": 133.322_387_415,
    "psi": 6_894.757_293_168,
    "psia": 6_894.757_293_168,
}
RELATIVE = ("relative", "p/p0", "p/po", "p/psat", "-")

# Amount a mass of sorbent, in mol/kg.
_PER_MASS: Mapping[str, float] = {
    "mol/kg": 1.0,
    "mmol/g": 1.0,
    "mmol/kg": 1e-3,
    "mol/g": 1e3,
    "umol/g": 1e-3,
    "micromol/g": 1e-3,
    "cm3(stp)/g": 1e3 / STP_MOLAR_VOLUME,
    "l(stp)/kg": 1e3 / STP_MOLAR_VOLUME,
    "m3(stp)/kg": 1e6 / STP_MOLAR_VOLUME,
    "cm3(stp)/kg": 1.0 / STP_MOLAR_VOLUME,
    "cm3/g": 1e3 / STP_MOLAR_VOLUME,
}
# Mass of gas a mass of sorbent, in g/kg.
_MASS_PER_MASS: Mapping[str, float] = {
    "mg/g": 1.0,
    "g/kg": 1.0,
    "g/g": 1e3,
    "kg/kg": 1e3,
    "mg/mg": 1e3,
    "wt%": 10.0,
    "%": 10.0,
    "mass%": 10.0,
    "g/100g": 10.0,
    "mg/100mg": 10.0,
}
# Amount a volume of sorbent, in mol/m3; needs the sorbent's density.
_PER_VOLUME: Mapping[str, float] = {
    "cm3(stp)/cm3": 1e6 / STP_MOLAR_VOLUME,
    "volume/volume": 1e6 / STP_MOLAR_VOLUME,
    "v/v": 1e6 / STP_MOLAR_VOLUME,
    "mmol/cm3": 1e3,
    "mol/l": 1e3,
    "mol/dm3": 1e3,
    "kmol/m3": 1e3,
    "mol/m3": 1.0,
}
_MASS_PER_VOLUME: Mapping[str, float] = {"g/l": 1.0, "kg/m3": 1.0, "g/cm3": 1e3, "mg/cm3": 1.0}  # in kg/m3 = g/l
# Molecules a unit cell; needs the mass of that cell.
_PER_CELL = ("molecules/unitcell", "molecules/uc", "molec/uc", "molecule/unitcell")

_REMARKS = {
    "cm3/g": "cm3/g taken as cm3(STP)/g",
    "wt%": "wt% taken as grams of gas per 100 g of empty sorbent",
    "%": "% taken as grams of gas per 100 g of empty sorbent",
    "mass%": "mass% taken as grams of gas per 100 g of empty sorbent",
}

# Names under which gases are filed, in lower case, and their formula.
_GAS_NAMES: Mapping[str, str] = {
    "carbon dioxide": "CO2",
    "nitrogen": "N2",
    "methane": "CH4",
    "water": "H2O",
    "water vapor": "H2O",
    "water vapour": "H2O",
    "hydrogen": "H2",
    "oxygen": "O2",
    "argon": "Ar",
    "helium": "He",
    "krypton": "Kr",
    "xenon": "Xe",
    "neon": "Ne",
    "carbon monoxide": "CO",
    "ammonia": "NH3",
    "hydrogen sulfide": "H2S",
    "sulfur dioxide": "SO2",
    "ethane": "C2H6",
    "ethene": "C2H4",
    "ethylene": "C2H4",
    "acetylene": "C2H2",
    "ethyne": "C2H2",
    "propane": "C3H8",
    "propene": "C3H6",
    "propylene": "C3H6",
    "butane": "C4H10",
    "n-butane": "C4H10",
}


def gas_formula(name: str) -> str:
    """`Carbon Dioxide`, `co2` or `CO₂` as `CO2`.

    Raises:
        InputError: it is neither a known name nor a chemical formula.
    """
    text = name.strip().translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    if text.lower() in _GAS_NAMES:
        return _GAS_NAMES[text.lower()]
    for formula in _GAS_NAMES.values():
        if text.lower() == formula.lower():
            return formula
    if not re.fullmatch(r"(?:[A-Z][a-z]?\d*)+", text):
        raise InputError(f"gas {name!r} is neither a name such as Nitrogen nor a formula such as N2: give its formula")
    return text


def molar_mass(gas: str) -> float:
    """g/mol of a gas given by its formula.

    Raises:
        InputError: the formula names no elements.
    """
    from pymatgen.core import Composition

    try:
        return float(Composition(gas).weight)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"gas {gas!r} is no chemical formula: write it like CO2") from None


def pressure_factor(unit: str, saturation_pressure: float | None = None) -> float:
    """Pa in one `unit`.

    Args:
        unit: as written, such as `bar`, `mmHg`, `p/p0`.
        saturation_pressure: Pa; what a relative pressure is relative to.

    Raises:
        InputError: the unit is unknown, or relative with no saturation pressure given.
    """
    key = unit.strip().lower().replace(" ", "")
    if key in RELATIVE:
        if saturation_pressure is None:
            raise InputError(
                f"pressures are relative ({unit}): give the saturation pressure they are relative to, in Pa"
            )
        return saturation_pressure
    if key not in PRESSURE_PA:
        raise InputError(f"pressure unit {unit!r} is not known: use one of Pa, kPa, MPa, bar, mbar, atm, Torr, psi")
    return PRESSURE_PA[key]


def loading_factor(
    unit: str, gas: str, *, density: float | None = None, cell_mass: float | None = None
) -> tuple[float, str]:
    """(mol/kg in one `unit`, a remark on how the unit was read or "").

    Args:
        unit: as written, such as `mmol/g`, `cm3(STP)/g`, `wt%`.
        gas: formula; masses become amounts with its molar mass.
        density: kg/m3 of the sorbent (the crystal's, for crystals), for amounts a volume.
        cell_mass: g/mol of a unit cell, for molecules a unit cell.

    Raises:
        InputError: the unit is unknown or needs a density, a cell mass or a surface that is not given.
    """
    key = _plain_unit(unit)
    remark = _REMARKS.get(key, "")
    if key in _PER_MASS:
        return _PER_MASS[key], remark
    if key in _MASS_PER_MASS:
        return _MASS_PER_MASS[key] / molar_mass(gas), remark
    if key in _PER_VOLUME or key in _MASS_PER_VOLUME:
        if density is None:
            raise InputError(
                f"loading unit {unit!r} is per volume of sorbent: give the sorbent's density in kg/m3 to convert it"
            )
        amount = _PER_VOLUME[key] if key in _PER_VOLUME else _MASS_PER_VOLUME[key] * 1e3 / molar_mass(gas)
        return amount / density, f"with a density of {density:g} kg/m3"
    if key in _PER_CELL:
        if cell_mass is None:
            raise InputError(
                f"loading unit {unit!r} is per unit cell: give the mass of the cell in g/mol to convert it"
            )
        return 1e3 / cell_mass, f"with {cell_mass:g} g/mol a cell"
    raise InputError(
        f"loading unit {unit!r} cannot be made mol/kg: use one of mmol/g, mol/kg, cm3(STP)/g, mg/g, g/g, wt%, or "
        "cm3(STP)/cm3 and mmol/cm3 with a density"
    )


def _plain_unit(unit: str) -> str:
    """Spellings made one: `cc STP/g`, `mL(STP) g-1`, `cm³/g (STP)` -> `cm3(stp)/g`."""
    text = unit.strip().lower().replace("³", "3").replace("^", "").replace("μ", "u").replace("µ", "u")
    stp = re.search(r"\(?\b(?:stp|ntp)\b\)?", text)
    if stp:
        text = (text[: stp.start()] + " " + text[stp.end() :]).strip()
    text = re.sub(r"\s*[\u00b7.]?\s*\b(kg|mg|g|cm3|l|m3)\s*(?:\u207b\u00b9|-1)$", r"/\1", text)
    text = re.sub(r"\s+|adsorbent|sorbent", "", text).replace("()", "")
    text = re.sub(r"^(?:cc|ml|cm3)(?=/)", "cm3", text)
    text = re.sub(r"(?<=/)(?:cc|ml)$", "cm3", text)
    text = text.replace("mole/", "mol/").replace("wt.%", "wt%").replace("weight%", "wt%").replace("%wt", "wt%")
    if stp and "(stp)" not in text:
        text = text.replace("/", "(stp)/", 1)
    return text
