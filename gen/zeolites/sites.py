"""Silicon sites and cells from the crystal diffusion model, under sizes and space groups that training cells have.

Oxygen is not generated: it sits between linked silicons, and which are linked is `gen.zeolites.links`' business.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.frame_batch import FrameBatch
from gen.crystals.generation import make_task
from gen.crystals.reverse_process import SamplingConfig, Seed
from gen.crystals.sampling import Task, draw_seed, sample_batch
from gen.crystals.structure_types import StructureType, type_frame
from gen.crystals.symmetry import niggli_cell
from gen.evaluation.reference import Fingerprint, Reference
from gen.zeolites.framework import SILICON
from potentials.errors import InputError

FORMULA = "Si"
BATCH = 64


@dataclass(frozen=True)
class SilicaSites:
    """Where silicon was put."""

    lattice: np.ndarray  # [3, 3] Å, rows are vectors
    frac: np.ndarray  # [T, 3]
    space_group: int | None  # that was held to, None where there was none


Maker = Callable[[CrystalModel, Sequence[Seed], Task, SamplingConfig], list[tuple[np.ndarray, np.ndarray]]]


def draw_sites(
    model: CrystalModel,
    reference: Reference,
    indices: Sequence[tuple[int, int]],
    seed: int,
    conditions: Mapping[str, Any],
    config: SamplingConfig,
    symmetric: float,
    make: Maker | None = None,
) -> dict[tuple[int, int], SilicaSites | None]:
    """Sites for each (index, draw), a function of (seed, index, draw), the conditions and the settings alone.

    None stands for a cell too broken to look at.

    Args:
        reference: fingerprints of the training cells, from which sizes and space groups are drawn.
        conditions: `num_atoms` (of SiO2) or `space_group` where they are wanted.
        symmetric: share of samples that are held to a space group.
        make: `generated` by default; `random_sites` gives what the sampler starts from.
    """
    make = make or generated
    config = config.model_copy(update={"symmetry": "free"})  # what is held is drawn here, alike for every maker
    tasks: dict[str, Task] = {}
    groups: dict[tuple[int, bool], list[tuple[tuple[int, int], Seed, int | None]]] = collections.defaultdict(list)
    for index, draw in indices:
        wanted, kind = _conditions(model, reference, seed, index, conditions, symmetric)
        name = str(sorted(wanted.items()))
        if name not in tasks:
            tasks[name] = make_task(model, wanted, config)
        drawn = draw_seed(seed, index, draw, tasks[name], config, model.process)
        group = tasks[name].conditions.space_group
        if kind is not None:
            random = np.random.default_rng([seed, index, draw])
            drawn, group = dataclasses.replace(drawn, frame=type_frame(kind, random)), kind.space_group
        groups[drawn.n_atoms, drawn.frame is not None].append(((index, draw), drawn, group))
    done: dict[tuple[int, int], SilicaSites | None] = {}
    for (n_atoms, _), members in sorted(groups.items()):
        task = make_task(model, {"composition": FORMULA, "num_atoms": n_atoms}, config)
        for first in range(0, len(members), BATCH):
            part = members[first : first + BATCH]
            cells = make(model, [drawn for _, drawn, _ in part], task, config)
            for (place, _, group), cell in zip(part, cells, strict=True):
                done[place] = _sites(cell, group)
    return done


def generated(
    model: CrystalModel, seeds: Sequence[Seed], task: Task, config: SamplingConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(lattice, coordinates) at the end of the reverse process."""
    return [
        (sample.lattice.double().numpy(), sample.frac.double().numpy())
        for sample in sample_batch(model, seeds, task, config)
    ]


def random_sites(
    model: CrystalModel, seeds: Sequence[Seed], task: Task, config: SamplingConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same at its beginning: uniform coordinates on the same orbits, cells as spread as those of training."""
    frames = FrameBatch([seed.frame for seed in seeds], torch.device("cpu"))
    normal = torch.stack([seed.strain for seed in seeds])
    geometry = model.process.prior(frames.origin(torch.stack([seed.frac for seed in seeds])), normal)
    lattices = frames.finish(model.process.view(geometry.components, seeds[0].n_atoms)[1]).double().numpy()
    return list(zip(lattices, geometry.frac.double().numpy(), strict=True))


def _sites(cell: tuple[np.ndarray, np.ndarray], group: int | None) -> SilicaSites | None:
    lattice, frac = cell
    if not (np.isfinite(lattice).all() and np.isfinite(frac).all()):
        return None
    reduced = niggli_cell((lattice, frac, np.full(len(frac), SILICON)))
    if reduced is None or abs(np.linalg.det(reduced[0])) < 1.0:
        return None
    return SilicaSites(reduced[0], reduced[1], group)


def _conditions(
    model: CrystalModel, reference: Reference, seed: int, index: int, given: Mapping[str, Any], symmetric: float
) -> tuple[dict[str, Any], StructureType | None]:
    """Conditions of one sample: its size and, for a share of them, space group and Wyckoff sites, as in training cells.

    A space group that was asked for is met on sites drawn at random.
    """
    cells = _cells(reference, given)
    generator = generator_for(seed, "silica", index)
    if given.get("space_group") is not None:
        asked = {"composition": FORMULA, "space_group": given["space_group"]}
        fitting = make_task(model, asked, SamplingConfig()).conditions.sizes
        sizes = [cell.n_atoms for cell in cells if cell.n_atoms in fitting] or [cells[0].n_atoms]
        return {**asked, "num_atoms": sizes[_pick(sizes, generator)]}, None
    size = cells[_pick(cells, generator)].n_atoms
    wanted = {"composition": FORMULA, "num_atoms": size}
    if model.types is None or float(torch.rand(1, generator=generator)) >= symmetric:
        return wanted, None
    known = model.types.crystals.get((size,), ())
    return wanted, model.types.types[known[_pick(known, generator)][0]] if known else None


def _cells(reference: Reference, given: Mapping[str, Any]) -> list[Fingerprint]:
    cells = [cell for cells in reference.training.values() for cell in cells]
    if given.get("num_atoms") is None:
        return cells
    try:
        count = int(given["num_atoms"])
    except (TypeError, ValueError):
        raise InputError(f"num_atoms = {given['num_atoms']!r} is not a whole number: write it as 36") from None
    if count % 3:
        raise InputError(f"num_atoms = {count} is no multiple of 3, the atoms of SiO2")
    return [cell for cell in cells if 3 * cell.n_atoms == count] or [Fingerprint(count // 3, 1, 0.0)]


def _pick(cells: Sequence[Any], generator: torch.Generator) -> int:
    return int(torch.randint(len(cells), (1,), generator=generator))
