"""Checkpoints of the sorbent generator: `model.safetensors` (weights) beside `model.json` (all else sampling needs)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load
from torch import Tensor

from gen.crystals.checkpoint import read_checkpoint, write_checkpoint
from gen.crystals.config import NetworkConfig, ProcessConfig
from gen.crystals.lattice import LatticeScale, fit_scale
from gen.crystals.process import CrystalProcess, Geometry
from gen.crystals.processes import make_process
from gen.crystals.properties import PropertySpec, fit_specs
from gen.sorbents.bead_config import LENGTH, BeadTrainingConfig
from gen.sorbents.bead_dataset import BeadDataset, Graph, Roles, net_graphs, role_sets
from gen.sorbents.bead_network import BeadNetwork
from gen.sorbents.fingerprint import load_fingerprints
from gen.sorbents.surrogate import Surrogate, read_surrogate
from potentials.config import parse_config
from potentials.devices import device_at_hand
from potentials.errors import InputError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class RoleSet:
    """Training frameworks whose cells have the same roles."""

    count: int
    values: tuple[tuple[float, float, int], ...]  # of each property: mean, spread, frameworks that carry it


@dataclass(frozen=True)
class BeadModel:
    """A generator of frameworks as beads, ready to sample."""

    network: BeadNetwork
    process: CrystalProcess  # runs on lattices divided by `LENGTH`
    vocabulary: tuple[str, ...]  # block of each token; the mask is one more
    connections: tuple[int, ...]  # of each block
    role_sets: dict[Roles, int]  # sorted roles of a cell -> training frameworks that have them
    role_values: dict[Roles, tuple[tuple[float, float, int], ...]]  # see `RoleSet.values`
    graphs: dict[Roles, dict[Graph, int]]  # nets of those frameworks; empty for a network that does not know them
    sha256: str  # of the weights file
    provenance: dict[str, Any]  # command, data hash, seed, wall time, metrics
    surrogate: Surrogate | None = None  # foretells properties of beads

    @property
    def properties(self) -> tuple[PropertySpec, ...]:
        """What the network may be conditioned on."""
        return self.network.properties

    @property
    def mask(self) -> int:
        """Token of a bead whose block is not known."""
        return len(self.vocabulary)

    def lattice(self, geometry: Geometry) -> Tensor:
        """[B, 3, 3] Å of the components of a geometry."""
        return LENGTH * self.process.view(geometry.components, geometry.frac.shape[1])[1]


def new_bead_model(config: BeadTrainingConfig, data: BeadDataset, like: Sequence[PropertySpec] = ()) -> BeadModel:
    """A model with random weights (of `config.train.seed`), its scales fitted to the training frameworks.

    Args:
        like: properties whose scales are taken over, so that weights learnt with them keep their meaning.
    """
    library = load_fingerprints()
    torch.manual_seed(config.train.seed)
    values = torch.cat([group.values for group in data.train.values()])
    specs = fit_specs(data.labels, values) if data.labels else ()
    if [spec.name for spec in specs] == [spec.name for spec in like]:
        specs = tuple(replace(new, mean=old.mean, std=old.std) for new, old in zip(specs, like, strict=True))
    sizes = torch.from_numpy(library.sizes / LENGTH)
    network = BeadNetwork(config.network, torch.from_numpy(library.table), library.connections, sizes, specs)
    scale = fit_scale({n: group.lattice for n, group in data.train.items()})
    process = make_process(config.process, scale, mask=len(library.names))
    found = summarise_roles(data, library.connections, config.data.max_drawn)
    counts = {roles: entry.count for roles, entry in found.items()}
    role_values = {roles: entry.values for roles, entry in found.items()}
    graphs = {
        roles: dict(entry) for roles, entry in net_graphs(data.train, library.connections).items() if roles in counts
    }
    return BeadModel(network, process, library.names, library.connections, counts, role_values, graphs, "", {})


def summarise_roles(data: BeadDataset, connections: Sequence[int], max_drawn: int) -> dict[Roles, RoleSet]:
    """How many training frameworks have each set of at most `max_drawn` roles, and what their properties are."""
    summary = {}
    for roles, values in role_sets(data.train, connections).items():
        if len(roles) > max_drawn:
            continue
        columns = []
        for column in values.unbind(1):
            known = column[~column.isnan()]
            mean = float(known.mean()) if len(known) else 0.0
            spread = float(known.std(correction=0)) if len(known) else 0.0
            columns.append((mean, spread, len(known)))
        summary[roles] = RoleSet(len(values), tuple(columns))
    return summary


def write_bead_model(folder: str | Path, model: BeadModel, provenance: Mapping[str, Any]) -> Path:
    """Write a checkpoint folder.

    Raises:
        InputError: the folder cannot be written.
    """
    description = {
        "network": model.network.config.model_dump(mode="json"),
        "process": model.process.config.model_dump(mode="json"),
        "lattice": model.process.scale.to_json(),
        "length": LENGTH,
        "vocabulary": list(model.vocabulary),
        "connections": list(model.connections),
        "fingerprint": list(load_fingerprints().features),
        "properties": [spec.to_json() for spec in model.properties],
        "role_sets": [
            [list(roles), count, [list(column) for column in model.role_values[roles]]]
            for roles, count in sorted(model.role_sets.items())
        ],
        "graphs": [
            [list(roles), [[count, [list(pair) for pair in graph]] for graph, count in sorted(entry.items())]]
            for roles, entry in sorted(model.graphs.items())
        ],
        "provenance": dict(provenance),
    }
    return write_checkpoint(folder, model.network, "sorbents", FORMAT_VERSION, description)


def read_bead_model(folder: str | Path, device: str = "cpu") -> BeadModel:
    """Read and check a checkpoint folder.

    Raises:
        InputError: a file is missing, damaged, of another kind or format, or the weights are not those of the JSON.
    """
    folder = Path(folder)
    description, payload, digest = read_checkpoint(folder, "sorbents", FORMAT_VERSION, "sorbent")
    where = str(folder / "model.json")
    try:
        if float(description["length"]) != LENGTH:
            raise ValueError(f"its unit of length is {description['length']} Å, this program's {LENGTH} Å")
        tensors = load(payload)
        connections = tuple(int(count) for count in description["connections"])
        vocabulary = tuple(str(name) for name in description["vocabulary"])
        network = BeadNetwork(
            parse_config(NetworkConfig, description["network"], where),
            torch.zeros_like(tensors["embedding.fingerprints"]),
            connections,
            torch.zeros_like(tensors["sizes"]),
            tuple(PropertySpec(**spec) for spec in description["properties"]),
            knows_nets="graphs" in description,
        )
        network.load_state_dict(tensors)
        process_config = parse_config(ProcessConfig, description["process"], where)
        process = make_process(process_config, LatticeScale.from_json(description["lattice"]), mask=len(vocabulary))
        sets = {tuple(int(n) for n in roles): (count, values) for roles, count, values in description["role_sets"]}
        counts = {roles: int(count) for roles, (count, _) in sets.items()}
        role_values = {
            roles: tuple((float(mean), float(spread), int(known)) for mean, spread, known in values)
            for roles, (_, values) in sets.items()
        }
        graphs = {
            tuple(int(n) for n in roles): {tuple((int(i), int(j)) for i, j in graph): int(n) for n, graph in entry}
            for roles, entry in description.get("graphs", [])
        }
        if len(vocabulary) != len(connections) or len(network.fingerprints) != len(vocabulary):
            raise ValueError("its vocabulary and its fingerprints differ in number")
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder} is not a sorbent checkpoint ({reason}): train one, or copy it again") from None
    network.eval().requires_grad_(False).to(device_at_hand(device))
    surrogate = read_surrogate(folder)
    provenance = dict(description.get("provenance", {}))
    return BeadModel(
        network, process, vocabulary, connections, counts, role_values, graphs, digest, provenance, surrogate
    )
