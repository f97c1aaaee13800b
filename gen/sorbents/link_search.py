"""The cheapest ways to give every edge its two ends, one after the other, best first.

Each edge takes one of its candidates (two ends and a cost), and every node must get as many ends as it has connection
points: a small assignment problem with exact degrees. Prices on the ends (the Lagrangian dual, Held and Karp,
Math. Prog. 1971, 1, 6, by subgradients after Polyak 1969) make the sum of each edge's cheapest candidate a bound
close to the optimum; with it a best-first search (Hart, Nilsson and Raphael 1968) finds the choices in the order of
their cost, so that whoever asks can refuse one and be given the next.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PRICE_ROUNDS = 60  # of subgradients
EXPANSIONS = 1500  # partial choices looked at; the search then ends (a limit of time would depend on the machine)


@dataclass(frozen=True)
class Candidates:
    """An edge and two node images it may join; those of an edge follow each other."""

    edge: np.ndarray  # [P] 0 ... E - 1, sorted
    nodes: np.ndarray  # [P, 2] 0 ... n - 1
    twin: np.ndarray  # [P] candidates of different edges with the same number exclude each other
    cost: np.ndarray  # [P]


def choices(candidates: Candidates, degrees: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Costs and indices [E] of the candidates chosen for each edge, the cheapest choice first.

    Ends when there is no further choice, or after `EXPANSIONS` partial ones.

    Args:
        candidates: of every edge at least one.
        degrees: [n] ends that each node takes.
    """
    edge, nodes, cost = candidates.edge, candidates.nodes, candidates.cost
    first = np.searchsorted(edge, np.arange(edge[-1] + 1))  # of each edge's candidates
    last = np.append(first[1:], len(edge))
    prices = _prices(candidates, degrees, first)
    reduced = cost - prices[nodes].sum(axis=1)
    constant = float(prices @ degrees)
    loops = nodes[:, 0] == nodes[:, 1]
    every = np.arange(len(first))
    counter = 0
    heap: list[_Partial] = [(-np.inf, 0, 0, ())]
    for _ in range(EXPANSIONS):
        if not heap:
            return
        bound, _, _, taken = heapq.heappop(heap)
        chosen = np.array(taken, int)
        if len(taken) == len(first):
            yield bound, chosen[np.argsort(edge[chosen])]
            continue
        left = degrees - np.bincount(nodes[chosen].ravel(), minlength=len(degrees))
        allowed = (left[nodes] > loops[:, None]).all(axis=1) & ~np.isin(candidates.twin, candidates.twin[chosen])
        free = np.where(allowed, reduced, np.inf)
        least = np.minimum.reduceat(free, first)
        open_edges = np.setdiff1d(every, edge[chosen], assume_unique=True)
        spent = constant + float(reduced[chosen].sum())
        now = spent + float(least[open_edges].sum())
        if not np.isfinite(now):
            continue
        if now > bound + 1e-9 and heap and now > heap[0][0]:
            counter += 1
            heapq.heappush(heap, _partial(now, counter, taken))
            continue
        # the edge that has least choice near its best is settled first
        near = np.add.reduceat(free < least[edge] + 2.0, first)[open_edges]
        branch = int(open_edges[int(near.argmin())])
        rest = now - float(least[branch])
        for index in range(first[branch], last[branch]):
            if allowed[index]:
                counter += 1
                heapq.heappush(heap, _partial(rest + float(reduced[index]), counter, (*taken, index)))


# bound, less the number of edges settled, a running number, candidates taken: of equals the fullest goes first
_Partial = tuple[float, int, int, tuple[int, ...]]


def _partial(bound: float, counter: int, taken: tuple[int, ...]) -> _Partial:
    return round(bound, 9), -len(taken), counter, taken


def _prices(candidates: Candidates, degrees: np.ndarray, first: np.ndarray) -> np.ndarray:
    """[n] what an end at each node is worth, so that the cheapest candidates nearly have the right degrees."""
    nodes, cost = candidates.nodes, candidates.cost
    prices = np.zeros(len(degrees))
    best, best_value = prices, -np.inf
    step = 1.0
    for _ in range(PRICE_ROUNDS):
        reduced = cost - prices[nodes].sum(axis=1)
        least = np.minimum.reduceat(reduced, first)
        value = float(least.sum() + prices @ degrees)
        if value > best_value + 1e-9:
            best, best_value = prices, value
        else:
            step *= 0.85
        cheapest = np.flatnonzero(reduced <= least[candidates.edge])
        cheapest = cheapest[np.unique(candidates.edge[cheapest], return_index=True)[1]]
        lacking = degrees - np.bincount(nodes[cheapest].ravel(), minlength=len(degrees))
        if not lacking.any():
            break
        prices = prices + step * lacking
    return best
