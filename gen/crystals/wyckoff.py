"""Wyckoff positions of the 230 space groups, derived from their operations in a primitive cell.

The operations come from spglib's database (first standard setting: unique axis b, origin choice 1, hexagonal axes),
rewritten in a primitive basis. A Wyckoff position is a class of points whose site-symmetry groups are conjugate
(International Tables A, sec. 1.4.4.2). All of them pass through points of the grid of 1/24 of the conventional
cell, so the stabilisers of those points give the complete list: 1731 positions, as the tables have.

A site-symmetry group H of affine maps x -> W x + w fixes the points P z + b with P the mean of its W and b the mean
of its w: the projector and the offset below.
"""

import collections
import functools
import itertools
from dataclasses import dataclass

import numpy as np
import spglib

from potentials.errors import InputError

GRID = 24  # points along each axis of the conventional cell
DIGITS = 6  # to which coordinates are compared
# rows: primitive basis vectors in the conventional one, by centring letter
PRIMITIVE = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, -1 / 2), (0, 1 / 2, 1 / 2)),
    "C": ((1 / 2, 1 / 2, 0), (-1 / 2, 1 / 2, 0), (0, 0, 1)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
SHIFTS = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)  # [125, 3]


@dataclass(frozen=True)
class Orbit:
    """A Wyckoff position: where one atom put on it may sit, and where symmetry then puts the others."""

    projector: np.ndarray  # [3, 3] P of the first atom's site, x = P z + b
    offset: np.ndarray  # [3] b
    rotations: np.ndarray  # [M, 3, 3] W that take the first atom to each of the M of the orbit, the identity first
    translations: np.ndarray  # [M, 3]
    freedom: int  # free coordinates of the site, 0 to 3

    @property
    def size(self) -> int:
        """Atoms in the primitive cell."""
        return len(self.rotations)

    def place(self, z: np.ndarray) -> np.ndarray:
        """[M, 3] coordinates of the orbit, not folded, of parameters z [3]."""
        first = self.projector @ z + self.offset
        return self.rotations @ first + self.translations


