"""Text for the page: escaped, with subscripts where chemists write them."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from pymatgen.core import Structure

from screening.quantities import label, label_with_unit, with_error

_MOLECULES = {"CO2": "CO₂", "N2": "N₂", "H2O": "H₂O", "CH4": "CH₄", "O2": "O₂", "H2": "H₂"}
_MOLECULE = re.compile(r"\b(" + "|".join(_MOLECULES) + r")\b")

_VARIES = re.compile(r"\b[0-9a-f]{12,}\b|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")  # ids and numbers


def safe(text: object) -> str:
    """Text as HTML, in elements and in quoted attributes."""
    return escape(str(text), quote=True)


def formula_html(structure: Structure) -> str:
    """The reduced formula with its numbers lowered."""
    formula = safe(structure.composition.reduced_formula)
    return re.sub(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", formula)


def name_of(name: str) -> str:
    """The label of a property, its gases with subscripts, as plain text."""
    return _lowered(label(name))


def name_with_unit(name: str, unit: str) -> str:
    """The same with its unit in brackets, as plain text."""
    return _lowered(label_with_unit(name, unit)).replace("^2", "²").replace("^3", "³")


def number_html(value: float | None, std: float | None) -> str:
    """A number with its error as print writes it: a real minus, a power of ten."""
    text = re.sub(r"e([+-])0*(\d+)$", lambda m: f" × 10<sup>{m[1].strip('+')}{m[2]}</sup>", with_error(value, std))
    return text.replace("-", "−")


def unit_html(unit: str) -> str:
    """A unit with its powers raised; a flag has none."""
    return "" if unit == "bool" else re.sub(r"\^(-?\d+)", r"<sup>\1</sup>", safe(unit))


def percent(probability: float) -> str:
    """A probability as HTML that never rounds to certainty."""
    if 0 < probability < 0.005:
        return "&lt;1%"
    if 0.995 <= probability < 1:
        return "&gt;99%"
    return f"{probability:.0%}"


def pattern(text: str) -> str:
    """The text without its numbers and ids: what alike texts share."""
    return _VARIES.sub("\0", text)


def common(texts: Sequence[str]) -> str:
    """Texts of one pattern as one, with … for the numbers in which they differ."""
    words = _VARIES.split(texts[0])
    columns = zip(*(_VARIES.findall(text) for text in texts), strict=True)
    numbers = [column[0] if len(set(column)) == 1 else "…" for column in columns]
    return "".join(word + number for word, number in zip(words, [*numbers, ""], strict=True))


def told_together(texts: Iterable[str]) -> list[str]:
    """Texts, those that differ in numbers only as one, in order of appearance."""
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(pattern(text), []).append(text)
    return [common(members) for members in found.values()]


def _lowered(text: str) -> str:
    return _MOLECULE.sub(lambda match: _MOLECULES[match.group(1)], text)
