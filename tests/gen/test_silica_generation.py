"""From raw samples to frameworks, the training table, the shipped weights."""

import numpy as np
import pytest

from gen.crystals.checkpoint import find_checkpoint, read_model
from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.prepared import read_prepared
from gen.crystals.reverse_process import SamplingConfig
from gen.evaluation.reference import read_reference
from gen.sorbents.beads import held_out
from gen.zeolites import dataset
from gen.zeolites.dataset import ZeoliteDataConfig, build_zeolite_table
from gen.zeolites.generation import bonded_samples, generate_silica
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


def test_samples_without_a_framework_are_drawn_again() -> None:
    folder = find_checkpoint("zeolites")
    model, reference = read_model(folder), read_reference(folder)
    config = SamplingConfig(steps=8)

    def made(indices, attempts):
        return generate_silica(model, reference, indices, 3, {"num_atoms": 12}, config, attempts=attempts)

    once, thrice = made(range(6), 1), made(range(6), 3)
    assert [sample.index for sample in thrice] == list(range(6))
    for first, last in zip(once, thrice, strict=True):
        assert (first.framework is not None) == (last.attempts == 1)
        assert last.framework is not None or last.attempts == 3
    late = next(sample for sample in thrice if sample.attempts > 1)
    (alone,) = made([late.index], 3)  # whatever else is drawn again beside it
    assert (alone.attempts, alone.fault) == (late.attempts, late.fault)
    assert alone.raw is not None
    assert late.raw is not None
    assert np.allclose(alone.raw.frac_coords, late.raw.frac_coords, atol=1e-3)
