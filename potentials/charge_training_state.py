"""The state of a charge training on disk: weights, their averages, the optimiser's moments, and how far it has come."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from potentials.charge_network import ChargeNetwork
from potentials.state_file import read_state, write_state

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    path: Path,
    model: ChargeNetwork,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    progress: Mapping[str, Any],
    identity: Mapping[str, Any],
) -> None:
    """Write all a training needs to go on; `identity` is what another must share to continue it."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for name, parameter in model.named_parameters():
        for moment in _MOMENTS:
            if moment in optimizer.state[parameter]:
                tensors[f"adam.{moment}.{name}"] = optimizer.state[parameter][moment]
    write_state(path, tensors, progress, identity)


def load_state(
    path: Path,
    model: ChargeNetwork,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    best: dict[str, Tensor],
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Read what `save_state` wrote into model, optimiser and weights in place, and return the progress.

    Raises:
        InputError: a damaged file, or the state of another training.
    """
    progress, tensors = read_state(path, identity)
    parameters = dict(model.named_parameters())
    model.load_state_dict({n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")})
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        if group == "average":
            average[rest] = value
        elif group == "best":
            best[rest] = value
        elif group == "adam":
            moment, _, parameter = rest.partition(".")
            optimizer.state[parameters[parameter]][moment] = value
    return progress
