"""Compiled sums over the atoms around guest sites, for `guest_poses.py`. Imports numba. Å, K, e.

Atoms come sorted by x, so that those far from a site along x are not looked at.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, inline="always")
def _squared(atoms, j, x, y, z):
    dx, dy, dz = atoms[j, 0] - x, atoms[j, 1] - y, atoms[j, 2] - z
    return dx * dx + dy * dy + dz * dz


@njit(cache=True)
def lennard_jones(sites, kinds, images, elements, attraction, repulsion, cutoff, contact, limit, energies):
    """Energy (K) of each molecule [n, s, 3]; infinite where an atom is nearer than `contact` or a pair costs more than
    `limit`."""
    along = images[:, 0]
    for m in range(sites.shape[0]):
        total = 0.0
        for reach in (2.0 * contact, cutoff):  # overlaps are found among few atoms
            total = 0.0
            for s in range(sites.shape[1]):
                kind = kinds[s]
                x, y, z = sites[m, s, 0], sites[m, s, 1], sites[m, s, 2]
                low, high = np.searchsorted(along, x - reach), np.searchsorted(along, x + reach)
                for j in range(low, high):
                    r2 = _squared(images, j, x, y, z)
                    if r2 >= reach * reach:
                        continue
                    if r2 < contact * contact:
                        total = math.inf
                        break
                    s6 = 1.0 / (r2 * r2 * r2)
                    pair = s6 * (repulsion[kind, elements[j]] * s6 - attraction[kind, elements[j]])
                    if pair > limit:
                        total = math.inf
                        break
                    total += pair
                if total == math.inf:
                    break
            if total == math.inf:
                break
        energies[m] = total


@njit(cache=True)
def add_screened(sites, charges, images, columns, weights, alpha, cutoff, operator):
    """Add sum_s q_s w_j erfc(alpha r_sj) / r_sj over atoms j within the cut-off to operator [n, columns]."""
    along = images[:, 0]
    for m in range(sites.shape[0]):
        for s in range(sites.shape[1]):
            x, y, z = sites[m, s, 0], sites[m, s, 1], sites[m, s, 2]
            low, high = np.searchsorted(along, x - cutoff), np.searchsorted(along, x + cutoff)
            for j in range(low, high):
                r2 = _squared(images, j, x, y, z)
                if r2 < cutoff * cutoff:
                    r = math.sqrt(max(r2, 0.25))
                    operator[m, columns[j]] += charges[s] * weights[j] * math.erfc(alpha * r) / r
