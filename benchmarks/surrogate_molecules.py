"""3BPA at 300, 600 and 1200 K by a tight-binding model: a set of extrapolation that may be looked at while choosing.

    envs/xtb/bin/python benchmarks/surrogate_molecules.py

The published tests at 600 and 1200 K are read once. What a network makes of hot molecules has to be known while it is
built, so the same question is asked here of another level of theory: Langevin dynamics of the same molecule with
GFN2-xTB (Bannwarth, Ehlert and Grimme 2019), from frames of the published training set. Runs in an environment of its
own (`pip install tblite ase`; tblite is under the LGPL and no dependency of Sorbus). Each temperature is one file,
written at its end; `potential_equal_time.py train sorbus --set surrogate` trains on the first and tests on the others.
"""

import argparse
import lzma
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "runs/benchmarks/surrogate"
TRAINING = "potentials/botnet/dataset_3BPA/train_300K.xyz.xz"
# temperature, K: trajectories, frames of each, fs between frames, fs a step
PLAN = {300: (12, 42, 20.0, 1.0), 600: (5, 24, 20.0, 0.5), 1200: (6, 24, 20.0, 0.5)}
WARM_UP = 300.0  # fs before the first frame
FRICTION = 0.05  # 1/fs while warming up, a tenth of it later


def trajectory(start, kelvin, frames, between, step, seed):
    """Frames of one run with energies (eV) and forces (eV/Å)."""
    from ase import units
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from tblite.ase import TBLite

    random = np.random.default_rng(seed)
    atoms = start.copy()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=random)
    options = {"timestep": step * units.fs, "temperature_K": kelvin, "rng": random}
    Langevin(atoms, friction=FRICTION / units.fs, **options).run(round(WARM_UP / step))
    run = Langevin(atoms, friction=FRICTION / 10 / units.fs, **options)
    found = []
    for _ in range(frames):
        run.run(round(between / step))
        kept = atoms.copy()
        kept.calc = SinglePointCalculator(kept, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        found.append(kept)
    return found


def main():
    """The temperatures given, or all; those that are there already are left alone."""
    from ase.io import read, write

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kelvin", type=int, nargs="*", choices=list(PLAN), default=list(PLAN))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    data = Path(os.environ.get("SORBUS_DATA", ROOT.parent / "shared/data"))
    with lzma.open(data / TRAINING, "rt") as file:
        starts = read(file, ":", format="extxyz")
    options.folder.mkdir(parents=True, exist_ok=True)
    for kelvin in options.kelvin:
        path = options.folder / f"{kelvin}K.xyz"
        if path.exists():
            print(f"{path.name} is there: delete it to make it again", flush=True)
            continue
        count, frames, between, step = PLAN[kelvin]
        found = []
        for number in range(count):
            start = starts[(len(starts) * (2 * number + 1)) // (2 * count)]
            found += trajectory(start, kelvin, frames, between, step, seed=1000 * kelvin + number)
            print(f"{kelvin} K: {len(found)} of {count * frames} frames", flush=True)
        partial = path.with_suffix(".part")
        write(partial, found, format="extxyz")
        partial.replace(path)


if __name__ == "__main__":
    main()
