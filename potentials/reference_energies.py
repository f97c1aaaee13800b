"""Reference energy of each element: the part of a total energy that its composition alone explains."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from potentials.atom_graph import AtomGraph

# Huber's constant: 95 % efficiency on normal residuals.
_HUBER = 1.345
_ROUNDS = 30


def fit_reference_energies(
    compositions: np.ndarray | Sequence[Sequence[int]],
    energies: Sequence[float],
    elements: Sequence[int],
    free: Mapping[int, float] | None = None,
) -> dict[int, float]:
    """Energies e_z, eV, such that sum_z n_z e_z follows the total energies; robust to a few wild frames.

    Energies per atom are fitted by iteratively reweighted least squares with Huber's weights (Huber 1964), so that
    large and small systems count alike and outliers count less. A system of one atom states its element's energy and
    is met exactly. Where the compositions do not tell elements apart (one molecule only), the solution nearest to
    the mean energy per atom is taken: sums are right for the compositions seen, single elements mean nothing.

    Args:
        compositions: number of atoms of each element in each system [F, n_elements].
        energies: total energies, eV [F].
        elements: atomic numbers, the columns of `compositions`.
        free: energies of free atoms, eV, of all elements: fitted is then what bonds add, so that they tell elements
            apart where compositions do not.
    """
    counts = np.asarray(compositions, dtype=float)
    start = np.array([free[int(z)] if free else 0.0 for z in elements], dtype=float)
    totals = np.asarray(energies, dtype=float) - counts @ start
    sizes = counts.sum(1)
    known = _isolated(counts, totals, sizes)
    unknown = [column for column in range(len(elements)) if column not in known]
    result = np.array([known.get(column, 0.0) for column in range(len(elements))])
    rows = sizes > 1
    if unknown and rows.any():
        fractions = counts[rows] / sizes[rows, None]
        per_atom = totals[rows] / sizes[rows] - fractions @ result
        share = fractions[:, unknown].sum(1)
        centre = float(np.median(per_atom[share > 0] / share[share > 0])) if (share > 0).any() else 0.0
        result[unknown] = centre + _huber_fit(fractions[:, unknown], per_atom - share * centre)
    return {int(z): float(value) for z, value in zip(elements, start + result, strict=True)}


def mean_site_energies(frames: Sequence[AtomGraph], explained: Tensor | None = None) -> dict[int, float]:
    """Of each element, eV: where labels say what every atom has (`site_energies`), nothing is left to fit.

    `explained` [all atoms], eV, is what something else gives each atom.
    """
    numbers = torch.cat([frame.numbers for frame in frames])
    energies = torch.cat([frame.site_energies for frame in frames])
    if explained is not None:
        energies = energies - explained
    return {z: float(energies[numbers == z].mean()) for z in numbers.unique().tolist()}


def composition_matrix(numbers: Sequence[np.ndarray], elements: Sequence[int]) -> np.ndarray:
    """How many atoms of each element each system has [F, n_elements], int64."""
    return np.array([[int((system == z).sum()) for z in elements] for system in numbers], dtype=np.int64)


def composition_is_ambiguous(compositions: np.ndarray) -> bool:
    """True where the compositions cannot tell every element's energy from the others'."""
    return int(np.linalg.matrix_rank(compositions)) < compositions.shape[1]


def _isolated(counts: np.ndarray, totals: np.ndarray, sizes: np.ndarray) -> Mapping[int, float]:
    alone = sizes == 1
    columns = counts[alone].argmax(1)
    return {int(c): float(np.median(totals[alone][columns == c])) for c in set(columns.tolist())}


def _huber_fit(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    weights = np.ones(len(target))
    solution = np.zeros(matrix.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        # rcond cuts directions the compositions do not determine; lstsq then gives the smallest solution
        updated = np.linalg.lstsq(matrix * root[:, None], target * root, rcond=1e-8)[0]
        residual = np.abs(target - matrix @ updated)
        spread = 1.4826 * np.median(residual)
        converged = np.allclose(updated, solution, rtol=0, atol=1e-9)
        solution = updated
        if converged or spread < 1e-12:
            break
        weights = np.minimum(1.0, _HUBER * spread / np.maximum(residual, 1e-300))
    return solution
