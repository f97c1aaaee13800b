"""Wall time of the main job: `sorbus discover` on the shipped campaign, from an empty folder to the report.

    python benchmarks/discover.py

Packages are installed already. Records S1 (seconds of wall time) with the funnel in the note.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

from potentials.files import sha256_file
from screening.discovery import read_snapshot

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "discover" / "co2_flue_gas.yaml"


def main() -> None:
    """Run the campaign in a temporary folder and record its wall time."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "screening", "discover", str(CONFIG), "--out", str(run)], check=True)
        seconds = time.monotonic() - start
        snapshot = read_snapshot(run)
    remaining = len(snapshot.rows)
    funnel = [f"{remaining} asked for"]
    for stage in snapshot.stages:
        remaining -= sum(row.stage == stage and row.state != "active" for row in snapshot.rows)
        funnel.append(f"{remaining} after {stage}")
    record(
        id="S1",
        value=round(seconds, 1),
        unit="s",
        protocol=f"sorbus discover {CONFIG.name}, empty run folder, packages installed; target 600 s on 2 cores",
        data_sha256=sha256_file(CONFIG),
        seed=snapshot.config["seed"],
        note=", ".join(funnel),
    )


if __name__ == "__main__":
    main()
