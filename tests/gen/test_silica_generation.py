"""From raw samples to frameworks, the training table, the shipped weights."""

import numpy as np
import pytest

from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.prepared import read_prepared
from gen.sorbents.beads import held_out
from gen.zeolites import dataset
from gen.zeolites.dataset import ZeoliteDataConfig, build_zeolite_table
from gen.zeolites.generation import bonded_samples
from gen.zeolites.geometry import relax_geometry
from gen.zeolites.known_nets import coordination_sequences_of, identify, known_nets
from gen.zeolites.nets import silica_of_net
from potentials.errors import InputError


def test_shaken_net_comes_back_as_itself() -> None:
    structure = relax_geometry([silica_of_net("sod")])[0].framework.to_structure()
    rough = structure.copy()
    rough.translate_sites(range(len(rough)), [0.1, 0.2, 0.3])
    noise = 0.25 * np.random.default_rng(3).standard_normal((len(rough), 3))
    for site, shift in enumerate(noise):
        rough.translate_sites([site], shift, frac_coords=False)
    (sample,) = bonded_samples([(0, rough, None)])
    assert sample.raw_fault is not None
    assert sample.fault is None
    assert sample.framework is not None
    assert "sod" in identify(sample.framework)[1]


def test_missing_structure_is_a_fault() -> None:
    (sample,) = bonded_samples([(5, None, None)])
    assert sample.index == 5
    assert sample.framework is None
    assert "no structure" in (sample.fault or "")


def test_known_nets_have_names_and_sequences() -> None:
    assert coordination_sequences_of("SOD") == ((4, 10, 20, 34, 52, 74, 100, 130, 164, 202),)
    assert len(known_nets()) > 400
    with pytest.raises(InputError, match="no net"):
        coordination_sequences_of("XXX")


def test_table_is_reproducible_and_trains(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in ("sod", "qtz", "gis") if not held_out(name)]
    monkeypatch.setattr(dataset, "four_connected_nets", lambda: (*names, "lta"))
    config = ZeoliteDataConfig(out=str(tmp_path / "a.jsonl.gz"), atlas=False, max_silicon=8, copies=3)
    counts = build_zeolite_table(config)
    assert counts["RCSR nets too large"] == 1
    again = config.model_copy(update={"out": str(tmp_path / "b.jsonl.gz"), "chunk": 1})
    build_zeolite_table(again)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    cells = list(read_prepared(config.out))
    assert {cell.name.split("/")[0] for cell in cells} <= set(names)
    loaded = load_dataset(DataConfig(table=config.out, max_atoms=18))
    assert sum(len(group) for group in (*loaded.train.values(), *loaded.validation.values())) == sum(
        len(cell.numbers) <= 18 for cell in cells
    )
