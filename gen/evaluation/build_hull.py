"""Builds the shipped tables of reference energies; resumable, one line of JSON a crystal.

    python -m gen.evaluation.build_hull points --minutes 60

takes these steps in turn, as far as the minutes reach: `points`, single points of the crystal pool
(`gen.evaluation.reference_phases`); `elements`, published structures and packings of the elements, relaxed; `pairs`,
substituted compounds for pairs of elements the pool has no compound of; `relax`, relaxation of pool crystals near the
hull, elements and binaries first; `write`, the table; `screen`, the same phases by the distilled potential, for the
screen of the generator. Naming a later step skips the earlier ones.
"""

import argparse
import collections
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Composition, Element, Structure
from tqdm import tqdm

from gen.crystals.config import DataConfig
from gen.crystals.crystal_lines import to_line
from gen.crystals.dataset import load_dataset
from gen.evaluation.elemental_phases import elemental_phases
from gen.evaluation.hull import (
    SCREEN_TABLE,
    TABLE,
    HullTable,
    energy_above_hull,
    is_element,
    make_table,
    potential_key,
    write_table,
)
from gen.evaluation.reference_phases import append, everything, geometries, lowest_crystals, pool, read_lines
from gen.evaluation.substitution import empty_pairs, known_binaries, substituted
from potentials.atom_graph import AtomGraph, collate, structure_from_graph
from potentials.errors import SorbusError
from potentials.potential import Potential, load_potential
from potentials.relaxation import Relaxed, relax

POTENTIAL = "chgnet-fast"
SCREEN_POTENTIAL = "sorbus-crystals"
STEPS = ("points", "elements", "pairs", "relax", "write", "screen")
NEAR = 0.03  # eV/atom above the single-point hull: what relaxation might bring onto it
RELAX: dict[str, Any] = {"fmax": 0.05, "smax": 1e-3, "max_steps": 25, "optimizer": "lbfgs"}
RELAX_ELEMENTS: dict[str, Any] = {**RELAX, "max_steps": 150, "optimizer": "fire"}  # L-BFGS loses molecular crystals
COMMON = 30  # crystals of the pool that hold an element, for its pairs to be filled
SUBSTITUTED = 8  # likest binaries tried for a pair
MOST_ATOMS = 8  # in their cells
KEPT = 0.1  # eV/atom above the hull up to which substituted compounds are kept in the table, and the lowest of a pair
PROTOCOL = (
    f"CHGNet 0.3.0 ({POTENTIAL}); phases within {NEAR} eV/atom of the single-point hull relaxed by L-BFGS, variable "
    f"cell, fmax {RELAX['fmax']} eV/Å, smax {RELAX['smax']} eV/Å^3, at most {RELAX['max_steps']} steps, as far as "
    "marked; published structures and packings of the elements relaxed likewise (source element); for pairs of common "
    f"elements without a compound in the pool the {SUBSTITUTED} likest binaries with the pair in place of their own "
    "elements, relaxed likewise (source substituted)"
)


def single_points(folder: Path, stop: float) -> None:
    """Energies of the pool at the published geometries."""
    path = folder / "points.jsonl"
    done = read_lines(path)
    model = load_potential(POTENTIAL)
    waiting = [
        entry for entry in everything() if entry[0] not in done and set(entry[2].numbers.tolist()) <= model.elements
    ]
    for batch in _batches(waiting, stop):
        energies = _energies(model, [graph for _, _, graph in batch])
        append(
            path,
            [
                {"key": key, "formula": formula, "energy": energy}
                for (key, formula, _), energy in zip(batch, energies, strict=True)
            ],
        )


def _batches(waiting: list[tuple[str, str, AtomGraph]], stop: float) -> Iterator[list[tuple[str, str, AtomGraph]]]:
    """Batches of about 400 atoms while there is time; takes them off `waiting`."""
    bar = tqdm(total=len(waiting), unit="crystal", mininterval=10)
    while waiting and time.monotonic() < stop:
        atoms = 0
        batch: list[tuple[str, str, AtomGraph]] = []
        while waiting and (not batch or atoms + waiting[0][2].num_nodes <= 400):
            batch.append(waiting.pop(0))
            atoms += batch[-1][2].num_nodes
        yield batch
        bar.update(len(batch))
    print(f"{len(waiting)} left")


