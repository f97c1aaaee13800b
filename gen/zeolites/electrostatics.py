"""Coulomb potentials of periodic point charges on a grid, by Ewald sums (Ewald, Ann. Phys. 1921, 369, 253).

A wave has the same value at all grid points as the wave whose index is the remainder by the grid's size, so the sum
over waves is folded onto the grid and done by one Fourier transform, exactly. Only near sites remain for the real part.
"""

import itertools

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import erfc

COULOMB = 14.399645  # eV Å / e^2
ACCURACY = 1e-6  # of the Gaussian factors that are left out
CUTOFF = 4.5  # Å, of the real part


def potential_on_grid(
    shape: tuple[int, int, int], sites: np.ndarray, charges: np.ndarray, lattice: np.ndarray
) -> np.ndarray:
    """Potential in V [n1, n2, n3] at the points (i/n1, j/n2, k/n3) of charges [N] e at fractional `sites` [N, 3].

    A cell that is not neutral is neutralised by a uniform background. A point that coincides with a charge has an
    infinite potential.

    Args:
        lattice: [3, 3] Å, rows are vectors.
    """
    volume = abs(float(np.linalg.det(lattice)))
    reach = np.sqrt(-np.log(ACCURACY))
    width = reach / CUTOFF  # 1/Å
    indices, waves = _waves(2 * np.pi * np.linalg.inv(lattice).T, 2 * width * reach)
    squared = (waves**2).sum(1)
    weights = 4 * np.pi / volume * np.exp(-squared / (4 * width**2)) / squared
    structure = np.exp(-2j * np.pi * (indices @ sites.T)) @ charges  # [K]
    folded = np.zeros(shape, dtype=complex)
    np.add.at(folded, tuple((indices % shape).T), weights * structure)
    recip = np.fft.ifftn(folded).real * folded.size
    background = -np.pi * charges.sum() / (volume * width**2)
    return np.asarray(COULOMB * (_real_part(shape, sites, charges, lattice, width) + recip + background))


def grid_points(shape: tuple[int, int, int]) -> np.ndarray:
    """[n1 n2 n3, 3] fractional coordinates, the last index fastest."""
    axes = [np.arange(n) / n for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def images_within(sites: np.ndarray, lattice: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Sites of the home cell and their images that lie within `reach` Å of it: Cartesian [M, 3], site of each [M]."""
    margins = reach * np.linalg.norm(np.linalg.inv(lattice), axis=0)  # fractional, across each pair of faces
    home = sites - np.floor(sites)
    spans = [range(-int(np.ceil(margin)), int(np.ceil(margin)) + 1) for margin in margins]
    shifted, owners = [], []
    for shift in itertools.product(*spans):
        moved = home + np.array(shift)
        kept = np.flatnonzero(((moved >= -margins) & (moved <= 1 + margins)).all(1))
        shifted.append(moved[kept])
        owners.append(kept)
    return np.concatenate(shifted) @ lattice, np.concatenate(owners)


def _real_part(
    shape: tuple[int, int, int], sites: np.ndarray, charges: np.ndarray, lattice: np.ndarray, width: float
) -> np.ndarray:
    points = cKDTree(grid_points(shape) @ lattice)
    total = np.zeros(points.n)
    near, owners = images_within(sites, lattice, CUTOFF)
    for position, owner in zip(near, owners.tolist(), strict=True):
        found = np.array(points.query_ball_point(position, CUTOFF), dtype=int)
        lengths = np.linalg.norm(points.data[found] - position, axis=1)
        with np.errstate(divide="ignore"):
            total[found] += charges[owner] * erfc(width * lengths) / lengths
    return total.reshape(shape)


def _waves(reciprocal: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices [K, 3] and reciprocal vectors [K, 3] 1/Å of the waves shorter than `cutoff`, zero left out."""
    heights = 1 / np.linalg.norm(np.linalg.inv(reciprocal), axis=0)
    spans = [np.arange(-n, n + 1) for n in np.ceil(cutoff / heights).astype(int)]
    indices = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    squared = ((indices @ reciprocal) ** 2).sum(1)
    kept = indices[(squared > 1e-12) & (squared < cutoff**2)]
    return kept, kept @ reciprocal
