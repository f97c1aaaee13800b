"""Stability through the digital twin: relax with a potential, then ask how far above its own hull a crystal lies.

Rates are over every crystal handed in, those that are invalid, fail to relax or have no hull included, so that nothing
can be gained by leaving some out. Figures of one hull, potential and protocol cannot be compared with those of others:
published rates of the same generator differ tenfold.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field
from pymatgen.core import Structure
from scipy.stats import spearmanr

from gen.crystals.rattle import rattled
from gen.evaluation.hull import CREDIBLE, METASTABLE, HullTable, describe, energy_above_hull
from gen.evaluation.metric import Metric
from gen.evaluation.novelty import MATCHER, unique_flags
from potentials.config import Config
from potentials.errors import InputError
from potentials.potential import Potential, load_potential
from potentials.relaxation import Relaxed, relax

UPHILL = 1e-3  # eV/atom; a relaxation that ends higher than this above its start has failed


class TwinConfig(Config):
    """How crystals are relaxed before they are judged."""

    potential: str | dict[str, Any] = "chgnet-fast"  # the hull's own
    fmax: float = Field(default=0.05, gt=0)  # eV/Å
    smax: float = Field(default=2e-3, gt=0)  # eV/Å^3; 0.3 GPa moves an energy by less than 1 meV/atom
    max_steps: int = Field(default=150, ge=1)
    rattle: float = Field(default=0.05, ge=0)  # Å, displacements before relaxing: off the saddles of a symmetry
    chunk: int = Field(default=64, ge=1)  # crystals between two checkpoints

    def describe(self) -> str:
        """One phrase for protocols."""
        first = f"rattled by {self.rattle} Å, " if self.rattle else ""
        return (
            f"{first}relaxed with {self.potential if isinstance(self.potential, str) else self.potential.get('model')} "
            f"(L-BFGS, variable cell, fmax {self.fmax} eV/Å, smax {self.smax} eV/Å^3, at most {self.max_steps} steps)"
        )


@dataclass(frozen=True)
class Verdict:
    """What the twin says of one crystal."""

    structure: Structure  # relaxed; as given where relaxation failed
    energy: float | None  # eV/atom after relaxation
    above_hull: float | None  # eV/atom; None without an energy or a hull
    decomposition: tuple[str, ...]
    rmsd: float | None  # Å, between the crystal as given and relaxed
    volume_change: float | None  # relative
    steps: int
    converged: bool
    failure: str | None  # why there is no energy, or no hull

    @property
    def metastable(self) -> bool:
        """Within 0.1 eV/atom of the hull; what lies incredibly far below it is not."""
        return self.above_hull is not None and CREDIBLE <= self.above_hull <= METASTABLE


def judge(
    structures: Sequence[Structure],
    table: HullTable,
    config: TwinConfig | None = None,
    *,
    potential: Potential | None = None,
    progress: bool = False,
    on_chunk: Callable[[int, list[Verdict]], None] | None = None,
) -> list[Verdict]:
    """Relax crystals and place them above the hull.

    Args:
        table: reference energies of the same potential.
        potential: the model of `config.potential`, if it is loaded already.
        on_chunk: called with (position of the first, verdicts) after every `config.chunk` crystals.

    Raises:
        InputError: the table is of another potential.
    """
    config = config or TwinConfig()
    if isinstance(config.potential, str) and config.potential != table.potential:
        raise InputError(
            f"the hull's energies are by {table.potential}, the crystals' by {config.potential}: "
            f"they cannot be compared, use {table.potential}"
        )
    model = potential or load_potential(config.potential)
    verdicts: list[Verdict] = []
    for start in range(0, len(structures), config.chunk):
        chunk = structures[start : start + config.chunk]
        relaxed = relax(
            [rattled(structure, config.rattle) for structure in chunk] if config.rattle else chunk,
            model,
            fmax=config.fmax,
            smax=config.smax,
            max_steps=config.max_steps,
            optimizer="lbfgs",
            progress=progress,
        )
        found = [_verdict(before, after, table) for before, after in zip(chunk, relaxed, strict=True)]
        if on_chunk is not None:
            on_chunk(start, found)
        verdicts += found
    return verdicts


def _verdict(before: Structure, after: Relaxed, table: HullTable) -> Verdict:
    if after.failure is not None or after.energy is None:
        reason = after.failure or "no energy"
        return Verdict(before, None, None, (), None, None, after.steps, False, reason)
    if after.initial_energy is not None and after.energy > after.initial_energy + UPHILL * len(before):
        # a step too long threw it into a worse basin: the crystal as given is the better answer (its energy is that
        # of the rattled one, a few meV/atom above its own)
        after = dataclasses.replace(
            after, structure=before, energy=after.initial_energy, converged=False, volume_change=0.0
        )
    assert after.energy is not None  # neither branch leaves it out
    energy = after.energy / len(before)
    above = energy_above_hull(before.composition, energy, table)
    return Verdict(
        structure=after.structure,
        energy=energy,
        above_hull=above.energy,
        decomposition=above.decomposition,
        rmsd=rmsd(before, after.structure),
        volume_change=after.volume_change,
        steps=after.steps,
        converged=after.converged,
        failure=above.reason,
    )


def placed(verdict: Verdict, table: HullTable) -> Verdict:
    """A relaxed crystal above another hull; its energy must be of that hull's potential."""
    if verdict.energy is None:
        return verdict
    above = energy_above_hull(verdict.structure.composition, verdict.energy, table)
    return dataclasses.replace(
        verdict, above_hull=above.energy, decomposition=above.decomposition, failure=above.reason
    )


