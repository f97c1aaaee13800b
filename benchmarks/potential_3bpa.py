"""Train on 3BPA at 300 K and record force and energy errors: `python benchmarks/potential_3bpa.py [key=value ...]`.

Everything is tuned on a held-out tenth of the training file; the official 300 K test set is read once, at the end, and
the hotter third of the mixed-temperature set (1200 K) as data of another distribution.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from potentials.atom_graph import AtomGraph, make_graph  # noqa: E402
from potentials.checkpoint import load_checkpoint  # noqa: E402
from potentials.config import load_config  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.label_errors import evaluate  # noqa: E402
from potentials.training import train_potential  # noqa: E402
from potentials.training_config import PotentialTrainingConfig  # noqa: E402

# The row of the reference measurements for the first sketch of this layout on one core of this kind of machine.
PEER, PEER_VALUE = "prototype of this layout (64 channels, lmax 2, vectors carried), 1268 s on one core", 25.2
FIRST_1200K_FRAME = 334  # of the mixed-temperature file: 167 frames at 300 K, 167 at 600 K, 166 at 1200 K


def official_test(path: Path) -> list[AtomGraph]:
    """The 1,669 frames of the 300 K test set: `pos` Å, `energy` eV, `forces` eV/Å, `atomic_numbers`."""
    with np.load(path, allow_pickle=False) as data:
        frames = []
        for positions, energy, forces in zip(data["pos"], data["energy"], data["forces"], strict=True):
            frame = make_graph(data["atomic_numbers"].reshape(-1)[: len(positions)], positions)
            frame.energy = torch.tensor([float(np.squeeze(energy))], dtype=torch.float64)
            frame.forces = torch.from_numpy(np.asarray(forces, dtype=np.float64))
            frames.append(frame)
    return frames


def main() -> None:
    """Train (or resume), evaluate, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of configs/train/potential_3bpa.yaml")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    folder = data_root() / "potentials/botnet/dataset_3BPA"
    overrides = [f"data.train={folder / 'train_300K.xyz.xz'}", *options.overrides]
    config = load_config(PotentialTrainingConfig, ROOT / "configs/train/potential_3bpa.yaml", overrides)
    out = train_potential(config)
    facts = json.loads((out / "model.json").read_text())["training"]
    potential = load_checkpoint(out)
    test = folder / "test_300K.npz"
    mixed = folder / "train_mixedT.xyz.xz"
    at_300 = evaluate(potential, official_test(test))
    at_1200 = evaluate(potential, read_frames(mixed, LabelConfig())[FIRST_1200K_FRAME:])
    validation = facts["validation_errors"]
    size = sum(p.numel() for p in potential.model.parameters())
    protocol = (
        f"train_300K, {facts['frames']['training']} frames, {facts['wall_seconds']:.0f} s wall "
        f"({facts['cpu_seconds']:.0f} s of one core), {facts['steps']} steps of {config.train.batch_size}, "
        f"{size} weights, averaged weights, float32; "
    )
    rows = [
        ("a", validation["forces_rmse"], "meV/Å", "force RMSE on 50 held-out frames", facts["data_sha256"]),
        ("b", at_300["forces_rmse"], "meV/Å", "force RMSE on the official 300 K test", sha256_file(test)),
        ("c", at_300["total_energy_rmse"], "meV", "energy RMSE on the official 300 K test", sha256_file(test)),
        ("d", at_1200["forces_rmse"], "meV/Å", "force RMSE on the 1200 K part of train_mixedT", sha256_file(mixed)),
    ]
    for letter, value, unit, what, digest in rows:
        peer = {"peer": PEER, "peer_value": PEER_VALUE} if letter == "a" else {}
        record(
            id=f"S7{letter}",
            value=value,
            unit=unit,
            protocol=protocol + what,
            data_sha256=digest,
            seed=config.seed,
            **peer,
        )


if __name__ == "__main__":
    main()
