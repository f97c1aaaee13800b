"""Energy of every kind of guest site on a grid over the unit cell, by splitting short from long range.

Each pair energy is split at `SPLIT`: inside, what remains of it after a smooth function is taken away is added
atom by atom to the few grid points around; the smooth function itself (a Taylor polynomial in r^2 inside, the
untouched pair energy outside, cut at the cut-off) is band-limited and summed for all atoms by one Fourier
transform, its coefficients exact structure factors. Coulomb is split the same way with Ewald's screening clouds. So a
grid point costs some thirty pairs rather than five hundred, and the cut-off model stays that of the direct sum.
Splitting a kernel in this way is Ewald's idea; for r^-6: U. Essmann et al., J. Chem. Phys. 103, 8577 (1995).
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.special import comb, erfc

from screening.adsorption.batched.ewald import COULOMB, reciprocal_cutoff, screening
from screening.adsorption.batched.host_field import MIN_SQUARED_DISTANCE, HostField, SiteTypes

SPLIT = 4.5  # Å, where short range ends
_ORDER = 5  # derivatives in r^2 that match there
_BAND = 6.0  # 1/Å, the longest wave vector of the smooth functions
_PRECISION = 1e-5  # relative, of the split Coulomb sum
_TABLE = 1 << 17  # entries of a short-range table, uniform in r^2
CEILING = 1e7  # K; an overlap beyond any electrostatic energy, so that no bare charge makes a well of one


@dataclass(frozen=True)
class EnergyGrid:
    """Energies of guest sites at the points i/n of the unit cell."""

    cell: np.ndarray  # [3, 3] Å
    lennard_jones: np.ndarray  # [t, nx, ny, nz] K, at most `CEILING`; float32
    potential: np.ndarray | None  # [nx, ny, nz] K/e; float32; None without charges

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along a, b, c."""
        _, nx, ny, nz = self.lennard_jones.shape
        return nx, ny, nz


def energy_grid(field: HostField, spacing: float) -> EnergyGrid:
    """Grids of all site types of a field with points at most `spacing` (Å) apart along each axis."""
    lengths = np.linalg.norm(field.cell, axis=1)
    shape = tuple(scipy.fft.next_fast_len(max(math.ceil(length / spacing), 4), real=True) for length in lengths)
    grids = _smooth(field, shape)
    _add_short_range(field, grids)
    types = len(field.types.labels)
    lennard_jones = np.minimum(grids[:types] + field.tail.astype(np.float32)[:, None, None, None], np.float32(CEILING))
    return EnergyGrid(field.cell, lennard_jones, grids[types] if field.charged else None)


def site_grids(grid: EnergyGrid, types: SiteTypes, kinds: np.ndarray) -> np.ndarray:
    """Energy [n_sites, nx, ny, nz] (K, float32) of the sites of a molecule, Lennard-Jones and charge together."""
    energies = grid.lennard_jones[kinds].copy()
    if grid.potential is not None:
        for energy, charge in zip(energies, types.charge[kinds], strict=True):
            if charge != 0.0:
                energy += np.float32(charge) * grid.potential
    return energies


def trilinear(grid: np.ndarray, fractional: np.ndarray) -> np.ndarray:
    """Values [n] of a periodic grid [nx, ny, nz] at fractional points [n, 3]."""
    shape = np.array(grid.shape)
    scaled = (fractional - np.floor(fractional)) * shape
    low = scaled.astype(np.int64)
    weight = (scaled - low).astype(np.float32)
    low %= shape  # a fraction that rounds up to one
    high = low + 1
    high[high == shape] = 0
    flat = grid.reshape(-1)
    rows = (low[:, 0] * shape[1], high[:, 0] * shape[1])
    value = np.zeros(len(fractional), dtype=np.float32)
    for a, b in itertools.product((0, 1), repeat=2):
        w = (weight[:, 0] if a else 1.0 - weight[:, 0]) * (weight[:, 1] if b else 1.0 - weight[:, 1])
        base = (rows[a] + (high if b else low)[:, 1]) * shape[2]
        lower = flat.take(base + low[:, 2])
        upper = flat.take(base + high[:, 2])
        value += w * (lower + weight[:, 2] * (upper - lower))
    return value


def _taylor(power: int, t: np.ndarray) -> np.ndarray:
    """Taylor polynomial of t^-power about t = SPLIT^2, t the squared distance."""
    split = SPLIT**2
    x = 1.0 - t / split
    return np.asarray(split**-power * sum(comb(power - 1 + i, i, exact=True) * x**i for i in range(_ORDER + 1)))


@functools.cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [-1, 1]; an eigenvalue problem, worth a tenth of a triage of small cells."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return nodes, weights


def _smooth_transform(power: int, field: HostField, k: np.ndarray) -> np.ndarray:
    """Fourier transform (Å^3 Å^-2power) of the smooth part of r^-2power, cut at the cut-off, at |k| [n]."""
    nodes, weights = _quadrature()
    shifted = field.cutoff ** (-2.0 * power) if np.any(field.shift) else 0.0

    def integrate(low: float, high: float, inner: bool) -> np.ndarray:
        r = 0.5 * (high - low) * nodes + 0.5 * (high + low)
        f = (_taylor(power, r**2) if inner else r ** (-2.0 * power)) - shifted
        amplitude = 0.5 * (high - low) * weights * f * r**2 * 4.0 * np.pi
        return np.sinc(np.outer(k, r) / np.pi) @ amplitude

    return np.asarray(integrate(0.0, SPLIT, True) + integrate(SPLIT, field.cutoff, False))


