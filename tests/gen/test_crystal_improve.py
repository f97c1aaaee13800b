"""The self-training loop with a tiny generator and a Lennard-Jones twin; caps, drift and resumption by hand."""

import json
import math

import numpy as np
import pytest
from crystal_samples import dataset, rock_salt
from pymatgen.core import Composition, Element
from test_crystal_training import tiny

from gen.crystals.continued_training import mixed
from gen.crystals.crystal_lines import append_lines, from_line, read_lines, to_line
from gen.crystals.dataset import reduce_crystal
from gen.crystals.drift import FAMILY, Census, census, divergence, drift, within_caps
from gen.crystals.improve import ImproveConfig, improve_crystals, round_seed
from gen.crystals.sources import RawCrystal
from gen.crystals.training import train_crystals
from gen.evaluation.hull import make_table
from potentials.config import parse_config
from potentials.errors import InputError


def containing(**shares):
    return Census({}, shares, {}, {}, {})


def test_the_element_cap_keeps_the_best_of_each():
    # O is in half of the training crystals, Ce in a tenth: with growth 1 and 6 candidates O may occur in 3, Ce in 2
    candidates = [Composition(f) for f in ("MgO", "CaO", "SrO", "BaO", "CeS", "LaS")]
    training = containing(O=0.5, Mg=1.0, Ca=1.0, Sr=1.0, Ba=1.0, S=1.0, Ce=1.0, La=1.0, **{FAMILY: 0.1})
    assert within_caps(candidates, training, 1.0, ()) == [True, True, True, False, True, True]
    # three lanthanides: the family's cap of two holds, whatever each of them may
    candidates = [Composition(f) for f in ("CeS", "LaS", "PrS", "MgS", "CaS", "SrS")]
    training = containing(S=1.0, Ce=1.0, La=1.0, Pr=1.0, Mg=1.0, Ca=1.0, Sr=1.0, **{FAMILY: 0.1})
    assert within_caps(candidates, training, 1.0, ()) == [True, True, False, True, True, True]


def test_denied_elements_are_never_kept():
    training = containing(Tc=1.0, O=1.0, Mg=1.0)
    assert within_caps([Composition("TcO2"), Composition("MgO")], training, 1.0, ("Tc",)) == [False, True]


def test_divergence_and_concentration_by_hand():
    assert divergence({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}, 100) == pytest.approx(0)
    # 3.5 of 4 + 0.5 of 4 against halves, the half counts included
    expected = 0.875 * math.log(0.875 / 0.5) + 0.125 * math.log(0.125 / 0.5)
    assert divergence({"a": 1.0}, {"a": 0.5, "b": 0.5}, 3) == pytest.approx(expected)
    salts = census([(Composition("NaCl"), 225), (Composition("KCl"), 225), (Composition("MgO"), 225)])
    # Cl twice of six mentions, the others once: 4/36 + 4/36
    assert salts.hhi == pytest.approx(8 / 36)
    assert salts.prototypes == {"AB 225": 1.0}
    watched = drift(salts, salts, 3)
    assert watched["kl_elements"] == pytest.approx(0)
    assert watched["distinct_elements"] == 5
    assert watched["share_lanthanides"] == 0


def test_new_crystals_make_up_their_share():
    new = [reduced("Rb", "Cl", 6.581), reduced("Rb", "F", 5.64)]
    both = mixed(dataset(), new, 0.5)
    # seventeen old ones, two new ones repeated eight times (8.5 rounds to even)
    assert len(both.train[2]) == len(dataset().train[2]) + 16
    assert {n: len(g) for n, g in both.train.items() if n != 2} == {
        n: len(g) for n, g in dataset().train.items() if n != 2
    }
    assert {n: len(g) for n, g in mixed(dataset(), [], 0.5).train.items()} == {
        n: len(g) for n, g in dataset().train.items()
    }


def reduced(cation, anion, a):
    salt = rock_salt(cation, anion, a)
    crystal = reduce_crystal(
        RawCrystal("x", np.array([s.specie.Z for s in salt]), salt.frac_coords, salt.lattice.matrix)
    )
    assert not isinstance(crystal, str)
    return crystal


