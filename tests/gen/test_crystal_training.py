"""Training: exact resume after kill -9, what it refuses, and that it learns."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from crystal_samples import dataset
from safetensors.torch import load_file

from gen.crystals.batches import epoch_batches
from gen.crystals.checkpoint import read_model
from gen.crystals.config import CrystalTrainingConfig
from gen.crystals.generation import generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.crystals.training import formula_units, learning_rate, train_crystals
from potentials.config import load_config, parse_config
from potentials.errors import InputError

TINY = {
    "network": {"channels": 16, "edge_channels": 12, "layers": 1, "frequencies": 4},
    "train": {
        "epochs": 4,
        "batch_size": 4,
        "warmup_steps": 5,
        "checkpoint_seconds": 1e9,  # only at the end
        "log_every": 1,
        "validate_every": 10,
    },
}


def tiny(out: Path, **train) -> CrystalTrainingConfig:
    values = {**TINY, "out": str(out), "train": {**TINY["train"], **train}}
    return parse_config(CrystalTrainingConfig, values, "test")


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    whole = train_crystals(tiny(tmp_path / "whole"), dataset=dataset())
    # the killed run checkpoints at every update, so that it always has something to resume from
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {os.getcwd()!r}]
from pathlib import Path
from crystal_samples import dataset
from test_crystal_training import tiny
from gen.crystals.training import train_crystals
train_crystals(tiny(Path({str(tmp_path / "killed")!r}), checkpoint_seconds=1e-6), dataset=dataset())
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count("\n") >= 6):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = train_crystals(tiny(tmp_path / "killed"), dataset=dataset())
    for name in ("state.safetensors", "model.safetensors"):
        expected, resumed = load_file(whole / name), load_file(killed / name)
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(expected[key], resumed[key]) for key in expected), name
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


class Killed(Exception):
    """What ends a run in the middle."""


class KillAt:
    """A tracker that ends the run at an update, before that is checkpointed."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, data: dict[str, float], step: int) -> None:
        if step == self.step:
            raise Killed


SMALL_NETWORKS = {"pairs": TINY["network"], "equivariant": {"kind": "equivariant", "channels": 8, "layers": 1}}


