"""Which samples are new against the training set and different from each other, by net and blocks and by structure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from benchmarks.sorbents_samples import Sample
from gen.sorbents.assembly import AssemblyError, assemble
from gen.sorbents.beads import DIRECT, BeadRow, read_bead_rows
from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import load_block
from gen.sorbents.recipe import Recipe
from screening.matching import formula_of_counts, same_geometry


@dataclass(frozen=True)
class Known:
    """A training set to compare with."""

    contents: frozenset[tuple[str, tuple[str, ...]]]  # net, sorted blocks
    keys: dict[str, tuple[str, ...]]  # reduced formula -> recipes that have it
    rows: int


def read_known(path: Path) -> Known:
    """Contents and formulas of the rows a generator has seen (train and validation)."""
    contents, keys, rows = set(), dict[str, list[str]](), 0
    for row in read_bead_rows(path):
        if row.split == "held":
            continue
        rows += 1
        contents.add((row.net, tuple(sorted(row.beads.blocks))))
        keys.setdefault(_formula(row), []).append(row.key)
    return Known(frozenset(contents), {formula: tuple(names) for formula, names in keys.items()}, rows)


def novel_samples(samples: Sequence[Sample], known: Known) -> tuple[list[bool], list[bool]]:
    """Whether each valid sample is new by net and blocks, and by structure.

    By structure: no training framework of the same reduced formula, assembled anew, is matched by pymatgen's
    `StructureMatcher` (tolerances of `screening.matching`).
    """
    by_content, by_structure = [], []
    built: dict[str, Structure | None] = {}
    for sample in samples:
        by_content.append((sample.net, sample.blocks) not in known.contents)
        twins = (_built(key, built) for key in known.keys.get(sample.formula, ()))
        assert sample.structure is not None
        by_structure.append(not any(twin is not None and same_geometry(sample.structure, twin) for twin in twins))
    return by_content, by_structure


def unique_samples(samples: Sequence[Sample]) -> list[bool]:
    """Whether no earlier sample has the same structure: formula, bonded network, then `StructureMatcher`."""
    kept: dict[tuple[str, str], list[Structure]] = {}
    flags = []
    for sample in samples:
        assert sample.structure is not None
        bucket = kept.setdefault((sample.formula, sample.network), [])
        same = any(same_geometry(sample.structure, other) for other in bucket)
        flags.append(not same)
        if not same:
            bucket.append(sample.structure)
    return flags


def _formula(row: BeadRow) -> str:
    counts: Counter[str] = Counter()
    for name in row.beads.blocks:
        if name != DIRECT:
            symbols = load_block(name).atoms.get_chemical_symbols()
            counts.update(symbol for symbol in symbols if symbol != "X")
    return formula_of_counts(counts)


def _built(key: str, built: dict[str, Structure | None]) -> Structure | None:
    if key not in built:
        net, nodes, edges = key.split(":")
        linkers = tuple(None if name == DIRECT else name for name in edges.split("+"))
        try:
            built[key] = assemble(Recipe(net, tuple(nodes.split("+")), linkers), load_catalog()).structure
        except AssemblyError:  # it was built once; another version of the assembler may refuse it
            built[key] = None
    return built[key]
