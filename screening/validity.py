"""Is a structure one that can exist and be simulated? Named tests with stated limits, one sentence for each failure.

For crystals: the geometry gate, overlaps, density. For frameworks also what the field's checkers test (e.g.
MOFChecker, Jin et al., Digital Discovery 2025): coordination of C, N, O, H and metals, floating molecules, and bonds
that run on in three dimensions. Limits and implementation are our own. `screening.structure_checks` gives every
test's outcome for one structure.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pydantic
from pymatgen.core import Composition, Element, Structure

from potentials.config import Config
from potentials.gate import geometry_fault
from screening.bonds import BondGraph, Component, bond_graph, components, is_metal
from screening.candidate import Candidate, Evaluation, Property
from screening.charge_balance import ChargeBalance, charge_balance
from screening.coordination import (
    OXO_METALS,
    Surroundings,
    atom_name,
    carbon_fault,
    crowded_fault,
    metal_fault,
    nitrogen_fault,
    oxygen_fault,
    surroundings,
)

# A metal-oxygen double bond is shorter than its covalent radii suggest: uranyl 1.76 Å is 0.67 of them, vanadyl
# 1.59 Å 0.73. Down to this ratio oxygen on a metal that forms such bonds is no overlap.
OXO_RATIO = 0.62


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
    analysis = analyse(structure)
    graph, parts = analysis.graph, analysis.parts
    faults = {test.name: fault for test in validity_tests(settings) if (fault := test.fault(analysis))}
    rejecting = [fault for name, fault in faults.items() if name != BALANCE or settings.unbalanced == "reject"]
    reason = rejecting[0] if rejecting else None
    balance = analysis.balance if settings.kind == "framework" else None
    ratio = float(graph.ratios.min()) if len(graph.ratios) else None
    properties = [
        Property("valid", float(reason is None), "bool", method=method, note="; ".join(rejecting)),
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


@dataclass(frozen=True)
class Analysis:
    """What the tests look at; the structure has passed the geometry gate."""

    structure: Structure
    graph: BondGraph
    parts: list[Component]

    @functools.cached_property
    def around(self) -> Surroundings:
        """Every atom's neighbour counts."""
        return surroundings(self.structure, self.graph)

    @functools.cached_property
    def balance(self) -> ChargeBalance:
        """Formal charges of the ligands against the metals."""
        return charge_balance(self.graph)


@dataclass(frozen=True)
class ValidityTest:
    """One named test."""

    name: str
    limit: str  # for people
    fault: Callable[[Analysis], str | None]  # a sentence when it fails


BALANCE = "charge balance"


def analyse(structure: Structure) -> Analysis:
    """Bonds and bonded parts of a structure that has passed the geometry gate."""
    graph = bond_graph(structure)
    return Analysis(structure, graph, components(graph))


def validity_tests(settings: ValiditySettings) -> tuple[ValidityTest, ...]:
    """The tests after the geometry gate, in the order in which a failure gives the reason."""
    low, high = settings.min_density, settings.max_density
    tests = [
        ValidityTest(
            "distances",
            f"every distance at least {settings.min_distance_ratio:g} of the covalent radii (M=O {OXO_RATIO:g})",
            lambda found: overlap_fault(found.graph, settings.min_distance_ratio),
        ),
        ValidityTest("density", f"{low:g} to {high:g} g/cm^3", lambda found: density_fault(found.structure, low, high)),
    ]
    if settings.kind == "framework":
        tests += [
            ValidityTest("coordination of H", "at most 1 nonmetal", lambda found: crowded_fault(found.around, "H")),
            ValidityTest(
                "coordination of C", "2 to 4 neighbours, two not bent", lambda found: carbon_fault(found.around)
            ),
            ValidityTest(
                "coordination of N",
                "at most 4 nonmetals; one neighbour only at a triple bond",
                lambda found: nitrogen_fault(found.around),
            ),
            ValidityTest(
                "coordination of O",
                "at most 2 nonmetals; alone on a metal only as its oxide",
                lambda found: oxygen_fault(found.around),
            ),
            ValidityTest(
                "coordination of metals", "2 to the largest number of Shannon", lambda found: metal_fault(found.around)
            ),
            ValidityTest(
                "floating part",
                "every atom bonded to the framework",
                lambda found: floating_fault(found.graph, found.parts),
            ),
            ValidityTest(
                "dimension",
                f"bonds run on in at least {settings.min_dimension} dimensions",
                lambda found: dimension_fault(found.parts, settings.min_dimension),
            ),
            ValidityTest(
                BALANCE, "metals in known oxidation states make it neutral", lambda found: found.balance.fault
            ),
        ]
    return tuple(tests)


def overlap_fault(graph: BondGraph, limit: float) -> str | None:
    """Two atoms closer than `limit` times the sum of their covalent radii; `OXO_RATIO` for a metal's terminal oxide."""
    limits = np.where(_oxo_bonds(graph), min(OXO_RATIO, limit), limit)
    if len(graph.ratios) == 0 or (graph.ratios >= limits).all():
        return None
    worst = int((graph.ratios / limits).argmin())
    i, j = graph.pairs[worst].tolist()
    return (
        f"{atom_name(graph, i)} and {atom_name(graph, j)} overlap: {graph.distances[worst]:.2f} Å is "
        f"{graph.ratios[worst]:.2f} of their covalent radii, below {limits[worst]:g}"
    )


def density_fault(structure: Structure, low: float, high: float) -> str | None:
    """A density outside `low` to `high` g/cm^3."""
    density = float(structure.density)
    if low <= density <= high:
        return None
    return f"density {density:.3g} g/cm^3 is outside {low:g}-{high:g} g/cm^3"


def floating_fault(graph: BondGraph, parts: list[Component]) -> str | None:
    """A molecule or lone atom that no bond ties to the framework."""
    loose = [part for part in parts if part.dimension == 0]
    if not loose or len(loose) == len(parts):  # a molecular crystal fails on its dimension, which says more
        return None
    formula = Composition.from_dict(_count(graph, loose[0])).formula.replace(" ", "")
    plural = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
    return f"{formula} at {atom_name(graph, loose[0].atoms[0])} floats free of the framework{plural}"


def dimension_fault(parts: list[Component], limit: int) -> str | None:
    """No part whose bonds run on in at least `limit` dimensions."""
    best = max(part.dimension for part in parts)
    if best >= limit:
        return None
    kinds = ("molecules", "chains", "layers", "a framework")
    return f"bonds run on in {best} dimensions ({kinds[best]}), below {limit}"


def _oxo_bonds(graph: BondGraph) -> np.ndarray:
    """Which bonds join oxygen to a metal that forms terminal oxides [B]."""
    oxo = np.isin(graph.numbers, [Element(symbol).Z for symbol in OXO_METALS])
    oxygen = graph.numbers == 8
    i, j = graph.pairs[:, 0], graph.pairs[:, 1]
    found: np.ndarray = (oxo[i] & oxygen[j]) | (oxo[j] & oxygen[i])
    return found


def _count(graph: BondGraph, part: Component) -> dict[str, int]:
    symbols, counts = np.unique(graph.numbers[list(part.atoms)], return_counts=True)
    return {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(symbols, counts, strict=True)}
