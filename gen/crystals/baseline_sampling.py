"""DiffCSP's sampler de novo: all three channels step together, species as vectors."""

import torch
from torch import Tensor

from gen.crystals.process import Geometry
from gen.crystals.reverse_process import Finished, Plan, SamplingConfig, State
from gen.diffusion import cosine
from gen.diffusion.sampler import predictor_corrector
from gen.diffusion.schedules import time_grid


@torch.no_grad()
def reverse_with_species(plan: Plan, config: SamplingConfig) -> Finished:
    """Run the reverse process of a `DeNovoBaselineProcess` to its end: ancestral steps and Langevin correctors.

    Costs `steps` network evaluations, twice that less one with the corrector.
    """
    process, network = plan.process, plan.network
    # a row for the prior and one a step
    noise = plan.stacked("species_noise")  # [B, steps + 1, N, E]
    shakes, strains = plan.stacked("shakes"), plan.stacked("strains")
    corrections = plan.stacked("corrections")

    def evaluate(state: State, t: float) -> tuple[Geometry, Tensor]:
        time = torch.full((len(state.tokens),), t, device=state.tokens.device)
        return process.evaluate(network, state.tokens, state.geometry, time)

    def predict(state: State, step: int, t: float, t_next: float) -> State:
        heads, predicted = evaluate(state, t)
        drawn = Geometry(config.noise * shakes[:, step], config.noise * strains[:, step])
        geometry = process.reverse_step(state.geometry, heads, t, t_next, drawn, config.anti_annealing)
        times = torch.full_like(predicted, t), torch.full_like(predicted, t_next)
        vectors = cosine.reverse_step(state.tokens, predicted, *times, config.noise * noise[:, step + 1])
        return State(vectors, geometry)

    def correct(state: State, step: int, t: float) -> State:
        heads, _ = evaluate(state, t)
        corrected = process.corrector_step(state.geometry, heads, t, config.corrector_step, corrections[:, step])
        return State(state.tokens, corrected)

    state = State(noise[:, 0], process.prior(plan.stacked("frac"), plan.stacked("strain")))
    times = time_grid(config.steps).tolist()
    for following in predictor_corrector(state, times, predict, correct if config.corrector else None):
        state = following
    allowed = state.tokens.masked_fill(plan.barred, -torch.inf)
    lattice = process.view(state.geometry.components, state.tokens.shape[1])[1]
    return Finished(allowed.argmax(-1), state.geometry.frac, lattice)
