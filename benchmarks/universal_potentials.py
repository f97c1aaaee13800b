"""CHGNet and SevenNet-0 against DFT: which universal potential should be the default?

    python -m benchmarks.universal_potentials --sevenn envs/sevenn/bin/python --minutes 7
    python -m benchmarks.universal_potentials --sevenn envs/sevenn/bin/python --minutes 7 --medians "hot and pressed"

Frames of the MatterSim benchmark (PBE: random MPtrj frames, MPtrj frames of highest stress, high temperature and
pressure), shuffled, one of each set in turn through both potentials until the time is up; then crystals relaxed by DFT
are relaxed again, which should leave them where they are. SevenNet runs in its own environment (`pip install sevenn`).
Energies: CHGNet was trained on energies with Materials Project corrections and SevenNet-0 without, so the errors are
given as they are and after a shift an element fitted to the other four fifths of all frames. A mean can be the work of
a few frames that a potential breaks down on: `--medians` records the error of the median frame instead (B15d to B17d).
"""

import argparse
import csv
import gzip
import io
import lzma
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.io import read
from pymatgen.core import Structure

from benchmarks.record import record
from potentials.atom_graph import collate, graph_from
from potentials.files import data_root, sha256_file
from potentials.potential import Potential, load_potential
from potentials.reference_energies import composition_matrix, fit_reference_energies
from potentials.relaxation import relax

FOLDER = Path("potentials/mattersim_bench")
SETS = {"random MPtrj": "mptrj-random-1k", "highest stress": "mptrj-highest-stress-1k", "hot and pressed": "mpf-TP"}
IDS = dict(zip(SETS, ("B15", "B16", "B17"), strict=True))
FAR = 1000.0  # meV/Å, mean error of the forces of a frame
CRYSTALS = Path("crystals/mp20_biternary/val.csv.gz")
SEED = 3


def read_set(name: str) -> list[Atoms]:
    """All frames of a set in a seeded random order."""
    text = lzma.decompress((data_root() / FOLDER / f"{SETS[name]}.xyz.xz").read_bytes()).decode()
    frames = read(io.StringIO(text), index=":", format="extxyz")
    return [frames[index] for index in np.random.default_rng(SEED).permutation(len(frames))]


def cpu_seconds(potential: Potential) -> float:
    """CPU seconds of this process and, where the potential runs in one of its own, of that."""
    child = getattr(potential, "_child", None)
    if child is None:
        return time.process_time()
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def compare(potential: Potential, atoms: Atoms) -> dict[str, Any]:
    """Errors of a potential on one frame, and the CPU seconds its call took."""
    start = cpu_seconds(potential)
    output = potential(collate([graph_from(atoms)]))
    seconds = cpu_seconds(potential) - start
    labels = atoms.calc.results
    stress = output["stress"][0].double().numpy()
    return {
        "seconds": seconds,
        "energy": float(labels["energy"]) - float(output["energy"][0]),  # eV, what is missing
        "forces": np.abs(output["forces"].double().numpy() - labels["forces"]).ravel(),  # eV/Å
        "stress": np.abs(stress - full_stress(labels["stress"])).ravel() / units.GPa,
    }


def full_stress(stress: np.ndarray) -> np.ndarray:
    """3 x 3 from whatever ASE's reader made of the nine numbers."""
    stress = np.asarray(stress, dtype=float)
    if stress.size == 9:
        return stress.reshape(3, 3)
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def shifted_errors(frames: list[Atoms], missing: list[float], folds: int = 5) -> np.ndarray:
    """Energy errors [F], eV/atom, after a shift an element fitted to the frames of the other folds."""
    numbers = [atoms.numbers for atoms in frames]
    elements = sorted({int(z) for system in numbers for z in system})
    counts = composition_matrix(numbers, elements)
    energies = np.array(missing)
    errors = np.empty(len(frames))
    fold = np.arange(len(frames)) % folds
    for k in range(folds):
        shifts = fit_reference_energies(counts[fold != k], energies[fold != k], elements)
        explained = counts[fold == k] @ np.array([shifts[z] for z in elements])
        errors[fold == k] = (energies[fold == k] - explained) / counts[fold == k].sum(1)
    return errors


