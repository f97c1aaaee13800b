"""Rigid gas molecules as atoms, for potentials that know atoms and not force-field sites."""

import math
from dataclasses import dataclass

import numpy as np

from potentials.errors import InputError


@dataclass(frozen=True)
class Guest:
    """A rigid molecule, its centre of mass at the origin."""

    name: str
    numbers: np.ndarray  # [m]
    positions: np.ndarray  # [m, 3] Å

    @property
    def mass(self) -> float:
        """u."""
        from ase.data import atomic_masses

        return float(atomic_masses[self.numbers].sum())


def _linear(symbol: int, length: float) -> tuple[list[int], list[list[float]]]:
    return [symbol, symbol], [[0.0, 0.0, length / 2], [0.0, 0.0, -length / 2]]


_OH, _HOH = 0.9572, math.radians(104.52)
_CH = 1.087 / math.sqrt(3)
# Equilibrium geometries: NIST Computational Chemistry Comparison and Benchmark Database, experimental values.
_ATOMS: dict[str, tuple[list[int], list[list[float]]]] = {
    "CO2": ([8, 6, 8], [[0.0, 0.0, 1.162], [0.0, 0.0, 0.0], [0.0, 0.0, -1.162]]),
    "N2": _linear(7, 1.098),
    "O2": _linear(8, 1.208),
    "H2": _linear(1, 0.741),
    "H2O": (
        [8, 1, 1],
        [
            [0.0, 0.0, 0.0],
            [_OH * math.sin(_HOH / 2), 0.0, _OH * math.cos(_HOH / 2)],
            [-_OH * math.sin(_HOH / 2), 0.0, _OH * math.cos(_HOH / 2)],
        ],
    ),
    "CH4": ([6, 1, 1, 1, 1], [[0, 0, 0], [_CH, _CH, _CH], [_CH, -_CH, -_CH], [-_CH, _CH, -_CH], [-_CH, -_CH, _CH]]),
    "He": ([2], [[0.0, 0.0, 0.0]]),
    "Ar": ([18], [[0.0, 0.0, 0.0]]),
    "Kr": ([36], [[0.0, 0.0, 0.0]]),
    "Xe": ([54], [[0.0, 0.0, 0.0]]),
}
GUESTS = tuple(_ATOMS)


def guest_molecule(name: str) -> Guest:
    """The molecule of that name, upper or lower case.

    Raises:
        InputError: there is no geometry for it.
    """
    from ase.data import atomic_masses

    for known, (numbers, positions) in _ATOMS.items():
        if known.lower() == name.lower():
            z, x = np.array(numbers), np.array(positions, dtype=float)
            masses = atomic_masses[z]
            return Guest(known, z, x - masses @ x / masses.sum())
    raise InputError(f"there is no atomic geometry of {name!r}: choose from {', '.join(GUESTS)}")
