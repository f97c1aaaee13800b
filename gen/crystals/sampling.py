"""Sampling crystals: the joint reverse process, with the noise of every structure drawn from its own generator."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import Conditions, draw_size
from gen.crystals.frame_batch import FrameBatch
from gen.crystals.frames import Frame, symmetric_frame
from gen.crystals.guidance import steered
from gen.crystals.inpainting import Known, align, impose
from gen.crystals.process import CrystalProcess, Geometry, ScoreNetwork
from gen.crystals.reveal import reveal_within
from gen.diffusion import absorbing
from gen.diffusion.sampler import predictor_corrector
from gen.diffusion.schedules import time_grid
from potentials.config import Config


class SamplingConfig(Config):
    """How the reverse process runs; the defaults were chosen on the held-out crystals."""

    steps: int = Field(default=50, ge=1)  # predictor steps of lattice and coordinates
    corrector: bool = False  # one Langevin step on the coordinates after each predictor step
    corrector_step: float = Field(default=0.1, gt=0)  # step size over sigma^2
    temperature: float = Field(default=1.0, ge=0)  # of the species draws; 1 is the model's own distribution
    species_finish: float = Field(default=1.0, gt=0, le=1)  # geometry time when all species are known; 1: first of all
    noise: float = Field(default=1.0, ge=0)  # scale of the noise put back at every step
    anti_annealing: float = Field(default=0.0, ge=0)  # slope s: the coordinates' drift is scaled by 1 + s (1 - t)
    quench_steps: int = Field(default=10, ge=0)  # noise-free steps at the end, each one evaluation
    quench_time: float = Field(default=0.7, gt=0, le=1)  # noise level the network is told at first; falls to 0
    guidance: float = Field(default=2.0, ge=0)  # weight of property conditions; 1 plain, more is stricter and narrower
    resample: int = Field(default=1, ge=1)  # passes over each step while a part is fixed; more settle the rest better


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


@dataclass(frozen=True)
class Seed:
    """All randomness of one structure, drawn before its batch is put together."""

    index: int
    attempt: int
    n_atoms: int
    order: Tensor  # [N] uniform: in which order species are revealed
    choice: Tensor  # [N] uniform: which species
    frac: Tensor  # [N, 3] uniform
    strain: Tensor  # [D] normal, D as the process asks
    shakes: Tensor  # [steps, N, 3] normal
    strains: Tensor  # [steps, D] normal
    corrections: Tensor  # [steps, N, 3] normal, or [0, N, 3]
    frame: Frame | None = None  # what a space group holds the geometry to
    hide: Tensor | None = None  # [N] uniform: which species of a start are drawn again
    known_shakes: Tensor | None = None  # [M, N, 3] noise of a given part, one row each time it is noised
    known_strains: Tensor | None = None  # [M, D]


@dataclass(frozen=True)
class State:
    """A batch on its way."""

    tokens: Tensor  # [B, N]
    geometry: Geometry


def draw_seed(seed: int, index: int, attempt: int, task: Task, config: SamplingConfig, process: CrystalProcess) -> Seed:
    """The random numbers of structure `index`, a function of (seed, index, attempt) alone."""
    generator = generator_for(seed, "sample", index, attempt)
    n = len(task.start.tokens) if task.start is not None else draw_size(task.conditions, generator)
    drawn = Seed(
        index=index,
        attempt=attempt,
        n_atoms=n,
        order=torch.rand(n, generator=generator),
        choice=torch.rand(n, generator=generator),
        frac=torch.rand(n, 3, generator=generator),
        strain=torch.randn(process.lattice_size, generator=generator),
        shakes=torch.randn(config.steps, n, 3, generator=generator),
        strains=torch.randn(config.steps, process.lattice_size, generator=generator),
        corrections=torch.randn(config.steps if config.corrector else 0, n, 3, generator=generator),
    )
    if task.conditions.space_group is not None:
        chosen = generator_for(seed, "orbits", index, attempt)
        frame = symmetric_frame(task.conditions.space_group, n, task.conditions.demands(n), chosen)
        drawn = dataclasses.replace(drawn, frame=frame)
    if task.given is not None:
        more = generator_for(seed, "known", index, attempt)
        count = 1 if process.uniform_shake else 2 * config.steps * config.resample
        shake = torch.rand if process.uniform_shake else torch.randn
        drawn = dataclasses.replace(
            drawn,
            hide=torch.rand(n, generator=more),
            known_shakes=shake(count, n, 3, generator=more),
            known_strains=torch.randn(count, process.lattice_size, generator=more),
        )
    return drawn


@torch.no_grad()
def sample_batch(model: CrystalModel, seeds: Sequence[Seed], task: Task, config: SamplingConfig) -> list[Sample]:
    """Run the reverse process for structures of equal atom count.

    Species that the task gives are in place from the start; of a required one as many atoms as must occur, and the
    model completes the rest around them. Costs `steps` network evaluations (twice that with the corrector, or with
    property conditions, times `resample` around a fixed part), one more an atom for species that are revealed before
    the geometry starts, and `quench_steps` at the end.

    The quench replaces the geometry again and again by the denoised one, as seen at a noise level that falls from
    `quench_time` to 0 while no noise is added: a climb to a mode of the ever less smoothed density, as in mean-shift.
    A network of limited precision ends on far more symmetric and better matching crystals that way.
    """
    device = next(model.network.parameters()).device
    n_atoms, batch = seeds[0].n_atoms, len(seeds)
    process, known = model.process, task.known
    network = _network(model, task.conditions, config)
    frames = FrameBatch([seed.frame for seed in seeds], device)

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(seed, name) for seed in seeds]).to(device)

    shakes, strains, corrections = stack("shakes"), stack("strains"), stack("corrections")
    given_noise = Geometry(stack("known_shakes"), stack("known_strains")) if task.given is not None else None
    bounds = task.conditions.within(n_atoms)
    barred = torch.ones(len(model.elements), dtype=torch.bool, device=device)
    barred[list(bounds.allowed)] = False
    reveal_time, choice = frames.tie(absorbing.one_at_a_time(stack("order"))), stack("choice")
    begin = task.start_time

    def noise_of_given(draw: int) -> Geometry | None:
        """The draw-th noise of the given part; a deterministic process follows one straight path."""
        if given_noise is None:
            return None
        row = draw % given_noise.frac.shape[1]
        return Geometry(given_noise.frac[:, row], given_noise.components[:, row])

    def evaluate(tokens: Tensor, geometry: Geometry, t: float) -> tuple[Geometry, Tensor]:
        """Geometry heads, held to what is known, and species logits at geometry time t."""
        time = torch.full((batch,), t, dtype=geometry.frac.dtype, device=device)
        heads, logits = process.evaluate(network, tokens, geometry, time)
        heads = frames.hold_lattice(process, geometry, heads, t)
        if known is not None:
            heads = align(process, known, geometry, heads, t)
        return heads, logits.masked_fill(barred, -torch.inf)

    def reveal(tokens: Tensor, logits: Tensor, t_next: float) -> Tensor:
        if bounds.upper or (known is not None and bounds.lower):
            return reveal_within(
                tokens, logits, reveal_time, t_next, process.mask, config.temperature, choice, bounds, frames.leader
            )
        drawn = frames.tie(absorbing.draw(logits, config.temperature, choice))
        return absorbing.reveal(tokens, drawn, reveal_time, t_next, process.mask)

    def predict(state: State, step: int, t: float, t_next: float) -> State:
        geometry = state.geometry
        for turn in range(config.resample if known is not None else 1):
            place = 2 * (step * config.resample + turn)
            if known is not None:
                geometry = impose(process, known, geometry, t, noise_of_given(place))
            heads, logits = evaluate(state.tokens, geometry, t)
            noise = Geometry(config.noise * frames.spread(shakes[:, step]), config.noise * strains[:, step])
            stepped = process.reverse_step(geometry, heads, t, t_next, noise, config.anti_annealing)
            after = frames.hold(geometry, stepped)
            back = noise_of_given(place + 1)
            if turn + 1 < config.resample and known is not None and back is not None and t_next > 0:
                geometry = process.forward_step(after, t_next, t, back)
        if known is not None and t_next == 0:
            after = impose(process, known, after, 0.0, None)
        species_time = max(0.0, (t_next - 1 + config.species_finish) / config.species_finish)
        return State(reveal(state.tokens, logits, species_time), after)

    def correct(state: State, step: int, t: float) -> State:
        heads, _ = evaluate(state.tokens, state.geometry, t)
        noise = frames.spread(corrections[:, step])
        corrected = process.corrector_step(state.geometry, heads, t, config.corrector_step, noise)
        return State(state.tokens, frames.hold(state.geometry, corrected))

    def quench(state: State, t: float) -> State:
        """Step to the denoised crystal as seen at a noise level: towards a mode of the smoothed density."""
        level = process.at_level(state.geometry, t)
        heads, _ = evaluate(state.tokens, level, t)
        denoised = frames.hold(level, process.denoised(level, heads, t))
        return State(state.tokens, denoised if known is None else impose(process, known, denoised, 0.0, None))

    geometry = process.prior(frames.origin(stack("frac")), stack("strain"))
    if task.start is not None:
        geometry = impose(process, task.start, geometry, begin, noise_of_given(0))
    state = State(_first_tokens(seeds, task, process.mask, device), geometry)
    if config.species_finish == 1.0:
        for k in range(n_atoms, 0, -1):
            if not bool((state.tokens == process.mask).any()):
                break
            if known is not None:
                state = State(state.tokens, impose(process, known, state.geometry, begin, noise_of_given(0)))
            _, logits = evaluate(state.tokens, state.geometry, begin)
            state = State(reveal(state.tokens, logits, (k - 0.5) / n_atoms), state.geometry)
    times = time_grid(config.steps)
    if begin < 1.0:  # as long strides as from pure noise
        times = begin * time_grid(max(1, round(config.steps * begin)))
    for following in predictor_corrector(state, times.tolist(), predict, correct if config.corrector else None):
        state = following
    for step in range(config.quench_steps):
        state = quench(state, min(config.quench_time, begin) * (1 - step / config.quench_steps))
    lattice = frames.finish(process.view(state.geometry.components, n_atoms)[1]).cpu()
    numbers = torch.tensor(model.elements)[state.tokens.cpu()]
    frac = state.geometry.frac.cpu()
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
