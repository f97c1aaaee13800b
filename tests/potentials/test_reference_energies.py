"""Reference energies: exact where the data are, robust where some are wild, quiet where nothing tells."""

import numpy as np
import pytest

from potentials.reference_energies import composition_is_ambiguous, composition_matrix, fit_reference_energies

ELEMENTS = [1, 6, 8]
TRUTH = np.array([-13.6, -1029.5, -2041.8])


def compositions(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 12, (count, 3))


def test_recovers_elements_behind_noise_and_outliers() -> None:
    counts = compositions(60, 0)
    noise = np.random.default_rng(1).normal(0, 0.05, 60) * counts.sum(1)
    energies = counts @ TRUTH + noise
    energies[[3, 17, 40]] += [4e3, -9e3, 5e4]  # broken calculations
    fitted = fit_reference_energies(counts, energies, ELEMENTS)
    assert list(fitted) == ELEMENTS
    assert np.allclose(list(fitted.values()), TRUTH, atol=0.3)
    plain = np.linalg.lstsq(counts, energies, rcond=None)[0]
    assert np.abs(plain - TRUTH).max() > 50  # what robustness is for


def test_isolated_atoms_are_met_exactly() -> None:
    counts = np.vstack([np.eye(3, dtype=int), compositions(20, 2)])
    energies = counts @ TRUTH - 5.0 * (counts.sum(1) > 1)
    fitted = fit_reference_energies(counts, energies, ELEMENTS)
    assert list(fitted.values()) == pytest.approx(TRUTH.tolist(), abs=1e-12)


def test_one_composition_is_explained_although_it_is_ambiguous() -> None:
    counts = np.tile([6, 2, 1], (30, 1))
    assert composition_is_ambiguous(counts)
    assert not composition_is_ambiguous(compositions(30, 3))
    energies = counts @ TRUTH + np.random.default_rng(4).normal(0, 0.1, 30)
    fitted = fit_reference_energies(counts, energies, ELEMENTS)
    assert counts[0] @ list(fitted.values()) == pytest.approx(np.median(energies), abs=0.1)


def test_partly_isolated() -> None:
    counts = np.vstack([[1, 0, 0], compositions(20, 5)])
    fitted = fit_reference_energies(counts, counts @ TRUTH, ELEMENTS)
    assert list(fitted.values()) == pytest.approx(TRUTH.tolist(), abs=1e-6)


def test_composition_matrix() -> None:
    matrix = composition_matrix([np.array([1, 1, 8]), np.array([6])], ELEMENTS)
    assert matrix.tolist() == [[2, 0, 1], [0, 1, 0]]
