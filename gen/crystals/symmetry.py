"""Cells and symmetry through spglib, on arrays: space group, primitive, symmetrised and Niggli cells."""

from typing import Any

import numpy as np
import spglib

Cell = tuple[np.ndarray, np.ndarray, np.ndarray]  # lattice [3, 3] Å rows, frac [N, 3], numbers [N]


def space_group(cell: Cell, symprec: float) -> int | None:
    """International number of the space group within `symprec` Å, or None where spglib finds none."""
    dataset = spglib.get_symmetry_dataset(_plain(cell), symprec=symprec)
    return None if dataset is None else int(dataset.number)


def primitive_cell(cell: Cell, symprec: float) -> Cell | None:
    """Primitive cell with the symmetry found within `symprec` Å imposed, or None where spglib finds none."""
    standard = spglib.standardize_cell(_plain(cell), to_primitive=True, no_idealize=False, symprec=symprec)
    if standard is None:
        return None
    lattice, frac, numbers = (np.asarray(part) for part in standard)
    return lattice, frac, numbers


def niggli_cell(cell: Cell) -> Cell | None:
    """The same crystal in its Niggli cell, coordinates in [0, 1), or None where the reduction fails."""
    lattice, frac, numbers = cell
    reduced = spglib.niggli_reduce(lattice)
    if reduced is None:
        return None
    frac = frac @ lattice @ np.linalg.inv(reduced)
    return np.asarray(reduced), frac - np.floor(frac), numbers


def _plain(cell: Cell) -> Any:
    """spglib's annotations ask for nested lists; it takes arrays."""
    return cell
