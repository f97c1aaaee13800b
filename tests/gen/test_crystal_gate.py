"""The geometry gate: each fault is found, real crystals pass."""

import numpy as np
import pytest
from crystal_samples import structures

from gen.crystals.gate import cell_heights, geometry_fault

TWO = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("frac", "lattice", "fault"),
    [
        (np.array([[np.nan, 0, 0]]), np.eye(3) * 4, "non-finite"),
        (TWO, np.full((3, 3), np.inf), "non-finite"),
        (TWO, np.diag([9.0, 9.0, 0.5]), "flat"),
        (TWO, np.array([[5.0, 0, 0], [0, 5.0, 0], [4.9, 0, 0.3]]), "flat"),
        (TWO, np.zeros((3, 3)), "flat"),
        (TWO, np.eye(3) * 1.5, "dense"),
        (TWO, np.eye(3) * 9.0, "dilute"),
        (np.array([[0.0, 0, 0], [0.02, 0, 0]]), np.eye(3) * 4, "overlap"),
        (np.array([[0.01, 0, 0], [0.99, 0, 0]]), np.eye(3) * 4, "overlap"),
    ],
)
def test_faults(frac, lattice, fault):
    assert geometry_fault(frac, lattice).split(":")[0] == fault


def test_real_crystals_pass():
    for structure in structures():
        niggli = structure.get_reduced_structure()
        assert geometry_fault(niggli.frac_coords, niggli.lattice.matrix) is None, structure.formula


def test_heights_of_a_skewed_cell():
    assert cell_heights(np.array([[4.0, 0, 0], [2.0, 3.0, 0], [0, 0, 5.0]])) == pytest.approx(
        [4.0 * 3.0 / np.hypot(2.0, 3.0), 3.0, 5.0]
    )
