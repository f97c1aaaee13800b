"""Training the crystal generator: a plain loop that can be killed at any moment and resumed exactly."""

import collections
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import write_model
from gen.crystals.config import CrystalTrainingConfig, TrainConfig
from gen.crystals.dataset import CrystalDataset, CrystalGroup, load_dataset
from gen.crystals.lattice import fit_scale
from gen.crystals.networks import AnyCrystalNetwork, make_network
from gen.crystals.process import ChannelLosses, CleanCrystals, CrystalProcess, Draws, ScoreNetwork
from gen.crystals.processes import make_process
from gen.crystals.run_state import RunState, append_metrics, discard_state, restore_state
from gen.crystals.structure_types import write_types
from gen.crystals.update_loop import Batch, run_updates, training_budget, updates_per_epoch
from gen.evaluation.reference import write_reference
from potentials.config import Config, dump_yaml
from potentials.files import sha256_json, write_atomic

CHANNELS = ("coordinates", "lattice", "species")


class Tracker(Protocol):
    """Where metrics go; wandb's run fits."""

    def log(self, data: dict[str, float], step: int) -> Any:
        """Record metrics at an update."""
        ...


def train_crystals(
    config: CrystalTrainingConfig,
    *,
    resume: bool = True,
    tracker: Tracker | None = None,
    dataset: CrystalDataset | None = None,
    command: str = "sorbus train crystals",
) -> Path:
    """Train, checkpointing to `config.out`; returns that folder, which then holds a model to sample from.

    Every random number is a function of (seed, epoch, update), so a killed and resumed run gives the weights of
    an uninterrupted one, bit for bit on the CPU. A longer run may be had by resuming with more `train.epochs`. With
    `train.max_minutes` the learning rate follows the clock, so that the run ends in time but not always alike.

    Args:
        resume: continue a run found in the folder; False starts over and discards it.
        tracker: receives training losses every `log_every` updates, and validation losses.
        dataset: prepared crystals; by default those of `config.data`.
        command: what a person would type to repeat this run, kept in the checkpoint.

    Raises:
        InputError: the folder holds a run of another configuration, or cannot be written.
    """
    options = config.train
    torch.set_num_threads(options.threads)
    folder = Path(config.out)
    data = dataset or load_dataset(config.data)
    elements = tuple(sorted({int(z) for group in data.train.values() for z in group.numbers.unique()}))
    scale = fit_scale({n: group.lattice for n, group in data.train.items()})
    process = make_process(config.process, scale, mask=len(elements))
    train = {n: prepare_group(group, elements, process, n, options.device) for n, group in data.train.items()}
    validation = {n: prepare_group(group, elements, process, n, options.device) for n, group in data.validation.items()}
    sizes = {n: len(group.tokens) for n, group in train.items()}
    units = formula_units(data.train)
    fingerprint = _fingerprint(config, data)

    state = _initial_state(config, len(elements))
    if resume:
        restore_state(folder, state, fingerprint)
    else:
        discard_state(folder)
    write_atomic(folder / "config.yaml", dump_yaml(config))
    write_reference(folder, data)
    write_types(folder, data, cache=config.data.cache if dataset is None else None, progress=True)

    per_epoch = updates_per_epoch(sizes, options)
    budget = training_budget(options, per_epoch)

    def log(values: dict[str, float]) -> None:
        append_metrics(folder, values, state.step)
        if tracker is not None:
            tracker.log(values, step=state.step)

    def write(losses: dict[str, float]) -> None:
        provenance = {
            "command": command,
            "config": config.model_dump(mode="json"),
            "data_sha256": data.sha256,
            "data": data.counts,
            "seed": options.seed,
            "updates": state.step,
            "epochs": round(state.step / per_epoch, 2),
            "planned_epochs": options.epochs if options.max_minutes is None else None,
            "wall_seconds": round(state.seconds),
            "torch": torch.__version__,
            "losses": losses,
        }
        write_model(
            folder, state.averaged_network(), config.process, scale, elements, sizes, units, provenance=provenance
        )

    def update(batch: Batch) -> dict[str, float]:
        lr = learning_rate(state.step, budget.planned(state), options)
        return {"lr": lr, **update_network(state, process, train, batch, options, lr)}

    def held_out() -> dict[str, float]:
        return validate(state.averaged_network(), process, validation)

    run_updates(
        state,
        folder,
        fingerprint,
        sizes,
        options,
        budget,
        update,
        title="train crystals",
        log=log,
        validate=held_out if validation else None,
        write=write,
    )
    return folder


def formula_units(groups: dict[int, CrystalGroup]) -> dict[int, int]:
    """How many crystals have Z formula units in the primitive cell, by Z."""
    rows = (row for group in groups.values() for row in group.numbers.tolist())
    return dict(collections.Counter(math.gcd(*collections.Counter(row).values()) for row in rows))


