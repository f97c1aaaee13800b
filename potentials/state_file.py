"""The file a killed training resumes from: one safetensors file, written atomically, nothing executable in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from potentials.errors import InputError
from potentials.files import write_atomic


def write_state(
    path: Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Write tensors and progress; `identity` (configuration and data hashes) is what a training must share to go on."""
    header = {"progress": json.dumps(progress), "identity": json.dumps(dict(identity), sort_keys=True)}
    held = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_atomic(path, safetensors.torch.save(held, metadata=header))


def read_state(path: Path, identity: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(progress, tensors) of what `write_state` wrote.

    Raises:
        InputError: a damaged file, or the state of another configuration or other data.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        progress, theirs = json.loads(header["progress"]), json.loads(header["identity"])
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no readable training state ({error}): start over (--fresh)") from None
    different = sorted(key for key in {*theirs, *identity} if theirs.get(key) != identity.get(key))
    if different:
        raise InputError(
            f"{path} is the state of another training ({', '.join(different)} differ): "
            "choose another out folder, or start over (--fresh)"
        )
    return dict(progress), tensors
