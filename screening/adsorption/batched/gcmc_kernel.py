"""The compiled inner loop of grand-canonical Monte Carlo: one replica, many moves.

Importing this module loads numba; only `gcmc.py` does, and only when a run starts. Numbers are in Å, K and e; a
replica's random numbers are its own, so results do not depend on how many run at once.

Random numbers: xoshiro256+ (D. Blackman, S. Vigna, ACM Trans. Math. Softw. 47, 36 (2021)). Acceptance rules:
D. Frenkel, B. Smit, Understanding Molecular Simulation, ch. 5, with insertions drawn from a known density instead of
a uniform one, as in M. Mezei, Mol. Phys. 40, 901 (1980).
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit, uint64

from screening.adsorption.batched.gcmc_ewald import molecule_factor, reciprocal_change, take_over

COMPRESSION = 1000.0  # K; grids hold asinh(U / COMPRESSION), smooth where U is steep
_FORBIDDEN = 1e30  # K
_HOPELESS = 100.0  # kT; no other site of a molecule makes up for one that is this high
_HOPELESS_SUM = 1000.0  # kT; no other guests make up for one that repels like this
_TOUCHING = 0.8  # Å^2; nearer, two molecules overlap whatever their charges

TRANSLATE, ROTATE, REINSERT, INSERT, DELETE = range(5)

# What a run is of. Arrays over components c, sites s, site kinds k, voxels v.
Model = namedtuple(
    "Model",
    [
        "box",  # [3, 3] Å, of the simulation box
        "box_inverse",  # [3, 3]
        "cell",  # [3, 3] Å, of the unit cell
        "cell_inverse",  # [3, 3]
        "repeats",  # [3]
        "grids",  # [k, nx, ny, nz] float32, asinh(U / COMPRESSION) of a site and its charge in the host
        "site_count",  # [c]
        "site_kind",  # [c, s] index into grids and pair tables
        "site_position",  # [c, s, 3] Å, in the molecule's frame
        "reach",  # [c] Å, of the farthest site from the centre
        "repulsion",  # [k, k] K Å^12
        "attraction",  # [k, k] K Å^6
        "shift",  # [k, k] K
        "coulomb",  # [k, k] K Å, product of charges
        "cutoff",  # Å, of site pairs
        "centre_cutoff",  # Å, between centres, for electrostatics without an Ewald sum; 0 with one
        "charge",  # [k] e
        "alpha",  # 1/Å, of the Ewald sum between guests; 0 without one
        "waves",  # [n_k, 3] indices of its wave vectors in the box; none without one
        "wave_weights",  # [n_k] K/e^2
        "most_wave",  # largest index
        "own_energy",  # [c] K, of a molecule's charges with their own screening clouds
        "pair_tail",  # [c, c] K, energy of the tail for two molecules in the box, counted once
        "voxels",  # [3]
        "density",  # [c, v] 1/Å^3, of insertions in the box
        "alias_share",  # [c, v] of Walker's alias method
        "alias",  # [c, v]
        "blocked_centres",  # [b, 3] fractional in the unit cell, with images
        "blocked_squares",  # [b] Å^2
        "blocked_first",  # [c + 1] where the spheres of a component start
        "beta",  # 1/K
        "activity",  # [c] 1/Å^3, fugacity over kT
        "moves",  # [5] cumulative probabilities of the moves
    ],
)

# What a replica is in the middle of.
State = namedtuple(
    "State",
    [
        "centres",  # [n_max, 3] Å
        "turns",  # [n_max, 3, 3]
        "sites",  # [n_max, s, 3] Å from the centre
        "component",  # [n_max]
        "host_energy",  # [n_max] K
        "count",  # [c]
        "energy",  # [2] K: host-guest, guest-guest (tail included)
        "factor",  # [n_k, 2] structure factor of all guests, real and imaginary
        "steps",  # [c, 2] largest translation in Å, largest rotation in rad
        "tried",  # [c, 5]
        "accepted",  # [c, 5]
        "random",  # [4] uint64
    ],
)


@njit(cache=True, inline="always")
def _rotl(x, k):
    return (x << uint64(k)) | (x >> uint64(64 - k))


@njit(cache=True)
def _uniform(s):
    result = s[0] + s[3]
    t = s[1] << uint64(17)
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = _rotl(s[3], 45)
    return float(result >> uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, inline="always")
def _catmull_rom(x):
    """Weights of the four points around, x in [0, 1) beyond the second (R. Keys, IEEE Trans. ASSP 29, 1153 (1981))."""
    return (
        0.5 * x * (x * (2.0 - x) - 1.0),
        0.5 * (x * x * (3.0 * x - 5.0) + 2.0),
        0.5 * x * (x * (4.0 - 3.0 * x) + 1.0),
        0.5 * x * x * (x - 1.0),
    )


@njit(cache=True, fastmath=True)
def site_energy(grids, kind, fx, fy, fz):
    """Energy (K) at a fractional point by tricubic (Catmull-Rom) interpolation of the compressed grid."""
    nx, ny, nz = grids.shape[1], grids.shape[2], grids.shape[3]
    x, y, z = (fx - math.floor(fx)) * nx, (fy - math.floor(fy)) * ny, (fz - math.floor(fz)) * nz
    ix, iy, iz = int(x), int(y), int(z)
    x, y, z = x - ix, y - iy, z - iz
    wx, wy, wz = _catmull_rom(x), _catmull_rom(y), _catmull_rom(z)
    z0, z1, z2, z3 = (iz - 1 + nz) % nz, iz % nz, (iz + 1) % nz, (iz + 2) % nz
    value = 0.0
    for a in range(4):
        jx = (ix - 1 + a + nx) % nx
        plane = 0.0
        for b in range(4):
            jy = (iy - 1 + b + ny) % ny
            plane += wy[b] * (
                wz[0] * grids[kind, jx, jy, z0]
                + wz[1] * grids[kind, jx, jy, z1]
                + wz[2] * grids[kind, jx, jy, z2]
                + wz[3] * grids[kind, jx, jy, z3]
            )
        value += wx[a] * plane
    return COMPRESSION * math.sinh(value)


@njit(cache=True)
def host_energy(model, component, centre, sites):
    """Energy (K) of a molecule in the host; `_FORBIDDEN` where a site overlaps or is blocked."""
    inverse = model.cell_inverse
    energy = 0.0
    for s in range(model.site_count[component]):
        x, y, z = centre[0] + sites[s, 0], centre[1] + sites[s, 1], centre[2] + sites[s, 2]
        fx = x * inverse[0, 0] + y * inverse[1, 0] + z * inverse[2, 0]
        fy = x * inverse[0, 1] + y * inverse[1, 1] + z * inverse[2, 1]
        fz = x * inverse[0, 2] + y * inverse[1, 2] + z * inverse[2, 2]
        alone = site_energy(model.grids, model.site_kind[component, s], fx, fy, fz)
        if alone * model.beta > _HOPELESS:
            return _FORBIDDEN
        energy += alone
        for b in range(model.blocked_first[component], model.blocked_first[component + 1]):
            dx = fx - math.floor(fx) - model.blocked_centres[b, 0]
            dy = fy - math.floor(fy) - model.blocked_centres[b, 1]
            dz = fz - math.floor(fz) - model.blocked_centres[b, 2]
            square = 0.0
            for i in range(3):
                d = dx * model.cell[0, i] + dy * model.cell[1, i] + dz * model.cell[2, i]
                square += d * d
            if square < model.blocked_squares[b]:
                return _FORBIDDEN
    return energy


@njit(cache=True, fastmath=True)
def guest_energy(model, state, total, skip, component, centre, sites):
    """Energy (K) of a molecule with all others but `skip`, without tails; `_FORBIDDEN` when two overlap."""
    box, inverse = model.box, model.box_inverse
    limit = model.cutoff**2
    hopeless = _HOPELESS_SUM / model.beta
    energy = 0.0
    for j in range(total):
        if j == skip:
            continue
        other = state.component[j]
        dx, dy, dz = state.centres[j, 0] - centre[0], state.centres[j, 1] - centre[1], state.centres[j, 2] - centre[2]
        fx = math.floor(dx * inverse[0, 0] + dy * inverse[1, 0] + dz * inverse[2, 0] + 0.5)
        fy = math.floor(dx * inverse[0, 1] + dy * inverse[1, 1] + dz * inverse[2, 1] + 0.5)
        fz = math.floor(dx * inverse[0, 2] + dy * inverse[1, 2] + dz * inverse[2, 2] + 0.5)
        dx -= fx * box[0, 0] + fy * box[1, 0] + fz * box[2, 0]
        dy -= fx * box[0, 1] + fy * box[1, 1] + fz * box[2, 1]
        dz -= fx * box[0, 2] + fy * box[1, 2] + fz * box[2, 2]
        apart = dx * dx + dy * dy + dz * dz
        far = model.cutoff + model.reach[component] + model.reach[other]
        charges = apart < model.centre_cutoff**2
        screened = model.alpha > 0.0
        if apart > far * far and not charges:
            continue
        for a in range(model.site_count[component]):
            ka = model.site_kind[component, a]
            for b in range(model.site_count[other]):
                kb = model.site_kind[other, b]
                x = dx + state.sites[j, b, 0] - sites[a, 0]
                y = dy + state.sites[j, b, 1] - sites[a, 1]
                z = dz + state.sites[j, b, 2] - sites[a, 2]
                square = x * x + y * y + z * z
                if square < _TOUCHING:
                    return _FORBIDDEN
                if square < limit and model.repulsion[ka, kb] > 0.0:
                    s6 = 1.0 / (square * square * square)
                    energy += s6 * (model.repulsion[ka, kb] * s6 - model.attraction[ka, kb]) - model.shift[ka, kb]
                if charges and model.coulomb[ka, kb] != 0.0:
                    energy += model.coulomb[ka, kb] / math.sqrt(square)
                elif screened and square < limit and model.coulomb[ka, kb] != 0.0:
                    r = math.sqrt(square)
                    energy += model.coulomb[ka, kb] * math.erfc(model.alpha * r) / r
        if energy > hopeless:
            return _FORBIDDEN
    return energy


@njit(cache=True)
def _random_turn(random, turn):
    u, v, w = _uniform(random), 2.0 * math.pi * _uniform(random), 2.0 * math.pi * _uniform(random)
    _quaternion_turn(
        math.sqrt(1.0 - u) * math.sin(v),
        math.sqrt(1.0 - u) * math.cos(v),
        math.sqrt(u) * math.sin(w),
        math.sqrt(u) * math.cos(w),
        turn,
    )


@njit(cache=True)
def _quaternion_turn(x, y, z, s, turn):
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - s * z), 2 * (x * z + s * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = 2 * (x * y + s * z), 1 - 2 * (x * x + z * z), 2 * (y * z - s * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = 2 * (x * z - s * y), 2 * (y * z + s * x), 1 - 2 * (x * x + y * y)


@njit(cache=True)
def _place(model, component, turn, sites):
    for s in range(model.site_count[component]):
        for i in range(3):
            sites[s, i] = 0.0
            for k in range(3):
                sites[s, i] += turn[i, k] * model.site_position[component, s, k]


@njit(cache=True)
def _draw_centre(model, component, random, centre):
    """Draw a centre from the insertion density into `centre`; its density (1/Å^3)."""
    scaled = _uniform(random) * model.density.shape[1]
    voxel = int(scaled)
    if scaled - voxel >= model.alias_share[component, voxel]:
        voxel = model.alias[component, voxel]
    n1, n2 = model.voxels[1], model.voxels[2]
    corner = (voxel // (n1 * n2), (voxel // n2) % n1, voxel % n2)
    for i in range(3):
        centre[i] = 0.0
    for k in range(3):
        f = (corner[k] + _uniform(random)) / model.voxels[k] + int(_uniform(random) * model.repeats[k])
        for i in range(3):
            centre[i] += f * model.cell[k, i]
    return model.density[component, voxel]


@njit(cache=True)
def _density_at(model, component, centre):
    voxel = 0
    for k in range(3):
        f = (
            centre[0] * model.cell_inverse[0, k]
            + centre[1] * model.cell_inverse[1, k]
            + centre[2] * model.cell_inverse[2, k]
        )
        voxel = voxel * model.voxels[k] + min(int((f - math.floor(f)) * model.voxels[k]), model.voxels[k] - 1)
    return model.density[component, voxel]


@njit(cache=True)
def _pick(state, total, component, random):
    """Index of a random molecule of a component."""
    wanted = int(_uniform(random) * state.count[component])
    for j in range(total):
        if state.component[j] == component:
            if wanted == 0:
                return j
            wanted -= 1
    return -1


@njit(cache=True)
def _tail(model, state, component, with_itself):
    """Tail energy (K) between one molecule of a component and all that are counted; half of it with itself."""
    energy = 0.5 * with_itself * model.pair_tail[component, component]
    for other in range(len(state.count)):
        energy += state.count[other] * model.pair_tail[component, other]
    return energy


@njit(cache=True)
def _write(state, j, component, centre, turn, sites, energy):
    state.centres[j] = centre
    state.turns[j] = turn
    state.sites[j] = sites
    state.component[j] = component
    state.host_energy[j] = energy


@njit(cache=True, nogil=True)
def run(model, state, samples, stride, tune):
    """Make `stride` moves between samples and write (counts, host-guest, guest-guest energy) into `samples`.

    Returns False when the replica is full: more molecules than the state has room for.
    """
    random = state.random
    components = len(state.count)
    n_sites = state.sites.shape[1]
    centre, turn, sites = np.zeros(3), np.zeros((3, 3)), np.zeros((n_sites, 3))
    spin, fresh = np.zeros((3, 3)), np.zeros((3, 3))
    waves = len(model.waves)
    powers = np.zeros((3, 2 * model.most_wave + 1, 2))
    gained, given = np.zeros((waves, 2)), np.zeros((waves, 2))
    beta = model.beta
    total = 0
    for c in range(components):
        total += state.count[c]
    for sample in range(len(samples)):
        for _ in range(stride):
            component = int(_uniform(random) * components)
            draw = _uniform(random)
            kind = 0
            while draw >= model.moves[kind]:
                kind += 1
            if kind <= REINSERT or kind == DELETE:
                if state.count[component] == 0:
                    if kind == DELETE:
                        state.tried[component, DELETE] += 1
                    continue
                j = _pick(state, total, component, random)
            else:
                j = -1
            state.tried[component, kind] += 1
            log_bias = 0.0
            if kind == DELETE:
                lost = guest_energy(model, state, total, j, component, state.centres[j], state.sites[j])
                tail = _tail(model, state, component, -1.0)
                far = -model.own_energy[component]
                if waves:
                    molecule_factor(model, component, state.centres[j], state.sites[j], powers, given)
                    far += reciprocal_change(model, state.factor, gained, given, 0.0, -1.0)
                change = far - (lost + tail + state.host_energy[j])
                density = _density_at(model, component, state.centres[j])
                ratio = state.count[component] * density / model.activity[component]
                if ratio > 0.0 and math.log(_uniform(random) + 1e-300) < math.log(ratio) - beta * change:
                    state.energy[0] -= state.host_energy[j]
                    state.energy[1] += far - lost - tail
                    if waves:
                        take_over(state.factor, gained, given, 0.0, -1.0)
                    total -= 1
                    if j != total:
                        _write(
                            state, j, state.component[total], state.centres[total], state.turns[total],
                            state.sites[total], state.host_energy[total],
                        )  # fmt: skip
                    state.count[component] -= 1
                    state.accepted[component, DELETE] += 1
                continue
            if kind in (INSERT, REINSERT):
                density = _draw_centre(model, component, random, centre)
                if density == 0.0:
                    continue
                _random_turn(random, turn)
                if kind == INSERT:
                    log_bias = math.log(model.activity[component] / ((state.count[component] + 1) * density))
                else:
                    before = _density_at(model, component, state.centres[j])
                    if before == 0.0:
                        continue
                    log_bias = math.log(before / density)
            elif kind == TRANSLATE:
                for i in range(3):
                    centre[i] = state.centres[j, i] + (2.0 * _uniform(random) - 1.0) * state.steps[component, 0]
                turn[:] = state.turns[j]
            else:
                angle = _uniform(random) * state.steps[component, 1] * 0.5
                z = 2.0 * _uniform(random) - 1.0
                azimuth = 2.0 * math.pi * _uniform(random)
                across = math.sqrt(1.0 - z * z) * math.sin(angle)
                _quaternion_turn(
                    across * math.cos(azimuth), across * math.sin(azimuth), z * math.sin(angle), math.cos(angle), spin
                )
                fresh[:] = state.turns[j]
                for a in range(3):
                    for b in range(3):
                        turn[a, b] = spin[a, 0] * fresh[0, b] + spin[a, 1] * fresh[1, b] + spin[a, 2] * fresh[2, b]
                centre[:] = state.centres[j]
            _place(model, component, turn, sites)
            hosted = host_energy(model, component, centre, sites)
            if hosted >= 0.5 * _FORBIDDEN:
                continue
            old = 0.0 if kind == INSERT else state.host_energy[j]
            threshold = math.log(_uniform(random) + 1e-300)
            # guests attract by less than this; most trials end here, before the pairs are summed
            if threshold > log_bias - beta * (hosted - old) + 60.0:
                continue
            met = guest_energy(model, state, total, j, component, centre, sites)
            if met >= 0.5 * _FORBIDDEN:
                continue
            lost, tail, far = 0.0, 0.0, 0.0
            if kind == INSERT:
                tail = _tail(model, state, component, 1.0)
                far = model.own_energy[component]
            else:
                lost = guest_energy(model, state, total, j, component, state.centres[j], state.sites[j])
            taken = 0.0 if kind == INSERT else -1.0
            if waves:
                molecule_factor(model, component, centre, sites, powers, gained)
                if kind != INSERT:
                    molecule_factor(model, component, state.centres[j], state.sites[j], powers, given)
                far += reciprocal_change(model, state.factor, gained, given, 1.0, taken)
            change = hosted - old + met - lost + tail + far
            if threshold < log_bias - beta * change:
                if kind == INSERT:
                    if total >= len(state.component):
                        return False
                    _write(state, total, component, centre, turn, sites, hosted)
                    total += 1
                    state.count[component] += 1
                else:
                    _write(state, j, component, centre, turn, sites, hosted)
                state.energy[0] += hosted - old
                state.energy[1] += met - lost + tail + far
                if waves:
                    take_over(state.factor, gained, given, 1.0, taken)
                state.accepted[component, kind] += 1
        for c in range(components):
            samples[sample, c] = state.count[c]
        samples[sample, components] = state.energy[0]
        samples[sample, components + 1] = state.energy[1]
        if tune and sample % 20 == 19:
            for c in range(components):
                for m in range(2):
                    if state.tried[c, m] >= 100:
                        rate = state.accepted[c, m] / state.tried[c, m]
                        limit = 3.0 if m == 0 else math.pi
                        state.steps[c, m] = min(max(state.steps[c, m] * (1.1 if rate > 0.4 else 0.9), 0.02), limit)
                        state.tried[c, m] = 0
                        state.accepted[c, m] = 0
    return True
