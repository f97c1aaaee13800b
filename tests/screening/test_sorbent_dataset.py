"""The training set engine: determinism, going on after a cut, held-out split, one bad row."""

import json
from pathlib import Path

import numpy as np
import pytest

from gen.sorbents.assembly import AssemblyError
from gen.sorbents.beads import held_out, read_bead_rows
from gen.sorbents.catalog import load_catalog
from gen.sorbents.recipe import Recipe
from potentials.config import load_config, parse_config
from potentials.errors import InputError
from screening.sorbent_dataset import rows as rows_module
from screening.sorbent_dataset.build import build_part
from screening.sorbent_dataset.draws import Draws, bead_count, is_held, net_weights, seen_part
from screening.sorbent_dataset.labels import in_share, sound_labels
from screening.sorbent_dataset.merge import cap_shares, drop_duplicates, merge_parts, statistics, summary_path
from screening.sorbent_dataset.parts import parts_folder, read_part
from screening.sorbent_dataset.rows import make_record, split_of
from screening.sorbent_dataset.settings import DrawSettings, SorbentDatasetSettings, recipe_hash

FAST = {
    "count": 6,
    "workers": 0,
    "draw": {"nets": ["pcu", "dia", "sra"], "max_atoms": 80, "large_share": 0.0, "held_share": 0.0, "cof_share": 0.0},
    "labels": {"pores": None, "henry": None},
    "max_net_share": 1.0,
    "max_block_share": 1.0,
}


def fast(out, **changes):
    return parse_config(SorbentDatasetSettings, {**FAST, "out": str(out), **changes}, "test")


def test_an_index_gives_the_same_recipe_whatever_was_drawn_before():
    settings = DrawSettings(max_atoms=90)
    draws = Draws(settings, 3)
    first = [draws.recipe(i) for i in range(20)]
    assert first == [draws.recipe(i) for i in reversed(range(20))][::-1]
    assert first[7] == Draws(settings, 3).recipe(7)
    assert len({recipe.net for recipe in first if recipe}) > 8
    other = Draws(settings, 4)
    assert first != [other.recipe(i) for i in range(20)]


def test_held_out_parts_appear_in_the_held_share_alone():
    plain = Draws(DrawSettings(held_share=0.0), 0)
    assert not any(is_held(recipe) for i in range(60) if (recipe := plain.recipe(i)))
    held = Draws(DrawSettings(held_share=1.0), 0)
    drawn = [recipe for i in range(20) if (recipe := held.recipe(i))]
    assert len(drawn) > 15
    assert all(is_held(recipe) for recipe in drawn)
    assert {split_of(recipe) for recipe in drawn} == {"held"}


def test_the_seen_part_of_the_catalog_holds_nothing_held_out():
    catalog = seen_part(load_catalog())
    assert 0.8 < len(catalog.nets) / len(load_catalog().nets) < 0.97
    assert not any(held_out(name) for name in [*catalog.nets, *catalog.blocks])
    assert not any(held_out(name) for net in catalog.nets.values() for slot in net.nodes for name in slot.fits)


def test_a_direct_joint_is_never_held_out():
    net = next(name for name in load_catalog().nets if not held_out(name))
    block = next(name for name in load_catalog().blocks if not held_out(name))
    assert not is_held(Recipe(net, (block,), (None,)))
    held = next(name for name in load_catalog().blocks if held_out(name))
    assert is_held(Recipe(net, (block,), (held,)))


def test_common_nets_are_favoured_less_than_in_the_template_proposer():
    names = ("pcu", "sra", "aaa", "bbb")
    weights = net_weights(names, 0.5)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] / weights[1] < 6.0  # 6 to 1 in the recipe's table
    assert weights[0] > weights[1] > weights[2] == weights[3] == pytest.approx(0.5 / 4)
    assert net_weights(("aaa", "bbb"), 0.5).tolist() == [0.5, 0.5]


def test_limits_hold_for_every_draw():
    draws = Draws(DrawSettings(max_atoms=40, large_share=0.0, max_beads=8), 1)
    catalog = load_catalog()
    recipes = [recipe for i in range(30) if (recipe := draws.recipe(i))]
    assert recipes
    assert all(bead_count(catalog.nets[recipe.net]) <= 8 for recipe in recipes)


