"""All pairs or neighbours: the two score networks trained on the same crystals for the same time.

    python benchmarks/crystals_networks.py --minutes 6

Trains `configs/train/crystals_csp.yaml` (binaries and ternaries of MP-20, validation split) with the `nano` size of
each `network.kind` and compares their averaged weights on the held-out crystals, one noise for both. Records C11
(coordinates) and C11a (lattice), each with the all-pairs network as peer. One is the loss of a network that knows
nothing. Nothing here reads a test split.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from gen.crystals.config import CrystalTrainingConfig  # noqa: E402
from gen.crystals.training import train_crystals  # noqa: E402
from potentials.config import load_config  # noqa: E402

FOLDER = ROOT / "runs/benchmarks/crystals_networks"
CHANNELS = ("coordinates", "lattice")


def trained(kind: str, minutes: float, seed: int) -> dict[str, Any]:
    """Last validation losses, updates and weights of one training."""
    out = FOLDER / f"{kind}_{minutes:g}_{seed}"
    overrides = [
        f"network.kind={kind}",
        f"out={out}",
        f"train.max_minutes={minutes}",
        f"train.seed={seed}",
        "train.validate_every=100",
    ]
    config = load_config(CrystalTrainingConfig, "configs/train/crystals_csp.yaml", overrides)
    train_crystals(config)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    last = next(row for row in reversed(rows) if "validation_coordinates" in row)
    facts = json.loads((out / "model.json").read_text())
    return {**last, "data": facts["provenance"]["data_sha256"], "network": config.network}


def main() -> None:
    """Train both, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of training, each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    arguments = parser.parse_args()
    ours, peer = (trained(kind, arguments.minutes, arguments.seed) for kind in ("equivariant", "pairs"))
    for channel, suffix in zip(CHANNELS, ("", "a"), strict=True):
        key = f"validation_{channel}"
        protocol = (
            f"{channel} loss on held-out crystals after {arguments.minutes:g} min of training on one core each "
            f"({ours['update']} updates of the equivariant network, {peer['update']} of all pairs), structure "
            "prediction on MP-20 binaries and ternaries; sizes nano"
        )
        print(f"C11{suffix} {ours[key]:.4f} against {peer[key]:.4f}: {protocol}")
        if not arguments.dry:
            record(
                id=f"C11{suffix}",
                value=ours[key],
                unit="of a network that knows nothing",
                peer="all-pairs network, same time",
                peer_value=peer[key],
                protocol=protocol,
                data_sha256=ours["data"],
                seed=arguments.seed,
            )


if __name__ == "__main__":
    main()
