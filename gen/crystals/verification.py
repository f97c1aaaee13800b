"""Sampling a generator and judging what it made through the digital twin, resumable line by line."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.crystal_lines import append_lines, from_line, read_lines, to_line
from gen.crystals.dataset import CrystalDataset
from gen.crystals.generation import generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.crystals.screen import Screen, screened_crystals
from gen.evaluation.hull import HullTable
from gen.evaluation.stability import TwinConfig, Verdict, judge, placed
from potentials.potential import Potential

logger = logging.getLogger(__name__)

CHUNK = 128  # crystals sampled between two writes


def verified_samples(
    model: CrystalModel,
    count: int,
    seed: int,
    folder: Path,
    table: HullTable,
    twin: TwinConfig,
    *,
    sampling: SamplingConfig | None = None,
    screen: Screen | None = None,
    potential: Potential | None = None,
    say: Callable[[str], None] = logger.info,
    progress: bool = False,
) -> list[Verdict]:
    """Sample crystals 0..count-1 of a seed, relax them and place them above the hull.

    A crystal that fails the geometry gate is drawn again, up to ten times; one that never passes has a line in
    `samples.jsonl` but no verdict: rates must be over `count`. What the folder holds already is not done again, so it
    must be of the same model, seed and settings; only the hull's table may be another one.

    Args:
        screen: each crystal is chosen among several candidates by it.
    """
    structures = _sampled(model, count, seed, folder / "samples.jsonl", sampling or SamplingConfig(), screen, progress)
    path = folder / "verdicts.jsonl"
    rows = read_lines(path)

    def keep(_: int, verdicts: list[Verdict]) -> None:
        fresh = [verdict_line(verdict) for verdict in verdicts]
        append_lines(path, fresh)
        rows.extend(fresh)
        say(f"{folder.name}: {len(rows)} of {len(structures)} judged")

    judge(structures[len(rows) :], table, twin, potential=potential, progress=progress, on_chunk=keep)
    return [placed(verdict_from_line(row), table) for row in rows]


def _sampled(
    model: CrystalModel,
    count: int,
    seed: int,
    path: Path,
    config: SamplingConfig,
    screen: Screen | None,
    progress: bool,
) -> list[Structure]:
    rows = read_lines(path)
    for start in range(len(rows), count, CHUNK):
        indices = range(start, min(start + CHUNK, count))
        began = time.process_time()
        if screen is None:
            drawn = generate_crystals(model, indices, seed, config=config, resample_invalid=True, progress=progress)
        else:
            drawn = screened_crystals(model, indices, seed, screen, config=config, progress=progress)
        each = round((time.process_time() - began) / len(drawn), 4)
        fresh = [
            {
                "index": g.index,
                "seconds": each,  # of one core, the mean of its chunk
                **({"fault": g.fault} if g.structure is None or g.fault else to_line(g.structure)),
            }
            for g in drawn
        ]
        append_lines(path, fresh)
        rows += fresh
    return [from_line(row) for row in rows[:count] if "fault" not in row]


def verdict_line(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON."""
    plain = {f.name: getattr(verdict, f.name) for f in dataclasses.fields(Verdict) if f.name != "structure"}
    return {**plain, "structure": to_line(verdict.structure)}


def verdict_from_line(line: dict[str, Any]) -> Verdict:
    """The verdict of `verdict_line`."""
    return Verdict(**{**line, "structure": from_line(line["structure"]), "decomposition": tuple(line["decomposition"])})


class KnownCrystals:
    """Training crystals looked up by reduced formula; structures are only built for those asked for."""

    def __init__(self, data: CrystalDataset) -> None:
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._data = data
        for n, group in data.train.items():
            for row, numbers in enumerate(group.numbers.tolist()):
                symbols, counts = np.unique(numbers, return_counts=True)
                cell = {Element.from_Z(int(z)).symbol: int(c) for z, c in zip(symbols, counts, strict=True)}
                self._places.setdefault(Composition(cell).reduced_formula, []).append((n, row))

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def of(self, structures: Sequence[Structure]) -> list[Structure]:
        """All training crystals that share a reduced formula with one of `structures`."""
        formulas = sorted({s.composition.reduced_formula for s in structures})
        found = []
        for n, row in (place for formula in formulas for place in self._places.get(formula, ())):
            group = self._data.train[n]
            lattice, frac = group.lattice[row].double().numpy(), group.frac[row].double().numpy()
            symbols = [Element.from_Z(z).symbol for z in group.numbers[row].tolist()]
            found.append(Structure(Lattice(lattice), symbols, frac))
        return found