def _smooth(field: HostField, shape: tuple[int, ...]) -> np.ndarray:
    """Long-range part of all grids [t (+ 1), nx, ny, nz], float32."""
    cell, volume = field.cell, abs(float(np.linalg.det(field.cell)))
    alpha = screening(SPLIT, _PRECISION)
    band = max(_BAND, reciprocal_cutoff(alpha, _PRECISION))
    # below Nyquist, so that no wave is folded onto another
    reach = [
        min((n - 1) // 2, int(band * length / (2.0 * np.pi)))
        for n, length in zip(shape, np.linalg.norm(cell, axis=1), strict=True)
    ]
    axes = [np.arange(-reach[0], reach[0] + 1), np.arange(-reach[1], reach[1] + 1), np.arange(reach[2] + 1)]
    m = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    k = np.sqrt(((2.0 * np.pi * m @ np.linalg.inv(cell).T) ** 2).sum(axis=-1))
    table = np.linspace(0.0, k.max() + 1e-9, 3000)
    six, twelve = (np.interp(k, table, _smooth_transform(power, field, table)) for power in (3, 6))
    waves = [np.exp(-2j * np.pi * np.outer(field.fractional[:, i], axes[i])) for i in range(3)]  # [n, 2 reach + 1]

    def factor(atoms: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        plane = (amplitude[:, None] * waves[0][atoms])[:, :, None] * waves[1][atoms][:, None, :]
        product = plane.reshape(len(atoms), -1).T @ waves[2][atoms]
        return product.reshape(len(axes[0]), len(axes[1]), len(axes[2]))

    types = len(field.types.labels)
    spectra = np.zeros((types + field.charged, *k.shape), dtype=complex)
    for element in range(len(field.elements)):
        atoms = np.flatnonzero(field.kinds == element)
        density = factor(atoms, np.ones(len(atoms)))
        for kind in range(types):
            kernel = field.repulsion[kind, element] * twelve - field.attraction[kind, element] * six
            spectra[kind] += density * kernel
    if field.charged:
        squares = np.where(k > 0.0, k, 1.0) ** 2
        kernel = np.where(k > 0.0, COULOMB * 4.0 * np.pi * np.exp(-squares / (4.0 * alpha**2)) / squares, 0.0)
        spectra[types] = factor(np.arange(len(field.charges)), field.charges) * kernel
    place = np.ix_(axes[0] % shape[0], axes[1] % shape[1], axes[2])
    grids = np.empty((len(spectra), *shape), dtype=np.float32)
    for index, spectrum in enumerate(spectra):
        full = np.zeros((shape[0], shape[1], shape[2] // 2 + 1), dtype=complex)
        full[place] = spectrum
        grids[index] = scipy.fft.irfftn(full, s=shape) * (math.prod(shape) / volume)
    return grids


def _add_short_range(field: HostField, grids: np.ndarray) -> None:
    """Add what the smooth functions leave out, atom by atom, to the grid points within `SPLIT`."""
    cell, shape = field.cell, grids.shape[1:]
    metric = cell @ cell.T
    t = (np.arange(_TABLE) + 0.5) * (SPLIT**2 / (_TABLE - 1))
    clipped = np.maximum(t, MIN_SQUARED_DISTANCE)
    outside = t >= SPLIT**2
    six, twelve = (np.where(outside, 0.0, clipped ** -float(power) - _taylor(power, t)) for power in (3, 6))
    types = len(field.types.labels)
    tables = {
        (kind, element): (field.repulsion[kind, element] * twelve - field.attraction[kind, element] * six).astype("f4")
        for kind in range(types)
        for element in range(len(field.elements))
        if field.repulsion[kind, element] > 0.0
    }
    alpha = screening(SPLIT, _PRECISION)
    r = np.sqrt(clipped)
    coulomb = np.where(outside, 0.0, COULOMB * erfc(alpha * r) / r).astype("f4")
    scale = np.float32((_TABLE - 1) / SPLIT**2)
    widths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = SPLIT / widths  # of a sphere, in fractional coordinates
    for atom, position in enumerate(field.fractional):
        low, high = np.floor(position - reach).astype(int), np.floor(position + reach).astype(int)
        for image in itertools.product(*(range(-h, -a + 1) for a, h in zip(low, high, strict=True))):
            centre = position + np.array(image)
            ranges = [
                (
                    max(math.ceil((centre[i] - reach[i]) * shape[i]), 0),
                    min(math.floor((centre[i] + reach[i]) * shape[i]), shape[i] - 1),
                )
                for i in range(3)
            ]
            if any(first > last for first, last in ranges):
                continue
            x, y, z = (np.arange(f, e + 1) / shape[i] - centre[i] for i, (f, e) in enumerate(ranges))
            x, y = x[:, None, None], y[None, :, None]
            plane = metric[0, 0] * x * x + metric[1, 1] * y * y + 2.0 * metric[0, 1] * x * y
            slope = 2.0 * (metric[0, 2] * x + metric[1, 2] * y)
            plane, slope, z = plane.astype("f4"), slope.astype("f4"), z.astype("f4")
            squared = slope * z
            squared += plane
            squared += np.float32(metric[2, 2]) * z * z
            squared *= scale
            np.minimum(squared, np.float32(_TABLE - 1), out=squared)
            np.maximum(squared, np.float32(0.0), out=squared)
            entry = squared.astype(np.int32)
            block = (slice(None), *(slice(f, e + 1) for f, e in ranges))
            view = grids[block]
            for kind in range(types):
                table = tables.get((kind, int(field.kinds[atom])))
                if table is not None:
                    view[kind] += table.take(entry)
            if field.charged:
                view[types] += np.float32(field.charges[atom]) * coulomb.take(entry)
