"""Aluminosilicates as asked for: which framework, which Si/Al ratio, and the supercell in which it can be had."""

import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from pymatgen.core import Structure

from gen.zeolites.bonding import bonded_framework
from gen.zeolites.cations import CATIONS
from gen.zeolites.decoration import Decorated, Method, as_silica, decorate
from gen.zeolites.framework import OXYGEN
from gen.zeolites.geometry import bond_lengths, relax_geometry
from gen.zeolites.nets import four_connected_nets, silica_of_net
from potentials.config import Config
from potentials.errors import GeometryError, InputError
from potentials.potential import Potential, load_potential
from potentials.relaxation import relax
from potentials.structure_files import read_structure

MOST_TETRAHEDRA = 96  # in a supercell chosen here: about 300 atoms
TOLERANCE = 0.1  # relative, of Si/Al: the smallest supercell that comes so near is taken
MOST_CELLS = 8
TWIN_FMAX, TWIN_SMAX, TWIN_STEPS = 0.1, 5e-3, 200  # eV/Å, eV/Å^3, and steps at most
LONGEST = 2.0  # Å, of a bond between a tetrahedron's middle and oxygen


class DecorationConfig(Config):
    """Aluminium and cations wanted in a silica framework."""

    si_al: float | None = Field(default=None, ge=1)  # atoms of Si for one of Al; Loewenstein allows no less than 1
    aluminium: int | None = Field(default=None, ge=1)  # atoms in the cell, instead of a ratio
    cation: str = "Na"  # one of `CATIONS`
    supercell: tuple[int, int, int] | None = None  # times each vector; None: the smallest in which si_al can be had
    method: Method = "electrostatic"
    # none: the framework as given; distances: least squares with longer Al-O bonds; twin: then a potential, all atoms
    relax: Literal["none", "distances", "twin"] = "distances"
    twin: str = "chgnet-fast"  # the potential, where relax is twin

    @model_validator(mode="after")
    def _check(self) -> "DecorationConfig":
        if (self.si_al is None) == (self.aluminium is None):
            raise ValueError("give either si_al or aluminium, as in {si_al: 10, cation: Na}")
        if self.cation not in CATIONS:
            raise ValueError(f"no cation {self.cation!r}: choose one of {', '.join(CATIONS)}")
        if self.supercell is not None and min(self.supercell) < 1:
            raise ValueError(f"supercell = {self.supercell} repeats a vector less than once")
        return self


def decorate_as(structure: Structure, config: DecorationConfig, seed: int) -> tuple[Decorated, tuple[int, int, int]]:
    """The framework with aluminium and cations, and the supercell it is in; a function of the seed.

    Without a supercell given, those of up to 8 cells and 96 tetrahedra are tried from the smallest on. The first whose
    nearest ratio is within a tenth of `si_al` is taken, or the nearest of all, and the next where that breaks
    Loewenstein's rule or has no room for the cations.

    Raises:
        InputError: no supercell will do, with the reason of the last.
        GeometryError: the structure is no four-connected silica.
    """
    total = bonded_framework(structure).n_silicon
    reason: InputError | None = None
    for shape, count in _supercells(total, config):
        try:
            made = decorate(
                structure * shape,
                aluminium=count,
                cation=config.cation,
                seed=seed,
                method=config.method,
                relax=config.relax != "none",
            )
        except InputError as error:
            reason = error
        else:
            return (_settled(made, config.twin) if config.relax == "twin" else made), shape
    raise reason or InputError(
        f"Si/Al = {config.si_al} with {config.cation} cannot be had in up to {_most_cells(total)} cells of {total} "
        "tetrahedra: give decoration.supercell"
    )


def _settled(made: Decorated, twin: str) -> Decorated:
    """Relaxed with a potential, cell and all.

    Raises:
        GeometryError: the potential drives it apart, or its tetrahedra lose their bonds.
    """
    (result,) = relax([made.structure], _potential(twin), fmax=TWIN_FMAX, smax=TWIN_SMAX, max_steps=TWIN_STEPS)
    if result.failure:
        raise GeometryError(f"the potential {twin} does not relax it ({result.failure}): try relax=distances")
    before, after = as_silica(made.structure), as_silica(result.structure)
    framework = bonded_framework(before)
    moved = after.frac_coords - before.frac_coords
    order = np.argsort(np.array(before.atomic_numbers) == OXYGEN, kind="stable")  # silicons first
    moved = (moved - np.rint(moved))[order]
    lengths = bond_lengths(
        dataclasses.replace(framework, lattice=after.lattice.matrix, frac=framework.frac + moved),
    )
    if lengths.max() > LONGEST:
        raise GeometryError(f"the potential {twin} stretches a bond of the framework to {lengths.max():.2f} Å")
    return dataclasses.replace(made, structure=result.structure)


@functools.cache
def _potential(name: str) -> Potential:
    return load_potential(name)


def _most_cells(total: int) -> int:
    return max(1, min(MOST_CELLS, MOST_TETRAHEDRA // total))


def _supercells(total: int, config: DecorationConfig) -> list[tuple[tuple[int, int, int], int]]:
    """Supercells to be tried in turn, and the aluminium in each; `total` tetrahedra in one cell."""
    shapes: list[tuple[int, int, int]] = [config.supercell] if config.supercell else []
    if config.aluminium is not None:
        return [((shapes or [(1, 1, 1)])[0], config.aluminium)]
    assert config.si_al is not None
    if not shapes:
        steps = range(1, MOST_CELLS + 1)
        shapes = [(a, b, c) for a, b, c in itertools.product(steps, repeat=3) if a * b * c <= _most_cells(total)]
        shapes.sort(key=lambda shape: (np.prod(shape), max(shape), shape))
    charge = CATIONS[config.cation][0]
    options = []
    for shape in shapes:
        tetrahedra = total * int(np.prod(shape))
        count = charge * max(1, round(tetrahedra / (1 + config.si_al) / charge))
        if 2 * count <= tetrahedra:
            options.append((abs((tetrahedra - count) / count / config.si_al - 1), shape, count))
    near = [option for option in options if option[0] <= TOLERANCE] or sorted(options, key=lambda option: option[0])[:1]
    return [(shape, count) for _, shape, count in near]


def named_framework(name: str) -> Structure:
    """The silica a user names: a four-connected net of the RCSR (sod, or SOD), relaxed, or a structure file.

    Raises:
        InputError: neither a net of the library nor a file, or a file of anything but four-connected silica.
    """
    if name.lower() in four_connected_nets():
        return relax_geometry([silica_of_net(name.lower())])[0].framework.folded().to_structure()
    path = Path(name)
    if not path.is_file():
        raise InputError(
            f"framework: {name!r} is neither a four-connected net of the library (such as sod, cha, fau) nor a file: "
            "give the structure of other frameworks as a CIF file"
        )
    structure = read_structure(path)
    try:
        bonded_framework(structure)
    except GeometryError as error:
        raise InputError(f"framework: {path} is no four-connected silica: {error}") from None
    return structure