def _energies(model: Potential, graphs: Sequence[AtomGraph]) -> list[float]:
    """eV/atom at the geometries given."""
    energies = model(collate(list(graphs)), stress=False)["energy"].tolist()
    return [energy / graph.num_nodes for energy, graph in zip(energies, graphs, strict=True)]


def elements(folder: Path) -> None:
    """Elemental references, relaxed."""
    model = load_potential(POTENTIAL)
    candidates = [entry for entry in elemental_phases() if Element(entry[1]).Z in model.elements]
    rows = []
    relaxed = relax([structure for *_, structure in candidates], model, **RELAX_ELEMENTS)
    for (name, symbol, _), done in zip(candidates, relaxed, strict=True):
        if done.energy is not None and _went_downhill(done):
            rows.append(
                {
                    "key": name,
                    "formula": symbol,
                    "energy": done.energy / len(done.structure),
                    "converged": done.converged,
                    "steps": done.steps,
                    "crystal": to_line(done.structure),
                }
            )
    path = folder / "elements.jsonl"
    path.unlink(missing_ok=True)
    append(path, rows)
    print(f"{len(rows)} crystals of {len({row['formula'] for row in rows})} elements")


def _went_downhill(done: Relaxed) -> bool:
    """Whether a relaxation ended no higher than it began."""
    if done.failure is not None or done.energy is None or done.initial_energy is None:
        return False
    return done.energy <= done.initial_energy


def pairs(folder: Path, stop: float) -> None:
    """Substituted compounds for pairs of common elements without any, relaxed.

    The distilled potential takes all of them most of the way; the table's own relaxes what then lies near the hull.
    """
    path = folder / "pairs.jsonl"
    done = {tuple(row["pair"]) for row in read_lines(path).values()}
    graphs = [graph for _, _, graph in pool(load_dataset(DataConfig()))]
    binaries = known_binaries(graphs, MOST_ATOMS)
    held = collections.Counter(z for graph in graphs for z in set(graph.numbers.tolist()))
    fast, model, table = load_potential(SCREEN_POTENTIAL), load_potential(POTENTIAL), _table(folder, pairs=False)
    common = [z for z, count in held.items() if count >= COMMON and z in fast.elements & model.elements]
    known = [{Element(e).Z for e in Composition(formula).get_el_amt_dict()} for formula in table.phases]
    waiting = [pair for pair in empty_pairs(common, [pair for pair in known if len(pair) == 2]) if pair not in done]
    bar = tqdm(total=len(waiting), unit="pair", mininterval=10)
    while waiting and time.monotonic() < stop:
        chunk, waiting = waiting[:16], waiting[16:]
        tried = [(pair, graph) for pair in chunk for graph in substituted(pair, binaries, SUBSTITUTED)]
        given = [structure_from_graph(graph) for _, graph in tried]
        coarse = relax(given, fast, **RELAX)
        settled = [
            (pair, done.structure if _went_downhill(done) else structure)
            for (pair, _), structure, done in zip(tried, given, coarse, strict=True)
        ]
        rows = _relaxed_near_hull(settled, model, table)
        append(path, rows)
        bar.update(len(chunk))
    print(f"{len(waiting)} pairs left")


