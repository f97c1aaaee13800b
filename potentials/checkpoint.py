"""Trained potentials on disk: `model.safetensors` (weights) and `model.json` (everything else), nothing executable."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from ase.data import chemical_symbols
from safetensors import SafetensorError

from potentials.config import parse_config
from potentials.devices import device_at_hand
from potentials.errors import InputError
from potentials.files import sha256_file, write_atomic
from potentials.kernels import use_kernels
from potentials.long_range import LongRangeConfig
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential, elements_from_symbols

# 2: other architectures than `density`, long-range charges; 3: free atoms, reach of ZBL; 4: pair baseline
FORMAT_VERSION = 4
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_UNITS = {"energy": "eV", "length": "Å", "forces": "eV/Å", "stress": "eV/Å^3, positive under tension"}
_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def save_checkpoint(
    folder: str | Path, model: EnergyModel, *, name: str = "sorbus", training: Mapping[str, Any] | None = None
) -> Path:
    """Write a model and its description; the description last, so that a folder with one is complete.

    Args:
        folder: created if missing.
        model: weights, elements, reference energies and shape.
        name: short name the potential will carry.
        training: JSON-able facts: data sha256, config hash, command, wall time, validation errors, seed.

    Returns:
        The folder.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    weights = write_atomic(folder / WEIGHTS, safetensors.torch.save(tensors))
    description = {
        "format_version": FORMAT_VERSION,
        "kind": "equivariant-density-potential",
        "name": name,
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "weights_sha256": sha256_file(weights),
        "precision": str(model.dtype).removeprefix("torch."),
        "elements": [chemical_symbols[z] for z in model.elements],
        "reference_energies": {chemical_symbols[z]: e for z, e in model.reference_energies.items()},
        "free_atoms": {chemical_symbols[z]: e for z, e in model.dissociation.lifts.items()}
        if model.dissociation
        else {},
        "energy_scale": model.energy_scale,
        "zbl": model.repulsion is not None,
        "zbl_reach": model.repulsion.reach if model.repulsion else None,
        "pair_baseline": model.pair_baseline is not None,
        "long_range": model.long_range.config.model_dump(mode="json") if model.long_range else None,
        "network": model.config.model_dump(mode="json"),
        "units": _UNITS,
        "training": dict(training or {}),
    }
    write_atomic(folder / DESCRIPTION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    return folder


def load_checkpoint(
    path: str | Path,
    *,
    precision: str | None = None,
    device: str = "cpu",
    skin: float = 0.0,
    kernels: str = "torch",
) -> NetworkPotential:
    """Read a trained potential.

    Args:
        path: folder of the checkpoint, or either of its two files.
        precision: `float32` or `float64`; default is the one it was trained in.
        device: where to run, e.g. `cuda`.
        skin: Å, see `NetworkPotential`.
        kernels: `torch` or `cuequivariance`, see `potentials.kernels`.

    Raises:
        InputError: missing, truncated, altered or foreign files, or a format this version does not know; a
            device that is not there.
    """
    where = device_at_hand(device)
    folder = Path(path)
    if folder.name in (WEIGHTS, DESCRIPTION):
        folder = folder.parent
    description = _read_description(folder / DESCRIPTION)
    precision = precision or description["precision"]
    if precision not in _PRECISIONS:
        raise InputError(f"precision {precision!r} is not known: choose {' or '.join(_PRECISIONS)}")
    config = parse_config(NetworkConfig, description["network"], str(folder / DESCRIPTION))
    long_range = description.get("long_range")
    model = EnergyModel(
        config,
        elements_from_symbols(description["reference_energies"]),
        description["energy_scale"],
        description["zbl"],
        _PRECISIONS[precision],
        parse_config(LongRangeConfig, long_range, str(folder / DESCRIPTION)) if long_range is not None else None,
        elements_from_symbols(description.get("free_atoms", {})),
        description.get("zbl_reach") or 1.0,  # what formats 1 and 2 had
        description.get("pair_baseline", False),
    )
    tensors = _read_weights(folder / WEIGHTS, description["weights_sha256"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(
            f"{folder / WEIGHTS} does not hold the network that {folder / DESCRIPTION} describes: "
            "take both files from the same training"
        ) from None
    use_kernels(model, kernels)
    return NetworkPotential(model.to(where), description["name"], description, skin)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {path}: give the folder that `sorbus train potential` wrote") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}: the file is damaged, copy it again") from None
    version = description.get("format_version") if isinstance(description, dict) else None
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, this program reads 1 to {FORMAT_VERSION}: update sorbus, "
            "or check that the file is a potential"
        )
    needed: dict[str, Any] = {
        "name": str,
        "network": dict,
        "precision": str,
        "reference_energies": dict,
        "energy_scale": int | float,
        "zbl": bool,
        "weights_sha256": str,
    }
    if version >= 3:
        needed["free_atoms"] = dict
    if version >= 4:
        needed["pair_baseline"] = bool
    for key, kind in needed.items():
        if not isinstance(description.get(key), kind):
            raise InputError(f"{path} lacks a proper {key!r}: the file is damaged, copy it again")
    return description


def _read_weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"no {path} beside its {DESCRIPTION}: copy both files")
    found = sha256_file(path)
    if found != sha256:
        raise InputError(
            f"{path} has SHA-256 {found[:12]}…, its {DESCRIPTION} says {sha256[:12]}…: it was truncated or replaced, "
            "copy both files again"
        )
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no readable safetensors file: {error}: copy it again") from None
