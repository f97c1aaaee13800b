"""A distilled potential beside its teacher: errors, relaxed volumes, speed, and what it saves as a first stage.

    python -m benchmarks.potential_distillation errors volumes --held-out runs/distill/crystals/held_out.extxyz
    python -m benchmarks.potential_distillation speed --held-out runs/distill/crystals/held_out.extxyz
    python -m benchmarks.potential_distillation stages --pool runs/distill/generated_test/extxyz/structures.extxyz

`held_out.extxyz` is what `sorbus dataset distill` wrote: compositions that training never saw, labelled by the teacher.
Everything on one thread; seconds are process time, least of several calls where one call is timed.
"""

import argparse
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from torch_geometric.data import Batch

from benchmarks.record import record
from potentials.atom_graph import AtomGraph, collate, graph_from
from potentials.dataset import LabelConfig, read_frames
from potentials.files import sha256_file
from potentials.label_errors import evaluate
from potentials.potential import Potential, PotentialOutput, load_potential
from potentials.relaxation import Relaxed, relax
from potentials.structure_files import read_structures

SEED = 5
MAX_ATOMS = 400  # a batch


class Counted:
    """A potential that counts how many systems it was asked about and how long it took."""

    def __init__(self, inner: Potential) -> None:
        self.inner, self.systems, self.seconds = inner, 0, 0.0
        self.name, self.elements, self.cutoff = inner.name, inner.elements, inner.cutoff

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        self.systems += batch.num_graphs
        start = time.process_time()
        output = self.inner(batch, stress=stress)
        self.seconds += time.process_time() - start
        return output


def measure_errors(student: Potential, path: Path, dry: bool) -> None:
    """B9 (energies), B9a (forces): mean absolute errors on held-out compositions, all frames and by kind."""
    frames = read_frames(path, LabelConfig(stress_key="stress"))
    kinds = [atoms.info["kind"] for atoms in read(path, index=":")]
    known = [k for k, frame in enumerate(frames) if set(frame.numbers.tolist()) <= student.elements]
    total = evaluate(student, [frames[k] for k in known], batch_size=40)
    parts = []
    for kind in sorted(set(kinds)):
        chosen = [frames[k] for k in known if kinds[k] == kind]
        if chosen:
            row = evaluate(student, chosen, batch_size=40)
            size = 1e3 * float(torch.cat([frame.forces for frame in chosen]).abs().mean())
            parts.append(
                f"{kind} ({len(chosen)}): energy {row['energy_mae']:.1f} meV/atom, forces {row['forces_mae']:.0f} of "
                f"{size:.0f} meV/Å, stress {row['stress_mae']:.2f} meV/Å^3"
            )
    formulas = {atoms.info["formula"] for atoms in read(path, index=":")}
    protocol = (
        f"mean absolute error against chgnet-fast on {len(known)} held-out frames of {len(formulas)} compositions "
        f"never trained on ({student.name}): crystals as DFT left them, strained and rattled by 0.02-0.2 Å, stages of "
        "relaxations"
    )
    note = "; ".join([*parts, f"stress over all {total['stress_mae']:.2f} meV/Å^3"])
    print(total, note, sep="\n")
    if not dry:
        sha = sha256_file(path)
        record(id="B9", value=total["energy_mae"], unit="meV/atom", protocol=f"energy, {protocol}", data_sha256=sha,
               seed=None, peer="target", peer_value=20.0, note=note)  # fmt: skip
        record(id="B9a", value=total["forces_mae"], unit="meV/Å", protocol=f"forces, {protocol}", data_sha256=sha,
               seed=None, peer="target", peer_value=80.0, note=note)  # fmt: skip


def held_out_crystals(path: Path, count: int, known: frozenset[int]) -> list[Atoms]:
    """Held-out structures as DFT left them, drawn with a seed."""
    frames = [atoms for atoms in read(path, index=":") if atoms.info["kind"] == "crystal"]
    frames = [atoms for atoms in frames if set(atoms.numbers.tolist()) <= known]
    order = np.random.default_rng(SEED).permutation(len(frames))[:count]
    return [Atoms(frames[k].numbers, frames[k].positions, cell=frames[k].cell, pbc=True) for k in order]


