"""Relax every structure of some files or folders and tabulate the result."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pymatgen.core import Composition, Structure

from potentials.config import Config
from potentials.potential import PotentialChoice, load_potential
from potentials.relaxation import relax
from potentials.structure_files import read_structures, write_structures
from screening.table import Table, write_table


class RelaxSettings(Config):
    """What `sorbus relax` needs to know."""

    potential: PotentialChoice = "chgnet-fast"  # a registered name, a checkpoint folder, or a mapping with options
    first: PotentialChoice | None = None  # a fast potential for a first stage, e.g. sorbus-crystals before chgnet-fast
    optimizer: Literal["fire", "lbfgs"] = "lbfgs"
    fmax: float = Field(0.05, gt=0)  # eV/Å
    max_steps: int = Field(500, ge=1)
    variable_cell: bool = True
    pressure_gpa: float = Field(0.0, ge=-1000, le=1000)  # GPa outside the cell
    symmetry: bool = False  # keep the space group of each structure
    fixed_elements: tuple[str, ...] = ()  # symbols whose atoms stay, besides those a POSCAR or extxyz holds
    max_atoms_per_batch: int | Literal["memory"] = 400  # that share a force call; memory: as many as fit
    out: str = "runs/relax"  # output folder


def relax_files(paths: Sequence[str], settings: RelaxSettings, folder: str | Path, *, progress: bool = False) -> Table:
    """Relax all structures found in `paths`.

    Writes `<folder>/<n>_<name>.cif` (`.extxyz` for a molecule) per relaxed structure, and `<folder>/relaxed.csv` with
    energies (eV), steps, convergence, volume change, or the reason a row failed.

    Raises:
        InputError: a path does not exist, the potential is unknown, or the folder cannot be written.
    """
    folder = Path(folder)
    found = [result for path in paths for result in read_structures(path)]
    potential = load_potential(settings.potential)
    readable = [result for result in found if result.system is not None]
    relaxed = relax(
        [result.system for result in readable],
        potential,
        first=settings.first,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
        variable_cell=settings.variable_cell,
        pressure_gpa=settings.pressure_gpa,
        symmetry=settings.symmetry,
        fixed_elements=settings.fixed_elements,
        optimizer=settings.optimizer,
        max_atoms_per_batch=settings.max_atoms_per_batch,
        progress=progress,
    )
    outcome = dict(zip((id(result) for result in readable), relaxed, strict=True))
    rows: list[dict[str, Any]] = []
    for number, result in enumerate(found):
        done = outcome.get(id(result))
        if done is None or done.failure:
            rows.append({"name": result.name, "error": result.error if done is None else done.failure})
            continue
        ending = "cif" if isinstance(done.structure, Structure) else "extxyz"  # a molecule has no cell for a CIF
        target = f"{number:04d}_{re.sub(r'[^A-Za-z0-9._-]', '_', result.name)}.{ending}"
        write_structures(folder / target, [done.structure])
        rows.append(
            {
                "name": result.name,
                "formula": Composition(Counter(result.atoms.get_chemical_symbols())).reduced_formula,
                "atoms": len(done.structure),
                "energy_ev": done.energy,
                "energy_change_ev": _difference(done.energy, done.initial_energy),
                "steps": done.steps,
                "first_steps": done.first_steps,
                "converged": done.converged,
                "fmax_ev_per_angstrom": done.fmax,
                "volume_change_percent": None if done.volume_change is None else 100 * done.volume_change,
                "file": target,
            }
        )
    return write_table(rows, folder / "relaxed.csv")


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
