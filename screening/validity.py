"""Is a structure one that can exist and be simulated? Named tests with stated limits, one sentence for each failure.

For crystals: the geometry gate, overlaps, density. For frameworks also what the field's checkers test (e.g.
MOFChecker, Jin et al., Digital Discovery 2025): coordination of C, N, O and H, floating molecules, and bonds
that run on in three dimensions. Limits and implementation are our own.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pydantic
from pymatgen.core import Composition, Element, Structure

from potentials.config import Config
from potentials.gate import geometry_fault
from screening.bonds import BondGraph, Component, bond_graph, components, is_metal, neighbour_counts
from screening.candidate import Candidate, Evaluation, Property
from screening.charge_balance import charge_balance

# Nonmetal neighbours an atom can have at most; bonds to metals are not counted, since a carboxylate carbon
# lies within bonding distance of large cations. Boron cages share hydrogens and carbons.
MAX_NEIGHBOURS = {"H": 1, "C": 4, "N": 4, "O": 2}
NONMETAL_BOND = 1.2  # times the covalent radii, for coordination: C-C 1.82 Å, C-H 1.28 Å


class ValiditySettings(Config):
    """Limits of the validity tests."""

    kind: Literal["framework", "crystal"] = "framework"
    min_distance_ratio: float = pydantic.Field(default=0.75, gt=0, lt=1)  # of the sum of covalent radii
    min_dimension: int = pydantic.Field(default=3, ge=0, le=3)  # frameworks: in which bonds run on for ever
    # frameworks whose metals cannot balance the formal charge of the ligands (`screening.charge_balance`)
    unbalanced: Literal["report", "reject"] = "report"
    min_density: float = pydantic.Field(default=0.1, ge=0)  # g/cm^3; the lightest known MOF has 0.12
    max_density: float = pydantic.Field(default=25.0, gt=0)  # g/cm^3; osmium has 22.6


def evaluate_validity(candidate: Candidate, settings: ValiditySettings, seed: int) -> Evaluation:
    """Run every test; the first that fails gives the reason for rejection.

    Properties: `valid` (bool), `density_g_cm3`, `min_distance_ratio`, `has_metal` (bool) and, for frameworks,
    `framework_dimension` (0-3, of the largest bonded part), `framework_nets` (interpenetrating parts),
    `charge_balanced` (bool) and `mean_oxidation_state` (that the metals would need).
    Nothing is random; `seed` is not used.
    """
    structure = candidate.structure
    method = f"sorbus {settings.kind} tests, covalent radii of Cordero 2008"
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        return Evaluation((Property("valid", 0.0, "bool", method=method, note=fault),), rejected=fault)
    graph = bond_graph(structure)
    parts = components(graph)
    balance = charge_balance(graph) if settings.kind == "framework" else None
    reason = next((fault for test in _tests(settings) if (fault := test(structure, graph, parts))), None)
    if reason is None and balance is not None and settings.unbalanced == "reject":
        reason = balance.fault
    ratio = float(graph.ratios.min()) if len(graph.ratios) else None
    properties = [
        Property("valid", float(reason is None), "bool", method=method, note=reason or ""),
        Property("density_g_cm3", float(structure.density), "g/cm^3"),
        Property("min_distance_ratio", ratio, "", method="shortest bond over the sum of covalent radii (Cordero 2008)"),
        Property("has_metal", float(is_metal(graph.numbers).any()), "bool"),
    ]
    if balance is not None:
        nets = sum(part.dimension == 3 for part in parts)
        rule = "rank of the lattice translations its bonds close on, bonded within 1.25 covalent radii"
        properties.append(Property("framework_dimension", float(max(p.dimension for p in parts)), "", method=rule))
        properties.append(Property("framework_nets", float(nets), "", method=rule))
        counted = "unpaired valences of nonmetals as charges, metals in known oxidation states"
        properties.append(
            Property("charge_balanced", float(balance.balanced), "bool", method=counted, note=balance.fault or "")
        )
        properties.append(Property("mean_oxidation_state", balance.mean_oxidation_state, "", method=counted))
    return Evaluation(tuple(properties), rejected=reason)


_Test = Callable[[Structure, BondGraph, list[Component]], str | None]


def _tests(settings: ValiditySettings) -> list[_Test]:
    tests: list[_Test] = [
        lambda structure, graph, parts: overlap_fault(graph, settings.min_distance_ratio),
        lambda structure, graph, parts: density_fault(structure, settings.min_density, settings.max_density),
    ]
    if settings.kind == "framework":
        tests += [
            lambda structure, graph, parts: coordination_fault(graph),
            lambda structure, graph, parts: floating_fault(graph, parts),
            lambda structure, graph, parts: dimension_fault(parts, settings.min_dimension),
        ]
    return tests


def overlap_fault(graph: BondGraph, limit: float) -> str | None:
    """Two atoms closer than `limit` times the sum of their covalent radii."""
    if len(graph.ratios) == 0 or graph.ratios.min() >= limit:
        return None
    worst = int(graph.ratios.argmin())
    i, j = graph.pairs[worst].tolist()
    return (
        f"{_atom(graph, i)} and {_atom(graph, j)} overlap: {graph.distances[worst]:.2f} Å is "
        f"{graph.ratios[worst]:.2f} of their covalent radii, below {limit}"
    )


def density_fault(structure: Structure, low: float, high: float) -> str | None:
    """A density outside `low` to `high` g/cm^3."""
    density = float(structure.density)
    if low <= density <= high:
        return None
    return f"density {density:.3g} g/cm^3 is outside {low:g}-{high:g} g/cm^3"


def coordination_fault(graph: BondGraph) -> str | None:
    """C, N, O or H with more nonmetal neighbours than chemistry allows, or a dangling carbon."""
    short = BondGraph(graph.numbers, *(part[graph.ratios < NONMETAL_BOND] for part in _columns(graph)))
    metal = is_metal(graph.numbers)
    counts = neighbour_counts(short, ~metal)
    boron = neighbour_counts(short, graph.numbers == 5)
    for symbol, limit in MAX_NEIGHBOURS.items():
        crowded = np.flatnonzero((graph.numbers == Element(symbol).Z) & (counts > limit) & (boron == 0))
        if len(crowded):
            atom = int(crowded[0])
            return f"{_atom(graph, atom)} has {counts[atom]} nonmetal neighbours, above {limit}"
    bonded = counts + neighbour_counts(graph, metal)
    dangling = np.flatnonzero((graph.numbers == 6) & (bonded < 2))
    if len(dangling):
        atom = int(dangling[0])
        return f"{_atom(graph, atom)} has {bonded[atom]} neighbours, below 2"
    return None


def floating_fault(graph: BondGraph, parts: list[Component]) -> str | None:
    """A molecule or lone atom that no bond ties to the framework."""
    loose = [part for part in parts if part.dimension == 0]
    if not loose or len(loose) == len(parts):  # a molecular crystal fails on its dimension, which says more
        return None
    formula = Composition.from_dict(_count(graph, loose[0])).formula.replace(" ", "")
    plural = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
    return f"{formula} at {_atom(graph, loose[0].atoms[0])} floats free of the framework{plural}"


def dimension_fault(parts: list[Component], limit: int) -> str | None:
    """No part whose bonds run on in at least `limit` dimensions."""
    best = max(part.dimension for part in parts)
    if best >= limit:
        return None
    kinds = ("molecules", "chains", "layers", "a framework")
    return f"bonds run on in {best} dimensions ({kinds[best]}), below {limit}"


def _atom(graph: BondGraph, index: int) -> str:
    return f"{Element.from_Z(int(graph.numbers[index])).symbol} (atom {index})"


def _columns(graph: BondGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return graph.pairs, graph.images, graph.distances, graph.ratios


def _count(graph: BondGraph, part: Component) -> dict[str, int]:
    symbols, counts = np.unique(graph.numbers[list(part.atoms)], return_counts=True)
    return {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(symbols, counts, strict=True)}
