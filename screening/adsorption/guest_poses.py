"""Poses of a guest in the pores of a framework, and how its energy there depends on the framework's charges.

Poses are drawn where the guest fits, first all over the cell, then around the best of the first, and weighed by the
density both together have there (multiple importance sampling with the balance heuristic: E. Veach, L. J. Guibas,
SIGGRAPH 1995). A few are kept, with probability by their Boltzmann weight with the framework's own charges, at the
temperature and at twice that, and without charges, so that sites which wrong charges would invent are among them too.
Each carries its share in the Henry coefficient (`potentials/guest_poses.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pydantic
import torch

from potentials.config import Config
from potentials.guest_poses import GuestPoses
from screening.adsorption.batched.ewald import (
    COULOMB,
    half_space,
    image_shifts,
    reciprocal_cutoff,
    reciprocal_weights,
    screening,
)
from screening.adsorption.batched.host_field import mixed, place_sites, random_turns, site_kinds, site_types
from screening.adsorption.force_fields import find_force_field
from screening.adsorption.gases import Gas, find_gas

VERSION = 2  # of the algorithm: poses kept by another are drawn anew
PRECISION = 1e-4  # relative, of the sums over charges
CUTOFF = 9.0  # Å, of Lennard-Jones and of the screened charges
CONTACT = 1.5  # Å; no atom is nearer to a site of the guest, however small its repulsion
STEEPEST = 20.0  # kT; a pair that costs more is an overlap
ROUND = 4000  # random poses tried at a time
FEASIBLE = 1000  # poses that fit, at which no further round is tried
_CHUNK = 4_000_000  # phases at a time
FEWEST = 50  # that fit, or the guest counts as too large for the pores
SEEDS = 64  # of these poses, around which more are tried
AROUND = 2000  # poses tried around them
SPREAD = 0.35  # Å, standard deviation of their centres; orientations are drawn anew


class PoseConfig(Config):
    """Which guest, and how many of its poses a framework."""

    gas: str = "CO2"
    force_field: str = "uff-trappe"
    temperature: Annotated[float, pydantic.Field(gt=0)] = 298.0  # K
    kept: Annotated[int, pydantic.Field(ge=8, le=4096)] = 128  # poses a framework
    rounds: Annotated[int, pydantic.Field(ge=1)] = 15  # of 4,000 random poses each, at most


@dataclass(frozen=True)
class PoseHost:
    """What of a framework a pose sees; n atoms, R distinct by symmetry."""

    cell: np.ndarray  # [3, 3] Å
    fractional: np.ndarray  # [n, 3]
    elements: tuple[str, ...]  # [n]
    distinct: np.ndarray  # [n] index of the distinct atom each is equivalent to
    charges: np.ndarray  # [R] e, reference


def draw_poses(host: PoseHost, config: PoseConfig, seed: int) -> GuestPoses | None:
    """Poses of the guest with their operator; None where hardly any random pose fits.

    Args:
        host: the framework with its reference charges.
        config: guest, force field, temperature and number.
        seed: the result is a function of host, config and seed.

    Raises:
        InputError: an unknown gas or force field, or an element without parameters.
    """
    gas = find_gas(find_force_field(config.force_field).gases, config.gas)
    rng = np.random.default_rng(seed)
    images = _images(host, gas)
    lennard_jones = _lennard_jones(host, gas, config, images)
    beta = 1.0 / config.temperature

    def fitting(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of molecules at random angles those that fit: centres, sites, Lennard-Jones and whole energies in kT."""
        sites = _wrapped(host, place_sites(gas, centres, random_turns(rng.random((len(centres), 3)))))
        energies = beta * lennard_jones(sites)
        fits = energies < STEEPEST
        sites, energies = sites[fits], energies[fits]
        weights = host.charges[host.distinct]
        return centres[fits], sites, energies, energies + beta * _operator(host, gas, sites, images, weights)[:, 0]

    parts: list[tuple[np.ndarray, ...]] = []
    while len(parts) < config.rounds and sum(len(part[0]) for part in parts) < FEASIBLE:
        parts.append(fitting(rng.random((ROUND, 3)) @ host.cell))
    if sum(len(part[0]) for part in parts) < FEWEST:
        return None
    energies = np.concatenate([part[3] for part in parts])
    best = _drawn(0.5 * _softmax(-energies) + 0.5 * _softmax(-0.5 * energies), SEEDS, rng)[0]
    seeds = np.concatenate([part[0] for part in parts])[best]
    around = seeds[rng.integers(len(seeds), size=AROUND)] + SPREAD * rng.standard_normal((AROUND, 3))
    uniform = len(parts) * ROUND / abs(float(np.linalg.det(host.cell)))  # poses tried per Å^3
    parts.append(fitting(around))
    centres, sites, uncharged, energies = (np.concatenate(each) for each in zip(*parts, strict=True))
    log_density = np.log(uniform + AROUND * _kernel_density(host.cell, centres, seeds))
    log_weight = -energies - log_density
    mixture = (
        0.5 * _softmax(log_weight)
        + 0.25 * _softmax(-0.5 * energies - log_density)
        + 0.25 * _softmax(-uncharged - log_density)
    )
    kept, log_chance = _drawn(mixture, config.kept, rng)
    log_share = log_weight[kept] - log_chance
    log_share -= log_share.max() + np.log(np.exp(log_share - log_share.max()).sum())
    operator = beta * _operator(host, gas, sites[kept], images)
    return GuestPoses(torch.from_numpy(operator).float(), torch.from_numpy(log_share).float())


