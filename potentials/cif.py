"""Reading and writing CIF: a direct way from the tables of the file to atoms, fast on pools of large P1 cells.

pymatgen tokenises; the rest is done here so that nothing is guessed: symmetry operations are applied as the file
gives them, partial occupancy is refused rather than averaged, and `_atom_site_charge` is kept.
(International Union of Crystallography, CIF 1.1; Hall, Allen, Brown, Acta Cryst. A 47, 655 (1991).)
"""

import functools
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure, SymmOp
from pymatgen.io.cif import CifBlock
from pymatgen.symmetry.groups import SpaceGroup

from potentials.errors import InputError

_MERGE = 0.05  # Å; images of one site closer than this are one atom on a special position, rounded
_UNQUOTED_GROUP = re.compile(
    r"^(\s*_(?:symmetry_)?space_group_name_H-M(?:_alt)?[ \t]+)([A-Za-z][^'\"\n]*\S)[ \t]*$", re.M
)
WITHOUT_CHARGE = "sites_without_charge"  # property of a structure: how many, where the file has charges for the rest
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
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the tokeniser only warns of a stray word
            parts = re.split(r"^data_", text, flags=re.M | re.I)[1:]
            blocks = [CifBlock.from_str(f"data_{part}") for part in parts]
    except Exception as error:  # a broken loop raises ValueError, IndexError or ZeroDivisionError
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, ZeroDivisionError):
            reason = "a loop without values"
        raise InputError(f"it is not valid CIF ({reason}): it may be truncated") from None
    blocks = [block for block in blocks if {"_atom_site_fract_x", "_cell_length_a"} & block.data.keys()]
    if not blocks:
        raise InputError("no block holds a cell and atom sites: it may be truncated, or is not a structure")
    found: list[tuple[str, Structure | str]] = []
    for block in blocks:
        try:
            found.append((block.header, _structure(block.data)))
        except InputError as error:
            found.append((block.header, str(error)))
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


def _structure(data: Mapping[str, Any]) -> Structure:
    lengths = [_cell_value(data, f"_cell_length_{axis}") for axis in "abc"]
    angles = [_cell_value(data, f"_cell_angle_{angle}") for angle in ("alpha", "beta", "gamma")]
    a, b, g = (math.cos(math.radians(angle)) for angle in angles)
    if min(lengths) <= 0 or not 1 - a * a - b * b - g * g + 2 * a * b * g > 1e-12:
        raise InputError(f"cell lengths {lengths} and angles {angles} span no volume: correct the cell")
    lattice = Lattice.from_parameters(*lengths, *angles)
    symbols, labels, fractional, charges = _sites(data)
    operations = _operations(data, angles)
    if len(operations) > 1:
        source, fractional = _expand(operations, fractional, lattice.matrix)
        symbols, labels = [symbols[k] for k in source], [labels[k] for k in source]
        charges = None if charges is None else charges[source]
    if charges is None or not np.isfinite(charges).all():
        lacking = 0 if charges is None else int((~np.isfinite(charges)).sum())
        remarks = {WITHOUT_CHARGE: lacking} if lacking else None
        return Structure(lattice, symbols, fractional, labels=labels, properties=remarks)
    properties = {"charge": charges.tolist()}
    return Structure(lattice, symbols, fractional, site_properties=properties, labels=labels)


def _number(text: str) -> float:
    """A CIF number, its standard uncertainty in brackets dropped; NaN for `.`, `?` and anything else."""
    try:
        return float(text.partition("(")[0])
    except ValueError:
        return math.nan


def _cell_value(data: Mapping[str, Any], tag: str) -> float:
    raw = data.get(tag)
    value = _number(raw) if isinstance(raw, str) else math.nan
    if not math.isfinite(value):
        shown = "missing" if raw is None else repr(raw)
        raise InputError(f"{tag} is {shown}, not a number: complete the cell")
    return value


