"""Extended charge equilibration (EQeq) of a periodic crystal.

C. E. Wilmer, K. C. Kim, R. Q. Snurr, J. Phys. Chem. Lett. 3, 2506 (2012). Each atom's energy is expanded to
second order about an integer charge (the charge centre) with measured ionisation energies, Coulomb energies
are screened and damped at short range, periodic sums are Ewald's; the charges minimise the total at zero net
charge, which is one linear system.
"""

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Element, Structure
from scipy.special import erfc

from potentials.errors import InputError

COULOMB = 14.3996454785  # eV Å, e^2 / (4 pi epsilon_0)
SCREENING = 1.2  # lambda of the paper
HYDROGEN = (13.598, -2.0)  # ionisation energy and electron affinity (eV) the paper assigns to hydrogen
REAL_CUTOFF = 10.0  # Å
_ALPHA = 3.3 / REAL_CUTOFF  # 1/Å; erfc(3.3) = 3e-6 is what the real-space sum leaves out
_RECIPROCAL_CUTOFF = 2.0 * _ALPHA * 3.3  # 1/Å; exp(-3.3^2) = 2e-5


def eqeq_charges(structure: Structure, elements: Sequence[str]) -> np.ndarray:
    """Partial charges [n_atoms], e, summing to zero.

    Args:
        structure: ordered periodic crystal.
        elements: symbol of every atom.

    Raises:
        InputError: an element without known ionisation energies, or a singular system (touching atoms).
    """
    electronegativity, hardness = _expansion(elements)
    n = len(elements)
    interaction = np.diag(hardness) + coulomb_matrix(structure, hardness)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = interaction
    system[n, n] = 0.0
    try:
        solution = np.linalg.solve(system, np.append(-electronegativity, 0.0))
    except np.linalg.LinAlgError:
        raise InputError(
            "charge equilibration has no unique answer for this structure: are atoms on top of each other?"
        ) from None
    charges = solution[:n]
    return np.asarray(charges - charges.mean())


def charge_centre(element: str) -> int:
    """The integer charge an atom's energy is expanded about: a metal's commonest oxidation state, else 0."""
    data = Element(element)
    if not data.is_metal:
        return 0
    positive = [state for state in (data.common_oxidation_states or data.oxidation_states) if state > 0]
    return int(positive[0]) if positive else 0


def coulomb_matrix(structure: Structure, hardness: np.ndarray) -> np.ndarray:
    """Screened, damped interaction of unit charges on every pair of sites [n, n], eV/e^2.

    Entry ij sums lambda (k/2) (1/R + overlap) over all periodic images, with the orbital overlap
    exp(-a^2 R^2) (2 a - a^2 R - 1/R), a = sqrt(J_i J_j) / k, which takes 1/R away where charge clouds merge.
    """
    lattice = structure.lattice.matrix  # rows are vectors
    fractional = structure.frac_coords % 1.0
    positions = fractional @ lattice
    n = len(positions)
    damping = np.sqrt(np.outer(hardness, hardness)) / COULOMB  # a, 1/Å
    matrix = np.zeros((n, n))
    difference = positions[:, None, :] - positions[None, :, :]  # [n, n, 3]
    for shift in _images(lattice):
        distance = np.linalg.norm(difference + shift @ lattice, axis=2)  # [n, n]
        if not shift.any():
            np.fill_diagonal(distance, np.inf)
        near = distance < REAL_CUTOFF
        r, a = distance[near], damping[near]
        matrix[near] += erfc(_ALPHA * r) / r + np.exp(-((a * r) ** 2)) * (2.0 * a - a**2 * r - 1.0 / r)
    matrix += _reciprocal_sum(lattice, positions)
    matrix[np.diag_indices(n)] -= 2.0 * _ALPHA / np.sqrt(np.pi)
    return SCREENING * COULOMB / 2.0 * matrix


def _expansion(elements: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Electronegativity (eV/e) and hardness (eV/e^2) of every atom, moved from the charge centre to charge 0."""
    table = {}
    for element in set(elements):
        centre = charge_centre(element)
        energies = Element(element).ionization_energies or []
        affinity = Element(element).electron_affinity
        if element == "H":
            upper, lower = HYDROGEN
        elif len(energies) > centre and (centre > 0 or affinity is not None):
            upper, lower = energies[centre], energies[centre - 1] if centre else affinity
        else:
            raise InputError(f"no ionisation energies are known for {element}: give the structure charges")
        hardness = upper - lower
        table[element] = (0.5 * (upper + lower) - centre * hardness, hardness)
    values = np.array([table[element] for element in elements])
    return values[:, 0], values[:, 1]


def _images(lattice: np.ndarray) -> np.ndarray:
    """Integer translations [m, 3] that may bring a pair of the cell within the real-space cut-off."""
    widths = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    # positions differ by up to one cell along each axis
    reach = np.ceil(REAL_CUTOFF / widths).astype(int) + 1
    axes = [np.arange(-k, k + 1) for k in reach]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _reciprocal_sum(lattice: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """4 pi / V sum over k of exp(-k^2 / 4 alpha^2) / k^2 cos(k r_ij), with the neutralising background [n, n]."""
    volume = abs(np.linalg.det(lattice))
    reciprocal = 2.0 * np.pi * np.linalg.inv(lattice).T  # rows are vectors
    reach = np.ceil(_RECIPROCAL_CUTOFF * np.linalg.norm(lattice, axis=1) / (2.0 * np.pi)).astype(int)
    axes = [np.arange(-k, k + 1) for k in reach]
    k = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) @ reciprocal
    k2 = (k**2).sum(axis=1)
    keep = (k2 > 0.0) & (k2 <= _RECIPROCAL_CUTOFF**2)
    k, k2 = k[keep], k2[keep]
    weights = np.exp(-k2 / (4.0 * _ALPHA**2)) / k2  # [m]
    phases = positions @ k.T  # [n, m]
    cosine, sine = np.cos(phases), np.sin(phases)
    total = (cosine * weights) @ cosine.T + (sine * weights) @ sine.T
    return np.asarray(4.0 * np.pi / volume * total - np.pi / (volume * _ALPHA**2))
