"""Time energy and forces, and a training step, of the default network: `python benchmarks/potential_speed.py`.

`--pairs` asks instead what the pair baseline costs beside the same network without it.

Ten 3BPA molecules in one batch, float32, neighbour lists at hand, one thread, smallest process time of many calls:
the protocol of the reference measurements of NequIP and MACE on one core.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from benchmarks.timing import least_seconds  # noqa: E402
from potentials.atom_graph import collate  # noqa: E402
from potentials.dataset import LabelConfig, attach_neighbours, read_frames  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.neighbours import batch_neighbours  # noqa: E402
from potentials.network import NetworkConfig  # noqa: E402
from potentials.network_potential import EnergyModel  # noqa: E402

PEER = "NequIP 4 layers, l = 2, 32 features (another run on this kind of machine, one core)"
PEER_INFERENCE, PEER_TRAINING = 875.0, 2988.0  # us/atom
REPEATS = 15


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", action="store_true", help="energy and forces with pair baseline against without")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = data_root() / "potentials/botnet/dataset_3BPA/train_300K.xyz.xz"
    config = NetworkConfig()
    frames = read_frames(path, LabelConfig())[:10]
    attach_neighbours(frames, config.cutoff)
    batch = collate(frames)
    neighbours = batch_neighbours(batch)
    model = EnergyModel(config, {1: 0.0, 6: 0.0, 7: 0.0, 8: 0.0})
    model.calibrate(batch, neighbours)

    def infer() -> None:
        model(batch, neighbours, stress=False)

    def train() -> None:
        output = model(batch, neighbours, stress=False, differentiable=True)
        ((output["forces"] - batch.forces).square().mean() + output["energy"].mean()).backward()

    if options.pairs:
        _time_pairs(model, lambda one: one(batch, neighbours, stress=False), batch.num_nodes, sha256_file(path))
        return
    size = sum(p.numel() for p in model.parameters())
    protocol = f"3BPA x 10 (270 atoms, {neighbours.edge_index.shape[1]} edges), {size} weights, float32, one thread, "
    digest = sha256_file(path)
    infer_time, train_time = (1e6 * least_seconds(call, REPEATS) / batch.num_nodes for call in (infer, train))
    common = {"unit": "us/atom", "data_sha256": digest, "seed": 0, "peer": PEER}
    record(id="S10a", value=infer_time, protocol=protocol + "energy and forces", peer_value=PEER_INFERENCE, **common)
    record(
        id="S10b", value=train_time, protocol=protocol + "force loss and gradient", peer_value=PEER_TRAINING, **common
    )


def _time_pairs(model: EnergyModel, call: Callable[[EnergyModel], object], atoms: int, digest: str) -> None:
    """The same network with pair energies and without, in turns."""
    paired = EnergyModel(model.config, model.reference_energies, pair_baseline=True)
    paired.load_state_dict(model.state_dict(), strict=False)
    seconds = [least_seconds(lambda one=one: call(one), 3) for _ in range(REPEATS) for one in (paired, model)]
    record(
        id="S10c",
        value=1e6 * min(seconds[::2]) / atoms,
        unit="us/atom",
        peer="the same network without pair baseline",
        peer_value=1e6 * min(seconds[1::2]) / atoms,
        protocol="3BPA x 10, float32, one thread, eager: energy and forces with the pair baseline, in turns without",
        data_sha256=digest,
        seed=0,
    )


if __name__ == "__main__":
    main()
