"""Structures in and out of files, by the format the file's name declares, one clear sentence for each that fails.

Parsers are never left to guess: some guesses execute, some hang. Whatever one of them raises becomes a `ReadResult`
with an error, so that a bad row in a pool costs that row only; and every structure passes the geometry gate.
"""

import gzip
import json
import lzma
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ase import Atoms
from pymatgen.core import Lattice, Structure

from potentials.atom_graph import atoms_from_graph, graph_from, structure_from_graph, structure_numbers
from potentials.cif import format_cif, parse_cif
from potentials.errors import InputError
from potentials.files import write_atomic
from potentials.gate import DEFAULT_LIMITS, GateLimits, geometry_fault

MAX_BYTES = 200_000_000  # of text, after decompression
_CIF, _POSCAR, _XYZ, _JSON = "cif", "poscar", "xyz", "json"
_FORMATS = {".cif": _CIF, ".vasp": _POSCAR, ".poscar": _POSCAR, ".xyz": _XYZ, ".extxyz": _XYZ, ".json": _JSON}
_COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True)
class ReadResult:
    """One structure of a file, or the reason why there is none."""

    name: str  # file stem, with the block or frame where there are several
    path: Path
    system: Structure | Atoms | None  # `Structure` from CIF, POSCAR and JSON, `Atoms` from XYZ
    error: str | None = None  # one sentence that names the file

    @property
    def structure(self) -> Structure:
        """As `pymatgen.Structure`, charges in the site property `charge`.

        Raises:
            InputError: it could not be read, or has no cell.
        """
        system = self._sound()
        if isinstance(system, Structure):
            return system
        if not system.cell.any():
            raise InputError(f"{self.path}: {self.name} has no cell, so it is a molecule: give a periodic structure")
        structure = structure_from_graph(graph_from(system))
        if system.has("initial_charges"):
            structure.add_site_property("charge", system.get_initial_charges().tolist())
        return structure

    @property
    def atoms(self) -> Atoms:
        """As `ase.Atoms`, charges in `initial_charges`.

        Raises:
            InputError: it could not be read.
        """
        system = self._sound()
        if isinstance(system, Atoms):
            return system
        atoms = atoms_from_graph(graph_from(system))
        if "charge" in system.site_properties:
            atoms.set_initial_charges(system.site_properties["charge"])
        return atoms

    def _sound(self) -> Structure | Atoms:
        if self.system is None:
            raise InputError(self.error or f"{self.path} holds no structure")
        return self.system


