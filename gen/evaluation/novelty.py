"""Uniqueness among generated crystals and novelty against the training set, both bucketed by reduced formula."""

import collections
from collections.abc import Sequence

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from gen.evaluation.reference import Reference

MATCHER = "StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5) within a reduced formula"
VOLUME_TOLERANCE = 0.10  # relative; lattice vectors within ltol = 0.2 rarely differ by more once scaled


def unique_flags(structures: Sequence[Structure]) -> list[bool]:
    """Whether each structure matches none that came before it."""
    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5)
    kept: dict[str, list[Structure]] = collections.defaultdict(list)
    flags = []
    for structure in structures:
        bucket = kept[structure.composition.reduced_formula]
        is_new = not any(matcher.fit(structure, other) for other in bucket)
        if is_new:
            bucket.append(structure)
        flags.append(is_new)
    return flags


def novel_flags(structures: Sequence[Structure], reference: Reference) -> list[bool]:
    """Whether no training crystal shares a structure's reduced formula with a volume per atom within 10 %.

    The fingerprint holds no coordinates, so another polymorph of like volume counts as known: the figure is a
    lower bound of what a structure matcher would call novel.
    """
    flags = []
    for structure in structures:
        volume = structure.volume / len(structure)
        known = reference.training.get(structure.composition.reduced_formula, [])
        flags.append(all(abs(volume / seen.volume_per_atom - 1) > VOLUME_TOLERANCE for seen in known))
    return flags


def novel_flags_by_matching(structures: Sequence[Structure], training: Sequence[Structure]) -> list[bool]:
    """Whether each structure matches no training structure of its reduced formula."""
    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5)
    known: dict[str, list[Structure]] = collections.defaultdict(list)
    for structure in training:
        known[structure.composition.reduced_formula].append(structure)
    return [
        not any(matcher.fit(structure, other) for other in known[structure.composition.reduced_formula])
        for structure in structures
    ]
