"""Where cations sit in the pores: at contact with oxygen, where the framework's and each other's potential is lowest.

All places are points of a grid, so that the energy of two cations is a table over the differences of grid points,
looked up and never summed again.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from gen.zeolites.electrostatics import grid_points, images_within, potential_on_grid
from gen.zeolites.framework import Framework
from potentials.errors import InputError

# Formal charge, and the shortest distance to a framework oxygen that is taken, Å: about 0.1 Å below the sum of
# Shannon's radii (Acta Cryst. A 1976, 32, 751) for six-fold cations and two-fold oxygen.
CATIONS: dict[str, tuple[int, float]] = {
    "Li": (1, 1.95),
    "Na": (1, 2.27),
    "K": (1, 2.63),
    "Rb": (1, 2.77),
    "Cs": (1, 2.92),
    "Ag": (1, 2.40),
    "Mg": (2, 1.97),
    "Ca": (2, 2.25),
    "Sr": (2, 2.43),
    "Ba": (2, 2.60),
}
# e, of the framework (Jaramillo, Auerbach, J. Phys. Chem. B 1999, 103, 9589): every Al makes its surroundings -1
Q_SILICON, Q_ALUMINIUM, Q_OXYGEN, Q_BRIDGE = 2.05, 1.75, -1.025, -1.20
GRID = 0.45  # Å, spacing of the points a cation may take
TO_TETRAHEDRON = 0.45  # Å a cation keeps farther from Si and Al than from oxygen
APART = 2.8  # Å between cations at least
SWEEPS = 6  # over the cations, each moved to its best point given the others


@dataclass(frozen=True)
class _Pores:
    """Points a cation may take, and what it feels there."""

    shape: tuple[int, int, int]
    points: np.ndarray  # [P, 3] int, grid indices
    host: np.ndarray  # [P] eV
    between: np.ndarray  # [n1, n2, n3] eV of two cations by the difference of their points, infinite below `APART`

    def felt_from(self, place: int) -> np.ndarray:
        """[P] eV that a cation at point `place` adds to every other."""
        return np.asarray(self.between[tuple(((self.points - self.points[place]) % self.shape).T)])


def place_cations(framework: Framework, chosen: np.ndarray, cation: str, count: int, seed: int) -> np.ndarray:
    """[count, 3] fractional coordinates: one after the other at the best point, then each again given the others.

    Args:
        chosen: indices of the silicons that are aluminium.
        cation: one of `CATIONS`.
        seed: decides between points that symmetry makes equal.

    Raises:
        InputError: the pores have no room for them.
    """
    pores = _pores(framework, chosen, cation, count, seed)
    places: list[int] = []
    felt: list[np.ndarray] = []  # of each cation; there are few, and infinite entries could not be subtracted again
    for _ in range(count):
        places.append(_best(pores, felt))
        felt.append(pores.felt_from(places[-1]))
    for _ in range(SWEEPS):
        before = list(places)
        for k in range(count):
            places[k] = _best(pores, felt[:k] + felt[k + 1 :])
            felt[k] = pores.felt_from(places[k])
        if places == before:
            break
    return np.asarray(pores.points[places] / pores.shape)


def nearest(points: np.ndarray, sites: np.ndarray, lattice: np.ndarray, reach: float = 8.0) -> np.ndarray:
    """[P] Å from fractional points in [0, 1) to the nearest site; infinite beyond `reach`."""
    positions, _ = images_within(sites, lattice, reach)
    lengths, _ = cKDTree(positions).query(points @ lattice, distance_upper_bound=reach)
    return np.asarray(lengths)


def _pores(framework: Framework, chosen: np.ndarray, cation: str, count: int, seed: int) -> _Pores:
    charge, contact = CATIONS[cation]
    lattice, n = framework.lattice, framework.n_silicon
    steps = np.maximum(2, np.ceil(np.linalg.norm(lattice, axis=1) / GRID).astype(int))
    shape = (int(steps[0]), int(steps[1]), int(steps[2]))
    grid = grid_points(shape)
    free = nearest(grid, framework.frac[n:], lattice) >= contact
    free &= nearest(grid, framework.frac[:n], lattice) >= contact + TO_TETRAHEDRON
    kept = np.flatnonzero(free)
    if len(kept) < count:
        raise InputError(
            f"the pores have {len(kept)} points for {count} {cation}: take a smaller cation or a higher Si/Al ratio"
        )
    aluminium = np.zeros(n, dtype=bool)
    aluminium[chosen] = True
    charges = np.concatenate(
        [
            np.where(aluminium, Q_ALUMINIUM, Q_SILICON),
            np.where(aluminium[framework.silicon].any(1), Q_BRIDGE, Q_OXYGEN),
        ]
    )
    host = charge * potential_on_grid(shape, framework.frac, charges, lattice).ravel()[kept]
    host += 1e-9 * np.random.default_rng([seed, 1]).random(len(kept))
    origin = np.zeros((1, 3))
    between = charge * potential_on_grid(shape, origin, np.array([float(charge)]), lattice)
    close = nearest(grid, origin, lattice) < APART
    between = np.where(close.reshape(shape), np.inf, between)
    return _Pores(shape, np.stack(np.unravel_index(kept, shape), axis=1), host, between)


def _best(pores: _Pores, felt: list[np.ndarray]) -> int:
    energy = np.sum([pores.host, *felt], axis=0)
    if not np.isfinite(energy).any():
        raise InputError("the pores have no room for that many cations: take a higher Si/Al ratio")
    return int(energy.argmin())
