"""Partial charges from the trained model: bonding environments corrected for what they cannot see.

A model is the mean of one or several networks trained apart and, with a share of its own, of the charges that kindred
atoms have (`potentials.charge_kernel`). `model.safetensors` holds the weights of both, `environments.safetensors` the
table of mean charges by bonding environment that they correct, `model.json` shape and origin; nothing executable.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from pymatgen.core import Element, Structure
from safetensors import SafetensorError

from potentials.atom_graph import graph_from_structure
from potentials.charge_descriptors import FAMILIES
from potentials.charge_features import chgnet_features
from potentials.charge_kernel import ChargeKernel
from potentials.charge_network import ChargeEnsemble, ChargeNetwork, ChargeNetworkConfig
from potentials.config import parse_config
from potentials.errors import InputError
from potentials.files import sha256_file, write_atomic
from screening.adsorption.charge_dataset import PRIOR_FEATURES, full_graph
from screening.adsorption.environment_charges import (
    ChargeTable,
    environment_keys,
    estimate_from_keys,
    load_table,
    save_table,
)
from screening.bonds import bond_graph

# 1 held one network, its tensors without the member's place before their names; 2 several of one shape; 3 of any
# shapes; 4 charges by kinship beside them
FORMAT_VERSION = 4
MOST_MEMBERS = 16
MOST_CENTRES, MOST_DIMENSIONS = 100_000, 1_000
RARE = 20  # frameworks; of those whose rarest element occurs in fewer, nearly half were off by a factor 1.5 in K_H
WEIGHTS, TABLE, DESCRIPTION = "model.safetensors", "environments.safetensors", "model.json"


def shipped_folder() -> Path:
    """Where the model that comes with the package lies."""
    import potentials

    return Path(potentials.__file__).parent / "weights" / "charges"


@dataclass(frozen=True)
class ChargeModel:
    """Trained charge networks with the table they correct."""

    network: ChargeEnsemble
    table: ChargeTable
    elements: frozenset[str]  # trained on
    description: Mapping[str, Any]

    @property
    def frameworks_by_element(self) -> Mapping[str, int]:
        """How many frameworks of the training data hold each element; empty in models from before it was counted."""
        return dict(self.description["training"].get("frameworks_by_element", {}))

    @property
    def mark(self) -> str:
        """Eight digits that tell these weights from others."""
        return str(self.description["weights_sha256"])[:8]


def charges_of(
    structure: Structure, elements: Sequence[str], model: ChargeModel | None = None
) -> tuple[np.ndarray, float]:
    """Partial charges [n_atoms], e, summing to zero, and the share of atoms bonded in a way never seen.

    An element the model was not trained on (`unseen_elements`) is treated like its kin.

    Args:
        structure: ordered periodic crystal that has passed the geometry gate.
        elements: symbol of every atom.
        model: by default the one shipped.

    Raises:
        InputError: an element nothing at all is known of.
    """
    model = model or shipped_model()
    members, unseen = _evaluated(structure, elements, model)
    charges = np.array(model.network.shares) @ members
    return charges - charges.mean(), unseen


def member_charges(structure: Structure, elements: Sequence[str], model: ChargeModel) -> np.ndarray:
    """What each network of the model and, last, its kernel say [members, n_atoms], e, each row summing to zero."""
    members, _ = _evaluated(structure, elements, model)
    return np.asarray(members - members.mean(axis=1, keepdims=True))


def _evaluated(structure: Structure, elements: Sequence[str], model: ChargeModel) -> tuple[np.ndarray, float]:
    estimate = estimate_from_keys(environment_keys(elements, bond_graph(structure).pairs), model.table)
    with torch.no_grad():
        graph = full_graph(structure, model.network.cutoff, estimate)
        if model.network.kernel is not None:
            graph = replace(graph, features=chgnet_features(graph_from_structure(structure)))
        return model.network.member_charges(graph).double().numpy(), estimate.unseen


def unseen_elements(elements: Sequence[str], model: ChargeModel | None = None) -> list[str]:
    """Elements the network was not trained on, sorted."""
    return sorted(set(elements) - (model or shipped_model()).elements)


def rare_elements(elements: Sequence[str], model: ChargeModel | None = None) -> dict[str, int]:
    """Elements of a framework that fewer than `RARE` frameworks of the training data hold, with their number.

    Empty for models from before these numbers were kept.
    """
    known = (model or shipped_model()).frameworks_by_element
    if not known:
        return {}
    return {symbol: known.get(symbol, 0) for symbol in sorted(set(elements)) if known.get(symbol, 0) < RARE}


def save_model(
    folder: Path,
    networks: Sequence[ChargeNetwork],
    table: ChargeTable,
    training: Mapping[str, Any],
    kernel: ChargeKernel | None = None,
    kernel_weight: float = 0.0,
) -> Path:
    """Write a model, the mean of `networks` and `kernel`; the description last: a folder with one is complete."""
    ensemble = ChargeEnsemble(networks, kernel, kernel_weight)
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in ensemble.state_dict().items()}
    weights = write_atomic(folder / WEIGHTS, safetensors.torch.save(tensors))
    save_table(table, folder / TABLE, {key: str(training.get(key)) for key in ("data", "data_sha256")})
    description = {
        "format_version": FORMAT_VERSION,
        "kind": "charge-network",
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "weights_sha256": sha256_file(weights),
        "table_sha256": sha256_file(folder / TABLE),
        "elements": [Element.from_Z(z).symbol for z in training["elements"]],
        "members": len(networks),
        "networks": [shape.model_dump(mode="json") for shape in ensemble.shapes],
        "kernel": {"weight": kernel_weight, "shapes": kernel.shapes} if kernel is not None else None,
        "training": {key: value for key, value in training.items() if key != "elements"},
    }
    write_atomic(folder / DESCRIPTION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    return folder


def load_model(folder: Path) -> ChargeModel:
    """Read what `save_model` wrote.

    Raises:
        InputError: missing, altered or foreign files.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {path}: give the folder that `sorbus train charges` wrote") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}: the file is damaged, copy it again") from None
    if not isinstance(description, dict) or description.get("kind") != "charge-network":
        raise InputError(f"{path} describes no charge network: give the folder that `sorbus train charges` wrote")
    version, members = description.get("format_version"), description.get("members", 1)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise InputError(f"{path} has format version {version}: this reads 1 to {FORMAT_VERSION}")
    if not isinstance(members, int) or not 1 <= members <= MOST_MEMBERS:
        raise InputError(f"{path} speaks of {members!r} networks: a model holds 1 to {MOST_MEMBERS}, copy it again")
    for name, key in ((WEIGHTS, "weights_sha256"), (TABLE, "table_sha256")):
        file = folder / name
        if not file.is_file() or sha256_file(file) != description.get(key):
            raise InputError(f"{file} is missing or not the file {path} speaks of: copy all files of the model again")
    written = [description.get("network")] * members if version < 3 else description.get("networks")
    if not isinstance(written, list) or len(written) != members:
        raise InputError(f"{path} does not give the shapes of its {members} networks: copy the model again")
    shapes = [parse_config(ChargeNetworkConfig, shape, str(path)) for shape in written]
    if any(shape.prior_features != PRIOR_FEATURES for shape in shapes):
        raise InputError(f"{path} holds a network of another number of prior features than {PRIOR_FEATURES}")
    networks = [ChargeNetwork(shape) for shape in shapes]
    network = ChargeEnsemble(networks, *_empty_kernel(description.get("kernel"), path))
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
        (network.members[0] if version == 1 else network).load_state_dict(tensors)
    except (RuntimeError, SafetensorError):
        raise InputError(f"{folder / WEIGHTS} does not hold the network that {path} describes") from None
    network.eval().requires_grad_(False)
    return ChargeModel(network, load_table(folder / TABLE), frozenset(description["elements"]), description)


def _empty_kernel(written: Any, path: Path) -> tuple[ChargeKernel | None, float]:
    """The kernel that a description speaks of, to be filled, and its share."""
    if written is None:
        return None, 0.0
    try:
        weight = float(written["weight"])
        shapes = [(int(centres), int(dimensions)) for centres, dimensions in written["shapes"]]
    except (KeyError, TypeError, ValueError):
        weight, shapes = 0.0, []
    sound = all(0 <= centres <= MOST_CENTRES and 1 <= dimensions <= MOST_DIMENSIONS for centres, dimensions in shapes)
    if not 0 < weight <= 1 or len(shapes) != len(FAMILIES) or not sound:
        raise InputError(f"{path} does not give the shapes of its charges by kinship: copy the model again")
    return ChargeKernel(shapes, PRIOR_FEATURES), weight


@cache
def shipped_model() -> ChargeModel:
    """The model that comes with the package."""
    return load_model(shipped_folder())
