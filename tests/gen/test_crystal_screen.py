"""The stability screen: what it chooses, that batches do not matter, what is said of the result."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gen.crystals.rattle import rattled
from gen.crystals.screen import Screen, ScreenConfig, Screened, load_screen
from gen.evaluation.hull import SCREEN_TABLE, make_table, potential_key, read_table, write_table
from gen.generator import Generator
from potentials.errors import InputError
from screening.generation import GenerateSettings, generate

FEW = {"steps": 8}
FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_pretrained("crystals")


@pytest.fixture(scope="module")
def screen() -> Screen:
    return Screen(ScreenConfig(candidates=3, max_steps=5))


def screen_of_argon(tmp_path, **settings) -> Screen:
    """A screen whose answers are known: Lennard-Jones atoms, all elements alike, 0.0835 eV deep."""
    rows = [("Ar", -0.0835, True, ""), ("Kr", -0.0835, True, ""), ("ArKr", -0.0835, True, "")]
    path = write_table(make_table(rows, "lj", "by hand", "0" * 64), tmp_path / "hull.json.gz")
    return Screen(ScreenConfig(potential="lj", hull=str(path), **settings))


def found(*heights):
    crystal = Structure(Lattice.cubic(4), ["Ar"], [[0, 0, 0]])
    return [None if h == "unusable" else Screened(None if h == "failed" else crystal, h) for h in heights]


def test_the_lowest_is_chosen_or_the_first_below_the_limit(tmp_path):
    lowest = screen_of_argon(tmp_path, limit=None)
    assert lowest.choose(found(0.3, -0.1, None, -0.2)) == 3
    first = screen_of_argon(tmp_path, limit=0.15)
    assert first.choose(found(0.3, 0.1, None, -0.2)) == 1
    assert first.choose(found(0.3, 0.2, "unusable", 0.4)) == 1  # none is: the lowest


def test_without_any_figure_something_usable_is_chosen(tmp_path):
    chooser = screen_of_argon(tmp_path)
    unrelaxed = Screened(None, None, "came apart")
    assert chooser.choose([None, unrelaxed, found(None)[0]]) == 2
    assert chooser.choose([None, unrelaxed]) == 1
    assert chooser.choose([None, None]) == 0


def test_candidates_are_relaxed_and_placed_above_the_hull(tmp_path):
    judge = screen_of_argon(tmp_path, max_steps=60, fmax=0.01)
    squeezed = Structure(Lattice(np.array(FCC) * 5.0), ["Ar"], [[0, 0, 0]])
    cubic = Structure(Lattice.cubic(3.6), ["Kr"], [[0, 0, 0]])  # a saddle one atom cannot leave
    unknown = Structure(Lattice(np.array(FCC) * 5.2), ["Xe"], [[0, 0, 0]])
    low, high, none = judge.judge([squeezed, cubic, unknown])
    assert low.above_hull == pytest.approx(0, abs=5e-3)
    assert high.above_hull > low.above_hull
    assert none.above_hull is None
    assert none.reason == "no reference for Xe"


def test_an_incredibly_low_candidate_is_not_taken(tmp_path):
    rows = [("Ar", 1.0, True, ""), ("Kr", 1.0, True, "")]
    path = write_table(make_table(rows, "lj", "too high by 1 eV", "0" * 64), tmp_path / "wrong.json.gz")
    judge = Screen(ScreenConfig(potential="lj", hull=str(path)))
    (row,) = judge.judge([Structure(Lattice(np.array(FCC) * 5.26), ["Ar"], [[0, 0, 0]])])
    assert row.above_hull is None
    assert "not credible" in row.reason


def test_a_hull_of_another_potential_is_refused(tmp_path):
    path = write_table(make_table([("Ar", 0.0, True, "")], "lj", "", "0" * 64), tmp_path / "hull.json.gz")
    with pytest.raises(InputError, match=r"hull is by lj, its potential is sorbus-crystals@"):
        Screen(ScreenConfig(hull=str(path)))


def test_the_shipped_table_is_of_the_shipped_potential():
    table = read_table(SCREEN_TABLE)
    assert table.potential == potential_key("sorbus-crystals")  # else: python -m gen.evaluation.build_hull screen
    assert len(table.phases) > 15_000


def test_the_result_is_one_of_the_unscreened_stream(generator, screen):
    drawn = Screen(ScreenConfig(candidates=3, limit=None, max_steps=5))
    (chosen,) = generator.generate(1, seed=4, first=2, screen=drawn, **FEW)
    k = chosen.properties["screen"]["chosen"]
    plain = generator.generate(3, seed=4, first=6, **FEW)
    assert chosen.composition == plain[k].composition
    assert np.allclose(chosen.lattice.abc, plain[k].lattice.abc, atol=1e-3)
    assert chosen.properties["index"] == 2
    heights = chosen.properties["screen"]["above_hull"]
    assert len(heights) == 3
    if heights[k] is not None:
        assert heights[k] == min(h for h in heights if h is not None)


def test_no_more_candidates_are_drawn_than_needed(generator):
    lazy, whole = (Screen(ScreenConfig(candidates=4, limit=limit, max_steps=3)) for limit in (10.0, None))
    first, second = (
        generator.generate(2, seed=4, conditions={"composition": "NaCl", "num_atoms": 2}, screen=one, **FEW)
        for one in (lazy, whole)
    )
    assert [len(s.properties["screen"]["above_hull"]) for s in first] == [1, 1]
    assert [len(s.properties["screen"]["above_hull"]) for s in second] == [4, 4]


def test_results_do_not_depend_on_the_batch(generator, screen):
    together = generator.generate(3, seed=5, screen=screen, batch_size=64, **FEW)
    apart = [*generator.generate(2, seed=5, screen=screen, batch_size=2, **FEW)]
    apart += generator.generate(1, seed=5, first=2, screen=screen, **FEW)
    for one, other in zip(together, apart, strict=True):
        assert one.properties["screen"]["chosen"] == other.properties["screen"]["chosen"]
        assert one.species == other.species
        assert np.allclose(one.lattice.abc, other.lattice.abc, atol=1e-3)


def test_a_space_group_asked_for_survives_the_screen(generator, screen):
    asked = {"space_group": 225, "composition": "NaCl"}
    (crystal,) = generator.generate(1, seed=1, conditions=asked, screen=screen, **FEW)
    assert len(crystal.properties["screen"]["above_hull"]) >= 1
    assert crystal.get_space_group_info(0.01)[1] == 225


def test_screens_are_had_from_what_users_say():
    assert load_screen(None) is None
    assert load_screen(False) is None
    assert load_screen(2).config.candidates == 2
    assert load_screen({"candidates": 3, "limit": 0.1}).config.limit == 0.1
    with pytest.raises(InputError, match="candidats"):
        load_screen({"candidats": 3})


def test_provenance_of_generated_files_names_the_screen(tmp_path):
    settings = GenerateSettings(
        count=1, seed=3, steps=8, settings={"screen": {"candidates": 2, "max_steps": 3}}, out=str(tmp_path)
    )
    batch = generate(settings)
    batch.write(tmp_path)
    assert '"candidates": 2' in (tmp_path / "provenance.jsonl").read_text()


def test_rattling_keeps_the_mean_and_has_the_size_asked_for():
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    moved = rattled(rock_salt, 0.05)
    shift = (moved.frac_coords - rock_salt.frac_coords) @ rock_salt.lattice.matrix
    assert np.sqrt((shift**2).sum(1).mean()) == pytest.approx(0.05)
    assert np.abs(shift.mean(0)).max() < 1e-12
    assert np.array_equal(moved.frac_coords, rattled(rock_salt, 0.05).frac_coords)
    assert not np.array_equal(moved.frac_coords, rattled(rock_salt, 0.05, seed=1).frac_coords)
    single = Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]])
    assert np.array_equal(rattled(single, 0.05).frac_coords, single.frac_coords)
