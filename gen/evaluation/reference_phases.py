"""The crystals a hull is built from, and the energies computed for them so far, one line of JSON each.

The pool is the generator's training data, and what its sources hold beyond it: cells of 21 to 80 atoms, and formulas
that training leaves out because they occur in a test split (without them the hull would lack SiO2 and TiO2). No row of
a test split is among them. All geometries were relaxed with DFT.

A working folder holds `points.jsonl` (single points of the pool), `relaxed.jsonl` (pool crystals relaxed),
`elements.jsonl` and `pairs.jsonl` (crystals of the elements and substituted compounds, with their relaxed geometry).
"""

import collections
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from pymatgen.core import Composition, Element

from gen.crystals.config import DataConfig
from gen.crystals.crystal_lines import from_line
from gen.crystals.dataset import MIN_DISTANCE, CrystalDataset, load_dataset, minimum_distance, reduce_crystal
from gen.crystals.sources import read_formulas, read_source
from potentials.atom_graph import AtomGraph, graph_from, make_graph

MADE = ("elements", "pairs")  # files of crystals that are not of the pool
LARGEST = 80  # atoms in a published cell; beyond it a single point is dear and the phase seldom asked for


def pool(data: CrystalDataset) -> Iterator[tuple[str, str, AtomGraph]]:
    """(key, reduced formula, graph) of every crystal of a data set."""
    for split, groups in (("train", data.train), ("validation", data.validation)):
        for n, group in groups.items():
            for row in range(len(group)):
                lattice = group.lattice[row].double()
                positions = group.frac[row].double() @ lattice
                graph = make_graph(group.numbers[row], positions, lattice, torch.tensor([True] * 3))
                yield f"{split}.{n}.{row}", reduced_formula(group.numbers[row].tolist()), graph


def left_out() -> Iterator[tuple[str, str, AtomGraph]]:
    """(key, reduced formula, graph) of what the sources hold beyond the pool: large cells, formulas of the test splits.

    These are rows of the training sources; no row of a test split is read, only its formulas.
    """
    config = DataConfig()
    barred = set().union(*(read_formulas(source) for source in config.exclude_formulas_of))
    found = []
    for source in config.sources:
        for raw in read_source(source):
            if isinstance(raw, str) or len(raw.numbers) > LARGEST:
                continue
            if reduced_formula(raw.numbers) not in barred and len(raw.numbers) <= config.max_atoms:
                continue  # a conventional cell may be large where the primitive one is in the pool
            crystal = reduce_crystal(raw)
            if isinstance(crystal, str) or minimum_distance(crystal.frac, crystal.lattice) < MIN_DISTANCE:
                continue
            if crystal.formula in barred or len(crystal.numbers) > config.max_atoms:
                found.append(crystal)
    found.sort(key=lambda crystal: len(crystal.numbers))
    for crystal in found:
        lattice = torch.from_numpy(crystal.lattice)
        positions = torch.from_numpy(crystal.frac) @ lattice
        graph = make_graph(torch.from_numpy(crystal.numbers), positions, lattice, torch.tensor([True] * 3))
        yield crystal.name, crystal.formula, graph


def everything() -> Iterator[tuple[str, str, AtomGraph]]:
    """The pool, then what the sources hold beyond it."""
    yield from pool(load_dataset(DataConfig()))
    yield from left_out()


def reduced_formula(numbers: Collection[int]) -> str:
    """Reduced formula of atomic numbers."""
    return Composition(collections.Counter(Element.from_Z(int(z)).symbol for z in numbers)).reduced_formula


def lowest_crystals(folder: Path, wanted: Collection[str]) -> dict[str, str]:
    """Key of the crystal that lies lowest in the working folder, for every wanted reduced formula it has."""
    wanted = set(wanted)
    lowest: dict[str, tuple[float, str]] = {}
    for name in ("points", *MADE):
        for key, row in read_lines(folder / f"{name}.jsonl").items():
            formula = Composition(row["formula"]).reduced_formula
            if formula in wanted and (formula not in lowest or row["energy"] < lowest[formula][0]):
                lowest[formula] = (row["energy"], key)
    return {formula: key for formula, (_, key) in lowest.items()}


def geometries(folder: Path, keys: Collection[str]) -> Iterator[tuple[str, AtomGraph]]:
    """(key, graph) of crystals: those of the pool as published, those of the elements and substituted ones relaxed."""
    keys = set(keys)
    for name in MADE:
        for key, row in read_lines(folder / f"{name}.jsonl").items():
            if key in keys:
                keys.discard(key)
                yield key, graph_from(from_line(row["crystal"]))
    for key, _, graph in everything() if keys else ():
        if key in keys:
            yield key, graph


def read_lines(path: Path) -> dict[str, dict[str, Any]]:
    """Lines of a file by key; a torn last line is dropped."""
    found = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):
                row = json.loads(line)
                found[row["key"]] = row
    return found


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add lines; on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
