"""Argon in seven silica zeolites at 87 K and 1 atm as it was published: the same moves, from empty pores, many times.

    python benchmarks/adsorption_argon.py                       # every zeolite, three runs each; half an hour on a core
    python benchmarks/adsorption_argon.py --codes MFI --seeds 1 2 3 4 5
    python benchmarks/adsorption_argon.py --check               # grid against direct sums, on atoms of a frozen run

Sarkisov et al. (Chem. Mater. 32, 9849 (2020); files of SarkisovGitHub/IZA_Zeolites) made one run of RASPA 2.0.37 a
zeolite. Dense argon at its boiling point is jammed, so the figure such a run gives is where its insertions had got to,
not equilibrium, and the error they state (twice the spread of five blocks of that one run) does not know of what other
runs would have given. Here the run is repeated move by move (`argon_kernel.py`); the spread of repeats is what a single
published run may be off by. Runs are kept in `runs/argon/`; rows G30a to G30g are recorded from all that are there by
`adsorption_golden.py --only G30`.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.stats import binom

from benchmarks.adsorption_structures import from_archive
from benchmarks.golden_measures import Told
from screening.adsorption.batched.energy_grid import energy_grid
from screening.adsorption.batched.host_field import host_field
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import find_gas

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs" / "argon"
SPACING = 0.1  # Å, of the host's grid
TEMPERATURE, PRESSURE = 87.0, 101_325.0  # K, Pa
BLOCKS = 5
TUNE_EVERY = 500  # cycles
MODEL = HostGuestModel.model_validate(
    {
        "force_field": str(Path(__file__).with_name("force_fields") / "silica-argon.yaml"),
        "cutoff": 12.8,
        "truncation": "truncated",
        "charges": "none",
        "pockets": "open",
    }
)


@dataclass(frozen=True)
class Published:
    """A run of the authors, as its output file states it."""

    repeats: tuple[int, int, int]  # unit cells
    cycles: int  # to settle, and as many counted
    blocks: tuple[float, ...]  # atoms in the box, mean of each fifth
    loading: float  # mol/kg
    error: float  # mol/kg: twice the standard deviation of the blocks


PUBLISHED = {
    "MFI": Published((2, 2, 2), 100_000, (236.873, 238.269, 239.116, 240.698, 239.854), 5.1785, 0.0571),
    "LTA": Published((3, 3, 3), 100_000, (458.729, 458.205, 458.833, 458.876, 458.471), 11.7793, 0.0130),
    "FAU": Published((2, 2, 2), 50_000, (1258.55, 1273.92, 1287.29, 1290.07, 1296.95), 13.8841, 0.2955),
    "RHO": Published((2, 2, 2), 100_000, (288.0, 288.0, 288.0, 288.0, 288.0), 12.4825, 0.0),
    "DDR": Published((3, 3, 1), 100_000, (420.436, 421.788, 424.908, 426.000, 426.948), 6.5343, 0.0769),
    "GIS": Published((3, 3, 3), 100_000, (284.594, 285.763, 286.725, 287.361, 288.000), 11.0373, 0.0926),
    "CHA": Published((3, 3, 2), 100_000, (375.275, 392.812, 411.285, 440.367, 457.512), 10.6704, 1.5468),
}


def unit_cell(code: str) -> Structure:
    """The conventional cell of a zeolite: the authors' box, which lists every atom, over its repeats."""
    box = from_archive("sorbents/iza_zeolites/iza_cifs_and_pore_summaries.tar.xz", f"{code}/babel/{code}.cif")
    repeats = np.array(PUBLISHED[code].repeats)
    lattice = Lattice(box.lattice.matrix / repeats[:, None])
    folded = box.frac_coords * repeats
    kept: list[int] = []
    for index, place in enumerate(folded):
        apart = folded[kept] - place
        if not kept or (np.linalg.norm((apart - np.round(apart)) @ lattice.matrix, axis=1) > 0.3).all():  # Å
            kept.append(index)
    if len(kept) * repeats.prod() != len(box):
        raise ValueError(f"{code}: {len(kept)} atoms times {repeats.prod()} are not the {len(box)} of the box")
    return Structure(lattice, [box[index].specie.symbol for index in kept], folded[kept])


