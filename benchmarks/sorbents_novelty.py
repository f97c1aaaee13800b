"""Which samples are new against the training set and different from each other, by net and blocks and by structure."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from benchmarks.sorbents_samples import FOLDER, Sample, sorbent_code
from gen.sorbents.assembly import AssemblyError, assemble
from gen.sorbents.beads import DIRECT, BeadRow, read_bead_rows
from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import load_block
from gen.sorbents.recipe import Recipe
from potentials.files import sha256_json
from screening.matching import formula_of_counts, network_hash, same_geometry


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

    By structure: no training framework of the same reduced formula and bonded network, assembled anew, is matched by
    pymatgen's `StructureMatcher` (tolerances of `screening.matching`).
    """
    by_content, by_structure = [], []
    twins = _Twins()
    for sample in samples:
        by_content.append((sample.net, sample.blocks) not in known.contents)
        alike = [key for key in known.keys.get(sample.formula, ()) if twins.network(key) == sample.network]
        assert sample.structure is not None
        by_structure.append(not any(same_geometry(sample.structure, twins.structure(key)) for key in alike))
    return by_content, by_structure


class _Twins:
    """Training frameworks assembled anew; their bonded networks are kept on disk, for this version of the assembler."""

    def __init__(self) -> None:
        self.path = FOLDER / f"twins_{sha256_json(sorbent_code())[:10]}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        self.networks: dict[str, str] = dict(json.loads(line) for line in lines if line.endswith("]"))
        self.structures: dict[str, Structure] = {}

    def network(self, key: str) -> str:
        """Hash of the bonds of a framework; "" where it cannot be assembled."""
        if key not in self.networks:
            structure = _assembled(key)
            if structure is not None:
                self.structures[key] = structure
            self.networks[key] = "" if structure is None else network_hash(structure)
            with self.path.open("a") as stream:
                stream.write(json.dumps([key, self.networks[key]]) + "\n")
        return self.networks[key]

    def structure(self, key: str) -> Structure:
        """A framework that has a network."""
        if key not in self.structures:
            structure = _assembled(key)
            assert structure is not None
            self.structures[key] = structure
        return self.structures[key]


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


def _assembled(key: str) -> Structure | None:
    net, nodes, edges = key.split(":")
    linkers = tuple(None if name == DIRECT else name for name in edges.split("+"))
    try:
        return assemble(Recipe(net, tuple(nodes.split("+")), linkers), load_catalog()).structure
    except AssemblyError:  # it was built once; another version of the assembler may refuse it
        return None
