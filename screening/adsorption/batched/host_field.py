"""Energy of guest sites in a rigid host by direct summation: the exact field every grid is held against.

Same model as the RASPA3 bridge: Lennard-Jones between sites within the cut-off, truncated, shifted or with an
analytic tail; Ewald electrostatics of the infinite host. The tail of a guest site is that of a uniform continuum of
the host's atoms beyond the cut-off (D. Frenkel, B. Smit, Understanding Molecular Simulation, ch. 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erfc

from screening.adsorption.batched.ewald import (
    COULOMB,
    half_space,
    image_shifts,
    reciprocal_cutoff,
    reciprocal_potential,
    reciprocal_weights,
    screening,
    structure_factor,
)
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas, Site

MIN_SQUARED_DISTANCE = 0.25  # Å^2; nearer is as good as here, and no power overflows
_CHUNK = 3_000_000  # point-atom pairs looked at together


@dataclass(frozen=True)
class SiteTypes:
    """The distinct interaction sites of some gases."""

    labels: tuple[str, ...]
    epsilon: np.ndarray  # [t] K
    sigma: np.ndarray  # [t] Å
    charge: np.ndarray  # [t] e


@dataclass(frozen=True)
class HostField:
    """What the energy of a guest site in a host is computed from."""

    cell: np.ndarray  # [3, 3] Å, of the unit cell
    fractional: np.ndarray  # [n, 3]
    charges: np.ndarray  # [n] e; zero where electrostatics are off
    kinds: np.ndarray  # [n] index into `elements`
    elements: tuple[str, ...]  # force-field types of the host
    types: SiteTypes
    attraction: np.ndarray  # [t, e] 4 eps sigma^6, K Å^6
    repulsion: np.ndarray  # [t, e] 4 eps sigma^12, K Å^12
    shift: np.ndarray  # [t, e] energy at the cut-off, K; zero unless shifted
    tail: np.ndarray  # [t] energy of the host beyond the cut-off, K; zero unless with tail
    cutoff: float  # Å
    alpha: float  # 1/Å
    indices: np.ndarray  # [n_k, 3] wave vectors; empty without charges
    coefficients: np.ndarray  # [n_k] complex, of the reciprocal potential
    images: np.ndarray  # [m, 3] Å, every atom that some point of the unit cell sees
    image_atoms: np.ndarray  # [m] index of the atom each is an image of

    @property
    def charged(self) -> bool:
        """True where the host makes an electrostatic potential."""
        return bool(len(self.indices))


def site_types(gases: Sequence[Gas]) -> SiteTypes:
    """The distinct sites of the gases, in order of appearance."""
    found: dict[str, Site] = {}
    for gas in gases:
        for site in gas.sites:
            found.setdefault(site.label, site)
    sites = list(found.values())
    return SiteTypes(
        tuple(found),
        np.array([site.epsilon for site in sites]),
        np.array([site.sigma for site in sites]),
        np.array([site.charge for site in sites]),
    )


def mixed(
    epsilon_a: np.ndarray, sigma_a: np.ndarray, epsilon_b: np.ndarray, sigma_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(epsilon, sigma) of unlike pairs [a, b] by Lorentz-Berthelot."""
    return np.sqrt(np.outer(epsilon_a, epsilon_b)), 0.5 * (sigma_a[:, None] + sigma_b[None, :])


def tail_integral(epsilon: np.ndarray, sigma: np.ndarray, cutoff: float) -> np.ndarray:
    """4 pi times the integral of r^2 u(r) from the cut-off to infinity, K Å^3."""
    s3 = (sigma / cutoff) ** 3
    return np.asarray(16.0 * np.pi * epsilon * sigma**3 * (s3**3 / 9.0 - s3 / 3.0))


def host_field(host: Host, gases: Sequence[Gas]) -> HostField:
    """Prepare the sums of a host for the sites of some gases."""
    cell = np.array(host.structure.lattice.matrix, dtype=float)
    fractional = np.array(host.structure.frac_coords) % 1.0
    cutoff = host.model.cutoff
    types = site_types(gases)
    parameters = host.force_field.parameters(set(host.types))
    elements = tuple(parameters)
    kinds = np.array([elements.index(kind) for kind in host.types])
    epsilon, sigma = mixed(
        types.epsilon,
        types.sigma,
        np.array([parameters[element][0] for element in elements]),
        np.array([parameters[element][1] for element in elements]),
    )
    attraction, repulsion = 4.0 * epsilon * sigma**6, 4.0 * epsilon * sigma**12
    shift = np.zeros_like(epsilon)
    tail = np.zeros(len(types.labels))
    if host.model.truncation == "shifted":
        shift = repulsion / cutoff**12 - attraction / cutoff**6
    elif host.model.truncation == "tail":
        density = np.bincount(kinds, minlength=len(elements)) / abs(float(np.linalg.det(cell)))
        tail = tail_integral(epsilon, sigma, cutoff) @ density
    use_charge = host.model.charges != "none" and any(gas.is_charged for gas in gases)
    charges = np.array(host.charges, dtype=float) if use_charge else np.zeros(len(kinds))
    alpha = screening(cutoff)
    indices = np.zeros((0, 3), dtype=int)
    coefficients = np.zeros(0, dtype=complex)
    if np.any(charges):
        indices = half_space(cell, reciprocal_cutoff(alpha))
        weights = reciprocal_weights(cell, indices, alpha)
        coefficients = 2.0 * weights * np.conj(structure_factor(fractional, charges, indices))
    images, image_atoms = _visible_images(cell, fractional, cutoff)
    return HostField(
        cell, fractional, charges, kinds, elements, types, attraction, repulsion, shift, tail, cutoff, alpha,
        indices, coefficients, images, image_atoms,
    )  # fmt: skip