def test_rows_resume_after_a_cut_in_the_middle_of_a_row(tmp_path):
    whole = fast(tmp_path / "whole.jsonl")
    part = build_part(whole)
    records = list(read_part(part, recipe_hash(whole)))
    assert [record["index"] for record in records] == list(range(6))
    assert any(record["kept"] for record in records)
    cut = fast(tmp_path / "cut.jsonl")
    other = parts_folder(cut.out) / part.name
    other.parent.mkdir()
    lines = part.read_bytes().splitlines(keepends=True)
    other.write_bytes(b"".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    assert list(read_part(other, recipe_hash(cut))) == records[:3]
    build_part(cut)
    assert list(read_part(other, recipe_hash(cut))) == records
    for settings in (whole, cut):
        merge_parts(settings)
    assert (tmp_path / "whole.jsonl").read_bytes() == (tmp_path / "cut.jsonl").read_bytes()


def test_ranges_made_apart_merge_to_what_one_range_gives(tmp_path):
    build_part(fast(tmp_path / "one.jsonl.gz"))
    one = merge_parts(fast(tmp_path / "one.jsonl.gz"))
    for start in (3, 0):
        build_part(fast(tmp_path / "two.jsonl.gz", start=start, count=3))
    two = merge_parts(fast(tmp_path / "two.jsonl.gz"))
    assert one["sha256"] == two["sha256"]
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    rows = list(read_bead_rows(tmp_path / "two.jsonl.gz"))
    assert len(rows) == two["rows"] == sum(two["splits"].values()) > 0
    assert two["drawn"] == 6
    assert sum(two["rejected"].values()) == 6 - two["rows"]
    assert json.loads(summary_path(tmp_path / "two.jsonl.gz").read_text())["sha256"] == two["sha256"]
    for row in rows:
        assert row.labels["density_g_cm3"] > 0.1
        assert len(row.beads.blocks) == len(row.beads.frac) == len(row.beads.connections)
        assert sorted(row.links.bead.tolist()) == np.flatnonzero(row.beads.is_edge).tolist()


@pytest.mark.slow
def test_two_processes_give_the_same_rows_as_one(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        build_part(fast(tmp_path / f"{name}.jsonl", workers=workers, count=8))
        merge_parts(fast(tmp_path / f"{name}.jsonl"))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_parts_of_other_settings_are_refused(tmp_path):
    build_part(fast(tmp_path / "a.jsonl", count=1))
    with pytest.raises(InputError, match="other settings"):
        build_part(fast(tmp_path / "a.jsonl", count=1, seed=1))
    with pytest.raises(InputError, match="holds no parts"):
        merge_parts(fast(tmp_path / "b.jsonl"))


def test_a_damaged_line_is_named(tmp_path):
    settings = fast(tmp_path / "a.jsonl", count=2)
    part = build_part(settings)
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(lines[0] + b"{broken\n" + lines[2])
    with pytest.raises(InputError, match="line 2: damaged"):
        merge_parts(settings)


def test_one_bad_row_is_recorded_and_the_rest_goes_on(tmp_path, monkeypatch):
    settings = fast(tmp_path / "a.jsonl", count=5)
    plain = [make_record(i, Draws(settings.draw, 0), settings) for i in range(5)]
    assemble, calls = rows_module.assemble, iter(range(5))

    def sometimes(recipe, catalog):
        number = next(calls)
        if number == 1:
            raise AssemblyError("no place for a block")
        if number == 2:
            raise FloatingPointError("overflow")
        return assemble(recipe, catalog)

    monkeypatch.setattr(rows_module, "assemble", sometimes)
    records = [make_record(i, Draws(settings.draw, 0), settings) for i in range(5)]
    assert (records[1]["kept"], records[1]["check"], records[1]["reason"]) == (
        False,
        "assembly",
        "no place for a block",
    )
    assert (records[2]["check"], records[2]["reason"]) == ("error", "FloatingPointError: overflow")
    assert [records[i] for i in (0, 3, 4)] == [plain[i] for i in (0, 3, 4)]


def test_an_index_without_a_framework_says_so(monkeypatch):
    settings = SorbentDatasetSettings()
    draws = Draws(settings.draw, 0)
    monkeypatch.setattr(draws, "recipe", lambda index: None)
    record = make_record(0, draws, settings)
    assert (record["kept"], record["check"]) == (False, "recipe")


def test_an_unknown_net_is_a_sentence():
    with pytest.raises(InputError, match="'nope' is not among the"):
        Draws(DrawSettings(nets=("nope",)), 0)


def record_of(key, net="pcu", blocks=("N1", "E1"), content="C 1", density=1.0):
    row = {"key": key, "net": net, "blocks": list(blocks), "labels": {"density_g_cm3": density}}
    return {"key": key, "content": content, "row": row}


def test_duplicates_go_by_recipe_then_by_network_and_density():
    records = [
        record_of("a"),
        record_of("a"),
        record_of("b", density=1.01),  # the same network, as dense
        record_of("c", density=1.2),  # the same network, another packing
        record_of("d", content="C 2"),
    ]
    unique, same_recipe, same_content = drop_duplicates(records)
    assert [record["key"] for record in unique] == ["a", "c", "d"]
    assert (same_recipe, same_content) == (1, 1)


def test_caps_hold_for_nets_and_blocks():
    records = [record_of(str(i), net="pcu" if i % 2 else f"n{i}", blocks=(f"N{i}", "E1")) for i in range(20)]
    rows, capped = cap_shares(records, 0.2, 1.0)
    assert sum(record["row"]["net"] == "pcu" for record in rows) == 4
    assert capped == 6
    rows, _ = cap_shares(records, 1.0, 0.25)
    assert len(rows) == 5  # all have E1
    assert len(cap_shares(records, 1.0, 1.0)[0]) == 20


def test_a_larger_labelled_share_only_adds_rows():
    keys = [f"pcu:N{i}:E1" for i in range(400)]
    fifth = {key for key in keys if in_share(key, 0.2)}
    half = {key for key in keys if in_share(key, 0.5)}
    assert fifth < half
    assert 40 < len(fifth) < 120
    assert all(in_share(key, 1.0) for key in keys)
    assert not any(in_share(key, 0.0) for key in keys)


def test_statistics_of_nothing_and_of_something():
    assert statistics([]) == {"number": 0}
    assert statistics([1.0, 3.0])["mean"] == 2.0


def test_the_picture_of_a_set_is_drawn_even_without_labels(tmp_path):
    from screening.sorbent_dataset.figure import draw_set

    build_part(fast(tmp_path / "a.jsonl", count=3))
    merge_parts(fast(tmp_path / "a.jsonl"))
    rows = list(read_bead_rows(tmp_path / "a.jsonl"))
    assert draw_set(rows, tmp_path / "a.png").stat().st_size > 5_000


def test_the_shipped_settings_file_is_what_the_defaults_are():
    shipped = load_config(SorbentDatasetSettings, Path(__file__).parents[2] / "configs/dataset/mofs.yaml")
    assert shipped == SorbentDatasetSettings().model_copy(update={"workers": shipped.workers})


def test_settings_that_do_not_change_a_row_keep_the_hash():
    base = SorbentDatasetSettings()
    assert recipe_hash(base) == recipe_hash(base.model_copy(update={"start": 5, "count": 3, "workers": 7}))
    assert recipe_hash(base) != recipe_hash(base.model_copy(update={"seed": 1}))


@pytest.mark.slow
def test_a_row_that_takes_too_long_is_lost_and_the_next_one_has_a_fresh_worker(tmp_path):
    settings = fast(tmp_path / "a.jsonl", workers=1, row_limit_s=1e-3, count=2)
    records = list(read_part(build_part(settings), recipe_hash(settings)))
    assert sorted(record["index"] for record in records) == [0, 1]
    assert [(record["kept"], record["check"]) for record in records] == [(False, "time")] * 2
    assert recipe_hash(settings) == recipe_hash(fast(tmp_path / "a.jsonl"))


def test_labels_outside_what_the_model_can_tell_are_left_out():
    labels = {"log10_co2_henry": -66.7, "co2_heat": 12.0, "void_fraction": 0.1}
    assert sound_labels(labels) == {"void_fraction": 0.1}
    assert sound_labels({**labels, "log10_co2_henry": 7.3}) == {"void_fraction": 0.1}
    assert sound_labels({**labels, "log10_co2_henry": -4.0}) == {**labels, "log10_co2_henry": -4.0}
    assert sound_labels({"void_fraction": 0.1}) == {"void_fraction": 0.1}


@pytest.mark.slow
def test_a_row_with_all_labels(tmp_path):
    settings = parse_config(
        SorbentDatasetSettings,
        {**FAST, "out": str(tmp_path / "a.jsonl"), "labels": {"henry_share": 1.0}, "count": 4},
        "test",
    )
    build_part(settings)
    summary = merge_parts(settings)
    assert summary["rows"] > 0
    for row in read_bead_rows(tmp_path / "a.jsonl"):
        assert 0.0 <= row.labels["void_fraction"] < 1.0
        assert row.labels["pld_angstrom"] > 0.0
        if "log10_co2_henry" in row.labels:
            assert -12.0 < row.labels["log10_co2_henry"] < 3.0