@pytest.mark.parametrize(
    ("network", "process"),
    [("pairs", "flow"), ("pairs", "diffcsp"), ("pairs", "diffcsp_denovo"), ("equivariant", "diffusion")],
)
def test_every_network_and_process_resumes_exactly(tmp_path, network, process):
    def config(out: str, **train) -> CrystalTrainingConfig:
        nine = {"lattice_outputs": 9} if process.startswith("diffcsp") else {}
        values = {**TINY, "out": str(tmp_path / out), "train": {**TINY["train"], "epochs": 2, **train}}
        values |= {"network": {**SMALL_NETWORKS[network], **nine}, "process": {"kind": process}}
        return parse_config(CrystalTrainingConfig, values, "test")

    whole = train_crystals(config("whole"), dataset=dataset())
    with pytest.raises(Killed):
        train_crystals(config("killed", checkpoint_seconds=1e-9), dataset=dataset(), tracker=KillAt(7))
    assert not torch.equal(
        *(load_file(tmp_path / out / "state.safetensors")["weights.embedding.weight"] for out in ("whole", "killed"))
    )
    killed = train_crystals(config("killed"), dataset=dataset())
    for name in ("state.safetensors", "model.safetensors"):
        expected, resumed = load_file(whole / name), load_file(killed / name)
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(expected[key], resumed[key]) for key in expected), name
    for name in ("metrics.jsonl", "structure_types.json.gz", "reference.json.gz"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    # and so are the samples, held to the structure types it wrote where the process can hold any
    settings = SamplingConfig(steps=3, quench_steps=0, symmetry="known")
    crystals = [generate_crystals(read_model(folder), range(3), 1, {}, settings) for folder in (whole, killed)]
    for one, other in zip(*crystals, strict=True):
        assert (one.structure is None) == (other.structure is None)
        assert one.structure is None or one.structure.as_dict()["sites"] == other.structure.as_dict()["sites"]


def test_result_is_a_model_with_its_provenance(tmp_path):
    folder = train_crystals(tiny(tmp_path, epochs=1), dataset=dataset(), command="sorbus train crystals tiny.yaml")
    model = read_model(folder)
    assert model.atom_counts == {1: 3, 2: 10, 5: 4}
    assert model.formula_units == {1: 17}
    assert {8, 11, 17, 29} < set(model.elements)
    assert model.provenance["command"] == "sorbus train crystals tiny.yaml"
    assert model.provenance["data_sha256"] == "0" * 64
    assert model.provenance["epochs"] == 1
    assert set(model.provenance["losses"]) == {
        "validation_coordinates",
        "validation_lattice",
        "validation_species",
    }


def test_loss_falls(tmp_path):
    folder = train_crystals(
        tiny(tmp_path, epochs=30, lr=3e-3, log_every=1000, validate_every=10),
        dataset=dataset(held_out=tuple(range(17))),
    )
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    history = [line for line in lines if "validation_species" in line]
    assert history[-1]["validation_species"] < 0.8 * history[0]["validation_species"]
    assert history[-1]["validation_lattice"] < history[0]["validation_lattice"]


def test_another_configuration_is_refused(tmp_path):
    train_crystals(tiny(tmp_path, epochs=1), dataset=dataset())
    with pytest.raises(InputError, match=r"of another training \(configuration or data set differ\)"):
        train_crystals(tiny(tmp_path, epochs=1, lr=0.5), dataset=dataset())
    train_crystals(tiny(tmp_path, epochs=1, lr=0.5), dataset=dataset(), resume=False)
    assert read_model(tmp_path).provenance["updates"] == 5


def test_a_longer_run_continues(tmp_path):
    train_crystals(tiny(tmp_path, epochs=1), dataset=dataset())
    train_crystals(tiny(tmp_path, epochs=2), dataset=dataset())
    assert read_model(tmp_path).provenance["updates"] == 10


def test_damaged_state_is_named(tmp_path):
    train_crystals(tiny(tmp_path, epochs=1), dataset=dataset())
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"state\.safetensors is no readable training state"):
        train_crystals(tiny(tmp_path, epochs=1), dataset=dataset())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "copy the checkpoint again"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot read"),
        (lambda folder: (folder / "model.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "model.json").write_text("{}"), "does not describe a crystal generator"),
        (lambda folder: edit(folder, "format_version", 99), "format version 99"),
        (lambda folder: edit(folder, "sha256", "0" * 64), "expects 000000000000"),
        (lambda folder: edit(folder, "network", {"channels": 32}), "not a crystal checkpoint"),
        (lambda folder: edit(folder, "lattice", {}), "not a crystal checkpoint"),
    ],
)
def test_damaged_checkpoints_are_refused(tmp_path, trained, damage, message):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    damage(folder)
    with pytest.raises(InputError, match=message):
        read_model(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return train_crystals(tiny(tmp_path_factory.mktemp("run"), epochs=1), dataset=dataset())


def edit(folder: Path, key: str, value) -> None:
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**description, key: value}))


def test_epochs_see_every_crystal_once_in_another_order():
    sizes = {1: 3, 2: 10, 5: 4}
    first, second = (epoch_batches(sizes, 4, 2, seed=1, epoch=epoch) for epoch in (0, 1))
    for batches in (first, second):
        seen = sorted((n, int(row)) for batch in batches for n, rows in batch for row in rows)
        assert seen == [(n, row) for n in sizes for row in range(sizes[n])]
    assert str(first) != str(second)
    assert str(first) == str(epoch_batches(sizes, 4, 2, seed=1, epoch=0))


def test_learning_rate_warms_up_and_ends_low():
    options = tiny(Path("unused"), lr=1e-3, lr_final=1e-5, warmup_steps=10).train
    rates = [learning_rate(step, 100, options) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5, rel=0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_formula_units():
    assert formula_units(dataset().train) == {1: 17}


def test_shipped_configuration_is_valid():
    config = load_config(CrystalTrainingConfig, "configs/train/crystals.yaml", ["train.lr=5e-4"])
    assert config.train.lr == 5e-4
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        load_config(CrystalTrainingConfig, "configs/train/crystals.yaml", ["train.epoch=3"])
