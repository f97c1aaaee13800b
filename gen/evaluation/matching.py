"""Structure prediction against known crystals: match rate at 1 and k, RMSE, gated by validity or not, METRe and cRMSE.

The protocol is DiffCSP's (Jiao et al. 2023): pymatgen's `StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)` of samples
against the crystal whose composition they were asked for; RMSE in units of (V/N)^(1/3), averaged over matched crystals,
the best of the k samples counting. There a sample counts only if it is valid (distances and SMACT), and at k = 1 the
reference must be valid too; that gate costs several points and moves with SMACT's table, so both figures are given.
METRe and cRMSE follow "All that structure matches does not glitter" (NeurIPS 2025): a reference is found if any sample
of the whole set matches it, and an unmatched one counts as an error of `stol`.
"""

import collections
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from gen.evaluation.composition import TABLE, is_smact_valid
from gen.evaluation.metric import Metric
from gen.evaluation.validity import is_structure_valid
from potentials.errors import InputError

STOL, ANGLE_TOL, LTOL = 0.5, 10.0, 0.3
PROTOCOL = f"StructureMatcher(stol={STOL}, angle_tol={ANGLE_TOL:g}, ltol={LTOL})"


@dataclass(frozen=True)
class Matches:
    """Distances of samples to their own references, and of references to any sample."""

    distances: np.ndarray  # [R, k] in (V/N)^(1/3); infinite where nothing matches
    valid: np.ndarray  # [R, k] samples that pass structural and SMACT validity
    reference_valid: np.ndarray  # [R]
    nearest: np.ndarray  # [R] smallest distance to a sample of equal composition in the whole set; infinite without

    def distance(self, k: int, *, gated: bool) -> np.ndarray:
        """[R] the best of the first k samples; infinite where none matches (or none that does is valid)."""
        best = np.where(self.valid[:, :k], self.distances[:, :k], np.inf) if gated else self.distances[:, :k]
        nearest = best.min(axis=1)
        if gated and k == 1:
            nearest = np.where(self.reference_valid, nearest, np.inf)
        return nearest

    def rate(self, k: int, *, gated: bool) -> float:
        """Share of references matched by one of their first k samples."""
        return float(np.isfinite(self.distance(k, gated=gated)).mean())

    def rmse(self, k: int, *, gated: bool) -> float | None:
        """Mean distance over matched references; None when none is."""
        distances = self.distance(k, gated=gated)
        matched = distances[np.isfinite(distances)]
        return float(matched.mean()) if len(matched) else None


def match_samples(samples: Sequence[Sequence[Structure | None]], references: Sequence[Structure]) -> Matches:
    """Match `samples[r]`, all of equal number, with `references[r]`; None stands for a sample that failed.

    Raises:
        InputError: another number of sample lists than references, or lists of unequal length.
    """
    if len(samples) != len(references):
        raise InputError(f"{len(samples)} lists of samples for {len(references)} references: give one list each")
    counts = {len(row) for row in samples}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"references have {sorted(counts)} samples: give each the same number, at least 1")
    matcher = StructureMatcher(stol=STOL, angle_tol=ANGLE_TOL, ltol=LTOL)
    distances = np.array(
        [
            [_distance(matcher, sample, reference) for sample in row]
            for row, reference in zip(samples, references, strict=True)
        ]
    )
    valid = np.array([[sample is not None and is_valid(sample) for sample in row] for row in samples])
    everything = collections.defaultdict(list)
    for row, own in enumerate(samples):
        for column, sample in enumerate(own):
            if sample is not None:
                everything[sample.composition.reduced_formula].append((row, column, sample))
    nearest = []
    for r, reference in enumerate(references):
        found = [
            distances[r, column] if row == r else _distance(matcher, sample, reference)
            for row, column, sample in everything[reference.composition.reduced_formula]
        ]
        nearest.append(min(found, default=np.inf))
    reference_valid = np.array([is_valid(reference) for reference in references])
    return Matches(distances, valid, reference_valid, np.array(nearest))


def match_metrics(matches: Matches, k: int | None = None) -> list[Metric]:
    """Match rate and RMSE at 1 and at `k` (by default all samples), ungated and gated; METRe and cRMSE."""
    total, width = matches.distances.shape
    k = width if k is None else k
    if not 1 <= k <= width:
        raise InputError(f"k = {k} is outside 1 to {width}, the samples of each reference: choose one of those")
    metrics = []
    for gated in (False, True):
        name = "gated" if gated else "ungated"
        gate = f"samples must be valid (structural, SMACT with {TABLE})" if gated else "no validity gate"
        for depth in sorted({1, k}):
            rule = gate + (", references too" if gated and depth == 1 else "")
            protocol = f"{PROTOCOL}; best of {depth} a reference; {rule}; n = {total}"
            metrics.append(Metric(f"match_rate_{depth}_{name}", matches.rate(depth, gated=gated), "fraction", protocol))
            rmse = matches.rmse(depth, gated=gated)
            if rmse is not None:
                metrics.append(Metric(f"rmse_{depth}_{name}", rmse, "(V/N)^(1/3)", f"{protocol}; matched pairs only"))
    rule = f"{PROTOCOL}; a reference against every sample of its reduced formula in the whole set; n = {total}"
    found = np.isfinite(matches.nearest)
    metrics.append(Metric("metre", float(found.mean()), "fraction", rule))
    corrected = float(np.where(found, matches.nearest, STOL).mean())
    metrics.append(Metric("crmse", corrected, "(V/N)^(1/3)", f"{rule}; unmatched references count {STOL}"))
    return metrics


def is_valid(structure: Structure) -> bool:
    """Structural and SMACT validity, the gate of the published match rates."""
    return is_structure_valid(structure) and is_smact_valid(structure.composition)


def _distance(matcher: StructureMatcher, sample: Structure | None, reference: Structure) -> float:
    if sample is None:
        return float("inf")
    found = matcher.get_rms_dist(sample, reference)
    return float("inf") if found is None else float(found[0])
