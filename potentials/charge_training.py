"""Train a charge network on systems whose charges are known; resumes exactly where a killed run stood.

The loss is the Huber penalty of the charge error, averaged over all atoms (distinct atoms count as often as they
occur). Where poses of a guest are known (`guest_poses.py`), what the charges do in the pores counts beside it:

    L = <h(dq; delta_q)>_atoms + w_K <h(ln K/K_ref; delta_K)>_systems + w_U <h(dU; delta_U)>_poses

with the Huber penalty h (`huber`). Weights are averaged exponentially; the average with the least validation error is
what is kept.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import torch
from torch import Tensor

from potentials.charge_network import (
    N_ELEMENTS,
    ChargeGraph,
    ChargeNetwork,
    ChargeNetworkConfig,
    join_graphs,
)
from potentials.charge_training_state import load_state, save_state
from potentials.config import Config
from potentials.errors import InputError
from potentials.guest_poses import GuestPoses, energy_changes, log_henry_change
from potentials.learning_curve import write_metrics
from potentials.network import Interaction

Positive = Annotated[float, pydantic.Field(gt=0)]
NotNegative = Annotated[float, pydantic.Field(ge=0)]
Share = Annotated[float, pydantic.Field(ge=0, lt=1)]

STATE, METRICS = "state.safetensors", "metrics.csv"


class ChargeTrainConfig(Config):
    """How long and how fast."""

    epochs: Annotated[int, pydantic.Field(ge=1)] = 100
    max_minutes: Positive | None = None  # a budget instead of `epochs`: schedules then follow the clock
    atoms: Annotated[int, pydantic.Field(ge=1)] = 250  # symmetry-distinct atoms a batch, at least
    lr: Positive = 4e-3
    warmup_steps: Annotated[int, pydantic.Field(ge=0)] = 200
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 1e-3
    gradient_clip: Positive = 5.0  # norm
    ema: Share = 0.999
    huber_delta: Positive = 0.02  # e; errors beyond it count linearly
    hide_elements: Share = 0.1  # chance that a system's elements are treated as never seen, to learn by kinship
    # frameworks; an element that n of them hold is treated so in a system with chance hide_rare / (hide_rare + n)
    hide_rare: NotNegative = 0.0
    noise: Annotated[float, pydantic.Field(ge=0, le=0.2)] = 0.01  # Å, random error of every bond vector in training
    henry_weight: NotNegative = 0.0  # e; of the penalty of ln(K / K_ref), for systems with poses
    henry_delta: Positive = 0.4  # of ln(K / K_ref); errors beyond it count linearly
    pose_weight: NotNegative = 0.0  # e; of the penalty of the energies of poses
    pose_delta: Positive = 0.5  # kT; errors beyond it count linearly
    keep: Literal["best", "last"] = "best"  # averaged weights with the least validation error, or those of the end


@dataclass(frozen=True)
class LabelledGraph:
    """One system and the charges to learn."""

    graph: ChargeGraph
    target: Tensor  # [N] e
    poses: GuestPoses | None = None  # of a guest in its pores


@dataclass(frozen=True)
class ChargeErrors:
    """How far charges are off, over all atoms."""

    mean_absolute: float  # e
    rms: float  # e
    median_system: float  # e, median over systems of their mean absolute error
    log_henry: float | None = None  # mean |ln(K / K_ref)| of the systems with poses
    pose_rms: float | None = None  # kT, of the energies of poses: root of the mean over systems of mean squares
    within: float | None = None  # share of the systems with poses whose K is within a factor 1.5

    def score(self, henry_weight: float) -> float:
        """What choices go by: the mean absolute error and `henry_weight` times the mean of |ln(K / K_ref)|, e."""
        return self.mean_absolute + (henry_weight * self.log_henry if self.log_henry is not None else 0.0)


def train_charge_network(
    config: ChargeTrainConfig,
    network: ChargeNetworkConfig,
    training: Sequence[LabelledGraph],
    validation: Sequence[LabelledGraph],
    out: Path,
    *,
    identity: Mapping[str, Any],
    seed: int = 0,
    resume: bool = True,
    log: Callable[[dict[str, float], int], None] | None = None,
    start: ChargeNetwork | None = None,
) -> tuple[ChargeNetwork, dict[str, Any]]:
    """Train to the end of the schedule; the state in `out` is written after every epoch.

    With `config.epochs` a run killed at any moment and started again ends where an uninterrupted one does; with
    `config.max_minutes` schedules follow the clock, so it ends alike, not identically.

    Args:
        config: schedule.
        network: shape.
        training, validation: labelled systems.
        out: folder for the state and `metrics.csv`.
        identity: facts that a state to be continued must share (hashes of configuration and data).
        seed: of weights, order, noise.
        resume: continue from the state in `out` if there is one.
        log: gets numbers once an epoch.
        start: a trained network to go on from, with a schedule of its own; random weights by default.

    Returns:
        The network with the best averaged weights, and the progress: `history`, `best`, `seconds`, ...

    Raises:
        InputError: a state of another training, or a loss that is not finite.
    """
    if not training or not validation:
        raise InputError("there are no systems to train on or none to validate on: check data and split")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ChargeNetwork(network)
    if start is not None:
        model.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    best = {name: p.clone() for name, p in average.items()}
    progress: dict[str, Any] = {"epoch": 0, "step": 0, "seconds": 0.0, "best": None, "best_epoch": None, "history": []}
    state = out / STATE
    if resume and state.is_file():
        progress = load_state(state, model, optimizer, average, best, identity)
        print(f"resuming {out} after {progress['epoch']} epochs", flush=True)
    elif start is None:
        with torch.no_grad():
            sample = batches_of(training, 4 * config.atoms, seed, epoch=-1)[0]
            model(join_graphs([training[i].graph for i in sample]), calibrate=True)
    # epochs differ by a batch or two in length, since frameworks differ in size
    total_steps = sum(len(batches_of(training, config.atoms, seed, epoch)) for epoch in range(config.epochs))
    while fraction_done(config, progress, total_steps) < 1.0:
        started = time.monotonic()
        loss = _epoch(config, model, optimizer, average, training, progress, total_steps, seed)
        errors = charge_errors(_with_weights(model, network, average), validation)
        score = errors.score(config.henry_weight)
        if config.keep == "last" or progress["best"] is None or score < progress["best"]:
            progress |= {"best": score, "best_epoch": progress["epoch"]}
            best = {name: value.clone() for name, value in average.items()}
        progress["seconds"] += time.monotonic() - started
        row = {
            "epoch": progress["epoch"],
            "step": progress["step"],
            "train_loss": loss,
            "validation_mae": errors.mean_absolute,
            "validation_rms": errors.rms,
            "validation_median_system": errors.median_system,
            "seconds": round(progress["seconds"], 1),
        }
        if errors.log_henry is not None:
            row |= {"validation_log_henry": errors.log_henry, "validation_within_1.5": errors.within}
        progress["history"] = [*progress["history"], row]
        progress["epoch"] += 1
        save_state(state, model, optimizer, average, best, progress, identity)
        write_metrics(out / METRICS, progress["history"])
        print(
            f"epoch {row['epoch']}: loss {loss:.5f}, validation MAE {errors.mean_absolute:.5f} e, "
            f"median {errors.median_system:.5f} e, {_in_pores(errors)}{row['seconds']:.0f} s",
            flush=True,
        )
        if log is not None:
            log({key: float(value) for key, value in row.items() if key != "step"}, int(row["step"]))
    return _with_weights(model, network, best), progress


def charge_errors(model: torch.nn.Module, systems: Sequence[LabelledGraph], atoms: int = 2000) -> ChargeErrors:
    """Errors of a network, or of whatever else gives a graph charges, over labelled systems; `atoms` bounds a batch."""
    absolute, squared, count = [], [], []
    log_henry, pose_squares = [], []
    model.eval()
    with torch.no_grad():
        for chosen in batches_of(systems, atoms, seed=None, epoch=0):
            graph = join_graphs([systems[i].graph for i in chosen])
            error = model(graph) - torch.cat([systems[i].target for i in chosen])
            for own, poses in _with_poses([systems[i] for i in chosen], error):
                log_henry.append(float(log_henry_change(poses, own)))
                pose_squares.append(float(energy_changes(poses, own).square().mean()))
            zeros = error.new_zeros(graph.n_systems, dtype=torch.float64)
            weight = graph.multiplicity.double()
            absolute.append(zeros.index_add(0, graph.system, weight * error.abs()))
            squared.append(zeros.index_add(0, graph.system, weight * error.square()))
            count.append(zeros.index_add(0, graph.system, weight))
    a, s, n = torch.cat(absolute), torch.cat(squared), torch.cat(count)
    charges = (float(a.sum() / n.sum()), float((s.sum() / n.sum()).sqrt()), float((a / n).median()))
    if not log_henry:
        return ChargeErrors(*charges)
    sizes = torch.tensor(log_henry, dtype=torch.float64).abs()
    within = (sizes < math.log(1.5)).double().mean()
    rms = math.sqrt(sum(pose_squares) / len(pose_squares))
    return ChargeErrors(*charges, log_henry=float(sizes.mean()), pose_rms=rms, within=float(within))


def best_shrinkage(model: ChargeNetwork, systems: Sequence[LabelledGraph]) -> float:
    """The factor, 0.5 to 1, by which the learned corrections come closest to the charges of `systems`.

    A network fitted to few systems corrects too boldly; corrections scaled down generalise better.
    """
    factors = [0.5 + 0.05 * k for k in range(11)]
    errors = []
    for factor in factors:
        scaled = copy.deepcopy(model)
        shrink_corrections(scaled, factor)
        errors.append(charge_errors(scaled, systems).mean_absolute)
    return factors[min(range(len(factors)), key=errors.__getitem__)]


def shrink_corrections(model: ChargeNetwork, factor: float) -> None:
    """Scale what the network adds to a neutral base, in place: the charges are linear in it."""
    with torch.no_grad():
        for layer in model.layers:
            assert isinstance(layer, Interaction)
            for parameter in layer.readout[-1].parameters():
                parameter.mul_(factor)


def batches_of(systems: Sequence[LabelledGraph], atoms: int, seed: int | None, epoch: int) -> list[list[int]]:
    """Systems gathered until a batch holds `atoms` distinct atoms; the order is a pure function of (seed, epoch)."""
    order = list(range(len(systems)))
    if seed is not None:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch + 1) % 2**63)
        order = torch.randperm(len(systems), generator=generator).tolist()
    batches: list[list[int]] = [[]]
    filled = 0
    for index in order:
        if filled >= atoms:
            batches.append([])
            filled = 0
        batches[-1].append(index)
        filled += len(systems[index].target)
    return batches


def _epoch(
    config: ChargeTrainConfig,
    model: ChargeNetwork,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    training: Sequence[LabelledGraph],
    progress: dict[str, Any],
    total_steps: int,
    seed: int,
) -> float:
    """One pass over the training systems; returns the mean loss."""
    model.train()
    rarity = rarity_of_elements(training, config.hide_rare)
    noise = torch.Generator().manual_seed((seed * 7_919 + progress["epoch"] * 104_729 + 17) % 2**63)
    chosen_batches = batches_of(training, config.atoms, seed, progress["epoch"])
    summed, done = 0.0, 0
    started, before = time.monotonic(), progress["seconds"]
    for chosen in chosen_batches:
        now = {"step": progress["step"], "seconds": before + time.monotonic() - started}
        fraction = fraction_done(config, now, total_steps)
        if fraction >= 1.0 and done:
            break
        graph = join_graphs([training[i].graph for i in chosen])
        target = torch.cat([training[i].target for i in chosen])
        graph = replace(graph, vectors=graph.vectors + config.noise * torch.randn(graph.vectors.shape, generator=noise))
        charges = model(graph, known=_known_elements(config, graph, rarity, noise))
        error = charges - target
        loss = (graph.multiplicity * huber(error, config.huber_delta)).sum() / graph.multiplicity.sum()
        if config.henry_weight or config.pose_weight:
            loss = loss + pore_penalty(config, [training[i] for i in chosen], error)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {progress['step']}: lower train.lr ({config.lr:g})")
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, progress["step"], fraction)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        progress["step"] += 1
        decay = min(config.ema, (1 + progress["step"]) / (10 + progress["step"]))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                average[name].lerp_(parameter, 1 - decay)
        summed, done = summed + loss.item(), done + 1
    return summed / done


def rarity_of_elements(training: Sequence[LabelledGraph], hide_rare: float) -> Tensor:
    """The chance, by atomic number [119], that an element is hidden because few systems hold it."""
    held = torch.zeros(N_ELEMENTS)
    for system in training:
        held[system.graph.numbers.unique()] += 1
    return hide_rare / (hide_rare + held).clamp(min=1.0)


def _known_elements(
    config: ChargeTrainConfig, graph: ChargeGraph, rarity: Tensor, generator: torch.Generator
) -> Tensor:
    """1 for atoms whose element the network may recognise in this step, 0 for the others [N]."""
    hidden = (torch.rand(graph.n_systems, generator=generator) < config.hide_elements)[graph.system]
    if config.hide_rare:
        rare = torch.rand(graph.n_systems, N_ELEMENTS, generator=generator) < rarity
        hidden = hidden | rare[graph.system, graph.numbers]
    return (~hidden).float()


def pore_penalty(config: ChargeTrainConfig, systems: Sequence[LabelledGraph], error: Tensor) -> Tensor:
    """What charge errors [N] (e) of joined systems cost in their pores, e; zero where none has poses."""
    henry, energies = error.new_zeros(()), error.new_zeros(())
    known = 0
    for own, poses in _with_poses(systems, error):
        henry = henry + huber(log_henry_change(poses, own), config.henry_delta)
        energies = energies + huber(energy_changes(poses, own), config.pose_delta).mean()
        known += 1
    return (config.henry_weight * henry + config.pose_weight * energies) / max(known, 1)


def _with_poses(systems: Sequence[LabelledGraph], error: Tensor) -> Iterator[tuple[Tensor, GuestPoses]]:
    """Each system's part of the errors [N], and its poses, where it has any."""
    for system, own in zip(systems, error.split([len(system.target) for system in systems]), strict=True):
        if system.poses is not None:
            yield own, system.poses


