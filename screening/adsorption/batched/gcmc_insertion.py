"""Where the compiled Monte Carlo inserts: a density known from the host, in part kept to cavities between the guests.

With probability `cavity_share` a centre is drawn among the roomy voxels (where the host's density rho is no less than a
twentieth of its peak) that no guest has taken; else from rho itself. The density of a centre in voxel v is then

    rho(v) (1 - share + share free(v) / F),    F = sum of rho dV over the free roomy voxels,

and dividing by it in the acceptance rule (of the insertion, and of its reverse with the molecule taken out) keeps
detailed balance whatever is called taken: M. Mezei, Mol. Phys. 40, 901 (1980), with F counted exactly instead of
estimated. A voxel is taken by a guest whose centre is nearer than the distance at which two molecules repel in every
orientation; a poor choice costs acceptance, not exactness. Free voxels are kept in a list, so that a draw costs the
same in full pores, where one voxel in thousands is free. Imports numba.
"""

import math

from numba import njit

from screening.adsorption.batched.gcmc_random import uniform


@njit(cache=True, error_model="numpy")
def _mixed(model, state, component, voxel, place):
    """Density (1/Å^3) of insertions in a voxel of the cell that lies at `place` in the box."""
    density = model.density[component, voxel]
    if model.cavity_share == 0.0:
        return density
    share = 1.0 - model.cavity_share
    if state.taken[component, place] == 0 and model.roomy[component, voxel]:
        share += model.cavity_share / state.free[component]
    return density * share