def run_frames(
    models: dict[str, Potential], minutes: float, names: Sequence[str] = tuple(SETS)
) -> dict[str, dict[str, list[Any]]]:
    """For each set, the frames that both potentials saw and what each made of them."""
    pools = {name: read_set(name) for name in names}
    found: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name in names}
    deadline = time.monotonic() + 60 * minutes
    for model in models.values():  # first calls compile and load
        compare(model, pools[names[0]][-1])
    for index in range(min(len(pool) for pool in pools.values())):
        for name, pool in pools.items():
            found[name]["frames"].append(pool[index])
            for label, model in models.items():
                found[name][label].append(compare(model, pool[index]))
        if time.monotonic() > deadline:
            break
    return found


def record_medians(found: dict[str, dict[str, list[Any]]], dry: bool) -> None:
    """B15d, B16d, B17d: the force error of the median frame, and how many frames are far off."""
    for name, answers in found.items():
        errors = {
            label: 1e3 * np.array([row["forces"].mean() for row in rows])
            for label, rows in answers.items()
            if label != "frames"
        }
        told = []
        for label, error in errors.items():
            mean = 1e3 * np.concatenate([row["forces"] for row in answers[label]]).mean()
            far = 100 * (error > FAR).mean()
            told.append(
                f"{label}: mean of all force components {mean:.0f} meV/Å, {far:.1f} % of frames beyond "
                f"{FAR / 1e3:g} eV/Å, worst {error.max() / 1e3:.3g} eV/Å"
            )
        print(name, len(answers["frames"]), "frames", told, flush=True)
        if dry:
            continue
        record(
            id=IDS[name] + "d",
            value=float(np.median(errors["SevenNet-0"])),
            unit="meV/Å",
            protocol=f"force MAE of the median frame, {name}: {len(answers['frames'])} frames of {SETS[name]}, "
            "shuffled, one frame a call, float32; SevenNet-0 in its own interpreter",
            data_sha256=sha256_file(data_root() / FOLDER / f"{SETS[name]}.xyz.xz"),
            seed=SEED,
            peer="CHGNet 0.3.0 (chgnet-fast)",
            peer_value=float(np.median(errors["CHGNet 0.3.0"])),
            note="; ".join(told),
        )


def relaxed_crystals(count: int) -> list[Structure]:
    """Crystals of at most 10 atoms as DFT relaxed them, spread evenly over a file of the MP-20 validation split."""
    with gzip.open(data_root() / CRYSTALS, "rt") as stream:
        rows = [row["cif"] for row in csv.DictReader(stream)]
    found = []
    for index in np.linspace(0, len(rows) - 1, 4 * count).round().astype(int):
        structure = Structure.from_str(rows[index], fmt="cif")
        if len(structure) <= 10:
            found.append(structure)
    return found[:count]


def run_relaxations(models: dict[str, Potential], count: int) -> dict[str, dict[str, float]]:
    """How far each potential moves crystals away from where DFT left them."""
    crystals = relaxed_crystals(count)
    answers = {}
    for label, model in models.items():
        start = cpu_seconds(model)
        results = relax(crystals, model, fmax=0.05, max_steps=200, optimizer="lbfgs")
        change = [
            abs(result.volume_change) for result in results if result.converged and result.volume_change is not None
        ]
        answers[label] = {
            "converged": len(change) / len(crystals),
            "volume": 100 * float(np.median(change)),
            "volume_90": 100 * float(np.quantile(change, 0.9)),
            "steps": float(np.mean([result.steps for result in results])),
            "CPU seconds": cpu_seconds(model) - start,
        }
    return answers


