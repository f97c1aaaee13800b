"""The state a killed training resumes from: one safetensors file, written atomically, nothing executable."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch

from potentials.errors import InputError
from potentials.state_file import read_state, write_state
from potentials.training_loop import PotentialModule

STATE = "state.safetensors"


def save_state(
    path: Path, module: PotentialModule, optimizer: torch.optim.Optimizer, identity: Mapping[str, Any]
) -> None:
    """Weights, their average, the best so far, the optimiser's moments and the progress.

    `identity` says which run this is (configuration and data hashes); `load_state` refuses another's.
    """
    names = {id(parameter): name for name, parameter in module.model.named_parameters()}
    tensors = {f"model.{key}": value for key, value in module.model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in module.average.items()}
    tensors |= {f"best.{key}": value for key, value in module.best.items()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for moment, value in optimizer.state[parameter].items():
                tensors[f"optimizer.{moment}.{names[id(parameter)]}"] = value
    write_state(path, tensors, module.progress, identity)


def load_state(path: Path, module: PotentialModule, identity: Mapping[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """Put a saved state into `module`; returns the optimiser's moments by parameter name.

    Raises:
        InputError: a damaged state, or one of another configuration or other data.
    """
    progress, tensors = read_state(path, identity)
    groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "average": {}, "best": {}}
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        if group == "optimizer":
            moment, _, parameter = name.partition(".")
            moments.setdefault(parameter, {})[moment] = value
        else:
            groups[group][name] = value
    try:
        module.model.load_state_dict(groups["model"])
    except RuntimeError:
        raise InputError(f"{path} holds another network: choose another out folder, or start over (--fresh)") from None
    module.average, module.best = groups["average"], groups["best"]
    module.progress |= progress  # a state of before has fewer keys
    return moments


class StateKeeper(lightning.Callback):
    """Saves the state after every epoch and every few minutes, and restores the optimiser's moments at the start."""

    def __init__(
        self, path: Path, identity: Mapping[str, Any], minutes: float, moments: Mapping[str, Mapping[str, torch.Tensor]]
    ) -> None:
        self.path, self.identity, self.seconds, self.moments = path, identity, 60 * minutes, moments
        self._saved = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, PotentialModule)
        optimizer = trainer.optimizers[0]
        for name, parameter in module.model.named_parameters():
            if name in self.moments:
                optimizer.state[parameter] = {
                    moment: value.clone() if moment == "step" else value.to(parameter.device).clone()
                    for moment, value in self.moments[name].items()
                }

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # before a batch, not after one: callbacks run before the module's own hook has counted the batch
        if time.monotonic() - self._saved > self.seconds:
            self.save(trainer, module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.save(trainer, module)

    def save(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, PotentialModule)
        if trainer.is_global_zero:  # devices hold the same weights
            save_state(self.path, module, trainer.optimizers[0], self.identity)
        self._saved = time.monotonic()
