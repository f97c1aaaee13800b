"""Further training of a finished model on its old data and some new crystals, resumable bit for bit."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from gen.crystals.checkpoint import CrystalModel, write_model
from gen.crystals.config import TrainConfig
from gen.crystals.dataset import Crystal, CrystalDataset, CrystalGroup
from gen.crystals.run_state import RunState, restore_state
from gen.crystals.structure_types import save_types, write_types
from gen.crystals.training import learning_rate, prepare_group, update_network, validate
from gen.crystals.update_loop import Batch, Budget, run_updates
from gen.evaluation.reference import write_reference
from potentials.config import Config
from potentials.files import sha256_json


class ContinueConfig(Config):
    """Length and strength of a further training."""

    updates: int = Field(default=1500, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=2e-4, gt=0)
    lr_final: float = Field(default=1e-5, gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    ema: float = Field(default=0.998, gt=0, lt=1)
    new_share: float = Field(default=0.15, ge=0, lt=1)  # of the crystals seen; the others replay the old data
    checkpoint_seconds: float = Field(default=60.0, gt=0)


def mixed(data: CrystalDataset, new: list[Crystal], share: float) -> CrystalDataset:
    """The data set with new crystals, repeated to make up `share` of it."""
    if not new or share == 0:
        return data
    old = sum(len(group) for group in data.train.values())
    repeats = max(1, round(share / (1 - share) * old / len(new)))
    train = dict(data.train)
    for n in sorted({len(crystal.numbers) for crystal in new}):
        members = [crystal for crystal in new if len(crystal.numbers) == n]
        added = CrystalGroup(
            numbers=torch.stack([torch.from_numpy(c.numbers).long() for c in members]).repeat(repeats, 1),
            frac=torch.stack([torch.from_numpy(c.frac).float() for c in members]).repeat(repeats, 1, 1),
            lattice=torch.stack([torch.from_numpy(c.lattice).float() for c in members]).repeat(repeats, 1, 1),
            space_group=torch.tensor([c.space_group for c in members]).repeat(repeats),
        )
        train[n] = added if n not in train else _joined(train[n], added)
    return dataclasses.replace(data, train=dict(sorted(train.items())))


def continue_training(
    model: CrystalModel,
    data: CrystalDataset,
    new: list[Crystal],
    config: ContinueConfig,
    folder: Path,
    *,
    seed: int,
    provenance: dict[str, Any],
    progress: bool = False,
) -> Path:
    """Train a model further on `data` and `new`; returns `folder`, which then holds the new model.

    A run killed at any moment goes on from its last checkpoint, to the same weights.

    Args:
        new: crystals of elements the model knows, at most as large as its training crystals.
        provenance: kept in the checkpoint.

    Raises:
        InputError: the folder holds a run of other settings or data, or cannot be written.
    """
    everything = mixed(data, new, config.new_share)
    options = TrainConfig(
        seed=seed,
        batch_size=config.batch_size,
        lr=config.lr,
        lr_final=config.lr_final,
        warmup_steps=config.warmup_steps,
        ema=config.ema,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    train = {n: prepare_group(g, model.elements, model.process, n, options.device) for n, g in everything.train.items()}
    train = {n: clean for n, clean in train.items() if len(clean.tokens)}
    sizes = {n: len(clean.tokens) for n, clean in train.items()}
    network = type(model.network)(model.network.config, len(model.elements))
    network.load_state_dict(model.network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=options.weight_decay)
    state = RunState(network, optimizer, {name: v.detach().clone() for name, v in network.state_dict().items()})
    fingerprint = sha256_json(
        {
            "model": model.sha256,
            "data": data.sha256,
            "new": [[crystal.name, crystal.formula] for crystal in new],
            "config": config.model_dump(mode="json", exclude={"checkpoint_seconds"}),
            "seed": seed,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    restore_state(folder, state, fingerprint)

    def update(batch: Batch) -> dict[str, float]:
        lr = learning_rate(state.step, config.updates, options)
        return update_network(state, model.process, train, batch, options, lr)

    run_updates(
        state, folder, fingerprint, sizes, options, Budget(config.updates), update, title="retrain", progress=progress
    )
    held_out = {
        n: prepare_group(g, model.elements, model.process, n, options.device) for n, g in data.validation.items()
    }
    averaged = state.averaged_network()
    losses = validate(averaged, model.process, held_out) if held_out else {}
    write_reference(folder, data)
    if model.types is not None:
        save_types(folder, model.types, data.sha256)
    else:
        write_types(folder, data)
    write_model(
        folder,
        averaged,
        model.process.config,
        model.process.scale,
        model.elements,
        model.atom_counts,
        model.formula_units,
        provenance={
            **provenance,
            "parent_sha256": model.sha256,
            "data_sha256": data.sha256,
            "new_crystals": len(new),
            "config": config.model_dump(mode="json"),
            "seed": seed,
            "updates": state.step,
            "wall_seconds": round(state.seconds),
            "losses": losses,
        },
    )
    return folder


def _joined(first: CrystalGroup, second: CrystalGroup) -> CrystalGroup:
    names = [field.name for field in dataclasses.fields(CrystalGroup)]
    return CrystalGroup(**{name: torch.cat([getattr(first, name), getattr(second, name)]) for name in names})
