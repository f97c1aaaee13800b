"""Fine-tuning a generator on a user's crystals: new properties to steer by, or only more crystals."""

import gzip
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from gen.crystals import properties
from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import CrystalModel, find_checkpoint, read_model, write_model
from gen.crystals.config import Source, TrainConfig
from gen.crystals.finetune_card import model_card
from gen.crystals.networks import AnyCrystalNetwork, make_network
from gen.crystals.process import ScoreNetwork
from gen.crystals.property_table import PropertyTable, read_table
from gen.crystals.run_state import RunState, append_metrics, discard_state, restore_state
from gen.crystals.sources import read_formulas
from gen.crystals.structure_types import write_types
from gen.crystals.training import Tracker, formula_units, learning_rate, prepare_group, update_network, validate
from gen.crystals.update_loop import Batch, run_updates, training_budget, updates_per_epoch
from gen.evaluation import reference
from potentials.config import Config, dump_yaml
from potentials.errors import InputError
from potentials.files import sha256_json, write_atomic

logger = logging.getLogger(__name__)


class FinetuneTrainConfig(TrainConfig):
    """Optimiser and run length; a small rate, because the network knows crystals already."""

    epochs: int = Field(default=20, ge=1)
    lr: float = Field(default=1e-3, gt=0)  # of the adapters and property embeddings, which start from nothing
    body_lr: float = Field(default=0.2, ge=0)  # times `lr`, for the network they were added to
    warmup_steps: int = Field(default=100, ge=0)
    validate_every: int = Field(default=500, ge=1)  # updates
    checkpoint_seconds: float = Field(default=120.0, gt=0)


class FinetuneConfig(Config):
    """`sorbus finetune crystals`."""

    data: str = ""  # CSV with a `cif` or `file` column, or a folder with one
    properties: tuple[str, ...] = ()  # columns to steer by; none: learn more crystals, nothing else
    base: str = "crystals"  # shipped weights by name, or a checkpoint folder
    out: str = "runs/finetune/crystals"
    adapters_only: bool = False  # leave the network as it is and train what was added to it
    drop: float = Field(default=0.2, gt=0, lt=1)  # share of crystals shown without any property, for guidance
    max_atoms: int | None = Field(default=None, ge=1)  # in the primitive cell; None: the largest of the checkpoint
    holdout: float = Field(default=0.05, gt=0, lt=1)  # share of reduced formulas kept for validation
    exclude_formulas_of: tuple[Source, ...] = ()  # public test splits whose formulas are left out
    workers: int = Field(default=1, ge=1)  # processes that read the table
    train: FinetuneTrainConfig = FinetuneTrainConfig()


