"""Training the crystal generator: a plain loop that can be killed at any moment and resumed exactly."""

import collections
import json
import math
import time
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from gen.crystals.batches import epoch_batches, generator_for
from gen.crystals.checkpoint import write_model
from gen.crystals.config import CrystalTrainingConfig, TrainConfig
from gen.crystals.dataset import CrystalDataset, CrystalGroup, load_dataset
from gen.crystals.lattice import LatticeScale, encode, fit_scale
from gen.crystals.network import CrystalNetwork
from gen.crystals.process import ChannelLosses, CleanCrystals, CrystalProcess
from gen.evaluation.reference import write_reference
from potentials.config import dump_yaml
from potentials.errors import InputError
from potentials.files import sha256_json, write_atomic


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
    """Train, checkpointing to `<output>/<name>`; returns that folder, which then holds a model to sample from.

    Every random number is a function of (seed, epoch, update), so a killed and resumed run gives the weights of
    an uninterrupted one, bit for bit on the CPU. A longer run may be had by resuming with more `train.epochs`.

    Args:
        resume: continue a run found in the folder; False refuses to overwrite one.
        tracker: receives training losses every `log_every` updates and validation losses.
        dataset: prepared crystals; by default those of `config.data`.
        command: what a person would type to repeat this run, kept in the checkpoint.

    Raises:
        InputError: the folder holds a run of another configuration, or (without `resume`) any run.
    """
    torch.set_num_threads(config.train.threads)
    device = torch.device(config.train.device)
    folder = Path(config.output) / config.name
    data = dataset or load_dataset(config.data)
    elements = tuple(sorted({int(z) for group in data.train.values() for z in group.numbers.unique()}))
    scale = fit_scale({n: group.lattice for n, group in data.train.items()})
    process = CrystalProcess(config.process, scale, mask=len(elements))
    train = {n: _prepare(group, elements, scale, n, device) for n, group in data.train.items()}
    validation = {n: _prepare(group, elements, scale, n, device) for n, group in data.validation.items()}

    torch.manual_seed(config.train.seed)
    network = CrystalNetwork(config.network, len(elements)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.train.lr, weight_decay=config.train.weight_decay)
    ema = {name: value.detach().clone() for name, value in network.state_dict().items()}
    state_path = folder / "state.safetensors"
    fingerprint = _fingerprint(config, data)
    step, seconds = 0, 0.0
    if state_path.is_file():
        if not resume:
            raise InputError(f"{folder} already holds a run: resume it, or choose another name")
        step, seconds = _restore(state_path, network, optimizer, ema, fingerprint)
        _forget_after(folder / "metrics.jsonl", step)
    write_atomic(folder / "config.yaml", dump_yaml(config))

    sizes = {n: len(group.tokens) for n, group in train.items()}
    units = formula_units(data.train)
    write_reference(folder, data)
    options = config.train
    per_epoch = len(epoch_batches(sizes, options.batch_size, options.groups, options.seed, 0))
    total = per_epoch * options.epochs
    started = saved = time.monotonic()
    losses: dict[str, float] = {}

    def checkpoint() -> None:
        elapsed = seconds + time.monotonic() - started
        _save_state(state_path, network, optimizer, ema, step, elapsed, fingerprint)
        averaged = CrystalNetwork(config.network, len(elements))
        averaged.load_state_dict(ema)
        write_model(
            folder,
            averaged,
            config.process,
            scale,
            elements,
            sizes,
            units,
            {
                "command": command,
                "data_sha256": data.sha256,
                "data": data.counts,
                "seed": options.seed,
                "updates": step,
                "epochs": round(step / per_epoch, 2),
                "planned_epochs": options.epochs,
                "wall_seconds": round(elapsed),
                "threads": options.threads,
                "torch": torch.__version__,
                "losses": losses,
            },
        )

    with tqdm(total=total, initial=step, desc=f"train {config.name}", unit="update", mininterval=5) as bar:
        for epoch in range(step // per_epoch, options.epochs):
            batches = epoch_batches(sizes, options.batch_size, options.groups, options.seed, epoch)
            for batch in batches[step % per_epoch :]:
                lr = learning_rate(step, total, options)
                values = _update(network, process, optimizer, train, batch, config, lr, step)
                _average(ema, network, min(options.ema, (1 + step) / (10 + step)))
                step += 1
                bar.update()
                if step % options.log_every == 0 or step == total:
                    bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
                    _log(folder, tracker, {"lr": lr, **values}, step)
                if step % options.validate_every == 0 or step == total:
                    losses = validate(ema, process, validation, config, len(elements))
                    _log(folder, tracker, losses, step)
                if time.monotonic() - saved > options.checkpoint_seconds or step == total:
                    checkpoint()
                    saved = time.monotonic()
    if not (folder / "model.json").is_file():
        checkpoint()
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


def validate(
    weights: dict[str, Tensor],
    process: CrystalProcess,
    validation: dict[int, CleanCrystals],
    config: CrystalTrainingConfig,
    species: int,
) -> dict[str, float]:
    """Mean losses by channel on the held-out crystals, with the same noise every time."""
    if not validation:
        return {}
    network = CrystalNetwork(config.network, species).to(config.train.device)
    network.load_state_dict(weights)
    network.eval()
    sums = {"coordinates": 0.0, "lattice": 0.0, "species": 0.0}
    count = 0
    with torch.no_grad():
        for n_atoms, clean in validation.items():
            rows = len(clean.tokens)
            draws = process.draw(rows, n_atoms, generator_for("validation", n_atoms))
            losses = process.losses(network, clean, _to(draws, config.train.device))
            for name in sums:
                sums[name] += float(getattr(losses, name).sum())
            count += rows
    return {f"validation_{name}": value / count for name, value in sums.items()}


def _prepare(
    group: CrystalGroup, elements: tuple[int, ...], scale: LatticeScale, n_atoms: int, device: torch.device
) -> CleanCrystals:
    index = torch.full((120,), -1, dtype=torch.long)
    index[torch.tensor(elements)] = torch.arange(len(elements))
    tokens = index[group.numbers]
    known = (tokens >= 0).all(1)  # a validation crystal may hold an element that training never saw
    components = scale.standardise(encode(group.lattice), n_atoms)
    return CleanCrystals(tokens[known].to(device), group.frac[known].to(device), components[known].to(device))


def _update(
    network: CrystalNetwork,
    process: CrystalProcess,
    optimizer: torch.optim.Optimizer,
    train: dict[int, CleanCrystals],
    batch: list[tuple[int, Tensor]],
    config: CrystalTrainingConfig,
    lr: float,
    step: int,
) -> dict[str, float]:
    options = config.train
    generator = generator_for(options.seed, "noise", step)
    total = sum(len(rows) for _, rows in batch)
    sums = {"coordinates": 0.0, "lattice": 0.0, "species": 0.0}
    optimizer.zero_grad(set_to_none=True)
    for n_atoms, rows in batch:
        group = train[n_atoms]
        picked = rows.to(group.tokens.device)
        clean = CleanCrystals(group.tokens[picked], group.frac[picked], group.components[picked])
        draws = _to(process.draw(len(rows), n_atoms, generator), options.device)
        with torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bfloat16"):
            losses = process.losses(network, clean, draws)
        (_weighted(losses, options).sum() / total).backward()
        for name in sums:
            sums[name] += float(getattr(losses, name).detach().sum()) / total
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
    for group_options in optimizer.param_groups:
        group_options["lr"] = lr
    optimizer.step()
    return {**sums, "gradient_norm": float(norm)}


def _weighted(losses: ChannelLosses, options: TrainConfig) -> Tensor:
    return (
        options.weight_coordinates * losses.coordinates
        + options.weight_lattice * losses.lattice
        + options.weight_species * losses.species
    )


def _to(draws: Any, device: str) -> Any:
    return type(draws)(**{name: value.to(device) for name, value in vars(draws).items()})


@torch.no_grad()
def _average(ema: dict[str, Tensor], network: CrystalNetwork, decay: float) -> None:
    for name, value in network.state_dict().items():
        ema[name].lerp_(value, 1 - decay)


def _log(folder: Path, tracker: Tracker | None, values: dict[str, float], step: int) -> None:
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"update": step, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
    if tracker is not None:
        tracker.log(values, step=step)


def _forget_after(path: Path, step: int) -> None:
    """Drop the metrics of updates that a killed run made after its last checkpoint; they will be made again."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if line.endswith("}")]  # the last may be torn
        write_atomic(path, "".join(f"{line}\n" for line in whole if json.loads(line)["update"] <= step))


def _fingerprint(config: CrystalTrainingConfig, data: CrystalDataset) -> str:
    """Hash of all that must agree for a run to be resumed; length, logging and place may change."""
    free = {"epochs", "checkpoint_seconds", "log_every", "validate_every", "threads", "device"}
    return sha256_json(
        {
            "network": config.network.model_dump(mode="json"),
            "process": config.process.model_dump(mode="json"),
            "train": config.train.model_dump(mode="json", exclude=free),
            "data": data.sha256,
        }
    )


def _save_state(
    path: Path,
    network: CrystalNetwork,
    optimizer: torch.optim.Optimizer,
    ema: dict[str, Tensor],
    step: int,
    seconds: float,
    fingerprint: str,
) -> None:
    tensors = {f"weights.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = torch.as_tensor(value)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # one file, so that weights and update number can never disagree
    metadata = {"step": str(step), "seconds": str(seconds), "fingerprint": fingerprint}
    write_atomic(path, save(tensors, metadata=metadata))


def _restore(
    path: Path,
    network: CrystalNetwork,
    optimizer: torch.optim.Optimizer,
    ema: dict[str, Tensor],
    fingerprint: str,
) -> tuple[int, float]:
    try:
        with safetensors.safe_open(path, framework="pt") as archive:
            metadata = archive.metadata() or {}
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged ({error}): remove the folder and start again") from None
    if metadata.get("fingerprint") != fingerprint:
        raise InputError(f"{path} belongs to another configuration or data set: choose another name for this run")
    network.load_state_dict({k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")})
    for name in ema:
        ema[name].copy_(tensors[f"ema.{name}"])
    states = {
        index: {key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for index, (name, _) in enumerate(network.named_parameters())
    }
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["step"]), float(metadata["seconds"])
