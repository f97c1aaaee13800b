"""What a user may ask of a generated crystal, checked before any sampling."""

import difflib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gen.crystals import element_conditions as elements_of
from gen.crystals.element_conditions import Bounds
from gen.crystals.frames import can_arrange
from gen.crystals.properties import CLIP, SPACE_GROUP, PropertySpec
from potentials.errors import InputError

logger = logging.getLogger(__name__)

KEYS = (
    "num_atoms",
    "chemical_system",
    "composition",
    "required_elements",
    "allowed_elements",
    "excluded_elements",
    "space_group",
    "space_group_feature",
)


@dataclass(frozen=True)
class Conditions:
    """Checked conditions in the model's own terms."""

    sizes: dict[int, float]  # allowed atom counts and their weights
    bounds: Bounds  # of the atoms of each species in the cell
    formula: tuple[int, ...] = ()  # species of one formula unit when the composition is given, else empty
    space_group: int | None = None  # held exactly
    values: Mapping[str, float] = field(default_factory=dict)  # of the properties the network is conditioned on

    def within(self, n_atoms: int) -> Bounds:
        """Bounds for a cell of `n_atoms`."""
        if not self.formula:
            return self.bounds
        units = n_atoms // len(self.formula)
        counts = {s: units * self.formula.count(s) for s in sorted(set(self.formula))}
        return Bounds(tuple(counts), counts, counts)

    def species(self, n_atoms: int) -> tuple[int, ...]:
        """Species given from the start, at most `n_atoms`: the least of each that must occur."""
        return tuple(s for s, count in self.within(n_atoms).lower.items() for _ in range(count))

    def demands(self, n_atoms: int) -> tuple[tuple[int, int], ...]:
        """(species, atoms at least) of those that must occur."""
        return tuple((s, count) for s, count in self.within(n_atoms).lower.items() if count)

    def violation(self, species: Sequence[int]) -> str | None:
        """Which bound a finished crystal breaks, its first word naming the kind, or None."""
        bounds = self.within(len(species))
        for s in {*species, *bounds.lower}:
            count = list(species).count(s)
            least, most = bounds.lower.get(s, 0), bounds.most(s)
            if not least <= count <= most:
                return f"condition: {count} atoms of species {s}, asked for {least} to {most:g}"
        return None