def learning_rate(step: int, total: int, options: TrainConfig) -> float:
    """Linear warm-up, then a cosine from `lr` to `lr_final` at the last update."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    share = (step - options.warmup_steps) / max(1, total - options.warmup_steps)
    return options.lr_final + 0.5 * (options.lr - options.lr_final) * (1 + math.cos(math.pi * min(1.0, share)))


@torch.no_grad()
def validate(
    network: AnyCrystalNetwork,
    process: CrystalProcess,
    validation: dict[int, CleanCrystals],
    bind: Callable[[int, Tensor], ScoreNetwork] | None = None,
) -> dict[str, float]:
    """Mean losses by channel on the held-out crystals, with the same noise every time; `bind` as in training."""
    sums = dict.fromkeys(CHANNELS, 0.0)
    count = 0
    for n_atoms, clean in validation.items():
        rows = len(clean.tokens)
        draws = process.draw(rows, n_atoms, generator_for("validation", n_atoms))
        bound = bind(n_atoms, torch.arange(rows)) if bind is not None else network
        losses = process.losses(bound, clean, _to(draws, clean.frac.device))
        for name in CHANNELS:
            sums[name] += float(getattr(losses, name).sum())
        count += rows
    return {f"validation_{name}": value / max(1, count) for name, value in sums.items()}


def _initial_state(config: CrystalTrainingConfig, species: int) -> RunState:
    torch.manual_seed(config.train.seed)
    network = make_network(config.network, species).to(config.train.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.train.lr, weight_decay=config.train.weight_decay)
    return RunState(network, optimizer, {name: v.detach().clone() for name, v in network.state_dict().items()})


def prepare_group(
    group: CrystalGroup, elements: tuple[int, ...], process: CrystalProcess, n_atoms: int, device: str
) -> CleanCrystals:
    """Crystals of one atom count as the process sees them, without those that hold an element not in `elements`."""
    index = torch.full((120,), -1, dtype=torch.long)
    index[torch.tensor(elements)] = torch.arange(len(elements))
    tokens = index[group.numbers]
    known = (tokens >= 0).all(1)  # a validation crystal may hold an element that training never saw
    components = process.encode(group.lattice, n_atoms)
    return CleanCrystals(tokens[known].to(device), group.frac[known].to(device), components[known].to(device))


def update_network(
    state: RunState,
    process: CrystalProcess,
    train: dict[int, CleanCrystals],
    batch: list[tuple[int, Tensor]],
    options: TrainConfig,
    lr: float,
    bind: Callable[[int, Tensor], ScoreNetwork] | None = None,
) -> dict[str, float]:
    """One optimiser step on the groups of a batch; returns mean losses and the gradient norm.

    Args:
        batch: (atom count, row indices) of each group.
        lr: times the `scale` of a parameter group where it has one.
        bind: (atom count, row indices) -> the network bound to what those crystals are conditioned on.
    """
    generator = generator_for(options.seed, "noise", state.step)
    total = sum(len(rows) for _, rows in batch)
    sums = dict.fromkeys(CHANNELS, 0.0)
    state.optimizer.zero_grad(set_to_none=True)
    for n_atoms, rows in batch:
        group = train[n_atoms]
        picked = rows.to(group.tokens.device)
        clean = CleanCrystals(group.tokens[picked], group.frac[picked], group.components[picked])
        draws = _to(process.draw(len(rows), n_atoms, generator), clean.frac.device)
        with torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bfloat16"):
            network = bind(n_atoms, rows) if bind is not None else state.network
            losses = process.losses(network, clean, draws)
        (_weighted(losses, options).sum() / total).backward()
        for name in CHANNELS:
            sums[name] += float(getattr(losses, name).detach().sum()) / total
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), options.clip_norm)
    for settings in state.optimizer.param_groups:
        settings["lr"] = lr * settings.get("scale", 1.0)
    state.optimizer.step()
    # a short memory at first: the early weights are not worth averaging
    state.average(min(options.ema, (1 + state.step) / (10 + state.step)))
    state.step += 1
    return {**sums, "gradient_norm": float(norm)}


def _weighted(losses: ChannelLosses, options: TrainConfig) -> Tensor:
    return (
        options.weight_coordinates * losses.coordinates
        + options.weight_lattice * losses.lattice
        + options.weight_species * losses.species
    )


def _to(draws: Draws, device: torch.device) -> Draws:
    return Draws(**{name: value.to(device) for name, value in vars(draws).items()})


def _fingerprint(config: CrystalTrainingConfig, data: CrystalDataset) -> str:
    """Hash of all that must agree for a run to be resumed; length, logging and place may change."""
    free = {"epochs", "max_minutes", "checkpoint_seconds", "log_every", "validate_every", "threads", "device"}
    return sha256_json(
        {
            "network": _set_fields(config.network, {"lattice_outputs": 6, "kind": "pairs"}),
            "process": _set_fields(config.process, {"kind": "diffusion"}),
            "train": config.train.model_dump(mode="json", exclude=free),
            "data": data.sha256,
        }
    )


def _set_fields(config: Config, later: dict[str, Any]) -> dict[str, Any]:
    """Fields of a section; those that came `later` count only where they differ from the default of old runs."""
    values = config.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in later or value != later[key]}
