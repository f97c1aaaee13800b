"""From raw samples to frameworks, the training table, the shipped weights."""

import numpy as np
import pytest
import spglib

from gen.crystals.checkpoint import find_checkpoint, read_model
from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.prepared import PreparedCell, read_prepared
from gen.crystals.reverse_process import SamplingConfig
from gen.crystals.wyckoff import space_group
from gen.evaluation.reference import read_reference
from gen.sorbents.beads import held_out
from gen.zeolites import dataset
from gen.zeolites.dataset import ZeoliteDataConfig, build_zeolite_table, silicons
from gen.zeolites.framework import supercell
from gen.zeolites.generation import generate_silica, silica_samples
from gen.zeolites.geometry import relax_geometry
from gen.zeolites.known_nets import coordination_sequences_of, identify, known_nets
from gen.zeolites.nets import silica_of_net
from gen.zeolites.sites import SilicaSites, draw_sites, random_sites
from potentials.errors import InputError


def _sites(name: str, noise: float) -> SilicaSites:
    framework = relax_geometry([silica_of_net(name)])[0].framework
    frac = framework.frac[: framework.n_silicon]
    shifts = noise * np.random.default_rng(3).standard_normal(frac.shape)
    return SilicaSites(framework.lattice, frac + shifts @ np.linalg.inv(framework.lattice), None)


def test_shaken_sites_become_their_net_again() -> None:
    (sample,) = silica_samples({4: [_sites("sod", 0.15)]})
    assert (sample.index, sample.fault) == (4, None)
    assert sample.framework is not None
    assert "sod" in identify(sample.framework)[1]
    assert sample.strain is not None
    assert sample.strain < 0.1
    assert sample.moved is not None
    assert 0.05 < sample.moved < 0.5


def test_the_better_of_two_sets_of_sites_is_taken() -> None:
    far = SilicaSites(9.0 * np.eye(3), np.random.default_rng(0).random((6, 3)), None)
    (sample,) = silica_samples({0: [far, None, _sites("sod", 0.1)]})
    assert sample.framework is not None
    assert "sod" in identify(sample.framework)[1]


def test_what_cannot_be_linked_is_a_fault() -> None:
    apart = SilicaSites(30 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), None)
    lost, far = silica_samples({5: [None], 6: [apart]})
    assert (lost.index, lost.framework, lost.sites) == (5, None, None)
    assert "no usable cell" in (lost.fault or "")
    assert far.framework is None
    assert "four neighbours" in (far.fault or "")


def test_table_keeps_silicons_in_their_own_primitive_cell() -> None:
    framework = supercell(relax_geometry([silica_of_net("sod")])[0].framework, np.diag([1, 1, 2]))
    cell = PreparedCell("sod/0", "train", framework.numbers, framework.frac % 1, framework.lattice, 1)
    made = silicons(cell)
    assert made.numbers.tolist() == [14] * 6
    assert made.space_group > 200  # sodalite is cubic
    assert np.linalg.det(made.lattice) == pytest.approx(np.linalg.det(framework.lattice) / 2, rel=1e-3)


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
    loaded = load_dataset(DataConfig(table=config.out, max_atoms=6))
    assert sum(len(group) for group in (*loaded.train.values(), *loaded.validation.values())) == sum(
        len(cell.numbers) <= 6 for cell in cells
    )


@pytest.fixture(scope="module")
def shipped():
    folder = find_checkpoint("zeolites")
    return read_model(folder), read_reference(folder)


def test_samples_without_a_framework_are_drawn_again(shipped) -> None:
    config = SamplingConfig(steps=4)

    def made(indices, attempts):
        return generate_silica(*shipped, indices, 3, {"num_atoms": 24}, config, draws=1, attempts=attempts)

    once, thrice = made(range(8), 1), made(range(8), 3)
    assert [sample.index for sample in thrice] == list(range(8))
    for first, last in zip(once, thrice, strict=True):
        assert (first.framework is not None) == (last.attempts == 1)
        assert last.framework is not None or last.attempts == 3
    late = next(sample for sample in thrice if sample.attempts > 1)
    (alone,) = made([late.index], 3)  # whatever else is drawn again beside it
    assert (alone.attempts, alone.fault) == (late.attempts, late.fault)
    assert alone.sites is not None
    assert late.sites is not None
    assert np.allclose(alone.sites.frac, late.sites.frac, atol=1e-3)


def test_control_shares_orbits_with_the_model_and_nothing_else(shipped) -> None:
    config, places = SamplingConfig(steps=4), [(index, 0) for index in range(12)]
    model = draw_sites(*shipped, places, 1, {}, config, 1.0)
    control = draw_sites(*shipped, places, 1, {}, config, 1.0, random_sites)
    held = 0
    for place in places:
        mine, other = model[place], control[place]
        assert mine is not None
        assert other is not None
        assert mine.space_group is not None
        assert (mine.space_group, len(mine.frac)) == (other.space_group, len(other.frac))
        for sites in (mine, other):
            cell = (sites.lattice, sites.frac, np.full(len(sites.frac), 14))
            found = spglib.get_symmetry_dataset(cell, symprec=1e-2)
            if found is not None:  # spglib refuses sites that lie on each other
                assert len(found.rotations) >= len(space_group(mine.space_group).rotations)
                held += 1
    assert held > 12
    assert any(not np.allclose(model[p].lattice, control[p].lattice, atol=0.1) for p in places)


def test_size_asked_for_is_kept_and_nonsense_refused(shipped) -> None:
    sites = draw_sites(*shipped, [(0, 0), (1, 0)], 1, {"num_atoms": 18}, SamplingConfig(steps=2), 0.5)
    assert [len(found.frac) for found in sites.values()] == [6, 6]
    held = draw_sites(*shipped, [(0, 0), (1, 0)], 1, {"space_group": "C2/c"}, SamplingConfig(steps=2), 0.5)
    assert {found.space_group for found in held.values()} == {15}  # of sizes that the group's sites can make up
    with pytest.raises(InputError, match="space_group"):
        draw_sites(*shipped, [(0, 0)], 1, {"space_group": 999}, SamplingConfig(steps=2), 0.5)
    with pytest.raises(InputError, match="no multiple of 3"):
        draw_sites(*shipped, [(0, 0)], 1, {"num_atoms": 16}, SamplingConfig(steps=2), 0.5)
    with pytest.raises(InputError, match="whole number"):
        draw_sites(*shipped, [(0, 0)], 1, {"num_atoms": "many"}, SamplingConfig(steps=2), 0.5)
