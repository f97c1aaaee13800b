"""Sampling crystals: the joint reverse process, with the noise of every structure drawn from its own generator."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gen.crystals.baseline_sampling import reverse_with_species
from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import Conditions, draw_size
from gen.crystals.frames import free_frame, symmetric_frame
from gen.crystals.gate import geometry_fault
from gen.crystals.guidance import steered
from gen.crystals.inpainting import Known
from gen.crystals.process import CrystalProcess, ScoreNetwork
from gen.crystals.reverse_process import Finished, Plan, Seed, draw_noise, reveal_species, reverse, with_known_noise
from gen.crystals.reverse_process import SamplingConfig as SamplingConfig
from gen.crystals.symmetry import niggli_cell

TYPES_TRIED = 3  # structure types tried for one composition before it is held to none
SPECIES_TRIED = 8  # compositions tried before the one most like a known crystal's is taken


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
    if process.diffuses_species:
        chosen = generator_for(seed, "species", index, attempt)
        noise = torch.randn(config.steps + 1, n, process.mask, generator=chosen)
        drawn = dataclasses.replace(drawn, species_noise=noise)
    if drawn.frame is None:
        typed = generator_for(seed, "type", index, attempt)
        drawn = dataclasses.replace(drawn, type_seed=int(torch.randint(2**62, (1,), generator=typed)))
    if task.given is not None:
        drawn = with_known_noise(drawn, generator_for(seed, "known", index, attempt), config, process)
    return drawn


def sample_batch(model: CrystalModel, seeds: Sequence[Seed], task: Task, config: SamplingConfig) -> list[Sample]:
    """Run the reverse process for structures of equal atom count; see `gen.crystals.reverse_process.reverse`.

    Species that the task gives are in place from the start; of a required one as many atoms as must occur, and the
    model completes the rest around them. Unless the settings or the task leave no room for it, species are drawn until
    a known crystal is like them, and each structure gets a known structure type of its stoichiometry to hold
    (`gen.crystals.structure_types`).
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
    if model.process.diffuses_species:
        done = reverse_with_species(plan, config)
    elif config.symmetry == "known" and config.species_finish == 1.0 and _may_be_typed(model, seeds, task):
        done = _reverse_typed(model, plan, config)
    else:
        done = reverse(plan, config)
    numbers = torch.tensor(model.elements)[done.tokens.cpu()]
    frac, lattice = done.frac.cpu(), done.lattice.cpu()
    return [Sample(seed.index, seed.attempt, numbers[row], frac[row], lattice[row]) for row, seed in enumerate(seeds)]


def _reverse_typed(model: CrystalModel, plan: Plan, config: SamplingConfig) -> Finished:
    """Species first, then the geometry of each structure held to a structure type drawn for them.

    A structure that fails the geometry gate under its type (two atoms slid onto one site) gets another, at most
    `TYPES_TRIED` in all, and is held to nothing after that. Its species stay.
    """
    tokens = _plausible_species(model, plan, config)
    rows = torch.arange(len(tokens))
    species, frac, lattice = tokens.clone(), None, None
    for turn in range(TYPES_TRIED + 1):
        part = dataclasses.replace(plan, seeds=[plan.seeds[row] for row in rows.tolist()], bounds=None)
        done = reverse(_typed_plan(model, part, tokens[rows], turn, config.likeness), config)
        if frac is None or lattice is None:
            species, frac, lattice = done.tokens.clone(), done.frac.clone(), done.lattice.clone()
        species[rows], frac[rows], lattice[rows] = done.tokens, done.frac, done.lattice
        rows = rows[[_is_faulty(*cell) for cell in zip(done.frac, done.lattice, strict=True)]]
        if not len(rows):
            break
    assert frac is not None
    assert lattice is not None
    return Finished(species, frac, lattice)


