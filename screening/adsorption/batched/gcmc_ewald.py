"""The compiled part of the Ewald sum between guests: what one molecule does to the reciprocal sum.

The structure factor S(k) of all guests is kept; a move changes it by that of one molecule, and the reciprocal energy by
sum_k w(k) (|S + change|^2 - |S|^2) (D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed., ch. 12). The
host's part of the sum is in its energy grid. Imports numba, as `gcmc_kernel.py` does.
"""

import math

from numba import njit


@njit(cache=True, fastmath=True, error_model="numpy")
def molecule_factor(model, component, centre, sites, powers, factor):
    """Write sum_s q_s exp(i k r_s) of a molecule into `factor` [n_k, 2], real and imaginary part.

    `powers` [3, 2 most + 1, 2] is room for exp(2 pi i m x) of the three fractional coordinates.
    """
    inverse = model.box_inverse
    most = model.most_wave
    factor[:] = 0.0
    for s in range(model.site_count[component]):
        charge = model.charge[model.site_kind[component, s]]
        if charge == 0.0:
            continue
        x, y, z = centre[0] + sites[s, 0], centre[1] + sites[s, 1], centre[2] + sites[s, 2]
        for axis in range(3):
            phase = 2.0 * math.pi * (x * inverse[0, axis] + y * inverse[1, axis] + z * inverse[2, axis])
            cosine, sine = math.cos(phase), math.sin(phase)
            powers[axis, most, 0], powers[axis, most, 1] = 1.0, 0.0
            for m in range(most):
                a, b = powers[axis, most + m, 0], powers[axis, most + m, 1]
                a, b = a * cosine - b * sine, a * sine + b * cosine
                powers[axis, most + m + 1, 0], powers[axis, most + m + 1, 1] = a, b
                powers[axis, most - m - 1, 0], powers[axis, most - m - 1, 1] = a, -b
        for k in range(len(factor)):
            i, j, n = model.waves[k, 0] + most, model.waves[k, 1] + most, model.waves[k, 2] + most
            a = powers[0, i, 0] * powers[1, j, 0] - powers[0, i, 1] * powers[1, j, 1]
            b = powers[0, i, 0] * powers[1, j, 1] + powers[0, i, 1] * powers[1, j, 0]
            factor[k, 0] += charge * (a * powers[2, n, 0] - b * powers[2, n, 1])
            factor[k, 1] += charge * (a * powers[2, n, 1] + b * powers[2, n, 0])


@njit(cache=True, fastmath=True, error_model="numpy")
def reciprocal_change(model, total, gained, lost, sign_gained, sign_lost):
    """Change (K) of the reciprocal energy when S becomes S + sign_gained gained + sign_lost lost, all [n_k, 2]."""
    change = 0.0
    for k in range(len(total)):
        for part in range(2):
            step = sign_gained * gained[k, part] + sign_lost * lost[k, part]
            change += model.wave_weights[k] * step * (2.0 * total[k, part] + step)
    return change


@njit(cache=True, error_model="numpy")
def take_over(total, gained, lost, sign_gained, sign_lost):
    """Make the change in the kept structure factor."""
    for k in range(len(total)):
        for part in range(2):
            total[k, part] += sign_gained * gained[k, part] + sign_lost * lost[k, part]
