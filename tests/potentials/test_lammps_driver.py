"""LAMMPS with our forces: the same numbers as ASE, energy conserved, and errors that reach the caller."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from potentials.ase_calculator import SorbusCalculator
from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import save_checkpoint
from potentials.errors import InputError
from potentials.lammps_driver import LammpsForces, box, import_lammps, start
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential


@pytest.fixture(scope="module")
def lammps():
    try:
        return import_lammps()
    except InputError as error:
        pytest.skip(str(error))


def salt() -> Atoms:
    """A rattled, sheared cell in LAMMPS's form, with velocities."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    strain = np.array([[0.02, 0, 0], [0.06, -0.04, 0], [-0.05, 0.03, 0.05]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    atoms.wrap()
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    return atoms


@pytest.fixture(scope="module")
def network() -> NetworkPotential:
    torch.manual_seed(0)
    config = NetworkConfig(cutoff=4.0, channels=4, lmax=1, carried=(4, 4))
    energies = {1: -1.0, 8: -2.0, 11: -3.0, 17: -4.0}
    model = EnergyModel(config, energies, 0.3, zbl=True, dtype=torch.float64)
    batch = collate([graph_from_atoms(salt())])
    model.calibrate(batch, neighbour_list(batch, 4.0))
    return NetworkPotential(model, "tiny")


def positions_and_forces(forces: LammpsForces, count: int) -> tuple[np.ndarray, np.ndarray]:
    """In the order the atoms were made."""
    return tuple(np.array(forces.lmp.gather_atoms(name, 1, 3)).reshape(count, 3) for name in ("x", "f"))


def slab() -> Atoms:
    atoms = salt()
    atoms.cell[2] = [0, 0, atoms.cell[2, 2]]
    atoms.pbc = [True, True, False]
    atoms.positions[:, 2] -= 3.0  # an open direction needs no wrapping
    return atoms


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=3)
    return atoms


@pytest.mark.parametrize("make", [salt, slab, water])
def test_energy_and_forces_are_those_of_ase(lammps, network: NetworkPotential, make) -> None:
    atoms = make()
    forces = start(atoms, network)
    forces.run(0)
    atoms.calc = SorbusCalculator(network)
    assert forces.lmp.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    found = positions_and_forces(forces, len(atoms))[1]
    assert np.abs(atoms.get_forces()).max() > 0.1
    np.testing.assert_allclose(found, atoms.get_forces(), atol=1e-9)


def test_the_pressure_tensor_is_minus_the_stress(lammps, network: NetworkPotential) -> None:
    atoms = salt()
    atoms.set_velocities(np.zeros((len(atoms), 3)))
    forces = start(atoms, network)
    forces.run(0)
    atoms.calc = SorbusCalculator(network)
    xx, yy, zz, yz, xz, xy = -atoms.get_stress() / units.bar
    found = [forces.lmp.get_thermo(f"p{name}") for name in ("xx", "yy", "zz", "yz", "xz", "xy")]
    assert np.abs([yz, xz, xy]).max() > 100
    np.testing.assert_allclose(found, [xx, yy, zz, yz, xz, xy], rtol=1e-5)


def test_dynamics_in_a_triclinic_cell_follow_ase_and_conserve_energy(lammps, network: NetworkPotential) -> None:
    atoms, steps = salt(), 200
    forces = start(atoms, network)
    forces.lmp.commands_list(["timestep 0.00025", "fix move all nve", "thermo 1"])
    forces.run(0)
    first = forces.lmp.get_thermo("etotal")
    kinetic = forces.lmp.get_thermo("ke")
    assert kinetic == pytest.approx(atoms.get_kinetic_energy(), rel=1e-6)
    forces.run(steps)
    assert forces.lmp.get_thermo("etotal") == pytest.approx(first, abs=1e-3 * kinetic)
    assert abs(forces.lmp.get_thermo("ke") - kinetic) > 0.01 * kinetic

    atoms.calc = SorbusCalculator(network)
    before = atoms.positions.copy()
    VelocityVerlet(atoms, timestep=0.25 * units.fs).run(steps)
    found, pulls = positions_and_forces(forces, len(atoms))
    cell = box(forces.lmp)[0]
    fractional = np.linalg.solve(cell.T, (found - atoms.positions).T).T
    assert np.abs(atoms.positions - before).max() > 0.1
    np.testing.assert_allclose(fractional - np.round(fractional), 0, atol=1e-6)
    # LAMMPS's and ASE's units of mass agree to seven digits, and a random network lets atoms run into their steep cores
    np.testing.assert_allclose(pulls, atoms.get_forces(), atol=5e-5)


