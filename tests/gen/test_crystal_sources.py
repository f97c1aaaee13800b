"""Sources as published: compressed tables of CIFs, and a fixed random choice of their rows."""

import csv
import io
import lzma

import numpy as np
import pytest
from crystal_samples import PEROVSKITE, perovskite

from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.sources import choose_crystals, read_source
from potentials.errors import InputError


@pytest.fixture
def perovskites(tmp_path, monkeypatch):
    """A data folder whose Perov-5 table holds four known perovskites."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["material_id", "cif"])
    table.writeheader()
    for row, (ions, a) in enumerate(PEROVSKITE.items()):
        table.writerow({"material_id": row, "cif": perovskite(*ions, a).to(fmt="cif")})
    folder = tmp_path / "crystals" / "perov_5"
    folder.mkdir(parents=True)
    (folder / "val.csv.xz").write_bytes(lzma.compress(text.getvalue().encode()))
    monkeypatch.setenv("SORBUS_DATA", str(tmp_path))


def test_xz_tables_are_read_in_order(perovskites):
    crystals = list(read_source("perov_5_val"))
    assert [crystal.name for crystal in crystals] == [f"perov_5_val/{row}" for row in range(4)]
    lengths = [np.linalg.norm(crystal.lattice[0]) for crystal in crystals]
    assert lengths == pytest.approx(list(PEROVSKITE.values()), rel=1e-5)


def test_choice_is_fixed_random_and_without_repeats(perovskites):
    names = [crystal.name for crystal in choose_crystals("perov_5_val", 3)]
    assert names == [crystal.name for crystal in choose_crystals("perov_5_val", 3)]
    assert len(set(names)) == 3
    assert len(choose_crystals("perov_5_val", 99)) == 4


def test_small_model_configuration_prepares(perovskites, tmp_path):
    config = DataConfig(
        sources=("perov_5_val",), exclude_formulas_of=(), max_atoms=5, cache=str(tmp_path / "cache"), workers=1
    )
    data = load_dataset(config)
    assert sum(len(group) for group in (*data.train.values(), *data.validation.values())) == 4


def test_missing_table_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SORBUS_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"test_open\.csv\.xz"):
        choose_crystals("perov_5_test", 1)
