"""Checkpoints: what is saved is what is loaded, and damage is named."""

import json
from pathlib import Path

import pytest
import torch
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.errors import InputError
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig(cutoff=4.0, channels=4, carried=(4, 4), lmax=1, radial_hidden=4)
    model = EnergyModel(config, {1: -13.6, 8: -2041.8}, 0.5, zbl=True)
    model.calibrate(batch(), neighbour_list(batch(), 4.0))
    return save_checkpoint(tmp_path / "out", model, name="water-toy", training={"seed": 0})


def batch():
    return collate([graph_from_atoms(molecule("H2O")), graph_from_atoms(molecule("H2O2"))])


def test_round_trip_is_exact(saved: Path) -> None:
    first, second = load_checkpoint(saved), load_checkpoint(saved / "model.json")
    assert isinstance(first, NetworkPotential)
    assert first.name == "water-toy"
    assert first.elements == {1, 8}
    assert first.metadata["training"] == {"seed": 0}
    for key, value in first(batch()).items():
        assert torch.equal(value, second(batch())[key])
    again = save_checkpoint(saved.parent / "again", first.model)
    assert (again / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()


def test_precision_can_be_chosen(saved: Path) -> None:
    single, double = load_checkpoint(saved)(batch()), load_checkpoint(saved, precision="float64")(batch())
    assert torch.allclose(single["energy"], double["energy"], atol=1e-3)
    assert not torch.equal(single["energy"], double["energy"])
    with pytest.raises(InputError, match="float16"):
        load_checkpoint(saved, precision="float16")


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(saved: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"device .*{device}.* is not"):
        load_checkpoint(saved, device=device)


def test_description_says_what_a_reader_needs(saved: Path) -> None:
    description = json.loads((saved / "model.json").read_text())
    assert description["format_version"] == 4
    assert description["elements"] == ["H", "O"]
    assert description["reference_energies"] == {"H": -13.6, "O": -2041.8}
    assert description["units"]["energy"] == "eV"
    assert description["network"]["cutoff"] == 4.0


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def swap(folder: Path) -> None:
    """Weights of another shape whose hash the description holds: mixed from two trainings."""
    config = NetworkConfig(cutoff=4.0, channels=6, carried=(6, 6), lmax=1, radial_hidden=4)
    other = save_checkpoint(folder.parent / "other", EnergyModel(config, {1: 0.0, 8: 0.0}))
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    description = json.loads((folder / "model.json").read_text())
    description["weights_sha256"] = json.loads((other / "model.json").read_text())["weights_sha256"]
    (folder / "model.json").write_text(json.dumps(description))


def edit(**changes):
    def apply(folder: Path) -> None:
        path = folder / "model.json"
        description = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in description.items() if value is not None}))

    return apply


DAMAGES = {
    "truncated weights": (truncate, "truncated or replaced"),
    "weights of another network": (swap, "does not hold the network"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "beside its model.json"),
    "no description": (lambda folder: (folder / "model.json").unlink(), "give the folder"),
    "half a description": (lambda folder: (folder / "model.json").write_text('{"format_'), "damaged"),
    "a list": (lambda folder: (folder / "model.json").write_text("[]"), "format version None"),
    "from the future": (edit(format_version=99), "format version 99"),
    "without elements": (edit(reference_energies=None), "reference_energies"),
    "with an element that is none": (edit(reference_energies={"Qq": 1.0}), "Qq"),
    "with a key no network has": (edit(network={"cutof": 4.0}), "did you mean 'cutoff'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_clear_error(saved: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(saved)
    with pytest.raises(InputError, match=message):
        load_checkpoint(saved)


def test_element_the_model_never_saw(saved: Path) -> None:
    with pytest.raises(InputError, match="never saw Na, Cl"):
        load_checkpoint(saved)(collate([graph_from_atoms(bulk("NaCl", "rocksalt", a=5.64))]))


@pytest.mark.parametrize("version", [1, 2])
def test_every_version_ever_written_loads(version: int) -> None:
    """A small checkpoint of each format version is kept with the energies it gave when it was written."""
    folder = CHECKPOINTS / f"v{version}"
    expected = json.loads((folder / "expected.json").read_text())
    potential = load_checkpoint(folder)
    assert potential.metadata["format_version"] == version
    for case in expected["systems"]:
        atoms = bulk(case["element"], cubic=True)
        atoms.rattle(case["rattle"], seed=case["seed"])
        result = potential(collate([graph_from_atoms(atoms)]))
        assert result["energy"].item() == pytest.approx(case["energy"], abs=1e-4)
        assert torch.allclose(result["forces"], torch.tensor(case["forces"], dtype=torch.float64), atol=1e-4)
        assert torch.allclose(result["stress"], torch.tensor(case["stress"], dtype=torch.float64), atol=1e-5)
