"""Places under an ensemble: letters that mean what they say, draws shared by all candidates, nothing left to chance."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from ensemble_snapshot import MEMBERS, ensemble_snapshot
from example_snapshot import example_snapshot

from screening.candidate import Property
from screening.model_names import is_member, member_name, split_member
from screening.model_transfer import cycle_uptakes, transferred
from screening.rank_uncertainty import OWN, distinguish, letter_groups
from screening.ranking import Objective, Ranking, rank

UPTAKE, HOT, WC = "co2_uptake_0.15bar_298K", "co2_uptake_0.1bar_363K", "vsa_working_capacity"


def by_uptake(**options) -> Ranking:
    """The example campaign ranked by CO2 uptake alone."""
    snapshot = ensemble_snapshot(**options)
    objectives = [{"property": UPTAKE, "direction": "max", "weight": 1.0}]
    return rank(replace(snapshot, config={**snapshot.config, "ranking": {"top": 8, "objectives": objectives}}))


@pytest.mark.parametrize("seed", range(12))
def test_letters_are_shared_exactly_by_those_not_told_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 11))
    different = np.triu(rng.random((n, n)) < 0.5, 1)
    different |= different.T
    groups = letter_groups(different)
    assert all(groups)
    for i, j in itertools.combinations(range(n), 2):
        assert bool(set(groups[i]) & set(groups[j])) != different[i, j]


def test_letters_of_plain_cases() -> None:
    nothing, all_ = np.zeros((3, 3), dtype=bool), ~np.eye(3, dtype=bool)
    assert letter_groups(nothing) == ("a", "a", "a")
    assert letter_groups(all_) == ("a", "b", "c")
    chain = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    assert letter_groups(chain) == ("a", "ab", "b")
    assert letter_groups(np.zeros((0, 0), dtype=bool)) == ()


def test_without_an_ensemble_only_monte_carlo_counts() -> None:
    ranking = rank(example_snapshot())
    found = distinguish(ranking)
    assert found.models == (OWN,)
    np.testing.assert_array_equal(found.rank_low, found.own_rank_low)
    np.testing.assert_array_equal(found.rank_high, found.own_rank_high)
    assert [(int(a), int(b)) for a, b in zip(found.rank_low, found.rank_high, strict=True)] == [
        e.rank_interval for e in ranking.entries[: len(found.places)]
    ]


def test_probabilities_are_probabilities() -> None:
    found = distinguish(rank(ensemble_snapshot()))
    assert found.models == (OWN, *MEMBERS)
    np.testing.assert_allclose(found.beats + found.beats.T, 1.0)
    assert (np.diag(found.beats) == 0.5).all()
    assert (found.rank_low <= found.rank_high).all()
    assert ((found.model_places >= 1) & (found.model_places <= len(found.places))).all()
    assert found.unmoved == (WC,)  # the example's working capacity has no desorption uptake to be made of
    assert found.missing == 0


def test_a_shift_all_candidates_share_moves_nobody() -> None:
    calm, wild = (
        distinguish(by_uptake(scatter=0.0, measured=False)),
        distinguish(by_uptake(scatter=1.0, measured=False)),
    )
    assert (calm.model_places == calm.model_places[0]).all()  # each model errs alike for all
    assert calm.told_apart > wild.told_apart
    assert (wild.rank_high - wild.rank_low).sum() > (calm.rank_high - calm.rank_low).sum()
    assert (wild.model_places != wild.model_places[0]).any()


def test_the_order_of_rows_and_a_second_run_change_nothing() -> None:
    snapshot = ensemble_snapshot()
    first = distinguish(rank(snapshot))
    second = distinguish(rank(replace(snapshot, rows=snapshot.rows[::-1])))
    np.testing.assert_array_equal(first.beats, second.beats)
    assert first.groups == second.groups


def test_a_measured_candidate_is_moved_by_no_force_field() -> None:
    ranking = by_uptake(scatter=0.8)
    objective = Objective(UPTAKE, "max", 1.0)
    measured = next(e for e in ranking.entries if e.measured).candidate
    from screening.rank_uncertainty import _by_member, _value

    member = _by_member(measured)[MEMBERS[0]]
    own = measured.properties[UPTAKE]
    assert _value(measured, objective, MEMBERS[0], member) == (own.value, own.std)


def test_few_or_no_candidates() -> None:
    empty = rank(replace(example_snapshot(), rows=()))
    found = distinguish(empty)
    assert found.places == ()
    assert found.told_apart == 0.0
    one = distinguish(rank(ensemble_snapshot()), most=1)
    assert one.groups == ("a",)


# What another model's Henry coefficients make of an uptake


def known(**values: float) -> dict[str, Property]:
    return {name: Property(name, value, "", 0.01 * value) for name, value in values.items()}


def langmuir(saturation: float, coefficient: float, pressure: float) -> float:
    return saturation * coefficient * pressure / (saturation + coefficient * pressure)


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_a_langmuir_uptake_is_transferred_exactly(factor: float) -> None:
    k, saturation = 1e-4, 4.0
    computed = known(**{UPTAKE: langmuir(saturation, k, 15_000.0), "co2_henry_298K": k})
    member = known(co2_henry_298K=factor * k)
    found = transferred(UPTAKE, computed, member)
    assert found is not None
    assert found[0] == pytest.approx(langmuir(saturation, factor * k, 15_000.0), rel=1e-9)
    assert found[1] == pytest.approx(0.01 * found[0])


def test_what_a_member_measured_itself_is_taken_as_it_is() -> None:
    computed = known(**{UPTAKE: 2.0, "co2_henry_298K": 1e-3})
    assert transferred(UPTAKE, computed, known(**{UPTAKE: 3.0, "co2_henry_298K": 1.0})) == (3.0, pytest.approx(0.03))
    assert transferred(UPTAKE, computed, {UPTAKE: Property(UPTAKE, None, "")}) is None
    assert transferred("pld_angstrom", {**computed, **known(pld_angstrom=4.0)}, known(co2_henry_298K=2e-3)) is None
    assert transferred(UPTAKE, computed, {}) is None


def test_the_cycle_follows_its_uptakes() -> None:
    computed = known(**{UPTAKE: 1.0, HOT: 0.2, WC: 0.8, "regenerability": 80.0, "co2_n2_selectivity": 30.0,
                        "co2_henry_298K": 1e-4, "n2_henry_298K": 3e-6})  # fmt: skip
    assert cycle_uptakes(computed) == (UPTAKE, HOT)
    member = known(co2_henry_298K=2e-4, n2_henry_298K=3e-6)
    high, low = transferred(UPTAKE, computed, member), transferred(HOT, computed, member)
    assert high is not None
    assert low is not None
    assert low[0] == pytest.approx(0.2 * 2 ** (298 / 363))  # the same energy counts less when it is hot
    capacity, share = transferred(WC, computed, member), transferred("regenerability", computed, member)
    assert capacity is not None
    assert share is not None
    assert capacity[0] == pytest.approx(high[0] - low[0])
    assert share[0] == pytest.approx(100 * (1 - low[0] / high[0]))
    selectivity = transferred("co2_n2_selectivity", computed, member)
    assert selectivity is not None
    assert selectivity[0] == pytest.approx(60.0)


def test_names_of_members() -> None:
    assert member_name("dreiding-trappe", "eqeq") == "dreiding-trappe+eqeq"
    assert member_name("a/mine.yaml", "eqeq") != member_name("b/mine.yaml", "eqeq")
    assert split_member("co2_henry_298K@dreiding-trappe+eqeq") == ("co2_henry_298K", "dreiding-trappe+eqeq")
    assert split_member("co2_henry_298K") == ("co2_henry_298K", None)
    assert is_member("a@b")
    assert not is_member("a")
