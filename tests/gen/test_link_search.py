"""Choices of links come cheapest first, all of them, and keep the degrees."""

import itertools

import numpy as np
import pytest

from gen.sorbents import link_search
from gen.sorbents.link_search import Candidates, choices


def random_problem(seed: int, edges: int = 4, each: int = 5, nodes: int = 3) -> tuple[Candidates, np.ndarray]:
    """A few candidates for every edge, and degrees that one choice of them has."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (edges * each, 2))
    problem = Candidates(
        np.repeat(np.arange(edges), each), ends, rng.integers(0, 12, edges * each), rng.uniform(0, 4, edges * each)
    )
    chosen = np.arange(edges) * each + rng.integers(0, each, edges)
    return problem, np.bincount(ends[chosen].ravel(), minlength=nodes)


def by_enumeration(problem: Candidates, degrees: np.ndarray) -> list[float]:
    """Costs of every choice that keeps the degrees and has no twins, sorted."""
    costs = []
    for chosen in itertools.product(*(np.flatnonzero(problem.edge == e) for e in range(problem.edge[-1] + 1))):
        index = np.array(chosen)
        counts = np.bincount(problem.nodes[index].ravel(), minlength=len(degrees))
        if np.array_equal(counts, degrees) and len(set(problem.twin[index].tolist())) == len(index):
            costs.append(float(problem.cost[index].sum()))
    return sorted(costs)


@pytest.mark.parametrize("seed", range(8))
def test_all_choices_come_in_the_order_of_their_cost(seed):
    problem, degrees = random_problem(seed)
    found = list(choices(problem, degrees))
    costs = [cost for cost, _ in found]
    assert costs == pytest.approx(by_enumeration(problem, degrees))
    for cost, chosen in found:
        assert problem.edge[chosen].tolist() == [0, 1, 2, 3]
        assert problem.cost[chosen].sum() == pytest.approx(cost)


def test_degrees_no_choice_has_end_the_search():
    problem, degrees = random_problem(0)
    assert list(choices(problem, degrees + np.array([1, -1, 0]) * 20)) == []


def test_the_search_is_bounded(monkeypatch):
    """All candidates alike: 5^9 choices of one cost, of which the first come at once."""
    edges, each = 9, 5
    problem = Candidates(
        np.repeat(np.arange(edges), each), np.zeros((edges * each, 2), int), np.arange(edges * each), np.ones(45)
    )
    monkeypatch.setattr(link_search, "EXPANSIONS", 200)
    found = list(choices(problem, np.array([2 * edges])))
    assert 0 < len(found) <= 200
    assert found[0][0] == pytest.approx(edges)
