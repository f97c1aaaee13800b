"""What a user may ask of a generated crystal, checked before any sampling."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pymatgen.core import Composition, Element

from potentials.errors import InputError

KEYS = ("num_atoms", "chemical_system", "composition")


@dataclass(frozen=True)
class Conditions:
    """Checked conditions in the model's own terms."""

    sizes: dict[int, float]  # allowed atom counts and their weights
    required: tuple[int, ...]  # species indices that must occur
    allowed: tuple[int, ...]  # species indices that may occur
    formula: tuple[int, ...]  # species of one formula unit when the composition is given, else empty

    def species(self, n_atoms: int) -> tuple[int, ...]:
        """Species given from the start, at most `n_atoms`: all of them, one of each required, or none."""
        if self.formula:
            return self.formula * (n_atoms // len(self.formula))
        return self.required


def parse_conditions(
    conditions: Mapping[str, Any] | None,
    elements: tuple[int, ...],
    atom_counts: Mapping[int, int],
    formula_units: Mapping[int, int],
) -> Conditions:
    """Check conditions against what a model knows.

    `num_atoms`: atoms in the primitive cell. `chemical_system`: "Li-P-S", exactly these elements, each at least
    once. `composition`: "Li3PS4", whole formula units; their number is drawn as it occurs among the training crystals
    unless `num_atoms` is given too.

    Args:
        elements: atomic number of each species index.
        atom_counts: training crystals of each atom count.
        formula_units: training crystals of each number of formula units in the cell.

    Raises:
        InputError: unknown key or element, an atom count that cannot be, or conditions that contradict.
    """
    given = dict(conditions or {})
    for key in given:
        if key not in KEYS:
            nearest = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known conditions: {', '.join(KEYS)}"
            raise InputError(f"unknown condition {key!r}: {hint}")
    sizes = {n: float(count) for n, count in atom_counts.items() if count}
    if given.get("num_atoms") is not None:
        sizes = {_atom_count(given["num_atoms"], max(atom_counts)): 1.0}
    everything = tuple(range(len(elements)))
    system, composition = given.get("chemical_system"), given.get("composition")
    if composition is not None:
        unit = _formula_unit(composition, elements)
        if system is not None and set(_system(system, elements)) != set(unit):
            raise InputError(f"composition {composition!r} and chemical_system {system!r} contradict: drop one")
        fitting = {n: formula_units.get(n // len(unit), 0) + 1e-9 for n in sizes if n % len(unit) == 0}
        if not fitting:
            raise InputError(
                f"composition {composition!r} has {len(unit)} atoms a formula unit, "
                f"which fits none of the atom counts {_span(sizes)}: give a multiple of {len(unit)} atoms"
            )
        return Conditions(fitting, (), everything, unit)
    if system is not None:
        required = _system(system, elements)
        fitting = {n: weight for n, weight in sizes.items() if n >= len(required)}
        if not fitting:
            raise InputError(f"chemical_system {system!r} needs at least {len(required)} atoms: raise num_atoms")
        return Conditions(fitting, required, required, ())
    return Conditions(sizes, (), everything, ())


def draw_size(conditions: Conditions, generator: torch.Generator) -> int:
    """An atom count by the weights of `conditions.sizes`."""
    counts = sorted(conditions.sizes)
    weights = torch.tensor([conditions.sizes[n] for n in counts], dtype=torch.float64)
    return counts[int(torch.multinomial(weights, 1, generator=generator))]


def _atom_count(value: Any, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not re.fullmatch(r"\d+", str(value)):
        raise InputError(f"num_atoms = {value!r} is not a whole number: give 1 to {largest}")
    if not 1 <= int(value) <= largest:
        raise InputError(f"num_atoms = {value} is outside 1 to {largest}, the sizes this model was trained on")
    return int(value)


def _system(text: Any, elements: tuple[int, ...]) -> tuple[int, ...]:
    symbols = [part.strip() for part in str(text).split("-") if part.strip()]
    if not symbols:
        raise InputError(f"chemical_system {text!r} names no element: write it as Li-P-S")
    indices = tuple(_species(symbol, elements) for symbol in symbols)
    if len(set(indices)) != len(indices):
        raise InputError(f"chemical_system {text!r} names an element twice: write each once")
    return indices


def _formula_unit(text: Any, elements: tuple[int, ...]) -> tuple[int, ...]:
    try:
        composition = Composition(str(text)).reduced_composition
        amounts = composition.get_el_amt_dict()
    except (ValueError, KeyError):
        raise InputError(f"composition {text!r} is not a formula: write it as Li3PS4") from None
    if not amounts or any(amount != round(amount) for amount in amounts.values()):
        raise InputError(f"composition {text!r} is not a formula of whole atoms: write it as Li3PS4")
    return tuple(_species(symbol, elements) for symbol, amount in amounts.items() for _ in range(round(amount)))


def _species(symbol: str, elements: tuple[int, ...]) -> int:
    try:
        number = Element(symbol).Z
    except ValueError:
        raise InputError(f"{symbol!r} is not an element: use symbols such as Li or Cl") from None
    if number not in elements:
        raise InputError(
            f"this model was not trained on {symbol}: it knows {len(elements)} elements, see its model card"
        )
    return elements.index(number)


def _span(sizes: Mapping[int, float]) -> str:
    return f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else str(next(iter(sizes)))
