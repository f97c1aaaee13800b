"""From raw samples to structures: batching, the geometry gate, resampling, symmetrising, provenance."""

import collections
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure
from tqdm import tqdm

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import parse_conditions
from gen.crystals.gate import geometry_fault
from gen.crystals.sampling import Sample, SamplingConfig, draw_seed, sample_batch
from gen.crystals.symmetry import niggli_cell, primitive_cell, space_group

logger = logging.getLogger(__name__)

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
) -> list[Generated]:
    """Generate one crystal for each index, in the order given.

    Structure i depends on (seed, i), the conditions and the settings alone, never on the batch it was in. A crystal
    that fails the geometry gate is returned with its fault, or drawn again with `resample_invalid` (at most
    `MAX_ATTEMPTS` times); one with a number that is not finite is always drawn again, since no structure can hold it.
    The gate's counts go to the log.

    Raises:
        InputError: conditions this model cannot meet.
    """
    config = config or SamplingConfig()
    asked = parse_conditions(conditions, model.elements, model.atom_counts, model.formula_units)
    done: dict[int, Generated] = {}
    faults: collections.Counter[str] = collections.Counter()
    waiting = list(indices)
    with tqdm(total=len(waiting), desc="generate", unit="crystal", disable=not progress) as bar:
        for attempt in range(MAX_ATTEMPTS):
            seeds = collections.defaultdict(list)
            for index in waiting:
                drawn = draw_seed(seed, index, attempt, asked, config, model.process.lattice_size)
                seeds[drawn.n_atoms].append(drawn)
            again = []
            for n_atoms in sorted(seeds):
                group = seeds[n_atoms]
                for start in range(0, len(group), batch_size):
                    for sample in sample_batch(model, group[start : start + batch_size], asked, config):
                        structure, fault = _finish(sample, model, seed, dict(conditions or {}), config)
                        if fault is not None:
                            faults[fault.split(":")[0]] += 1
                        last = attempt + 1 == MAX_ATTEMPTS
                        if fault is not None and not last and (resample_invalid or structure is None):
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


def symmetrize(structure: Structure, symprec: float = 0.1) -> Structure:
    """Primitive cell with the symmetry spglib finds within `symprec` Å imposed on it.

    The properties gain `space_group` (international number) and `symprec`; a structure whose symmetry cannot be
    determined comes back as it was, with `space_group` 1.
    """
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


def _finish(
    sample: Sample, model: CrystalModel, seed: int, conditions: dict[str, Any], config: SamplingConfig
) -> tuple[Structure | None, str | None]:
    frac, lattice = sample.frac.double().numpy(), sample.lattice.double().numpy()
    fault = geometry_fault(frac, lattice)
    if fault is not None and fault.startswith("non-finite"):
        return None, fault
    numbers = sample.numbers.numpy()
    # the reduced cell has the shortest vectors, so only it shows every overlap
    lattice, frac, numbers = niggli_cell((lattice, frac, numbers)) or (lattice, frac, numbers)
    fault = fault or geometry_fault(frac, lattice)
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
    # the orientation is not generated: a along x, b in the xy plane
    standard = Lattice.from_parameters(*Lattice(lattice).parameters)
    return Structure(standard, symbols, frac[order], properties=properties), fault
