"""Sorbus, NequIP and MACE trained on the same frames for the same process time on one core each, and tested alike.

    python benchmarks/potential_equal_time.py prepare
    python benchmarks/potential_equal_time.py train sorbus --minutes 8
    python benchmarks/potential_equal_time.py train nequip --minutes 8 --python envs/nequip/bin/python
    python benchmarks/potential_equal_time.py train mace --minutes 8 --python envs/mace/bin/python
    python benchmarks/potential_equal_time.py record

3BPA at 300 K it is, or with `--set acac` acetylacetone, with `--set ethanol` ethanol and its dissociation; `--set
squeezed` keeps some training frames of 3BPA aside to choose by what extrapolates (`squeezed_bonds.py`), and `--set
surrogate` asks for 3BPA at 600 and 1200 K by another level of theory, for the same end (`surrogate_molecules.py`).

Make the environments with `python -m venv envs/nequip` and `pip install torch nequip` (mace-torch) there. The protocol
of the table is `--minutes 180`. Every network gets the same loop (`equal_time_worker.py`); what follows on the command
line of `train` goes to it, `--optimizer soap --batch 3` say, or `--label NAME` for an answer of another name, which
`record --sorbus NAME` (`--nequip`, `--mace`) then takes. Test sets are read once, after training. Which rows there are
is in `equal_time_rows.py`; `record --rows B5i B5j` records those, the peers in the shapes of B5.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.equal_time_rows import ROWS, SHAPES, SHAPES_SAY, SOURCES, Row  # noqa: E402
from benchmarks.potential_3bpa import official_test  # noqa: E402
from benchmarks.record import record  # noqa: E402
from benchmarks.squeezed_bonds import most_squeezed  # noqa: E402
from potentials.atom_graph import AtomGraph, make_graph  # noqa: E402
from potentials.dataset import LabelConfig, attach_neighbours, read_frames, split_frames  # noqa: E402
from potentials.errors import InputError  # noqa: E402
from potentials.files import sha256_file  # noqa: E402
from potentials.reference_energies import composition_matrix, fit_reference_energies  # noqa: E402

FOLDER = ROOT / "runs/benchmarks/equal_time"
CUTOFF = 5.0  # Å, of all networks
PROTOCOL_MINUTES = 180.0
HELD_OUT = 0.1  # of the training file
APART, APART_FRAMES = 20.0, 5  # Å; frames of atoms that do not see each other, for networks told to learn from them


def write_frames(path: Path, frames: Sequence[AtomGraph], references: dict[int, float], *, free: bool = False) -> None:
    """Frames of one molecule with their bonds as arrays; energies less the reference energies, forces NaN for none.

    `free` says that these are the energies of free atoms.
    """
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
        free=np.array(free),
    )


def prepare(folder: Path, name: str) -> None:
    """Nine tenths of the training file, the tenth held out, and the test sets."""
    source = SOURCES[name]
    frames = read_frames(source.path(source.training), LabelConfig())
    frames, aside = most_squeezed(frames, source.squeezed) if source.squeezed else (frames, [])
    training, held_out, _ = split_frames(frames, HELD_OUT, seed=0)
    numbers = [frame.numbers.numpy() for frame in training]
    elements = sorted({int(z) for z in numbers[0]})
    folder.mkdir(parents=True, exist_ok=True)
    free = source.isolated is not None
    if source.isolated:
        lone = read_frames(source.path(source.isolated), LabelConfig(forces_key=None))
        references = {int(one.numbers[0]): one.energy.item() for one in lone if int(one.numbers[0]) in elements}
        lone_frames = [apart(training[0], references) for _ in range(APART_FRAMES)]
        write_frames(folder / "train_apart.npz", [*training, *lone_frames], references, free=True)
    else:
        energies = [frame.energy.item() for frame in training]
        references = fit_reference_energies(composition_matrix(numbers, elements), energies, elements)
    write_frames(folder / "validation.npz", held_out, references)
    for test in source.tests:
        path = source.path(test.file)
        keys = LabelConfig() if test.forces else LabelConfig(forces_key=None)
        found = aside or (official_test(path) if path.suffix == ".npz" else read_frames(path, keys))
        write_frames(folder / f"{test.name}.npz", found[test.first : test.last], references)
    write_frames(folder / "train.npz", training, references, free=free)  # last: its presence says that all are there


def apart(frame: AtomGraph, references: dict[int, float]) -> AtomGraph:
    """The atoms of a molecule out of each other's sight: the sum of their energies alone, no forces."""
    numbers = frame.numbers.numpy()
    positions = APART * np.arange(len(numbers))[:, None] * np.array([1.0, 0.0, 0.0])
    lone = make_graph(numbers, positions)
    lone.energy = torch.tensor([sum(references[int(z)] for z in numbers)], dtype=torch.float64)
    lone.forces = torch.zeros(len(numbers), 3, dtype=torch.float64)
    return lone


