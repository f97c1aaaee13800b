"""The training set of a distilled potential: structures, perturbed and relaxed, labelled by a teacher.

A slow universal potential (the teacher) says what energies, forces and stresses are; a fast network trained on them
(the student, `sorbus train potential`) repeats it. What matters is where the teacher is asked: around minima (strained
and rattled copies), and on the way there (stages of its own relaxations, from rattled structures and from samples of
a generator). Whole compositions are held out, so that errors on them are those on new materials.

Work is saved part by part; a killed run continues where it stood and ends with the same files.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from potentials.atom_graph import AtomGraph, collate
from potentials.bars import progress_bar
from potentials.config import config_hash
from potentials.distillation_config import DistillationConfig
from potentials.distillation_plan import (
    HELD_OUT,
    TRAIN,
    VALIDATION,
    Frame,
    Task,
    goes_to_minimum,
    plan_tasks,
    set_of,
    substituted_frame,
    task_frames,
    told,
)
from potentials.distillation_structures import contact_fault, perturb, random_strain
from potentials.errors import InputError, SorbusError
from potentials.files import sha256_file, write_atomic
from potentials.potential import Potential, load_potential
from potentials.relaxation import relax

SUMMARY = "summary.json"
_IDENTITY, _PARTS = "identity.json", "parts"
_SITE_TOLERANCE = 1e-3  # eV/atom, to which atoms' energies must sum to the frame's
_TEACHER_ERRORS = (SorbusError, RuntimeError, ValueError, ArithmeticError, MemoryError)


def label_structures(config: DistillationConfig, *, resume: bool = True, progress: bool = False) -> dict[str, Any]:
    """Make the training set of a distilled potential; `sorbus dataset distill`.

    Writes in `config.out` `train.extxyz`, `held_out.extxyz` and, if asked for, `validation.extxyz` (energy eV, forces
    eV/Å, stress eV/Å^3 positive under tension; keys `energy`, `forces`, `stress`; `site_energies` eV where the teacher
    gives them; besides `kind`, `formula`, `rattle` Å and `step` of each frame), `summary.json`, and parts to resume
    from. Every frame depends on (seed, place of the structure in the pool) alone.

    Args:
        config: what to label, with which teacher.
        resume: go on from the parts in `config.out`; off: start over.
        progress: show a bar on stderr.

    Returns:
        What `summary.json` holds: frames by kind and set, what was dropped and why, elements, seconds, hashes.

    Raises:
        InputError: no usable structure, an unknown teacher, or parts of another configuration.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    out, parts = config.out, config.out / _PARTS
    tasks, dropped = plan_tasks(config)
    teacher = load_potential(config.teacher)
    substituted = config.substituted
    mover = load_potential(substituted.relaxed_by) if substituted.count and substituted.relaxed_by else None
    _check_identity(config, parts, teacher.name, len(tasks), resume)
    chunks = [tasks[start : start + config.part_size] for start in range(0, len(tasks), config.part_size)]
    # generated ones first, so that a run its budget cuts short holds them; the order changes nothing else
    order = sorted(range(len(chunks)), key=lambda number: not any(task.generated for task in chunks[number]))
    with progress_bar(total=len(tasks), desc="distill", unit="structure", progress=progress) as bar:
        for number in order:
            chunk, path = chunks[number], parts / f"{number:05d}.json"
            if not path.exists():
                minutes = (time.monotonic() - started) / 60
                if config.max_minutes is not None and minutes > config.max_minutes:
                    break
                write_atomic(path, json.dumps(_label_part(chunk, teacher, mover, config)))
            bar.update(len(chunk))
    done = sum(len(chunk) for number, chunk in enumerate(chunks) if (parts / f"{number:05d}.json").exists())
    if done == 0:
        raise InputError(f"max_minutes = {config.max_minutes:g} left no time for one part: raise it or lower part_size")
    summary = _merge(config, teacher.name, dropped, done, len(tasks))
    summary["wall_seconds"] = round(time.monotonic() - started, 1)
    summary["cpu_seconds"] = round(time.process_time() - cpu_started, 1)
    write_atomic(out / SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def trajectory_frames(tasks: Sequence[Task], teacher: Potential, config: DistillationConfig) -> list[Frame]:
    """Stages of the teacher's relaxations, all structures relaxed side by side."""
    settings = config.trajectories
    current: dict[int, AtomGraph] = {}
    for task in tasks:
        assert task.source.graph is not None
        if task.substituted:
            continue
        generator = np.random.default_rng([config.seed, 3, task.index])
        if task.generated:
            current[task.index] = task.source.graph
        elif generator.random() < settings.share:
            strain = random_strain(config.perturbed, generator)
            current[task.index] = perturb(task.source.graph, settings.rattle, strain, generator)
    by_index = {task.index: task for task in tasks}
    frames: list[Frame] = []
    before = 0
    for step in settings.steps:
        current = {k: graph for k, graph in current.items() if contact_fault(graph, config.min_contact) is None}
        if step > before and current:
            moved = relax(
                list(current.values()),
                teacher,
                max_steps=step - before,
                max_atoms_per_batch=config.max_atoms_per_batch,
            )
            # one that broke or has arrived has nothing more to show
            current = {
                k: result.structure
                for k, result in zip(current, moved, strict=True)
                if result.failure is None and result.steps > 0
            }
        before = step
        for k, graph in current.items():
            kind = "generated" if by_index[k].generated else "trajectory"
            frames.append(Frame(graph, kind, by_index[k].source.formula, step=step))
    return frames


def relaxed_frames(tasks: Sequence[Task], mover: Potential, config: DistillationConfig) -> list[Frame]:
    """Substituted structures near minima of another potential; one that potential fails on is taken as it was made."""
    chosen = [task for task in tasks if goes_to_minimum(task, config)]
    moved = relax(
        [task.source.graph for task in chosen],
        mover,
        max_steps=config.substituted.relaxed_steps,
        optimizer="lbfgs",
        max_atoms_per_batch=config.max_atoms_per_batch,
    )
    return [
        substituted_frame(task, result.structure, config, relaxed=result.failure is None and result.steps > 0)
        for task, result in zip(chosen, moved, strict=True)
    ]


def label_frames(
    frames: Sequence[Frame], teacher: Potential, config: DistillationConfig
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Labelled frames as plain numbers (`energy` eV, `forces` eV/Å, `stress` eV/Å^3), and what was dropped and why."""
    dropped: Counter[str] = Counter()
    sound = []
    for frame in frames:
        fault = contact_fault(frame.graph, config.min_contact)
        if fault is None:
            sound.append(frame)
        else:
            dropped["two atoms inside each other" if "covalent" in fault else _general(fault)] += 1
    records: list[dict[str, Any]] = []
    for batch in _batches(sound, config.max_atoms_per_batch):
        for frame, label in zip(batch, _ask(teacher, batch), strict=True):
            if isinstance(label, str):
                dropped[f"the teacher failed: {_general(label)}"] += 1
            elif np.abs(label["forces"]).max() > config.max_force:
                dropped[f"a force above {config.max_force:g} eV/Å"] += 1
            else:
                records.append(_record(frame, label))
    return records, dropped


def _label_part(
    chunk: Sequence[Task], teacher: Potential, mover: Potential | None, config: DistillationConfig
) -> dict[str, Any]:
    frames = [frame for task in chunk for frame in task_frames(task, config)]
    frames += trajectory_frames(chunk, teacher, config)
    if mover is not None:
        frames += relaxed_frames(chunk, mover, config)
    records, dropped = label_frames(frames, teacher, config)
    return {"frames": records, "dropped": dict(dropped)}


def _ask(teacher: Potential, frames: Sequence[Frame]) -> list[dict[str, np.ndarray] | str]:
    """The teacher's labels, or its complaint; where a batch fails as a whole each frame is tried alone."""
    try:
        batch = collate([frame.graph for frame in frames])
        output = teacher(batch, stress=True)
    except _TEACHER_ERRORS as error:
        if len(frames) == 1:
            return [" ".join(str(error).split()) or type(error).__name__]
        return [_ask(teacher, [frame])[0] for frame in frames]
    labels: list[dict[str, np.ndarray] | str] = []
    for k in range(len(frames)):
        label = {
            "energy": output["energy"][k : k + 1].double().cpu().numpy(),
            "forces": output["forces"][batch.ptr[k] : batch.ptr[k + 1]].double().cpu().numpy(),
            "stress": output["stress"][k].double().cpu().numpy(),
        }
        if "site_energies" in output:
            sites = output["site_energies"][batch.ptr[k] : batch.ptr[k + 1]].double().cpu().numpy()
            if abs(sites.sum() - label["energy"][0]) < _SITE_TOLERANCE * len(sites):  # else no decomposition of it
                label["site_energies"] = sites
        finite = all(np.isfinite(value).all() for value in label.values())
        labels.append(label if finite else "an answer is not finite")
    return labels


def _batches(frames: Sequence[Frame], max_atoms: int) -> list[list[Frame]]:
    batches: list[list[Frame]] = []
    room = 0
    for frame in frames:
        size = frame.graph.num_nodes
        if not batches or size > room:
            batches.append([])
            room = max_atoms
        batches[-1].append(frame)
        room -= size
    return batches


def _record(frame: Frame, label: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "kind": frame.kind,
        "formula": frame.formula,
        "rattle": frame.rattle,
        "step": frame.step,
        "numbers": frame.graph.numbers.tolist(),
        "positions": frame.graph.positions.numpy().round(6).tolist(),
        "cell": frame.graph.cell.numpy().round(6).tolist(),
        "energy": float(label["energy"][0]),
        "forces": label["forces"].round(6).tolist(),
        "stress": label["stress"].round(8).tolist(),
        **({"site_energies": label["site_energies"].round(6).tolist()} if "site_energies" in label else {}),
    }


def format_frame(record: dict[str, Any]) -> str:
    """One labelled crystal as extended XYZ."""
    cell = " ".join(f"{x:.6f}" for row in record["cell"] for x in row)
    stress = " ".join(f"{x:.8f}" for row in record["stress"] for x in row)
    sites = record.get("site_energies")
    column = ":site_energies:R:1" if sites else ""
    lines = [
        str(len(record["numbers"])),
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3{column} energy={record["energy"]:.6f} '
        f'stress="{stress}" kind={record["kind"]} formula={record["formula"]} '
        f'rattle={record["rattle"]:g} step={record["step"]} pbc="T T T"',
    ]
    rows = zip(record["numbers"], record["positions"], record["forces"], strict=True)
    for k, (z, position, force) in enumerate(rows):
        numbers = " ".join(f"{x:.6f}" for x in (*position, *force, *(sites[k : k + 1] if sites else ())))
        lines.append(f"{chemical_symbols[z]} {numbers}")
    return "\n".join(lines) + "\n"


def _merge(config: DistillationConfig, teacher: str, dropped: Counter[str], done: int, planned: int) -> dict[str, Any]:
    """Write both sets from the parts; held-out frames with an element nobody trains on are left out."""
    records: list[dict[str, Any]] = []
    for path in sorted((config.out / _PARTS).glob("[0-9]*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        records += part["frames"]
        dropped = dropped + Counter(part["dropped"])
    if not all("site_energies" in record for record in records):  # labels of some frames only are of no use
        records = [{key: value for key, value in record.items() if key != "site_energies"} for record in records]
    sets: dict[str, list[dict[str, Any]]] = {name: [] for name in (TRAIN, VALIDATION, HELD_OUT)}
    for record in records:
        sets[set_of(record["formula"], config)].append(record)
    training = sets[TRAIN]
    learned = {z for record in training for z in record["numbers"]}
    for name in (VALIDATION, HELD_OUT):
        testable = [record for record in sets[name] if set(record["numbers"]) <= learned]
        if len(testable) < len(sets[name]):
            dropped["held out, with an element no training frame holds"] += len(sets[name]) - len(testable)
        sets[name] = testable
    if not training or not sets[HELD_OUT]:
        raise InputError(
            f"{len(training)} frames to train on and {len(sets[HELD_OUT])} held out ({told(dropped)}): "
            "give more structures or another held_out"
        )
    sets = {name: frames for name, frames in sets.items() if frames}
    named = {{TRAIN: "training"}.get(name, name.removesuffix(".extxyz")): frames for name, frames in sets.items()}
    for name, frames in sets.items():
        write_atomic(config.out / name, "".join(format_frame(record) for record in frames))
    counts = Counter(z for record in training for z in set(record["numbers"]))
    return {
        "teacher": teacher,
        "seed": config.seed,
        "config_hash": config_hash(config),
        "units": {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3, positive under tension", "length": "Å"},
        "structures": {"planned": planned, "labelled": done},
        "frames": {
            name: {"all": len(frames), **Counter(record["kind"] for record in frames)} for name, frames in named.items()
        },
        "atoms": {name: _atoms(frames) for name, frames in named.items()},
        "compositions": {name: len({record["formula"] for record in frames}) for name, frames in named.items()},
        "site_energies": "site_energies" in training[0],
        "elements": {chemical_symbols[z]: counts[z] for z in sorted(counts)},  # training frames that hold each
        "dropped": dict(dropped.most_common()),
        "sha256": {name: sha256_file(config.out / name) for name in sets},
    }


def _atoms(records: Sequence[dict[str, Any]]) -> int:
    return sum(len(record["numbers"]) for record in records)


def _check_identity(config: DistillationConfig, parts: Path, teacher: str, planned: int, resume: bool) -> None:
    """Parts of another configuration are no parts of this set."""
    neutral = config.model_copy(update={"out": Path(), "max_minutes": None})
    identity = {"config_hash": config_hash(neutral), "teacher": teacher, "structures": planned}
    path = parts / _IDENTITY
    if not resume:
        for old in [*parts.glob("*.json")]:
            old.unlink()
    elif path.exists() and json.loads(path.read_text(encoding="utf-8")) != identity:
        raise InputError(
            f"{parts} holds parts of another configuration: choose another out, or start over with --fresh"
        )
    write_atomic(path, json.dumps(identity))


def _general(reason: str) -> str:
    """A reason without its numbers, so that alike ones are counted together."""
    return re.sub(r"[-\d.]+(e[+-]?\d+)?", "#", reason)[:100]