def _in_pores(errors: ChargeErrors) -> str:
    if errors.log_henry is None or errors.within is None:
        return ""
    return f"|ln K/K_ref| {errors.log_henry:.3f}, {errors.within:.1%} within 1.5, "


def huber(error: Tensor, delta: float) -> Tensor:
    """|error| beyond `delta` less half of it, quadratic within (P. J. Huber, Ann. Math. Stat. 35, 73 (1964))."""
    size = error.abs()
    return torch.where(size < delta, size.square() / (2 * delta), size - delta / 2)


def fraction_done(config: ChargeTrainConfig, progress: Mapping[str, Any], total_steps: int) -> float:
    """Of the whole training, 0 to 1: by steps, or by the clock where minutes are the budget."""
    if config.max_minutes is not None:
        return min(1.0, progress["seconds"] / (60.0 * config.max_minutes))
    return min(1.0, progress["step"] / total_steps)


def learning_rate(config: ChargeTrainConfig, step: int, fraction: float) -> float:
    """Linear warm-up, then half a cosine down to one hundredth."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction)))


def _with_weights(model: ChargeNetwork, network: ChargeNetworkConfig, weights: Mapping[str, Tensor]) -> ChargeNetwork:
    """A copy of the model with other weights, ready to use."""
    copy = ChargeNetwork(network)
    copy.load_state_dict({**model.state_dict(), **weights})
    return copy.eval().requires_grad_(False)