def guest_operator(host: PoseHost, gas: Gas, sites: np.ndarray) -> np.ndarray:
    """Electrostatic energy [K, R] (K/e) of molecules per charge on each distinct atom and its equivalents.

    Ewald's sum for a neutral molecule in a neutral host (P. P. Ewald, Ann. Phys. 369, 253 (1921)), linear in the
    host's charges: B_kj = C sum_s q_s [sum_i erfc(alpha r_si) / r_si + 4 pi / V sum_k exp(-k^2 / 4 alpha^2) / k^2
    cos(k (r_s - r_i))], summed over the atoms i that are equivalent to j and, before erfc, their images.

    Args:
        host: cell and atoms; its charges are not used.
        gas: the molecule, neutral.
        sites: [K, n_sites, 3] Å, anywhere.
    """
    return _operator(host, gas, _wrapped(host, sites), _images(host, gas))


def _operator(
    host: PoseHost,
    gas: Gas,
    sites: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """`guest_operator`; with weights [n] of all atoms a single column, their weighted sum."""
    from screening.adsorption.guest_pose_kernel import add_screened

    alpha = screening(CUTOFF, PRECISION)
    charges = np.array([site.charge for site in gas.sites])
    column = host.distinct if weights is None else np.zeros(len(weights), dtype=np.int64)
    weights = np.ones(len(column)) if weights is None else weights
    operator = np.zeros((len(sites), column.max() + 1))
    positions, atoms = images
    add_screened(sites, charges, positions, column[atoms], weights[atoms], alpha, CUTOFF, operator)
    operator *= COULOMB

    fractional = sites @ np.linalg.inv(host.cell)
    indices = half_space(host.cell, reciprocal_cutoff(alpha, PRECISION))
    factors = 2.0 * reciprocal_weights(host.cell, indices, alpha)
    gather = np.zeros((operator.shape[1], len(column)))
    gather[column, np.arange(len(column))] = weights
    step = max(_CHUNK // max(fractional.size, 1), 1)
    for start in range(0, len(indices), step):
        part = 2.0 * np.pi * indices[start : start + step].T  # [3, n_k]
        phase = host.fractional @ part
        real, imaginary = gather @ np.cos(phase), gather @ np.sin(phase)  # [columns, n_k]
        phase = fractional @ part  # [K, n_sites, n_k]
        scale = factors[start : start + step]
        operator += (np.einsum("s,ksn->kn", charges, np.cos(phase)) * scale) @ real.T
        operator += (np.einsum("s,ksn->kn", charges, np.sin(phase)) * scale) @ imaginary.T
    return operator


def _lennard_jones(
    host: PoseHost, gas: Gas, config: PoseConfig, images: tuple[np.ndarray, np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from sites [K, n_sites, 3] (Å, wrapped) to energies [K] (K), infinite where molecules overlap."""
    from screening.adsorption.guest_pose_kernel import lennard_jones

    parameters = find_force_field(config.force_field).parameters(set(host.elements))
    types, names = site_types([gas]), list(parameters)
    table = np.array([parameters[name] for name in names])
    epsilon, sigma = mixed(types.epsilon, types.sigma, table[:, 0], table[:, 1])
    kinds = np.array([names.index(element) for element in host.elements])
    positions, atoms = images
    attraction, repulsion = 4.0 * epsilon * sigma**6, 4.0 * epsilon * sigma**12

    def energies(sites: np.ndarray) -> np.ndarray:
        found = np.empty(len(sites))
        lennard_jones(
            sites, site_kinds(types, gas), positions, kinds[atoms], attraction, repulsion, CUTOFF, CONTACT,
            STEEPEST * config.temperature, found,
        )  # fmt: skip
        return found

    return energies


def _wrapped(host: PoseHost, sites: np.ndarray) -> np.ndarray:
    """Molecules [K, n_sites, 3] (Å) moved as wholes so that their first sites are in the cell."""
    first = sites[:, :1] @ np.linalg.inv(host.cell)
    return np.asarray(sites - np.floor(first) @ host.cell)


def _kernel_density(cell: np.ndarray, centres: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Density [K] (1/Å^3) of centres drawn around seeds by a Gaussian of width `SPREAD`, nearest images."""
    difference = (centres[:, None] - seeds[None]) @ np.linalg.inv(cell)
    difference -= np.round(difference)
    squares = ((difference @ cell) ** 2).sum(axis=2)
    norm = (2.0 * np.pi * SPREAD**2) ** 1.5
    return np.asarray(np.exp(-squares / (2.0 * SPREAD**2)).mean(axis=1) / norm)


def _images(host: PoseHost, gas: Gas) -> tuple[np.ndarray, np.ndarray]:
    """Atoms [m, 3] (Å) near enough to a molecule whose first site is in the cell, by x, and of which atom [m]."""
    positions = np.array([site.position for site in gas.sites])
    reach = CUTOFF + float(np.linalg.norm(positions - positions[0], axis=1).max())
    widths = 1.0 / np.linalg.norm(np.linalg.inv(host.cell), axis=0)
    margin = reach / widths  # in fractional coordinates
    shifts = image_shifts(host.cell, reach + float(widths.max()))
    everywhere = (host.fractional % 1.0 + shifts[:, None]).reshape(-1, 3)
    near = ((everywhere > -margin) & (everywhere < 1.0 + margin)).all(axis=1)
    positions, atoms = everywhere[near] @ host.cell, np.tile(np.arange(len(host.fractional)), len(shifts))[near]
    order = np.argsort(positions[:, 0], kind="stable")
    return positions[order], atoms[order]


def _softmax(values: np.ndarray) -> np.ndarray:
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum())


def _drawn(probability: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices drawn by systematic resampling, each once, and the log of the density each stands for.

    A pose drawn several times is kept once: what stands for it is its probability over the times it was drawn.
    """
    places = (rng.random() + np.arange(count)) / count
    drawn = np.minimum(np.searchsorted(np.cumsum(probability), places), len(probability) - 1)
    kept, times = np.unique(drawn, return_counts=True)
    return kept, np.log(probability[kept]) - np.log(times)
