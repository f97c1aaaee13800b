"""The geometry gate: what no neighbour list may see is refused here, with a sentence that says why.

A flat or non-finite cell makes compiled neighbour lists run for ever, where no Python timeout fires; so
every system passes this gate first. Checks run from cheap to dear, and distances are measured only
once the cell is known to be sound.
"""

from typing import Any

import numpy as np

from potentials.config import Config
from potentials.errors import GeometryError

_AXES = "abc"


class GateLimits(Config):
    """What a physical system of atoms may look like."""

    min_height: float = 1.0  # Å between opposite faces of the cell, along periodic axes
    min_volume_per_atom: float = 1.0  # Å^3; diamond has 5.7, the densest metals about 8
    max_volume_per_atom: float = 1e5  # Å^3; one molecule in a 45 Å box still passes
    min_distance: float = 0.4  # Å between any two atoms or images; H2 has 0.74
    max_atoms: int = 20_000
    max_extent: float = 1e4  # Å, largest cell length and largest coordinate


DEFAULT_LIMITS = GateLimits()


def geometry_fault(
    numbers: Any, positions: Any, cell: Any = None, pbc: Any = None, limits: GateLimits = DEFAULT_LIMITS
) -> str | None:
    """Why a system may not be simulated, as a sentence without a full stop, or `None` if it may.

    Args:
        numbers: atomic numbers [N].
        positions: Cartesian, Å [N, 3].
        cell: rows are lattice vectors, Å [3, 3]; `None` for a molecule.
        pbc: periodic along each row, [3] or one for all; by default along every row that is not zero.
        limits: what is still accepted.
    """
    numbers = np.asarray(numbers)
    positions = np.asarray(positions, dtype=np.float64)
    cell = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
    pbc = cell.any(axis=1) if pbc is None else np.broadcast_to(np.asarray(pbc, dtype=bool), (3,))
    return (
        _atoms_fault(numbers, positions, limits)
        or _cell_fault(len(numbers), cell, pbc, limits)
        or _distance_fault(numbers, positions, cell, pbc, limits)
    )


def check_geometry(
    numbers: Any,
    positions: Any,
    cell: Any = None,
    pbc: Any = None,
    limits: GateLimits = DEFAULT_LIMITS,
    *,
    where: str = "",
) -> None:
    """Raise where `geometry_fault` finds something; `where` names the system, e.g. `structure 17 of pool.cif`.

    Raises:
        GeometryError: one sentence with the value, the limit, `where` and the cure.
    """
    fault = geometry_fault(numbers, positions, cell, pbc, limits)
    if fault:
        raise GeometryError(place_fault(fault, where))


def place_fault(fault: str, where: str) -> str:
    """Put the name of the system into a fault sentence, before its cure."""
    what, colon, cure = fault.rpartition(": ")
    return f"{what} ({where}){colon}{cure}" if where else fault


def cell_heights(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Distance between opposite faces along each periodic axis, Å [3]; infinite along the others.

    The height of a lattice vector is the length of its part normal to the other periodic vectors.
    """
    heights = np.full(3, np.inf)
    axes = np.flatnonzero(pbc)
    for axis in axes:
        others = cell[[other for other in axes if other != axis]]
        vector = cell[axis]
        if len(others):
            vector = vector - others.T @ np.linalg.lstsq(others.T, vector, rcond=None)[0]
        heights[axis] = np.linalg.norm(vector)
    return heights


def _atoms_fault(numbers: np.ndarray, positions: np.ndarray, limits: GateLimits) -> str | None:
    if len(numbers) == 0:
        return "there are no atoms: give at least one"
    if len(numbers) > limits.max_atoms:
        return f"{len(numbers)} atoms exceed the limit of {limits.max_atoms}: use a smaller cell or raise max_atoms"
    if positions.shape != (len(numbers), 3):
        return f"positions have shape {positions.shape} for {len(numbers)} atoms: give one row of three per atom"
    unknown = np.flatnonzero((numbers < 1) | (numbers > 118))
    if len(unknown):
        return f"atom {unknown[0]} has atomic number {numbers[unknown[0]]}, outside 1-118: name a chemical element"
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        return f"atom {bad[0]} has a non-finite position {positions[bad[0]].tolist()}: drop the structure"
    far = np.abs(positions).max()
    if far > limits.max_extent:
        return f"an atom lies at {far:.3g} Å, beyond {limits.max_extent:g} Å: wrap it into the cell or drop it"
    return None


def _cell_fault(n_atoms: int, cell: np.ndarray, pbc: np.ndarray, limits: GateLimits) -> str | None:
    if not np.isfinite(cell).all():
        return f"the cell is not finite ({cell.tolist()}): drop the structure"
    longest = np.linalg.norm(cell, axis=1).max()
    if longest > limits.max_extent:
        return f"a cell length of {longest:.3g} Å exceeds {limits.max_extent:g} Å: rescale or drop the structure"
    heights = cell_heights(cell, pbc)
    axis = int(np.argmin(heights))
    if heights[axis] < limits.min_height:
        return f"cell height {heights[axis]:.3g} Å along {_AXES[axis]} is below {limits.min_height:g} Å: drop it"
    if pbc.all():
        volume = abs(np.linalg.det(cell)) / n_atoms
        if volume < limits.min_volume_per_atom:
            return (
                f"{volume:.3g} Å^3 per atom is below {limits.min_volume_per_atom:g} Å^3: rescale or drop the structure"
            )
        if volume > limits.max_volume_per_atom:
            return (
                f"{volume:.3g} Å^3 per atom exceeds {limits.max_volume_per_atom:g} Å^3: rescale or drop the structure"
            )
    return None


def _distance_fault(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, limits: GateLimits
) -> str | None:
    from ase.data import chemical_symbols

    from potentials.close_pairs import close_pairs

    # Safe now: the cell is at least `min_height` high and the cut-off is a fraction of that.
    first, second, distances = close_pairs(positions, cell, pbc, limits.min_distance)
    if len(distances) == 0:
        return None
    nearest = int(np.argmin(distances))
    i, j = sorted((int(first[nearest]), int(second[nearest])))
    distance = float(distances[nearest])
    pair = f"atoms {i} ({chemical_symbols[numbers[i]]}) and {j} ({chemical_symbols[numbers[j]]})"
    if distance < 1e-3:
        return f"{pair} sit on one site: remove the duplicate"
    return f"{pair} are {distance:.3g} Å apart, below {limits.min_distance:g} Å: move or remove one"
