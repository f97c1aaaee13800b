"""The joint reverse process of a batch, whatever its sites are: atoms of crystals, or building blocks of sorbents.

Nothing here knows what a token stands for. Whoever samples says which tokens are in place, which may be drawn where,
and what of the geometry is held; all random numbers are drawn beforehand, for each structure from its own generator.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gen.crystals.element_conditions import Bounds
from gen.crystals.frame_batch import FrameBatch
from gen.crystals.frames import Frame
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
    symmetry: Literal["known", "free"] = "known"  # space group and sites of a known crystal of like elements, or none
    likeness: float = Field(default=0.05, gt=0)  # of elements to that crystal's; more draws unlikely symmetries as well
    plausibility: float = Field(default=1.0, ge=0)  # how much compositions keep to known ones; 0: as the network draws
    guidance: float = Field(default=2.0, ge=0)  # weight of property conditions; 1 plain, more is stricter and narrower
    resample: int = Field(default=1, ge=1)  # passes over each step while a part is fixed; more settle the rest better


@dataclass(frozen=True)
class Seed:
    """All randomness of one structure, drawn before its batch is put together."""

    index: int
    attempt: int
    n_atoms: int  # N sites
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
    species_noise: Tensor | None = None  # [steps + 1, N, E] normal, where species diffuse as vectors
    type_seed: int = 0  # decides the structure type drawn for the species


@dataclass(frozen=True)
class State:
    """A batch on its way."""

    tokens: Tensor  # [B, N]
    geometry: Geometry


@dataclass(frozen=True)
class Finished:
    """A batch at time 0."""

    tokens: Tensor  # [B, N]
    frac: Tensor  # [B, N, 3]
    lattice: Tensor  # [B, 3, 3], symmetric, in the unit of length the process runs on


@dataclass(frozen=True)
class Plan:
    """What a batch of B structures of N sites starts from, and what is held on the way."""

    process: CrystalProcess
    network: ScoreNetwork  # bound to whatever it is conditioned on
    seeds: Sequence[Seed]  # B of them
    tokens: Tensor  # [B, N] species in place from the start, the mask elsewhere
    barred: Tensor  # [E] or [B, N, E] True where a species may not be drawn
    bounds: Bounds | None = None  # on the sites of each species, kept while they are revealed; None: none to watch
    known: Known | None = None  # kept as it is
    start: Known | None = None  # where the reverse process starts
    start_time: float = 1.0
    reveal_time: float = 1.0  # noise level of the geometry by which species are drawn before it is sampled

    def stacked(self, name: str) -> Tensor:
        """A field of the seeds, [B, ...]."""
        return torch.stack([getattr(seed, name) for seed in self.seeds]).to(self.tokens.device)


def draw_noise(
    generator: torch.Generator, index: int, attempt: int, n_sites: int, config: SamplingConfig, process: CrystalProcess
) -> Seed:
    """The random numbers of one structure of `n_sites`, from its own generator."""
    return Seed(
        index=index,
        attempt=attempt,
        n_atoms=n_sites,
        order=torch.rand(n_sites, generator=generator),
        choice=torch.rand(n_sites, generator=generator),
        frac=torch.rand(n_sites, 3, generator=generator),
        strain=torch.randn(process.lattice_size, generator=generator),
        shakes=torch.randn(config.steps, n_sites, 3, generator=generator),
        strains=torch.randn(config.steps, process.lattice_size, generator=generator),
        corrections=torch.randn(config.steps if config.corrector else 0, n_sites, 3, generator=generator),
    )


def with_known_noise(seed: Seed, generator: torch.Generator, config: SamplingConfig, process: CrystalProcess) -> Seed:
    """The seed with the noise of a given part, and which of its species are hidden again."""
    count = 1 if process.uniform_shake else 2 * config.steps * config.resample
    shake = torch.rand if process.uniform_shake else torch.randn
    return dataclasses.replace(
        seed,
        hide=torch.rand(seed.n_atoms, generator=generator),
        known_shakes=shake(count, seed.n_atoms, 3, generator=generator),
        known_strains=torch.randn(count, process.lattice_size, generator=generator),
    )


@torch.no_grad()
def reverse(plan: Plan, config: SamplingConfig) -> Finished:
    """Run the reverse process to its end.

    Costs `steps` network evaluations (twice that with the corrector, or with property conditions, times `resample`
    around a fixed part), one more a site for species that are revealed before the geometry starts, and `quench_steps`
    at the end.

    The quench replaces the geometry again and again by the denoised one, as seen at a noise level that falls from
    `quench_time` to 0 while no noise is added: a climb to a mode of the ever less smoothed density, as in mean-shift.
    A network of limited precision ends on far more symmetric and better matching crystals that way.
    """
    run = _Run.of(plan, config)
    state = run.begin()
    if config.species_finish == 1.0:
        state = run.reveal_all(state)
    times = time_grid(config.steps)
    if plan.start_time < 1.0:  # as long strides as from pure noise
        times = plan.start_time * time_grid(max(1, round(config.steps * plan.start_time)))
    correct = run.correct if config.corrector else None
    for following in predictor_corrector(state, times.tolist(), run.predict, correct):
        state = following
    for step in range(config.quench_steps):
        state = run.quench(state, min(config.quench_time, plan.start_time) * (1 - step / config.quench_steps))
    lattice = run.frames.finish(plan.process.view(state.geometry.components, plan.tokens.shape[1])[1])
    return Finished(state.tokens, state.geometry.frac, lattice)


@torch.no_grad()
def reveal_species(plan: Plan, config: SamplingConfig) -> Tensor:
    """Species [B, N] drawn one after the other, as `reverse` does before it starts on the geometry."""
    run = _Run.of(plan, config)
    return run.reveal_all(run.begin()).tokens


@dataclass(frozen=True)
class _Run:
    """A plan with its random numbers stacked; the steps of the reverse process."""

    plan: Plan
    config: SamplingConfig
    frames: FrameBatch
    order: Tensor  # [B, N] times at which species are revealed
    choice: Tensor  # [B, N]
    shakes: Tensor  # [B, steps, N, 3]
    strains: Tensor  # [B, steps, D]
    corrections: Tensor  # [B, steps or 0, N, 3]
    given: Geometry | None  # noise of the given part, [B, M, N, 3] and [B, M, D]

    @classmethod
    def of(cls, plan: Plan, config: SamplingConfig) -> "_Run":
        frames = FrameBatch([seed.frame for seed in plan.seeds], plan.tokens.device)
        given = None
        if plan.known is not None or plan.start is not None:
            given = Geometry(plan.stacked("known_shakes"), plan.stacked("known_strains"))
        return cls(
            plan,
            config,
            frames,
            order=frames.tie(absorbing.one_at_a_time(plan.stacked("order"))),
            choice=plan.stacked("choice"),
            shakes=plan.stacked("shakes"),
            strains=plan.stacked("strains"),
            corrections=plan.stacked("corrections"),
            given=given,
        )

    def begin(self) -> State:
        """The prior, or the given start at its noise level."""
        plan, process = self.plan, self.plan.process
        geometry = process.prior(self.frames.origin(plan.stacked("frac")), plan.stacked("strain"))
        if plan.start is not None:
            geometry = impose(process, plan.start, geometry, plan.start_time, self.noise_of_given(0))
        return State(plan.tokens, geometry)

    def noise_of_given(self, draw: int) -> Geometry | None:
        """The draw-th noise of the given part; a deterministic process follows one straight path."""
        if self.given is None:
            return None
        row = draw % self.given.frac.shape[1]
        return Geometry(self.given.frac[:, row], self.given.components[:, row])

    def evaluate(self, tokens: Tensor, geometry: Geometry, t: float) -> tuple[Geometry, Tensor]:
        """Geometry heads, held to what is known, and species logits at geometry time t."""
        process = self.plan.process
        time = torch.full((len(tokens),), t, dtype=geometry.frac.dtype, device=tokens.device)
        heads, logits = process.evaluate(self.plan.network, tokens, geometry, time)
        heads = self.frames.hold_lattice(process, geometry, heads, t)
        if self.plan.known is not None:
            heads = align(process, self.plan.known, geometry, heads, t)
        return heads, logits.masked_fill(self.plan.barred, -torch.inf)

    def reveal(self, tokens: Tensor, logits: Tensor, t_next: float) -> Tensor:
        """Draw the species due by `t_next`."""
        mask, temperature, bounds = self.plan.process.mask, self.config.temperature, self.plan.bounds
        if not bool((tokens == mask).any()):
            return tokens
        if bounds is not None:
            leader = self.frames.leader
            return reveal_within(tokens, logits, self.order, t_next, mask, temperature, self.choice, bounds, leader)
        drawn = self.frames.tie(absorbing.draw(logits, temperature, self.choice))
        return absorbing.reveal(tokens, drawn, self.order, t_next, mask)

    def reveal_all(self, state: State) -> State:
        """Draw every hidden species, one at a time, by the geometry as it is at the level they are drawn at."""
        plan, n_sites = self.plan, state.tokens.shape[1]
        level = min(plan.start_time, plan.reveal_time)
        for k in range(n_sites, 0, -1):
            if not bool((state.tokens == plan.process.mask).any()):
                break
            if plan.known is not None:
                noise = self.noise_of_given(0) if level > 0 else None
                state = State(state.tokens, impose(plan.process, plan.known, state.geometry, level, noise))
            _, logits = self.evaluate(state.tokens, state.geometry, level)
            state = State(self.reveal(state.tokens, logits, (k - 0.5) / n_sites), state.geometry)
        return state

    def predict(self, state: State, step: int, t: float, t_next: float) -> State:
        """From time t to t_next, back and forth around a fixed part if asked."""
        plan, config, process, geometry = self.plan, self.config, self.plan.process, state.geometry
        for turn in range(config.resample if plan.known is not None else 1):
            place = 2 * (step * config.resample + turn)
            if plan.known is not None:
                geometry = impose(process, plan.known, geometry, t, self.noise_of_given(place))
            heads, logits = self.evaluate(state.tokens, geometry, t)
            shake, strain = self.frames.spread(self.shakes[:, step]), self.strains[:, step]
            noise = Geometry(config.noise * shake, config.noise * strain)
            stepped = process.reverse_step(geometry, heads, t, t_next, noise, config.anti_annealing)
            after = self.frames.hold(geometry, stepped)
            back = self.noise_of_given(place + 1)
            if turn + 1 < config.resample and plan.known is not None and back is not None and t_next > 0:
                geometry = process.forward_step(after, t_next, t, back)
        if plan.known is not None and t_next == 0:
            after = impose(process, plan.known, after, 0.0, None)
        species_time = max(0.0, (t_next - 1 + config.species_finish) / config.species_finish)
        return State(self.reveal(state.tokens, logits, species_time), after)

    def correct(self, state: State, step: int, t: float) -> State:
        """A Langevin step at fixed time."""
        heads, _ = self.evaluate(state.tokens, state.geometry, t)
        noise = self.frames.spread(self.corrections[:, step])
        corrected = self.plan.process.corrector_step(state.geometry, heads, t, self.config.corrector_step, noise)
        return State(state.tokens, self.frames.hold(state.geometry, corrected))

    def quench(self, state: State, t: float) -> State:
        """Step to the denoised crystal as seen at a noise level: towards a mode of the smoothed density."""
        process, known = self.plan.process, self.plan.known
        level = process.at_level(state.geometry, t)
        heads, _ = self.evaluate(state.tokens, level, t)
        denoised = self.frames.hold(level, process.denoised(level, heads, t))
        return State(state.tokens, denoised if known is None else impose(process, known, denoised, 0.0, None))
