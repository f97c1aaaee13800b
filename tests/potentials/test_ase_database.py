"""Training data from an ASE database: the same frames as from extended XYZ, wherever the labels are kept."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write

from potentials.dataset import LabelConfig, read_frames
from potentials.errors import InputError


def gold(count: int = 4) -> list[Atoms]:
    frames = []
    for number in range(count):
        atoms = bulk("Au", cubic=True)
        atoms.rattle(0.1, seed=number)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def test_a_database_equals_the_same_frames_in_extended_xyz(tmp_path: Path) -> None:
    frames = gold()
    frames[1].set_constraint(FixAtoms([0]))  # labels are forces of the potential, not of the constraint
    write(tmp_path / "au.xyz", gold(), format="extxyz")
    with connect(tmp_path / "au.db") as database:
        for atoms in frames:
            database.write(atoms)
    labels = LabelConfig(stress_key="stress")
    first, second = (read_frames(tmp_path / name, labels) for name in ("au.xyz", "au.db"))
    assert len(first) == len(second) == 4
    for one, other in zip(first, second, strict=True):
        for key in ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress"):
            torch.testing.assert_close(one[key], other[key], rtol=0, atol=1e-7)


def test_labels_in_key_value_pairs_and_data(tmp_path: Path) -> None:
    with connect(tmp_path / "au.db") as database:
        for atoms in gold():
            results = atoms.calc.results
            atoms.calc = None
            data = {"REF_forces": results["forces"] / units.Hartree * units.Bohr}
            database.write(atoms, REF_energy=results["energy"] / units.Hartree, data=data)
    labels = LabelConfig(
        energy_key="REF_energy", forces_key="REF_forces", energy_unit="Hartree", forces_unit="Hartree/Bohr"
    )
    frames = read_frames(tmp_path / "au.db", labels)
    for frame, atoms in zip(frames, gold(), strict=True):
        assert frame.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-9)


def test_a_bad_row_is_named_by_its_id(tmp_path: Path) -> None:
    with connect(tmp_path / "au.db") as database:
        for atoms in gold():
            database.write(atoms)
        database.write(bulk("Au"))
        del database[1]
    with pytest.raises(InputError, match=r"au\.db, row 5: no energy under the key 'energy'"):
        read_frames(tmp_path / "au.db", LabelConfig())


def test_what_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database\n" * 100)
    with pytest.raises(InputError, match="no readable SQLite file"):
        read_frames(tmp_path / "text.db", LabelConfig())
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE birds (name TEXT)")
    connection.commit()
    connection.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(InputError, match="no ASE database"):
        read_frames(tmp_path / "other.db", LabelConfig())
    assert (tmp_path / "other.db").read_bytes() == before
    with pytest.raises(InputError, match="no training data at"):
        read_frames(tmp_path / "absent.db", LabelConfig())
    assert not (tmp_path / "absent.db").exists()


def test_a_damaged_row_is_one_sentence(tmp_path: Path) -> None:
    with connect(tmp_path / "au.db") as database:
        for atoms in gold():
            database.write(atoms)
    connection = sqlite3.connect(tmp_path / "au.db")
    connection.execute("UPDATE systems SET positions = X'00' WHERE id = 3")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="after row 2: the database is damaged"):
        read_frames(tmp_path / "au.db", LabelConfig())
