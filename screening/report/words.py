"""Text for the page: escaped, with subscripts where chemists write them."""

import re
from html import escape

from pymatgen.core import Structure

from screening.quantities import label, label_with_unit

_MOLECULES = {"CO2": "CO₂", "N2": "N₂", "H2O": "H₂O", "CH4": "CH₄", "O2": "O₂", "H2": "H₂"}
_MOLECULE = re.compile(r"\b(" + "|".join(_MOLECULES) + r")\b")


def safe(text: object) -> str:
    """Text as HTML, in elements and in quoted attributes."""
    return escape(str(text), quote=True)


def formula_html(structure: Structure) -> str:
    """The reduced formula with its numbers lowered."""
    formula = safe(structure.composition.reduced_formula)
    return re.sub(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", formula)


def name_of(name: str) -> str:
    """The label of a property, its gases with subscripts."""
    return _lowered(label(name))


def name_with_unit(name: str, unit: str) -> str:
    """The same with its unit in brackets."""
    return _lowered(label_with_unit(name, unit))


def percent(probability: float) -> str:
    """A probability as HTML that never rounds to certainty."""
    if 0 < probability < 0.005:
        return "&lt;1%"
    if 0.995 <= probability < 1:
        return "&gt;99%"
    return f"{probability:.0%}"


def _lowered(text: str) -> str:
    return _MOLECULE.sub(lambda match: _MOLECULES[match.group(1)], text)