@dataclass(frozen=True)
class SpaceGroup:
    """A space group in a primitive basis; fractional coordinates are columns, x -> W x + w."""

    number: int
    symbol: str  # international short symbol
    basis: np.ndarray  # [3, 3] rows: primitive basis vectors in the conventional basis
    rotations: np.ndarray  # [G, 3, 3]
    translations: np.ndarray  # [G, 3] in [0, 1)
    orbits: tuple[Orbit, ...]  # all Wyckoff positions, smallest first, the general one last

    def crystal_family(self) -> str:
        """The family whose lattice parameters are free alike: triclinic ... cubic (trigonal counts as hexagonal)."""
        bounds = ((2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"), (194, "hexagonal"))
        return next((name for last, name in bounds if self.number <= last), "cubic")


@functools.lru_cache(maxsize=230)
def space_group(number: int) -> SpaceGroup:
    """Operations and Wyckoff positions of a space group, 1 to 230.

    Raises:
        InputError: another number.
    """
    if not 1 <= number <= 230:
        raise InputError(f"space_group = {number} is not a space group number: give 1 to 230")
    hall, symbol = _first_setting()[number]
    operations = spglib.get_symmetry_from_database(hall)
    assert operations is not None  # the database has every Hall number
    basis = np.array(PRIMITIVE[symbol[0]], dtype=float)
    # x_conventional = basis^T x_primitive for columns
    to_primitive = np.linalg.inv(basis.T)
    rotations = np.rint(to_primitive @ operations["rotations"] @ basis.T)
    translations = _fold(operations["translations"] @ to_primitive.T)
    keys = np.concatenate([rotations.reshape(-1, 9), translations.round(DIGITS)], axis=1)
    # operations that differ by a centring translation are one in the primitive cell
    chosen = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    rotations, translations = rotations[chosen], translations[chosen]
    orbits = _orbits(rotations, translations, _grid() @ to_primitive.T)
    return SpaceGroup(number, symbol, basis, rotations, translations, orbits)


@functools.lru_cache(maxsize=1)
def _first_setting() -> dict[int, tuple[int, str]]:
    """Hall number and short symbol of the first setting of each space group."""
    found: dict[int, tuple[int, str]] = {}
    for hall in range(1, 531):
        kind = spglib.get_spacegroup_type(hall)
        if kind is not None and kind.number not in found:
            found[kind.number] = (hall, kind.international_short)
    return found


def _orbits(rotations: np.ndarray, translations: np.ndarray, points: np.ndarray) -> tuple[Orbit, ...]:
    """Classes of the points' site-symmetry groups, as orbits of a representative."""
    moved = np.moveaxis(rotations @ points.T, -1, 0) + translations - points[:, None]  # [p, G, 3]
    shifts = np.rint(moved)
    fixing = np.abs(moved - shifts).max(-1) < 1e-6  # [p, G]
    # a site-symmetry group is the operations and the lattice vectors that bring the point home
    homes = np.where(fixing[..., None], -shifts, 0).astype(np.int8)
    keys = np.concatenate([fixing, homes.reshape(len(points), -1)], axis=1, dtype=np.int8)
    first: dict[bytes, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key.tobytes(), place)
    distinct = np.array(list(first.values()))
    sites = [
        (
            int(fixing[i].sum()),
            rotations[fixing[i]].mean(0),
            (translations[fixing[i]] + homes[i][fixing[i]]).mean(0),
            fixing[i],
        )
        for i in distinct[np.lexsort(keys[distinct].T[::-1])]
    ]
    sites.sort(key=lambda site: (-site[0], *np.abs(site[2]).round(DIGITS), *site[1].ravel().round(DIGITS)))
    kept: list[Orbit] = []
    seen: dict[tuple[int, bytes], list[np.ndarray]] = collections.defaultdict(list)  # b of every image of kept sites
    inverses = np.linalg.inv(rotations)
    for order, projector, offset, stabiliser in sites:
        if _holds(seen[order, _key(projector)], projector, offset):
            continue
        kept.append(_orbit(rotations, translations, projector, offset, stabiliser))
        projectors = rotations @ projector @ inverses
        for image, place in zip(projectors, rotations @ offset + translations, strict=True):
            known = seen[order, _key(image)]
            if not _holds(known, image, place):
                known.append(place)
    return tuple(sorted(kept, key=lambda orbit: (orbit.size, orbit.freedom)))


def _key(projector: np.ndarray) -> bytes:
    """The same for equal projectors, whose entries are whole multiples of 1/48."""
    return bytes(np.rint(48 * projector).astype(np.int8).tobytes())


def _holds(offsets: list[np.ndarray], projector: np.ndarray, offset: np.ndarray) -> bool:
    """Whether P z + b are the points P z + c, up to lattice vectors, for one of the offsets c."""
    if not offsets:
        return False
    across = np.eye(3) - projector  # what of a difference does not run along the site
    off = ((offset - np.array(offsets))[:, None] + SHIFTS) @ across.T  # [K, 125, 3]
    return bool((np.abs(off).max(-1) < 1e-6).any())


def _orbit(
    rotations: np.ndarray, translations: np.ndarray, projector: np.ndarray, offset: np.ndarray, stabiliser: np.ndarray
) -> Orbit:
    """One operation for each atom of the orbit of a site."""
    generic = projector @ np.array([0.1234567, 0.2891011, 0.3571113]) + offset
    images = rotations @ generic + translations
    moved = np.abs(rotations - np.eye(3)).max((1, 2)) + np.abs(translations).max(1) > 1e-9
    chosen: list[int] = []
    for index in np.argsort(moved, kind="stable"):  # the identity first
        apart = images[index] - images[chosen] if chosen else np.ones((1, 3)) / 2
        if (np.abs(apart - np.rint(apart)).max(1) > 1e-6).all():
            chosen.append(int(index))
    expected = len(rotations) // int(stabiliser.sum())
    if len(chosen) != expected:
        raise RuntimeError(f"an orbit of {len(chosen)} points where the site symmetry asks for {expected}")
    return Orbit(projector, offset, rotations[chosen], translations[chosen], round(float(np.trace(projector))))


@functools.lru_cache(maxsize=1)
def _grid() -> np.ndarray:
    """[GRID^3, 3] conventional coordinates."""
    axis = np.arange(GRID) / GRID
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def _fold(x: np.ndarray) -> np.ndarray:
    folded = x - np.floor(x + 1e-9)
    return np.where(np.abs(folded) < 1e-9, 0.0, folded)
