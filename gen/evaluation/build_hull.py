"""Builds the shipped table of reference energies; resumable, one line of JSON a crystal.

    python -m gen.evaluation.build_hull points --minutes 60

takes these steps in turn, as far as the minutes reach: single points of the crystal pool; elemental references (ideal
metals, DFT energies where there is no crystal); relaxation of what lies near the hull, elements and binaries first; the
table. Naming a later step skips the earlier ones.

The pool is the generator's training data, and what its sources hold beyond it: cells of 21 to 80 atoms, and formulas
that training leaves out because they occur in a test split (without them the hull would lack SiO2 and TiO2). No row of
a test split is among them. All geometries were relaxed with DFT; the table states how many were relaxed here.
"""

import argparse
import collections
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Composition, Element, Structure
from tqdm import tqdm

from gen.crystals.config import DataConfig
from gen.crystals.dataset import MIN_DISTANCE, CrystalDataset, load_dataset, minimum_distance, reduce_crystal
from gen.crystals.sources import read_formulas, read_source
from gen.evaluation.hull import TABLE, HullTable, energy_above_hull, is_element, make_table, write_table
from potentials.atom_graph import AtomGraph, collate, graph_from, make_graph
from potentials.errors import SorbusError
from potentials.files import data_root
from potentials.potential import Potential, load_potential
from potentials.relaxation import relax

POTENTIAL = "chgnet-fast"
STEPS = ("points", "elements", "relax", "write")
LARGEST = 80  # atoms in a published cell; beyond it a single point is dear and the phase seldom asked for
NEAR = 0.03  # eV/atom above the single-point hull: what relaxation might bring onto it
RELAX: dict[str, Any] = {"fmax": 0.05, "smax": 1e-3, "max_steps": 25, "optimizer": "lbfgs"}
ELEMENTS_DFT = "reference/matbench_discovery/2023-02-07-mp-elemental-reference-entries.json.gz"
PROTOCOL = (
    f"CHGNet 0.3.0 ({POTENTIAL}); phases within {NEAR} eV/atom of the single-point hull relaxed by L-BFGS, variable "
    f"cell, fmax {RELAX['fmax']} eV/Å, smax {RELAX['smax']} eV/Å^3, at most {RELAX['max_steps']} steps, as far as "
    "marked; elements absent from the pool: ideal crystals relaxed likewise (source ideal), else Materials Project PBE "
    "energies (source MP)"
)


def pool(data: CrystalDataset) -> Iterator[tuple[str, str, AtomGraph]]:
    """(key, reduced formula, graph) of every crystal of a data set."""
    for split, groups in (("train", data.train), ("validation", data.validation)):
        for n, group in groups.items():
            for row in range(len(group)):
                symbols = [Element.from_Z(z).symbol for z in group.numbers[row].tolist()]
                lattice = group.lattice[row].double()
                positions = group.frac[row].double() @ lattice
                graph = make_graph(group.numbers[row], positions, lattice, torch.tensor([True] * 3))
                yield f"{split}.{n}.{row}", Composition(collections.Counter(symbols)).reduced_formula, graph


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
            symbols = [Element.from_Z(int(z)).symbol for z in raw.numbers]
            if Composition(collections.Counter(symbols)).reduced_formula not in barred and (
                len(raw.numbers) <= config.max_atoms
            ):
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


def single_points(folder: Path, stop: float) -> None:
    """Energies of the pool at the published geometries."""
    path = folder / "points.jsonl"
    done = read_lines(path)
    model = load_potential(POTENTIAL)
    waiting = [
        entry for entry in everything() if entry[0] not in done and set(entry[2].numbers.tolist()) <= model.elements
    ]
    bar = tqdm(total=len(waiting), unit="crystal", mininterval=10)
    while waiting and time.monotonic() < stop:
        atoms = 0
        batch: list[tuple[str, str, AtomGraph]] = []
        while waiting and (not batch or atoms + waiting[0][2].num_nodes <= 400):
            batch.append(waiting.pop(0))
            atoms += batch[-1][2].num_nodes
        energies = model(collate([graph for _, _, graph in batch]), stress=False)["energy"].tolist()
        append(
            path,
            [
                {"key": key, "formula": formula, "energy": energy / graph.num_nodes}
                for (key, formula, graph), energy in zip(batch, energies, strict=True)
            ],
        )
        bar.update(len(batch))
    print(f"{len(waiting)} left")


def ideal_elements() -> Iterator[tuple[str, Structure]]:
    """fcc, bcc, hcp, diamond crystals of the elements, at the lattice constants ASE lists."""
    from ase.build import bulk
    from ase.data import atomic_numbers, reference_states
    from pymatgen.io.ase import AseAtomsAdaptor

    for number in sorted(set(atomic_numbers.values())):
        state = reference_states[number] if 0 < number < len(reference_states) else None
        if state and state.get("symmetry") in ("fcc", "bcc", "hcp", "diamond"):
            symbol = Element.from_Z(number).symbol
            try:
                atoms = bulk(symbol)
            except ValueError:  # a listed structure with a basis of its own, such as alpha manganese
                continue
            yield symbol, AseAtomsAdaptor.get_structure(atoms)