def simulation_box(host: Host, temperature: float = TEMPERATURE, pressure: float = PRESSURE, spacing: float = SPACING):
    """The kernel's `Box` of a prepared host, at a temperature (K) and a fugacity (Pa)."""
    from benchmarks import argon_kernel as kernel
    from screening.adsorption.batched.gcmc_kernel import COMPRESSION

    gas = find_gas(host.force_field.gases, "Ar")
    field = host_field(host, [gas])
    energy = energy_grid(field, spacing).lennard_jones[0].astype(float)
    lowest = energy
    for axis in range(3):  # the lowest of the 4 x 4 x 4 grid points around a voxel
        lowest = np.minimum.reduce([np.roll(lowest, shift, axis) for shift in (-2, -1, 0, 1)])
    share = float((lowest <= kernel.HOPELESS).mean())
    repeats = np.array(host.repeats)
    cell = field.cell * repeats[:, None]
    widths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    site = gas.sites[0]
    volume = abs(float(np.linalg.det(cell)))
    return kernel.Box(
        cell=cell,
        inverse=np.linalg.inv(cell),
        orthogonal=bool(np.allclose(cell, np.diag(np.diag(cell)), atol=1e-9)),
        repeats=repeats,
        grids=np.arcsinh(energy / COMPRESSION).astype(np.float32)[None],
        open_voxels=np.flatnonzero(lowest <= kernel.HOPELESS).astype(np.int32),
        open_share=binom.cdf(np.arange(kernel.TRIALS + 1), kernel.TRIALS, share),
        open_share_less_one=binom.cdf(np.arange(kernel.TRIALS + 1), kernel.TRIALS - 1, share),
        bins=np.maximum(np.floor(widths / kernel.NEAR).astype(np.int64), 3),
        epsilon4=4.0 * site.epsilon,
        sigma6=site.sigma**6,
        cutoff=float(field.cutoff),
        beta=1.0 / temperature,
        ideal=pressure * volume * 1e-30 / (1.380649e-23 * temperature),
    )


def empty(box, seed: int, capacity: int = 4000):
    """The kernel's `Atoms`: none yet."""
    from benchmarks import argon_kernel as kernel

    bins = int(box.bins.prod())
    return kernel.Atoms(
        place=np.zeros((3, capacity)),
        host=np.zeros(capacity),
        guest=np.zeros(capacity),
        bin=np.zeros(capacity, dtype=np.int64),
        held=np.zeros(bins, dtype=np.int64),
        members=np.zeros((bins, kernel.PER_BIN), dtype=np.int64),
        count=np.zeros(1, dtype=np.int64),
        step=np.ones(3),
        tried=np.zeros(6, dtype=np.int64),
        accepted=np.zeros(6, dtype=np.int64),
        random=np.random.default_rng(seed).integers(1, 2**64, size=4, dtype=np.uint64),
        pair=np.zeros((2, capacity)),
    )


