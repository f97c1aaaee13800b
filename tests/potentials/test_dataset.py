"""Reading labelled structures: units, keys, and one clear error for whatever is wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.atom_graph import collate
from potentials.dataset import LabelConfig, attach_neighbours, read_frames, split_frames
from potentials.errors import InputError
from potentials.neighbours import batch_neighbours, neighbour_list


def copper(count: int = 6, seed: int = 0) -> list[Atoms]:
    """Rattled, strained copper cells labelled by EMT."""
    frames = []
    for number in range(count):
        atoms = bulk("Cu", cubic=True)
        generator = np.random.default_rng([seed, number])
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.normal(0, 0.01, (3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(0, 0.08, (4, 3))
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def save(path: Path, frames: list[Atoms]) -> Path:
    write(path, frames, format="extxyz")
    return path


def relabelled(frames: list[Atoms], energy: float = 1.0, forces: float = 1.0, stress: float = 1.0) -> list[Atoms]:
    """Copies whose labels are multiplied: what a file in other units looks like."""
    made = []
    for atoms in frames:
        copy = atoms.copy()
        results = atoms.calc.results
        copy.calc = SinglePointCalculator(
            copy,
            energy=results["energy"] * energy,
            forces=results["forces"] * forces,
            stress=results["stress"] * stress,
        )
        made.append(copy)
    return made


def test_labels_arrive_in_ev_and_angstrom(tmp_path: Path) -> None:
    atoms = copper()
    frames = read_frames(save(tmp_path / "cu.xyz", atoms), LabelConfig(stress_key="stress"))
    assert len(frames) == 6
    for frame, source in zip(frames, atoms, strict=True):
        assert frame.energy.item() == pytest.approx(source.get_potential_energy(), abs=1e-7)
        assert np.allclose(frame.forces, source.get_forces(), atol=1e-7)
        assert np.allclose(frame.stress[0], source.get_stress(voigt=False), atol=1e-7)
        assert frame.positions.dtype == frame.energy.dtype == torch.float64
    assert collate(frames).stress.shape == (6, 3, 3)


@pytest.mark.parametrize("where", ["info and arrays", "other keys", "compressed"])
def test_labels_are_found_wherever_they_are(tmp_path: Path, where: str) -> None:
    atoms = copper(2)
    labels, path = LabelConfig(), tmp_path / "cu.xyz"
    if where == "other keys":
        for frame in atoms:
            frame.info["REF_energy"], frame.arrays["REF_forces"] = frame.get_potential_energy(), frame.get_forces()
            frame.calc = None
        labels = LabelConfig(energy_key="REF_energy", forces_key="REF_forces")
    save(path, atoms)
    if where == "compressed":
        (tmp_path / "cu.xyz.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "cu.xyz.gz"
    frames = read_frames(path, labels)
    assert frames[0].energy.item() == pytest.approx(copper(2)[0].get_potential_energy(), abs=1e-7)
    assert np.allclose(frames[1].forces, copper(2)[1].get_forces(), atol=1e-7)


@pytest.mark.parametrize(
    ("labels", "factors"),
    [
        (
            LabelConfig(energy_unit="Hartree", forces_unit="Hartree/Bohr"),
            (1 / units.Hartree, units.Bohr / units.Hartree),
        ),
        (LabelConfig(energy_unit="kcal/mol", forces_unit="kcal/mol/A"), (units.mol / units.kcal,) * 2),
        (LabelConfig(energy_unit="kJ/mol", forces_unit="kJ/mol/nm"), (units.mol / units.kJ, units.mol * 10 / units.kJ)),
        (LabelConfig(energy_per_atom=True), (1 / 4, 1.0)),
    ],
    ids=["atomic units", "kcal/mol", "GROMACS", "per atom"],
)
def test_declared_units_are_converted(tmp_path: Path, labels: LabelConfig, factors: tuple[float, float]) -> None:
    atoms = copper()
    frames = read_frames(save(tmp_path / "cu.xyz", relabelled(atoms, *factors)), labels)
    assert frames[0].energy.item() == pytest.approx(atoms[0].get_potential_energy(), rel=1e-5)
    assert np.allclose(frames[0].forces, atoms[0].get_forces(), atol=1e-5)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("GPa", 1 / units.GPa), ("kbar", 10 / units.GPa), ("kbar, VASP sign", -10 / units.GPa)],
)
def test_stress_units(tmp_path: Path, unit: str, factor: float) -> None:
    atoms = copper()
    path = save(tmp_path / "cu.xyz", relabelled(atoms, stress=factor))
    frames = read_frames(path, LabelConfig(stress_key="stress", stress_unit=unit))
    assert np.allclose(frames[2].stress[0], atoms[2].get_stress(voigt=False), atol=1e-6)


def test_virials_are_divided_by_the_volume(tmp_path: Path) -> None:
    atoms = copper()
    for frame in atoms:
        frame.info["virial"] = -frame.get_stress(voigt=False) * frame.get_volume()
    labels = LabelConfig(stress_key="virial", stress_unit="virial eV")
    frames = read_frames(save(tmp_path / "cu.xyz", atoms), labels)
    assert np.allclose(frames[1].stress[0], atoms[1].get_stress(voigt=False), atol=1e-6)


def test_molecules_need_no_stress(tmp_path: Path) -> None:
    water = molecule("H2O")
    water.calc = SinglePointCalculator(water, energy=-1.0, forces=np.zeros((3, 3)))
    frames = read_frames(save(tmp_path / "mixed.xyz", [*copper(2), water]), LabelConfig(stress_key="stress"))
    assert frames[2].stress.isnan().all()
    assert frames[1].stress.isfinite().all()


def test_slabs_may_leave_their_stress_out(tmp_path: Path) -> None:
    frames = copper(3)
    for atoms in frames[:2]:
        atoms.pbc = [True, True, False]
    del frames[0].calc.results["stress"]
    found = read_frames(save(tmp_path / "slabs.xyz", frames), LabelConfig(stress_key="stress"))
    assert [bool(frame.stress.isfinite().all()) for frame in found] == [False, True, True]
    del frames[2].calc.results["stress"]
    with pytest.raises(InputError, match="frame 2: no stress under the key 'stress'"):
        read_frames(save(tmp_path / "bulk.xyz", frames), LabelConfig(stress_key="stress"))


@pytest.mark.filterwarnings("error")
def test_copies_of_one_frame_are_no_evidence_of_units(tmp_path: Path) -> None:
    frames = copper(1) * 12
    assert len(read_frames(save(tmp_path / "cu.xyz", frames), LabelConfig(stress_key="stress"))) == 12


UNDECLARED = {
    "energies in Hartree": ((1 / units.Hartree, 1.0), "energies in Hartree with forces in eV/Å"),
    "energies in kcal/mol": ((units.mol / units.kcal, 1.0), "energies in kcal/mol with forces in eV/Å"),
    "forces in Hartree/Bohr": ((1.0, units.Bohr / units.Hartree), "energies in eV with forces in Hartree/Bohr"),
    "both in atomic units": ((1 / units.Hartree, units.Bohr / units.Hartree), "energies in Hartree with forces"),
    "gradients": ((1.0, -1.0), "gradients where forces belong"),
    "forces in meV/Å": ((1.0, 1000.0), "if they are meV/A"),
    "stress in kbar": ((1.0, 1.0, 10 / units.GPa), "if kbar"),
}


@pytest.mark.parametrize("name", UNDECLARED)
def test_wrong_units_are_noticed(tmp_path: Path, name: str) -> None:
    factors, message = UNDECLARED[name]
    frames = copper(20)
    for number, atoms in enumerate(frames):  # one cell and MD-like steps, so that work can be compared with energy
        atoms.set_cell(bulk("Cu", cubic=True).cell)
        atoms.positions = bulk("Cu", cubic=True).positions + np.random.default_rng(number).normal(0, 0.08, (4, 3))
        fresh = atoms.copy()
        fresh.set_cell(fresh.cell.array * (0.97 if "stress" in name else 1.0), scale_atoms=True)
        fresh.calc = EMT()
        results = {"energy": fresh.get_potential_energy(), "forces": fresh.get_forces(), "stress": fresh.get_stress()}
        fresh.calc = SinglePointCalculator(fresh, **results)
        frames[number] = fresh
    labels = LabelConfig(stress_key="stress")
    read_frames(save(tmp_path / "right.xyz", frames), labels)
    path = save(tmp_path / "wrong.xyz", relabelled(frames, *factors))
    with pytest.raises(InputError, match=message):
        read_frames(path, labels)
    read_frames(path, labels.model_copy(update={"check_units": False}))


@pytest.mark.parametrize(("scale", "unit"), [(1 / units.Bohr, "Bohr"), (0.1, "nm")])
def test_positions_in_other_lengths_are_noticed(tmp_path: Path, scale: float, unit: str) -> None:
    frames = []
    for atoms in copper():
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale * (2.2 if unit == "nm" else 1), scale_atoms=True)
        scaled.calc = SinglePointCalculator(scaled, energy=atoms.calc.results["energy"], forces=atoms.get_forces())
        frames.append(scaled)
    with pytest.raises(InputError, match=unit):
        read_frames(save(tmp_path / "cu.xyz", frames), LabelConfig())


def without_forces(frames: list[Atoms]) -> None:
    frames[3].calc = SinglePointCalculator(frames[3], energy=1.0)


def nan_force(frames: list[Atoms]) -> None:
    frames[3].calc.results["forces"][2, 1] = np.nan


def infinite_energy(frames: list[Atoms]) -> None:
    frames[3].calc.results["energy"] = np.inf


def nan_position(frames: list[Atoms]) -> None:
    frames[3].positions[0, 0] = np.nan


def flat_cell(frames: list[Atoms]) -> None:
    frames[3].cell[2] = [0.0, 0.0, 0.01]


def nameless_atom(frames: list[Atoms]) -> None:
    frames[3].numbers[1] = 0


DAMAGES = {
    "no element": (nameless_atom, "frame 3: atom 1 is X, no element: name it"),
    "missing forces": (without_forces, "frame 3: no forces under the key 'forces'"),
    "NaN force": (nan_force, "frame 3: forces of atom 2 is nan"),
    "infinite energy": (infinite_energy, "frame 3: energy is inf"),
    "NaN position": (nan_position, "frame 3: a position or cell is not finite"),
    "flat cell": (flat_cell, "frame 3: cell height"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_bad_frame_is_named(tmp_path: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    frames = copper()
    damage(frames)
    with pytest.raises(InputError, match=message) as error:
        read_frames(save(tmp_path / "cu.xyz", frames), LabelConfig())
    assert "cu.xyz" in str(error.value)


def test_a_wrong_key_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no energy under the key 'dft' \(it has .*energy, forces.*energy_key"):
        read_frames(save(tmp_path / "cu.xyz", copper()), LabelConfig(energy_key="dft"))


def test_stresses_left_unread_are_told(tmp_path: Path, caplog) -> None:
    path = save(tmp_path / "cu.xyz", copper())
    read_frames(path, LabelConfig(stress_key="stress"))
    assert not caplog.records
    read_frames(path, LabelConfig())
    assert "data.labels.stress_key=stress" in caplog.text


def test_unreadable_files(tmp_path: Path) -> None:
    path = save(tmp_path / "cu.xyz", copper())
    with pytest.raises(InputError, match="no training data at"):
        read_frames(tmp_path / "absent.xyz", LabelConfig())
    lines = path.read_text().splitlines()
    (tmp_path / "cut.xyz").write_text("\n".join(lines[:-2]) + "\nCu 0.0 1.")
    (tmp_path / "noise.xyz").write_bytes(bytes(range(256)))
    (tmp_path / "broken.xyz.gz").write_bytes(gzip.compress(path.read_bytes())[:-30])
    for name in ("cut.xyz", "noise.xyz", "broken.xyz.gz"):
        with pytest.raises(InputError, match="no readable extended XYZ"):
            read_frames(tmp_path / name, LabelConfig())
    with pytest.raises(InputError, match="is a folder: name the file"):
        read_frames(tmp_path, LabelConfig())
    (tmp_path / "OUTCAR").write_text("vasp.6.4.2")
    with pytest.raises(InputError, match=r"OUTCAR is no readable .* give \.xyz, \.extxyz"):
        read_frames(tmp_path / "OUTCAR", LabelConfig())
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(InputError, match=r"no frames|no readable"):
        read_frames(tmp_path / "empty.xyz", LabelConfig())


def test_two_atoms_on_one_place(tmp_path: Path) -> None:
    frames = read_frames(save(tmp_path / "cu.xyz", copper()), LabelConfig(check_units=False))
    frames[4].positions[1] = frames[4].positions[0] + 0.01
    with pytest.raises(InputError, match=r"cu, frame 4: two atoms are 0\.0173 Å apart"):
        attach_neighbours(frames, 4.0, "cu")


def test_carried_neighbours_equal_the_list_of_the_batch(tmp_path: Path) -> None:
    frames = read_frames(save(tmp_path / "cu.xyz", copper(3)), LabelConfig())
    attach_neighbours(frames, 4.0)
    batch = collate(frames)
    carried, made = batch_neighbours(batch), neighbour_list(batch, 4.0)
    key = lambda found: sorted(map(tuple, torch.cat([found.edge_index.T, found.shifts.long()], 1).tolist()))  # noqa: E731
    assert key(carried) == key(made)
    assert torch.equal(carried.edge_batch, batch.batch[carried.edge_index[0]])


def test_split_is_a_pure_function_of_the_seed(tmp_path: Path) -> None:
    frames = read_frames(save(tmp_path / "cu.xyz", copper(10)), LabelConfig())
    training, held_out, indices = split_frames(frames, 0.3, seed=5)
    assert (len(training), len(held_out)) == (7, 3)
    assert split_frames(frames, 0.3, seed=5)[2] == indices != split_frames(frames, 0.3, seed=6)[2]
    assert all(frame is not other for frame in training for other in held_out)
    assert len(split_frames(frames[:2], 0.9, seed=0)[0]) == 1
    with pytest.raises(InputError, match="1 frame cannot be split"):
        split_frames(frames[:1], 0.3, seed=0)
