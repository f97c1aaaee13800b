"""One row of a campaign: a structure, where it came from, and what was measured on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
    fidelity: Literal["computed", "measured"] = "computed"  # a measurement stands above anything computed


@dataclass(frozen=True)
class Measurement:
    """What a laboratory found for a candidate, as it was entered."""

    source: str  # DOI, or the file
    material: str  # as the source names it
    data: Mapping[str, Any]  # JSON-able: an isotherm or a single figure, see `screening.experiments.record`
    added: str = ""  # ISO 8601, UTC


@dataclass(frozen=True)
class Candidate:
    """A structure and its provenance; everything measured on it lives in the store under `id`."""

    id: str  # content hash of the structure as proposed; stays when atoms are later moved
    index: int  # place in the proposal order
    structure: Structure  # current geometry
    provenance: Mapping[str, Any]  # proposer, model hash, seed, index, conditions, parent; JSON-able
    properties: Mapping[str, Property] = field(default_factory=dict)  # the best known: measured where both exist
    superseded: Mapping[str, Property] = field(default_factory=dict)  # computed figures a measurement stands before
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What one evaluator found for one candidate."""

    properties: tuple[Property, ...] = ()
    rejected: str | None = None  # the reason, when the candidate leaves the funnel here
    structure: Structure | None = None  # new geometry, when the evaluator moved atoms


@dataclass(frozen=True)
class Row:
    """A candidate as the store holds it: what was measured and, if it left the funnel, where and why.

    `state` is one of `active` (still in the funnel, or through it), `rejected` (an evaluator or a filter
    said no), `not selected` (a stage keeps only its best n), `failed` (an evaluator broke or its worker
    died on it), `unbuilt` (the proposer could not make a structure; `candidate` is None).
    """

    index: int
    state: str
    candidate: Candidate | None
    stage: str | None = None  # where it was lost
    reason: str | None = None  # why
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedSet:
    """What became of one proposer's proposals up to a stage."""

    proposer: str
    proposed: int
    left: Mapping[str, int]  # candidates still in the funnel after each stage; "built" first
    values: tuple[float, ...]  # of the compared property, of all the last stage measured


@dataclass(frozen=True)
class Comparison:
    """A campaign's proposer beside a baseline, both through the same stages."""

    through: str  # last stage
    property: str
    unit: str
    order: str  # "max" or "min" is best
    own: ComparedSet
    baseline: ComparedSet
    finished: bool  # whether both are through the last stage


@dataclass(frozen=True)
class Snapshot:
    """Everything a ranking or a report needs from a store, read once; no connection stays open."""

    name: str
    question: str
    config: Mapping[str, Any]  # the resolved campaign configuration
    config_hash: str
    versions: Mapping[str, str]  # sorbus, python, torch, raspalib, ... that produced the numbers
    stages: tuple[str, ...]  # in the order they ran; the first is "proposed"
    rows: tuple[Row, ...]  # by index
    wall_seconds: Mapping[str, float] = field(default_factory=dict)  # per stage, summed over candidates
    comparison: "Comparison | None" = None  # with the proposals of a baseline, where the campaign has one


def content_id(structure: Structure) -> str:
    """First 16 hex digits of a hash over species, lattice (1e-4 Å) and fractional coordinates (1e-4).

    Two byte-identical proposals share an id; symmetry-equivalent ones need not (uniqueness is an evaluator).
    """
    # + 0.0 turns -0.0 into 0.0, which would otherwise hash differently
    lattice = (structure.lattice.matrix.round(4) + 0.0).tolist()
    sites = sorted(
        [str(site.species_string), *(((site.frac_coords % 1.0).round(4) % 1.0) + 0.0).tolist()] for site in structure
    )
    return sha256_json([lattice, sites])[:16]
