"""Ewald sums in triclinic cells: energies of point charges, and the potential of a host at any point.

P. P. Ewald, Ann. Phys. 369, 253 (1921), with conducting ("tin foil") boundary, as in D. Frenkel, B. Smit,
Understanding Molecular Simulation, 2nd ed., ch. 12. Energies in kelvin, charges in e, lengths in Å.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erf, erfc

from potentials.errors import InputError
from potentials.reciprocal_lattice import half_space

ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact in the 2019 SI
BOLTZMANN = 1.380649e-23  # J/K, exact in the 2019 SI
VACUUM_PERMITTIVITY = 8.8541878128e-12  # F/m, CODATA 2018
COULOMB = ELEMENTARY_CHARGE**2 / (4.0 * math.pi * VACUUM_PERMITTIVITY * BOLTZMANN) * 1e10  # K Å / e^2
PRECISION = 1e-6  # relative; of both the real and the reciprocal sum

_CHUNK = 4_000_000  # pairs or phases at a time


@dataclass(frozen=True)
class EwaldEnergy:
    """The parts of an Ewald energy, K."""

    real: float  # screened pairs within the cut-off, pairs of one molecule left out
    fourier: float  # reciprocal sum over all charges
    self: float  # each charge with its own screening cloud, <= 0
    intramolecular: float  # screening clouds of charges of one molecule, taken out again

    @property
    def total(self) -> float:
        """K."""
        return self.real + self.fourier + self.self + self.intramolecular


def screening(cutoff: float, precision: float = PRECISION) -> float:
    """Width alpha (1/Å) of the screening clouds for which the real sum ends at the cut-off."""
    return math.sqrt(-math.log(precision)) / cutoff


def reciprocal_cutoff(alpha: float, precision: float = PRECISION) -> float:
    """Length of the longest wave vector (1/Å) the reciprocal sum needs."""
    return 2.0 * alpha * math.sqrt(-math.log(precision))


def reciprocal_weights(cell: np.ndarray, indices: np.ndarray, alpha: float) -> np.ndarray:
    """Weights [n_k] (K/e^2) of |S(k)|^2 in the reciprocal energy, both half spaces counted."""
    k2 = ((2.0 * np.pi * indices @ np.linalg.inv(cell).T) ** 2).sum(axis=1)
    volume = abs(float(np.linalg.det(cell)))
    return np.asarray(COULOMB * 4.0 * np.pi / volume * np.exp(-k2 / (4.0 * alpha**2)) / k2)


def structure_factor(fractional: np.ndarray, charges: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """S(k) = sum_j q_j exp(i k r_j), complex [n_k], e."""
    total = np.zeros(len(indices), dtype=complex)
    step = max(_CHUNK // max(len(indices), 1), 1)
    for start in range(0, len(fractional), step):
        phase = 2.0 * np.pi * indices @ fractional[start : start + step].T
        total += np.exp(1j * phase) @ charges[start : start + step]
    return total


def ewald_energy(
    positions: np.ndarray,
    charges: np.ndarray,
    cell: np.ndarray,
    *,
    cutoff: float,
    molecules: np.ndarray | None = None,
    alpha: float | None = None,
    indices: np.ndarray | None = None,
    precision: float = PRECISION,
) -> EwaldEnergy:
    """Electrostatic energy of a neutral periodic set of charges.

    Args:
        positions: [n, 3] Å.
        charges: [n] e.
        cell: [3, 3] Å, rows are vectors; perpendicular widths of any size.
        cutoff: Å, of the real sum.
        molecules: [n] which molecule each charge is of; charges of one molecule do not meet (except their images).
        alpha: 1/Å; by default from the cut-off and the precision.
        indices: [n_k, 3] half space of wave vectors; by default from alpha and the precision.
        precision: relative.

    Raises:
        InputError: the charges do not sum to zero.
    """
    if abs(charges.sum()) > 1e-6 * max(np.abs(charges).sum(), 1.0):
        raise InputError(f"charges sum to {charges.sum():.6f} e: an Ewald sum needs a neutral cell")
    alpha = screening(cutoff, precision) if alpha is None else alpha
    indices = half_space(cell, reciprocal_cutoff(alpha, precision)) if indices is None else indices
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    same = np.zeros((len(charges), len(charges)), dtype=bool)
    if molecules is not None:
        same = molecules[:, None] == molecules[None, :]
    else:
        np.fill_diagonal(same, True)
    difference = fractional[:, None] - fractional[None, :]
    difference -= np.round(difference)
    products = charges[:, None] * charges[None, :]
    real = 0.0
    for shift in image_shifts(cell, cutoff):
        r = np.linalg.norm((difference + shift) @ cell, axis=2)
        inside = r < cutoff
        if not np.any(shift):
            inside &= ~same
        real += 0.5 * float((products[inside] * erfc(alpha * r[inside]) / r[inside]).sum())
    r = np.linalg.norm(difference @ cell, axis=2)[same]
    apart = r > 0.0
    intra = -0.5 * float((products[same][apart] * erf(alpha * r[apart]) / r[apart]).sum())
    weights = reciprocal_weights(cell, indices, alpha)
    fourier = float(weights @ np.abs(structure_factor(fractional, charges, indices)) ** 2)
    self_energy = -alpha / math.sqrt(math.pi) * float((charges**2).sum())
    return EwaldEnergy(COULOMB * real, fourier, COULOMB * self_energy, COULOMB * intra)


def image_shifts(cell: np.ndarray, reach: float) -> np.ndarray:
    """Integer translations [n, 3] that hold every image within `reach` (Å) of a point, from the nearest image."""
    widths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    extent = np.ceil(reach / widths - 0.5).astype(int).clip(min=0)
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in extent))))


def reciprocal_potential(fractional: np.ndarray, coefficients: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Potential [n] (K/e) at fractional points [n, 3] from `coefficients` = 2 w(k) conj(S(k)) of the sources."""
    potential = np.empty(len(fractional))
    step = max(_CHUNK // max(len(indices), 1), 1)
    for start in range(0, len(fractional), step):
        phase = 2.0 * np.pi * fractional[start : start + step] @ indices.T
        potential[start : start + step] = np.cos(phase) @ coefficients.real - np.sin(phase) @ coefficients.imag
    return potential