def read_structures(path: str | Path, *, limits: GateLimits = DEFAULT_LIMITS) -> list[ReadResult]:
    """All structures of a file or folder, those that fail included, in a stable order.

    Formats by name: `.cif`, `.vasp`/`.poscar`/`POSCAR*`/`CONTCAR*`, `.xyz`/`.extxyz` (many frames), `.json`
    (a pymatgen structure, a list of them, or of objects with a `structure`); each also as `.gz` or `.xz`. Of a
    folder, files with these names are read and others left alone.

    Raises:
        InputError: nothing of that name, no format of that name, or a folder without structures.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and _format(file))
        if not files:
            raise InputError(f"{path} holds no structure files: put {', '.join(_FORMATS)} files there")
        return [result for file in files for result in _read_file(file, limits)]
    if not path.exists():
        raise InputError(f"there is no file {path}: check the path")
    if _format(path) is None:
        raise InputError(f"{path.name} has no known structure format: use {', '.join(_FORMATS)} or POSCAR")
    return _read_file(path, limits)


def read_structure(path: str | Path, *, limits: GateLimits = DEFAULT_LIMITS) -> Structure:
    """The one structure of a file.

    Raises:
        InputError: it cannot be read, or the file holds more than one.
    """
    results = read_structures(path, limits=limits)
    if len(results) != 1:
        raise InputError(f"{path} holds {len(results)} structures where one is wanted: split it")
    return results[0].structure


def write_structures(
    path: str | Path, systems: Sequence[Structure | Atoms], names: Sequence[str] | None = None
) -> Path:
    """Write structures atomically: a whole new file, or the old one stays.

    The format follows the name: `.cif` (one block each, P1), `.xyz`/`.extxyz`, `.json`, `.vasp`/`.poscar`/`POSCAR` (one
    structure only); a name without any of these is a folder that gets one CIF each, `<name>.cif`.

    Raises:
        InputError: nothing to write, a format that cannot hold it, or a place that cannot be written.
    """
    path = Path(path)
    names = [f"structure_{k}" for k in range(len(systems))] if names is None else [_safe(name) for name in names]
    if not systems or len(names) != len(systems) or len(set(names)) != len(names):
        raise InputError(f"{len(systems)} structures and {len(set(names))} different names: give one name for each")
    kind = _format(path)
    if (kind is None and path.suffix in _COMPRESSED) or path.suffix in _COMPRESSED:
        raise InputError(f"{path.name}: compressed files are read, not written: drop {path.suffix}")
    if kind is None:
        for name, system in zip(names, systems, strict=True):
            write_atomic(path / f"{name}.cif", format_cif(_as_structure(system), name))
        return path
    if kind == _POSCAR and len(systems) != 1:
        raise InputError(f"a POSCAR holds one structure, not {len(systems)}: write .cif, .extxyz or a folder")
    return write_atomic(path, _formatted(kind, systems, names))


def _read_file(path: Path, limits: GateLimits) -> list[ReadResult]:
    stem = path.name
    for suffix in (*_COMPRESSED, *_FORMATS):
        stem = stem.removesuffix(suffix)
    try:
        text = _read_text(path)
        found = list(_PARSERS[_format(path) or _CIF](text))
    except InputError as error:
        return [ReadResult(stem, path, None, f"{path}: {error}")]
    except Exception as error:  # parsers raise a dozen types on broken files; the user gets one sentence
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return [ReadResult(stem, path, None, f"{path} cannot be read ({reason}): check or drop the file")]
    results = []
    for label, system in found:
        name = stem if len(found) == 1 else f"{stem}:{label}"
        where = str(path) if len(found) == 1 else f"{path}, {label}"
        fault = system if isinstance(system, str) else _fault(system, limits)
        if fault or isinstance(system, str):
            results.append(ReadResult(name, path, None, f"{where}: {fault}"))
        else:
            results.append(ReadResult(name, path, system))
    return results


def _read_text(path: Path) -> str:
    opener = _COMPRESSED.get(path.suffix, open)
    try:
        with opener(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"it cannot be opened ({error}): check the file") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"it is larger than {MAX_BYTES // 1_000_000} MB: split it")
    if not data.strip():
        raise InputError("it is empty: check how it was made")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # old CIFs carry author names in it; every byte is valid


def _format(path: Path) -> str | None:
    name = path.name.removesuffix(path.suffix) if path.suffix in _COMPRESSED else path.name
    declared = _FORMATS.get(Path(name).suffix.lower())
    if declared is None and re.match(r"(POSCAR|CONTCAR)", name):  # CONTCAR_1.cif is a CIF
        return _POSCAR
    return declared


def _fault(system: Any, limits: GateLimits) -> str | None:
    try:
        if isinstance(system, Structure):
            lattice = system.lattice
            return geometry_fault(structure_numbers(system), system.cart_coords, lattice.matrix, lattice.pbc, limits)
        return geometry_fault(system.numbers, system.positions, system.cell.array, system.pbc, limits)
    except InputError as error:
        return str(error)


def _parse_poscar(text: str) -> Iterator[tuple[str, Structure | Atoms | str]]:
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is refused below
        poscar = Poscar.from_str(text)
    if not poscar.true_names:  # VASP 4 files name no elements, and the parser makes some up
        raise InputError("it does not name its elements: add their symbols above the counts")
    yield "POSCAR", poscar.structure


def _parse_xyz(text: str) -> Iterator[tuple[str, Structure | Atoms | str]]:
    """Frames one by one, so that a bad one does not take the rest along."""
    from ase.io.extxyz import read_xyz

    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    start = frame = 0
    while start < len(lines):
        label = f"frame {frame}"
        if not lines[start].strip().isdigit():
            yield (
                label,
                f"line {start + 1} is {lines[start][:40]!r} instead of a number of atoms: the rest is unreadable",
            )
            return
        stop = start + 2 + int(lines[start])
        if stop > len(lines):
            yield label, f"it ends after {len(lines)} lines where {stop} were announced: the file is truncated"
            return
        try:
            yield label, next(iter(read_xyz(StringIO("\n".join(lines[start:stop]) + "\n"), slice(0, 1))))
        except Exception as error:
            yield label, f"{' '.join(str(error).split())[:200] or type(error).__name__}: correct or drop the frame"
        start, frame = stop, frame + 1


def _parse_json(text: str) -> Iterator[tuple[str, Structure | Atoms | str]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"it is not valid JSON ({error}): it may be truncated") from None
    for index, entry in enumerate(content if isinstance(content, list) else [content]):
        record = entry.get("structure", entry) if isinstance(entry, dict) else entry
        try:
            yield f"entry {index}", _structure_from_record(record)
        except InputError as error:
            yield f"entry {index}", str(error)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield f"entry {index}", f"it is no pymatgen structure ({reason}): write it with Structure.as_dict()"


def _structure_from_record(record: dict[str, Any]) -> Structure:
    """Structure from its `as_dict` form, read by hand: pymatgen's decoder imports whatever module the file names."""
    lattice = Lattice(record["lattice"]["matrix"], pbc=tuple(record["lattice"].get("pbc", (True, True, True))))
    symbols, positions = [], []
    for index, site in enumerate(record["sites"]):
        species = site["species"]
        if len(species) != 1 or abs(species[0]["occu"] - 1) > 1e-3:
            raise InputError(f"site {index} is partially occupied (disorder): choose one ordered variant")
        symbols.append(str(species[0]["element"]))
        positions.append([float(x) for x in site["abc"]])
    properties: dict[str, list[Any]] = {}
    for key in record["sites"][0].get("properties") or {}:
        values = [(site.get("properties") or {}).get(key) for site in record["sites"]]
        if all(isinstance(value, int | float) for value in values):
            properties[key] = values
    return Structure(lattice, symbols, positions, site_properties=properties)


_Parser = Callable[[str], Iterable[tuple[str, Structure | Atoms | str]]]
_PARSERS: dict[str, _Parser] = {_CIF: parse_cif, _POSCAR: _parse_poscar, _XYZ: _parse_xyz, _JSON: _parse_json}


def _as_structure(system: Structure | Atoms) -> Structure:
    return ReadResult("", Path(), system).structure


def _as_atoms(system: Structure | Atoms) -> Atoms:
    return ReadResult("", Path(), system).atoms


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name).strip(".") or "structure"


def _formatted(kind: str, systems: Sequence[Structure | Atoms], names: Sequence[str]) -> str:
    if kind == _CIF:
        return "\n".join(format_cif(_as_structure(s), name) for name, s in zip(names, systems, strict=True))
    if kind == _JSON:
        return json.dumps([_as_structure(system).as_dict() for system in systems])
    if kind == _POSCAR:
        from pymatgen.io.vasp import Poscar

        return Poscar(_as_structure(systems[0]).get_sorted_structure()).get_str(significant_figures=12)
    from ase.io import write

    stream = StringIO()
    write(stream, [_as_atoms(system) for system in systems], format="extxyz")
    return stream.getvalue()
