"""Sorbus, NequIP and MACE trained on 3BPA or AcAc at 300 K for the same process time on one core, and tested alike.

    python benchmarks/potential_equal_time.py prepare
    python benchmarks/potential_equal_time.py train sorbus --minutes 8
    python benchmarks/potential_equal_time.py train nequip --minutes 8 --python envs/nequip/bin/python
    python benchmarks/potential_equal_time.py train mace --minutes 8 --python envs/mace/bin/python
    python benchmarks/potential_equal_time.py record

and all of it with `--set acac` for acetylacetone.

Make the environments with `python -m venv envs/nequip` and `pip install torch nequip` (mace-torch) there. The protocol
of the table is `--minutes 180`. Every network gets the same loop (`equal_time_worker.py`); what follows on the command
line of `train` goes to it, `--optimizer soap --batch 3` say. Test sets are read once, after training. Records B2 (3BPA
at 300 K, beside NequIP), B2a (beside MACE) and B2b (1200 K, beside NequIP); of AcAc B3 and B3a (300 K, beside NequIP
and MACE), B3b and B3c (600 K), B3d and B3e (energies along a dihedral angle and along the transfer of a proton, beside
NequIP).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.potential_3bpa import FIRST_1200K_FRAME, official_test  # noqa: E402
from benchmarks.record import record  # noqa: E402
from potentials.atom_graph import AtomGraph  # noqa: E402
from potentials.dataset import LabelConfig, attach_neighbours, read_frames, split_frames  # noqa: E402
from potentials.errors import InputError  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.reference_energies import composition_matrix, fit_reference_energies  # noqa: E402

FOLDER = ROOT / "runs/benchmarks/equal_time"
DATA = Path("potentials/botnet/dataset_3BPA")
ACAC = Path("potentials/botnet/dataset_acac")
TESTS = {"3bpa": ["test_300K", "hot_1200K"], "acac": ["test_300K", "test_600K", "dihedral", "H_transfer"]}
CUTOFF = 5.0  # Å, of all networks
SHORT_OF_PROTOCOL = 180.0  # minutes


def write_frames(path: Path, frames: Sequence[AtomGraph], references: dict[int, float]) -> None:
    """Frames of one molecule with their bonds as arrays; energies less the reference energies, forces NaN for none."""
    attach_neighbours(frames, CUTOFF, str(path))
    numbers = frames[0].numbers.numpy()
    if any(not np.array_equal(frame.numbers.numpy(), numbers) for frame in frames):
        raise InputError(f"{path.stem}: not all frames list the same atoms in the same order: give one molecule")
    zero = sum(references[int(z)] for z in numbers)
    nothing = np.full((len(numbers), 3), np.nan)
    np.savez(
        path,
        numbers=numbers,
        positions=np.stack([frame.positions.numpy() for frame in frames]),
        energies=np.array([frame.energy.item() - zero for frame in frames]),
        forces=np.stack([frame.forces.numpy() if "forces" in frame else nothing for frame in frames]),
        edges=np.concatenate([frame.edge_index.numpy() for frame in frames], axis=1),
        edge_ends=np.cumsum([frame.edge_index.shape[1] for frame in frames]),
    )


def prepare(folder: Path, name: str) -> None:
    """450 training and 50 validation frames of the 300 K file, and the test sets."""
    source = data_root() / (DATA if name == "3bpa" else ACAC)
    frames = read_frames(source / "train_300K.xyz.xz", LabelConfig())
    training, held_out, _ = split_frames(frames, 0.1, seed=0)
    numbers = [frame.numbers.numpy() for frame in training]
    elements = sorted({int(z) for z in numbers[0]})
    energies = [frame.energy.item() for frame in training]
    references = fit_reference_energies(composition_matrix(numbers, elements), energies, elements)
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder / "validation.npz", held_out, references)
    if name == "3bpa":
        write_frames(folder / "test_300K.npz", official_test(source / "test_300K.npz"), references)
        hot = read_frames(source / "train_mixedT.xyz.xz", LabelConfig())[FIRST_1200K_FRAME:]
        write_frames(folder / "hot_1200K.npz", hot, references)
    else:
        for test in ("300K", "600K"):
            frames = read_frames(source / f"test_MD_{test}.xyz.xz", LabelConfig())
            write_frames(folder / f"test_{test}.npz", frames, references)
        for test in ("dihedral", "H_transfer"):
            frames = read_frames(source / f"test_{test}.xyz.xz", LabelConfig(forces_key=None))
            write_frames(folder / f"{test}.npz", frames, references)
    write_frames(folder / "train.npz", training, references)  # last: its presence says that all are there


def train(kind: str, python: str, minutes: float, folder: Path, rest: Sequence[str], name: str = "3bpa") -> None:
    """Run the worker in its environment; its answer is `<kind>.json` in the folder."""
    if not (folder / "train.npz").exists():
        prepare(folder, name)
    worker = str(Path(__file__).with_name("equal_time_worker.py"))
    command = [python, worker, kind, str(folder), "--minutes", str(minutes), "--tests", *TESTS[name], *rest]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise InputError(f"training {kind} with {python} ended with code {done.returncode}: see its last line above")


def answers(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the workers wrote.

    Raises:
        InputError: one of them has not run, or not for as long as the first.
    """
    found = {}
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            raise InputError(f"no {path.name} yet: run `potential_equal_time.py train {name}` first")
        found[name] = json.loads(path.read_text())
        if found[name]["minutes"] != found[names[0]]["minutes"]:
            raise InputError(f"{name} ran {found[name]['minutes']:g} min, {names[0]} another time: train them alike")
    return found


