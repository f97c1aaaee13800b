"""Stresses of another unit or sign are told by how they fit the energies of strained cells."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.dataset import LabelConfig, read_frames
from potentials.errors import InputError


def strained(factor: float, rattle: float) -> list:
    """A strained and rattled alloy with stresses in eV/Å^3 times a factor."""
    random, frames = np.random.default_rng(0), []
    for seed in range(24):
        atoms = bulk("Cu", "fcc", 3.62, cubic=True)
        atoms.symbols[0] = "Au"
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * random.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(rattle, seed=seed)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=factor * stress)
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("rattle", [0.0, 0.03, 0.15])
def test_the_right_unit_passes_however_far_atoms_are_moved(rattle: float, tmp_path) -> None:
    write(tmp_path / "frames.xyz", strained(1.0, rattle), format="extxyz")
    assert len(read_frames(tmp_path / "frames.xyz", LabelConfig(stress_key="stress"))) == 24


@pytest.mark.parametrize(
    ("factor", "declared", "said"),
    [
        (-1.0, "eV/A^3", "positive under compression"),
        (-10 / units.GPa, "kbar", "positive under compression"),
        (1 / units.GPa, "kbar, VASP sign", "energies change"),
    ],
    ids=["sign", "VASP read as kbar", "GPa read as VASP"],
)
def test_another_sign_or_unit_is_refused(factor: float, declared: str, said: str, tmp_path) -> None:
    path = tmp_path / "frames.xyz"
    write(path, strained(factor, 0.02), format="extxyz")
    with pytest.raises(InputError, match=said) as refused:
        read_frames(path, LabelConfig(stress_key="stress", stress_unit=declared))
    assert "data.labels.stress_unit" in str(refused.value)
    assert len(read_frames(path, LabelConfig(stress_key="stress", stress_unit=declared, check_units=False))) == 24