def _relaxed_near_hull(
    settled: Sequence[tuple[tuple[int, int], Structure]], model: Potential, table: HullTable
) -> list[dict[str, Any]]:
    """Lines of substituted compounds, the lowest of each formula; those near the hull of all are relaxed first."""
    points = relax([structure for _, structure in settled], model, max_steps=0)
    lowest: dict[str, tuple[float, tuple[int, int], Structure]] = {}
    for (pair, structure), point in zip(settled, points, strict=True):
        formula = structure.composition.reduced_formula
        energy = np.inf if point.energy is None else point.energy / len(structure)
        if np.isfinite(energy) and energy < lowest.get(formula, (np.inf,))[0]:
            lowest[formula] = (energy, pair, structure)
    everyone = [(formula, energy, False, "") for formula, (energy, _, _) in lowest.items()]
    own = make_table([*_alone(table), *everyone], table.potential, "", "")
    near = [f for f, (e, _, _) in lowest.items() if (energy_above_hull(Composition(f), e, own).energy or 0) <= NEAR]
    relaxed = dict(zip(near, relax([lowest[f][2] for f in near], model, **RELAX), strict=True))
    rows = []
    for formula, (energy, pair, structure) in lowest.items():
        final = relaxed.get(formula)
        moved = final is not None and final.energy is not None and _went_downhill(final)
        if final is not None and final.energy is not None and moved:
            energy, structure = final.energy / len(final.structure), final.structure
        row = {"key": formula, "pair": pair, "formula": formula, "energy": energy, "relaxed": moved}
        rows.append({**row, "crystal": to_line(structure)})
    return rows


def _alone(table: HullTable) -> list[tuple[str, float, bool, str]]:
    """The elements of a table."""
    return [(p.formula, p.energy, p.relaxed, p.source) for p in table.phases.values() if is_element(p.formula)]


def relax_near_hull(folder: Path, stop: float, systems: Path | None) -> None:
    """Relax what lies near the hull: elements, binaries, then the rest; or what lies in the given systems."""
    points, path = read_lines(folder / "points.jsonl"), folder / "relaxed.jsonl"
    done = read_lines(path)
    table = _table(folder)
    wanted = None if systems is None else [frozenset(line.split("-")) for line in systems.read_text().split()]
    queue = []
    for key, row in points.items():
        if key in done:
            continue
        composition = Composition(row["formula"])
        own = frozenset(composition.get_el_amt_dict())
        if wanted is not None and not any(own <= system for system in wanted):
            continue
        above = energy_above_hull(composition, row["energy"], table).energy
        if above is not None and above <= NEAR:
            queue.append((len(own), above, key))
    queue.sort()
    graphs = {key: graph for key, _, graph in everything()}
    model = load_potential(POTENTIAL)
    bar = tqdm(total=len(queue), unit="crystal", mininterval=10)
    while queue and time.monotonic() < stop:
        chunk, queue = [key for _, _, key in queue[:80]], queue[80:]
        rows = []
        for key, result in zip(chunk, relax([graphs[key] for key in chunk], model, **RELAX), strict=True):
            row = {"key": key, "formula": points[key]["formula"], "steps": result.steps}
            if result.failure is None and result.energy is not None:
                row |= {"energy": result.energy / graphs[key].num_nodes, "converged": result.converged}
            else:
                row |= {"failure": result.failure}
            rows.append(row)
        append(path, rows)
        bar.update(len(chunk))
    print(f"{len(queue)} left")


def single_point_table(
    potential: Potential, name: str, folder: Path, table: HullTable, structures: Sequence[Structure] | None = None
) -> HullTable:
    """Reference energies by another potential, at the geometries of the working folder.

    The phases are those of `table`, each at the geometry of its lowest crystal. Energies are kept in
    `folder/points_<name>.jsonl` and not computed again. A phase with an element the potential does not know is left
    out.

    Args:
        structures: only the phases within their chemical systems are wanted; None: all.
    """
    systems = {frozenset(s.composition.get_el_amt_dict()) for s in structures or ()}
    inside = table.phases.values() if structures is None else (p for s in systems for p in table.inside(s))
    keys = lowest_crystals(folder, {phase.formula for phase in inside})
    path = folder / f"points_{name}.jsonl"
    done = {key: row["energy"] for key, row in read_lines(path).items()}
    missing = {key: formula for formula, key in keys.items() if key not in done}
    waiting = [
        (key, missing[key], graph)
        for key, graph in (geometries(folder, missing) if missing else ())
        if set(graph.numbers.tolist()) <= potential.elements
    ]
    for batch in _batches(waiting, np.inf):
        for rows in _point_rows(potential, batch):
            append(path, rows)
            done |= {row["key"]: row["energy"] for row in rows}
    found = [(f, done[key], False, table.phases[f].source) for f, key in keys.items() if key in done]
    where = "" if structures is None else f", in {len(systems)} chemical systems only"
    protocol = f"single points at the geometries of {table.potential}'s table{where}"
    return make_table(found, name, protocol, table.data_sha256)


