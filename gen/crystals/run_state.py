"""The state of a training run on disk: one file, so that weights, moments and update number never disagree."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gen.crystals.networks import AnyCrystalNetwork
from potentials.errors import InputError
from potentials.files import write_atomic
from potentials.state_file import read_state, write_state

STATE = "state.safetensors"
METRICS = "metrics.jsonl"


@dataclass
class RunState:
    """Everything that changes while a network is trained."""

    network: AnyCrystalNetwork
    optimizer: torch.optim.AdamW
    ema: dict[str, Tensor]  # running average of the weights, by name
    step: int = 0  # updates done
    seconds: float = 0.0  # spent training, over all resumptions

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the averaged weights towards the current ones."""
        for name, value in self.network.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)

    def averaged_network(self) -> AnyCrystalNetwork:
        """A copy of the network with the averaged weights, ready to evaluate."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.ema)
        return network.eval()


def save_state(folder: Path, state: RunState, fingerprint: str) -> None:
    """Write the state atomically.

    Raises:
        InputError: the folder cannot be written; the state of the last checkpoint is intact.
    """
    tensors = {f"weights.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in state.ema.items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = torch.as_tensor(value)
    progress = {"step": state.step, "seconds": state.seconds}
    write_state(folder / STATE, tensors, progress, _identity(fingerprint))


def restore_state(folder: Path, state: RunState, fingerprint: str) -> None:
    """Continue from the folder's checkpoint, if it holds one; later metrics are dropped, they will be made again.

    Raises:
        InputError: the checkpoint is damaged, or of a run whose configuration or data differ.
    """
    path = folder / STATE
    if not path.is_file():
        return
    progress, tensors = read_state(path, _identity(fingerprint))
    weights = {name.removeprefix("weights."): v for name, v in tensors.items() if name.startswith("weights.")}
    state.network.load_state_dict(weights)
    for name in state.ema:
        state.ema[name].copy_(tensors[f"ema.{name}"])
    trained = [name for name, parameter in state.network.named_parameters() if parameter.requires_grad]
    moments = {
        index: {key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for index, name in enumerate(trained)
    }
    options = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": options})
    state.step, state.seconds = int(progress["step"]), float(progress["seconds"])
    _forget_metrics_after(folder / METRICS, state.step)


def discard_state(folder: Path) -> None:
    """Forget a run, so that the next starts over."""
    for name in (STATE, METRICS):
        (folder / name).unlink(missing_ok=True)


def append_metrics(folder: Path, values: dict[str, Any], step: int) -> None:
    """Add a line to `metrics.jsonl`.

    Raises:
        InputError: the file cannot be written.
    """
    path = folder / METRICS
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"update": step, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: free some space and run again to resume") from None


def _identity(fingerprint: str) -> dict[str, str]:
    return {"configuration or data set": fingerprint}


def _forget_metrics_after(path: Path, step: int) -> None:
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if line.endswith("}")]  # a killed run may have torn the last
        write_atomic(path, "".join(f"{line}\n" for line in whole if json.loads(line)["update"] <= step))
