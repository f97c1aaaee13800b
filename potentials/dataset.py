"""Labelled structures: energies, forces and stresses, checked before any training sees them."""

import gzip
import io
import logging
import lzma
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic
import torch
from ase import units
from ase.stress import voigt_6_to_full_3x3_stress

from potentials.ase_database import read_ase_database, read_ase_lmdb
from potentials.atom_graph import AtomGraph, collate, graph_from_atoms
from potentials.bars import progress_bar
from potentials.config import Config
from potentials.errors import InputError
from potentials.gate import cell_heights
from potentials.label_units import check_units
from potentials.neighbours import edge_vectors, neighbour_list

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_UNITS = {
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": units.Hartree,
    "Rydberg": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kJ/mol": units.kJ / units.mol,
}
FORCE_UNITS = {
    "eV/A": 1.0,
    "meV/A": 1e-3,
    "Hartree/Bohr": units.Hartree / units.Bohr,
    "Rydberg/Bohr": units.Rydberg / units.Bohr,
    "kcal/mol/A": units.kcal / units.mol,
    "kJ/mol/A": units.kJ / units.mol,
    "kJ/mol/nm": units.kJ / units.mol / units.nm,
}
# Positive under tension, as ASE has it, except where the name says otherwise.
STRESS_UNITS = {
    "eV/A^3": 1.0,
    "GPa": units.GPa,
    "kbar": 0.1 * units.GPa,
    "kbar, VASP sign": -0.1 * units.GPa,  # positive under compression
    "virial eV": None,  # minus the strain derivative of the energy, divided here by the volume
}
EnergyUnit = Literal["eV", "meV", "Hartree", "Rydberg", "kcal/mol", "kJ/mol"]
ForceUnit = Literal["eV/A", "meV/A", "Hartree/Bohr", "Rydberg/Bohr", "kcal/mol/A", "kJ/mol/A", "kJ/mol/nm"]
StressUnit = Literal["eV/A^3", "GPa", "kbar", "kbar, VASP sign", "virial eV"]

# A training set may hold squeezed frames that no relaxation would accept: only the impossible is refused.
_MIN_HEIGHT, _MIN_DISTANCE = 0.5, 0.2  # Å
_PATIENCE = 3.0  # s before a bar appears
_TOGETHER = 64  # frames whose neighbours are found at once
_LMDB = (".lmdb", ".aselmdb", ".mdb")
_XYZ, _PACKED = (".xyz", ".extxyz"), (".gz", ".xz")


class LabelConfig(Config):
    """Where in a file the labels are, and in which units."""

    energy_key: str = "energy"  # total energy of a frame
    forces_key: str | None = "forces"  # null: train on energies only
    stress_key: str | None = None  # null: no stress; frames without a three-dimensional cell need none
    # energy of each atom, where a teacher gives them (`potentials.distillation`); null, and then out of hashes: none
    site_energies_key: str | None = pydantic.Field(default=None, exclude_if=lambda key: key is None)
    energy_unit: EnergyUnit = "eV"
    forces_unit: ForceUnit = "eV/A"
    stress_unit: StressUnit = "eV/A^3"
    energy_per_atom: bool = False  # the file gives energies divided by the number of atoms
    check_units: bool = True  # refuse labels whose size or mutual fit speaks of other units


def read_frames(path: str | Path, labels: LabelConfig, *, progress: bool = False) -> list[AtomGraph]:
    """All frames of an extended XYZ file (also `.gz`, `.xz`) or ASE database (`.db`, `.aselmdb`), labels in eV and Å.

    Each graph carries `energy [1]` and, where asked for, `forces [N, 3]`, `stress [1, 3, 3]` (NaN for a frame
    without a three-dimensional cell) and `site_energies [N]`, float64. With `progress` a long file shows a bar.

    Raises:
        InputError: naming file, frame, field and cure: unreadable file, missing key, a value that is not finite, labels
            in some frames only, an impossible geometry, or units that do not fit.
    """
    path = Path(path)
    found = _read(path, progress)
    bar = _bar(progress, found, desc=f"check {path.name}", unit="frame")
    frames = [_labelled(atoms, labels, f"{path}, {name}") for name, atoms in bar]
    if not frames:
        raise InputError(f"{path} holds no frames: give a file with at least one")
    if labels.stress_key is None and all(_has(atoms, "stress") for _, atoms in found):
        logging.getLogger(__name__).warning(
            "%s: every frame has a stress, and none is read: data.labels.stress_key=stress, to relax cells later", path
        )
    if labels.check_units:
        check_units(frames, str(path))
    return frames


