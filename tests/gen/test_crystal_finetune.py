"""Fine-tuning on a table: broken rows, adapters, exact resume, a full disk."""

import csv
import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from crystal_samples import dataset, structures

from gen.crystals.checkpoint import read_model
from gen.crystals.config import CrystalTrainingConfig, NetworkConfig, TrainConfig
from gen.crystals.finetune import FinetuneConfig, FinetuneTrainConfig, finetune_crystals
from gen.crystals.property_table import read_table
from gen.crystals.training import train_crystals
from potentials.errors import InputError

NETWORK = NetworkConfig(channels=16, layers=2, edge_channels=16, frequencies=4, radial=8)
ELEMENTS = tuple(range(1, 95))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A tiny checkpoint that knows the elements of the sample crystals."""
    out = tmp_path_factory.mktemp("base")
    config = CrystalTrainingConfig(out=str(out), network=NETWORK, train=TrainConfig(epochs=2, warmup_steps=1))
    return train_crystals(config, dataset=dataset())


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "cif", "band_gap"])
        for index, structure in enumerate(structures()):
            writer.writerow([index, structure.to(fmt="cif"), index / 3])
    return path


def configured(base: Path, table: Path, out: Path, **more) -> FinetuneConfig:
    train = {"epochs": 4, "batch_size": 4, "warmup_steps": 2, "checkpoint_seconds": 1e9, **more.pop("train", {})}
    values = {"properties": ("band_gap", "density"), **more}
    return FinetuneConfig(data=str(table), base=str(base), out=str(out), train=FinetuneTrainConfig(**train), **values)


def test_what_comes_out(base, table, tmp_path):
    folder = finetune_crystals(configured(base, table, tmp_path / "run"))
    model = read_model(folder)
    assert [spec.name for spec in model.properties] == ["band_gap", "density"]
    assert model.properties[0].high <= 16 / 3
    assert model.provenance["base"]["sha256"] == read_model(base).sha256
    card = (folder / "MODEL_CARD.md").read_text()
    assert model.sha256 in card
    assert "| `density` | scalar |" in card


def test_broken_rows_are_listed_by_line_and_the_others_train(base, table, tmp_path):
    lines = table.read_text().splitlines(keepends=True)
    stranger = structures()[0].copy()
    stranger.replace_species({"Li": "Pu"})
    path = tmp_path / "mine.csv"
    broken = [
        '90,"data_x\nnonsense",1.0\n',
        f'91,"{structures()[1].to(fmt="cif")}",wide\n',
        "92,short\n",
        f'93,"{stranger.to(fmt="cif")}",1.0\n',
        f'94,"{structures()[1].to(fmt="cif")}",\n',
    ]
    path.write_text("".join(lines + broken), newline="")
    folder = finetune_crystals(configured(base, path, tmp_path / "run", properties=("band_gap",)))
    listed = (folder / "bad_rows.txt").read_text().splitlines()
    first = len(lines) + 1
    assert listed[0].startswith(f"line {first}: ")
    assert listed[1] == f"line {first + 2}: band_gap = 'wide' is not a number"
    assert "cells, the header has 3" in listed[2]
    assert "Pu is unknown to the checkpoint" in listed[3]
    assert "no value of band_gap" in listed[4]
    assert read_model(folder).provenance["data"]["kept"] == 17


def test_files_beside_the_table(tmp_path):
    structures()[0].to(filename=str(tmp_path / "a.cif"))
    structures()[1].to(filename=str(tmp_path / "b.cif"))
    (tmp_path / "t.csv").write_text("file,gap\na.cif,1\nb.cif,2\nmissing.cif,3\n")
    read = read_table(tmp_path, ["gap"], ELEMENTS, 20)
    assert read.dataset.counts["kept"] == 2
    assert read.bad_rows == ("line 4: cannot read 'missing.cif' (FileNotFoundError)",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cif,gap\n", "no usable row"),
        ("name,gap\nx,1\n", "no column `cif` or `file`"),
        ("cif,gpa\nx,1\n", "did you mean 'gpa'"),
    ],
)
def test_unusable_tables(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "t.csv", ["gap"], ELEMENTS, 20)


def test_a_property_that_never_varies(tmp_path):
    structures()[0].to(filename=str(tmp_path / "a.cif"))
    (tmp_path / "t.csv").write_text("file,gap\na.cif,1\na.cif,1\n")
    with pytest.raises(InputError, match="nothing to learn"):
        read_table(tmp_path, ["gap"], ELEMENTS, 20)


def test_adapters_alone_leave_the_network_as_it_was(base, table, tmp_path):
    folder = finetune_crystals(configured(base, table, tmp_path / "run", adapters_only=True))
    before, after = read_model(base).network.state_dict(), read_model(folder).network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any(bool(value.any()) for name, value in after.items() if "adapters" in name)


def test_a_second_fine_tuning_keeps_the_first_property(base, table, tmp_path):
    first = finetune_crystals(configured(base, table, tmp_path / "one", properties=("band_gap",)))
    second = finetune_crystals(configured(first, table, tmp_path / "two", properties=("density",)))
    names = [spec.name for spec in read_model(second).properties]
    assert names == ["band_gap", "density"]
    assert read_model(second).properties[0] == read_model(first).properties[0]


def test_structures_alone(base, table, tmp_path):
    folder = finetune_crystals(configured(base, table, tmp_path / "run", properties=()))
    assert read_model(folder).properties == ()
    assert read_model(folder).sha256 != read_model(base).sha256


def test_minutes_end_a_run_before_its_epochs(base, table, tmp_path):
    folder = finetune_crystals(configured(base, table, tmp_path / "run", train={"max_minutes": 1e-9}))
    assert read_model(folder).provenance["updates"] == 1


def test_a_killed_run_resumes_to_the_same_weights(base, table, tmp_path):
    whole = finetune_crystals(configured(base, table, tmp_path / "whole"))

    class Stop:
        def log(self, data, step):
            if step >= 7:
                raise KeyboardInterrupt

    often = {"checkpoint_seconds": 1e-9, "log_every": 1}
    config = configured(base, table, tmp_path / "cut", train=often)
    with pytest.raises(KeyboardInterrupt):
        finetune_crystals(config, tracker=Stop())
    again = finetune_crystals(config)
    first, second = read_model(whole), read_model(again)
    assert first.provenance["updates"] == second.provenance["updates"]
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("fitting", [12, 13, 14, 15])  # files; a checkpoint is four
def test_a_full_disk_leaves_the_last_checkpoint(base, table, tmp_path, monkeypatch, fitting):
    whole = finetune_crystals(configured(base, table, tmp_path / "whole"))
    out = tmp_path / "full"
    config = configured(base, table, out, train={"checkpoint_seconds": 1e-9})
    writes, real = [], os.fsync

    def full(handle):
        writes.append(handle)
        if len(writes) > fitting:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device: free some space"):
            finetune_crystals(config)
    kept = read_model(out)  # hash checked: a whole checkpoint, not half of the next one
    assert 0 < kept.provenance["updates"] < read_model(whole).provenance["updates"]
    assert not [*out.glob(".*"), *out.glob("*.next")]  # nothing torn or left over
    assert read_model(finetune_crystals(config)).sha256 == read_model(whole).sha256


def test_a_kill_between_two_renames_is_mended(base, table, tmp_path):
    old = finetune_crystals(configured(base, table, tmp_path / "run"))
    new = finetune_crystals(configured(base, table, tmp_path / "other", train={"seed": 2}))
    shutil.copy(new / "model.safetensors", old / "model.safetensors")
    shutil.copy(new / "model.json", old / "model.json.next")
    assert read_model(old).sha256 == read_model(new).sha256


def test_wrong_requests(base, table, tmp_path):
    with pytest.raises(InputError, match="checkpoint to start from"):
        finetune_crystals(configured(base, table, base))
    with pytest.raises(InputError, match="adapters_only needs a property"):
        finetune_crystals(configured(base, table, tmp_path / "run", properties=(), adapters_only=True))
    with pytest.raises(InputError, match="no table"):
        finetune_crystals(configured(base, table, tmp_path / "run").model_copy(update={"data": ""}))
    finetune_crystals(configured(base, table, tmp_path / "run"))
    with pytest.raises(InputError, match="another training"):
        finetune_crystals(configured(base, table, tmp_path / "run", drop=0.5))


def test_a_damaged_base_is_refused(base, table, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(InputError, match="SHA-256"):
        finetune_crystals(configured(copy, table, tmp_path / "run"))
