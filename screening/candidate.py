"""One row of a campaign: a structure, where it came from, and what was measured on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymatgen.core import Structure

from potentials.files import sha256_json


@dataclass(frozen=True)
class Property:
    """A measured number; the name carries the conditions (`co2_uptake_0.15bar_298K`)."""

    name: str
    value: float | None  # None: could not be measured; `note` says why
    unit: str  # "" for a pure number; flags are 0.0 or 1.0 with unit "bool"
    std: float | None = None  # one standard error, same unit
    method: str = ""  # protocol: model, force field, cut-off, cycles
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """A structure and its provenance; everything measured on it lives in the store under `id`."""

    id: str  # content hash of the structure as proposed; stays when atoms are later moved
    index: int  # place in the proposal order
    structure: Structure  # current geometry
    provenance: Mapping[str, Any]  # proposer, model hash, seed, index, conditions, parent; JSON-able
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluator found for one candidate."""

    properties: tuple[Property, ...] = ()
    rejected: str | None = None  # the reason, when the candidate leaves the funnel here
    structure: Structure | None = None  # new geometry, when the evaluator moved atoms


def content_id(structure: Structure) -> str:
    """First 16 hex digits of a hash over species, lattice (1e-4 Å) and fractional coordinates (1e-4).

    Two byte-identical proposals share an id; symmetry-equivalent ones need not (uniqueness is an evaluator).
    """
    # + 0.0 turns -0.0 into 0.0, which would otherwise hash differently
    lattice = (structure.lattice.matrix.round(4) + 0.0).tolist()
    sites = sorted(
        [str(site.species_string), *(((site.frac_coords % 1.0).round(4) % 1.0) + 0.0).tolist()]
        for site in structure
    )
    return sha256_json([lattice, sites])[:16]
