"""Training the sorbent generator: the crystals' loop, on beads."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gen.crystals import properties
from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import find_checkpoint
from gen.crystals.process import CleanCrystals, CrystalProcess, ScoreNetwork
from gen.crystals.run_state import RunState, append_metrics, discard_state, restore_state
from gen.crystals.training import Tracker, learning_rate, update_network, validate
from gen.crystals.update_loop import Batch, run_updates, training_budget, updates_per_epoch
from gen.sorbents.bead_config import BeadTrainConfig, BeadTrainingConfig
from gen.sorbents.bead_dataset import BeadDataset, BeadGroup, load_bead_dataset
from gen.sorbents.bead_model import new_bead_model, read_bead_model, write_bead_model
from gen.sorbents.bead_network import BeadNetwork, bound
from gen.sorbents.fingerprint import load_fingerprints
from gen.sorbents.surrogate import fit_surrogate, write_surrogate
from potentials.config import dump_yaml
from potentials.errors import InputError
from potentials.files import sha256_json, write_atomic


def train_sorbents(
    config: BeadTrainingConfig,
    *,
    resume: bool = True,
    tracker: Tracker | None = None,
    dataset: BeadDataset | None = None,
    command: str = "sorbus train sorbents",
) -> Path:
    """Train, checkpointing to `config.out`; returns that folder, which then holds a model to sample from.

    Every random number is a function of (seed, epoch, update), so a killed and resumed run gives the weights of
    an uninterrupted one, bit for bit on the CPU. With `train.max_minutes` the learning rate follows the clock, so that
    it ends alike, not identically.

    Args:
        resume: continue a run found in the folder; False starts over and discards it.
        tracker: receives training losses every `log_every` updates, and validation losses.
        dataset: prepared frameworks; by default those of `config.data`.
        command: what a person would type to repeat this run, kept in the checkpoint.

    Raises:
        InputError: the data set cannot be used, the folder holds a run of another configuration, or cannot be written.
    """
    options = config.train
    torch.set_num_threads(options.threads)
    folder = Path(config.out)
    data = dataset or load_bead_dataset(config.data, load_fingerprints().names)
    started_from, earlier_seconds, earlier_updates = "", 0, 0
    base = read_bead_model(find_checkpoint(config.base)) if config.base else None
    model = new_bead_model(config, data, base.properties if base else ())
    if base is not None:
        if base.vocabulary != model.vocabulary or base.network.config != config.network:
            raise InputError(f"base = {config.base} has another network or vocabulary: train from random weights")
        _copy_weights(base.network, model.network)
        started_from = base.sha256
        earlier_seconds = base.provenance["wall_seconds"] + base.provenance.get("base_seconds", 0)
        earlier_updates = base.provenance["updates"] + base.provenance.get("base_updates", 0)
    network, process = model.network.to(options.device), model.process
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.lr, weight_decay=options.weight_decay)
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    state = RunState(network, optimizer, averaged)
    splits = {"validation": data.validation, "held": data.held}
    train = clean_groups(data.train, process, options.device)
    others = {name: clean_groups(groups, process, options.device) for name, groups in splits.items() if groups}
    sizes = {n: len(group) for n, group in data.train.items()}
    fingerprint = _fingerprint(config, data, started_from)
    if resume:
        restore_state(folder, state, fingerprint)
    else:
        discard_state(folder)
    write_atomic(folder / "config.yaml", dump_yaml(config))
    surrogate = fit_surrogate(data.train, data.labels)
    if surrogate is not None:
        write_surrogate(folder, surrogate)
    per_epoch = updates_per_epoch(sizes, options)
    budget = training_budget(options, per_epoch)

    def log(values: dict[str, float]) -> None:
        append_metrics(folder, values, state.step)
        if tracker is not None:
            tracker.log(values, step=state.step)

    def write(losses: dict[str, float]) -> None:
        provenance: dict[str, Any] = {
            "command": command,
            "config": config.model_dump(mode="json"),
            "data_sha256": data.sha256,
            "data": data.counts,
            "seed": options.seed,
            "base_sha256": started_from,
            "base_seconds": earlier_seconds,
            "base_updates": earlier_updates,
            "updates": state.step,
            "epochs": round(state.step / per_epoch, 2),
            "wall_seconds": round(state.seconds),
            "torch": torch.__version__,
            "losses": losses,
        }
        averaged_network = state.averaged_network()
        assert isinstance(averaged_network, BeadNetwork)
        write_bead_model(folder, dataclasses.replace(model, network=averaged_network), provenance)

    def bind(n_beads: int, rows: Tensor) -> ScoreNetwork:
        group = data.train[n_beads]
        roles = network.connections[group.tokens[rows].to(options.device)]
        values = _shown(group, rows, options, state.step, n_beads)
        jitter = None
        if options.jitter > 0:
            generator = generator_for(options.seed, "jitter", state.step, n_beads, int(rows[0]))
            noise = torch.randn(network.fingerprints.shape, generator=generator)
            jitter = options.jitter * noise.to(options.device)
        joined = _graphs(group, rows, options, state.step, n_beads).to(options.device)
        return bound(
            network, roles, None if values is None else values.to(options.device), jitter=jitter, joined=joined
        )

    def update(batch: Batch) -> dict[str, float]:
        lr = learning_rate(state.step, budget.planned(state), options)
        return {"lr": lr, **update_network(state, process, train, batch, options, lr, bind)}

    def all_held_out() -> dict[str, float]:
        averaged_network = state.averaged_network()
        assert isinstance(averaged_network, BeadNetwork)
        losses: dict[str, float] = {}
        for name, clean in others.items():
            found = evaluate(averaged_network, process, splits[name], clean)
            losses |= {key.replace("validation", name): value for key, value in found.items()}
        return losses

    run_updates(
        state,
        folder,
        fingerprint,
        sizes,
        options,
        budget,
        update,
        title="train sorbents",
        log=log,
        validate=all_held_out if others else None,
        write=write,
    )
    return folder


def clean_groups(groups: dict[int, BeadGroup], process: CrystalProcess, device: str) -> dict[int, CleanCrystals]:
    """Frameworks as the process sees them."""
    return {
        n: CleanCrystals(
            group.tokens.to(device), group.frac.to(device), process.encode(group.lattice, n).float().to(device)
        )
        for n, group in groups.items()
    }


def evaluate(
    network: BeadNetwork, process: CrystalProcess, groups: dict[int, BeadGroup], clean: dict[int, CleanCrystals]
) -> dict[str, float]:
    """Mean losses by channel, `validation_...`, all properties and nets shown, with the same noise every time."""

    def bind(n_beads: int, rows: Tensor) -> ScoreNetwork:
        group = groups[n_beads]
        roles = network.connections[group.tokens[rows].to(network.connections.device)]
        values = group.values[rows].float() if network.properties else None
        return bound(network, roles, values, joined=group.joined[rows])

    return validate(network, process, clean, bind)


def _shown(group: BeadGroup, rows: Tensor, options: BeadTrainConfig, step: int, n_beads: int) -> Tensor | None:
    """Labels of some frameworks [B, P] with a random part hidden; None where none is learnt."""
    values = group.values[rows].float()
    if values.shape[1] == 0:
        return None
    generator = generator_for(options.seed, "drop", step, n_beads, int(rows[0]))
    return properties.drop(values, options.drop, torch.rand(len(rows), values.shape[1] + 2, generator=generator))


def _graphs(group: BeadGroup, rows: Tensor, options: BeadTrainConfig, step: int, n_beads: int) -> Tensor:
    """Graphs of the nets of some frameworks [B, N, N], those of a random part hidden (-1)."""
    generator = generator_for(options.seed, "net", step, n_beads, int(rows[0]))
    hidden = torch.rand(len(rows), generator=generator) < options.hide_net
    return torch.where(hidden[:, None, None], -1, group.joined[rows])


def _copy_weights(source: BeadNetwork, target: BeadNetwork) -> None:
    """All weights but those that embed properties which `source` does not know alike."""
    weights = source.state_dict()
    alike = _scales(source) == _scales(target)
    if not alike:
        weights = {name: value for name, value in weights.items() if not name.startswith("conditioning.")}
    target.load_state_dict(weights, strict=alike)


def _scales(network: BeadNetwork) -> list[tuple[str, float, float]]:
    return [(spec.name, spec.mean, spec.std) for spec in network.properties]


def _fingerprint(config: BeadTrainingConfig, data: BeadDataset, started_from: str) -> str:
    """Hash of all that must agree for a run to be resumed; length, logging and place may change."""
    free = {"epochs", "max_minutes", "checkpoint_seconds", "log_every", "validate_every", "threads", "device"}
    return sha256_json(
        {
            "network": config.network.model_dump(mode="json"),
            "process": config.process.model_dump(mode="json"),
            "train": config.train.model_dump(mode="json", exclude=free),
            "data": data.sha256,
            "base": started_from,
        }
    )
