"""The compiled moves of a published grand-canonical run of single atoms, repeated as that code makes them.

The moves are RASPA 2's for a molecule of one site: translation along one axis, rotation (which does nothing to a point,
but takes its turn), reinsertion and swaps by configurational bias with `TRIALS` first beads drawn uniformly over the
box; max(20, N) moves a cycle, a sample a cycle. Nothing here helps the insertions along, as our own engine does: how
far such a run gets from empty pores is part of what was published. Acceptance rules: D. Frenkel, B. Smit,
Understanding Molecular Simulation, ch. 13; moves and probabilities: RASPA 2.0's output files and manual.

Energies are in K, lengths in Å. Imports numba.
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit

from screening.adsorption.batched.gcmc_kernel import site_energy
from screening.adsorption.batched.gcmc_random import uniform

TRIALS = 10  # first beads of an insertion, deletion or reinsertion
LEAST_MOVES = 20  # a cycle
SHARES = (0.2, 0.4, 0.6, 1.0)  # cumulative: translation, rotation, reinsertion, swap
NEAR = 2.8  # Å; two argon atoms this near cost 3,400 K, 39 kT, against some 17 kT of neighbours: it weighs nothing
HOPELESS = 3000.0  # K of the host, 34 kT: so does this
PER_BIN = 8
_TARGET = 0.5  # of accepted translations

Box = namedtuple(
    "Box",
    [
        "cell",  # [3, 3] Å, of the simulation box
        "inverse",  # [3, 3]
        "orthogonal",  # whether the cell is diagonal
        "repeats",  # [3] unit cells
        "grids",  # [1, nx, ny, nz] compressed host energy over the unit cell
        "open_voxels",  # [o] int32, voxels of the unit cell in or next to which the host repels less than `HOPELESS`
        "open_share",  # [TRIALS + 1] probability that so many of the trials, or fewer, fall on open voxels
        "open_share_less_one",  # [TRIALS + 1] the same for one trial less
        "bins",  # [3] of the box, each at least `NEAR` wide
        "epsilon4",  # K
        "sigma6",  # Å^6
        "cutoff",  # Å
        "beta",  # 1/K
        "ideal",  # atoms of ideal gas the box would hold: beta f V
    ],
)

Atoms = namedtuple(
    "Atoms",
    [
        "place",  # [3, n_max] Å
        "host",  # [n_max] K
        "guest",  # [n_max] K, with all other atoms
        "bin",  # [n_max]
        "held",  # [bins] how many atoms a bin holds
        "members",  # [bins, PER_BIN]
        "count",  # [1]
        "step",  # [3] Å, largest translation along each axis
        "tried",  # [3 + 3] translations along each axis; reinsertions, insertions, deletions
        "accepted",  # [3 + 3]
        "random",  # [4] uint64
        "pair",  # [2, n_max] K, room for the energies of one atom with the others
    ],
)


@njit(cache=True, fastmath=True, error_model="numpy")
def pair_energies(box, atoms, skip, x, y, z, pair):
    """Energies (K) of an atom at x, y, z with all but `skip`, written into `pair`; returns their sum."""
    limit, epsilon4, sigma6 = box.cutoff**2, box.epsilon4, box.sigma6
    xs, ys, zs = atoms.place[0], atoms.place[1], atoms.place[2]
    h, g = box.cell, box.inverse  # read once: the compiler cannot know that `pair` is not part of them
    h00, h10, h11, h20, h21, h22 = h[0, 0], h[1, 0], h[1, 1], h[2, 0], h[2, 1], h[2, 2]
    h01, h02, h12 = h[0, 1], h[0, 2], h[1, 2]
    g00, g01, g02, g10, g11, g12 = g[0, 0], g[0, 1], g[0, 2], g[1, 0], g[1, 1], g[1, 2]
    g20, g21, g22 = g[2, 0], g[2, 1], g[2, 2]
    n = atoms.count[0]
    if box.orthogonal:
        for j in range(n):
            dx, dy, dz = xs[j] - x, ys[j] - y, zs[j] - z
            dx -= h00 * math.floor(dx * g00 + 0.5)
            dy -= h11 * math.floor(dy * g11 + 0.5)
            dz -= h22 * math.floor(dz * g22 + 0.5)
            square = max(dx * dx + dy * dy + dz * dz, 0.5)
            s6 = sigma6 / (square * square * square)
            pair[j] = epsilon4 * s6 * (s6 - 1.0) if square < limit else 0.0
    else:
        for j in range(n):
            dx, dy, dz = xs[j] - x, ys[j] - y, zs[j] - z
            fx = math.floor(dx * g00 + dy * g10 + dz * g20 + 0.5)
            fy = math.floor(dx * g01 + dy * g11 + dz * g21 + 0.5)
            fz = math.floor(dx * g02 + dy * g12 + dz * g22 + 0.5)
            dx -= fx * h00 + fy * h10 + fz * h20
            dy -= fx * h01 + fy * h11 + fz * h21
            dz -= fx * h02 + fy * h12 + fz * h22
            square = max(dx * dx + dy * dy + dz * dz, 0.5)
            s6 = sigma6 / (square * square * square)
            pair[j] = epsilon4 * s6 * (s6 - 1.0) if square < limit else 0.0
    if 0 <= skip < n:
        pair[skip] = 0.0
    total = 0.0
    for j in range(n):
        total += pair[j]
    return total


@njit(cache=True, error_model="numpy")
def fractional(box, x, y, z):
    """Fractions of the box, in [0, 1)."""
    g = box.inverse
    a = x * g[0, 0] + y * g[1, 0] + z * g[2, 0]
    b = x * g[0, 1] + y * g[1, 1] + z * g[2, 1]
    c = x * g[0, 2] + y * g[1, 2] + z * g[2, 2]
    return a - math.floor(a), b - math.floor(b), c - math.floor(c)


@njit(cache=True, error_model="numpy")
def bin_of(box, a, b, c):
    """Index of the bin at fractions of the box."""
    i, j, k = int(a * box.bins[0]), int(b * box.bins[1]), int(c * box.bins[2])
    i, j, k = min(i, box.bins[0] - 1), min(j, box.bins[1] - 1), min(k, box.bins[2] - 1)
    return (i * box.bins[1] + j) * box.bins[2] + k


@njit(cache=True, error_model="numpy")
def _squared(box, atoms, j, x, y, z):
    """Squared distance (Å^2) of a point from the nearest image of an atom."""
    h, g = box.cell, box.inverse
    dx, dy, dz = atoms.place[0, j] - x, atoms.place[1, j] - y, atoms.place[2, j] - z
    fx = math.floor(dx * g[0, 0] + dy * g[1, 0] + dz * g[2, 0] + 0.5)
    fy = math.floor(dx * g[0, 1] + dy * g[1, 1] + dz * g[2, 1] + 0.5)
    fz = math.floor(dx * g[0, 2] + dy * g[1, 2] + dz * g[2, 2] + 0.5)
    dx -= fx * h[0, 0] + fy * h[1, 0] + fz * h[2, 0]
    dy -= fx * h[0, 1] + fy * h[1, 1] + fz * h[2, 1]
    dz -= fx * h[0, 2] + fy * h[1, 2] + fz * h[2, 2]
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, error_model="numpy")
def _touches(box, atoms, skip, x, y, z, a, b, c):
    """Whether an atom other than `skip` is nearer than `NEAR`."""
    n0, n1, n2 = box.bins[0], box.bins[1], box.bins[2]
    home = bin_of(box, a, b, c)
    i, j, k = home // (n1 * n2), (home // n2) % n1, home % n2
    for p in (0, 1, -1):  # the bin itself first, then those on either side
        u = i + p
        u += n0 if u < 0 else (-n0 if u >= n0 else 0)
        for q in (0, 1, -1):
            v = j + q
            v += n1 if v < 0 else (-n1 if v >= n1 else 0)
            for r in (0, 1, -1):
                w = k + r
                w += n2 if w < 0 else (-n2 if w >= n2 else 0)
                other = (u * n1 + v) * n2 + w
                for s in range(atoms.held[other]):
                    m = atoms.members[other, s]
                    if m != skip and _squared(box, atoms, m, x, y, z) < NEAR * NEAR:
                        return True
    return False


@njit(cache=True, error_model="numpy")
def host_at(box, a, b, c):
    """Energy (K) in the host at fractions of the box."""
    return site_energy(box.grids, 0, a * box.repeats[0], b * box.repeats[1], c * box.repeats[2])


@njit(cache=True, error_model="numpy")
def _grow(box, atoms, skip, trials, best):
    """Draw trials over the box; their summed weight, with one drawn by weight in `best` (x, y, z, host, guest).

    Trials on closed voxels weigh nothing, so how many fall on open ones is drawn first, and only these are looked at.
    """
    h, random = box.cell, atoms.random
    nx, ny, nz = box.grids.shape[1], box.grids.shape[2], box.grids.shape[3]
    shares = box.open_share if trials == TRIALS else box.open_share_less_one
    total = 0.0
    draw = uniform(random)
    left = 0
    while draw >= shares[left] and left < trials:
        left += 1
    for _ in range(left):
        voxel = box.open_voxels[int(uniform(random) * len(box.open_voxels))]
        a = (voxel // (ny * nz) + uniform(random)) / nx + math.floor(uniform(random) * box.repeats[0])
        b = ((voxel // nz) % ny + uniform(random)) / ny + math.floor(uniform(random) * box.repeats[1])
        c = (voxel % nz + uniform(random)) / nz + math.floor(uniform(random) * box.repeats[2])
        a, b, c = a / box.repeats[0], b / box.repeats[1], c / box.repeats[2]
        x = a * h[0, 0] + b * h[1, 0] + c * h[2, 0]
        y = a * h[0, 1] + b * h[1, 1] + c * h[2, 1]
        z = a * h[0, 2] + b * h[1, 2] + c * h[2, 2]
        if _touches(box, atoms, skip, x, y, z, a, b, c):
            continue
        host = host_at(box, a, b, c)
        if host > HOPELESS:
            continue
        guest = pair_energies(box, atoms, skip, x, y, z, atoms.pair[1])
        weight = math.exp(-box.beta * (host + guest))
        total += weight
        if uniform(random) * total < weight:  # keeps each with its share of the sum so far
            best[0], best[1], best[2], best[3], best[4] = x, y, z, host, guest
    return total


@njit(cache=True, error_model="numpy")
def _leave_bin(atoms, j):
    where = atoms.bin[j]
    for s in range(atoms.held[where]):
        if atoms.members[where, s] == j:
            atoms.held[where] -= 1
            atoms.members[where, s] = atoms.members[where, atoms.held[where]]
            return


@njit(cache=True, error_model="numpy")
def _enter_bin(atoms, j, where):
    atoms.bin[j] = where
    atoms.members[where, atoms.held[where]] = j
    atoms.held[where] += 1


@njit(cache=True, error_model="numpy")
def _settle(box, atoms, j, x, y, z, host, guest, fresh):
    """Put atom j at a place, its energies there in `atoms.pair[1]`; `fresh` where it was not in the box before."""
    old, new = atoms.pair[0], atoms.pair[1]
    n = atoms.count[0]
    if fresh:
        for i in range(n):
            atoms.guest[i] += new[i]
    else:
        pair_energies(box, atoms, j, atoms.place[0, j], atoms.place[1, j], atoms.place[2, j], old)
        for i in range(n):
            atoms.guest[i] += new[i] - old[i]
        _leave_bin(atoms, j)
    a, b, c = fractional(box, x, y, z)
    atoms.place[0, j], atoms.place[1, j], atoms.place[2, j] = x, y, z
    atoms.host[j], atoms.guest[j] = host, guest
    _enter_bin(atoms, j, bin_of(box, a, b, c))


@njit(cache=True, error_model="numpy")
def _translate(box, atoms, j):
    random = atoms.random
    axis = min(int(3.0 * uniform(random)), 2)
    atoms.tried[axis] += 1
    x, y, z = atoms.place[0, j], atoms.place[1, j], atoms.place[2, j]
    by = (2.0 * uniform(random) - 1.0) * atoms.step[axis]
    if axis == 0:
        x += by
    elif axis == 1:
        y += by
    else:
        z += by
    a, b, c = fractional(box, x, y, z)
    if _touches(box, atoms, j, x, y, z, a, b, c):
        return
    host = host_at(box, a, b, c)
    threshold = -math.log(uniform(random) + 1e-300) / box.beta
    if host - atoms.host[j] > threshold + HOPELESS:
        return
    guest = pair_energies(box, atoms, j, x, y, z, atoms.pair[1])
    if host + guest - atoms.host[j] - atoms.guest[j] < threshold:
        atoms.accepted[axis] += 1
        _settle(box, atoms, j, x, y, z, host, guest, False)


@njit(cache=True, error_model="numpy")
def _reinsert(box, atoms, j, best):
    atoms.tried[3] += 1
    new = _grow(box, atoms, j, TRIALS, best)
    x, y, z, host = best[0], best[1], best[2], best[3]
    needed = uniform(atoms.random)
    own = math.exp(-box.beta * (atoms.host[j] + atoms.guest[j]))
    if new <= needed * own:  # the other trials of the old place can only add to its weight
        return
    if new > needed * (own + _grow(box, atoms, j, TRIALS - 1, best)):
        atoms.accepted[3] += 1
        guest = pair_energies(box, atoms, j, x, y, z, atoms.pair[1])
        _settle(box, atoms, j, x, y, z, host, guest, False)


@njit(cache=True, error_model="numpy")
def _insert(box, atoms, best):
    n = atoms.count[0]
    atoms.tried[4] += 1
    weight = _grow(box, atoms, -1, TRIALS, best) / TRIALS
    if uniform(atoms.random) * (n + 1) < box.ideal * weight:
        atoms.accepted[4] += 1
        guest = pair_energies(box, atoms, -1, best[0], best[1], best[2], atoms.pair[1])
        _settle(box, atoms, n, best[0], best[1], best[2], best[3], guest, True)
        atoms.count[0] = n + 1


@njit(cache=True, error_model="numpy")
def _delete(box, atoms, j, best):
    n = atoms.count[0]
    atoms.tried[5] += 1
    most = n / (box.ideal * uniform(atoms.random) + 1e-300) * TRIALS  # of the weight of the old place
    own = math.exp(-box.beta * (atoms.host[j] + atoms.guest[j]))
    if own >= most or own + _grow(box, atoms, j, TRIALS - 1, best) >= most:
        return
    atoms.accepted[5] += 1
    pair_energies(box, atoms, j, atoms.place[0, j], atoms.place[1, j], atoms.place[2, j], atoms.pair[0])
    for i in range(n):
        atoms.guest[i] -= atoms.pair[0, i]
    _leave_bin(atoms, j)
    last = n - 1
    if j != last:
        _leave_bin(atoms, last)
        for i in range(3):
            atoms.place[i, j] = atoms.place[i, last]
        atoms.host[j], atoms.guest[j] = atoms.host[last], atoms.guest[last]
        _enter_bin(atoms, j, atoms.bin[last])
    atoms.count[0] = last


@njit(cache=True, nogil=True, error_model="numpy")
def run(box, atoms, numbers, energies, tune_every):
    """Make cycles, one for each entry of `numbers`, and write the number of atoms and the energy (K) after each.

    Step lengths are tuned every `tune_every` cycles, never with zero.
    """
    random = atoms.random
    best = np.zeros(5)
    for cycle in range(len(numbers)):
        for _ in range(max(LEAST_MOVES, atoms.count[0])):
            draw = uniform(random)
            n = atoms.count[0]
            if draw >= SHARES[2]:
                if uniform(random) < 0.5:
                    _insert(box, atoms, best)
                elif n > 0:
                    _delete(box, atoms, min(int(uniform(random) * n), n - 1), best)
                continue
            if n == 0:
                continue
            j = min(int(uniform(random) * n), n - 1)
            if draw < SHARES[0]:
                _translate(box, atoms, j)
            elif draw >= SHARES[1]:
                _reinsert(box, atoms, j, best)
        n = atoms.count[0]
        numbers[cycle] = n
        energies[cycle] = atoms.host[:n].sum() + 0.5 * atoms.guest[:n].sum()
        if tune_every > 0 and cycle % tune_every == tune_every - 1:
            for axis in range(3):
                if atoms.tried[axis] > 0:
                    ratio = atoms.accepted[axis] / atoms.tried[axis] / _TARGET
                    atoms.step[axis] = min(max(atoms.step[axis] * min(max(ratio, 0.5), 1.5), 0.01), 1.0)
                    atoms.tried[axis], atoms.accepted[axis] = 0, 0