def _bar(progress: bool, items: Iterable[Any] | None = None, **options: Any) -> Any:
    """One that shows after a while and is gone when done."""
    return progress_bar(items, progress=progress, delay=_PATIENCE, leave=False, **options)


def attach_neighbours(
    frames: Sequence[AtomGraph], cutoff: float, where: str = "data", *, progress: bool = False
) -> None:
    """Give every frame its bonds, `edge_index [2, E]` and `shifts [E, 3]`; positions in training do not move.

    Raises:
        InputError: two atoms of a frame on one place, naming `where` and the frame.
    """
    starts = range(0, len(frames), _TOGETHER)
    for start in _bar(progress, starts, desc="neighbours"):
        group = frames[start : start + _TOGETHER]
        batch = collate(list(group))
        found = neighbour_list(batch, cutoff)
        lengths = edge_vectors(batch, found).norm(dim=1)
        counts = torch.bincount(found.edge_batch, minlength=len(group)).tolist()
        parts = found.edge_index.split(counts, dim=1), found.shifts.split(counts), lengths.split(counts)
        for index, (frame, edges, shifts, near) in enumerate(zip(group, *parts, strict=True)):
            frame.edge_index, frame.shifts = edges - batch.ptr[index], shifts.clone()
            if len(near) and near.min() < _MIN_DISTANCE:
                raise InputError(
                    f"{where}, frame {start + index}: two atoms are {near.min():.3g} Å apart, below {_MIN_DISTANCE} Å: "
                    "remove the frame"
                )


def split_frames(
    frames: Sequence[AtomGraph], fraction: float, seed: int
) -> tuple[list[AtomGraph], list[AtomGraph], list[int]]:
    """Training and validation frames, and the indices of the latter; a pure function of (count, fraction, seed).

    Raises:
        InputError: fewer than two frames.
    """
    if len(frames) < 2:
        raise InputError(f"{len(frames)} frame cannot be split into training and validation: give data.validation")
    order = np.random.default_rng(seed).permutation(len(frames))
    held_out = sorted(order[: min(max(1, round(fraction * len(frames))), len(frames) - 1)].tolist())
    chosen = set(held_out)
    training = [frame for index, frame in enumerate(frames) if index not in chosen]
    return training, [frames[index] for index in held_out], held_out


def _read(path: Path, progress: bool) -> list[tuple[str, "Atoms"]]:
    """Each frame with its name within the file."""
    from ase.io import iread

    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file with the labelled frames in it")
    if not path.is_file():
        raise InputError(f"no training data at {path}: check data.train and data.validation")
    if path.suffix == ".db":
        return read_ase_database(path)
    if path.suffix in _LMDB:
        return read_ase_lmdb(path)
    try:
        # the reader seeks back and forth, which is slow in a compressed file
        data = path.read_bytes()
        data = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(path.suffix, bytes)(data)
        frames = []
        stream = io.StringIO(data.decode())
        with _bar(progress, total=len(data), desc=f"read {path.name}", unit="B", unit_scale=True) as bar:
            for atoms in iread(stream, index=":", format="extxyz"):
                frames.append(atoms)
                bar.update(stream.tell() - bar.n)
    except Exception as error:  # ASE's reader raises whatever the malformed line leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        if Path(path.name.removesuffix(path.suffix) if path.suffix in _PACKED else path).suffix not in _XYZ:
            cure = f"give {', '.join(_XYZ)} (also {' or '.join(_PACKED)}), .db, .aselmdb or .lmdb"
        else:
            cure = "check for a truncated frame"
        raise InputError(f"{path} is no readable extended XYZ file ({reason}): {cure}") from None
    return [(f"frame {index}", atoms) for index, atoms in enumerate(frames)]