def train(kind: str, python: str, minutes: float, folder: Path, rest: Sequence[str], name: str = "3bpa") -> None:
    """Run the worker in its environment; its answer is `<kind>.json` in the folder."""
    if not (folder / "train.npz").exists():
        prepare(folder, name)
    worker = str(Path(__file__).with_name("equal_time_worker.py"))
    command = [python, worker, kind, str(folder), "--minutes", str(minutes), "--tests"]
    command += [*[test.name for test in SOURCES[name].tests], *rest]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise InputError(f"training {kind} with {python} ended with code {done.returncode}: see its last line above")


def answers(folder: Path, labels: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the workers wrote, by network, of the labels given.

    Raises:
        InputError: one of them has not run, or not for as long as the first.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind, label in labels.items():
        path = folder / f"{label}.json"
        if not path.exists():
            raise InputError(f"no {path.name} yet: run `potential_equal_time.py train {kind}` first")
        found[kind] = json.loads(path.read_text())
        first = next(iter(found.values()))["minutes"]
        if found[kind]["minutes"] != first:
            raise InputError(f"{label} ran {found[kind]['minutes']:g} min, others {first:g}: train them alike")
    return found


def describe(answer: dict[str, Any]) -> str:
    """One network, in words."""
    return f"{answer['what']}, {answer['weights']} weights, {answer['recipe']}, torch {answer['torch']}"


def errors_on(
    folder: Path, test: str, labels: Mapping[str, str], found: Mapping[str, dict[str, Any]]
) -> tuple[int, dict[str, dict[str, float]]]:
    """Of how many frames one counts, since the slowest network was tested on no more, and each one's errors on those.

    A network tested on more frames than that gets its errors from the predictions it left.
    """
    every = max(answer.get("every", 1) for answer in found.values())
    errors = {}
    for kind, answer in found.items():
        mine = answer.get("every", 1)
        if mine == every:
            errors[kind] = answer[test]
            continue
        with np.load(folder / f"{labels[kind]}_{test}.npz") as left, np.load(folder / f"{test}.npz") as truth:
            off = {key: left[key][:: every // mine] - truth[key][::every] for key in ("energies", "forces")}
        errors[kind] = {f"{key}_rmse": 1000 * float(np.sqrt((value**2).mean())) for key, value in off.items()}
        errors[kind]["energy_rmse"] = errors[kind].pop("energies_rmse")
    return every, errors


def in_words(errors: dict[str, float], held_out: dict[str, float]) -> str:
    """Errors of a network on a test set."""
    forces = f"{errors['forces_rmse']:.1f} meV/Å, " if "forces_rmse" in errors else ""
    return f"{forces}{errors['energy_rmse']:.1f} meV, held-out {held_out['forces_rmse']:.1f} meV/Å"


def record_rows(folder: Path, name: str, labels: Mapping[str, str], rows: Sequence[Row], more: str = "") -> None:
    """The rows of a set; `more` ends each protocol."""
    source = SOURCES[name]
    found = answers(folder, labels)
    ours = found["sorbus"]
    minutes = ours["minutes"]
    share = 100 * minutes / PROTOCOL_MINUTES
    reduced = (
        f" The table asks for {PROTOCOL_MINUTES:g} min on two cores: this is {share:.0f} % of that on one."
        if minutes < PROTOCOL_MINUTES
        else ""
    )
    steps = ", ".join(f"{name} {answer['steps']} ({answer['epochs']:.0f} epochs)" for name, answer in found.items())
    for row in rows:
        test = source.test(row.test)
        every, errors = errors_on(folder, row.test, labels, found)
        force = row.quantity == "forces_rmse"
        what = test.what + (f", one of {every}" if every > 1 else "")
        note = "all of them: " + "; ".join(f"{key} {in_words(errors[key], found[key]['validation'])}" for key in errors)
        if test.along:
            with np.load(folder / f"{row.test}.npz") as stored:
                truth = stored["energies"]
            for key in errors:
                with np.load(folder / f"{labels[key]}_{row.test}.npz") as stored:
                    note += f"; {key}: {dissociation(truth, stored['energies'])}"
        record(
            id=row.id,
            value=errors["sorbus"][row.quantity],
            unit="meV/Å" if force else "meV",
            peer=describe(found[row.peer]),
            peer_value=errors[row.peer][row.quantity],
            protocol=(
                f"{'force' if force else 'energy'} RMSE on the {what}, after {minutes:g}"
                f" min of process time of training steps on one core each ({source.what}, a tenth held out chooses the"
                f" best of {len(ours['history'])} looks);"
                f" one loop for all: warm-up and half a cosine over the time, squared errors with energies per atom"
                f" weighted 1 to 100, weights averaged (0.995). Ours: {describe(ours)}. Steps: {steps}.{more}{reduced}"
            ),
            note=note,
            data_sha256=sha256_file(source.path(test.file)),
            seed=ours["seed"],
        )


def dissociation(truth: np.ndarray, energies: np.ndarray) -> str:
    """What is right about a curve of energies [F], eV, that ends where a bond is broken."""
    lowest = int(truth.argmin())
    true, found = truth[-1] - truth[lowest], energies[-1] - energies[lowest]
    fall = np.maximum.accumulate(energies[lowest:]) - energies[lowest:]
    start = np.maximum.accumulate(energies[lowest::-1]) - energies[lowest::-1]
    return (
        f"bond energy {found:.2f} eV (true {true:.2f}), false descents of {1000 * fall.max():.0f} meV past the minimum"
        f" and {1000 * start.max():.0f} before it"
    )


def main() -> None:
    """Prepare, train or record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["prepare", "train", "record"])
    parser.add_argument("kind", nargs="?", choices=["sorbus", "plain", "nequip", "mace"])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the network's environment")
    parser.add_argument("--minutes", type=float, default=PROTOCOL_MINUTES)
    parser.add_argument("--set", choices=sorted(SOURCES), default="3bpa")
    parser.add_argument("--folder", type=Path, help="default runs/benchmarks/equal_time, of AcAc its acac")
    for kind in ("sorbus", "nequip", "mace"):
        parser.add_argument(f"--{kind}", default=kind, help="label of the answer to record")
    parser.add_argument("--rows", nargs="*", help="ids to record, B5i and B5j too; default all of the set")
    arguments, rest = parser.parse_known_args()
    torch.set_num_threads(1)
    folder = arguments.folder or (FOLDER if arguments.set == "3bpa" else FOLDER / arguments.set)
    if arguments.task == "prepare":
        prepare(folder, arguments.set)
    elif arguments.task == "record":
        chosen = [row for row in [*ROWS[arguments.set], *SHAPES] if row.id in (arguments.rows or [])]
        chosen = chosen or ROWS[arguments.set]
        if not chosen:
            parser.error(f"set {arguments.set} has no rows: its figures are in {folder}, to choose by")
        kinds = ["sorbus", *dict.fromkeys(row.peer for row in chosen)]
        labels = {kind: getattr(arguments, kind) for kind in kinds}
        more = SHAPES_SAY if set(chosen) <= set(SHAPES) else ""
        record_rows(folder, arguments.set, labels, chosen, more)
    elif arguments.kind is None:
        parser.error("train needs one of sorbus, plain, nequip, mace")
    else:
        train(arguments.kind, arguments.python, arguments.minutes, folder, rest, arguments.set)


if __name__ == "__main__":
    main()
