"""The compiled inner loop of grand-canonical Monte Carlo: one replica, many moves.

Importing this module loads numba; only `gcmc.py` does, and only when a run starts. Numbers are in Å, K and e; a
replica's random numbers are its own, so results do not depend on how many run at once. `error_model="numpy"` leaves out
numba's check of every division, which makes the sum over pairs 1.7 times as fast and changes no result.

Acceptance rules: D. Frenkel, B. Smit, Understanding Molecular Simulation, ch. 5, with insertions drawn from a known
density instead of a uniform one (`gcmc_insertion.py`).
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit

from screening.adsorption.batched.gcmc_ewald import molecule_factor, reciprocal_change, take_over
from screening.adsorption.batched.gcmc_insertion import density_at, draw_centre, mark, mark_all, most_density
from screening.adsorption.batched.gcmc_random import quaternion_turn, random_turn, uniform

COMPRESSION = 1000.0  # K; grids hold asinh(U / COMPRESSION), smooth where U is steep
_FORBIDDEN = 1e30  # K
_HOPELESS = 100.0  # kT; no other site of a molecule makes up for one that is this high
_HOPELESS_SUM = 1000.0  # kT; no other guests make up for one that repels like this
_TOUCHING = 0.8  # Å^2; nearer, two molecules overlap whatever their charges

# What costs as much as so many distances between molecules that are far apart: a move besides its pairs (grids, random
# numbers), a pair of sites with its energy, a wave vector for a site.
_MOVE, _SITE_PAIR, _WAVE = 20.0, 2.0, 2.0

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
        "voxel_volume",  # Å^3
        "roomy",  # [c, v] voxels in which cavities are sought
        "peak",  # [c] 1/Å^3, largest density
        "cavity_share",  # of insertions sought between the guests; 0 keeps no account of cavities
        "exclusion",  # [c, c] Å; centres nearer than that repel in every orientation
        "stencil",  # [m, 3] Å from the middle of a voxel to those of its neighbours, near ones first
        "steps_to",  # [m, 3] the same in voxels
        "stencil_length",  # [c, c] of these, those that may be within `exclusion`
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
        "taken",  # [c, v of the box] guests that exclude a centre from a voxel, int16
        "free",  # [c] probability of all roomy voxels no guest has taken
        "free_list",  # [c, v of the box] these voxels, int32
        "free_place",  # [c, v of the box] where each stands in the list, int32
        "free_count",  # [c] how many there are
        "factor",  # [n_k, 2] structure factor of all guests, real and imaginary
        "steps",  # [c, 2] largest translation in Å, largest rotation in rad
        "tried",  # [c, 5]
        "accepted",  # [c, 5]
        "work",  # [1] done so far: distances looked at, and what costs about as much
        "random",  # [4] uint64
    ],
)


@njit(cache=True, inline="always", error_model="numpy")
def _catmull_rom(x):
    """Weights of the four points around, x in [0, 1) beyond the second (R. Keys, IEEE Trans. ASSP 29, 1153 (1981))."""
    return (
        0.5 * x * (x * (2.0 - x) - 1.0),
        0.5 * (x * x * (3.0 * x - 5.0) + 2.0),
        0.5 * x * (x * (4.0 - 3.0 * x) + 1.0),
        0.5 * x * x * (x - 1.0),
    )


@njit(cache=True, fastmath=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, fastmath=True, error_model="numpy")
def guest_energy(model, state, total, skip, component, centre, sites):
    """Energy (K) of a molecule with all others but `skip`, without tails; `_FORBIDDEN` when two overlap."""
    box, inverse = model.box, model.box_inverse
    limit = model.cutoff**2
    hopeless = _HOPELESS_SUM / model.beta
    energy = 0.0
    near = 0
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
        near += model.site_count[component] * model.site_count[other]
        for a in range(model.site_count[component]):
            ka = model.site_kind[component, a]
            for b in range(model.site_count[other]):
                kb = model.site_kind[other, b]
                x = dx + state.sites[j, b, 0] - sites[a, 0]
                y = dy + state.sites[j, b, 1] - sites[a, 1]
                z = dz + state.sites[j, b, 2] - sites[a, 2]
                square = x * x + y * y + z * z
                if square < _TOUCHING:
                    state.work[0] += j + _SITE_PAIR * near
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
            state.work[0] += j + _SITE_PAIR * near
            return _FORBIDDEN
    state.work[0] += total + _SITE_PAIR * near
    return energy


@njit(cache=True, error_model="numpy")
def _place(model, component, turn, sites):
    for s in range(model.site_count[component]):
        for i in range(3):
            sites[s, i] = 0.0
            for k in range(3):
                sites[s, i] += turn[i, k] * model.site_position[component, s, k]


@njit(cache=True, error_model="numpy")
def _pick(state, total, component, random):
    """Index of a random molecule of a component."""
    wanted = int(uniform(random) * state.count[component])
    for j in range(total):
        if state.component[j] == component:
            if wanted == 0:
                return j
            wanted -= 1
    return -1


@njit(cache=True, error_model="numpy")
def _tail(model, state, component, with_itself):
    """Tail energy (K) between one molecule of a component and all that are counted; half of it with itself."""
    energy = 0.5 * with_itself * model.pair_tail[component, component]
    for other in range(len(state.count)):
        energy += state.count[other] * model.pair_tail[component, other]
    return energy


@njit(cache=True, error_model="numpy")
def _write(state, j, component, centre, turn, sites, energy):
    state.centres[j] = centre
    state.turns[j] = turn
    state.sites[j] = sites
    state.component[j] = component
    state.host_energy[j] = energy


@njit(cache=True, error_model="numpy")
def _lost_by_deletion(model, state, total, j, component, powers, given):
    """What the guest-guest energy (K) gains when molecule j goes; its structure factor is left in `given`."""
    lost = guest_energy(model, state, total, j, component, state.centres[j], state.sites[j])
    lost += _tail(model, state, component, -1.0) + model.own_energy[component]
    if len(given):
        molecule_factor(model, component, state.centres[j], state.sites[j], powers, given)
        lost -= reciprocal_change(model, state.factor, given, given, 0.0, -1.0)
    return -lost


@njit(cache=True, error_model="numpy")
def _propose(model, state, kind, component, j, centre, turn, spin):
    """Write the place a molecule is tried at into `centre` and `turn`; log of the bias, or nan where there is none."""
    random = state.random
    if kind in (INSERT, REINSERT):
        density = draw_centre(model, state, component, centre)
        if density == 0.0:
            return math.nan
        random_turn(random, turn)
        if kind == INSERT:
            return math.log(model.activity[component] / ((state.count[component] + 1) * density))
        before = density_at(model, state, component, state.centres[j])
        return math.log(before / density) if before > 0.0 else math.nan
    if kind == TRANSLATE:
        for i in range(3):
            centre[i] = state.centres[j, i] + (2.0 * uniform(random) - 1.0) * state.steps[component, 0]
        turn[:] = state.turns[j]
        return 0.0
    angle = uniform(random) * state.steps[component, 1] * 0.5
    z = 2.0 * uniform(random) - 1.0
    azimuth = 2.0 * math.pi * uniform(random)
    across = math.sqrt(1.0 - z * z) * math.sin(angle)
    quaternion_turn(across * math.cos(azimuth), across * math.sin(azimuth), z * math.sin(angle), math.cos(angle), spin)
    for a in range(3):
        for b in range(3):
            turn[a, b] = (
                spin[a, 0] * state.turns[j, 0, b]
                + spin[a, 1] * state.turns[j, 1, b]
                + spin[a, 2] * state.turns[j, 2, b]
            )
    centre[:] = state.centres[j]
    return 0.0


@njit(cache=True, error_model="numpy")
def _accepts(model, state, total, kind, component, j, centre, sites, log_bias, powers, gained, given):
    """(accepted, new host energy, change of the guest-guest energy), K, of a move that ends with a molecule."""
    hosted = host_energy(model, component, centre, sites)
    if hosted >= 0.5 * _FORBIDDEN:
        return False, 0.0, 0.0
    inserted = kind == INSERT
    old = 0.0 if inserted else state.host_energy[j]
    threshold = math.log(uniform(state.random) + 1e-300)
    # guests attract by less than this; most trials end here, before the pairs are summed
    if threshold > log_bias - model.beta * (hosted - old) + 60.0:
        return False, 0.0, 0.0
    change = guest_energy(model, state, total, j, component, centre, sites)
    if change >= 0.5 * _FORBIDDEN:
        return False, 0.0, 0.0
    if inserted:
        change += _tail(model, state, component, 1.0) + model.own_energy[component]
    else:
        change -= guest_energy(model, state, total, j, component, state.centres[j], state.sites[j])
    if len(gained):
        molecule_factor(model, component, centre, sites, powers, gained)
        if not inserted:
            molecule_factor(model, component, state.centres[j], state.sites[j], powers, given)
        change += reciprocal_change(model, state.factor, gained, given, 1.0, 0.0 if inserted else -1.0)
    return threshold < log_bias - model.beta * (hosted - old + change), hosted, change


@njit(cache=True, nogil=True, error_model="numpy")
def run(model, state, samples, stride, tune):
    """Make `stride` moves between samples and write (counts, host-guest, guest-guest energy) into `samples`.

    Returns False when the replica is full: more molecules than the state has room for.
    """
    random = state.random
    components = len(state.count)
    n_sites = state.sites.shape[1]
    centre, turn, sites = np.zeros(3), np.zeros((3, 3)), np.zeros((n_sites, 3))
    spin = np.zeros((3, 3))
    waves = len(model.waves)
    powers = np.zeros((3, 2 * model.most_wave + 1, 2))
    gained, given = np.zeros((waves, 2)), np.zeros((waves, 2))
    cavities = model.cavity_share > 0.0
    total = 0
    for c in range(components):
        total += state.count[c]
    if cavities:
        mark_all(model, state, total)
    for sample in range(len(samples)):
        state.work[0] += stride * (_MOVE + _WAVE * waves * n_sites)
        for _ in range(stride):
            component = int(uniform(random) * components)
            draw = uniform(random)
            kind = 0
            while draw >= model.moves[kind]:
                kind += 1
            j = -1
            if kind != INSERT:
                if state.count[component] == 0:
                    if kind == DELETE:
                        state.tried[component, DELETE] += 1
                    continue
                j = _pick(state, total, component, random)
            state.tried[component, kind] += 1
            if kind == DELETE:
                gain = _lost_by_deletion(model, state, total, j, component, powers, given)
                # the density an insertion back to here would be drawn with, over what makes it likely
                needed = math.log(uniform(random) + 1e-300) + model.beta * (gain - state.host_energy[j])
                needed += math.log(model.activity[component] / state.count[component])
                place = state.centres[j]
                if cavities and math.log(most_density(model, state, component, place) + 1e-300) <= needed:
                    continue  # whatever its leaving frees; most deletions from full pores end here
                if cavities:
                    mark(model, state, component, place, -1)
                density = density_at(model, state, component, place)
                if density <= 0.0 or math.log(density) <= needed:
                    if cavities:
                        mark(model, state, component, place, 1)
                    continue
                state.energy[0] -= state.host_energy[j]
                state.energy[1] += gain
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
            # what can be drawn, and how likely, is judged with the molecule taken out
            lifted = cavities and kind == REINSERT
            if lifted:
                mark(model, state, component, state.centres[j], -1)
            log_bias = _propose(model, state, kind, component, j, centre, turn, spin)
            accepted, hosted, change = False, 0.0, 0.0
            if not math.isnan(log_bias):
                _place(model, component, turn, sites)
                accepted, hosted, change = _accepts(
                    model, state, total, kind, component, j, centre, sites, log_bias, powers, gained, given
                )
            if not accepted:
                if lifted:
                    mark(model, state, component, state.centres[j], 1)
                continue
            if cavities and kind == TRANSLATE:
                mark(model, state, component, state.centres[j], -1)
            if cavities and kind != ROTATE:
                mark(model, state, component, centre, 1)
            state.energy[0] += hosted
            state.energy[1] += change
            if kind == INSERT:
                if total >= len(state.component):
                    return False
                j = total
                total += 1
                state.count[component] += 1
            else:
                state.energy[0] -= state.host_energy[j]
            _write(state, j, component, centre, turn, sites, hosted)
            if waves:
                take_over(state.factor, gained, given, 1.0, 0.0 if kind == INSERT else -1.0)
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