@njit(cache=True, error_model="numpy")
def draw_centre(model, state, component, centre):
    """Draw a centre into `centre`; its density (1/Å^3), zero where none can be drawn."""
    random = state.random
    n0, n1, n2 = model.voxels[0], model.voxels[1], model.voxels[2]
    m1, m2 = n1 * model.repeats[1], n2 * model.repeats[2]
    if model.cavity_share > 0.0 and uniform(random) < model.cavity_share:
        if state.free_count[component] == 0:
            return 0.0
        while True:
            place = state.free_list[component, int(uniform(random) * state.free_count[component])]
            i, j, k = place // (m1 * m2), (place // m2) % m1, place % m2
            voxel = ((i % n0) * n1 + j % n1) * n2 + k % n2
            if uniform(random) * model.peak[component] < model.density[component, voxel]:
                break
    else:
        scaled = uniform(random) * model.density.shape[1]
        voxel = int(scaled)
        if scaled - voxel >= model.alias_share[component, voxel]:
            voxel = model.alias[component, voxel]
        i = voxel // (n1 * n2) + n0 * int(uniform(random) * model.repeats[0])
        j = (voxel // n2) % n1 + n1 * int(uniform(random) * model.repeats[1])
        k = voxel % n2 + n2 * int(uniform(random) * model.repeats[2])
        place = (i * m1 + j) * m2 + k
    x, y, z = (i + uniform(random)) / n0, (j + uniform(random)) / n1, (k + uniform(random)) / n2
    for axis in range(3):
        centre[axis] = x * model.cell[0, axis] + y * model.cell[1, axis] + z * model.cell[2, axis]
    return _mixed(model, state, component, voxel, place)


@njit(cache=True, error_model="numpy")
def _in_voxels(model, centre, axis):
    """Place of a point along an axis of the box, in voxels."""
    f = (
        centre[0] * model.cell_inverse[0, axis]
        + centre[1] * model.cell_inverse[1, axis]
        + centre[2] * model.cell_inverse[2, axis]
    )
    most = model.repeats[axis]
    inside = (f - math.floor(f / most) * most) * model.voxels[axis]
    return min(max(inside, 0.0), model.voxels[axis] * most * (1.0 - 1e-15))


@njit(cache=True, error_model="numpy")
def density_at(model, state, component, centre):
    """Density (1/Å^3) with which a centre would be drawn now."""
    n0, n1, n2 = model.voxels[0], model.voxels[1], model.voxels[2]
    i, j, k = int(_in_voxels(model, centre, 0)), int(_in_voxels(model, centre, 1)), int(_in_voxels(model, centre, 2))
    voxel = ((i % n0) * n1 + j % n1) * n2 + k % n2
    return _mixed(model, state, component, voxel, (i * n1 * model.repeats[1] + j) * n2 * model.repeats[2] + k)


@njit(cache=True, error_model="numpy")
def most_density(model, state, component, centre):
    """What `density_at` can be at most once any one guest is taken out: that frees voxels, never takes any."""
    n1, n2 = model.voxels[1], model.voxels[2]
    i, j, k = int(_in_voxels(model, centre, 0)), int(_in_voxels(model, centre, 1)), int(_in_voxels(model, centre, 2))
    voxel = ((i % model.voxels[0]) * n1 + j % n1) * n2 + k % n2
    if state.free_count[component] == 0:
        return math.inf
    return model.density[component, voxel] * (1.0 - model.cavity_share + model.cavity_share / state.free[component])


@njit(cache=True, error_model="numpy")
def mark(model, state, guest, centre, sign):
    """Take (sign 1) or give back (-1) the voxels around a guest of component `guest`."""
    n0, n1, n2 = model.voxels[0], model.voxels[1], model.voxels[2]
    m0, m1, m2 = n0 * model.repeats[0], n1 * model.repeats[1], n2 * model.repeats[2]
    u, v, w = _in_voxels(model, centre, 0), _in_voxels(model, centre, 1), _in_voxels(model, centre, 2)
    i, j, k = int(u), int(v), int(w)
    u, v, w = (u - i - 0.5) / n0, (v - j - 0.5) / n1, (w - k - 0.5) / n2
    cell = model.cell
    x = u * cell[0, 0] + v * cell[1, 0] + w * cell[2, 0]
    y = u * cell[0, 1] + v * cell[1, 1] + w * cell[2, 1]
    z = u * cell[0, 2] + v * cell[1, 2] + w * cell[2, 2]
    for component in range(len(state.count)):
        square = model.exclusion[component, guest] ** 2
        for s in range(model.stencil_length[component, guest]):
            dx, dy, dz = model.stencil[s, 0] - x, model.stencil[s, 1] - y, model.stencil[s, 2] - z
            if dx * dx + dy * dy + dz * dz >= square:
                continue
            a, b, c = i + model.steps_to[s, 0], j + model.steps_to[s, 1], k + model.steps_to[s, 2]
            a += m0 if a < 0 else (-m0 if a >= m0 else 0)
            b += m1 if b < 0 else (-m1 if b >= m1 else 0)
            c += m2 if c < 0 else (-m2 if c >= m2 else 0)
            place = (a * m1 + b) * m2 + c
            before = state.taken[component, place]
            state.taken[component, place] = before + sign
            if before == 0 or before + sign == 0:
                voxel = ((a % n0) * n1 + b % n1) * n2 + c % n2
                if model.roomy[component, voxel]:
                    _account(model, state, component, voxel, place, sign)


@njit(cache=True, error_model="numpy")
def _account(model, state, component, voxel, place, sign):
    """Strike a roomy voxel that was taken off the list of free ones (sign 1), or enter one given back (-1)."""
    free, where = state.free_list[component], state.free_place[component]
    if sign > 0:
        last = free[state.free_count[component] - 1]
        free[where[place]] = last
        where[last] = where[place]
        state.free_count[component] -= 1
    else:
        free[state.free_count[component]] = place
        where[place] = state.free_count[component]
        state.free_count[component] += 1
    state.free[component] -= sign * model.density[component, voxel] * model.voxel_volume


@njit(cache=True, error_model="numpy")
def mark_all(model, state, total):
    """Count the taken voxels anew for the guests there are."""
    state.taken[:] = 0
    n0, n1, n2 = model.voxels[0], model.voxels[1], model.voxels[2]
    m0, m1, m2 = n0 * model.repeats[0], n1 * model.repeats[1], n2 * model.repeats[2]
    for component in range(len(state.count)):
        state.free[component], state.free_count[component] = 0.0, 0
        for place in range(m0 * m1 * m2):
            i, j, k = place // (m1 * m2), (place // m2) % m1, place % m2
            voxel = ((i % n0) * n1 + j % n1) * n2 + k % n2
            if model.roomy[component, voxel]:
                _account(model, state, component, voxel, place, -1)
    for j in range(total):
        mark(model, state, state.component[j], state.centres[j], 1)
