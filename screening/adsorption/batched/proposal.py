"""Where to insert a molecule: a distribution over voxels of the unit cell made from the energy grid.

Any distribution that is positive wherever a molecule fits gives the right averages once each insertion is divided by
its probability; one close to the Boltzmann factor gives them soonest. Ours is learned from trials on the energy grid
and mixed with flatter ones, so that a site the few trials of a voxel missed is still visited.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from screening.adsorption.batched.blocked_space import BlockedSpace
from screening.adsorption.batched.energy_grid import EnergyGrid, site_grids, trilinear
from screening.adsorption.batched.host_field import SiteTypes, random_turns, site_kinds
from screening.adsorption.gases import Gas

VOXEL = 0.5  # Å, largest edge
_TRIALS = 8  # configurations tried in a voxel
_FIRST_TRIALS = 3  # in every voxel; the rest only near voxels where one of these was of use
_HOPELESS = 40.0  # kT; e^-40 of the weight of empty space
_ROUNDS = 4  # of drawing from the distribution so far and learning from it
_MOST_ROUNDS = 32
_EASY = 100.0  # relative variance of an insertion that needs no further rounds
_NO_ROOM = 1e-6  # mean Boltzmann factor of a cell in which the gas hardly fits, and finer knowledge is of no use
_ROUND = 16_384  # configurations drawn in a round
# Root-mean-square weight (which gives the least variance; H. Kahn, A. W. Marshall, J. Oper. Res. Soc. Am. 1, 263
# (1953)), the same smoothed, square root of the smoothed mean, constant where anything fits.
_SHARES = (0.5, 0.25, 0.15, 0.1)
_LARGEST_EXPONENT = 300.0  # its square is still a number


@dataclass(frozen=True)
class MoleculeGrid:
    """What the grid energy of one kind of molecule is read from."""

    gas: Gas
    inverse: np.ndarray  # [3, 3] 1/Å, Cartesian to fractional
    cell: np.ndarray  # [3, 3] Å
    sites: np.ndarray  # [n_sites, nx, ny, nz] K


@dataclass(frozen=True)
class Proposal:
    """Probability of each voxel of the unit cell; uniform inside a voxel."""

    shape: tuple[int, int, int]  # voxels along a, b, c
    probability: np.ndarray  # [n_voxels], sums to one; all zero where nothing fits
    # the same for pores whose best sites are taken: every voxel in which the host does not repel counts alike
    crowded: np.ndarray  # [n_voxels]

    @property
    def empty(self) -> bool:
        """True when no trial found room."""
        return not bool(self.probability.any())


def molecule_grid(grid: EnergyGrid, types: SiteTypes, gas: Gas) -> MoleculeGrid:
    """The grids of a gas, one a site."""
    kinds = site_kinds(types, gas)
    return MoleculeGrid(gas, np.linalg.inv(grid.cell), grid.cell, site_grids(grid, types, kinds))


def grid_energies(grid: MoleculeGrid, centres: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Interpolated host-guest energy [n] (K) of molecules at fractional centres [n, 3] turned by [n, 3, 3]."""
    energy = np.zeros(len(centres))
    for site, values in zip(grid.gas.sites, grid.sites, strict=True):
        position = np.array(site.position)
        if position.any():
            energy += trilinear(values, centres + (turns @ position) @ grid.inverse)
        else:
            energy += trilinear(values, centres)
    return energy