def told_figures(figures: dict[str, dict[str, float]]) -> str:
    """All figures of all potentials in one line."""
    return "; ".join(
        f"{label}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()) for label, row in figures.items()
    )


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sevenn", required=True, help="interpreter of an environment with sevenn")
    parser.add_argument("--minutes", type=float, default=6.0, help="for the frames; relaxations come on top")
    parser.add_argument("--crystals", type=int, default=24, help="crystals to relax")
    parser.add_argument("--medians", nargs="+", choices=list(SETS), help="these sets only, errors of the median frame")
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models: dict[str, Potential] = {
        "CHGNet 0.3.0": load_potential("chgnet-fast"),
        "SevenNet-0": load_potential("external", python=options.sevenn, model="sevenn", name="sevennet-0"),
    }
    if options.medians:
        record_medians(run_frames(models, options.minutes, options.medians), options.dry)
        return
    found = run_frames(models, options.minutes)
    everything = [atoms for answers in found.values() for atoms in answers["frames"]]
    starts = np.cumsum([0] + [len(answers["frames"]) for answers in found.values()])
    shifted = {
        label: shifted_errors(everything, [row["energy"] for answers in found.values() for row in answers[label]])
        for label in models
    }
    for start, (name, answers) in zip(starts[:-1], found.items(), strict=True):
        frames = answers["frames"]
        atoms = sum(len(one) for one in frames)
        figures: dict[str, dict[str, float]] = {}
        for label in models:
            rows = answers[label]
            missing = [row["energy"] for row in rows]
            raw = np.array(missing) / [len(one) for one in frames]
            figures[label] = {
                "force MAE meV/Å": 1e3 * float(np.concatenate([row["forces"] for row in rows]).mean()),
                "shifted energy MAE meV/atom": 1e3 * float(np.abs(shifted[label][start : start + len(frames)]).mean()),
                "stress MAE GPa": float(np.concatenate([row["stress"] for row in rows]).mean()),
                "energy MAE as it is, meV/atom": 1e3 * float(np.abs(raw).mean()),
                "CPU ms an atom": 1e3 * sum(row["seconds"] for row in rows) / atoms,
            }
        print(name, len(frames), "frames", atoms, "atoms", figures, flush=True)
        if options.dry:
            continue
        protocol = (
            f"{name}: {len(frames)} frames ({atoms} atoms) of {SETS[name]}, shuffled, as many as both got through in "
            "the time given; one frame a call, one thread, float32; SevenNet-0 in its own interpreter"
        )
        quantities = (("", "force MAE meV/Å", "meV/Å"), ("a", "shifted energy MAE meV/atom", "meV/atom"))
        for suffix, key, unit in (*quantities, ("b", "stress MAE GPa", "GPa"), ("c", "CPU ms an atom", "ms/atom")):
            record(
                id=IDS[name] + suffix,
                value=figures["SevenNet-0"][key],
                unit=unit,
                protocol=f"{key.rpartition(' ')[0] if suffix != 'c' else 'energy, forces, stress'}; {protocol}",
                data_sha256=sha256_file(data_root() / FOLDER / f"{SETS[name]}.xyz.xz"),
                seed=SEED,
                peer="CHGNet 0.3.0 (chgnet-fast)",
                peer_value=figures["CHGNet 0.3.0"][key],
                note=told_figures(figures),
            )
    relaxations = run_relaxations(models, options.crystals)
    print(relaxations)
    if not options.dry:
        record(
            id="B18",
            value=relaxations["SevenNet-0"]["volume"],
            unit="%",
            protocol=f"median change of volume when {options.crystals} crystals of up to 10 atoms that DFT (PBE, "
            "PBE+U) relaxed are relaxed again, L-BFGS, fmax 0.05 eV/Å, smax 1e-3 eV/Å^3",
            data_sha256=sha256_file(data_root() / CRYSTALS),
            seed=None,
            peer="CHGNet 0.3.0 (chgnet-fast)",
            peer_value=relaxations["CHGNet 0.3.0"]["volume"],
            note=told_figures(relaxations),
        )


if __name__ == "__main__":
    main()
