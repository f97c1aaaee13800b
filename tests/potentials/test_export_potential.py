"""Exported potentials: the model's numbers at sizes they were not traced with, ghosts, batches, and clear errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import save_checkpoint
from potentials.errors import InputError
from potentials.export_potential import compiled_potential, export_potential
from potentials.export_program import TensorModel
from potentials.exported_potential import TensorPotential, load_exported, padded_inputs
from potentials.long_range import LongRangeConfig
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential
from potentials.potential import load_potential

ENERGIES = {1: -1.0, 8: -2.0, 11: -3.0, 17: -4.0}
TINY = NetworkConfig(cutoff=4.0, channels=4, lmax=1, carried=(4, 4))


def salt(repeat: int = 1) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True) * (repeat, 1, 1)
    strain = np.array([[0.02, 0.03, 0], [0, -0.04, 0.01], [0, 0, 0.05]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.1, seed=repeat)
    return atoms


def slab() -> Atoms:
    atoms = salt(2)
    atoms.pbc = [True, True, False]
    return atoms


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=3)
    return atoms


def trained(config: NetworkConfig = TINY, dtype: torch.dtype = torch.float64) -> NetworkPotential:
    torch.manual_seed(0)
    model = EnergyModel(config, ENERGIES, 0.5, zbl=True, dtype=dtype, pair_baseline=True)
    assert model.pair_baseline is not None
    torch.nn.init.constant_(model.pair_baseline.coefficients, -0.2)
    batch = collate([graph_from_atoms(atoms) for atoms in (salt(), water())])
    model.calibrate(batch, neighbour_list(batch, config.cutoff))
    return NetworkPotential(model, "tiny")


@pytest.fixture(scope="module")
def potential() -> NetworkPotential:
    return trained()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Through a checkpoint, as a user's would go."""
    base = tmp_path_factory.mktemp("export")
    save_checkpoint(base / "model", trained().model, name="tiny")
    return export_potential(base / "model", base / "exported", compile=False)


@pytest.fixture(scope="module")
def exported(folder: Path) -> TensorPotential:
    return load_potential({"name": "exported", "folder": folder})


SYSTEMS = {
    "molecule": [water()],
    "lone atom": [Atoms("O")],
    "two atoms out of reach": [Atoms("NaCl", [[0, 0, 0], [0, 0, 9.0]])],
    "small cell": [bulk("NaCl", "rocksalt", 5.5)],
    "cell": [salt()],
    "larger cell": [salt(3)],
    "slab": [slab()],
    "batch": [salt(), water(), Atoms("Na"), slab()],
}


def assert_same(ours, theirs, systems: list[Atoms], tolerance: float) -> None:
    batch = collate([graph_from_atoms(atoms) for atoms in systems])
    expected, found = ours(batch), theirs(batch)
    del expected["site_energies"]  # not exported: dynamics have no use for them
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_allclose(found[key], value, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("systems", SYSTEMS.values(), ids=SYSTEMS)
def test_an_exported_potential_gives_the_models_numbers(potential, exported, systems: list[Atoms]) -> None:
    assert_same(potential, exported, systems, 1e-11)


def test_the_description_says_what_a_foreign_program_needs(folder: Path, exported: TensorPotential) -> None:
    described = json.loads((folder / "export.json").read_text())
    assert described["species"] == ["H", "O", "Na", "Cl"]
    assert (described["cutoff"], described["layers"], described["precision"]) == (4.0, 2, "float64")
    assert described["inputs"] == ["positions", "species", "neighbours", "shifts", "owned"]
    weights = json.loads((folder.parent / "model/model.json").read_text())["weights_sha256"]
    assert described["checkpoint_weights_sha256"] == weights
    assert exported.name == "tiny"
    assert exported.cutoff == 4.0


def test_ghost_atoms_replace_periodicity(potential, exported) -> None:
    """What a parallel code does: images as atoms of their own, the forces on them returned to their owners."""
    atoms = salt()
    images = np.array([[i, j, k] for i in range(-2, 3) for j in range(-2, 3) for k in range(-2, 3)])
    images = images[np.argsort(np.abs(images).sum(1), kind="stable")]  # the cell itself first
    cluster = Atoms(
        np.tile(atoms.numbers, len(images)), np.concatenate([atoms.positions + image @ atoms.cell for image in images])
    )
    batch = collate([graph_from_atoms(cluster)])
    species = potential.model.species(batch.numbers)
    *inputs, owned = padded_inputs(batch, species, neighbour_list(batch, 4.0), 8.0)
    owned[len(atoms) :] = 0.0
    with torch.no_grad():
        energies, forces, virials = exported.program(*inputs, owned)
    forces = forces.view(len(images), len(atoms), 3)
    assert forces[1:].abs().max() > 0.01
    expected = potential(collate([graph_from_atoms(atoms)]))
    np.testing.assert_allclose((energies * owned).sum(), expected["energy"][0], atol=1e-10)
    np.testing.assert_allclose(forces.sum(0), expected["forces"], atol=1e-10)
    stress = -virials.sum(0) / atoms.get_volume()
    np.testing.assert_allclose(0.5 * (stress + stress.T), expected["stress"][0], atol=1e-11)


def test_elements_it_never_saw_are_refused_by_name(exported) -> None:
    with pytest.raises(InputError, match=r"never saw Fe: it knows H, O, Na, Cl"):
        exported(collate([graph_from_atoms(bulk("Fe"))]))


def test_damaged_and_foreign_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no .*export.json"):
        load_exported(tmp_path / "nothing")
    with pytest.raises(InputError, match="'exported' needs folder"):
        load_potential("exported")
    with pytest.raises(InputError, match=r"compiled.pt2: export again with compilation"):
        load_exported(folder, compiled=True)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    payload = bytearray((copy / "program.pt2").read_bytes())
    payload[len(payload) // 2] ^= 1
    (copy / "program.pt2").write_bytes(payload)
    with pytest.raises(InputError, match=r"program.pt2 is not the file export.json speaks of"):
        load_exported(copy)
    described = json.loads((copy / "export.json").read_text())
    (copy / "export.json").write_text(json.dumps({**described, "export_version": 99}))
    with pytest.raises(InputError, match="export version 99"):
        load_exported(copy)
    (copy / "export.json").write_text(json.dumps({**described, "species": ["H", "Qq"]}))
    with pytest.raises(InputError, match="not all of them elements"):
        load_exported(copy)
    (copy / "export.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        load_exported(copy)


def test_long_range_charges_are_refused() -> None:
    model = EnergyModel(TINY, ENERGIES, long_range=LongRangeConfig())
    with pytest.raises(InputError, match="long-range charges cannot be exported"):
        TensorModel(model)


@pytest.mark.slow
def test_the_default_layout_in_single_precision(tmp_path: Path) -> None:
    potential = trained(NetworkConfig(cutoff=4.0, channels=8, carried=(8, 8, 4)), torch.float32)
    exported = load_exported(export_potential(potential, tmp_path, compile=False))
    assert_same(potential, exported, SYSTEMS["batch"], 2e-5)


@pytest.mark.slow
def test_machine_code_gives_the_models_numbers(potential, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++: nothing to compile with")
    compiled = load_exported(export_potential(potential, tmp_path), compiled=True)
    for systems in SYSTEMS.values():
        assert_same(potential, compiled, systems, 1e-10)


@pytest.mark.slow
def test_torch_compile_gives_the_models_numbers_without_compiling_anew(potential) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++: nothing to compile with")
    compiled = compiled_potential(potential)
    for systems in SYSTEMS.values():
        assert_same(potential, compiled, systems, 1e-10)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2
