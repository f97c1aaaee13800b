"""Structures as plain JSON, bit for bit: what crosses a pipe to a worker and what the store holds.

pymatgen's own `as_dict` round-trips too, but reading it back imports whatever class a file names; here a
file can only ever become a lattice, species and numbers.
"""

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

from pymatgen.core import Composition, Lattice, Structure

from potentials.errors import GeometryError, InputError


def encode_structure(structure: Structure) -> dict[str, Any]:
    """A structure as JSON-able values; floats survive `json` unchanged (Python writes the shortest exact form).

    Keys follow OPTIMADE where it has one: `lattice_vectors` [3][3] Å (rows), `species_at_sites` [n] (a name,
    or `{name: occupancy}` on a disordered site), `fractional_site_positions` [n][3].

    Raises:
        GeometryError: a lattice vector or coordinate is not a finite number.
    """
    lattice = structure.lattice.matrix.tolist()
    positions = structure.frac_coords.tolist()
    for row in (*lattice, *positions):
        if not all(map(math.isfinite, row)):
            raise GeometryError(f"the structure holds {row}: every coordinate must be a finite number: drop it")
    value: dict[str, Any] = {
        "lattice_vectors": lattice,
        "species_at_sites": [_encode_species(site) for site in structure],
        "fractional_site_positions": positions,
    }
    if not all(structure.lattice.pbc):
        value["pbc"] = [bool(flag) for flag in structure.lattice.pbc]
    labels = [site.label for site in structure]
    if any(site.label != site.species_string for site in structure):
        value["labels"] = labels
    if structure._charge is not None:  # `charge` would report the sum of oxidation states instead
        value["charge"] = float(structure._charge)
    if structure.site_properties:
        value["site_properties"] = plain(structure.site_properties, "site_properties")
    if structure.properties:
        value["properties"] = plain(structure.properties, "properties")
    return value


def decode_structure(value: Mapping[str, Any]) -> Structure:
    """The structure that `encode_structure` wrote.

    Raises:
        InputError: the value does not describe a structure.
    """
    try:
        return Structure(
            Lattice(value["lattice_vectors"], pbc=tuple(value.get("pbc", (True, True, True)))),
            value["species_at_sites"],
            value["fractional_site_positions"],
            charge=value.get("charge"),
            labels=value.get("labels"),
            site_properties=value.get("site_properties"),
            properties=value.get("properties"),
        )
    except Exception as error:  # pymatgen raises whatever comes first
        raise InputError(f"a stored structure cannot be read ({error!r}): the store is damaged") from error


def formula_columns(structure: Structure) -> dict[str, Any]:
    """OPTIMADE's `chemical_formula_reduced`, `elements`, `nelements` and `nsites` of a structure."""
    amounts = Composition(structure.composition).get_el_amt_dict()
    elements = sorted(amounts)
    counts = [amounts[element] for element in elements]
    if all(abs(count - round(count)) < 1e-8 for count in counts):
        divisor = reduce(math.gcd, [round(count) for count in counts])
        texts = ["" if round(count) == divisor else str(round(count) // divisor) for count in counts]
    else:  # partial occupancies: no whole-number formula exists
        texts = ["" if count == 1 else f"{count:g}" for count in counts]
    return {
        "chemical_formula_reduced": "".join(map("".join, zip(elements, texts, strict=True))),
        "elements": elements,
        "nelements": len(elements),
        "nsites": len(structure),
    }


def plain(value: Any, where: str) -> Any:
    """`value` with numpy arrays, scalars, tuples and paths turned into what JSON knows.

    Raises:
        InputError: naming `where` and the type that has no JSON form.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value if type(value) in (type(None), str, bool, int, float) else _builtin(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(item, f"{where}[{n}]") for n, item in enumerate(items)]
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors
        return plain(value.tolist(), where)
    if hasattr(value, "__fspath__"):
        return str(value)
    raise InputError(f"{where} is a {type(value).__name__}, which JSON cannot hold: use numbers, text, lists, mappings")


def _builtin(value: Any) -> Any:
    """The built-in value behind a subclass, such as `numpy.float64` or a string enumeration."""
    return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))


def _encode_species(site: Any) -> Any:
    if site.is_ordered:
        return str(site.specie)
    return {str(species): float(amount) for species, amount in site.species.items()}
