"""Symmetry built in or learned? The equivariant network and a plain one on turned frames, equal data and process time.

    python benchmarks/potential_equivariance.py [--minutes 8]

Both run in the loop of `potential_equal_time.py` on 450 frames of 3BPA at 300 K, the plain network with every frame
turned at random at each step (`architecture: plain`); networks trained there already, for the same time and with
`--turns`, are not trained again. Records B2c and B2d (force RMSE at 300 K and 1200 K), B2e and B2f (how much forces and
energies change as a frame turns) and B2g (energy RMSE at 300 K); value: equivariant, peer: plain.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.equal_time_rows import SOURCES  # noqa: E402
from benchmarks.potential_equal_time import FOLDER, answers, describe, train  # noqa: E402
from benchmarks.record import record  # noqa: E402
from potentials.files import sha256_file  # noqa: E402

TURNS = 8


def trained(kind: str, minutes: float, folder: Path) -> bool:
    """Whether this network is there, tested, turned, and trained for this time."""
    path = folder / f"{kind}.json"
    if not path.exists():
        return False
    answer = json.loads(path.read_text())
    return answer["minutes"] == minutes and "turned" in answer


def main() -> None:
    """Train what is missing, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--folder", type=Path, default=FOLDER / "symmetry")
    arguments, rest = parser.parse_known_args()  # the rest goes to both trainings
    torch.set_num_threads(1)
    for kind in ("sorbus", "plain"):
        if not trained(kind, arguments.minutes, arguments.folder):
            train(kind, sys.executable, arguments.minutes, arguments.folder, ["--turns", str(TURNS), *rest])
    found = answers(arguments.folder, {"sorbus": "sorbus", "plain": "plain"})
    ours, plain = found["sorbus"], found["plain"]
    few = f"{plain['turned']['frames']} frames of the 300 K test in {plain['turned']['turns']} random orientations"
    rows = [
        ("B2c", ("test_300K", "forces_rmse"), "meV/Å", "force RMSE, official 300 K test, 1,669 frames"),
        ("B2d", ("hot_1200K", "forces_rmse"), "meV/Å", "force RMSE, 1200 K frames of train_mixedT, 166"),
        ("B2e", ("turned", "forces_spread"), "meV/Å", f"change of force components with orientation (RMS), {few}"),
        ("B2f", ("turned", "energy_spread"), "meV", f"change of the energy with orientation (RMS), {few}"),
        ("B2g", ("test_300K", "energy_rmse"), "meV", "energy RMSE, official 300 K test, 1,669 frames"),
    ]
    turned = plain["turned"]
    note = (
        f"held-out forces {ours['validation']['forces_rmse']:.1f} and {plain['validation']['forces_rmse']:.1f} meV/Å; "
        f"plain network averaged over {turned['turns']} orientations of {turned['frames']} frames, at as many times the"
        f" cost: forces {turned['mean_forces_rmse']:.1f} instead of {turned['forces_rmse']:.1f} meV/Å, energies"
        f" {turned['mean_energy_rmse']:.1f} instead of {turned['energy_rmse']:.1f} meV"
    )
    source = SOURCES["3bpa"]
    for row, (part, key), unit, what in rows:
        data = source.path(source.test("hot_1200K" if part == "hot_1200K" else "test_300K").file)
        record(
            id=row,
            value=ours[part][key],
            unit=unit,
            peer=describe(plain),
            peer_value=plain[part][key],
            protocol=(
                f"{what}, after {ours['minutes']:g} min of process time of training steps on one core each, 450 frames,"
                f" one loop; equivariant: {describe(ours)}, {ours['steps']} steps ({ours['epochs']:.0f} epochs); plain:"
                f" {plain['steps']} steps ({plain['epochs']:.0f} epochs)"
            ),
            note=note,
            data_sha256=sha256_file(data),
            seed=ours["seed"],
        )


if __name__ == "__main__":
    main()