def _plausible_species(model: CrystalModel, plan: Plan, config: SamplingConfig) -> Tensor:
    """Species [B, N] of each structure: what the network draws, taken with probability exp(-plausibility d).

    d is the mean unlikeness of the elements to those of the nearest known crystal of the same stoichiometry and size
    (`KnownTypes.nearest`), that of the same composition aside. Its median over the network's own draws was 0.76, an
    eighth of them with a stoichiometry that no crystal has; over training crystals, each against the others, it was
    0.21, and one in 70 has such a stoichiometry. Where none of `SPECIES_TRIED` draws is taken, the one of least d is.
    """
    if config.plausibility == 0 or not bool((plan.tokens == plan.process.mask).any()):
        return reveal_species(plan, config)
    assert model.types is not None
    tokens = plan.tokens.clone()
    least = [math.inf] * len(tokens)
    waiting = list(range(len(tokens)))
    for turn in range(SPECIES_TRIED):
        drawn_seeds = [_drawn_again(plan.seeds[row], turn) for row in waiting]
        part = dataclasses.replace(plan, seeds=[seed for seed, _ in drawn_seeds], tokens=plan.tokens[waiting])
        again = []
        for row, (_, uniform), species in zip(waiting, drawn_seeds, reveal_species(part, config), strict=True):
            unlike = model.types.nearest([model.elements[token] for token in species.tolist()])
            taken = uniform < math.exp(-config.plausibility * unlike)
            if taken or turn == 0 or unlike < least[row]:
                tokens[row], least[row] = species, unlike
            if not taken:
                again.append(row)
        waiting = again
        if not waiting:
            break
    return tokens


def _drawn_again(seed: Seed, turn: int) -> tuple[Seed, float]:
    """The seed with the random numbers of its turn-th composition, and one to decide whether that is taken."""
    generator = torch.Generator().manual_seed(seed.type_seed + TYPES_TRIED + turn)
    uniform = float(torch.rand(1, generator=generator))
    if turn == 0:
        return seed, uniform
    order, choice = torch.rand(2, seed.n_atoms, generator=generator)
    return dataclasses.replace(seed, order=order, choice=choice), uniform


def _typed_plan(model: CrystalModel, plan: Plan, tokens: Tensor, turn: int, likeness: float) -> Plan:
    """The plan for species `tokens` [B, N], each structure held to the turn-th structure type drawn for them.

    Atoms come in the order of the type's sites. A structure of unknown stoichiometry is held to nothing, and so is
    everything in the last turn.
    """
    assert model.types is not None
    seeds, rows = [], []
    for seed, row in zip(plan.seeds, tokens.cpu(), strict=True):
        numbers = [model.elements[token] for token in row.tolist()]
        drawn = torch.Generator().manual_seed(seed.type_seed + turn)
        found = model.types.draw(numbers, drawn, likeness) if turn < TYPES_TRIED else None
        frame = free_frame(seed.frac)
        if found is not None:
            frame, row = found[0], torch.tensor([model.elements.index(z) for z in found[1]])
        seeds.append(dataclasses.replace(seed, frame=frame))
        rows.append(row)
    return dataclasses.replace(plan, seeds=seeds, tokens=torch.stack(rows).to(plan.tokens))


def _is_faulty(frac: Tensor, lattice: Tensor) -> bool:
    """Whether the geometry gate turns a cell away, [N, 3] and [3, 3] Å."""
    coordinates, vectors = frac.double().cpu().numpy(), lattice.double().cpu().numpy()
    if geometry_fault(coordinates, vectors) is not None:
        return True
    reduced = niggli_cell((vectors, coordinates, np.ones(len(coordinates))))
    return reduced is not None and geometry_fault(reduced[1], reduced[0]) is not None


def _may_be_typed(model: CrystalModel, seeds: Sequence[Seed], task: Task) -> bool:
    free = task.given is None and all(seed.frame is None for seed in seeds)
    return free and model.types is not None and model.process.holds_symmetry


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