def test_lines_survive_a_torn_end(tmp_path):
    path = tmp_path / "lines.jsonl"
    salt = rock_salt("Na", "Cl", 5.64)
    append_lines(path, [to_line(salt), {"index": 1}])
    with open(path, "a", encoding="utf-8") as stream:
        stream.write('{"index": 2, "nu')
    rows = read_lines(path)
    assert len(rows) == 2
    assert from_line(rows[0]).distance_matrix[0, 1] == pytest.approx(salt.distance_matrix[0, 1], abs=1e-5)
    append_lines(path, [{"index": 2}])
    assert [row.get("index") for row in read_lines(path)] == [None, 1, 2]
    path.write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(InputError, match="damaged"):
        read_lines(path)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny generator of salts, perovskites and metals."""
    return train_crystals(tiny(tmp_path_factory.mktemp("model") / "start", epochs=30), dataset=dataset())


def hull():
    elements = {str(e) for group in dataset().train.values() for row in group.numbers.tolist() for e in symbols(row)}
    rows = [(symbol, 0.0, True, "") for symbol in elements]
    rows += [(f"{a}{b}", 0.5, True, "") for a in elements for b in elements if a < b]  # every system has a compound
    return make_table(rows, "lj", "by hand", "0" * 64)


def symbols(numbers):
    return [Element.from_Z(z).symbol for z in numbers]


def settings(start, out, **changes):
    values = {
        "out": str(out),
        "model": str(start),
        "rounds": 1,
        "samples": 8,
        "held_out_samples": 4,
        "element_growth": 10.0,
        "sampling": {"steps": 4, "quench_steps": 1},
        "twin": {"potential": "lj", "max_steps": 5, "chunk": 4},
        "train": {"updates": 4, "batch_size": 8, "warmup_steps": 2},
        **changes,
    }
    return parse_config(ImproveConfig, values, "test")


def test_a_round_adds_what_was_verified_and_retrains(start, tmp_path):
    rounds = improve_crystals(settings(start, tmp_path / "run"), dataset=dataset(), table=hull())
    assert [r.round for r in rounds] == [0, 1]
    manifest = read_lines(tmp_path / "run" / "manifest.jsonl")
    assert rounds[1].added == len(manifest) > 0
    assert all(line["above_hull_ev_per_atom"] <= 0.1 for line in manifest)
    assert {line["seed"] for line in manifest} == {round_seed(1, 1)}
    assert len({line["id"] for line in manifest}) == len(manifest)
    for r in rounds:
        assert 0 <= r.metrics["msun_beyond_manifest"] <= r.metrics["msun"] <= r.metrics["metastable"] <= 1
        assert r.drift["kl_elements"] >= 0
    described = json.loads((tmp_path / "run" / "round_1" / "model" / "model.json").read_text())
    assert described["provenance"]["new_crystals"] == len(manifest)


def test_a_killed_run_goes_on_to_the_same_end(start, tmp_path):
    whole = improve_crystals(settings(start, tmp_path / "whole"), dataset=dataset(), table=hull())

    class Killed(Exception):
        """What a signal would do, at a chosen moment."""

    def run_until(words: str) -> None:
        def say(line: str) -> None:
            if words in line:
                raise Killed

        with pytest.raises(Killed):
            improve_crystals(settings(start, tmp_path / "killed"), dataset=dataset(), table=hull(), say=say)

    run_until("held_out_0: 4 of")
    with open(tmp_path / "killed" / "held_out_0" / "samples.jsonl", "a", encoding="utf-8") as stream:
        stream.write('{"index"')  # torn by the kill
    run_until("round_1: 4 of")
    run_until("added")
    resumed = improve_crystals(settings(start, tmp_path / "killed"), dataset=dataset(), table=hull())
    assert resumed == whole
    ends = [tmp_path / name / "round_1" / "model" / "model.safetensors" for name in ("whole", "killed")]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    manifests = [(tmp_path / name / "manifest.jsonl").read_text() for name in ("whole", "killed")]
    assert manifests[0] == manifests[1]


def test_a_folder_of_other_settings_is_refused_and_rounds_may_grow(start, tmp_path):
    first = improve_crystals(settings(start, tmp_path, held_out_samples=0), dataset=dataset(), table=hull())
    with pytest.raises(InputError, match="other settings"):
        improve_crystals(settings(start, tmp_path, samples=11), dataset=dataset(), table=hull())
    more = improve_crystals(settings(start, tmp_path, held_out_samples=0, rounds=2), dataset=dataset(), table=hull())
    assert more[:2] == first
    assert {line["round"] for line in read_lines(tmp_path / "manifest.jsonl")} <= {1, 2}