def blocked(grid: MoleculeGrid, space: BlockedSpace | None, centres: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Which molecules (as in `grid_energies`) have a site in a blocking sphere, bool [n]."""
    inside = np.zeros(len(centres), dtype=bool)
    if space is not None:
        for site in grid.gas.sites:
            inside |= space.contains(centres + (turns @ np.array(site.position)) @ grid.inverse)
    return inside


def insertion_proposal(
    grid: MoleculeGrid, temperatures: np.ndarray, rng: np.random.Generator, space: BlockedSpace | None = None
) -> Proposal:
    """Distribution of insertions for all temperatures [t] (K) together."""
    lengths = np.linalg.norm(grid.cell, axis=1)
    na, nb, nc = (max(int(np.ceil(length / VOXEL)), 2) for length in lengths)
    shape = (na, nb, nc)
    first, second = np.zeros((2, len(temperatures), na * nb * nc))  # sums of weights and of their squares
    visits = np.zeros(na * nb * nc)

    def visit(voxels: np.ndarray) -> None:
        centres = voxel_points(voxels, shape, rng.random((len(voxels), 3)))
        turns = random_turns(rng.random((len(voxels), 3)))
        energy = grid_energies(grid, centres, turns)
        energy[blocked(grid, space, centres, turns)] = np.inf
        for t, temperature in enumerate(temperatures):
            weight = np.exp(np.minimum(-energy / temperature, _LARGEST_EXPONENT))
            first[t] += np.bincount(voxels, weights=weight, minlength=len(visits))
            second[t] += np.bincount(voxels, weights=weight**2, minlength=len(visits))
        visits[:] += np.bincount(voxels, minlength=len(visits))

    for _ in range(_FIRST_TRIALS):
        visit(np.arange(len(visits)))
    promising = (first.max(axis=0) > np.exp(-_HOPELESS)).reshape(shape)
    near = np.flatnonzero(uniform_filter(promising.astype(np.float32), 3, mode="wrap") > 1e-3)
    for _ in range(_TRIALS - _FIRST_TRIALS):
        visit(near)
    probability = _mixture(first / visits, np.sqrt(second / visits), shape)
    for learned in range(_MOST_ROUNDS if probability.any() else 0):
        visit(systematic(probability, _ROUND, rng))
        probability = _mixture(first / visits, np.sqrt(second / visits), shape)
        hopeless = (first / visits).mean(axis=1).max() < _NO_ROOM
        if learned + 1 >= _ROUNDS and (hopeless or _relative_variance(first, second, visits, probability) < _EASY):
            break
    return Proposal(shape, probability, _levelled(first[0] / visits, probability))


def _levelled(mean: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Probability [n_voxels] by the mean weight where it is below one, constant beyond; a tenth stays `probability`."""
    level = np.minimum(mean, 1.0) * (probability > 0.0)
    return 0.9 * level / level.sum() + 0.1 * probability if level.sum() > 0.0 else probability


def _mixture(means: np.ndarray, roots: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Probability [n_voxels] from the mean and root-mean-square weights [t, n_voxels] of the voxels."""
    probability = np.zeros(means.shape[1])
    for mean, root in zip(means, roots, strict=True):
        smooth = _smoothed(mean, shape)
        if not smooth.sum() > 0.0:
            continue
        support = smooth > 1e-10 * smooth.mean()
        parts = (root, _smoothed(root, shape) * support, np.sqrt(smooth) * support, support)
        for share, part in zip(_SHARES, parts, strict=True):
            probability += share * part / part.sum()
    total = probability.sum()
    return probability / total if total > 0.0 else probability


def _relative_variance(first: np.ndarray, second: np.ndarray, visits: np.ndarray, probability: np.ndarray) -> float:
    """Variance over squared mean of the weight of one insertion at the worst temperature, from the trials so far."""
    drawn = probability > 0.0
    squares = (second[:, drawn] / (visits[drawn] * probability[drawn])).sum(axis=1)
    means = (first[:, drawn] / visits[drawn]).sum(axis=1)
    return float((squares / np.maximum(means**2, 1e-300)).max())


def _smoothed(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(np.maximum(uniform_filter(values.reshape(shape), 3, mode="wrap").reshape(-1), 0.0))


def systematic(probability: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` indices drawn with `probability` (sums to one) by one random offset: each expected number is kept."""
    cumulative = np.cumsum(probability)
    points = (np.arange(count) + rng.random()) / count * cumulative[-1]
    return np.asarray(np.searchsorted(cumulative, points, side="right").clip(max=len(probability) - 1))


def voxel_points(voxels: np.ndarray, shape: tuple[int, int, int], uniform: np.ndarray) -> np.ndarray:
    """Fractional points [n, 3] in voxels [n], placed by numbers [n, 3] in [0, 1)."""
    corners = np.stack(np.unravel_index(voxels, shape), axis=-1)
    return np.asarray((corners + uniform) / np.array(shape))