def parse_conditions(
    conditions: Mapping[str, Any] | None,
    elements: tuple[int, ...],
    atom_counts: Mapping[int, int],
    formula_units: Mapping[int, int],
    properties: Sequence[PropertySpec] = (),
) -> Conditions:
    """Check conditions against what a model knows.

    `num_atoms`: atoms in the primitive cell: 8, "4-12" or [4, 8]. `chemical_system`: "Li-P-S", exactly these elements,
    each at least once. `composition`: "Li3PS4", whole formula units, whose number is drawn as it occurs among the
    training crystals unless `num_atoms` is given too; or a partial one, counted in atoms of the cell: {"Li": 2, "O":
    ">=4"} or "Li=2 O>=4", other elements as the model likes. `required_elements`, `allowed_elements` (no others),
    `excluded_elements`: "Li,O" or a list. `space_group`: number or symbol, held exactly; `space_group_feature`: told to
    a network that learnt it, not enforced. Any other key is a property the network was fine-tuned on.

    Args:
        elements: atomic number of each species index.
        atom_counts: training crystals of each atom count.
        formula_units: training crystals of each number of formula units in the cell.
        properties: what the network can be conditioned on.

    Raises:
        InputError: unknown key, property or element, an atom count that cannot be, or conditions that contradict.
    """
    given = {key: value for key, value in dict(conditions or {}).items() if value is not None}
    values = _property_values(given, properties)
    sizes = _sizes(given.get("num_atoms"), atom_counts)
    bounds = elements_of.element_bounds(given, elements)
    formula: tuple[int, ...] = ()
    composition = given.get("composition")
    if composition is not None and not elements_of.is_partial(composition):
        formula = elements_of.formula_unit(composition, elements)
        elements_of.check_formula(composition, formula, given, bounds, elements)
        fitting = {n: formula_units.get(n // len(formula), 0) + 1e-9 for n in sizes if n % len(formula) == 0}
        if not fitting:
            raise InputError(
                f"composition {composition!r} has {len(formula)} atoms a formula unit, "
                f"which fits none of the atom counts {_span(sizes)}: give a multiple of {len(formula)} atoms"
            )
        sizes = fitting
    else:
        sizes = _fit_bounds(sizes, bounds, given)
    group = _space_group(given["space_group"]) if "space_group" in given else None
    if "space_group_feature" in given:
        values[SPACE_GROUP] = float(_space_group(given["space_group_feature"]))
    elif group is not None and any(spec.name == SPACE_GROUP for spec in properties):
        values[SPACE_GROUP] = float(group)
    asked = Conditions(sizes, bounds, formula, group, values)
    return asked if group is None else _with_space_group(asked, given)


def draw_size(conditions: Conditions, generator: torch.Generator) -> int:
    """An atom count by the weights of `conditions.sizes`."""
    counts = sorted(conditions.sizes)
    weights = torch.tensor([conditions.sizes[n] for n in counts], dtype=torch.float64)
    return counts[int(torch.multinomial(weights, 1, generator=generator))]


def _property_values(given: Mapping[str, Any], properties: Sequence[PropertySpec]) -> dict[str, float]:
    known = {spec.name: spec for spec in properties}
    values = {}
    for key, value in given.items():
        if key == "space_group_feature" and SPACE_GROUP not in known:
            raise InputError(
                "this checkpoint never saw 'space_group' as a property: use space_group, which is held exactly, "
                "or fine-tune with --property space_group"
            )
        if key in KEYS:
            continue
        if key not in known:
            hint = f"; sorbus finetune crystals --property {key} teaches it one"
            raise unknown_condition(str(key), KEYS, known, hint)
        values[key] = property_value(known[key], value)
    return values


def unknown_condition(key: str, keys: Sequence[str], known: Mapping[str, PropertySpec], hint: str = "") -> InputError:
    """The error for a condition that is neither of `keys` nor a property a checkpoint has learnt."""
    nearest = difflib.get_close_matches(key, [*keys, *known], n=1)
    if nearest:
        return InputError(f"unknown condition {key!r}: did you mean {nearest[0]!r}?")
    learnt = ", ".join(known) or "none"
    return InputError(
        f"unknown condition {key!r}: known conditions: {', '.join(keys)}; "
        f"properties this checkpoint has seen: {learnt}{hint}"
    )


def property_value(spec: PropertySpec, value: Any) -> float:
    """A value of a property as a user gave it, checked against what the network saw.

    Raises:
        InputError: not a number, or far outside.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InputError(f"{spec.name} = {value!r} is not a number: the checkpoint saw {spec.low:g} to {spec.high:g}")
    reach = CLIP * spec.std
    if not spec.mean - reach <= number <= spec.mean + reach and not spec.low <= number <= spec.high:
        raise InputError(
            f"{spec.name} = {number:g} is far outside the {spec.low:g} to {spec.high:g} the checkpoint saw: "
            "ask for a value within"
        )
    if not spec.low <= number <= spec.high:
        logger.warning("%s = %g lies outside the %g to %g the checkpoint saw", spec.name, number, spec.low, spec.high)
    return number


def _sizes(value: Any, atom_counts: Mapping[int, int]) -> dict[int, float]:
    """Atom counts and weights; a single one is taken even if no training crystal has it."""
    seen = {n: float(count) for n, count in atom_counts.items() if count}
    if value is None:
        return seen
    if isinstance(value, list | tuple):
        return {_atom_count(part, max(atom_counts)): seen.get(int(part), 0.0) + 1e-9 for part in value}
    low, dash, high = str(value).partition("-") if not isinstance(value, bool) else (str(value), "", "")
    if dash and low:
        first, last = _atom_count(low.strip(), max(atom_counts)), _atom_count(high.strip(), max(atom_counts))
        if first > last:
            raise InputError(f"num_atoms = {value!r} is an empty range: write the smaller count first")
        return {n: seen.get(n, 0.0) + 1e-9 for n in range(first, last + 1)}
    return {_atom_count(value, max(atom_counts)): 1.0}


def _atom_count(value: Any, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not str(value).isdecimal():
        raise InputError(f"num_atoms = {value!r} is not a whole number: give 1 to {largest}")
    if not 1 <= int(value) <= largest:
        raise InputError(f"num_atoms = {value} is outside 1 to {largest}, the sizes this model was trained on")
    return int(value)


def _fit_bounds(sizes: Mapping[int, float], bounds: Bounds, given: Mapping[str, Any]) -> dict[int, float]:
    """Atom counts that the element bounds leave possible."""
    least = sum(bounds.lower.values())
    most = sum(bounds.most(s) for s in bounds.allowed)
    fitting = {n: weight for n, weight in sizes.items() if least <= n <= most}
    if fitting:
        return fitting
    what = ", ".join(f"{key} {given[key]!r}" for key in elements_of.KEYS if key in given)
    if most < min(sizes):
        raise InputError(f"{what} allows at most {most:g} atoms: lower num_atoms, or allow more elements")
    raise InputError(f"{what} needs at least {least} atoms: raise num_atoms")


def _space_group(value: Any) -> int:
    """Number of a space group given by number or symbol."""
    text = str(value).strip()
    if isinstance(value, float) and value == int(value):
        text = str(int(value))
    if text.lstrip("-").isdecimal():
        if not 1 <= int(text) <= 230:
            raise InputError(f"space_group = {value} is not a space group: give a number 1 to 230 or a symbol as Fm-3m")
        return int(text)
    from pymatgen.symmetry.groups import SpaceGroup

    try:
        return int(SpaceGroup(text).int_number)
    except ValueError:
        raise InputError(f"space_group = {value!r} is not a symbol such as Fm-3m: give a number 1 to 230") from None


def _with_space_group(asked: Conditions, given: Mapping[str, Any]) -> Conditions:
    """Only the atom counts that orbits of the group can make up, with exactly that symmetry."""
    group = asked.space_group
    assert group is not None
    fitting = {n: w for n, w in asked.sizes.items() if can_arrange(group, n, asked.demands(n))}
    if not fitting:
        what = " and ".join(f"{key} {given[key]!r}" for key in elements_of.KEYS if key in given)
        from gen.crystals.wyckoff import space_group

        orbits = sorted({orbit.size for orbit in space_group(group).orbits})
        listed = ", ".join(str(size) for size in orbits)
        raise InputError(
            f"space_group {given['space_group']} cannot be had with {_span(asked.sizes)} atoms"
            f"{' of ' + what if what else ''}: its orbits hold {listed} atoms in the primitive cell, "
            "and few atoms on special positions have a higher symmetry; change num_atoms or the group"
        )
    return Conditions(fitting, asked.bounds, asked.formula, group, asked.values)


def _span(sizes: Mapping[int, float]) -> str:
    return f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else str(next(iter(sizes)))
