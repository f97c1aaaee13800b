"""Checkpoints: `model.safetensors` (weights) beside `model.json` (everything else sampling needs)."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load, save
from torch import nn

from gen.crystals.config import NetworkConfig, ProcessConfig
from gen.crystals.lattice import LatticeScale
from gen.crystals.networks import AnyCrystalNetwork, make_network
from gen.crystals.process import CrystalProcess
from gen.crystals.processes import make_process
from gen.crystals.properties import PropertySpec
from gen.crystals.structure_types import KnownTypes, read_types
from potentials.config import parse_config
from potentials.devices import device_at_hand
from potentials.errors import InputError
from potentials.files import sha256_file, write_atomic

FORMAT_VERSION = 1
NEXT = ".next"  # ending of a file that is about to take its place
WEIGHTS = Path(__file__).parent.parent / "weights"  # shipped checkpoints, a folder each


@dataclass(frozen=True)
class CrystalModel:
    """A trained generator, ready to sample."""

    network: AnyCrystalNetwork
    process: CrystalProcess
    elements: tuple[int, ...]  # atomic number of each species index
    atom_counts: dict[int, int]  # N -> training crystals with N atoms
    formula_units: dict[int, int]  # Z -> training crystals with Z formula units
    sha256: str  # of the weights file
    provenance: dict[str, Any]  # command, data hash, seed, wall time, epochs, metrics
    types: KnownTypes | None = None  # structure types of the training crystals, where the folder has them

    @property
    def properties(self) -> tuple[PropertySpec, ...]:
        """What the network may be conditioned on."""
        return self.network.properties


def find_checkpoint(name: str | Path) -> Path:
    """Folder of shipped weights by name, or the folder itself.

    Raises:
        InputError: neither.
    """
    shipped = sorted(path.parent.name for path in WEIGHTS.glob("*/model.json"))
    if str(name) in shipped:
        return WEIGHTS / str(name)
    if not Path(name).is_dir():
        raise InputError(
            f"no generator {str(name)!r}: give one of the shipped ({', '.join(shipped)}) or a checkpoint folder"
        )
    return Path(name)


def write_model(
    folder: str | Path,
    network: AnyCrystalNetwork,
    process: ProcessConfig,
    scale: LatticeScale,
    elements: tuple[int, ...],
    atom_counts: dict[int, int],
    formula_units: dict[int, int],
    provenance: dict[str, Any],
) -> Path:
    """Write a checkpoint folder; the JSON carries the hash of the weights and is written last.

    Raises:
        InputError: the folder cannot be written.
    """
    description = {
        "network": network.config.model_dump(mode="json"),
        "process": process.model_dump(mode="json"),
        "lattice": scale.to_json(),
        "elements": list(elements),
        "properties": [spec.to_json() for spec in network.properties],
        "atom_counts": {str(n): count for n, count in sorted(atom_counts.items())},
        "formula_units": {str(z): count for z, count in sorted(formula_units.items())},
        "provenance": provenance,
    }
    return write_checkpoint(folder, network, "crystals", FORMAT_VERSION, description)


def write_checkpoint(
    folder: str | Path, network: nn.Module, kind: str, version: int, description: dict[str, Any]
) -> Path:
    """Write weights and description of a generator of any kind, so that neither is ever found without the other.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    head = {"format_version": version, "kind": kind, "sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps({**head, **description}, indent=1)
    _replace_together(folder, {"model.safetensors": weights, "model.json": text})
    return folder


def _replace_together(folder: Path, contents: dict[str, str | bytes]) -> None:
    """Write all files beside the old ones before any takes its place: a disk that fills leaves the old ones whole."""
    staged: list[Path] = []
    try:
        for name, content in contents.items():
            staged.append(write_atomic(folder / f"{name}{NEXT}", content))
    except InputError:
        for path in staged:
            path.unlink(missing_ok=True)
        raise
    for path in staged:
        os.replace(path, path.with_name(path.name.removesuffix(NEXT)))


def read_model(folder: str | Path, device: str = "cpu") -> CrystalModel:
    """Read and check a checkpoint folder.

    Raises:
        InputError: a file is missing, damaged, of another format, or the weights are not those of the JSON.
    """
    folder = Path(folder)
    description, payload, digest = read_checkpoint(folder, "crystals", FORMAT_VERSION, "crystal")
    try:
        elements = tuple(int(z) for z in description["elements"])
        network_config = parse_config(NetworkConfig, description["network"], str(folder / "model.json"))
        process_config = parse_config(ProcessConfig, description["process"], str(folder / "model.json"))
        scale = LatticeScale.from_json(description["lattice"])
        atom_counts = {int(n): int(count) for n, count in description["atom_counts"].items()}
        formula_units = {int(z): int(count) for z, count in description["formula_units"].items()}
        properties = tuple(PropertySpec(**spec) for spec in description.get("properties", []))
        network = make_network(network_config, len(elements), properties)
        network.load_state_dict(load(payload))
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder} is not a crystal checkpoint ({reason}): train one, or copy it again") from None
    network.eval().requires_grad_(False).to(device_at_hand(device))
    process = make_process(process_config, scale, mask=len(elements))
    provenance = dict(description.get("provenance", {}))
    types = read_types(folder)
    return CrystalModel(network, process, elements, atom_counts, formula_units, digest, provenance, types)


def read_checkpoint(folder: Path, kind: str, version: int, adjective: str) -> tuple[dict[str, Any], bytes, str]:
    """Description, weights and their SHA-256 of a generator of some kind, checked against each other.

    Raises:
        InputError: a file is missing, damaged, of another kind or format, or the weights are not those of the JSON.
    """
    _finish_replacing(folder)
    description = _read_description(folder / "model.json", kind, version, adjective)
    weights_path = folder / "model.safetensors"
    try:
        payload = weights_path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {weights_path}: {error.strerror}: copy the checkpoint again") from None
    digest = hashlib.sha256(payload).hexdigest()
    if digest != description.get("sha256"):
        expected = str(description.get("sha256"))[:12]
        raise InputError(
            f"{weights_path} has SHA-256 {digest[:12]}…, model.json expects {expected}…: copy the checkpoint again"
        )
    return description, payload, digest


def _finish_replacing(folder: Path) -> None:
    """Put a staged description in its place where a run was killed after its weights had taken theirs."""
    staged, weights = folder / f"model.json{NEXT}", folder / "model.safetensors"
    if not (staged.is_file() and weights.is_file()) or (folder / f"model.safetensors{NEXT}").exists():
        return
    try:
        if json.loads(staged.read_text(encoding="utf-8")).get("sha256") == sha256_file(weights):
            os.replace(staged, folder / "model.json")
    except (OSError, ValueError):  # a folder one may only read, or a torn file: the old description is judged as it is
        return


def _read_description(path: Path, kind: str, version: int, adjective: str) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}: give the folder of a checkpoint") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy the checkpoint again") from None
    if not isinstance(description, dict) or description.get("kind") != kind:
        raise InputError(
            f"{path} does not describe a {adjective} generator: give the folder of a {adjective} checkpoint"
        )
    if description.get("format_version") != version:
        raise InputError(
            f"{path} has format version {description.get('format_version')}, this program reads {version}: "
            "train the model again or use the matching program"
        )
    return description