def measure_volumes(student: Potential, teacher: Potential, path: Path, count: int, dry: bool) -> None:
    """B9b: share of held-out crystals whose volume, relaxed by the student, is within 3 % of the teacher's."""
    crystals = held_out_crystals(path, count, student.elements)
    settings: dict[str, Any] = {
        "fmax": 0.05,
        "smax": 1e-3,
        "max_steps": 200,
        "optimizer": "lbfgs",
        "max_atoms_per_batch": MAX_ATOMS,
    }
    true, found = relax(crystals, teacher, **settings), relax(crystals, student, **settings)
    pairs = [(a, b) for a, b in zip(true, found, strict=True) if a.failure is None]
    changes = np.array([_volume(b) / _volume(a) - 1 if b.failure is None else np.inf for a, b in pairs])
    within = {limit: 100 * float((np.abs(changes) <= limit / 100).mean()) for limit in (1, 2, 3, 5, 10)}
    protocol = (
        f"share of {len(pairs)} held-out crystals whose volume relaxed with {student.name} is within 3 % of that "
        f"relaxed with {teacher.name}; both from the DFT structure, L-BFGS, fmax 0.05 eV/Å, smax 1e-3 eV/Å^3, at most "
        f"200 steps"
    )
    note = ", ".join(f"{share:.1f} % within {limit} %" for limit, share in within.items()) + (
        f"; median |change| {100 * float(np.median(np.abs(changes))):.2f} %; converged "
        f"{sum(b.converged for _, b in pairs)} (teacher {sum(a.converged for a, _ in pairs)}), given up "
        f"{sum(b.failure is not None for _, b in pairs)}"
    )
    print(protocol, note, sep="\n")
    if not dry:
        record(id="B9b", value=within[3], unit="%", protocol=protocol, data_sha256=sha256_file(path), seed=SEED,
               peer="target", peer_value=95.0, note=note)  # fmt: skip


def _volume(result: Relaxed) -> float:
    return abs(float(torch.linalg.det(graph_from(result.structure).cell)))