def describe(answer: dict[str, Any]) -> str:
    """One network, in words."""
    return f"{answer['what']}, {answer['weights']} weights, {answer['recipe']}, torch {answer['torch']}"


def rows_of(name: str) -> list[tuple[str, str, str, str, str, Path]]:
    """(row, test, quantity, peer, what the test is, its file)."""
    if name == "3bpa":
        source = data_root() / DATA
        official, hot = "official 300 K test, 1,669 frames", "1200 K frames of train_mixedT, 166"
        return [
            ("B2", "test_300K", "forces_rmse", "nequip", official, source / "test_300K.npz"),
            ("B2a", "test_300K", "forces_rmse", "mace", official, source / "test_300K.npz"),
            ("B2b", "hot_1200K", "forces_rmse", "nequip", hot, source / "train_mixedT.xyz.xz"),
        ]
    source = data_root() / ACAC
    rows = []
    for (first, second), test in zip((("B3", "B3a"), ("B3b", "B3c")), ("300K", "600K"), strict=True):
        what = f"AcAc {test.replace('K', ' K')} test, 650 frames"
        for row, peer in ((first, "nequip"), (second, "mace")):
            rows.append((row, f"test_{test}", "forces_rmse", peer, what, source / f"test_MD_{test}.xyz.xz"))
    paths = (("B3d", "dihedral", "AcAc dihedral scan"), ("B3e", "H_transfer", "AcAc proton transfer"))
    return rows + [
        (row, test, "energy_rmse", "nequip", what, source / f"test_{test}.xyz.xz") for row, test, what in paths
    ]


def record_rows(folder: Path, name: str) -> None:
    """B2, B2a, B2b, or B3 to B3e."""
    found = answers(folder, ["sorbus", "nequip", "mace"])
    ours = found["sorbus"]
    minutes = ours["minutes"]
    reduced = f" The table asks for {SHORT_OF_PROTOCOL:g} min: this is a run at reduced size." if minutes < 180 else ""
    steps = ", ".join(f"{name} {answer['steps']} ({answer['epochs']:.0f} epochs)" for name, answer in found.items())
    for row, test, quantity, peer, what, data in rows_of(name):
        errors = {key: answer[test] for key, answer in found.items()}
        both = "; ".join(
            f"{key} "
            + (f"{value['forces_rmse']:.1f} meV/Å, " if "forces_rmse" in value else "")
            + f"{value['energy_rmse']:.1f} meV, held-out {found[key]['validation']['forces_rmse']:.1f} meV/Å"
            for key, value in errors.items()
        )
        forces = quantity == "forces_rmse"
        record(
            id=row,
            value=errors["sorbus"][quantity],
            unit="meV/Å" if forces else "meV",
            peer=describe(found[peer]),
            peer_value=errors[peer][quantity],
            protocol=(
                f"{'force' if forces else 'energy'} RMSE on the {what}, after {minutes:g} min of process time of"
                f" training steps on one core each"
                f" (450 of the 300 K training frames, 50 held out choose the best of {len(ours['history'])} looks);"
                f" one loop for all: warm-up and half a cosine over the time, squared errors with energies per atom"
                f" weighted 1 to 100, weights averaged (0.995). Ours: {describe(ours)}. Steps: {steps}.{reduced}"
            ),
            note=f"all three: {both}",
            data_sha256=sha256_file(data),
            seed=ours["seed"],
        )


def main() -> None:
    """Prepare, train or record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["prepare", "train", "record"])
    parser.add_argument("kind", nargs="?", choices=["sorbus", "plain", "nequip", "mace"])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the network's environment")
    parser.add_argument("--minutes", type=float, default=SHORT_OF_PROTOCOL)
    parser.add_argument("--set", choices=sorted(TESTS), default="3bpa")
    parser.add_argument("--folder", type=Path, help="default runs/benchmarks/equal_time, of AcAc its acac")
    arguments, rest = parser.parse_known_args()
    torch.set_num_threads(1)
    folder = arguments.folder or (FOLDER if arguments.set == "3bpa" else FOLDER / arguments.set)
    if arguments.task == "prepare":
        prepare(folder, arguments.set)
    elif arguments.task == "record":
        record_rows(folder, arguments.set)
    elif arguments.kind is None:
        parser.error("train needs one of sorbus, plain, nequip, mace")
    else:
        train(arguments.kind, arguments.python, arguments.minutes, folder, rest, arguments.set)


if __name__ == "__main__":
    main()
