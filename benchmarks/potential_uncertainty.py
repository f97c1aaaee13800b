"""Is the stated uncertainty true? Four short trainings on AcAc at 300 K, judged at 300 K and at 600 K.

    python benchmarks/potential_uncertainty.py [--members 4] [--epochs 30]

Members share data and differ by seed. 425 of the 500 frames at 300 K train; the other 75 choose the best epoch and fit
the one factor (ensemble) or power law (distance) that turns a spread into a standard deviation. The tests at 300 K and
600 K are read once, at the end; an interrupted run goes on where it stopped. Records B10 (rank correlation at 600 K),
B10a (coverage of 90 % intervals at 600 K), B10b, B10c (the same at 300 K), B10d to B10g (distance of one network's
features instead of an ensemble) and draws `docs/images/uncertainty_calibration.png`.
"""

import argparse
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from potentials.calibration import ForceCalibration, force_calibration  # noqa: E402
from potentials.checkpoint import load_checkpoint  # noqa: E402
from potentials.config import parse_config  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.descriptor_distance import DistancePotential  # noqa: E402
from potentials.ensemble import EnsemblePotential  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.potential import Potential  # noqa: E402
from potentials.training import train_potential  # noqa: E402
from potentials.training_config import PotentialTrainingConfig  # noqa: E402

DATA = Path("potentials/botnet/dataset_acac")
FOLDER = ROOT / "runs/benchmarks/uncertainty"
PICTURE = ROOT / "docs/images/uncertainty_calibration.png"
HELD_OUT = 75  # frames


def split(folder: Path) -> tuple[Path, Path]:
    """The frames at 300 K as a training file and a held-out file; one split for all members."""
    from ase.io import read, write

    training, held_out = folder / "train.xyz", folder / "held_out.xyz"
    if not (training.exists() and held_out.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        with lzma.open(data_root() / DATA / "train_300K.xyz.xz", "rt") as stream:
            frames = read(stream, ":", format="extxyz")
        order = np.random.default_rng(0).permutation(len(frames))
        write(held_out, [frames[i] for i in sorted(order[:HELD_OUT])], format="extxyz")
        write(training, [frames[i] for i in sorted(order[HELD_OUT:])], format="extxyz")
    return training, held_out


def train_member(seed: int, epochs: int, folder: Path) -> Path:
    """One member; a finished one is not trained again."""
    training, held_out = split(folder)
    values = {
        "name": f"acac-{seed}",
        "out": str(folder / f"member{seed}"),
        "seed": seed,
        "data": {"train": str(training), "validation": str(held_out)},
        "network": {"body_order": 4, "radial_hidden": 64},  # those of the rows recorded
        "train": {"epochs": epochs, "batch_size": 5, "optimizer": "adamw", "lr": 0.01, "ema": 0.995, "device": "cpu"},
    }
    return train_potential(parse_config(PotentialTrainingConfig, values, "potential_uncertainty"), progress=False)


def draw(judged: dict[str, ForceCalibration], path: Path) -> None:
    """Share of force components inside an interval against the share it promises."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(4.2, 4.0))
    axis.plot([0, 1], [0, 1], color="0.6", lw=1)
    for (name, found), style in zip(judged.items(), ("o-", "s-", "o--", "s--"), strict=False):
        axis.plot(list(found.coverage), list(found.coverage.values()), style, ms=4, lw=1.2, label=name)
    axis.set_xlabel("interval promises")
    axis.set_ylabel("force components inside")
    axis.legend(frameon=False, fontsize=8)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Train what is missing, calibrate, judge, draw, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--train-only", action="store_true", help="leave the test sets closed")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seconds, errors = [], []
    members = []
    for seed in range(arguments.members):
        members.append(train_member(seed, arguments.epochs, arguments.folder))
        facts = json.loads((members[-1] / "model.json").read_text())["training"]
        seconds.append(facts["cpu_seconds"])
        errors.append(facts["validation_errors"]["forces_rmse"])
        print(f"member {seed}: {seconds[-1]:.0f} CPU s, held-out forces {errors[-1]:.1f} meV/Å", flush=True)

    held_out = read_frames(arguments.folder / "held_out.xyz", LabelConfig())
    training = read_frames(arguments.folder / "train.xyz", LabelConfig())
    networks = [load_checkpoint(member) for member in members]
    factor = force_calibration(EnsemblePotential(networks), held_out).factor
    stated: dict[str, Potential] = {
        "ensemble": EnsemblePotential(networks, forces_factor=factor),
        "distance": DistancePotential(networks[0], training, held_out),
    }
    for kind, potential in stated.items():
        fitted = force_calibration(potential, held_out)
        print(f"{kind} on the held-out frames it was fitted to: rank correlation {fitted.rank_correlation:.3f}")
    if arguments.train_only:
        return

    source = data_root() / DATA
    files = {"300 K": source / "test_MD_300K.xyz.xz", "600 K": source / "test_MD_600K.xyz.xz"}
    frames = {name: read_frames(path, LabelConfig()) for name, path in files.items()}
    judged = {
        f"{kind}, {name}": force_calibration(potential, frames[name])
        for kind, potential in stated.items()
        for name in files
    }
    draw(judged, PICTURE)
    trained = (
        f"AcAc, {arguments.members} networks (64 channels, l = 2, two layers) trained on 425 frames at 300 K for"
        f" {arguments.epochs} epochs ({np.mean(seconds):.0f} s of one core each; forces on 75 held-out frames"
        f" {np.mean(errors):.1f} meV/Å)"
    )
    how = {
        "ensemble": f"spread of the members, an atom, times {factor:.2f}, which makes 90 % intervals cover 90 % of the"
        " held-out force components",
        "distance": "one of the networks; Mahalanobis distance of an atom's last features to those of its element in"
        " training, by a power law fitted to the held-out errors",
    }
    ids = {"ensemble": ("B10", "B10a", "B10b", "B10c"), "distance": ("B10d", "B10e", "B10f", "B10g")}
    for kind, names in ids.items():
        for (temperature, path), (rank, cover) in zip(reversed(files.items()), (names[:2], names[2:]), strict=True):
            found = judged[f"{kind}, {temperature}"]
            figures = (
                (rank, found.rank_correlation, "", "Spearman correlation of stated and true force error of each atom"),
                (cover, 100 * found.coverage[0.9], "%", "share of force components inside their 90 % interval"),
            )
            for name, value, unit, what in figures:
                record(
                    id=name,
                    value=value,
                    unit=unit,
                    protocol=f"{trained}; {kind}: {how[kind]}; {what}, test at {temperature}, "
                    f"{len(frames[temperature])} frames",
                    note=f"force RMSE {1000 * found.rmse:.1f} meV/Å, mean stated deviation "
                    f"{1000 * found.mean_std:.1f} meV/Å",
                    data_sha256=sha256_file(path),
                    seed=0,
                )


if __name__ == "__main__":
    main()
