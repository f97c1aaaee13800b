"""Reading and writing CIF: a direct way from the tables of the file to atoms, fast on pools of large P1 cells.

gemmi tokenises (compiled, strict); the rest is done here so that nothing is guessed: symmetry operations are applied
as the file gives them, partial occupancy is refused rather than averaged, and `_atom_site_charge` is kept.
(International Union of Crystallography, CIF 1.1; Hall, Allen, Brown, Acta Cryst. A 47, 655 (1991).)
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError

_MERGE = 0.05  # Å; images of one site closer than this are one atom on a special position, rounded
_UNQUOTED_GROUP = re.compile(
    r"^(\s*_(?:symmetry_)?space_group_name_H-M(?:_alt)?[ \t]+)([A-Za-z][^'\"\n]*\S)[ \t]*$", re.M
)
_FULL = 0.999  # an occupancy this close to one is one, rounded


def parse_cif(text: str) -> list[tuple[str, Structure | str]]:
    """All structures of a CIF, as (block name, structure or what is wrong with it).

    Public pools are full of small sins that are forgiven: lines before the first `data_` (the DDEC pools keep a Python
    dictionary there) and an unquoted space-group symbol (`P 1`).

    Raises:
        InputError: the file as a whole is not CIF, or holds no atom sites.
    """
    start = re.search(r"^data_", text, re.M | re.I)
    if start is None:
        raise InputError("there is no data_ block: it is not a CIF, or it is truncated")
    text = _UNQUOTED_GROUP.sub(r"\1'\2'", text[start.start() :])
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"it is not valid CIF ({reason}): it may be truncated") from None
    blocks = [
        block for block in document if block.find_loop("_atom_site_fract_x") or block.find_value("_cell_length_a")
    ]
    if not blocks:
        raise InputError("no block holds a cell and atom sites: it may be truncated, or is not a structure")
    found: list[tuple[str, Structure | str]] = []
    for block in blocks:
        try:
            found.append((block.name, _structure(block)))
        except InputError as error:
            found.append((block.name, str(error)))
    return found


def format_cif(structure: Structure, name: str = "structure") -> str:
    """CIF text of an ordered structure in P1, with `_atom_site_charge` where sites have a `charge`."""
    lattice = structure.lattice
    charges = structure.site_properties.get("charge")
    name = re.sub(r"\s+", "_", name) or "structure"
    lines = [
        f"data_{name}",
        *(f"_cell_length_{axis}    {length:.8f}" for axis, length in zip("abc", lattice.abc, strict=True)),
        *(
            f"_cell_angle_{angle}    {value:.8f}"
            for angle, value in zip(("alpha", "beta", "gamma"), lattice.angles, strict=True)
        ),
        f"_cell_volume    {lattice.volume:.6f}",
        "_space_group_name_H-M_alt    'P 1'",
        "_space_group_IT_number    1",
        "loop_",
        " _space_group_symop_operation_xyz",
        "  'x, y, z'",
        "loop_",
        " _atom_site_label",
        " _atom_site_type_symbol",
        " _atom_site_fract_x",
        " _atom_site_fract_y",
        " _atom_site_fract_z",
        " _atom_site_occupancy",
    ]
    if charges is not None:
        lines.append(" _atom_site_charge")
    for index, (site, fractional) in enumerate(zip(structure, structure.frac_coords, strict=True)):
        symbol = site.specie.symbol
        x, y, z = fractional
        charge = "" if charges is None else f" {charges[index]:.6f}"
        lines.append(f"  {symbol}{index + 1} {symbol} {x:.10f} {y:.10f} {z:.10f} 1{charge}")
    return "\n".join(lines) + "\n"


def _structure(block: Any) -> Structure:
    lengths = [_cell_value(block, f"_cell_length_{axis}") for axis in "abc"]
    angles = [_cell_value(block, f"_cell_angle_{angle}") for angle in ("alpha", "beta", "gamma")]
    a, b, g = (math.cos(math.radians(angle)) for angle in angles)
    if min(lengths) <= 0 or not 1 - a * a - b * b - g * g + 2 * a * b * g > 1e-12:
        raise InputError(f"cell lengths {lengths} and angles {angles} span no volume: correct the cell")
    lattice = Lattice.from_parameters(*lengths, *angles)
    symbols, labels, fractional, charges = _sites(block)
    operations = _operations(block, lengths, angles)
    if len(operations) > 1:
        source, fractional = _expand(operations, fractional, lattice.matrix)
        symbols, labels = [symbols[k] for k in source], [labels[k] for k in source]
        charges = None if charges is None else charges[source]
    properties = None if charges is None else {"charge": charges.tolist()}
    return Structure(lattice, symbols, fractional, site_properties=properties, labels=labels)


def _cell_value(block: Any, tag: str) -> float:
    raw = block.find_value(tag)
    value = gemmi.cif.as_number(raw) if raw is not None else math.nan
    if not math.isfinite(value):
        shown = "missing" if raw is None else repr(raw)
        raise InputError(f"{tag} is {shown}, not a number: complete the cell")
    return value


def _sites(block: Any) -> tuple[list[str], list[str], np.ndarray, np.ndarray | None]:
    """Element symbols, labels, fractional coordinates [N, 3] and charges [N] of the asymmetric unit."""
    tags = ["_fract_x", "_fract_y", "_fract_z", "?_label", "?_type_symbol", "?_occupancy", "?_charge"]
    table = block.find("_atom_site", tags)
    if not len(table):
        raise InputError("there are no atom sites with fractional coordinates: the file may be truncated")
    has = [table.has_column(column) for column in range(len(tags))]
    if not has[3] and not has[4]:
        raise InputError("atom sites have neither label nor type symbol: name their elements")
    symbols, labels, charges = [], [], []
    fractional = np.empty((len(table), 3))
    for k, row in enumerate(table):
        label = gemmi.cif.as_string(row[3]) if has[3] else f"{gemmi.cif.as_string(row[4])}{k + 1}"
        fractional[k] = [gemmi.cif.as_number(row[column]) for column in range(3)]
        if not np.isfinite(fractional[k]).all():
            raise InputError(f"site {label} has coordinates {[row[0], row[1], row[2]]}: complete or remove it")
        occupancy = gemmi.cif.as_number(row[5]) if has[5] else math.nan
        if occupancy < _FULL or occupancy > 2 - _FULL:  # `.` and `?` are NaN and mean fully occupied
            raise InputError(f"site {label} has occupancy {occupancy:g} (disorder): choose one ordered variant")
        symbols.append(_element(gemmi.cif.as_string(row[4]) if has[4] else label, label))
        labels.append(label)
        charges.append(gemmi.cif.as_number(row[6]) if has[6] else math.nan)
    known = np.array(charges)
    return symbols, labels, fractional, known if np.isfinite(known).all() else None


def _element(text: str, label: str) -> str:
    """Symbol at the start of a type or label such as `Zn2+`, `O12`, `Cu1A`, `D`."""
    letters = re.match(r"[A-Za-z]{1,2}", text)
    if letters:
        for symbol in (letters[0].capitalize(), letters[0][0].upper()):
            element = gemmi.Element(symbol)
            if element.atomic_number > 0:
                return "H" if element.atomic_number == 1 else element.name
    raise InputError(f"site {label} has type {text!r}, which is no chemical element: correct it")


def _operations(block: Any, lengths: Sequence[float], angles: Sequence[float]) -> list[Any]:
    """Symmetry operations: those listed, else those of the named or numbered space group, else the identity."""
    for tag in ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"):
        listed = [gemmi.cif.as_string(text) for text in block.find_values(tag)]
        if listed:
            try:
                return [gemmi.Op(text) for text in listed]
            except (ValueError, RuntimeError):
                raise InputError(f"symmetry operation among {listed[:3]} ... is not readable: correct {tag}") from None
    for tag in ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_IT_number",
                "_symmetry_Int_Tables_number"):  # fmt: skip
        raw = block.find_value(tag)
        name = gemmi.cif.as_string(raw).strip() if raw is not None else ""
        if not name or name in ".?":
            continue
        if name.isdigit():
            group = gemmi.find_spacegroup_by_number(int(name)) if 1 <= int(name) <= 230 else None
        else:
            group = gemmi.find_spacegroup_by_name(name, angles[0], angles[2])
        if group is None:
            raise InputError(f"space group {name!r} is unknown: list the symmetry operations")
        return list(group.operations())
    return [gemmi.Op("x,y,z")]


def _expand(operations: list[Any], fractional: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All images of all sites in the cell: index of the source site [M] and fractional coordinates [M, 3]."""
    rotations = np.array([operation.rot for operation in operations]) / gemmi.Op.DEN
    shifts = np.array([operation.tran for operation in operations]) / gemmi.Op.DEN
    sources, images = [], []
    for k, point in enumerate(fractional):
        kept = np.empty((0, 3))
        for image in rotations @ point + shifts:
            difference = kept - image
            distance = np.linalg.norm((difference - np.round(difference)) @ matrix, axis=1)
            if not (distance < _MERGE).any():
                kept = np.vstack([kept, image % 1.0])
        sources += [k] * len(kept)
        images.append(kept)
    return np.array(sources), np.concatenate(images)
