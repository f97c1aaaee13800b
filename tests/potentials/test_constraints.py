"""What relaxation may not change: atoms held, symmetry kept, pressure answered; ASE's minima under the same terms."""

import numpy as np
import pytest
import spglib
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms, FixBondLength
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from potentials.ase_calculator import SorbusCalculator
from potentials.atom_graph import graph_from_atoms
from potentials.constraints import symmetric_start
from potentials.errors import InputError
from potentials.potential import load_potential
from potentials.relaxation import relax
from screening.relax_files import RelaxSettings, relax_files

EMT = load_potential("emt")


def group(atoms: Atoms, symprec: float = 1e-4) -> int:
    found = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec)
    return found.number


def alloy(seed: int = 2) -> Atoms:
    atoms = bulk("Cu", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Au"
    atoms.rattle(0.1, seed=seed)
    return atoms


def slab() -> Atoms:
    atoms = fcc111("Cu", (2, 2, 3), vacuum=6.0, periodic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_constraint(FixAtoms(mask=atoms.get_tags() == 3))
    return atoms


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs"])
@pytest.mark.parametrize("gpa", [-3.0, 20.0])
def test_under_pressure_the_stress_answers_it_as_in_ase(optimizer: str, gpa: float) -> None:
    (found,) = relax(alloy(), EMT, fmax=1e-4, smax=1e-6, optimizer=optimizer, pressure_gpa=gpa)
    assert found.converged
    result = found.structure
    result.calc = SorbusCalculator(EMT)
    np.testing.assert_allclose(result.get_stress(voigt=False) / units.GPa, -gpa * np.eye(3), atol=1e-3)

    expected = alloy()
    expected.calc = SorbusCalculator(EMT)
    FIRE(FrechetCellFilter(expected, scalar_pressure=gpa * units.GPa), logfile=None).run(fmax=1e-4, steps=2000)
    assert found.structure.get_volume() == pytest.approx(expected.get_volume(), rel=1e-4)
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-4)  # E, without p V


def test_held_atoms_stay_and_the_rest_finds_ases_minimum() -> None:
    (found,) = relax(slab(), EMT, fmax=1e-3, variable_cell=False)
    held = slab().get_tags() == 3
    assert found.converged
    np.testing.assert_array_equal(found.structure.positions[held], slab().positions[held])
    assert np.abs(found.structure.positions - slab().positions)[~held].max() > 0.05
    assert len(found.structure.constraints) == 1
    expected = slab()
    expected.calc = SorbusCalculator(EMT)
    FIRE(expected, logfile=None).run(fmax=1e-3, steps=1000)
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-4)


def test_a_poscar_and_a_setting_say_what_is_held_and_fractions_follow_the_cell() -> None:
    atoms = alloy()
    structure = Structure(Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    flags = [[True] * 3, [False] * 3, [True] * 3, [True] * 3]
    read = Poscar.from_str(Poscar(structure, selective_dynamics=flags).get_str(significant_figures=12)).structure
    by_file, by_element, free = (
        relax(read, EMT, fmax=1e-3, smax=1e-5)[0],
        relax(structure, EMT, fmax=1e-3, smax=1e-5, fixed_elements=["Au"])[0],
        relax(structure, EMT, fmax=1e-3, smax=1e-5)[0],
    )
    assert by_file.converged
    assert by_element.converged
    assert abs(by_file.structure.volume / structure.volume - 1) > 0.01
    np.testing.assert_allclose(by_file.structure.frac_coords[1], structure.frac_coords[1], atol=1e-9)
    np.testing.assert_allclose(by_element.structure.frac_coords[0], structure.frac_coords[0], atol=1e-9)
    assert free.energy < by_file.energy + 1e-6
    assert np.array(by_file.structure.site_properties["selective_dynamics"]).tolist() == flags


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs"])
def test_a_saddle_of_high_symmetry_keeps_it_only_when_asked(optimizer: str) -> None:
    """Copper's cubic body-centred cell, a little too tall, stretches to the face-centred one unless it is held."""
    start = bulk("Cu", "bcc", 2.8, cubic=True)
    start.set_cell([2.8, 2.8, 2.808], scale_atoms=True)
    terms = {"fmax": 1e-4, "smax": 1e-6, "optimizer": optimizer, "max_steps": 1000}
    kept, free = (relax(start, EMT, symmetry=symmetry, **terms)[0] for symmetry in (True, False))
    assert kept.converged
    assert free.converged
    assert group(start) == 139
    assert group(kept.structure, 1e-6) == 229
    assert group(free.structure, 1e-2) == 225
    assert free.energy < kept.energy - 0.01
    scan = [bulk("Cu", "bcc", a) for a in np.linspace(2.75, 2.95, 81)]
    lowest = min(result.energy for result in relax(scan, EMT, max_steps=0))
    assert kept.energy / 2 == pytest.approx(lowest, abs=1e-4)


def test_an_oblique_cell_with_free_coordinates_keeps_its_group_under_pressure() -> None:
    start = bulk("Cu", "hcp", a=2.6, c=4.5) * (2, 1, 1)
    start.symbols[0] = "Au"
    start.rattle(0.001, seed=4)
    before = group(start, 0.01)
    (found,) = relax(start, EMT, fmax=1e-3, smax=1e-5, symmetry=True, pressure_gpa=5.0, max_steps=1000)
    assert before > 1
    assert found.converged
    assert group(found.structure, 1e-6) == before
    assert abs(found.volume_change) > 0.01


def test_projected_forces_are_invariant_and_projecting_again_changes_nothing() -> None:
    crystal = bulk("Si", "diamond", 5.4) * (2, 1, 1)
    start, constraint = symmetric_start(graph_from_atoms(crystal))
    torch.manual_seed(0)
    forces, stress = torch.randn(len(crystal), 3).double(), torch.randn(3, 3).double()
    stress = stress + stress.T
    once, cell = constraint.forces(forces), constraint.stress(stress)
    torch.testing.assert_close(constraint.forces(once), once)
    torch.testing.assert_close(constraint.stress(cell), cell)
    for rotation, source in zip(constraint.rotations, constraint.sources, strict=True):
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), atol=1e-10, rtol=0)
        torch.testing.assert_close(once[source] @ rotation.T, once, atol=1e-10, rtol=0)
    assert len(constraint.rotations) >= 24
    assert start.positions.shape == (4, 3)