def elements(folder: Path) -> None:
    """Elemental references: ideal crystals relaxed, and the DFT energies beside them."""
    model = load_potential(POTENTIAL)
    rows = []
    candidates = [(symbol, s) for symbol, s in ideal_elements() if Element(symbol).Z in model.elements]
    for (symbol, _), done in zip(candidates, relax([s for _, s in candidates], model, **RELAX), strict=True):
        if done.energy is not None and done.failure is None:
            rows.append(
                {
                    "key": f"ideal.{symbol}",
                    "formula": symbol,
                    "energy": done.energy / len(done.structure),
                    "converged": done.converged,
                    "steps": done.steps,
                    "source": "ideal",
                }
            )
    with gzip.open(data_root() / ELEMENTS_DFT, "rt", encoding="utf-8") as stream:
        for symbol, entry in json.load(stream).items():
            atoms = sum(entry["composition"].values())
            energy = (entry["energy"] + entry["correction"]) / atoms
            rows.append({"key": f"mp.{symbol}", "formula": symbol, "energy": energy, "source": "MP"})
    path = folder / "elements.jsonl"
    path.unlink(missing_ok=True)
    append(path, rows)
    print(f"{len(rows)} elemental references")


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
    potential: Potential, name: str, structures: Sequence[Structure], folder: Path, table: HullTable
) -> HullTable:
    """Reference energies by another potential, for the chemical systems of `structures` only.

    The phases are those of `table` inside these systems, each at the geometry of its lowest crystal in the pool (ideal
    metals where the pool has none). Energies are kept in `folder/points_<name>.jsonl` and not computed again.
    """
    systems = {frozenset(s.composition.get_el_amt_dict()) for s in structures}
    wanted = {phase.formula for system in systems for phase in table.inside(system)}
    path = folder / f"points_{name}.jsonl"
    done = {row["formula"]: row["energy"] for row in read_lines(path).values()}
    lowest: dict[str, tuple[float, str]] = {}
    for key, row in read_lines(folder / "points.jsonl").items():
        formula = Composition(row["formula"]).reduced_formula
        if formula in wanted and row["energy"] < lowest.get(formula, (np.inf, ""))[0]:
            lowest[formula] = (row["energy"], key)
    keys = {key: formula for formula, (_, key) in lowest.items() if formula not in done}
    graphs = [(keys[key], graph) for key, _, graph in (everything() if keys else ()) if key in keys]
    for symbol, structure in ideal_elements():
        formula = Composition(symbol).reduced_formula
        if formula in wanted and formula not in lowest and formula not in done:
            graphs.append((formula, graph_from(structure)))
    for formula, graph in tqdm(graphs, unit="phase", mininterval=10):
        try:
            energy = float(potential(collate([graph]), stress=False)["energy"][0]) / graph.num_nodes
        except SorbusError:
            continue  # an element it does not know: those systems have no hull
        append(path, [{"key": formula, "formula": formula, "energy": energy}])
        done[formula] = energy
    rows = [(formula, energy, False, "") for formula, energy in done.items() if formula in wanted]
    protocol = f"single points at the geometries of the pool, in {len(systems)} chemical systems only"
    return make_table(rows, name, protocol, table.data_sha256)


def _table(folder: Path) -> HullTable:
    """The table of all that has been computed so far."""
    relaxed = read_lines(folder / "relaxed.jsonl")
    rows = [(row["formula"], row["energy"], False, "") for row in read_lines(folder / "points.jsonl").values()]
    rows += [(row["formula"], row["energy"], True, "") for row in relaxed.values() if "energy" in row]
    extra = read_lines(folder / "elements.jsonl").values()
    rows += [(row["formula"], row["energy"], True, "ideal") for row in extra if row["source"] == "ideal"]
    known = {Composition(formula).reduced_formula for formula, *_ in rows if is_element(formula)}
    rows += [
        (r["formula"], r["energy"], False, "MP")
        for r in extra
        if r["source"] == "MP" and Composition(r["formula"]).reduced_formula not in known
    ]
    return make_table(rows, POTENTIAL, PROTOCOL, load_dataset(DataConfig()).sha256)


def main() -> None:
    """Build the table, from a step on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS, help="the first step to take")
    parser.add_argument("--folder", type=Path, default=Path("runs/hull"))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument(
        "--systems", type=Path, help="relax only phases of these systems: a file of words such as Li-P-S"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    stop = time.monotonic() + 60 * options.minutes
    steps = STEPS[STEPS.index(options.step) :]
    if "points" in steps:
        single_points(options.folder, stop)
    if "elements" in steps and time.monotonic() < stop:
        elements(options.folder)
    if "relax" in steps and time.monotonic() < stop:
        relax_near_hull(options.folder, stop, options.systems)
    table = _table(options.folder)
    print(write_table(table, options.table), len(table.phases), "phases")


if __name__ == "__main__":
    main()
