"""Electrostatic potential of point charges at any points of a periodic cell, by Ewald's sum.

(Ewald, Ann. Phys. 1921, 369, 253.) A net charge is neutralised by an even background, which shifts the potential by a
constant; only differences between points are used here.
"""

import numpy as np
from scipy.special import erfc

COULOMB = 14.399645  # eV Å / e^2
ACCURACY = 1e-6  # of the Gaussian factors that are left out


def potential_at(points: np.ndarray, sites: np.ndarray, charges: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Potential in V at fractional `points` [M, 3] of charges [N] e at fractional `sites` [N, 3].

    A point that coincides with a charge has an infinite potential.

    Args:
        lattice: [3, 3] Å, rows are vectors.
    """
    volume = abs(float(np.linalg.det(lattice)))
    width = np.sqrt(np.pi) * (len(sites) / volume**2) ** (1 / 6)  # 1/Å; both sums then cost alike
    reach = np.sqrt(-np.log(ACCURACY))
    real = _real_part(points, sites, charges, lattice, width, reach / width)
    waves = _waves(2 * np.pi * np.linalg.inv(lattice).T, 2 * width * reach)  # [K, 3] of both signs
    squared = (waves**2).sum(1)
    weights = 4 * np.pi / volume * np.exp(-squared / (4 * width**2)) / squared
    structure = np.exp(-1j * (sites @ lattice) @ waves.T).T @ charges  # [K]
    recip = (np.exp(1j * (points @ lattice) @ waves.T) @ (weights * structure)).real
    background = -np.pi * charges.sum() / (volume * width**2)
    return COULOMB * (real + recip + background)


def _real_part(
    points: np.ndarray, sites: np.ndarray, charges: np.ndarray, lattice: np.ndarray, width: float, cutoff: float
) -> np.ndarray:
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    spans = [np.arange(-n, n + 1) for n in np.ceil(cutoff / heights + 0.5).astype(int)]
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = points[:, None] - sites
    apart -= np.rint(apart)
    total = np.zeros(len(points))
    for shift in shifts:
        lengths = np.linalg.norm((apart + shift) @ lattice, axis=-1)  # [M, N]
        with np.errstate(divide="ignore"):
            total += (np.where(lengths < cutoff, erfc(width * lengths) / lengths, 0.0) * charges).sum(1)
    return total


def _waves(reciprocal: np.ndarray, cutoff: float) -> np.ndarray:
    """Reciprocal vectors [K, 3] shorter than `cutoff`, zero left out."""
    heights = 1 / np.linalg.norm(np.linalg.inv(reciprocal), axis=0)
    spans = [np.arange(-n, n + 1) for n in np.ceil(cutoff / heights).astype(int)]
    vectors = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3) @ reciprocal
    squared = (vectors**2).sum(1)
    return vectors[(squared > 1e-12) & (squared < cutoff**2)]
