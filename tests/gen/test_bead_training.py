"""Bead data sets, fingerprints, checkpoints and training of the sorbent generator."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from structures.bead_samples import LABELS, diamond_net, rows

from gen.crystals.batches import generator_for
from gen.sorbents.bead_config import LENGTH, BeadDataConfig, BeadTrainingConfig
from gen.sorbents.bead_dataset import (
    BeadDataset,
    group_rows,
    in_cell,
    joined_matrix,
    load_bead_dataset,
    net_reductions,
    reduction,
)
from gen.sorbents.bead_model import new_bead_model, read_bead_model
from gen.sorbents.bead_network import bound
from gen.sorbents.bead_training import train_sorbents
from gen.sorbents.beads import DIRECT
from gen.sorbents.catalog import load_catalog
from gen.sorbents.fingerprint import block_features, load_fingerprints, power_spectrum
from gen.sorbents.library import load_block
from potentials.config import parse_config
from potentials.errors import InputError

TINY = {
    "network": {"channels": 16, "edge_channels": 12, "layers": 1, "frequencies": 4},
    "train": {
        "epochs": 3,
        "batch_size": 8,
        "warmup_steps": 3,
        "checkpoint_seconds": 1e9,  # only at the end
        "log_every": 1,
        "validate_every": 4,
    },
}


def tiny(out: Path, **train) -> BeadTrainingConfig:
    return parse_config(BeadTrainingConfig, {**TINY, "out": str(out), "train": {**TINY["train"], **train}}, "test")


def dataset() -> BeadDataset:
    """Two nets, 24 frameworks, some of them for validation."""
    kinds = {1: "validation", 5: "held"}
    made = [replace(row, split=kinds.get(k % 8, "train")) for k, row in enumerate(rows())]
    return group_rows(made, load_fingerprints().names, LABELS, 40)


# ---- fingerprints ----------------------------------------------------------------------------------------------


def test_power_spectrum_tells_shapes_apart_and_ignores_orientation():
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    angles = np.arange(6) * np.pi / 3
    hexagon = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    assert np.allclose(power_spectrum(octahedron), power_spectrum(octahedron @ turn))
    assert abs(power_spectrum(octahedron)[1]) < 1e-12  # cubic: no l = 2
    assert power_spectrum(octahedron)[3] == pytest.approx(7 / 12)  # (1 + 1 + 4 * 3/8) / 6, P4(0) = 3/8
    assert power_spectrum(hexagon)[1] == pytest.approx(0.25)  # the plane normal has P2(0)^2 = 1/4
    assert np.allclose(power_spectrum(octahedron)[::2], 0)  # inversion symmetry: no odd order


def test_fingerprints_cover_the_library_and_tell_blocks_apart():
    library = load_fingerprints()
    catalog = load_catalog()
    assert set(library.names) == {DIRECT, *catalog.blocks}
    assert library.names[0] == DIRECT
    assert library.connections[1:] == tuple(catalog.blocks[name].connections for name in library.names[1:])
    assert library.table.shape == (len(library.names), len(library.features))
    assert np.isfinite(library.table).all()
    unique = np.unique(library.table.round(3), axis=0)
    assert len(unique) >= len(library.names) - 2  # the library holds two blocks twice


def test_shipped_fingerprints_are_those_of_the_blocks_and_rotation_changes_nothing():
    library = load_fingerprints()
    catalog = load_catalog()
    metals = tuple(sorted({metal for block in catalog.blocks.values() for metal in block.metals}))
    for name in ("N16", "E14"):
        block = load_block(name).copy()
        before = block_features(block, catalog.blocks[name].charge, metals)
        turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
        block.atoms.positions = block.atoms.positions @ turn + 3.0
        after = block_features(block, catalog.blocks[name].charge, metals)
        assert after == pytest.approx(before, abs=1e-6)
        assert before["radius"] == pytest.approx(float(library.sizes[library.names.index(name)]), abs=1e-4)
        assert list(before) == list(library.features)


# ---- data ------------------------------------------------------------------------------------------------------


def test_reduction_finds_short_vectors_and_keeps_the_beads_where_they_are():
    beads = diamond_net("N256", "E1", 20.0)
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]], float)
    lattice, frac = in_cell(beads.lattice, beads.frac, skew)
    basis = reduction(lattice)
    reduced, coordinates = in_cell(lattice, frac, basis)
    assert abs(np.linalg.det(basis)) == pytest.approx(1.0)
    lengths = np.linalg.norm(reduced, axis=1)
    assert np.allclose(lengths, 20 / math.sqrt(2))  # the rhombohedral cell of a face-centred lattice
    there = (beads.frac @ beads.lattice)[:, None] - (coordinates @ reduced)[None]
    offsets = there @ np.linalg.inv(beads.lattice)
    assert np.allclose(np.diagonal(offsets - offsets.round()), 0, atol=1e-9)


def test_frameworks_of_a_net_share_a_cell():
    lattice = np.array([[10.0, 0, 0], [4.9, 9.0, 0], [0, 0, 12.0]])
    strained = lattice + np.array([[0, 0, 0], [0.3, 0, 0], [0, 0, 0]])
    base = rows()[0]
    both = [replace(base, beads=replace(base.beads, lattice=cell)) for cell in (lattice, strained)]
    found = net_reductions(both)
    assert list(found) == [base.net]


def test_grouping_splits_labels_and_reasons():
    made = rows()
    odd = replace(made[0], key="odd", beads=replace(made[0].beads, blocks=("nobody", "E1", "E1", "E1")))
    some = [replace(row, labels={"void_fraction": 0.5} if k < 20 else {}) for k, row in enumerate(made)]
    data = group_rows([*some, odd], load_fingerprints().names, ("void_fraction", "co2_heat"), 4)
    assert data.labels == ("void_fraction",)
    assert data.counts == {"train": 12, "too many beads": 12, "unknown block": 1}
    assert set(data.train) == {4}
    group = data.train[4]
    assert group.lattice[0].norm(dim=-1).tolist() == pytest.approx([10 / LENGTH] * 3)
    assert int(group.values.isnan().sum()) == 2


# ---- model -----------------------------------------------------------------------------------------------------


def test_model_knows_role_sets_and_what_they_hold():
    model = new_bead_model(tiny(Path("unused")), dataset())
    assert set(model.role_sets) == {(2, 2, 2, 6), (2, 2, 2, 2, 4, 4)}
    assert sum(model.role_sets.values()) == 18
    mean, spread, count = model.role_values[2, 2, 2, 6][0]
    assert 0.3 < mean < 0.8
    assert spread > 0
    assert count == model.role_sets[2, 2, 2, 6]
    assert [spec.name for spec in model.properties] == list(LABELS)


PCU = ((0, 3), (0, 3), (1, 3), (1, 3), (2, 3), (2, 3))  # edges first: beads are in the order of their connections


def test_model_knows_the_graphs_of_its_nets():
    data = dataset()
    model = new_bead_model(tiny(Path("unused")), data)
    assert model.graphs[2, 2, 2, 6] == {PCU: model.role_sets[2, 2, 2, 6]}
    assert joined_matrix(PCU, 4).tolist() == data.train[4].joined[0].tolist()
    assert joined_matrix(PCU, 4).sum(1).tolist() == [2, 2, 2, 6]  # the roles again
    for group in data.train.values():
        connections = torch.tensor(load_fingerprints().connections)
        assert torch.equal(group.joined.sum(2, dtype=torch.int64), connections[group.tokens])


def test_several_files_are_one_set_and_repeated_frameworks_count_once(tmp_path):
    made = rows()
    paths = [tmp_path / name for name in ("first.jsonl", "second.jsonl")]
    for path, part in zip(paths, (made[:16], made[8:]), strict=True):
        path.write_text("".join(json.dumps(row.to_json()) + "\n" for row in part))
    config = BeadDataConfig(path=tuple(str(path) for path in paths), labels=LABELS)
    both = load_bead_dataset(config, load_fingerprints().names)
    assert both.sha256 == group_rows(made, load_fingerprints().names, LABELS, 40).sha256


def test_checkpoint_is_the_model(tmp_path):
    folder = train_sorbents(tiny(tmp_path / "run"), dataset=dataset())
    model = read_bead_model(folder)
    assert model.graphs == new_bead_model(tiny(Path("unused")), dataset()).graphs
    assert model.provenance["data"] == {"held": 3, "train": 18, "validation": 3}
    assert {
        f"{split}_{name}" for split in ("validation", "held") for name in ("coordinates", "lattice", "species")
    } == (set(model.provenance["losses"]))
    again = read_bead_model(folder)
    generator = generator_for("beads")
    tokens = torch.full((2, 4), model.mask)
    roles = torch.tensor([2, 2, 2, 6])
    frac = torch.rand(2, 4, 3, generator=generator)
    geometry, t = model.process.prior(frac, torch.randn(2, 6, generator=generator)), torch.tensor([1.0, 0.5])
    first, second = (m.process.evaluate(bound(m.network, roles), tokens, geometry, t) for m in (model, again))
    assert torch.equal(first[1], second[1])
    assert torch.equal(first[0].frac, second[0].frac)
    assert model.lattice(geometry).shape == (2, 3, 3)
    assert float(torch.linalg.det(model.lattice(geometry)).min()) > 27.0  # Å^3: more than a LENGTH cubed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.json").write_text("{}"), "does not describe a sorbent generator"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "SHA-256"),
        (lambda folder: edit(folder, "length", 2.0), "unit of length"),
        (lambda folder: edit(folder, "vocabulary", ["N16"]), "not a sorbent checkpoint"),
        (lambda folder: edit(folder, "format_version", 99), "format version 99"),
    ],
)
def test_spoilt_checkpoints_are_refused(tmp_path, spoil, message):
    folder = train_sorbents(tiny(tmp_path, epochs=1), dataset=dataset())
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read_bead_model(folder)


def edit(folder: Path, key: str, value: object) -> None:
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**description, key: value}))


# ---- training --------------------------------------------------------------------------------------------------


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    whole = train_sorbents(tiny(tmp_path / "whole", epochs=4, lr_final=1e-3), dataset=dataset())
    part = tiny(tmp_path / "part", epochs=2, lr_final=1e-3)  # a constant rate, so that the length does not show
    train_sorbents(part, dataset=dataset())
    resumed = train_sorbents(tiny(tmp_path / "part", epochs=4, lr_final=1e-3), dataset=dataset())
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    updates = [json.loads(line)["update"] for line in (resumed / "metrics.jsonl").read_text().splitlines()]
    assert updates == sorted(updates)


def test_minutes_replace_epochs(tmp_path):
    folder = train_sorbents(tiny(tmp_path, epochs=1, max_minutes=1e-9), dataset=dataset())
    assert read_bead_model(folder).provenance["updates"] == 1


def test_training_learns(tmp_path):
    config = tiny(tmp_path, epochs=40, lr=5e-3, validate_every=10**6)
    lines = (train_sorbents(config, dataset=dataset()) / "metrics.jsonl").read_text().splitlines()
    losses = [record for record in map(json.loads, lines) if "species" in record]
    first, last = losses[:10], losses[-20:]
    for channel, share in (("species", 0.4), ("coordinates", 0.8), ("lattice", 0.9)):
        early, late = (sum(record[channel] for record in part) / len(part) for part in (first, last))
        assert late < share * early, channel


def test_another_data_set_is_not_resumed(tmp_path):
    train_sorbents(tiny(tmp_path, epochs=1), dataset=dataset())
    other = group_rows(rows(), load_fingerprints().names, LABELS, 40)
    with pytest.raises(InputError, match="another training"):
        train_sorbents(tiny(tmp_path, epochs=1), dataset=other)


def test_training_starts_from_a_checkpoint(tmp_path):
    first = train_sorbents(tiny(tmp_path / "first", epochs=2), dataset=dataset())
    still = tiny(tmp_path / "second", epochs=1, lr=1e-12, lr_final=1e-12, weight_decay=0.0, jitter=0.2)
    second = train_sorbents(still.model_copy(update={"base": str(first)}), dataset=dataset())
    before, after = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert read_bead_model(second).provenance["base_sha256"] == read_bead_model(first).sha256
    # on other frameworks, whose labels lie elsewhere, what is asked for still means what it meant
    other = group_rows(rows()[8:], load_fingerprints().names, LABELS, 40)
    moved = still.model_copy(update={"base": str(first), "out": str(tmp_path / "moved")})
    train_sorbents(moved, dataset=other)
    after = load_file(tmp_path / "moved" / "model.safetensors")
    conditioning = [name for name in before if name.startswith("conditioning.")]
    assert conditioning
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in conditioning)
    old, new = (read_bead_model(folder).properties for folder in (first, tmp_path / "moved"))
    assert [(spec.mean, spec.std) for spec in old] == [(spec.mean, spec.std) for spec in new]
    assert [spec.count for spec in old] != [spec.count for spec in new]
    wider = still.model_copy(update={"base": str(first), "out": str(tmp_path / "third")})
    wider = wider.model_copy(update={"network": wider.network.model_copy(update={"channels": 24})})
    with pytest.raises(InputError, match="another network"):
        train_sorbents(wider, dataset=dataset())


def test_large_cells_are_learnt_but_not_drawn(tmp_path):
    config = tiny(tmp_path)
    small = config.model_copy(update={"data": config.data.model_copy(update={"max_drawn": 4})})
    assert set(new_bead_model(small, dataset()).role_sets) == {(2, 2, 2, 6)}
