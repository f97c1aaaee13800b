"""Sampling crystals: the joint reverse process, with the noise of every structure drawn from its own generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel
from gen.crystals.conditions import Conditions, draw_size
from gen.crystals.process import Geometry
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


@dataclass(frozen=True)
class State:
    """A batch on its way."""

    tokens: Tensor  # [B, N]
    geometry: Geometry


def draw_seed(
    seed: int, index: int, attempt: int, conditions: Conditions, config: SamplingConfig, lattice_size: int = 6
) -> Seed:
    """The random numbers of structure `index`, a function of (seed, index, attempt) alone.

    `lattice_size` is that of the model's process.
    """
    generator = generator_for(seed, "sample", index, attempt)
    n = draw_size(conditions, generator)
    return Seed(
        index=index,
        attempt=attempt,
        n_atoms=n,
        order=torch.rand(n, generator=generator),
        choice=torch.rand(n, generator=generator),
        frac=torch.rand(n, 3, generator=generator),
        strain=torch.randn(lattice_size, generator=generator),
        shakes=torch.randn(config.steps, n, 3, generator=generator),
        strains=torch.randn(config.steps, lattice_size, generator=generator),
        corrections=torch.randn(config.steps if config.corrector else 0, n, 3, generator=generator),
    )


@torch.no_grad()
def sample_batch(
    model: CrystalModel, seeds: Sequence[Seed], conditions: Conditions, config: SamplingConfig
) -> list[Sample]:
    """Run the reverse process for structures of equal atom count.

    Species that `conditions` gives are in place from the start; a required one is given to one atom and the model
    completes the rest around it. Costs `steps` network evaluations (twice that with the corrector), one more an atom
    for species that are revealed before the geometry starts, and `quench_steps` at the end.

    The quench replaces the geometry again and again by the denoised one, as seen at a noise level that falls from
    `quench_time` to 0 while no noise is added: a climb to a mode of the ever less smoothed density, as in mean-shift.
    A network of limited precision ends on far more symmetric and better matching crystals that way.
    """
    device = next(model.network.parameters()).device
    n_atoms = seeds[0].n_atoms
    process = model.process

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(seed, name) for seed in seeds]).to(device)

    shakes, strains, corrections = stack("shakes"), stack("strains"), stack("corrections")
    tokens = torch.full((len(seeds), n_atoms), process.mask, device=device)
    given = torch.tensor(conditions.species(n_atoms), dtype=torch.long, device=device)
    tokens[:, : len(given)] = given
    barred = torch.ones(len(model.elements), dtype=torch.bool, device=device)
    barred[list(conditions.allowed)] = False
    reveal_time, choice = absorbing.one_at_a_time(stack("order")), stack("choice")

    def evaluate(tokens: Tensor, geometry: Geometry, t: float) -> tuple[Geometry, Tensor]:
        """Geometry heads and drawn species at geometry time t."""
        time = torch.full((len(seeds),), t, dtype=geometry.frac.dtype, device=device)
        heads, logits = process.evaluate(model.network, tokens, geometry, time)
        return heads, absorbing.draw(logits.masked_fill(barred, -torch.inf), config.temperature, choice)

    def predict(state: State, step: int, t: float, t_next: float) -> State:
        heads, drawn = evaluate(state.tokens, state.geometry, t)
        noise = Geometry(config.noise * shakes[:, step], config.noise * strains[:, step])
        geometry = process.reverse_step(state.geometry, heads, t, t_next, noise, config.anti_annealing)
        species_time = max(0.0, (t_next - 1 + config.species_finish) / config.species_finish)
        return State(absorbing.reveal(state.tokens, drawn, reveal_time, species_time, process.mask), geometry)

    def correct(state: State, step: int, t: float) -> State:
        heads, _ = evaluate(state.tokens, state.geometry, t)
        corrected = process.corrector_step(state.geometry, heads, t, config.corrector_step, corrections[:, step])
        return State(state.tokens, corrected)

    def quench(state: State, t: float) -> State:
        """Step to the denoised crystal as seen at a noise level: towards a mode of the smoothed density."""
        level = process.at_level(state.geometry, t)
        heads, _ = evaluate(state.tokens, level, t)
        return State(state.tokens, process.denoised(level, heads, t))

    state = State(tokens, process.prior(stack("frac"), stack("strain")))
    if config.species_finish == 1.0:
        for k in range(n_atoms, 0, -1):
            if not bool((state.tokens == process.mask).any()):
                break
            _, drawn = evaluate(state.tokens, state.geometry, 1.0)
            revealed = absorbing.reveal(state.tokens, drawn, reveal_time, (k - 0.5) / n_atoms, process.mask)
            state = State(revealed, state.geometry)
    for following in predictor_corrector(
        state, time_grid(config.steps).tolist(), predict, correct if config.corrector else None
    ):
        state = following
    for step in range(config.quench_steps):
        state = quench(state, config.quench_time * (1 - step / config.quench_steps))
    lattice = process.view(state.geometry.components, n_atoms)[1].cpu()
    numbers = torch.tensor(model.elements)[state.tokens.cpu()]
    frac = state.geometry.frac.cpu()
    return [Sample(seed.index, seed.attempt, numbers[row], frac[row], lattice[row]) for row, seed in enumerate(seeds)]