def test_barostat_and_minimiser_of_lammps_use_our_virial_and_energy(lammps, network: NetworkPotential) -> None:
    atoms = salt()
    forces = start(atoms, network)
    forces.lmp.command("fix move all npt temp 300 300 0.1 tri 0 0 0.05")
    forces.lmp.command("timestep 0.0005")
    forces.run(10)
    assert not np.allclose(box(forces.lmp)[0], atoms.cell.array, atol=1e-4)
    forces.lmp.command("unfix move")
    # a random network has no nearby rest: what the minimiser must find is lower energies, by the slope we hand it
    before, (start_at, slope) = forces.lmp.get_thermo("pe"), positions_and_forces(forces, len(atoms))
    forces.command("minimize 0 1e-4 30 60")
    gained = before - forces.lmp.get_thermo("pe")
    moved = positions_and_forces(forces, len(atoms))[0] - start_at
    assert gained > 0.1
    assert (slope * moved).sum() > 0


def test_a_failing_potential_ends_the_run_with_its_reason(lammps, network: NetworkPotential) -> None:
    class Failing:
        name, elements, cutoff, calls = "failing", network.elements, network.cutoff, 0

        def __call__(self, batch, *, stress=True):
            self.calls += 1
            if self.calls == 3:
                raise ValueError("out of ideas")
            return network(batch, stress=stress)

    potential = Failing()
    forces = start(salt(), potential)
    forces.lmp.command("fix move all nve")
    with pytest.raises(Exception, match="at LAMMPS step 2: ValueError: out of ideas"):
        forces.run(50)
    assert potential.calls < 6


def test_what_cannot_be_attached_is_refused(lammps, network: NetworkPotential) -> None:
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    with pytest.raises(InputError, match="units lj"):
        LammpsForces(lmp, network, ["Na"])
    lmp.command("units metal")
    with pytest.raises(InputError, match="no box"):
        LammpsForces(lmp, network, ["Na"])
    lmp.commands_list(["region b block 0 5 0 5 0 5", "create_box 2 b"])
    with pytest.raises(InputError, match="1 elements for 2 atom types"):
        LammpsForces(lmp, network, ["Na"])
    with pytest.raises(InputError, match="'Xy'"):
        LammpsForces(lmp, network, ["Na", "Xy"])
    with pytest.raises(InputError, match="never saw Fe"):
        LammpsForces(lmp, network, ["Na", "Fe"])
    turned = salt()
    turned.rotate(30, "z", rotate_cell=True)
    with pytest.raises(InputError, match="standard_form"):
        start(turned, network)


SCRIPT = '''
units metal
atom_style atomic
region box block 0 6 0 6 0 6
create_box 2 box
create_atoms 1 single 0 0 0
create_atoms 2 single 2.7 0.1 0.2
mass 1 22.99
mass 2 35.45
pair_style zero 1.0 nocoeff
pair_coeff * *
python attach input 1 SELF format p here """
def attach(lmp):
    from potentials.lammps_driver import attach as sorbus
    sorbus(lmp, 'CHECKPOINT', 'Na Cl')
"""
python attach invoke
fix move all nve
thermo_style custom step pe etotal
thermo_modify format float %.12g
thermo 5
run 5
'''


def test_an_input_script_of_the_lammps_program(lammps, network: NetworkPotential, tmp_path: Path) -> None:
    program = shutil.which("lmp")
    if program is None:
        pytest.skip("no lmp program: apt-get install lammps")
    save_checkpoint(tmp_path / "model", network.model)
    script = tmp_path / "in.sorbus"
    script.write_text(SCRIPT.replace("CHECKPOINT", str(tmp_path / "model")))
    paths = [str(Path(__file__).parents[2]), *(path for path in sys.path if path.endswith("site-packages"))]
    done = subprocess.run(
        [program, "-in", str(script), "-log", "none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if "built without" in done.stdout or "Unrecognized python" in done.stdout or "Unknown command" in done.stdout:
        pytest.skip("this lmp has no PYTHON package")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if "SyntaxError" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"the Python inside lmp is not {version}: {done.stderr.strip().splitlines()[-1]}")
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1] in "05" and len(line.split()) == 3]
    assert [row[0] for row in rows] == ["0", "5"], done.stdout + done.stderr
    pair = Atoms("NaCl", [[0, 0, 0], [2.7, 0.1, 0.2]], cell=[6, 6, 6], pbc=True, calculator=SorbusCalculator(network))
    assert float(rows[0][1]) == pytest.approx(pair.get_potential_energy(), abs=1e-8)
    assert float(rows[1][2]) == pytest.approx(float(rows[0][2]), abs=1e-3)
    assert rows[0][1] != rows[1][1]