def _visible_images(cell: np.ndarray, fractional: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    margin = cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)  # in fractional coordinates
    shifts = image_shifts(cell, cutoff + 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0).min())
    everywhere = (fractional[None] + shifts[:, None]).reshape(-1, 3)
    near = ((everywhere > -margin) & (everywhere < 1.0 + margin)).all(axis=1)
    return everywhere[near] @ cell, np.tile(np.arange(len(fractional)), len(shifts))[near]


def site_energies(field: HostField, points: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Lennard-Jones energy [n] in K, electrostatic potential [n] in K/e) of sites in the host.

    Args:
        field: of the host.
        points: [n, 3] Å, anywhere in space.
        kinds: [n] index into `field.types`.
    """
    fractional = points @ np.linalg.inv(field.cell)
    fractional = fractional - np.floor(fractional)
    wrapped = fractional @ field.cell
    lennard_jones = field.tail[kinds].copy()
    potential = np.zeros(len(points))
    atom_squares = (field.images**2).sum(axis=1)
    step = max(_CHUNK // len(field.images), 1)
    limit = field.cutoff**2
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        r2 = (wrapped[part] ** 2).sum(axis=1)[:, None] + atom_squares[None] - 2.0 * wrapped[part] @ field.images.T
        rows, columns = np.nonzero(r2 < limit)
        t = np.maximum(r2[rows, columns], MIN_SQUARED_DISTANCE)
        atoms = field.image_atoms[columns]
        kind, element = kinds[part][rows], field.kinds[atoms]
        s6 = 1.0 / t**3
        pair = s6 * (field.repulsion[kind, element] * s6 - field.attraction[kind, element]) - field.shift[kind, element]
        n = len(wrapped[part])
        lennard_jones[part] += np.bincount(rows, weights=pair, minlength=n)
        if field.charged:
            r = np.sqrt(t)
            screened = field.charges[atoms] * erfc(field.alpha * r) / r
            potential[part] = COULOMB * np.bincount(rows, weights=screened, minlength=n)
    if field.charged:
        potential += reciprocal_potential(fractional, field.coefficients, field.indices)
    return lennard_jones, potential


def molecule_energies(field: HostField, gas: Gas, centres: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Host-guest energy [n] (K) of molecules at centres [n, 3] (Å) turned by rotations [n, 3, 3]."""
    kinds = np.tile(site_kinds(field.types, gas), len(centres))
    points = place_sites(gas, centres, turns).reshape(-1, 3)
    lennard_jones, potential = site_energies(field, points, kinds)
    energies = lennard_jones + field.types.charge[kinds] * potential
    return np.asarray(energies.reshape(len(centres), -1).sum(axis=1))


def site_kinds(types: SiteTypes, gas: Gas) -> np.ndarray:
    """Index [n_sites] of a molecule's sites into the site types."""
    return np.array([types.labels.index(site.label) for site in gas.sites])


def place_sites(gas: Gas, centres: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Sites [n, n_sites, 3] (Å) of molecules at centres [n, 3] turned by rotations [n, 3, 3]."""
    positions = np.array([site.position for site in gas.sites])
    return np.asarray(centres[:, None] + positions @ turns.transpose(0, 2, 1))


def random_turns(uniform: np.ndarray) -> np.ndarray:
    """Rotations [n, 3, 3], uniform over SO(3), from numbers [n, 3] in [0, 1).

    K. Shoemake, Uniform random rotations, Graphics Gems III (1992).
    """
    u, v, w = uniform.T
    v, w = 2.0 * np.pi * v, 2.0 * np.pi * w
    x, y = np.sqrt(1.0 - u) * np.sin(v), np.sqrt(1.0 - u) * np.cos(v)
    z, s = np.sqrt(u) * np.sin(w), np.sqrt(u) * np.cos(w)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - s * z), 2 * (x * z + s * y)),
        (2 * (x * y + s * z), 1 - 2 * (x * x + z * z), 2 * (y * z - s * x)),
        (2 * (x * z - s * y), 2 * (y * z + s * x), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0)