def _point_rows(potential: Potential, batch: list[tuple[str, str, AtomGraph]]) -> Iterator[list[dict[str, Any]]]:
    """Lines of a batch; crystal by crystal where it fails as a whole, those that fail alone left out."""
    try:
        energies = _energies(potential, [graph for *_, graph in batch])
    except SorbusError:
        for entry in batch if len(batch) > 1 else ():
            yield from _point_rows(potential, [entry])
        return
    yield [
        {"key": key, "formula": formula, "energy": energy}
        for (key, formula, _), energy in zip(batch, energies, strict=True)
    ]


def _table(folder: Path, *, pairs: bool = True) -> HullTable:
    """The table of all that has been computed so far, with or without substituted compounds."""
    relaxed = read_lines(folder / "relaxed.jsonl")
    rows = [(row["formula"], row["energy"], False, "") for row in read_lines(folder / "points.jsonl").values()]
    rows += [(row["formula"], row["energy"], True, "") for row in relaxed.values() if "energy" in row]
    rows += [(r["formula"], r["energy"], True, "element") for r in read_lines(folder / "elements.jsonl").values()]
    digest = load_dataset(DataConfig()).sha256
    made = read_lines(folder / "pairs.jsonl").values() if pairs else ()
    compounds = [(r["formula"], r["energy"], r["relaxed"], "substituted") for r in made]
    return _without_high_lying(make_table([*rows, *compounds], POTENTIAL, PROTOCOL, digest))


def _without_high_lying(table: HullTable) -> HullTable:
    """Substituted compounds far above the hull decide nothing: of those only the lowest of a pair stays."""
    above = {
        phase.formula: energy_above_hull(Composition(phase.formula), phase.energy, table).energy or 0.0
        for phase in table.phases.values()
        if phase.source == "substituted"
    }
    best: dict[frozenset[str], str] = {}
    for formula in sorted(above, key=lambda formula: above[formula]):
        best.setdefault(frozenset(Composition(formula).get_el_amt_dict()), formula)
    kept = [
        (phase.formula, phase.energy, phase.relaxed, phase.source)
        for phase in table.phases.values()
        if phase.source != "substituted" or above[phase.formula] <= KEPT or phase.formula in best.values()
    ]
    return make_table(kept, table.potential, table.protocol, table.data_sha256)


def main() -> None:
    """Build the tables, from a step on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS, help="the first step to take")
    parser.add_argument("--folder", type=Path, default=Path("runs/hull"))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--screen-table", type=Path, default=SCREEN_TABLE)
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument(
        "--systems", type=Path, help="relax only phases of these systems: a file of words such as Li-P-S"
    )
    options = parser.parse_args()
    if "points" not in STEPS[STEPS.index(options.step) :] and not read_lines(options.folder / "points.jsonl"):
        parser.error(f"{options.folder} holds no points.jsonl to go on from: begin with the step points")
    torch.set_num_threads(1)
    stop = time.monotonic() + 60 * options.minutes
    steps = STEPS[STEPS.index(options.step) :]
    if "points" in steps:
        single_points(options.folder, stop)
    if "elements" in steps and time.monotonic() < stop:
        elements(options.folder)
    if "pairs" in steps and time.monotonic() < stop:
        pairs(options.folder, stop)
    if "relax" in steps and time.monotonic() < stop:
        relax_near_hull(options.folder, stop, options.systems)
    table = _table(options.folder)
    print(write_table(table, options.table), len(table.phases), "phases")
    fast = load_potential(SCREEN_POTENTIAL)
    screen = single_point_table(fast, potential_key(SCREEN_POTENTIAL), options.folder, table)
    print(write_table(screen, options.screen_table), len(screen.phases), "phases")


if __name__ == "__main__":
    main()
