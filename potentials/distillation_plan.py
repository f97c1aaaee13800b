"""What a distilled potential is to be trained on: structures of a pool, with other elements too, and their geometries.

Which set a composition belongs to, and every random number, is a pure function of the configuration and of the place a
structure has in the pool.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from potentials.atom_graph import AtomGraph
from potentials.distillation_config import DistillationConfig
from potentials.distillation_structures import (
    Source,
    contact_fault,
    is_held_out,
    perturb,
    perturbed_copies,
    random_strain,
    read_sources,
    reduced_formula,
)
from potentials.distillation_substitution import atomic_volumes, substitute
from potentials.errors import InputError
from potentials.potential import load_potential

TRAIN, VALIDATION, HELD_OUT = "train.extxyz", "validation.extxyz", "held_out.extxyz"


@dataclass(frozen=True)
class Frame:
    """A geometry to be labelled."""

    graph: AtomGraph
    kind: str  # crystal, rattled, trajectory, generated, substituted
    formula: str
    rattle: float = 0.0  # Å
    step: int = 0  # of the teacher's relaxation, or of the one of `substituted.relaxed_by`


@dataclass(frozen=True)
class Task:
    """A structure of the pool with its place in it, which seeds its random numbers."""

    index: int
    source: Source
    generated: bool
    substituted: bool = False  # elements replaced: not near a minimum, labelled strained and rattled only


def plan_tasks(config: DistillationConfig) -> tuple[list[Task], Counter[str]]:
    """The pool in a seeded random order, and how many structures were left out for which reason.

    Raises:
        InputError: a path that cannot be read, or nothing left.
    """
    dropped: Counter[str] = Counter()
    excluded = {source.formula for path in config.exclude_formulas_of for source in read_sources(path)}
    known = load_potential(config.teacher).elements
    kept: list[tuple[Source, bool]] = []
    for paths, generated in ((config.structures, False), (config.generated, True)):
        pool: list[Source] = []
        for path in paths:
            for source in read_sources(path):
                reason = _unfit(source, config, excluded, known)
                if reason is None:
                    pool.append(source)
                else:
                    dropped[reason] += 1
        order = np.random.default_rng([config.seed, int(generated)]).permutation(len(pool))
        chosen = [pool[k] for k in order][: None if generated else config.count]
        kept += [(source, generated) for source in chosen]
    common = _common_elements([source for source, _ in kept], config.min_structures_per_element)
    usable = [(source, generated) for source, generated in kept if _elements(source) <= common]
    if len(usable) < len(kept):
        dropped["an element too rare among the structures"] = len(kept) - len(usable)
    if not usable:
        raise InputError(f"no structure of {len(kept) + sum(dropped.values())} can be used ({told(dropped)})")
    tasks = [Task(index, source, generated) for index, (source, generated) in enumerate(usable)]
    return [*tasks, *_substituted_tasks(tasks, excluded, config, dropped)], dropped


def _substituted_tasks(
    tasks: Sequence[Task], excluded: set[str], config: DistillationConfig, dropped: Counter[str]
) -> list[Task]:
    """Structures of the pool with other elements; none of a composition that is held out or excluded."""
    graphs = [task.source.graph for task in tasks if task.source.graph is not None and not task.generated]
    made: list[Task] = []
    volumes = atomic_volumes(graphs) if config.substituted.count else {}
    for number in range(config.substituted.count):
        generator = np.random.default_rng([config.seed, 4, number])
        graph = substitute(graphs[int(generator.integers(len(graphs)))], volumes, config.substituted, generator)
        formula = reduced_formula(graph.numbers.tolist())
        if formula in excluded or set_of(formula, config) != TRAIN:
            dropped["substituted, of a held-out or excluded formula"] += 1
            continue
        source = Source(f"substituted {number}", graph, formula)
        made.append(Task(len(tasks) + number, source, generated=False, substituted=True))
    return made


def task_frames(task: Task, config: DistillationConfig) -> list[Frame]:
    """Geometries of one structure that need no teacher to be known."""
    assert task.source.graph is not None
    if task.generated:
        return []
    generator = np.random.default_rng([config.seed, 2, task.index])
    if task.substituted:
        return [] if goes_to_minimum(task, config) else [substituted_frame(task, task.source.graph, config)]
    frames = [Frame(task.source.graph, "crystal", task.source.formula)]
    for graph, rattle in perturbed_copies(task.source.graph, config.perturbed, generator):
        frames.append(Frame(graph, "rattled", task.source.formula, rattle))
    return frames


def goes_to_minimum(task: Task, config: DistillationConfig) -> bool:
    """Whether a substituted structure is relaxed by `substituted.relaxed_by` before it is perturbed."""
    settings = config.substituted
    if not task.substituted or settings.relaxed_by is None:
        return False
    return bool(np.random.default_rng([config.seed, 5, task.index]).random() < settings.relaxed)


def substituted_frame(task: Task, graph: AtomGraph, config: DistillationConfig, *, relaxed: bool = False) -> Frame:
    """The substituted structure of a task, as made or `relaxed` to `graph`, strained and rattled.

    Where a relaxed one draws no rattle it stays where it is: what a student takes for a minimum is told how far off it
    is.
    """
    generator = np.random.default_rng([config.seed, 2, task.index])
    rattle = float(generator.choice(config.substituted.rattles))
    if not (relaxed and rattle == 0):
        graph = perturb(graph, rattle, random_strain(config.perturbed, generator), generator)
    return Frame(graph, "substituted", task.source.formula, rattle, config.substituted.relaxed_steps if relaxed else 0)


def set_of(formula: str, config: DistillationConfig) -> str:
    """The file a composition belongs to."""
    if is_held_out(formula, config.held_out, config.seed):
        return HELD_OUT
    return VALIDATION if is_held_out(f"validation {formula}", config.validation, config.seed) else TRAIN


def _unfit(source: Source, config: DistillationConfig, excluded: set[str], known: frozenset[int]) -> str | None:
    if source.graph is None:
        return "unreadable"
    if source.graph.num_nodes > config.max_atoms:
        return f"more than {config.max_atoms} atoms"
    if not bool(source.graph.pbc.all()):
        return "not periodic in three directions"
    if source.formula in excluded:
        return "an excluded formula"
    if not _elements(source) <= known:
        return "an element the teacher does not know"
    return None if contact_fault(source.graph, config.min_contact) is None else "atoms inside each other or a flat cell"


def _elements(source: Source) -> set[int]:
    return set() if source.graph is None else set(source.graph.numbers.tolist())


def _common_elements(sources: Sequence[Source], least: int) -> set[int]:
    counts = Counter(z for source in sources for z in _elements(source))
    return {z for z, count in counts.items() if count >= least}


def told(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.most_common(4)) or "nothing was dropped"
