"""Which tetrahedra share a corner: four-connected nets through given silicon sites, the likeliest first.

Silicons of silica that share an oxygen are 2.9 to 3.2 Å apart, others hardly below 4 Å, and the four links of a silicon
point to the corners of a tetrahedron. Links between near sites are chosen so that every site has exactly four: a
whole-number programme over the sum of a cost of each length. Links that symmetry makes equal are chosen together (as in
the enumeration of nets by Treacy, Randall, Rao, Perry and Chadi, Z. Kristallogr. 1997, 212, 768), so that a
symmetric set of sites gives a symmetric net out of a few possible ones. The programme is solved again and again
under seeded perturbations of the costs; the nets it finds are ranked by lengths and angles together.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse
import spglib
import vesin

from gen.zeolites.framework import Framework
from gen.zeolites.topology import unfolded

DISTANCE = 3.08  # Å between linked silicons
TOLERANCE = 0.45  # Å, a length so far off costs 1/2
ANGLE_COST = 3.0  # of (cos + 1/3)^2 of each angle at a silicon
FOLDED, FOLDED_COST = 0.6, 30.0  # cosine of an angle beyond which links lie on each other: 53 degrees
REACH, WIDER, WIDENINGS = 4.6, 1.2, 4  # Å of the links considered, and its growth until a net exists
ROUNDS = 16
PERTURBATION, OFFSET = 0.35, 0.3  # of the logarithm of a cost, and added to it
SYMPREC = 0.02  # Å
# lattice planes a layer may run along, those of small indices first
NORMALS = np.array(sorted(itertools.product(range(-3, 4), repeat=3), key=lambda n: sum(map(abs, n)))[1:])
PATIENCE_S = 2.0  # seconds a programme may take; they take milliseconds


@dataclass(frozen=True)
class Links:
    """A net through T sites."""

    pairs: np.ndarray  # [2T, 2] linked silicons
    cells: np.ndarray  # [2T, 3] int, cell of the second counted from that of the first
    cost: float  # for each silicon

    def framework(self, lattice: np.ndarray, sites: np.ndarray) -> Framework:
        """Silica with an oxygen in the middle of every link."""
        middle = (sites[self.pairs[:, 0]] + sites[self.pairs[:, 1]] + self.cells) / 2
        home = np.floor(middle).astype(int)
        images = np.stack([np.zeros_like(self.cells), self.cells], axis=1) - home[:, None]
        return Framework(lattice, np.concatenate([sites, middle - home]), self.pairs, images)


def linked(
    lattice: np.ndarray, sites: np.ndarray, *, count: int, seed: int, rounds: int = ROUNDS, symmetric: bool = True
) -> list[Links]:
    """At most `count` different nets that give every site four links, the cheapest first; a function of the seed.

    Nets that fall apart, run on in fewer than three dimensions or join two sites twice are left out. Where the sites'
    symmetry leaves no other, links are chosen one by one.

    Args:
        lattice: [3, 3] Å, rows are vectors.
        sites: [T, 3] fractional coordinates of the silicons.
        rounds: programmes solved, all but the first with perturbed costs.
        symmetric: first choose links that the sites' symmetry makes equal together.

    Returns:
        None where no net exists within about 8 Å.
    """
    random = np.random.default_rng([seed, len(sites)])
    rotations, shifts = _operations(lattice, sites)
    nets: list[Links] = []
    if symmetric and len(rotations) > 1:
        nets = _linked(lattice, sites, rotations, shifts, random, rounds)
    if not nets:
        nets = _linked(lattice, sites, np.eye(3, dtype=int)[None], np.zeros((1, 3)), random, rounds)
    return sorted(nets, key=lambda net: net.cost)[:count]


def _linked(
    lattice: np.ndarray,
    sites: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    random: np.random.Generator,
    rounds: int,
) -> list[Links]:
    """Nets of links that are chosen together where the operations make them equal."""
    total, reach = len(sites), REACH
    for _ in range(WIDENINGS):
        i, j, cells, lengths = _near(lattice, sites, reach)
        if len(i):
            orbit = _orbits(sites, i, j, cells, rotations, shifts)
            costs = 0.5 * ((lengths - DISTANCE) / TOLERANCE) ** 2
            nets = []
            for kept in _choices(i, j, cells, orbit, costs, total, random, rounds):
                pairs, shift = np.stack([i[kept], j[kept]], axis=1), cells[kept]
                angles = _angle_cost(lattice, sites, i[kept], j[kept], shift)
                nets.append(Links(pairs, shift, float(costs[kept].sum() + angles) / total))
            if nets:
                return nets
        reach *= WIDER
    return []


def _choices(
    i: np.ndarray,
    j: np.ndarray,
    cells: np.ndarray,
    orbit: np.ndarray,
    costs: np.ndarray,
    total: int,
    random: np.random.Generator,
    rounds: int,
) -> list[np.ndarray]:
    """Different choices of links [2T], four ends to every site: of the costs themselves, then of perturbed ones.

    A choice that falls apart or runs on in fewer than three dimensions is barred: one of the links that lead out of
    it must stand from then on.
    """
    count = int(orbit.max()) + 1
    members = np.bincount(orbit, minlength=count)
    together = np.bincount(orbit, costs, minlength=count)
    ends = np.zeros((total, count))
    np.add.at(ends, (i, orbit), 1)
    np.add.at(ends, (j, orbit), 1)
    constraints = [scipy.optimize.LinearConstraint(scipy.sparse.csr_matrix(np.unique(ends, axis=0)), 4, 4)]
    found: dict[bytes, np.ndarray] = {}
    for number in range(rounds):
        weights: np.ndarray = together
        if number:
            strength = 2 * number / rounds
            factor = np.exp(strength * PERTURBATION * random.standard_normal(count))
            weights = together * factor + strength * OFFSET * members * random.random(count)
        solved = scipy.optimize.milp(
            weights,
            integrality=np.ones(count),
            bounds=scipy.optimize.Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": PATIENCE_S, "mip_rel_gap": 1e-3},
        )
        if solved.x is None:
            break
        kept = np.flatnonzero((solved.x > 0.5)[orbit])
        out = _leading_out(i, j, cells, kept, total)
        if out is None:
            found.setdefault(kept.tobytes(), kept)
            continue
        needed = (np.bincount(orbit[out], minlength=count) > 0).astype(float)[None]
        constraints.append(scipy.optimize.LinearConstraint(scipy.sparse.csr_matrix(needed), 1, np.inf))
    return list(found.values())


def _leading_out(i: np.ndarray, j: np.ndarray, cells: np.ndarray, kept: np.ndarray, total: int) -> np.ndarray | None:
    """[P] bool: links that would join parts of a choice, or its layers or chains; None where it is whole."""
    parts, places, translations = unfolded(np.stack([i[kept], j[kept]], axis=1), cells[kept], total)
    if len(translations) > 1:
        return np.asarray((parts[i] == 0) != (parts[j] == 0))
    across = np.flatnonzero(~(translations[0] @ NORMALS.T).any(0))
    if not len(across):
        return None
    return np.asarray(((cells + places[i] - places[j]) @ NORMALS[across[0]]) != 0)


def _operations(lattice: np.ndarray, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [G, 3, 3] and translations [G, 3] that map the sites on themselves."""
    found = spglib.get_symmetry_dataset((lattice, sites, np.ones(len(sites), dtype=int)), symprec=SYMPREC)  # type: ignore[arg-type]
    if found is None:
        return np.eye(3, dtype=int)[None], np.zeros((1, 3))
    return np.asarray(found.rotations), np.asarray(found.translations)


