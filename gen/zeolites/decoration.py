"""Aluminosilicates from a silica framework: aluminium on some tetrahedra, cations in the pores, neutral as a whole.

Loewenstein's rule (Am. Mineral. 1954, 39, 92): no two aluminiums share an oxygen. It is enforced exactly: the
tetrahedra are drawn by a whole-number programme with random weights, which either keeps the rule or says that it
cannot. Distance least squares then make room for the longer Al-O bonds, before cations look for their places.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.sparse
from pymatgen.core import Element, Lattice, Structure

from gen.zeolites.bonding import bonded_framework
from gen.zeolites.cations import CATIONS, nearest, place_cations
from gen.zeolites.framework import OXYGEN, SILICON, Framework
from gen.zeolites.geometry import relax_geometry
from potentials.errors import GeometryError, InputError

Method = Literal["electrostatic", "crystals"]
ALUMINIUM = 13
BRANCHES = 3000  # of the search for tetrahedra; a limit of time would make the answer depend on the machine


@dataclass(frozen=True)
class Decorated:
    """An aluminosilicate and how it came to be."""

    structure: Structure  # the framework's sites in their order, then the cations
    aluminium: int
    silicon_per_aluminium: float
    cations: int
    method: str


def decorate(
    structure: Structure,
    *,
    silicon_per_aluminium: float | None = None,
    aluminium: int | None = None,
    cation: str = "Na",
    seed: int = 0,
    method: Method = "electrostatic",
    relax: bool = True,
) -> Decorated:
    """Put aluminium and charge-balancing cations into a silica framework.

    Args:
        structure: four-connected SiO2; its cell decides which ratios can be had (take a supercell for fine ones).
        silicon_per_aluminium: Si/Al wanted, at least 1; the nearest the cell allows is made and reported.
        aluminium: atoms in the cell instead of a ratio.
        cation: one of `CATIONS`.
        seed: decides which tetrahedra, and in which order cations are placed.
        method: `electrostatic` puts cations where the framework's potential is lowest at contact distance from
            oxygen; `crystals` lets the general crystal generator paint them in, for cells of at most 20 atoms.
        relax: move framework and cell by distance least squares with Si-O of 1.61 and Al-O of 1.74 Å before cations
            are placed; False leaves them as they were given.

    Raises:
        InputError: no such cation, a ratio that breaks Loewenstein's rule or neutrality, or no room for the cations.
        GeometryError: the structure is no four-connected silica.
    """
    if cation not in CATIONS:
        raise InputError(f"no cation {cation!r}: choose one of {', '.join(CATIONS)}")
    framework = bonded_framework(structure)
    count = _aluminium_count(framework.n_silicon, silicon_per_aluminium, aluminium)
    charge = CATIONS[cation][0]
    if count % charge:
        raise InputError(
            f"{count} Al in the cell cannot be balanced by {cation}{charge}+: ask for a multiple of {charge}, "
            "or take a supercell"
        )
    chosen = choose_aluminium(framework, count, seed)
    silicon_sites = np.flatnonzero(np.array(structure.atomic_numbers) == SILICON)
    host = structure.copy()
    if relax:
        framework = _with_room(framework, chosen)
        order = np.argsort(np.array(structure.atomic_numbers) == OXYGEN, kind="stable")  # silicons first
        frac = np.empty_like(framework.frac)
        frac[order] = framework.frac
        host = Structure(Lattice(framework.lattice), structure.species, frac - np.floor(frac))
    for site in silicon_sites[chosen]:
        host.replace(int(site), "Al")
    needed = count // charge
    if method == "crystals":
        points = _painted(host, cation, needed, seed)
    else:
        points = place_cations(framework, chosen, cation, needed, seed)
    for point in points:
        host.append(cation, point)
    if fault := neutrality_fault(host):
        raise InputError(f"the decorated cell is not neutral: {fault}")
    ratio = (framework.n_silicon - count) / count if count else float("inf")
    return Decorated(host, count, ratio, needed, method)


def _with_room(framework: Framework, chosen: np.ndarray) -> Framework:
    """Relaxed with longer bonds around the chosen tetrahedra.

    Raises:
        GeometryError: the framework does not survive that.
    """
    aluminium = np.zeros(framework.n_silicon, dtype=bool)
    aluminium[chosen] = True
    (result,) = relax_geometry([framework], aluminium=[aluminium])
    folded = result.framework.folded()
    if not np.isfinite(result.strain) or not bonded_framework(folded.to_structure()).same_bonds(folded):
        raise GeometryError("the framework loses its bonds when room is made for aluminium: try relax=none")
    return folded


def choose_aluminium(framework: Framework, count: int, seed: int) -> np.ndarray:
    """Indices of `count` silicons to replace, sorted, no two of which share an oxygen; a function of the seed.

    Maximises the sum of random weights over all independent sets of that size (branch and bound, HiGHS). Half of the
    tetrahedra can only alternate with the other half, which is looked up instead: branch and bound would try
    every set before it gave up.

    Raises:
        InputError: there is no such set.
    """
    total = framework.n_silicon
    random = np.random.default_rng(seed)
    pairs = np.unique(np.sort(framework.silicon, axis=1), axis=0)
    if 2 * count == total:
        return _alternate(pairs, total, random)
    # a tetrahedron bonded to its own image cannot be aluminium in this cell
    looped = np.zeros(total, dtype=bool)
    looped[pairs[pairs[:, 0] == pairs[:, 1], 0]] = True
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    rows = np.repeat(np.arange(len(pairs)), 2)
    neighbours = scipy.sparse.coo_matrix((np.ones(2 * len(pairs)), (rows, pairs.ravel())), shape=(len(pairs), total))
    solved = scipy.optimize.milp(
        -random.uniform(0.5, 1.0, total),
        integrality=np.ones(total),
        bounds=scipy.optimize.Bounds(0, np.where(looped, 0, 1)),
        constraints=[
            scipy.optimize.LinearConstraint(neighbours.tocsr(), -np.inf, 1),
            scipy.optimize.LinearConstraint(np.ones((1, total)), count, count),
        ],
        options={"node_limit": BRANCHES},
    )
    if solved.x is None:
        raise _too_many(count, total)
    return np.flatnonzero(solved.x > 0.5)


def _alternate(pairs: np.ndarray, total: int, random: np.random.Generator) -> np.ndarray:
    """Every second tetrahedron of the net with bonds `pairs` [P, 2]; which half, the generator decides."""
    colour = np.full(total, -1)
    for start in range(total):
        if colour[start] >= 0:
            continue
        colour[start] = random.integers(2)
        queue = [start]
        while queue:
            here = queue.pop()
            for neighbour in {*pairs[pairs[:, 0] == here, 1].tolist(), *pairs[pairs[:, 1] == here, 0].tolist()}:
                if colour[neighbour] < 0:
                    colour[neighbour] = 1 - colour[here]
                    queue.append(neighbour)
    if (colour[pairs[:, 0]] == colour[pairs[:, 1]]).any() or 2 * colour.sum() != total:
        raise _too_many(total // 2, total)
    return np.flatnonzero(colour)


def _too_many(count: int, total: int) -> InputError:
    return InputError(
        f"no way was found to have {count} of {total} tetrahedra aluminium without an Al-O-Al bridge (Loewenstein's "
        "rule): ask for fewer, or take a supercell"
    )


def loewenstein_fault(structure: Structure) -> str | None:
    """An oxygen between two aluminiums, or None; the framework may hold Si, Al and O beside cations."""
    silica = as_silica(structure)
    framework = bonded_framework(silica) if len(silica) else None
    if framework is None:
        return None
    tetrahedra = [site for site in structure if site.specie.Z in (SILICON, ALUMINIUM)]
    aluminium = np.array([site.specie.Z == ALUMINIUM for site in tetrahedra])
    both = aluminium[framework.silicon].all(1)
    return f"O {int(np.flatnonzero(both)[0])} bridges two Al" if both.any() else None


def neutrality_fault(structure: Structure) -> str | None:
    """The formal charge of a cell of Si4+, Al3+, O2- and the cations of `CATIONS`, if it is not zero."""
    charges = {"Si": 4, "Al": 3, "O": -2, **{symbol: charge for symbol, (charge, _) in CATIONS.items()}}
    unknown = sorted({site.specie.symbol for site in structure} - set(charges))
    if unknown:
        return f"no formal charge is known for {', '.join(unknown)}"
    total = sum(charges[site.specie.symbol] for site in structure)
    return f"formal charges add up to {total:+d} e" if total else None


def _aluminium_count(total: int, ratio: float | None, aluminium: int | None) -> int:
    if (ratio is None) == (aluminium is None):
        raise InputError("give either silicon_per_aluminium or aluminium, not both and not neither")
    if aluminium is None:
        assert ratio is not None
        if not ratio >= 1:
            raise InputError(f"silicon_per_aluminium = {ratio} is below 1: Loewenstein's rule allows no less")
        aluminium = round(total / (1 + ratio))
        if aluminium == 0:
            raise InputError(f"Si/Al = {ratio} asks for less than one Al among {total} tetrahedra: take a supercell")
    if not 1 <= aluminium <= total // 2:
        raise InputError(f"aluminium = {aluminium} is outside 1 to {total // 2}: Loewenstein allows half of {total}")
    return aluminium


def _painted(host: Structure, cation: str, count: int, seed: int) -> np.ndarray:
    """[count, 3] fractional coordinates, from the crystal generator completing the cell around the framework."""
    from gen.generator import Generator

    generator = Generator.from_pretrained("crystals")
    largest = max(generator.model.atom_counts)
    size = len(host) + count
    if size > largest:
        raise InputError(
            f"{size} atoms are beyond the {largest} the crystal generator knows: use method='electrostatic'"
        )
    composition: dict[str, Any] = {element.symbol: int(n) for element, n in host.composition.items()}
    (made,) = generator.generate(
        1,
        seed=seed,
        conditions={"composition": {**composition, cation: count}, "num_atoms": size},
        fixed=host,
        resample=3,
    )
    points = np.array([site.frac_coords for site in made[len(host) :]])
    contact = CATIONS[cation][1]
    oxygens = np.array([site.frac_coords for site in host if site.specie.Z == OXYGEN])
    closest = float(nearest(points, oxygens, host.lattice.matrix).min())
    if closest < 0.85 * contact:
        raise InputError(
            f"the crystal generator put {cation} {closest:.2f} Å from an O, below {0.85 * contact:.2f} Å: "
            "try another seed, or method='electrostatic'"
        )
    return points


def as_silica(structure: Structure) -> Structure:
    """The framework alone with all tetrahedra silicon."""
    sites = [site for site in structure if site.specie.Z in (SILICON, ALUMINIUM, OXYGEN)]
    species = [Element("Si") if site.specie.Z == ALUMINIUM else site.specie for site in sites]
    return Structure(structure.lattice, species, [site.frac_coords for site in sites])
