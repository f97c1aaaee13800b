"""Ranking: the score is what its formula says, dominance is respected, nothing depends on row order."""

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from example_snapshot import example_snapshot
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.candidate import Candidate, Property, Row, Snapshot
from screening.ranking import rank

POINT = Structure(Lattice.cubic(4.0), ["Ar"], [[0, 0, 0]])


def snapshot(columns: dict[str, list], objectives: list[dict], *, stds: dict | None = None, **ranking) -> Snapshot:
    """One active row for each place in the columns; ids are `c00`, `c01`, ... in that order."""
    n = len(next(iter(columns.values())))
    rows = []
    for i in range(n):
        properties = {
            name: Property(name, values[i], "u", None if stds is None else stds[name][i])
            for name, values in columns.items()
            if values[i] != "absent"
        }
        rows.append(Row(i, "active", Candidate(f"c{i:02d}", i, POINT, {}, properties)))
    config = {"ranking": {"objectives": objectives, "top": 3, **ranking}, "seed": 5}
    return Snapshot("n", "q", config, "h", {}, ("proposed",), tuple(rows))


def maximise(*names: str) -> list[dict]:
    return [{"property": name, "direction": "max", "weight": 1.0} for name in names]


def test_one_objective_ranks_by_it():
    values = [0.3, 5.0, -2.0, 1.0]
    best_first = [entry.index for entry in rank(snapshot({"x": values}, maximise("x"))).entries]
    assert best_first == [1, 3, 0, 2]
    smallest = [{"property": "x", "direction": "min", "weight": 1.0}]
    assert [entry.index for entry in rank(snapshot({"x": values}, smallest)).entries] == [2, 0, 3, 1]


def test_the_score_is_its_formula():
    x, y = [1.0, 2.0, 3.0, 4.0, 9.0], [0.1, 0.5, 0.4, 0.2, 0.3]
    objectives = [
        {"property": "x", "direction": "max", "weight": 3.0},
        {"property": "y", "direction": "min", "weight": 1.0},
    ]
    ranking = rank(snapshot({"x": x, "y": y}, objectives))
    for entry in ranking.entries:
        s_x = 1 / (1 + 3 ** (-2 * (x[entry.index] - 3.0) / 2.0))  # median 3, quartiles 2 and 4
        s_y = 1 / (1 + 3 ** (2 * (y[entry.index] - 0.3) / 0.2))  # median 0.3, quartiles 0.2 and 0.4
        assert entry.parts == pytest.approx({"x": s_x, "y": s_y})
        assert entry.score == pytest.approx(0.75 * s_x + 0.25 * s_y)


def test_units_and_row_order_change_nothing():
    first = rank(example_snapshot())
    shuffled = list(example_snapshot().rows)
    random.Random(1).shuffle(shuffled)
    assert rank(dataclasses.replace(example_snapshot(), rows=tuple(shuffled))) == first

    values = [1.0, 2.5, 2.0, 7.0]
    in_mol = rank(snapshot({"x": values}, maximise("x"), stds={"x": [0.1] * 4}))
    in_mmol = rank(snapshot({"x": [1000 * v for v in values]}, maximise("x"), stds={"x": [100.0] * 4}))
    for a, b in zip(in_mol.entries, in_mmol.entries, strict=True):
        assert (a.candidate.id, a.rank_interval) == (b.candidate.id, b.rank_interval)
        assert (a.score, *a.score_interval) == pytest.approx((b.score, *b.score_interval))


def test_whoever_dominates_stands_above_even_far_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=30).tolist(), rng.normal(size=30).tolist()
    x += [1e9, 2e9]  # so far out that both score 1 in x
    y += [1e9, 1e9]
    entries = rank(snapshot({"x": x, "y": y}, maximise("x", "y"))).entries
    place = {entry.index: entry.place for entry in entries}
    assert place[31] == 1
    for i in range(32):
        for j in range(32):
            if x[i] >= x[j] and y[i] >= y[j] and (x[i] > x[j] or y[i] > y[j]):
                assert place[i] < place[j]
    on_front = {e.index for e in entries if e.front == 1}
    assert on_front == {31}


def test_one_outlier_does_not_flatten_the_others():
    entries = rank(snapshot({"x": [1.0, 2.0, 3.0, 4.0, 1e6]}, maximise("x"))).entries
    scores = [entry.score for entry in entries]
    assert scores[0] <= 1
    assert scores[1] - scores[-1] > 0.5


def test_equal_candidates_fall_by_id_and_score_a_half():
    entries = rank(snapshot({"x": [2.0] * 4}, maximise("x"), stds={"x": [0.0] * 4})).entries
    assert [entry.candidate.id for entry in entries] == ["c00", "c01", "c02", "c03"]
    assert {entry.score for entry in entries} == {0.5}
    assert {entry.front for entry in entries} == {1}
    assert [entry.rank_interval for entry in entries] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_what_lacks_a_number_is_listed_with_the_reason():
    values = [1.0, None, float("nan"), float("-inf"), "absent", 2.0]
    ranking = rank(snapshot({"x": values, "z": [0.0] * 6}, maximise("x")))
    assert [entry.index for entry in ranking.entries] == [5, 0]
    assert {item.index: item.reason for item in ranking.unranked} == {
        1: "x could not be measured",
        2: "x is nan",
        3: "x is -inf",
        4: "x was not measured",
    }


def test_only_rows_that_went_through_are_ranked():
    example = example_snapshot()
    ranking = rank(example)
    states = Counter(row.state for row in example.rows)
    assert len(ranking.entries) + len(ranking.unranked) == states["active"]
    assert ranking.unranked[0].reason == "co2_n2_selectivity could not be measured: no N2 adsorbed"
    assert [entry.place for entry in ranking.entries] == list(range(1, len(ranking.entries) + 1))


def test_intervals_hold_the_place_and_sum_to_the_top():
    ranking = rank(example_snapshot())
    for entry in ranking.entries:
        assert entry.score_interval[0] <= entry.score <= entry.score_interval[1]
        assert entry.rank_interval[0] <= entry.place <= entry.rank_interval[1]
    assert sum(entry.top_probability for entry in ranking.entries) == pytest.approx(ranking.top)  # k are always in it


def test_an_empty_campaign_gives_an_empty_ranking():
    nobody = dataclasses.replace(example_snapshot(), rows=())
    assert rank(nobody).entries == ()
    alone = rank(snapshot({"x": [1.0]}, maximise("x"), stds={"x": [0.5]})).entries
    assert [(e.place, e.score, e.rank_interval, e.front_probability) for e in alone] == [(1, 0.5, (1, 1), 1.0)]


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        ({"objectives": []}, "objectives is empty"),
        ({"objectives": [{"property": "x", "direction": "up"}]}, "neither max nor min"),
        ({"objectives": [{"property": "x", "weight": -1}]}, "not zero or more"),
        ({"objectives": [{"property": "x", "weight": 0}]}, "weigh nothing"),
        ({"objectives": [{"property": "x"}, {"property": "x"}]}, "names a property twice"),
        ({"objectives": [{"property": "x"}], "top": 0}, "top is 0"),
    ],
)
def test_what_cannot_be_ranked_by_is_refused(ranking, message):
    wanted = dataclasses.replace(snapshot({"x": [1.0]}, maximise("x")), config={"ranking": ranking})
    with pytest.raises(InputError, match=message):
        rank(wanted)
