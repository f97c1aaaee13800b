"""Pockets no molecule can reach: found by flooding the free space of the periodic cell, and covered by spheres.

A Monte Carlo insertion drops molecules anywhere, into cages that no window wide enough leads to as well. The free
space of a probe is flooded on a grid; a component that meets a periodic image of itself is a channel, every
other one a pocket (as Zeo++ tells them apart: Willems et al., Microporous Mesoporous Mater. 149, 134 (2012)).

How wide is wide enough: atoms and probe are hard spheres of 0.44 of their Lennard-Jones diameter. Two atoms at
0.88 of their common sigma repel each other by 10 epsilon, which makes a ring of eight oxygen atoms of that width a
barrier of some 13 k_B T for CO2 at room temperature; 15 k_B T is the usual bound of what is reached in an
experiment (Kim, Martin, Rycroft, Smit, J. Chem. Theory Comput. 8, 1684 (2012)).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from potentials.errors import GeometryError
from potentials.gate import cell_heights
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas

HARD_SPHERE = 0.44  # of sigma: radius of an atom or probe
SPACING = 0.25  # Å between grid points
MAX_POINTS = 8_000_000  # grid points; a cell beyond that gets a coarser grid
COARSEST = 0.6  # Å; windows are no longer told apart beyond it
_CORNERS = np.ones((3, 3, 3), dtype=bool)  # points are neighbours across faces, edges and corners


@dataclass(frozen=True)
class Blocks:
    """Spheres that close the pockets of a framework to a probe, and leave its channels open."""

    centres: np.ndarray  # [k, 3] fractional coordinates in the unit cell
    radii: np.ndarray  # [k] Å
    pockets: int  # separate pockets a unit cell
    channels: int  # separate channel systems a unit cell
    channel_fraction: float  # of the cell, for the centre of the probe
    pocket_fraction: float
    probe_radius: float  # Å

    def describe(self) -> str:
        """What was found, in a few words."""
        probe = f"probe radius {self.probe_radius:.2f} Å"
        if self.channels == 0 and self.pockets == 0:
            return f"no room ({probe})"
        if self.channels == 0:
            return f"no channel: all {self.pockets} pockets blocked ({probe})"
        return f"{self.pockets} pockets blocked ({probe})" if self.pockets else f"no pockets ({probe})"


def pocket_blocks(host: Host, gas: Gas) -> Blocks:
    """Blocking spheres of a gas in a prepared framework, with the radii of its own force field.

    Found once a host and width of gas. With `pockets: open` in the model there are none.

    Raises:
        GeometryError: the cell is too large for a grid that tells windows apart.
    """
    probe = HARD_SPHERE * gas.largest_sigma
    if host.model.pockets == "open":
        return Blocks(np.zeros((0, 3)), np.zeros(0), 0, 0, 0.0, 0.0, probe)
    key = f"pockets of {probe}"
    if key not in host.cache:
        epsilon, sigma = host.lennard_jones.T
        solid = epsilon > 0.0
        host.cache[key] = blocking_spheres(
            host.structure.frac_coords[solid], host.structure.lattice.matrix, HARD_SPHERE * sigma[solid], probe
        )
    found: Blocks = host.cache[key]
    return found


def describe_pockets(host: Host, gases: Sequence[Gas]) -> str:
    """What was blocked for which gas, for a method string."""
    if host.model.pockets == "open":
        return "pockets not looked for"
    return ", ".join(f"{gas.name}: {pocket_blocks(host, gas).describe()}" for gas in gases)


def blocking_spheres(
    fractional: np.ndarray, cell: np.ndarray, radii: np.ndarray, probe_radius: float, spacing: float = SPACING
) -> Blocks:
    """Spheres covering every place a probe may sit that no channel leads to.

    Args:
        fractional: [n_atoms, 3] coordinates.
        cell: [3, 3] Å, rows are vectors.
        radii: [n_atoms] Å, hard-sphere radii of the atoms.
        probe_radius: Å.
        spacing: Å between grid points; made coarser where the cell is so large that it must be.

    Raises:
        GeometryError: the cell is too large for a grid that tells windows apart.
    """
    free = free_space(fractional, cell, radii, probe_radius, spacing)
    labels, count, percolates = periodic_components(free)
    channel_labels = np.flatnonzero(percolates) + 1
    pocket_labels = np.setdiff1d(np.arange(1, count + 1), channel_labels)
    in_channel = np.isin(labels, channel_labels) if len(pocket_labels) else free
    centres: list[np.ndarray] = []
    sizes: list[float] = []
    if len(pocket_labels):
        step = cell / np.array(free.shape)[:, None]  # [3, 3] Å
        reach = float(np.linalg.norm(step, axis=1).max())
        channel_points = _surface(in_channel) / np.array(free.shape)
        for label in pocket_labels:
            points = np.argwhere(labels == label) / np.array(free.shape)
            for centre, size in _cover(points, channel_points, cell, reach):
                centres.append(centre)
                sizes.append(size)
    return Blocks(
        centres=np.array(centres).reshape(-1, 3),
        radii=np.array(sizes),
        pockets=len(pocket_labels),
        channels=len(channel_labels),
        channel_fraction=float(in_channel.mean()) if len(channel_labels) else 0.0,
        pocket_fraction=float(free.mean() - in_channel.mean()) if len(pocket_labels) else 0.0,
        probe_radius=float(probe_radius),
    )


def pore_diameters(
    fractional: np.ndarray, cell: np.ndarray, radii: np.ndarray, spacing: float = 0.2
) -> tuple[float, float]:
    """(limiting, largest) pore diameter in Å: of the largest sphere that passes through, and that fits in.

    To about half the grid spacing. The arguments are those of `blocking_spheres`.
    """
    clearance = _clearance(fractional, cell, radii, spacing)
    largest = float(clearance.max())
    low, high = 0.0, largest
    if not periodic_components(clearance > 0.0)[2].any():
        return 0.0, 2.0 * largest
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        passes = periodic_components(clearance > middle)[2].any()
        low, high = (middle, high) if passes else (low, middle)
    return low + high, 2.0 * largest


def _clearance(fractional: np.ndarray, cell: np.ndarray, radii: np.ndarray, spacing: float) -> np.ndarray:
    """[na, nb, nc] Å from every grid point to the nearest surface of an atom; negative inside one."""
    shape = np.maximum(np.ceil(np.linalg.norm(cell, axis=1) / spacing).astype(int), 3)
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1) @ cell
    nearest = np.full(grid.shape[:3], np.inf)
    widest = 0.5 * float(np.linalg.norm(np.abs(cell).sum(axis=0)))  # no point is farther from an image of an atom
    for radius in np.unique(radii):
        tree = _periodic_tree(fractional[radii == radius] % 1.0, cell, widest)
        nearest = np.minimum(nearest, tree.query(grid)[0] - radius)
    return nearest


def free_space(
    fractional: np.ndarray, cell: np.ndarray, radii: np.ndarray, probe_radius: float, spacing: float
) -> np.ndarray:
    """[na, nb, nc] True where the centre of the probe fits; point (i, j, k) lies at (i/na, j/nb, k/nc) of the cell.

    Raises:
        GeometryError: the cell is too large for a grid that tells windows apart.
    """
    lengths = np.linalg.norm(cell, axis=1)
    volume = abs(float(np.linalg.det(cell)))
    spacing = max(spacing, (float(lengths.prod()) / MAX_POINTS) ** (1.0 / 3.0))
    if spacing > COARSEST:
        raise GeometryError(
            f"the cell of {volume:.0f} Å^3 is too large for its pockets to be found on a grid: "
            f"choose a smaller cell, or set pockets=open"
        )
    shape = np.maximum(np.ceil(lengths / spacing).astype(int), 3)
    free = np.ones(tuple(shape), dtype=bool)
    heights = cell_heights(cell, np.ones(3, dtype=bool))
    for position, radius in zip(fractional % 1.0, radii + probe_radius, strict=True):
        # all grid points in the parallelepiped that holds the sphere around the atom
        half = radius / heights  # fractional
        ranges = [
            np.arange(np.ceil((p - h) * n), np.floor((p + h) * n) + 1)
            for p, h, n in zip(position, half, shape, strict=True)
        ]
        away = [r / n - p for r, n, p in zip(ranges, shape, position, strict=True)]  # fractional
        a, b, c = (w[:, None] * v for w, v in zip(away, cell, strict=True))  # [n, 3] Å each
        square = _square(a[:, None, None], b[None, :, None], c[None, None, :])
        inside = square < radius * radius
        i, j, k = (r.astype(int) % n for r, n in zip(ranges, shape, strict=True))
        if all(len(r) <= n for r, n in zip(ranges, shape, strict=True)):
            free[np.ix_(i, j, k)] &= ~inside
        else:  # the sphere is wider than the cell: a point may come up twice
            x, y, z = np.nonzero(inside)
            free[i[x], j[y], k[z]] = False
    return free


def _square(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """|a + b + c|^2 over the last axis, broadcast over the others."""
    total = (a * a).sum(-1) + (b * b).sum(-1) + (c * c).sum(-1)
    return np.asarray(total + 2.0 * ((a * b).sum(-1) + (a * c).sum(-1) + (b * c).sum(-1)))


def periodic_components(free: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """(labels [na, nb, nc] from 1, their number n, percolates [n]) of the connected parts of a periodic grid.

    Parts of the bare cell are joined across its faces, each joint carrying the lattice vector it crosses; a part
    that can be walked back to its start with a vector left over meets its own image: it percolates.
    """
    labels, count = ndimage.label(free, structure=_CORNERS)
    if count == 0:
        return labels, 0, np.zeros(0, dtype=bool)
    joints: dict[int, set[tuple[int, tuple[int, int, int]]]] = {part: set() for part in range(1, count + 1)}
    for first, second, shift in _face_pairs(labels):
        joints[first].add((second, shift))
        joints[second].add((first, (-shift[0], -shift[1], -shift[2])))
    group = np.zeros(count + 1, dtype=int)
    offset = np.zeros((count + 1, 3), dtype=int)
    percolates: list[bool] = []
    for start in range(1, count + 1):
        if group[start]:
            continue
        percolates.append(False)
        group[start] = len(percolates)
        stack = [start]
        while stack:
            part = stack.pop()
            for other, shift in joints[part]:
                where = offset[part] + shift
                if not group[other]:
                    group[other] = len(percolates)
                    offset[other] = where
                    stack.append(other)
                elif (offset[other] != where).any():
                    percolates[-1] = True
    return group[labels], len(percolates), np.array(percolates)


def _face_pairs(labels: np.ndarray) -> set[tuple[int, int, tuple[int, int, int]]]:
    """(part, part beyond the cell's face, lattice vector crossed) of all neighbours across the cell's boundary."""
    found: set[tuple[int, int, tuple[int, int, int]]] = set()
    scale = int(labels.max()) + 1  # two labels in one integer
    for axis in range(3):
        last, first = np.take(labels, -1, axis=axis), np.take(labels, 0, axis=axis)
        n, m = first.shape
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                neighbour = np.roll(first, (-di, -dj), axis=(0, 1))
                # a step over the edge of the face crosses a second (and a third) face of the cell
                for wi, rows in _wraps(di, n):
                    for wj, columns in _wraps(dj, m):
                        one, two = last[rows, columns], neighbour[rows, columns]
                        both = (one > 0) & (two > 0)
                        shift = np.insert(np.array([wi, wj]), axis, 1)
                        vector = (int(shift[0]), int(shift[1]), int(shift[2]))
                        codes = np.unique(one[both].astype(np.int64) * scale + two[both])
                        found |= {(int(code // scale), int(code % scale), vector) for code in codes}
    return found


def _wraps(step: int, size: int) -> list[tuple[int, slice]]:
    """(cells crossed, points that cross them) for a step of -1, 0 or 1 along an axis of `size` points."""
    if step == 0:
        return [(0, slice(0, size))]
    if step == 1:
        return [(0, slice(0, size - 1)), (1, slice(size - 1, size))]
    return [(0, slice(1, size)), (-1, slice(0, 1))]


def _surface(inside: np.ndarray) -> np.ndarray:
    """[m, 3] grid indices of the points of a periodic region that have a neighbour outside it."""
    inner = inside.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(inside, step, axis=axis)
    return np.argwhere(inside & ~inner)


def _cover(points: np.ndarray, channel: np.ndarray, cell: np.ndarray, reach: float) -> list[tuple[np.ndarray, float]]:
    """Spheres (fractional centre, radius Å) that hold every point of a pocket and no point of a channel.

    The first sits where the pocket is widest; a further one at the point left that is deepest inside.

    Args:
        points: [m, 3] fractional, of the pocket.
        channel: [k, 3] fractional, of the surface of all channels.
        cell: [3, 3] Å.
        reach: Å, grid spacing: how far beyond its outermost point a pocket may extend.
    """
    limit = 0.5 * float(cell_heights(cell, np.ones(3, dtype=bool)).min())  # a sphere must not meet its own image
    tree = _periodic_tree(channel, cell, limit) if len(channel) else None
    left = np.ones(len(points), dtype=bool)
    spheres: list[tuple[np.ndarray, float]] = []
    while left.any():
        candidates = points[left]
        middle = candidates[_most_central(candidates, cell)]
        distance = _distances(points, middle, cell)
        allowed = limit if tree is None else min(limit, float(tree.query(middle @ cell)[0]) - 1e-6)
        size = min(float(distance[left].max()) + reach, allowed)
        covered = left & (distance <= size)
        spheres.append((middle % 1.0, size))
        left &= ~covered
    return spheres


def _most_central(points: np.ndarray, cell: np.ndarray) -> int:
    """Index of the point whose farthest other point is nearest, over a sample of them."""
    chosen = np.linspace(0, len(points) - 1, min(len(points), 200)).astype(int)
    sample = points[chosen]
    farthest = [float(_distances(sample, point, cell).max()) for point in sample]
    return int(chosen[int(np.argmin(farthest))])


def _distances(points: np.ndarray, centre: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """[m] Å to the nearest image of a point, by fractional rounding, as the engine measures it."""
    away = points - centre
    return np.linalg.norm((away - np.round(away)) @ cell, axis=1)


def _periodic_tree(points: np.ndarray, cell: np.ndarray, within: float) -> cKDTree:
    """A search tree over points and those of their images within a distance (Å) of the cell."""
    margin = within / cell_heights(cell, np.ones(3, dtype=bool))
    steps = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
    images = [points + np.array([i, j, k]) for i in steps[0] for j in steps[1] for k in steps[2]]
    every = np.concatenate(images)
    near = ((every > -margin) & (every < 1.0 + margin)).all(axis=1)
    return cKDTree(every[near] @ cell)
