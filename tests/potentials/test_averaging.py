"""Averages of trained weights."""

import copy
import json
from pathlib import Path

import pytest
import torch
from ase.build import bulk

from potentials.atom_graph import collate, graph_from
from potentials.averaging import average, average_checkpoints
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.errors import InputError
from potentials.growth import grown
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel

SHAPE = {"cutoff": 4.0, "channels": 6, "lmax": 1, "carried": (5, 3), "layers": 2, "body_order": 3}


def model(elements=(11, 17), **changes) -> EnergyModel:
    torch.manual_seed(3)
    return EnergyModel(NetworkConfig(**SHAPE | changes), dict.fromkeys(elements, -1.0), 2.0, dtype=torch.float64)


def moved(start: EnergyModel, step: float) -> EnergyModel:
    """The model some way off along one direction in its weights."""
    other = copy.deepcopy(start)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += step * torch.randn_like(parameter)
    other.reference_energies = {z: energy + step for z, energy in start.reference_energies.items()}
    return other


def energy(potential) -> float:
    return float(potential(collate([graph_from(bulk("NaCl", "rocksalt", a=5.4))]))["energy"])


def test_the_middle_of_a_way_is_the_average_of_its_ends(tmp_path: Path):
    start = model()
    for name, step in (("a", 0.1), ("b", -0.1), ("middle", 0.05)):
        save_checkpoint(
            tmp_path / name, moved(start, step), name=name, training={"command": name, "validation_errors": {}}
        )
    out = average_checkpoints([tmp_path / "b", tmp_path / "a"], tmp_path / "mean", shares=[0.25, 0.75])
    mean = load_checkpoint(out)
    assert energy(mean) == pytest.approx(energy(load_checkpoint(tmp_path / "middle")), abs=1e-9)
    told = json.loads((out / "model.json").read_text())
    assert (told["name"], told["training"]["command"]) == ("a", "a")
    assert "validation_errors" not in told["training"]
    assert [(part["name"], part["share"]) for part in told["training"]["average"]] == [("b", 0.25), ("a", 0.75)]


def test_a_smaller_one_is_grown_as_its_training_grew_it(tmp_path: Path):
    small = model()
    large = grown(small, small.config.model_copy(update={"carried": (5, 7)}), seed=4)
    trained = moved(large, 0.1)
    save_checkpoint(tmp_path / "small", small)
    save_checkpoint(tmp_path / "trained", trained)
    out = average_checkpoints([tmp_path / "small", tmp_path / "trained"], tmp_path / "mean", seed=4)
    half = average([large, trained], [0.5, 0.5])
    found = load_checkpoint(out).model.state_dict()
    assert found.keys() == half.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in half.state_dict().items())


def test_what_cannot_be_averaged_is_said(tmp_path: Path):
    save_checkpoint(tmp_path / "salt", model())
    save_checkpoint(tmp_path / "other", model(elements=(3, 17)))
    save_checkpoint(tmp_path / "wide", model(channels=8))
    for other in ("other", "wide"):
        with pytest.raises(InputError, match="differs from"):
            average_checkpoints([tmp_path / "salt", tmp_path / other], tmp_path / "x")
    for shares in ([0.5], [0.5, 0.6]):
        with pytest.raises(InputError, match="add up to 1"):
            average_checkpoints([tmp_path / "salt", tmp_path / "salt"], tmp_path / "x", shares=shares)
    with pytest.raises(InputError, match="two or more"):
        average_checkpoints([tmp_path / "salt"], tmp_path / "x")