def _sites(data: Mapping[str, Any]) -> tuple[list[str], list[str], np.ndarray, np.ndarray | None]:
    """Element symbols, labels, fractional coordinates [N, 3] and charges [N] (NaN: unknown) of the asymmetric unit."""
    columns = {key: _column(data, f"_atom_site_{key}") for key in _SITE_COLUMNS}
    coordinates = [columns[f"fract_{axis}"] for axis in "xyz"]
    if not all(coordinates):
        raise InputError("there are no atom sites with fractional coordinates: the file may be truncated")
    count = len(coordinates[0])
    types = columns["type_symbol"] or columns["label"]
    if not types:
        raise InputError("atom sites have neither label nor type symbol: name their elements")
    labels = columns["label"] or [f"{symbol}{k + 1}" for k, symbol in enumerate(types)]
    occupancies = columns["occupancy"] or ["1"] * count
    charges = columns["charge"] or ["?"] * count
    if {len(column) for column in (*coordinates, types, labels, occupancies, charges)} != {count}:
        raise InputError("the columns of the atom sites differ in length: the file may be truncated")
    fractional = np.array([[_number(text) for text in column] for column in coordinates]).T
    symbols = []
    for k, label in enumerate(labels):
        if not np.isfinite(fractional[k]).all():
            raise InputError(f"site {label} has coordinates {[c[k] for c in coordinates]}: complete or remove it")
        occupancy = _number(occupancies[k])
        if occupancy < _FULL or occupancy > 2 - _FULL:  # `.` and `?` are NaN and mean fully occupied
            raise InputError(f"site {label} has occupancy {occupancy:g} (disorder): choose one ordered variant")
        symbols.append(_element(types[k], label))
    known = np.array([_number(text) for text in charges])
    return symbols, labels, fractional, known if np.isfinite(known).any() else None


_SITE_COLUMNS = ("fract_x", "fract_y", "fract_z", "label", "type_symbol", "occupancy", "charge")


def _column(data: Mapping[str, Any], tag: str) -> list[str]:
    """A column of a loop; a lone value is a loop of one row; absent is empty."""
    value = data.get(tag, [])
    return [value] if isinstance(value, str) else list(value)


def _element(text: str, label: str) -> str:
    """Symbol at the start of a type or label such as `Zn2+`, `O12`, `Cu1A`, `D`."""
    letters = re.match(r"[A-Za-z]{1,2}", text)
    if letters:
        for symbol in (letters[0].capitalize(), letters[0][0].upper()):
            if symbol in ("D", "T"):
                return "H"
            if Element.is_valid_symbol(symbol):
                return symbol
    raise InputError(f"site {label} has type {text!r}, which is no chemical element: correct it")


def _operations(data: Mapping[str, Any], angles: Sequence[float]) -> list[SymmOp]:
    """Symmetry operations: those listed, else those of the named or numbered space group, else the identity."""
    for tag in ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"):
        listed = _column(data, tag)
        if listed:
            try:
                return [_operation(text) for text in listed]
            except (ValueError, IndexError):
                raise InputError(f"symmetry operation among {listed[:3]} ... is not readable: correct {tag}") from None
    # of a rhombohedral group, the axes in use show in the cell: hexagonal axes have gamma = 120
    hexagonal = abs(angles[2] - 120) < 1e-3
    for tag in ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_IT_number",
                "_symmetry_Int_Tables_number"):  # fmt: skip
        name = "".join(_column(data, tag)[:1]).strip()
        if not name or name in ".?":
            continue
        try:
            if name.isdigit():
                group = SpaceGroup.from_int_number(int(name), hexagonal=hexagonal)
            else:
                symbol = re.sub(r"[\s_]|:[HRhr]$", "", name)
                symbol = _group_symbols().get(symbol, symbol)
                rhombohedral = symbol.startswith("R") and not hexagonal
                group = SpaceGroup(f"{symbol}:R" if rhombohedral else symbol, hexagonal=not rhombohedral)
        except ValueError:
            raise InputError(f"space group {name!r} is unknown: list the symmetry operations") from None
        return list(group.symmetry_ops)
    return [SymmOp.from_xyz_str("x,y,z")]


def _operation(text: str) -> SymmOp:
    if not re.fullmatch(r"[xyzXYZ\d\s+\-*/.,]+", text):  # pymatgen skips what it does not know
        raise ValueError(text)
    return SymmOp.from_xyz_str(text)


@functools.cache
def _group_symbols() -> dict[str, str]:
    """`P21/c` -> `P2_1/c`, the spelling pymatgen knows."""
    return {symbol.replace("_", ""): symbol for symbol in SpaceGroup.SG_SYMBOLS}


def _expand(operations: list[SymmOp], fractional: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All images of all sites in the cell: index of the source site [M] and fractional coordinates [M, 3]."""
    rotations = np.array([operation.rotation_matrix for operation in operations])
    shifts = np.array([operation.translation_vector for operation in operations])
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
