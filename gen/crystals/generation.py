"""From raw samples to structures: batching, the geometry gate, resampling, symmetrising, provenance."""

import collections
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import parse_conditions
from gen.crystals.gate import geometry_fault
from gen.crystals.inpainting import Fixed, Start, known_part, start_part, user_cell
from gen.crystals.sampling import Sample, SamplingConfig, Task, draw_seed, sample_batch
from gen.crystals.symmetry import Cell, niggli_cell, primitive_cell, space_group
from potentials.bars import progress_bar
from potentials.errors import InputError

logger = logging.getLogger(__name__)

HELD_SYMPREC = 0.01  # Å at which a crystal must have exactly the space group that was asked for
BROKEN = ("condition", "symmetry")  # faults of crystals that are not what was asked for: always drawn again
MAX_ATTEMPTS = 10  # at the shipped weights' fault rate, ten in a row never happen by chance


@dataclass(frozen=True)
class Generated:
    """The outcome for one index."""

    index: int
    structure: Structure | None  # None when every attempt was unusable
    fault: str | None  # what the geometry gate says about it, None when it passes
    attempts: int


def generate_crystals(
    model: CrystalModel,
    indices: Sequence[int],
    seed: int,
    conditions: Mapping[str, Any] | None = None,
    config: SamplingConfig | None = None,
    *,
    batch_size: int = 64,
    resample_invalid: bool = False,
    progress: bool = False,
    fixed: Fixed | None = None,
    start: Start | None = None,
) -> list[Generated]:
    """Generate one crystal for each index, in the order given.

    Structure i depends on (seed, i), the conditions and the settings alone, never on the batch it was in. A crystal
    that fails the geometry gate is returned with its fault, or drawn again with `resample_invalid` (at most
    `MAX_ATTEMPTS` times); one with a number that is not finite is always drawn again, since no structure can hold it,
    and so is one that breaks a bound on its elements, or whose space group turned out higher than the one asked for.
    The gate's counts go to the log.

    Args:
        fixed: part of a structure to complete; its sites come first, in their order and cell, and nothing is reduced.
        start: a structure to start from instead of noise.

    Raises:
        InputError: conditions this model cannot meet.
    """
    config = config or SamplingConfig()
    task = make_task(model, conditions, config, fixed, start)
    done: dict[int, Generated] = {}
    faults: collections.Counter[str] = collections.Counter()
    waiting = list(indices)
    with progress_bar(total=len(waiting), desc="generate", unit="crystal", progress=progress) as bar:
        for attempt in range(MAX_ATTEMPTS):
            seeds = collections.defaultdict(list)
            for index in waiting:
                drawn = draw_seed(seed, index, attempt, task, config, model.process)
                seeds[drawn.n_atoms].append(drawn)
            again = []
            for n_atoms in sorted(seeds):
                group = seeds[n_atoms]
                for first in range(0, len(group), batch_size):
                    for sample in sample_batch(model, group[first : first + batch_size], task, config):
                        structure, fault = _finish(sample, model, seed, dict(conditions or {}), config, task)
                        if fault is not None:
                            faults[fault.split(":")[0]] += 1
                        last = attempt + 1 == MAX_ATTEMPTS
                        unwanted = structure is None or (fault is not None and fault.startswith(BROKEN))
                        if fault is not None and not last and (resample_invalid or unwanted):
                            again.append(sample.index)
                            continue
                        done[sample.index] = Generated(sample.index, structure, fault, attempt + 1)
                        bar.update()
            waiting = again
            if not waiting:
                break
    if faults:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(faults.items()))
        action = "drawn again" if resample_invalid else "kept and marked"
        logger.warning("geometry gate: %s of %d crystals (%s)", listed, len(indices), action)
    return [done[index] for index in indices]


