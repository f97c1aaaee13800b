"""Crystal structure prediction for many compositions at once: cells of equal atom count share a batch."""

import collections
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Element, Lattice, Structure
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.frame_batch import FrameBatch
from gen.crystals.frames import Frame, free_frame
from gen.crystals.gate import cell_heights
from gen.crystals.process import Geometry
from gen.crystals.sampling import SamplingConfig
from gen.diffusion.sampler import predictor_corrector
from gen.diffusion.schedules import time_grid
from potentials.bars import progress_bar
from potentials.errors import InputError

MIN_HEIGHT = 0.3  # Å; flatter cells are no crystals, and hang compiled neighbour lists


@dataclass(frozen=True)
class _Job:
    """One sample to be made: its place in the result and its species."""

    composition: int
    sample: int
    asked: tuple[int, ...]  # species as they were given
    tokens: tuple[int, ...]  # in the order of the frame's sites
    frame: Frame | None = None  # of a structure type to hold


def predict_structures(
    model: CrystalModel,
    compositions: Sequence[Sequence[int]],
    *,
    seed: int,
    samples: int = 1,
    config: SamplingConfig | None = None,
    batch_size: int = 128,
    precision: str = "float32",
    progress: bool = False,
) -> list[list[Structure | None]]:
    """Structures for each composition, `samples` of each; raw, neither gated nor symmetrised.

    With `symmetry: known` each sample is held to a structure type drawn for its composition, where one is known.
    Sample k of composition i depends on (seed, i, k) and the settings alone, never on the batch it was in.

    Args:
        compositions: atomic numbers of all atoms of each primitive cell.
        precision: "bfloat16" does the network's matrix products in it: faster where the processor is made for it.

    Returns:
        One list of `samples` structures a composition; None for a sample that is not finite, or a cell under 0.3 Å
        high; all None where the model does not know an element.

    Raises:
        InputError: a precision that does not exist, a corrector asked of a flow, or a process without given species.
    """
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"precision {precision!r} is unknown: use float32 or bfloat16")
    if model.process.diffuses_species:
        raise InputError("process diffcsp_denovo predicts no structure of a given composition: use process diffcsp")
    config = config or SamplingConfig()
    typed = config.symmetry == "known" and model.types is not None and model.process.holds_symmetry
    index = {number: token for token, number in enumerate(model.elements)}
    waiting: dict[int, list[_Job]] = collections.defaultdict(list)
    for place, numbers in enumerate(compositions):
        if all(number in index for number in numbers):
            tokens = tuple(index[number] for number in numbers)
            jobs = [_Job(place, sample, tokens, tokens) for sample in range(samples)]
            waiting[len(numbers)] += [_typed(model, job, seed, config.likeness) for job in jobs] if typed else jobs
    results: list[list[Structure | None]] = [[None] * samples for _ in compositions]
    total = sum(len(jobs) for jobs in waiting.values())
    device = next(model.network.parameters()).device
    with progress_bar(total=total, desc="predict", unit="crystal", progress=progress) as bar:
        for n_atoms in sorted(waiting):
            jobs = waiting[n_atoms]
            for start in range(0, len(jobs), batch_size):
                batch = jobs[start : start + batch_size]
                with (
                    torch.inference_mode(),
                    torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"),
                ):
                    frac, lattice = _denoise(model, batch, seed, config)
                for row, job in enumerate(batch):
                    numbers = compositions[job.composition]
                    results[job.composition][job.sample] = _structure(numbers, frac[row][_order(job)], lattice[row])
                bar.update(len(batch))
    return results


def evaluations(config: SamplingConfig) -> int:
    """Network evaluations of one prediction."""
    return config.steps + (config.steps - 1 if config.corrector else 0) + config.quench_steps


def _denoise(model: CrystalModel, jobs: Sequence[_Job], seed: int, config: SamplingConfig) -> tuple[Tensor, Tensor]:
    """Coordinates [B, N, 3] and lattices [B, 3, 3] of a batch with all species known, on the CPU."""
    process, n_atoms = model.process, len(jobs[0].tokens)
    device = next(model.network.parameters()).device
    tokens = torch.tensor([job.tokens for job in jobs], device=device)
    frames = FrameBatch([job.frame for job in jobs], device)
    generators = [generator_for(seed, "predict", job.composition, job.sample) for job in jobs]

    def normal(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)

    def heads(geometry: Geometry, t: float) -> Geometry:
        found, _ = process.evaluate(model.network, tokens, geometry, torch.full((len(jobs),), t, device=device))
        return frames.hold_lattice(process, geometry, found, t)

    def predict(geometry: Geometry, step: int, t: float, t_next: float) -> Geometry:
        noise = Geometry(config.noise * frames.spread(normal(n_atoms, 3)), config.noise * normal(process.lattice_size))
        stepped = process.reverse_step(geometry, heads(geometry, t), t, t_next, noise, config.anti_annealing)
        return frames.hold(geometry, stepped)

    def correct(geometry: Geometry, step: int, t: float) -> Geometry:
        noise = frames.spread(normal(n_atoms, 3))
        return frames.hold(
            geometry, process.corrector_step(geometry, heads(geometry, t), t, config.corrector_step, noise)
        )

    uniform = torch.stack([torch.rand(n_atoms, 3, generator=generator) for generator in generators]).to(device)
    geometry = process.prior(frames.origin(uniform), normal(process.lattice_size))
    for following in predictor_corrector(
        geometry, time_grid(config.steps).tolist(), predict, correct if config.corrector else None
    ):
        geometry = following
    for step in range(config.quench_steps):
        t = config.quench_time * (1 - step / config.quench_steps)
        level = process.at_level(geometry, t)
        geometry = frames.hold(level, process.denoised(level, heads(level, t), t))
    return geometry.frac.float().cpu(), frames.finish(process.view(geometry.components, n_atoms)[1]).float().cpu()


def _typed(model: CrystalModel, job: _Job, seed: int, likeness: float) -> _Job:
    """The job held to a structure type drawn for its composition, or to nothing where none is known."""
    assert model.types is not None
    numbers = [model.elements[token] for token in job.tokens]
    found = model.types.draw(numbers, generator_for(seed, "type", job.composition, job.sample), likeness)
    if found is None:
        uniform = torch.rand(len(numbers), 3, generator=generator_for(seed, "origin", job.composition, job.sample))
        return dataclasses.replace(job, frame=free_frame(uniform))
    tokens = tuple(model.elements.index(z) for z in found[1])
    return dataclasses.replace(job, tokens=tokens, frame=found[0])


def _order(job: _Job) -> np.ndarray:
    """[N] for each species as given, the atom of the sample that has it."""
    order = np.empty(len(job.asked), dtype=int)
    order[np.argsort(job.asked, kind="stable")] = np.argsort(job.tokens, kind="stable")
    return order


def _structure(numbers: Sequence[int], frac: Tensor, lattice: Tensor) -> Structure | None:
    if not bool(torch.isfinite(frac).all() and torch.isfinite(lattice).all()):
        return None
    cell = lattice.double().numpy()
    if float(cell_heights(cell).min()) < MIN_HEIGHT:
        return None
    symbols = [Element.from_Z(int(number)).symbol for number in numbers]
    return Structure(Lattice(cell), symbols, frac.double().numpy())