def least_seconds(call: Callable[[], object], repeats: int) -> float:
    """Process seconds of the fastest of several calls, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure_speed(student: Potential, teachers: Sequence[Potential], path: Path, repeats: int, dry: bool) -> None:
    """B9c, B9d: energy, forces and stress of a batch, neighbour lists and graphs included, in turn."""
    graphs: list[AtomGraph] = []
    for atoms in held_out_crystals(path, 200, student.elements):
        if sum(graph.num_nodes for graph in graphs) + len(atoms) <= MAX_ATOMS:
            graphs.append(graph_from(atoms))
    batch = collate(graphs)
    seconds = {model.name: least_seconds(partial(model, batch), repeats) for model in (student, *teachers)}
    # a second round, since a neighbour on the machine may have disturbed the first
    for model in (*teachers[::-1], student):
        seconds[model.name] = min(seconds[model.name], least_seconds(partial(model, batch), repeats))
    micro = {name: 1e6 * value / batch.num_nodes for name, value in seconds.items()}
    protocol = (
        f"energy, forces, stress of one batch of {batch.num_graphs} held-out crystals ({batch.num_nodes} atoms), "
        f"float32, graphs and neighbour lists included, one thread, least process time of {2 * repeats} calls in two "
        f"rounds; {student.name}"
    )
    print(protocol, micro)
    if dry:
        return
    for row, model in zip(("B9c", "B9d"), teachers, strict=False):
        record(id=row, value=micro[student.name], unit="us/atom", protocol=protocol, data_sha256=sha256_file(path),
               seed=SEED, peer=model.name, peer_value=micro[model.name],
               note=f"{micro[model.name] / micro[student.name]:.2f} times faster")  # fmt: skip


def measure_stages(
    student: Potential, teacher: Potential, pool: Path, count: int, optimizer: str, fmax: float, dry: bool
) -> None:
    """B9e, B9f: seconds and teacher evaluations of relaxations of generated crystals with and without a first stage."""
    structures = [result.structure for result in read_structures(pool) if result.error is None][:count]
    settings: dict[str, Any] = {
        "fmax": fmax,
        "smax": 1e-3,
        "max_steps": 300,
        "optimizer": optimizer,
        "max_atoms_per_batch": MAX_ATOMS,
    }
    runs: dict[str, tuple[list[Relaxed], float, Counted]] = {}
    for name, first in (("alone", None), ("staged", student)):
        counted = Counted(teacher)
        start = time.process_time()
        results = relax(structures, counted, first=first, **settings)
        runs[name] = (results, time.process_time() - start, counted)
        print(name, f"{runs[name][1]:.1f} s", counted.systems, sum(r.converged for r in results), flush=True)
    (alone, seconds, asked), (staged, staged_seconds, staged_asked) = runs["alone"], runs["staged"]
    both = [(a, b) for a, b in zip(alone, staged, strict=True) if a.converged and b.converged]
    energy = np.array([1e3 * (b.energy - a.energy) / len(a.structure) for a, b in both if a.energy and b.energy])
    sha = hashlib.sha256(pool.read_bytes()).hexdigest()
    protocol = (
        f"{len(structures)} generated crystals as drawn, {optimizer}, variable cell, fmax {fmax} eV/Å, smax 1e-3 "
        f"eV/Å^3, at most 300 steps of either, {teacher.name} alone against {student.name} first, then {teacher.name}"
    )
    note = (
        f"converged {sum(r.converged for r in staged)} of {len(staged)} (alone {sum(r.converged for r in alone)}); "
        f"energy of those converged in both: median difference {np.median(energy):.2f} meV/atom, "
        f"{100 * float((energy <= 2).mean()):.0f} % at or below the teacher's alone by 2 meV/atom, "
        f"{100 * float((energy < -2).mean()):.0f} % lower by more; steps of the first stage "
        f"{np.mean([r.first_steps for r in staged]):.0f}, of the second {np.mean([r.steps for r in staged]):.0f}, "
        f"alone {np.mean([r.steps for r in alone]):.0f}"
    )
    print(protocol, note, sep="\n")
    if not dry:
        rows = {"fire": ("B9e", "B9f"), "lbfgs": ("B9g", "B9h")}[optimizer]
        record(id=rows[0], value=staged_seconds, unit="CPU s", protocol=protocol, data_sha256=sha, seed=None,
               peer=f"{teacher.name} alone", peer_value=seconds, note=note)  # fmt: skip
        record(id=rows[1], value=staged_asked.systems / len(staged), unit="teacher evaluations a crystal",
               protocol=protocol, data_sha256=sha, seed=None, peer=f"{teacher.name} alone",
               peer_value=asked.systems / len(alone), note=note)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["errors", "volumes", "speed", "stages"])
    parser.add_argument("--student", default="sorbus-crystals")
    parser.add_argument("--teacher", default="chgnet-fast")
    parser.add_argument("--held-out", type=Path, default=Path("runs/distill/crystals/held_out.extxyz"))
    parser.add_argument("--pool", type=Path, default=Path("runs/distill/generated_test/extxyz/structures.extxyz"))
    parser.add_argument("--count", type=int, default=60, help="crystals to relax")
    parser.add_argument("--optimizer", choices=["fire", "lbfgs"], default="fire")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, of the two-stage relaxations")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    student, teacher = load_potential(options.student), load_potential(options.teacher)
    if "errors" in options.what:
        measure_errors(student, options.held_out, options.dry)
    if "speed" in options.what:
        teachers = [teacher, load_potential("chgnet")] if options.teacher == "chgnet-fast" else [teacher]
        measure_speed(student, teachers, options.held_out, options.repeats, options.dry)
    if "volumes" in options.what:
        measure_volumes(student, teacher, options.held_out, options.count, options.dry)
    if "stages" in options.what:
        measure_stages(student, teacher, options.pool, options.count, options.optimizer, options.fmax, options.dry)


if __name__ == "__main__":
    main()
