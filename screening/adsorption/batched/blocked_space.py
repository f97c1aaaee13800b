"""Which points of the unit cell lie in blocking spheres: a distance field for the many, exact distances for the few."""

from dataclasses import dataclass

import numpy as np

from screening.adsorption.batched.ewald import image_shifts

_SPACING = 0.3  # Å


@dataclass(frozen=True)
class BlockedSpace:
    """Spheres no site of a molecule may be in, in every unit cell."""

    cell: np.ndarray  # [3, 3] Å
    centres: np.ndarray  # [m, 3] fractional, all images that reach into the unit cell
    radii: np.ndarray  # [m] Å
    distance: np.ndarray  # [nx, ny, nz] Å from the grid point i/n to the nearest sphere's surface, < 0 inside
    slack: float  # Å, a point is never farther from its nearest grid point

    def contains(self, fractional: np.ndarray) -> np.ndarray:
        """Which fractional points [n, 3], anywhere in space, lie in a sphere, bool [n]."""
        wrapped = fractional - np.floor(fractional)
        shape = np.array(self.distance.shape)
        nearest = np.rint(wrapped * shape).astype(int) % shape
        distance = self.distance[tuple(nearest.T)]
        inside = distance < 0.0
        near = np.flatnonzero(np.abs(distance) <= self.slack)
        inside[near] = _surface_distance(wrapped[near], self.cell, self.centres, self.radii) < 0.0
        return np.asarray(inside)


def blocked_space(cell: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> BlockedSpace | None:
    """Prepare spheres with fractional centres [k, 3] and radii [k] (Å); None where there are none."""
    if len(radii) == 0:
        return None
    inverse = np.linalg.inv(cell)
    shape = np.maximum(np.ceil(np.linalg.norm(cell, axis=1) / _SPACING).astype(int), 2)
    half_cell = 0.5 * np.abs(cell / shape[:, None]).sum(axis=0)
    slack = float(np.linalg.norm(half_cell)) + 1e-9
    margin = np.linalg.norm(inverse, axis=0)[None] * (radii[:, None] + 2.0 * slack)  # fractional reach of a sphere
    shifts = image_shifts(cell, float(radii.max()) + 2.0 * slack + 1.0 / np.linalg.norm(inverse, axis=0).min())
    images = ((np.asarray(centres) % 1.0)[None] + shifts[:, None]).reshape(-1, 3)
    reach = np.tile(margin, (len(shifts), 1))
    seen = ((images > -reach) & (images < 1.0 + reach)).all(axis=1)
    images, sizes = images[seen], np.tile(radii, len(shifts))[seen]
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    distance = _surface_distance(grid, cell, images, sizes).reshape(shape)
    return BlockedSpace(cell, images, sizes, distance, slack)


def _surface_distance(fractional: np.ndarray, cell: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    points = fractional @ cell
    distance = np.full(len(points), np.inf)
    for centre, radius in zip(centres @ cell, radii, strict=True):
        np.minimum(distance, np.linalg.norm(points - centre, axis=1) - radius, out=distance)
    return distance