def _near(lattice: np.ndarray, sites: np.ndarray, reach: float) -> tuple[np.ndarray, ...]:
    """Each pair of sites within `reach` once: first [P], second [P], cell of the second [P, 3], length [P] Å."""
    finder = vesin.NeighborList(cutoff=reach, full_list=False, n_threads=1)
    i, j, cells, lengths = finder.compute(sites @ lattice, lattice, True, "ijSd")
    order = np.lexsort((*cells.T, j, i))
    return i[order].astype(np.int64), j[order].astype(np.int64), cells[order].astype(np.int64), lengths[order]


def _orbits(
    sites: np.ndarray, i: np.ndarray, j: np.ndarray, cells: np.ndarray, rotations: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """[P] number of the class of pairs that the operations make equal."""
    codes = _codes(i, j, cells, len(sites))
    order = np.argsort(codes)
    own, other = [], []
    for rotation, shift in zip(rotations, shifts, strict=True):
        moved = sites @ rotation.T + shift
        apart = moved[:, None] - sites
        image = np.abs(apart - np.rint(apart)).max(-1).argmin(1)
        home = np.rint(moved - sites[image]).astype(np.int64)
        reached = _codes(image[i], image[j], cells @ rotation.T + home[j] - home[i], len(sites))
        place = order[np.minimum(np.searchsorted(codes, reached, sorter=order), len(codes) - 1)]
        same = codes[place] == reached  # the edge of the reach may part a class
        own.append(np.flatnonzero(same))
        other.append(place[same])
    links = np.concatenate(own), np.concatenate(other)
    graph = scipy.sparse.coo_matrix((np.ones(len(links[0])), links), shape=(len(i), len(i)))
    _, numbers = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(numbers)


def _codes(i: np.ndarray, j: np.ndarray, cells: np.ndarray, total: int) -> np.ndarray:
    """[P] one number for each undirected pair; cells up to 60 away."""

    def code(a: np.ndarray, b: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return np.asarray((a * total + b) * 128**3 + (shift + 64) @ np.array([128**2, 128, 1]))

    return np.minimum(code(i, j, cells), code(j, i, -cells))


def _angle_cost(lattice: np.ndarray, sites: np.ndarray, i: np.ndarray, j: np.ndarray, cells: np.ndarray) -> float:
    """Of all angles at four-connected sites."""
    vectors = (sites[j] + cells - sites[i]) @ lattice
    around = np.concatenate([vectors, -vectors])[np.argsort(np.concatenate([i, j]), kind="stable")].reshape(-1, 4, 3)
    around = around / np.maximum(np.linalg.norm(around, axis=-1, keepdims=True), 1e-9)
    first, second = np.triu_indices(4, 1)
    cosines = (around[:, first] * around[:, second]).sum(-1)
    folded = np.maximum(cosines - FOLDED, 0.0)
    return float(ANGLE_COST * ((cosines + 1 / 3) ** 2).sum() + FOLDED_COST * (folded**2).sum())