def make_task(
    model: CrystalModel,
    conditions: Mapping[str, Any] | None,
    config: SamplingConfig,
    fixed: Fixed | None = None,
    start: Start | None = None,
) -> Task:
    """Check everything asked for, together.

    Raises:
        InputError: conditions this model cannot meet, or that contradict each other or the given structure.
    """
    given = dict(conditions or {})
    if model.process.diffuses_species and (fixed is not None or start is not None or set(given) - {"num_atoms"}):
        raise InputError("process diffcsp_denovo is a baseline without conditions: give none but num_atoms")
    if fixed is not None and start is not None:
        raise InputError("fixed and start contradict: complete a part, or start from a whole structure")
    if (fixed is not None or start is not None) and given.get("space_group") is not None:
        raise InputError("space_group cannot be held around a given structure: drop one of the two")
    if config.resample > 1 and fixed is None:
        raise InputError(f"resample = {config.resample} goes back and forth around a fixed part: give one, or drop it")
    if fixed is not None:
        given.setdefault("num_atoms", len(fixed.structure))
    if start is not None:
        if given.get("num_atoms") not in (None, len(start.structure)):
            raise InputError(f"num_atoms = {given['num_atoms']} and a start of {len(start.structure)} atoms contradict")
        given["num_atoms"] = len(start.structure)
    asked = parse_conditions(given, model.elements, model.atom_counts, model.formula_units, model.properties)
    if start is not None:
        part = start_part(start, model)
        if not start.species_noise and (fault := asked.violation(part.tokens.tolist())):
            raise InputError(f"the start's own elements break a condition ({fault}): raise species_noise")
        return Task(asked, start=part, start_time=start.noise, species_noise=start.species_noise)
    if fixed is None:
        return Task(asked)
    known = known_part(fixed, model)
    sizes = {n: weight for n, weight in asked.sizes.items() if n >= len(known.tokens)}
    kept = [s for s in known.tokens.tolist() if s >= 0]
    for n in list(sizes):
        bounds = asked.within(n)
        need = sum(max(0, least - kept.count(s)) for s, least in bounds.lower.items())
        if need > n - len(kept) or any(kept.count(s) > bounds.most(s) for s in set(kept)):
            del sizes[n]
    if not sizes:
        counts = ", ".join(str(n) for n in sorted(asked.sizes))
        raise InputError(
            f"{len(known.tokens)} fixed sites and their elements fit none of {counts} atoms under these conditions: "
            "raise num_atoms, or relax the conditions"
        )
    return Task(dataclasses.replace(asked, sizes=sizes), known=known)


def symmetrize(structure: Structure, symprec: float = 0.1) -> Structure:
    """Primitive cell with the symmetry spglib finds within `symprec` Å imposed on it.

    The properties gain `space_group` (international number) and `symprec`; a structure whose symmetry cannot be
    determined comes back as it was, with `space_group` 1. One generated in a given space group is symmetrised at
    `HELD_SYMPREC`: at a wider tolerance it may look more symmetric than it was asked to be.
    """
    if (structure.properties.get("conditions") or {}).get("space_group") is not None:
        symprec = min(symprec, HELD_SYMPREC)
    numbers = np.array([site.specie.Z for site in structure])
    cell = (structure.lattice.matrix, structure.frac_coords, numbers)
    number = space_group(cell, symprec)
    standard = primitive_cell(cell, symprec)
    if number is None or standard is None:
        return Structure.from_sites(list(structure), properties={**structure.properties, "space_group": 1})
    lattice, frac, numbers = standard
    properties = {**structure.properties, "space_group": number, "symprec": symprec}
    symbols = [Element.from_Z(int(z)).symbol for z in numbers]
    return Structure(Lattice(lattice), symbols, frac, properties=properties)


def _symmetry_fault(task: Task, cell: Cell) -> str | None:
    """Why a crystal is not in the space group asked for: equal species on two orbits, or a relaxed coordinate."""
    asked = task.conditions.space_group
    found = None if asked is None else space_group(cell, HELD_SYMPREC)
    if found == asked:
        return None
    return f"symmetry: space group {found} within {HELD_SYMPREC} Å, asked for {asked}"


def _finish(
    sample: Sample, model: CrystalModel, seed: int, conditions: dict[str, Any], config: SamplingConfig, task: Task
) -> tuple[Structure | None, str | None]:
    frac, lattice = sample.frac.double().numpy(), sample.lattice.double().numpy()
    fault = geometry_fault(frac, lattice)
    if fault is not None and fault.startswith("non-finite"):
        return None, fault
    numbers = sample.numbers.numpy()
    broken = task.conditions.violation([model.elements.index(int(z)) for z in numbers])
    # the reduced cell has the shortest vectors, so only it shows every overlap
    reduced = niggli_cell((lattice, frac, numbers)) or (lattice, frac, numbers)
    fault = broken or fault or geometry_fault(reduced[1], reduced[0]) or _symmetry_fault(task, reduced)
    order = np.arange(len(numbers))
    if task.known is not None:
        frac, lattice = user_cell(task.known, frac, lattice)
    else:
        lattice, frac, numbers = reduced
        order = np.argsort(numbers, kind="stable")
    symbols = [Element.from_Z(int(z)).symbol for z in numbers[order]]
    properties = {
        "generator": "crystals",
        "model_sha256": model.sha256,
        "seed": seed,
        "index": sample.index,
        "attempt": sample.attempt,
        "conditions": conditions,
        "sampling": config.model_dump(mode="json"),
        "fault": fault,
    }
    if task.known is not None and task.known.lattice is not None:
        return Structure(Lattice(lattice), symbols, frac[order], properties=properties), fault
    # the orientation is not generated: a along x, b in the xy plane
    standard = Lattice.from_parameters(*Lattice(lattice).parameters)
    return Structure(standard, symbols, frac[order], properties=properties), fault