def _labelled(atoms: "Atoms", labels: LabelConfig, where: str) -> AtomGraph:
    if len(atoms) == 0:
        raise InputError(f"{where}: no atoms: remove the frame")
    unknown = np.flatnonzero(atoms.numbers < 1)
    if len(unknown):
        raise InputError(f"{where}: atom {unknown[0]} is {atoms.symbols[unknown[0]]}, no element: name it or remove it")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise InputError(f"{where}: a position or cell is not finite: remove the frame")
    height = cell_heights(atoms.cell.array, atoms.pbc).min()
    if not height >= _MIN_HEIGHT:
        raise InputError(f"{where}: cell height {height:.3g} Å is below {_MIN_HEIGHT} Å: remove the frame or set pbc")
    frame = graph_from_atoms(atoms)
    energy = _numbers(atoms, labels.energy_key, "energy", (1,), where)
    energy = energy * ENERGY_UNITS[labels.energy_unit] * (len(atoms) if labels.energy_per_atom else 1)
    frame.energy = torch.from_numpy(energy)
    if labels.forces_key is not None:
        if len(atoms) == 1 and not _has(atoms, labels.forces_key):
            forces = np.zeros((1, 3))  # nothing pulls at a lone atom, nor at one in a crystal of it alone
        else:
            forces = _numbers(atoms, labels.forces_key, "forces", (len(atoms), 3), where)
        frame.forces = torch.from_numpy(forces * FORCE_UNITS[labels.forces_unit])
    if labels.stress_key is not None:
        frame.stress = torch.from_numpy(_stress(atoms, labels.stress_key, labels.stress_unit, where))
    if labels.site_energies_key is not None:
        sites = _numbers(atoms, labels.site_energies_key, "site_energies", (len(atoms),), where)
        frame.site_energies = torch.from_numpy(sites * ENERGY_UNITS[labels.energy_unit])
    return frame


def _stress(atoms: "Atoms", key: str, unit: str, where: str) -> np.ndarray:
    volume = abs(np.linalg.det(atoms.cell.array))
    without = not (atoms.pbc.all() or _has(atoms, key))  # a slab or wire may leave its stress out
    if not atoms.pbc.any() or volume < 1e-6 or without:
        return np.full((1, 3, 3), np.nan)
    value = _raw(atoms, key, "stress", where)
    if value.size == 6:
        tensor = voigt_6_to_full_3x3_stress(value.reshape(6))
    else:
        tensor = _shaped(value, "stress", (3, 3), where)
    factor = STRESS_UNITS[unit]
    return (tensor * (-1.0 / volume if factor is None else factor))[None]


def _numbers(atoms: "Atoms", key: str, field: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    return _shaped(_raw(atoms, key, field, where), field, shape, where)


def _sources(atoms: "Atoms") -> tuple[dict[str, Any], ...]:
    """Wherever ASE's reader puts labels: per frame, per atom, or in a calculator."""
    return atoms.info, atoms.arrays, atoms.calc.results if atoms.calc is not None else {}


def _has(atoms: "Atoms", key: str) -> bool:
    return any(key in source for source in _sources(atoms))


def _raw(atoms: "Atoms", key: str, field: str, where: str) -> np.ndarray:
    """The value under `key`."""
    for source in _sources(atoms):
        if key in source:
            break
    else:
        present = sorted({name for source in _sources(atoms) for name in source} - {"numbers", "positions"})
        raise InputError(
            f"{where}: no {field} under the key {key!r} (it has {', '.join(present) or 'no labels'}): "
            f"set data.labels.{field}_key{' (null: energies only)' if field == 'forces' else ''}, "
            f"or remove frames without {field}"
        )
    try:
        value = np.asarray(source[key], dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {field} under {key!r} is {source[key]!r}, not a number: repair the frame") from None
    bad = ~np.isfinite(value)
    if bad.any():
        place = f" of atom {np.argwhere(bad)[0][0]}" if field == "forces" else ""
        raise InputError(f"{where}: {field}{place} is {value[bad][0]}: remove the frame, its calculation failed")
    return value


def _shaped(value: np.ndarray, field: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    if value.size != int(np.prod(shape)):
        wanted = " x ".join(map(str, shape))
        raise InputError(f"{where}: {field} has shape {list(value.shape)}, wanted {wanted}: check its key")
    return value.reshape(shape)