def rmsd(before: Structure, after: Structure) -> float:
    """Root mean square displacement in Å of the atoms of a crystal, homogeneous strain and translation taken out.

    Fractional coordinates are compared (nearest image), atoms in the order they have, in the cell of `after`. The mean
    shift is removed iteratively, since images are chosen relative to it.
    """
    difference = after.frac_coords - before.frac_coords
    # atoms that moved together over an edge must not be torn apart: centre on the first, then on the mean
    difference = difference - difference[0]
    for _ in range(3):
        difference = difference - np.round(difference)
        difference = difference - difference.mean(axis=0)
    moved = difference @ after.lattice.matrix
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def msun_flags(verdicts: Sequence[Verdict], novel: Sequence[bool]) -> np.ndarray:
    """[M] metastable, unique among the relaxed crystals before it, and novel."""
    metastable = np.array([verdict.metastable for verdict in verdicts])
    unique = np.array(unique_flags([verdict.structure for verdict in verdicts]))
    return metastable & unique & np.array(novel)


def stability_metrics(
    verdicts: Sequence[Verdict], novel: Sequence[bool], table: HullTable, config: TwinConfig, novelty: str
) -> list[Metric]:
    """Shares of relaxed, metastable and metastable-unique-novel crystals, distances to the hull and to relaxed."""
    count = len(verdicts)
    how = f"{config.describe()}; {describe(table)}; n = {count}"
    above = np.array([v.above_hull for v in verdicts if v.above_hull is not None])
    moved = np.array([v.rmsd for v in verdicts if v.rmsd is not None])
    metastable = np.array([v.metastable for v in verdicts])
    stable = np.array([v.metastable and v.above_hull is not None and v.above_hull <= 0 for v in verdicts])
    artefact = np.array([v.above_hull is not None and v.above_hull < CREDIBLE for v in verdicts])
    converged = np.array([v.converged for v in verdicts])
    msun = msun_flags(verdicts, novel)
    of_all = "of all crystals handed in"
    within = f"{CREDIBLE} to {METASTABLE} eV/atom above the hull, {of_all}"
    unique = f"unique among the relaxed ({MATCHER}); novel: {novelty}"
    metrics = [
        Metric("relaxed", float(converged.mean()), "fraction", f"reached fmax and smax, {of_all}; {how}"),
        Metric("with_hull", len(above) / count, "fraction", f"relaxed energy and hull at hand, {of_all}; {how}"),
        Metric("metastable", float(metastable.mean()), "fraction", f"{within}; {how}"),
        Metric("msun", float(msun.mean()), "fraction", f"metastable ({within}), {unique}; {how}"),
        Metric("sun", float((msun & stable).mean()), "fraction", f"on or below the hull, {unique}; {how}"),
    ]
    lowest = f"below {CREDIBLE} eV/atom: a gap in the reference or in the potential, never counted as stable"
    metrics.append(Metric("not_credible", float(artefact.mean()), "fraction", f"{lowest}; {how}"))
    if len(above):
        protocol = f"median of {len(above)} crystals with a hull; {how}"
        metrics.append(Metric("energy_above_hull", float(np.median(above)), "eV/atom", protocol))
    if len(moved):
        protocol = f"median, atoms in order, nearest image, strain and mean shift removed; {how}"
        metrics.append(Metric("rmsd_to_relaxed", float(np.median(moved)), "Å", protocol))
    return metrics


def second_opinion(
    verdicts: Sequence[Verdict],
    table: HullTable,
    potential: Potential,
) -> list[Verdict]:
    """The same relaxed structures judged by another potential, at a single point, against its own hull.

    A crystal the second judge cannot evaluate, or has no hull for, counts as not metastable.
    """
    opinions = []
    relaxed = relax([v.structure for v in verdicts], potential, max_steps=0)
    for verdict, point in zip(verdicts, relaxed, strict=True):
        if verdict.energy is None or point.energy is None:
            reason = verdict.failure or point.failure or "no energy"
            opinions.append(dataclasses.replace(verdict, energy=None, above_hull=None, failure=reason))
            continue
        opinions.append(placed(dataclasses.replace(verdict, energy=point.energy / len(verdict.structure)), table))
    return opinions


def agreement_metrics(
    first: Sequence[Verdict], second: Sequence[Verdict], novel: Sequence[bool], table: HullTable
) -> list[Metric]:
    """How the second judge ranks the crystals, and what is left of the first one's finds.

    Over the crystals for which both have a hull: where the second lacks a reference it has no opinion.
    """
    both = [
        (a.above_hull, b.above_hull)
        for a, b in zip(first, second, strict=True)
        if a.above_hull is not None and b.above_hull is not None
    ]
    shared = np.array(
        [a.above_hull is not None and b.above_hull is not None for a, b in zip(first, second, strict=True)]
    )
    if not shared.any():
        return []
    how = (
        f"second judge {table.potential}: single points on the structures the first one relaxed, "
        f"{describe(table)}; of the {len(both)} of {len(first)} crystals with both hulls"
    )
    found, confirmed = msun_flags(first, novel) & shared, msun_flags(second, novel) & shared
    metrics = [
        Metric("msun_same", float(found.sum() / shared.sum()), "fraction", f"the first judge; {how}"),
        Metric("msun_second", float(confirmed.sum() / shared.sum()), "fraction", how),
    ]
    if found.any():
        share = float((found & confirmed).sum() / found.sum())
        metrics.append(Metric("msun_confirmed", share, "fraction", f"of the first judge's {found.sum()} finds; {how}"))
    if len(both) > 2:
        rank = float(spearmanr(*zip(*both, strict=True)).statistic)
        metrics.append(Metric("hull_rank_correlation", rank, "", f"Spearman, energy above hull; {how}"))
    return metrics