def test_operations_that_move_a_held_atom_onto_a_free_one_are_left_out() -> None:
    crystal = bulk("Cu", "fcc", 3.6, cubic=True)
    _, whole = symmetric_start(graph_from_atoms(crystal))
    _, part = symmetric_start(graph_from_atoms(crystal), torch.tensor([True, False, False, False]))
    assert len(whole.rotations) == 192
    assert len(part.rotations) == 48
    assert (part.sources[:, 0] == 0).all()


def test_results_do_not_depend_on_what_else_is_held_in_the_batch() -> None:
    systems = [alloy(1), slab(), alloy(3)]
    together = relax(systems, EMT, fmax=0.01, pressure_gpa=2.0)
    for system, found in zip(systems, together, strict=True):
        (alone,) = relax(system, EMT, fmax=0.01, pressure_gpa=2.0)
        assert alone.energy == pytest.approx(found.energy, abs=1e-6)
        assert alone.steps == found.steps


def test_what_cannot_be_held_is_said_on_its_row() -> None:
    bonded = alloy()
    bonded.set_constraint(FixBondLength(0, 1))
    results = relax([bonded, alloy()], EMT, max_steps=1)
    assert "constraint FixBondLengths cannot be kept" in results[0].failure
    assert results[1].failure is None
    flags = {"selective_dynamics": [[True, True, False]]}
    half = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]], site_properties=flags)
    assert "site 0 is held in some directions only" in relax(half, EMT)[0].failure
    molecule = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]])
    assert "periodic in three directions only" in relax(molecule, EMT, symmetry=True)[0].failure


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pressure_gpa": 1.0, "variable_cell": False}, "set variable_cell"),
        ({"pressure_gpa": 1e5}, "beyond 1000 GPa"),
        ({"fixed_elements": ["Xx"]}, "'Xx', which is no chemical symbol"),
    ],
)
def test_settings_are_checked(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        relax(alloy(), EMT, **options)


def test_a_folder_is_relaxed_with_what_its_files_hold(tmp_path) -> None:
    atoms = slab()
    structure = Structure(Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    free = [[bool(tag != 3)] * 3 for tag in atoms.get_tags()]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/POSCAR_slab").write_text(Poscar(structure, selective_dynamics=free).get_str(significant_figures=12))
    settings = RelaxSettings(potential="emt", fmax=0.05, variable_cell=False)
    table = relax_files([str(tmp_path / "in")], settings, tmp_path / "out")
    assert table.succeeded == 1
    relaxed = Structure.from_file(next((tmp_path / "out").glob("*.cif")))
    moved = np.abs((relaxed.frac_coords - structure.frac_coords + 0.5) % 1 - 0.5).max(1) > 1e-6
    assert moved.tolist() == [row[0] for row in free]
