"""Is an ensemble cheaper to train in one batched pass than member by member?

    python benchmarks/potential_ensemble_step.py

A training step (force loss and its gradient) of several networks of one shape on ten 3BPA molecules: the weights
stacked and the step mapped over them (`torch.func.vmap`, over plain tensor operations, which is all it can map),
against the same step one member after the other. One thread, smallest process time of many calls, gradients compared.
Records B10h: time of the batched pass, the loop as peer.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from benchmarks.timing import least_seconds  # noqa: E402
from potentials import network as network_module  # noqa: E402
from potentials.atom_graph import collate  # noqa: E402
from potentials.dataset import LabelConfig, attach_neighbours, read_frames  # noqa: E402
from potentials.density import EdgeLayout, edge_layout  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.neighbour_density import neighbour_density, plain_density  # noqa: E402
from potentials.neighbours import batch_neighbours, edge_vectors  # noqa: E402
from potentials.network import EquivariantNetwork, NetworkConfig  # noqa: E402


def mappable_density(
    harmonics: Tensor, features: Tensor, weights: Tensor, layout: EdgeLayout, coupling: Tensor | None = None
) -> Tensor:
    """`neighbour_density` without its own autograd function, which cannot be mapped."""
    return plain_density(harmonics, features, weights, coupling, layout.sender, layout.blocks)


class SlotEnergy(nn.Module):
    """Total energy of edges laid out in slots, so that what depends on the weights alone is mapped."""

    def __init__(self, network: EquivariantNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, species: Tensor, layout: object, slot_vectors: Tensor) -> Tensor:
        return self.network.on_slots(species, layout, slot_vectors)[0].sum()  # type: ignore[arg-type]


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = data_root() / "potentials/botnet/dataset_3BPA/train_300K.xyz.xz"
    config = NetworkConfig()
    frames = read_frames(path, LabelConfig())[:10]
    attach_neighbours(frames, config.cutoff)
    batch = collate(frames)
    neighbours = batch_neighbours(batch)
    centre, neighbour = neighbours.edge_index
    species = torch.unique(batch.numbers, return_inverse=True)[1]
    layout = edge_layout(centre, neighbour, batch.num_nodes)
    slots = layout.spread(edge_vectors(batch, neighbours).float(), torch.tensor([0.0, 0.0, 2 * config.cutoff]))
    receiver = layout.order[
        torch.repeat_interleave(
            torch.arange(batch.num_nodes), torch.tensor([width for atoms, width in layout.blocks for _ in range(atoms)])
        )
    ]
    sender = layout.order[layout.sender]
    wanted = batch.forces.float()

    members = []
    for seed in range(arguments.members):
        torch.manual_seed(seed)
        network = EquivariantNetwork(config, 4)
        vectors = edge_vectors(batch, neighbours).float()
        with torch.no_grad():
            network(species, centre, neighbour, vectors, calibrate=True)
        members.append(SlotEnergy(network))
    skeleton = members[0]
    weights, constants = stack_module_state(members)  # type: ignore[arg-type]

    def error(pulls: Tensor) -> Tensor:
        forces = torch.zeros_like(wanted).index_add(0, receiver, pulls).index_add(0, sender, -pulls)
        return (forces - wanted).square().mean()

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return error(grad(lambda v: functional_call(skeleton, (parameters, buffers), (species, layout, v)))(slots))

    def together() -> dict[str, Tensor]:
        network_module.neighbour_density = mappable_density
        try:
            return vmap(grad(loss))(weights, constants)
        finally:
            network_module.neighbour_density = neighbour_density

    def apart() -> list[dict[str, Tensor]]:
        gradients = []
        for member in members:
            moving = slots.clone().requires_grad_()
            (pulls,) = torch.autograd.grad(member(species, layout, moving), moving, create_graph=True)
            named = dict(member.named_parameters())
            found = torch.autograd.grad(error(pulls), list(named.values()), allow_unused=True)
            gradients.append(dict(zip(named, found, strict=True)))
        return gradients

    first, second = together(), apart()
    worst = 0.0
    for index, gradients in enumerate(second):
        for name, gradient in gradients.items():
            if gradient is not None:
                difference = (first[name][index] - gradient).detach().abs().max() / gradient.abs().max().clamp_min(
                    1e-12
                )
                worst = max(worst, float(difference))
    ours, peer = least_seconds(together, arguments.repeats), least_seconds(apart, arguments.repeats)
    protocol = (
        f"force loss and gradient of {arguments.members} networks of the default shape on 3BPA x 10 (270 atoms), "
        "torch.func.vmap over stacked weights against the autograd of training, one thread; gradients agree to "
        f"{worst:.0e} of the largest"
    )
    print(f"B10h {1e3 * ours:.1f} ms against {1e3 * peer:.1f} ms: {protocol}")
    if not arguments.dry:
        record(
            id="B10h",
            value=1e3 * ours,
            unit="ms a step of the ensemble",
            peer="one member after the other",
            peer_value=1e3 * peer,
            protocol=protocol,
            data_sha256=sha256_file(path),
            seed=0,
        )


if __name__ == "__main__":
    main()