def finetune_crystals(
    config: FinetuneConfig,
    *,
    resume: bool = True,
    tracker: Tracker | None = None,
    table: PropertyTable | None = None,
    command: str = "sorbus finetune crystals",
) -> Path:
    """Fine-tune a checkpoint, writing a new one to `config.out`; returns that folder.

    The new checkpoint can be conditioned on every property of the old one and on `config.properties`. Killed and
    run again it continues, and ends with the weights of an uninterrupted run, bit for bit on the CPU.

    Args:
        resume: continue a run found in the folder; False starts over and discards it.
        tracker: receives losses.
        table: crystals and values in memory; by default those of `config.data`.
        command: what a person would type to repeat this run, kept in the checkpoint.

    Raises:
        InputError: the table or the base checkpoint cannot be used, the folder holds another run, or cannot be written.
    """
    options = config.train
    torch.set_num_threads(options.threads)
    folder, base_folder = Path(config.out), find_checkpoint(config.base)
    if folder.resolve() == base_folder.resolve():
        raise InputError(f"out = {config.out} is the checkpoint to start from: choose another folder")
    base = read_model(base_folder, options.device)
    if config.adapters_only and not (config.properties or base.properties):
        raise InputError("adapters_only needs a property to steer by: give properties, or train the whole network")
    if table is None:
        table = _read(config, base)
    names = (*(s.name for s in base.properties), *(n for n in config.properties if n not in _names(base)))
    train_values, validation_values = _align(table, table.train, names), _align(table, table.validation, names)
    network = _network(base, table, names).to(options.device)
    state = _initial_state(network, config)
    data = table.dataset
    groups = {n: prepare_group(g, base.elements, base.process, n, options.device) for n, g in data.train.items()}
    held_out = {n: prepare_group(g, base.elements, base.process, n, options.device) for n, g in data.validation.items()}
    sizes = {n: len(group.tokens) for n, group in groups.items()}
    fingerprint = _fingerprint(config, base, data.sha256)
    if resume:
        restore_state(folder, state, fingerprint)
    else:
        discard_state(folder)
    write_atomic(folder / "config.yaml", dump_yaml(config))
    write_atomic(folder / "bad_rows.txt", "".join(f"{row}\n" for row in table.bad_rows))
    _write_reference(folder, base_folder, table)

    per_epoch = updates_per_epoch(sizes, options)
    budget = training_budget(options, per_epoch)

    def bind(n_atoms: int, rows: Tensor) -> ScoreNetwork:
        values = train_values[n_atoms][rows].float()
        generator = generator_for(options.seed, "drop", state.step, n_atoms, int(rows[0]))
        uniform = torch.rand(len(rows), 2 + values.shape[1], generator=generator)
        asked = properties.drop(values, config.drop, uniform).to(options.device)
        return partial(state.network, values=asked)

    def log(values: dict[str, float]) -> None:
        append_metrics(folder, values, state.step)
        if tracker is not None:
            tracker.log(values, step=state.step)

    def write(losses: dict[str, float]) -> None:
        provenance = {
            "command": command,
            "config": config.model_dump(mode="json"),
            "base": {"name": config.base, "sha256": base.sha256, "provenance": base.provenance},
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
        trained = state.averaged_network()
        counts = {n: base.atom_counts.get(n, 0) + sizes.get(n, 0) for n in {*base.atom_counts, *sizes}}
        added = formula_units(data.train)
        units = {z: base.formula_units.get(z, 0) + added.get(z, 0) for z in {*base.formula_units, *added}}
        process = base.process
        write_model(folder, trained, process.config, process.scale, base.elements, counts, units, provenance=provenance)
        write_atomic(folder / "MODEL_CARD.md", model_card(folder, trained.properties, provenance, table.bad_rows))

    def update(batch: Batch) -> dict[str, float]:
        lr = learning_rate(state.step, budget.planned(state), options)
        return {"lr": lr, **update_network(state, base.process, groups, batch, options, lr, bind if names else None)}

    def held_out_losses() -> dict[str, float]:
        return _validate(state.averaged_network(), base, held_out, validation_values if names else None)

    run_updates(
        state,
        folder,
        fingerprint,
        sizes,
        options,
        budget,
        update,
        title="finetune crystals",
        log=log,
        validate=held_out_losses if held_out else None,
        write=write,
    )
    return folder


def _names(base: CrystalModel) -> tuple[str, ...]:
    return tuple(spec.name for spec in base.properties)


def _read(config: FinetuneConfig, base: CrystalModel) -> PropertyTable:
    """The user's table; what is wrong with its rows goes to the log."""
    if not config.data:
        raise InputError("no table: name a CSV with a `cif` or `file` column in `data`")
    excluded = frozenset().union(*(read_formulas(source) for source in config.exclude_formulas_of))
    table = read_table(
        config.data,
        config.properties,
        base.elements,
        config.max_atoms or max(base.atom_counts),
        holdout=config.holdout,
        exclude_formulas=excluded,
        workers=config.workers,
    )
    for row in table.bad_rows[:10]:
        logger.warning("%s: %s", config.data, row)
    if len(table.bad_rows) > 10:
        logger.warning("%s: %d more rows left out, see bad_rows.txt", config.data, len(table.bad_rows) - 10)
    return table


def _align(table: PropertyTable, values: dict[int, Tensor], names: tuple[str, ...]) -> dict[int, Tensor]:
    """Columns [M, P] in the order of the network's properties, NaN for those the table does not have."""
    aligned = {}
    for n, columns in values.items():
        empty = torch.full((len(columns),), torch.nan, dtype=torch.float64)
        picked = [columns[:, table.names.index(name)] if name in table.names else empty for name in names]
        aligned[n] = torch.stack(picked, dim=1) if picked else columns
    return aligned


def _network(base: CrystalModel, table: PropertyTable, names: tuple[str, ...]) -> AnyCrystalNetwork:
    """The base network with adapters for the properties it does not have yet; old ones keep their scale."""
    new = [name for name in names if name not in _names(base)]
    columns = torch.stack([table.training_values()[:, table.names.index(name)] for name in new], dim=1) if new else None
    specs = (*base.properties, *(properties.fit_specs(new, columns) if columns is not None else ()))
    torch.manual_seed(0)  # of the new embeddings
    network = make_network(base.network.config, len(base.elements), specs)
    missing, unexpected = network.load_state_dict(base.network.state_dict(), strict=False)
    wrong = [*unexpected, *(name for name in missing if not name.startswith("conditioning."))]
    if wrong:
        raise InputError(f"the base checkpoint has other weights than its network ({wrong[0]}): train it again")
    return network


def _initial_state(network: AnyCrystalNetwork, config: FinetuneConfig) -> RunState:
    options = config.train
    body = [p for name, p in network.named_parameters() if not name.startswith("conditioning.")]
    added = [p for name, p in network.named_parameters() if name.startswith("conditioning.")]
    for parameter in body:
        parameter.requires_grad_(not config.adapters_only)
    # without adapters the whole network is what is trained, at the rate asked for
    groups = [{"params": body, "scale": options.body_lr if added else 1.0}] if not config.adapters_only else []
    groups += [{"params": added, "scale": 1.0}] if added else []
    optimizer = torch.optim.AdamW(groups, lr=options.lr, weight_decay=options.weight_decay)
    return RunState(network, optimizer, {name: v.detach().clone() for name, v in network.state_dict().items()})


def _validate(
    network: AnyCrystalNetwork, base: CrystalModel, held_out: dict[int, Any], values: dict[int, Tensor] | None
) -> dict[str, float]:
    """Held-out losses without conditions and, where there are properties, with all of them."""
    losses = validate(network, base.process, held_out)
    if values is None:
        return losses
    device = next(network.parameters()).device
    bind: Callable[[int, Tensor], ScoreNetwork] = lambda n, rows: partial(  # noqa: E731
        network, values=values[n][rows].float().to(device)
    )
    told = validate(network, base.process, held_out, bind)
    return {**losses, **{f"{name}_conditioned": value for name, value in told.items()}}


def _write_reference(folder: Path, base_folder: Path, table: PropertyTable) -> None:
    """Fingerprints of everything the new checkpoint has seen: the base's training set and the table."""
    write_types(folder, table.dataset, base_folder, progress=True)
    path = reference.write_reference(folder, table.dataset)
    old = base_folder / reference.FILE
    if not old.is_file():
        return
    payloads = [json.loads(gzip.decompress(file.read_bytes())) for file in (old, path)]
    merged = {**payloads[1], "training": sorted({tuple(row) for payload in payloads for row in payload["training"]})}
    merged["validation"] = payloads[0]["validation"]
    text = json.dumps(merged, separators=(",", ":")).encode()
    write_atomic(path, gzip.compress(text, mtime=0))


def _fingerprint(config: FinetuneConfig, base: CrystalModel, data_sha256: str) -> str:
    """Hash of all that must agree for a run to be resumed; length, logging and place may change."""
    free = {"epochs", "max_minutes", "checkpoint_seconds", "log_every", "validate_every", "threads", "device"}
    return sha256_json(
        {
            "base": base.sha256,
            "properties": config.properties,
            "adapters_only": config.adapters_only,
            "drop": config.drop,
            "train": config.train.model_dump(mode="json", exclude=free),
            "data": data_sha256,
        }
    )
