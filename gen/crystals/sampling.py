"""Sampling crystals: the joint reverse process, with the noise of every structure drawn from its own generator."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import Conditions, draw_size
from gen.crystals.frames import symmetric_frame
from gen.crystals.guidance import steered
from gen.crystals.inpainting import Known
from gen.crystals.process import CrystalProcess, ScoreNetwork
from gen.crystals.reverse_process import Plan, Seed, draw_noise, reverse, with_known_noise
from gen.crystals.reverse_process import SamplingConfig as SamplingConfig


@dataclass(frozen=True)
class Task:
    """What is asked of every structure."""

    conditions: Conditions
    known: Known | None = None  # kept as it is
    start: Known | None = None  # where the reverse process starts
    start_time: float = 1.0
    species_noise: float = 0.0  # share of the start's species that are drawn again

    @property
    def given(self) -> Known | None:
        """The structure whose species are in place from the start."""
        return self.start or self.known


@dataclass(frozen=True)
class Sample:
    """One raw sample; tensors on the CPU."""

    index: int
    attempt: int
    numbers: Tensor  # [N] atomic numbers
    frac: Tensor  # [N, 3]
    lattice: Tensor  # [3, 3] Å, symmetric


def draw_seed(seed: int, index: int, attempt: int, task: Task, config: SamplingConfig, process: CrystalProcess) -> Seed:
    """The random numbers of structure `index`, a function of (seed, index, attempt) alone."""
    generator = generator_for(seed, "sample", index, attempt)
    n = len(task.start.tokens) if task.start is not None else draw_size(task.conditions, generator)
    drawn = draw_noise(generator, index, attempt, n, config, process)
    if task.conditions.space_group is not None:
        chosen = generator_for(seed, "orbits", index, attempt)
        frame = symmetric_frame(task.conditions.space_group, n, task.conditions.demands(n), chosen)
        drawn = dataclasses.replace(drawn, frame=frame)
    if task.given is not None:
        drawn = with_known_noise(drawn, generator_for(seed, "known", index, attempt), config, process)
    return drawn


def sample_batch(model: CrystalModel, seeds: Sequence[Seed], task: Task, config: SamplingConfig) -> list[Sample]:
    """Run the reverse process for structures of equal atom count; see `gen.crystals.reverse_process.reverse`.

    Species that the task gives are in place from the start; of a required one as many atoms as must occur, and the
    model completes the rest around them.
    """
    device = next(model.network.parameters()).device
    bounds = task.conditions.within(seeds[0].n_atoms)
    barred = torch.ones(len(model.elements), dtype=torch.bool, device=device)
    barred[list(bounds.allowed)] = False
    plan = Plan(
        model.process,
        _network(model, task.conditions, config),
        seeds,
        tokens=_first_tokens(seeds, task, model.process.mask, device),
        barred=barred,
        bounds=bounds if bounds.upper or (task.known is not None and bounds.lower) else None,
        known=task.known,
        start=task.start,
        start_time=task.start_time,
    )
    done = reverse(plan, config)
    numbers = torch.tensor(model.elements)[done.tokens.cpu()]
    frac, lattice = done.frac.cpu(), done.lattice.cpu()
    return [Sample(seed.index, seed.attempt, numbers[row], frac[row], lattice[row]) for row, seed in enumerate(seeds)]


def _network(model: CrystalModel, conditions: Conditions, config: SamplingConfig) -> ScoreNetwork:
    """The model's network, bound to the properties asked for if there are any."""
    if not conditions.values or config.guidance == 0:
        return model.network
    values = [conditions.values.get(spec.name, math.nan) for spec in model.properties]
    return steered(model.network, torch.tensor(values), config.guidance)


def _first_tokens(seeds: Sequence[Seed], task: Task, mask: int, device: torch.device) -> Tensor:
    """[B, N] species in place before anything is sampled; the mask elsewhere."""
    n_atoms = seeds[0].n_atoms
    tokens = torch.full((len(seeds), n_atoms), mask)
    given = task.given
    for row, seed in enumerate(seeds):
        if seed.frame is not None:
            tokens[row] = torch.where(seed.frame.species < 0, mask, seed.frame.species)
        elif given is None:
            species = task.conditions.species(n_atoms)
            tokens[row, : len(species)] = torch.tensor(species, dtype=torch.long)
        else:
            tokens[row, : len(given.tokens)] = torch.where(given.tokens < 0, mask, given.tokens)
            if task.start is not None and seed.hide is not None:
                tokens[row] = torch.where(seed.hide < task.species_noise, mask, tokens[row])
    return tokens.to(device)