def repeat(code: str, seed: int, cycles: int | None = None) -> dict:
    """One run as published, from empty pores; with `cycles`, so many to settle and as many counted."""
    from benchmarks.argon_kernel import run

    host = prepare_host(unit_cell(code), MODEL)
    if host.repeats != PUBLISHED[code].repeats:
        raise ValueError(f"{code}: box of {host.repeats} cells, published {PUBLISHED[code].repeats}")
    box = simulation_box(host)
    atoms = empty(box, seed)
    each = cycles or PUBLISHED[code].cycles
    numbers, energies = np.zeros(2 * each, dtype=np.int64), np.zeros(2 * each)
    started = time.process_time()
    run(box, atoms, numbers[:each], energies[:each], TUNE_EVERY)
    run(box, atoms, numbers[each:], energies[each:], 0)
    per_atom = 1.0 / (host.cell_mass * int(np.prod(host.repeats)))  # mol/kg
    blocks = numbers[each:].reshape(BLOCKS, -1).mean(axis=1)
    n = int(atoms.count[0])
    return {
        "code": code,
        "seed": seed,
        "cycles": each,
        "seconds": round(time.process_time() - started, 1),
        "moves": int(np.maximum(numbers, 20).sum()),
        "blocks": [round(float(block), 3) for block in blocks],
        "loading": float(blocks.mean()) * per_atom,
        "trace": [int(number) for number in numbers[each // 100 - 1 :: each // 100]],
        "energies": [round(float(e), 1) for e in energies[each:].reshape(BLOCKS, -1).mean(axis=1)],
        "accepted": {
            name: int(atoms.accepted[index]) for index, name in ((3, "reinserted"), (4, "inserted"), (5, "deleted"))
        },
        "final": atoms.place[:, :n].T.round(4).tolist(),
    }


def keep_run(code: str, seed: int, cycles: int | None) -> dict | None:
    """Make a run and keep it; None where it was there already."""
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{code}_{seed}{f'_{cycles}' if cycles else ''}.json"
    if path.exists():
        return None
    row = repeat(code, seed, cycles)
    path.write_text(json.dumps(row))
    return row


def kept_runs(code: str) -> list[dict]:
    """The full runs of a zeolite made so far, by seed."""
    rows = [json.loads(path.read_text()) for path in sorted(RUNS.glob(f"{code}_*.json"))]
    return [row for row in rows if row["cycles"] == PUBLISHED[code].cycles]


def repeated(code: str, effort: float, seed: int) -> Told:
    """Mean of the repeats (mol/kg), and how far a further single run may be from it, one standard deviation.

    Takes the runs that are kept; makes three where there are fewer.
    """
    for number in (1, 2, 3):
        keep_run(code, number, None)
    rows = kept_runs(code)
    loadings = np.array([row["loading"] for row in rows])
    published = PUBLISHED[code]
    std = float(loadings.std(ddof=1))
    alone = (published.loading - loadings.mean()) / (std * (1.0 + 1.0 / len(rows)) ** 0.5) if std else math.nan
    cycles, moves = published.cycles, min(row["moves"] for row in rows) / 1e6
    words = (
        f"the published protocol repeated: {len(rows)} runs from empty pores of twice {cycles} cycles of max(20, N) "
        f"moves (20 % translation, 20 % rotation, 20 % reinsertion, 40 % swaps, 10 first beads), {moves:.0f} million "
        f"moves or more each, {'x'.join(map(str, published.repeats))} cells: "
        f"{', '.join(f'{loading:.3f}' for loading in loadings)} mol/kg; the error is what a single run may be off the "
        f"mean by; without an error of its own the published single run is {alone:+.1f} of these from it"
    )
    spread = std * (1.0 + 1.0 / len(rows)) ** 0.5
    return Told(float(loadings.mean()), spread, words, sum(row["seconds"] for row in rows))


def direct_energies(code: str, places: np.ndarray) -> np.ndarray:
    """Host energies [n] (K) at points [n, 3] (Å) by direct summation over the box, as the published run has them."""
    host = prepare_host(unit_cell(code), MODEL)
    gas = find_gas(host.force_field.gases, "Ar").sites[0]
    repeats = np.array(host.repeats)
    lattice = host.structure.lattice.matrix
    shifts = np.stack(np.meshgrid(*(np.arange(r) for r in repeats), indexing="ij"), -1).reshape(-1, 3)
    atoms = (host.structure.frac_coords[None] + shifts[:, None]).reshape(-1, 3) @ lattice
    epsilon, sigma = np.tile(host.lennard_jones, (len(shifts), 1)).T
    epsilon, sigma = np.sqrt(epsilon * gas.epsilon), 0.5 * (sigma + gas.sigma)
    box = lattice * repeats[:, None]
    out = np.zeros(len(places))
    for index, place in enumerate(places):
        apart = (atoms - place) @ np.linalg.inv(box)
        r2 = (((apart - np.round(apart)) @ box) ** 2).sum(axis=1)
        s6 = (sigma**2 / r2) ** 3
        out[index] = (4.0 * epsilon * (s6**2 - s6))[r2 < MODEL.cutoff**2].sum()
    return out


def check(code: str) -> dict:
    """Grids of 0.1 and 0.15 Å against the direct sum at the atoms a run ended with: mean and spread of errors, K."""
    from benchmarks.argon_kernel import fractional, host_at

    places = np.array(kept_runs(code)[0]["final"])
    exact = direct_energies(code, places)
    host = prepare_host(unit_cell(code), MODEL)
    found = {"mean": float(exact.mean())}
    for spacing in (0.1, 0.15):
        box = simulation_box(host, spacing=spacing)
        grid = np.array([host_at(box, *fractional(box, *place)) for place in places])
        found[f"{spacing:g} off"] = float((grid - exact).mean())
        found[f"{spacing:g} spread"] = float((grid - exact).std())
    return found


def main() -> None:
    """Make runs that are not there yet, or check the grids."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", nargs="*", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--cycles", type=int, help="fewer cycles, for a quick look; such runs are not counted")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for seed in arguments.seeds if not arguments.check else [0]:
        for code in arguments.codes:
            if arguments.check:
                print(code, check(code), flush=True)
            elif (row := keep_run(code, seed, arguments.cycles)) is not None:
                print(code, {key: value for key, value in row.items() if key not in ("final", "code")}, flush=True)


if __name__ == "__main__":
    main()
