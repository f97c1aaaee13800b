"""Conditions on the elements of a crystal, as bounds on the atoms of each species in the cell."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymatgen.core import Composition, Element

from potentials.errors import InputError

KEYS = ("composition", "chemical_system", "required_elements", "allowed_elements", "excluded_elements")
_TERM = re.compile(r"([A-Z][a-z]?)\s*(>=|<=|==|=|:)\s*(\d+)(?:\s*-\s*(\d+))?")
_AMOUNT = re.compile(r"(>=|<=|==|=)?\s*(\d+)(?:\s*-\s*(\d+))?")


@dataclass(frozen=True)
class Bounds:
    """Which species may occur and how many atoms of each."""

    allowed: tuple[int, ...]  # species indices
    lower: dict[int, int] = field(default_factory=dict)  # at least; 0 where not named
    upper: dict[int, int] = field(default_factory=dict)  # at most; unlimited where not named

    def most(self, species: int) -> float:
        """Largest number of atoms of a species."""
        if species not in self.allowed:
            return 0
        return self.upper.get(species, math.inf)


def element_bounds(given: Mapping[str, Any], elements: tuple[int, ...]) -> Bounds:
    """Bounds from every element condition but a whole formula.

    Raises:
        InputError: an unknown element, or conditions that contradict.
    """
    allowed = set(range(len(elements)))
    lower: dict[int, int] = {}
    upper: dict[int, int] = {}
    if "allowed_elements" in given:
        allowed &= set(element_list("allowed_elements", given["allowed_elements"], elements))
    if "chemical_system" in given:
        system = _system(given["chemical_system"], elements)
        outside = [s for s in system if s not in allowed]
        if outside:
            raise _contradiction(outside[0], elements, "chemical_system", "allowed_elements")
        allowed = set(system)
        lower |= dict.fromkeys(system, 1)
    for species in element_list("excluded_elements", given.get("excluded_elements", ()), elements):
        if species in lower:
            raise _contradiction(species, elements, "chemical_system", "excluded_elements")
        allowed.discard(species)
    for species in element_list("required_elements", given.get("required_elements", ()), elements):
        if species not in allowed:
            raise _contradiction(species, elements, "required_elements", "the elements that may occur")
        lower[species] = max(1, lower.get(species, 0))
    if "composition" in given and is_partial(given["composition"]):
        for species, (least, most) in _partial(given["composition"], elements).items():
            if species not in allowed and least > 0:
                raise _contradiction(species, elements, "composition", "the elements that may occur")
            if most < lower.get(species, 0):
                raise _contradiction(species, elements, "composition", "the elements that must occur")
            lower[species] = max(least, lower.get(species, 0))
            if math.isfinite(most):
                upper[species] = int(most)
    if not allowed:
        raise InputError("no element is left that may occur: relax allowed_elements or excluded_elements")
    named = {s: count for s, count in lower.items() if count}
    return Bounds(tuple(sorted(allowed)), named, upper)


def is_partial(composition: Any) -> bool:
    """Whether a composition is counted in atoms of the cell, rather than a formula."""
    return isinstance(composition, Mapping) or re.search(r"[<>=:]", str(composition)) is not None


def formula_unit(text: Any, elements: tuple[int, ...]) -> tuple[int, ...]:
    """Species indices of one reduced formula unit."""
    try:
        amounts = Composition(str(text)).reduced_composition.get_el_amt_dict()
    except (ValueError, KeyError):
        raise InputError(f"composition {text!r} is not a formula: write it as Li3PS4") from None
    if not amounts or any(amount != round(amount) for amount in amounts.values()):
        raise InputError(f"composition {text!r} is not a formula of whole atoms: write it as Li3PS4")
    return tuple(species_of(symbol, elements) for symbol, amount in amounts.items() for _ in range(round(amount)))


def check_formula(
    text: Any, formula: tuple[int, ...], given: Mapping[str, Any], bounds: Bounds, elements: tuple[int, ...]
) -> None:
    """Refuse a formula that the other element conditions rule out."""
    system = given.get("chemical_system")
    if system is not None and set(_system(system, elements)) != set(formula):
        raise InputError(f"composition {text!r} and chemical_system {system!r} contradict: drop one")
    for species in set(formula) - set(bounds.allowed):
        raise _contradiction(species, elements, "composition", "the elements that may occur")
    for species in set(bounds.lower) - set(formula):
        raise _contradiction(species, elements, "required_elements", "composition")


def element_list(key: str, value: Any, elements: tuple[int, ...]) -> tuple[int, ...]:
    """Species indices of "Li,O", "Li O" or a list; elements the model does not know may be excluded freely."""
    parts: Iterable[Any] = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise InputError(f"{key} = {value!r} is not a list of elements: write it as Li,O")
    symbols = [str(part) for part in parts if str(part)]
    if key == "excluded_elements":
        symbols = [symbol for symbol in symbols if _number(symbol) in elements]
    return tuple(species_of(symbol, elements) for symbol in symbols)


def species_of(symbol: str, elements: tuple[int, ...]) -> int:
    """Species index of an element.

    Raises:
        InputError: no element, or one the model was not trained on.
    """
    number = _number(symbol)
    if number not in elements:
        raise InputError(
            f"this model was not trained on {symbol}: it knows {len(elements)} elements, see its model card"
        )
    return elements.index(number)


def _number(symbol: str) -> int:
    try:
        return int(Element(symbol).Z)
    except ValueError:
        raise InputError(f"{symbol!r} is not an element: use symbols such as Li or Cl") from None


def _system(text: Any, elements: tuple[int, ...]) -> tuple[int, ...]:
    symbols = [part.strip() for part in str(text).split("-") if part.strip()]
    if not symbols:
        raise InputError(f"chemical_system {text!r} names no element: write it as Li-P-S")
    indices = tuple(species_of(symbol, elements) for symbol in symbols)
    if len(set(indices)) != len(indices):
        raise InputError(f"chemical_system {text!r} names an element twice: write each once")
    return indices


def _partial(value: Any, elements: tuple[int, ...]) -> dict[int, tuple[int, float]]:
    """(least, most) atoms of each species named in a partial composition."""
    if isinstance(value, Mapping):
        terms = {}
        for symbol, amount in value.items():
            match = _AMOUNT.fullmatch(str(amount).strip())
            if match is None:
                raise InputError(f"composition of {symbol}: {amount!r} is not 2, '>=2', '<=2' or '2-4'")
            terms[str(symbol)] = match.groups()
    else:
        text = str(value)
        found = list(_TERM.finditer(text))
        left = _TERM.sub("", text).strip(" ,;")
        if left or not found:
            raise InputError(f"composition {text!r}: cannot read {left or text!r}; write it as 'Li=2 O>=4 S=1-3'")
        terms = {match.group(1): match.groups()[1:] for match in found}
    bounds = {}
    for symbol, (sign, first, last) in terms.items():
        low = int(first)
        least, most = {">=": (low, math.inf), "<=": (0, low)}.get(sign or "=", (low, int(last) if last else low))
        if (last and sign in (">=", "<=")) or most < least:
            raise InputError(
                f"composition of {symbol}: {sign or ''}{first}-{last} is no range; write it as {symbol}=2-4"
            )
        bounds[species_of(symbol, elements)] = (least, most)
    return bounds


def _contradiction(species: int, elements: tuple[int, ...], first: str, second: str) -> InputError:
    symbol = Element.from_Z(elements[species]).symbol
    return InputError(f"{symbol}: {first} and {second} contradict: drop one of them")
