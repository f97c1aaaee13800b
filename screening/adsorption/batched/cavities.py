"""Tables for insertions into cavities (`gcmc_insertion.py`): which voxels of the box a guest takes from others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from screening.adsorption.batched.ewald import COULOMB
from screening.adsorption.batched.host_field import mixed, random_turns
from screening.adsorption.gases import Gas

# kT; where even the best of all orientations costs this, another guest is in the way. In a dense fluid a molecule
# squeezed in against one neighbour is often held by the others, so the larger finds more there.
REPULSIONS = (6.0, 20.0)
_ORIENTATIONS = 2000
_STEP = 0.05  # Å
_LARGEST = 6.0  # Å


def exclusion_distance(
    first: Gas, second: Gas, temperature: float, repulsion: float, rng: np.random.Generator
) -> float:
    """Distance (Å) of two centres below which a pair of molecules costs `repulsion` kT or more in every orientation.

    Lennard-Jones (Lorentz-Berthelot) and bare charges, least energy of random orientations.
    """
    sites_a, sites_b = (np.array([site.position for site in gas.sites]) for gas in (first, second))
    (eps_a, sig_a, q_a), (eps_b, sig_b, q_b) = (
        np.array([[site.epsilon, site.sigma, site.charge] for site in gas.sites]).T for gas in (first, second)
    )
    epsilon, sigma = mixed(eps_a, sig_a, eps_b, sig_b)
    turns = [random_turns(rng.random((_ORIENTATIONS, 3))) for _ in range(2)]
    placed_a, placed_b = (
        np.einsum("nij,mj->nmi", turn, sites) for turn, sites in zip(turns, (sites_a, sites_b), strict=True)
    )
    apart = placed_b[:, None] - placed_a[:, :, None]  # [n, a, b, 3]
    reached = 0.0
    for distance in np.arange(_STEP, _LARGEST, _STEP):
        r = np.linalg.norm(apart + np.array([distance, 0.0, 0.0]), axis=-1)
        power = (sigma / np.maximum(r, 0.3)) ** 6
        energy = (4.0 * epsilon * (power**2 - power) + COULOMB * np.outer(q_a, q_b) / np.maximum(r, 0.3)).sum((1, 2))
        overlaps = (r < 0.5 * sigma).any((1, 2))  # opposite charges atop each other are no bond
        if np.where(overlaps, np.inf, energy).min() < repulsion * temperature:
            break
        reached = float(distance)
    return reached


def cavity_tables(
    cell: np.ndarray,
    voxels: np.ndarray,
    gases: Sequence[Gas],
    temperature: float,
    repulsion: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The fields of the kernel's `Model` that say which voxels a guest takes.

    Args:
        cell: [3, 3] Å, of the unit cell.
        voxels: [3] along its edges.
        gases: the components.
        temperature: K.
        repulsion: kT; see `exclusion_distance`.
        rng: of the orientations tried.
    """
    n = len(gases)
    exclusion = np.zeros((n, n))
    for i in range(n):
        for j in range(i, n):
            exclusion[i, j] = exclusion[j, i] = exclusion_distance(gases[i], gases[j], temperature, repulsion, rng)
    edges = cell / np.asarray(voxels)[:, None]  # [3, 3] Å, of a voxel
    slack = 0.5 * np.abs(np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]) @ edges)
    margin = float(np.linalg.norm(slack, axis=1).max())
    heights = 1.0 / np.linalg.norm(np.linalg.inv(edges), axis=0)
    most = np.ceil((exclusion.max() + margin) / heights).astype(int)
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij")
    steps = np.stack(grid, axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(steps @ edges, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] < exclusion.max() + margin]
    within = np.searchsorted(lengths[order], exclusion + margin)
    return {
        "voxel_volume": abs(float(np.linalg.det(edges))),
        "exclusion": exclusion,
        "stencil": steps[order] @ edges,
        "steps_to": steps[order].astype(np.int64),
        "stencil_length": np.where(exclusion > 0.0, within, 0).astype(np.int64),
    }
