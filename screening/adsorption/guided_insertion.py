"""Insertions for a dear potential, drawn where a cheap classical force field says that molecules bind.

A pool of places and turns is drawn uniformly over the cell and weighed on a classical energy grid; of the pool some
are drawn again, with probability h, to be evaluated. Each then counts with exp(-E/kT) / (M h), M the size of the pool,
so that the average is that of uniform insertion whatever the guide: a poor one costs error bars, never a bias
(importance resampling of B. Widom, J. Chem. Phys. 39, 2808 (1963)). To survive a guide that is wrong, part of the draws
are even over whatever the guide does not call a hard overlap, and a few over everything.
"""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from potentials.errors import GeometryError, InputError
from screening.adsorption.batched.energy_grid import energy_grid
from screening.adsorption.batched.host_field import host_field, random_turns
from screening.adsorption.batched.proposal import MoleculeGrid, grid_energies, molecule_grid, systematic
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.guests import Guest
from screening.adsorption.seeds import derive_seed

GRID_SPACING = 0.3  # Å
_SHARES = (0.75, 0.23, 0.02)  # of draws: by the guide, even where it sees no hard overlap, over everything
_WARMER = 2.0  # times the temperature in the guide's weights: two force fields seldom agree to a kT
_HARD = 50.0  # kT


@dataclass(frozen=True)
class Drawn:
    """Insertions to be evaluated."""

    sites: np.ndarray  # [n, m, 3] Å, atoms of the molecule
    weights: np.ndarray  # [n] what each counts for; uniform insertions count one each
    words: str  # how they were drawn


def uniform_insertions(structure: Structure, guest: Guest, count: int, seed: int) -> Drawn:
    """Molecules placed and turned uniformly at random in the cell."""
    rng = np.random.default_rng(seed)
    centres = rng.random((count, 3))
    turns = random_turns(rng.random((count, 3)))
    return Drawn(_atoms(structure, guest, centres, turns), np.ones(count), "drawn uniformly")


def guided_insertions(
    structure: Structure,
    guest: Guest,
    temperature: float,
    count: int,
    *,
    force_field: str,
    pool: int,
    blocks: int,
    seed: int,
) -> Drawn:
    """Molecules drawn by a classical force field, in independent blocks of equal size.

    Args:
        structure: ordered periodic framework.
        guest: the molecule.
        temperature: K.
        count: insertions to draw.
        force_field: classical, by name; where it cannot describe framework or gas, insertions are uniform.
        pool: uniform insertions weighed on its grid for one drawn.
        blocks: parts with a pool of their own.
        seed: the result is a function of the arguments alone.
    """
    try:
        grid = _classical(structure, guest, force_field)
    except (InputError, GeometryError) as error:
        even = uniform_insertions(structure, guest, count, seed)
        return Drawn(even.sites, even.weights, f"drawn uniformly, since {force_field} cannot guide: {error}")
    sites, weights = [], []
    for block, part in enumerate(np.array_split(np.arange(count), blocks)):
        rng = np.random.default_rng(derive_seed(seed, "guided", block))
        size = pool * len(part)
        centres, turns = rng.random((size, 3)), random_turns(rng.random((size, 3)))
        exponent = grid_energies(grid, centres, turns) / temperature
        probability = draw_probabilities(exponent)
        chosen = systematic(probability, len(part), rng)
        sites.append(_atoms(structure, guest, centres[chosen], turns[chosen]))
        weights.append(1.0 / (size * probability[chosen]))
    words = f"drawn from {pool} times as many by {force_field}"
    return Drawn(np.concatenate(sites), np.concatenate(weights), words)


def draw_probabilities(exponent: np.ndarray) -> np.ndarray:
    """Probability [n] of each of a pool to be drawn, from its classical energy over kT [n]."""
    warm = np.exp(-(exponent - exponent.min()) / _WARMER)
    open_ = (exponent < _HARD).astype(float)
    parts = (warm / warm.sum(), open_ / max(open_.sum(), 1.0), np.full(len(exponent), 1.0 / len(exponent)))
    probability = np.asarray(sum(share * part for share, part in zip(_SHARES, parts, strict=True)))
    return np.asarray(probability / probability.sum())


def _classical(structure: Structure, guest: Guest, force_field: str) -> MoleculeGrid:
    host = prepare_host(structure, HostGuestModel(force_field=force_field))
    gas = find_gas(host.force_field.gases, guest.name)
    field = host_field(host, [gas])
    return molecule_grid(energy_grid(field, GRID_SPACING), field.types, gas)


def _atoms(structure: Structure, guest: Guest, centres: np.ndarray, turns: np.ndarray) -> np.ndarray:
    placed = (centres @ structure.lattice.matrix)[:, None] + np.einsum("nij,mj->nmi", turns, guest.positions)
    return np.asarray(placed)
