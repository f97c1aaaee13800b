"""New silica frameworks: silicon sites from the diffusion model, linked to a net, and relaxed with oxygen on the links.

A size and a space group are drawn as the training cells have them, and sites a few times under both
(`gen.zeolites.sites`). The likeliest four-connected nets through all those sites (`gen.zeolites.links`) become silica,
which distance least squares relax, cell and all (`gen.zeolites.geometry`). The least strained that passes the tests is
the sample; where none does, the sample is lost, with a reason.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.reference import Reference
from gen.zeolites.bonding import bonded_framework
from gen.zeolites.framework import Framework
from gen.zeolites.geometry import Relaxed, relax_geometry
from gen.zeolites.links import Links, linked
from gen.zeolites.sites import Maker, SilicaSites, draw_sites
from gen.zeolites.topology import double_edges, parts_and_dimension
from potentials.errors import GeometryError

MAX_STRAIN = 0.5  # eV per silicon that the least squares may leave; quartz has 0.01, coesite's net 0.3
SYMMETRIC = 0.7  # share of samples generated in a space group
DRAWS = 4  # sets of sites a sample is chosen from
NETS = 8  # relaxed a sample, of those through all its sites
PROGRAMMES = 16  # solved a sample to find them


@dataclass(frozen=True)
class SilicaSample:
    """One generated framework, or why there is none."""

    index: int
    sites: SilicaSites | None  # of the framework, or those with the likeliest net; None where no cell was usable
    framework: Framework | None  # linked and relaxed
    fault: str | None  # why there is no framework
    cost: float | None = None  # of the net through the sites as they were drawn, for each silicon
    strain: float | None = None  # eV per silicon left by the least squares
    moved: float | None = None  # Å, root mean square displacement of the silicons, beyond what the cell did
    attempts: int = 1  # samples drawn until there was a framework


@dataclass(frozen=True)
class _Proposal:
    """A net through one of the sets of sites of a sample."""

    sites: SilicaSites
    links: Links


def generate_silica(
    model: CrystalModel,
    reference: Reference,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    config: SamplingConfig | None = None,
    *,
    symmetric: float = SYMMETRIC,
    draws: int = DRAWS,
    attempts: int = 1,
    make: Maker | None = None,
) -> list[SilicaSample]:
    """Generate one framework for each index, in order.

    Sample i depends on (seed, i), the conditions and the settings alone.

    Args:
        reference: fingerprints of the training cells, from which sizes and space groups are drawn.
        conditions: `num_atoms` (of SiO2) or `space_group` where they are wanted.
        config: sampler settings.
        symmetric: share of samples that are generated in a space group, exactly.
        draws: sets of sites drawn for a sample, all under its size and space group.
        attempts: samples without a framework are drawn again until so many were drawn; the last one's reason is kept.
        make: where sites come from; the model by default, and `gen.zeolites.sites.random_sites` for comparison.

    Raises:
        InputError: conditions the model cannot meet.
    """
    config = config or SamplingConfig()
    done: dict[int, SilicaSample] = {}
    waiting = list(indices)
    for attempt in range(attempts):
        own = _seed_of(seed, attempt)
        places = [(index, draw) for index in waiting for draw in range(draws)]
        drawn = draw_sites(model, reference, places, own, conditions or {}, config, symmetric, make)
        samples = silica_samples({index: [drawn[index, draw] for draw in range(draws)] for index in waiting})
        done |= {sample.index: dataclasses.replace(sample, attempts=attempt + 1) for sample in samples}
        waiting = [sample.index for sample in samples if sample.framework is None]
        if not waiting:
            break
    return [done[index] for index in indices]


def _seed_of(seed: int, attempt: int) -> int:
    """The seed itself, and others for later attempts."""
    if attempt == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {attempt}".encode()).digest()[:6], "big")


def silica_samples(drawn: Mapping[int, Sequence[SilicaSites | None]]) -> list[SilicaSample]:
    """Link, relax and test; for each index the least strained framework that passes, in the order of the mapping.

    Args:
        drawn: sets of sites of each sample; None for one that was too broken.
    """
    proposals = {index: _proposals(index, [s for s in sets if s is not None]) for index, sets in drawn.items()}
    flat = [(index, proposal) for index, found in proposals.items() for proposal in found]
    relaxed = relax_geometry([p.links.framework(p.sites.lattice, p.sites.frac) for _, p in flat])
    outcomes: dict[int, list[tuple[_Proposal, Relaxed, str | None]]] = collections.defaultdict(list)
    for (index, proposal), result in zip(flat, relaxed, strict=True):
        outcomes[index].append((proposal, result, geometry_fault(result)))
    return [_sample(index, sets, outcomes[index]) for index, sets in drawn.items()]


def _proposals(index: int, sets: Sequence[SilicaSites]) -> list[_Proposal]:
    """The likeliest nets through any of the sets, cheapest first."""
    rounds = max(1, PROGRAMMES // max(1, len(sets)))
    found = []
    for draw, sites in enumerate(sets):
        nets = linked(sites.lattice, sites.frac, count=NETS, seed=1000 * index + draw, rounds=rounds)
        for links in nets:
            if net_fault(links.framework(sites.lattice, sites.frac)) is None:
                found.append(_Proposal(sites, links))
    return sorted(found, key=lambda proposal: proposal.links.cost)[:NETS]


def _sample(
    index: int, sets: Sequence[SilicaSites | None], outcomes: Sequence[tuple[_Proposal, Relaxed, str | None]]
) -> SilicaSample:
    usable = [sites for sites in sets if sites is not None]
    if not usable:
        return SilicaSample(index, None, None, "the generator made no usable cell")
    if not outcomes:
        return SilicaSample(index, usable[0], None, "no net gives every Si four neighbours in one framework")
    passed = [outcome for outcome in outcomes if outcome[2] is None]
    proposal, result, fault = min(passed or outcomes, key=lambda outcome: outcome[1].strain)
    cost, moved = proposal.links.cost, _displacement(proposal.sites, result.framework)
    framework = None if fault else result.framework.folded()
    return SilicaSample(index, proposal.sites, framework, fault, cost, result.strain, moved)


def net_fault(framework: Framework) -> str | None:
    """Why a net is no zeolite's: tetrahedra that share an edge, more than one part, or no three dimensions."""
    pairs, cells = framework.edges()
    if doubled := double_edges(pairs, cells):
        return f"{doubled} pairs of tetrahedra share an edge"
    loops = (pairs[:, 0] == pairs[:, 1]) & (cells == 0).all(1)
    if loops.any():
        return "an oxygen is bonded twice to one silicon"
    parts, dimension = parts_and_dimension(pairs, cells, framework.n_silicon)
    if dimension < 3:
        return f"its bonds run on in {dimension} dimensions, below 3"
    if parts > 1:
        return f"it falls into {parts} frameworks that no bond joins"
    return None


def geometry_fault(result: Relaxed) -> str | None:
    """Why a relaxed framework is no silica: strained, or its distances show other bonds than it was given."""
    if not result.strain <= MAX_STRAIN:
        return f"strained: {result.strain:.2f} eV per silicon, above {MAX_STRAIN}"
    folded = result.framework.folded()
    try:
        seen = bonded_framework(folded.to_structure())
    except GeometryError as error:
        return str(error)
    return None if seen.same_bonds(folded) else "its distances show other bonds than it was given"


def _displacement(sites: SilicaSites, framework: Framework) -> float:
    """Root mean square displacement of the silicons in Å, beyond what the cell did and a common shift."""
    moved = framework.frac[: framework.n_silicon] - sites.frac
    moved -= np.rint(moved)
    moved -= moved.mean(0)
    return float(np.sqrt(((moved @ framework.lattice) ** 2).sum(1).mean()))
