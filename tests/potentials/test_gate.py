"""The geometry gate: what it lets through, what it refuses, and with which words."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from potentials.errors import GeometryError
from potentials.gate import GateLimits, cell_heights, check_geometry, geometry_fault, place_fault


def fault(atoms: Atoms, **limits) -> str | None:
    return geometry_fault(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, GateLimits(**limits))


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("C", "diamond", 3.57),
        bulk("H", "sc", 1.6),
        molecule("H2"),
        fcc111("Al", (1, 1, 2), vacuum=8),
        graphene(),
        Atoms("Xe", cell=[40, 40, 40], pbc=True),
        Atoms("He", [[0, 0, 0]]),
    ],
    ids=lambda atoms: str(atoms.symbols),
)
def test_physical_systems_pass(atoms: Atoms) -> None:
    assert fault(atoms) is None


def salt(**changes) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


def shifted(to: int, by: float) -> np.ndarray:
    positions = salt().positions
    positions[0] = positions[to] + [0, 0, 5.64 + by]  # in the next cell
    return positions


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms(), "there are no atoms"),
        (salt(positions=salt().positions * np.nan), "atom 0 has a non-finite position"),
        (salt(numbers=[0] + [17] * 7), "atom 0 has atomic number 0, outside 1-118"),
        (salt(cell=np.full((3, 3), np.nan)), "the cell is not finite"),
        (salt(cell=[5.64, 5.64, 0.01]), "cell height 0.01 Å along c is below 1 Å: drop it"),
        (salt(cell=[[5, 0, 0], [5, 0.2, 0], [0, 0, 5]]), "cell height 0.2 Å along a is below 1 Å"),
        (salt(cell=np.zeros((3, 3))), "cell height 0 Å"),
        (salt(cell=[1.5, 1.5, 1.5]), "Å^3 per atom is below 1 Å^3"),
        (salt(cell=[500, 500, 500]), "Å^3 per atom exceeds 100000 Å^3"),
        (salt(cell=[5, 5, 2e4]), "a cell length of 2e+04 Å exceeds 10000 Å"),
        (salt(positions=salt().positions + 1e6), "beyond 10000 Å: wrap it"),
        (salt(positions=shifted(3, 0.0)), "atoms 0 (Na) and 3 (Cl) sit on one site: remove the duplicate"),
        (salt(positions=shifted(3, 0.3)), "atoms 0 (Na) and 3 (Cl) are 0.3 Å apart, below 0.4 Å"),
    ],
)
def test_faults_are_named(atoms: Atoms, words: str) -> None:
    found = fault(atoms)
    assert found is not None
    assert words in found
    with pytest.raises(GeometryError, match=r"\(structure 17 of pool\.cif\)"):
        check_geometry(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, where="structure 17 of pool.cif")


def test_too_many_atoms() -> None:
    assert fault(salt(), max_atoms=7) == "8 atoms exceed the limit of 7: use a smaller cell or raise max_atoms"


def test_heights_of_slabs_and_wires_ignore_open_directions() -> None:
    cell = np.array([[3.0, 0, 0], [1.5, 2.0, 0], [9.0, 9.0, 0]])
    np.testing.assert_allclose(cell_heights(cell, np.array([True, True, False])), [2.4, 2.0, np.inf])
    np.testing.assert_allclose(cell_heights(cell, np.array([False, True, False])), [np.inf, 2.5, np.inf])
    assert cell_heights(cell, np.array([True, True, True])).min() == pytest.approx(0, abs=1e-12)


def test_place_goes_before_the_cure() -> None:
    assert place_fault("too flat: drop it", "row 3") == "too flat (row 3): drop it"
    assert place_fault("too flat: drop it", "") == "too flat: drop it"


@settings(max_examples=60, deadline=None)
@given(
    cell=arrays(np.float64, (3, 3), elements=st.floats(-20, 20) | st.just(np.nan) | st.floats(-1e-6, 1e-6)),
    positions=arrays(np.float64, (3, 3), elements=st.floats(-1e3, 1e3) | st.just(np.inf)),
)
def test_no_input_hangs_or_raises(cell: np.ndarray, positions: np.ndarray) -> None:
    found = geometry_fault([6, 7, 8], positions, cell, True)
    assert found is None or found
    if found is None:
        assert cell_heights(cell, np.ones(3, dtype=bool)).min() >= 1
        assert np.isfinite(positions).all()
