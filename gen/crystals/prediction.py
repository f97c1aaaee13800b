"""Crystal structure prediction for many compositions at once: cells of equal atom count share a batch."""

import collections
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pymatgen.core import Element, Lattice, Structure
from torch import Tensor
from tqdm import tqdm

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.gate import cell_heights
from gen.crystals.process import Geometry
from gen.crystals.sampling import SamplingConfig
from gen.diffusion.sampler import predictor_corrector
from gen.diffusion.schedules import time_grid
from potentials.errors import InputError

MIN_HEIGHT = 0.3  # Å; flatter cells are no crystals, and hang compiled neighbour lists


@dataclass(frozen=True)
class _Job:
    """One sample to be made: its place in the result and its species."""

    composition: int
    sample: int
    tokens: tuple[int, ...]


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

    Sample k of composition i depends on (seed, i, k) and the settings alone, never on the batch it was in.

    Args:
        compositions: atomic numbers of all atoms of each primitive cell.
        precision: "bfloat16" does the network's matrix products in it: faster where the processor is made for it.

    Returns:
        One list of `samples` structures a composition; None for a sample that is not finite, or a cell under 0.3 Å
        high; all None where the model does not know an element.

    Raises:
        InputError: a precision that does not exist, or a corrector asked of a flow.
    """
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"precision {precision!r} is unknown: use float32 or bfloat16")
    config = config or SamplingConfig()
    index = {number: token for token, number in enumerate(model.elements)}
    waiting: dict[int, list[_Job]] = collections.defaultdict(list)
    for place, numbers in enumerate(compositions):
        if all(number in index for number in numbers):
            tokens = tuple(index[number] for number in numbers)
            waiting[len(numbers)] += [_Job(place, sample, tokens) for sample in range(samples)]
    results: list[list[Structure | None]] = [[None] * samples for _ in compositions]
    total = sum(len(jobs) for jobs in waiting.values())
    device = next(model.network.parameters()).device
    with tqdm(total=total, desc="predict", unit="crystal", disable=not progress) as bar:
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
                    results[job.composition][job.sample] = _structure(numbers, frac[row], lattice[row])
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
    generators = [generator_for(seed, "predict", job.composition, job.sample) for job in jobs]

    def normal(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)

    def heads(geometry: Geometry, t: float) -> Geometry:
        return process.evaluate(model.network, tokens, geometry, torch.full((len(jobs),), t, device=device))[0]

    def predict(geometry: Geometry, step: int, t: float, t_next: float) -> Geometry:
        noise = Geometry(config.noise * normal(n_atoms, 3), config.noise * normal(process.lattice_size))
        return process.reverse_step(geometry, heads(geometry, t), t, t_next, noise, config.anti_annealing)

    def correct(geometry: Geometry, step: int, t: float) -> Geometry:
        return process.corrector_step(geometry, heads(geometry, t), t, config.corrector_step, normal(n_atoms, 3))

    uniform = torch.stack([torch.rand(n_atoms, 3, generator=generator) for generator in generators]).to(device)
    geometry = process.prior(uniform, normal(process.lattice_size))
    for following in predictor_corrector(
        geometry, time_grid(config.steps).tolist(), predict, correct if config.corrector else None
    ):
        geometry = following
    for step in range(config.quench_steps):
        t = config.quench_time * (1 - step / config.quench_steps)
        level = process.at_level(geometry, t)
        geometry = process.denoised(level, heads(level, t), t)
    return geometry.frac.float().cpu(), process.view(geometry.components, n_atoms)[1].float().cpu()


def _structure(numbers: Sequence[int], frac: Tensor, lattice: Tensor) -> Structure | None:
    if not bool(torch.isfinite(frac).all() and torch.isfinite(lattice).all()):
        return None
    cell = lattice.double().numpy()
    if float(cell_heights(cell).min()) < MIN_HEIGHT:
        return None
    symbols = [Element.from_Z(int(number)).symbol for number in numbers]
    return Structure(Lattice(cell), symbols, frac.double().numpy())
