"""Ideal adsorbed solution theory against simulated mixtures (G31, row E5), pyIAST beside it.

    python benchmarks/adsorption_iast.py
    python benchmarks/adsorption_iast.py --peer runs/envs/pyiast/bin/python    # an environment with pyiast and six

Data: the tests of pyIAST (MIT; C. M. Simon, B. Smit, M. Haranczyk, Comput. Phys. Commun. 200, 364 (2016)): grand-
canonical isotherms of CH4 and C2H6 in IRMOF-1 at 298 K and nine mixtures of the two at 65 bar.
"""

import argparse
import csv
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.record import record
from potentials.errors import InputError
from potentials.files import data_root, sha256_file
from screening.adsorption.iast import iast, reverse_iast
from screening.adsorption.isotherm_fits import fit_isotherm
from screening.adsorption.isotherms import Interpolated, Isotherm

PRESSURE = 65e5  # Pa
FILES = {
    "CH4": "IRMOF-1_methane_isotherm_298K.csv",
    "C2H6": "IRMOF-1_ethane_isotherm_298K.csv",
    "mixture": "IRMOF-1_methane_ethane_mixture_isotherm_65bar_298K.csv",
}
REACH = {"CH4": 1.0, "C2H6": 6.0}  # %

PEER = """
import sys, time, pandas, pyiast
folder, methane, ethane, mixture = sys.argv[1:]
keys = {"loading_key": "Loading(mmol/g)", "pressure_key": "Pressure(bar)"}
pure = []
for name in (methane, ethane):
    table = pandas.read_csv(f"{folder}/{name}")
    pure.append(pyiast.InterpolatorIsotherm(table, fill_value=table["Loading(mmol/g)"].max(), **keys))
points = pandas.read_csv(f"{folder}/{mixture}")
for y in points["y_ethane"]:
    print(*pyiast.iast(65.0 * pandas.Series([1 - y, y]).to_numpy(), pure, warningoff=True))
start = time.process_time()
for y in list(points["y_ethane"]) * 20:
    pyiast.iast(65.0 * pandas.Series([1 - y, y]).to_numpy(), pure, warningoff=True)
print("seconds", (time.process_time() - start) / 20)
"""


def read(name: str) -> np.ndarray:
    """One table of the data set, its header left out."""
    with open(folder() / FILES[name], newline="") as stream:
        return np.array([[float(cell) for cell in row] for row in list(csv.reader(stream))[1:]])


def folder() -> Path:
    """Where the data set lies.

    Raises:
        InputError: it is not there.
    """
    path = data_root() / "sorbents" / "pyiast" / "test"
    if not path.is_dir():
        raise InputError(f"the pyIAST test data are not in {path}: see the data manifest")
    return path


def deviations(methane: Isotherm, ethane: Isotherm) -> dict[str, float]:
    """Mean absolute deviation of IAST from the simulated mixtures, % of each gas."""
    return _deviations(iast([methane, ethane], _feeds()).loadings)


def _feeds() -> np.ndarray:
    y = read("mixture")[:, 0]
    return PRESSURE * np.stack([1.0 - y, y], axis=1)


def _deviations(loadings: np.ndarray) -> dict[str, float]:
    relative = 100.0 * np.abs(loadings / read("mixture")[:, 1:] - 1.0).mean(axis=0)
    return {"CH4": float(relative[0]), "C2H6": float(relative[1])}


def peer_deviations(python: str) -> tuple[dict[str, float], float] | None:
    """The same from pyIAST in its own environment with its seconds; None where it does not run."""
    try:
        done = subprocess.run(
            [python, "-c", PEER, str(folder()), *FILES.values()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"pyIAST does not run: {error}")
        return None
    lines = done.stdout.strip().splitlines()
    return _deviations(np.array([[float(x) for x in line.split()] for line in lines[:-1]])), float(lines[-1].split()[1])


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default="runs/envs/pyiast/bin/python", help="interpreter that has pyiast")
    arguments = parser.parse_args()
    pure = {name: Interpolated(1e5 * read(name)[:, 0], read(name)[:, 1], saturates=True) for name in ("CH4", "C2H6")}
    fits = {name: fit_isotherm(1e5 * read(name)[:, 0], read(name)[:, 1]) for name in pure}
    found = deviations(*pure.values())
    smooth = deviations(*(fit.isotherm for fit in fits.values()))
    feeds = np.tile(_feeds(), (1000, 1))
    started = time.process_time()
    many = iast(list(pure.values()), feeds)
    seconds = time.process_time() - started
    back = reverse_iast(list(pure.values()), many.adsorbed_fractions, PRESSURE)
    print(f"reverse IAST returns the gas to {np.abs(back.gas_fractions - many.gas_fractions).max():.1e}")
    peer = peer_deviations(arguments.peer)
    print(f"{len(feeds)} mixtures in {seconds:.3f} s; pyIAST: {'-' if peer is None else f'{peer[1]:.3f} s for nine'}")
    for name, identifier in (("CH4", "E5a"), ("C2H6", "E5b")):
        print(f"{name}: straight lines {found[name]:.2f} %, {fits[name].method} {smooth[name]:.2f} %")
        record(
            id=identifier,
            value=found[name],
            unit="%",
            peer="pyIAST 1.4.3" if peer else None,
            peer_value=peer[0][name] if peer else None,
            protocol=f"mean absolute deviation of IAST from GCMC, {name} of nine CH4/C2H6 mixtures in IRMOF-1, 65 bar, "
            f"298 K, straight-line isotherms as pyIAST's test; wanted: at most {REACH[name]:g} %",
            data_sha256=sha256_file(folder() / FILES["mixture"]),
            seed=None,
            note=f"with the models AIC chooses (quadratic for both gases): {smooth[name]:.2f} %; "
            "nothing was fitted to the mixtures",
        )
    record(
        id="E5c",
        value=len(feeds) / seconds,
        unit="mixtures/s",
        peer="pyIAST 1.4.3" if peer else None,
        peer_value=9.0 / peer[1] if peer else None,
        protocol=f"{len(feeds)} binary mixtures in one call against nine one by one, straight-line isotherms, "
        "processor time of one core",
        data_sha256=sha256_file(folder() / FILES["mixture"]),
        seed=None,
    )


if __name__ == "__main__":
    main()
