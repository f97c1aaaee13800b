"""Ions farther apart than the cutoff: one network with and without long-range charges, on labels known exactly.

    python benchmarks/potential_long_range.py [--epochs 40]

Charges of +0.8 and -0.8 e, placed at random: eight in periodic boxes of 10 to 12 Å and six in clusters of up to 18 Å
without a box. Labels are Coulomb's law (Ewald's sum in the boxes, checked against `screening`'s own on one of them) and
one Lennard-Jones potential for all pairs. Both networks have a cutoff of 4 Å, two layers, the same frames, seed and
epochs. Records B11 (all test frames), B11a (boxes), B11b (clusters): force RMSE with charges, beside that without.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from potentials.atom_graph import collate, graph_from_atoms  # noqa: E402
from potentials.checkpoint import load_checkpoint  # noqa: E402
from potentials.config import parse_config  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.label_errors import evaluate  # noqa: E402
from potentials.neighbours import edge_vectors, neighbour_list  # noqa: E402
from potentials.radial import polynomial_cutoff  # noqa: E402
from potentials.smeared_charges import COULOMB, coulomb_energy  # noqa: E402
from potentials.training import train_potential  # noqa: E402
from potentials.training_config import PotentialTrainingConfig  # noqa: E402

FOLDER = ROOT / "runs/benchmarks/long_range"
CHARGE = 0.8  # e
EPSILON, SIGMA, REACH = 0.01, 2.94, 8.0  # eV, Å, Å: of the Lennard-Jones pairs
CLOSEST = 2.4  # Å
NARROW = 0.3  # Å: clouds so narrow that at 2.4 Å they are points (1 - erf < 1e-14)


def place(rng: np.random.Generator, periodic: bool) -> Atoms:
    """Random ions, none closer than `CLOSEST`, half of them of each sign."""
    count = 8 if periodic else 6
    side = rng.uniform(10.0, 12.0)
    while True:
        if periodic:
            positions = rng.uniform(0, side, (count, 3))
        else:
            positions = rng.normal(size=(count, 3))
            radii = 9.0 * rng.random((count, 1)) ** (1 / 3)
            positions *= radii / np.linalg.norm(positions, axis=1, keepdims=True)
        atoms = Atoms(["Na", "Cl"] * (count // 2), positions)
        if periodic:
            atoms.cell, atoms.pbc = [side] * 3, True
        distances = atoms.get_all_distances(mic=periodic)[np.triu_indices(count, 1)]
        if distances.min() > CLOSEST:
            return atoms


def label(atoms: Atoms) -> Atoms:
    """Energy and forces of point charges and Lennard-Jones pairs."""
    batch = collate([graph_from_atoms(atoms)])
    batch.positions.requires_grad_()
    charges = torch.where(batch.numbers == 11, CHARGE, -CHARGE).double()
    energy = coulomb_energy(batch.positions, charges, batch.cell, batch.pbc, batch.batch, NARROW).sum()
    neighbours = neighbour_list(batch, REACH, half=True)
    lengths = edge_vectors(batch, neighbours).norm(dim=1)
    sixth = (SIGMA / lengths) ** 6
    energy = energy + (4 * EPSILON * (sixth.square() - sixth) * polynomial_cutoff(lengths / REACH)).sum()
    forces = -torch.autograd.grad(energy, batch.positions)[0]
    atoms.calc = SinglePointCalculator(atoms, energy=energy.item(), forces=forces.numpy())
    return atoms


def check_labels(atoms: Atoms) -> None:
    """The Coulomb energy of a box by another Ewald sum, with point charges and a real-space part."""
    from screening.adsorption.batched.ewald import COULOMB as IN_KELVIN
    from screening.adsorption.batched.ewald import ewald_energy

    charges = np.where(atoms.numbers == 11, CHARGE, -CHARGE)
    other = ewald_energy(atoms.positions, charges, atoms.cell.array, cutoff=9.0, precision=1e-9).total
    batch = collate([graph_from_atoms(atoms)])
    mine = coulomb_energy(batch.positions, torch.from_numpy(charges), batch.cell, batch.pbc, batch.batch, NARROW)
    assert abs(float(mine) - other / IN_KELVIN * COULOMB) < 1e-4, (float(mine), other / IN_KELVIN * COULOMB)


def frames(count: int, seed: int, periodic: bool) -> list[Atoms]:
    """Labelled frames; each has a generator of its own."""
    return [label(place(np.random.default_rng([seed, int(periodic), i]), periodic)) for i in range(count)]


def train(folder: Path, charges: bool, epochs: int) -> Path:
    """One training through the ordinary pipeline."""
    values = {
        "name": "charged" if charges else "short",
        "out": str(folder / ("charged" if charges else "short")),
        "data": {
            "train": str(folder / "train.xyz"),
            "validation_fraction": 0.1,
            "labels": {"check_units": False},  # random frames have no neighbours in time to be judged by
        },
        "network": {"cutoff": 4.0, "channels": 16, "carried": [16, 16], "lmax": 1, "radial_hidden": 32}
        | {"body_order": 4},
        "reference_energies": {"Na": 0.0, "Cl": 0.0},
        "train": {"epochs": epochs, "batch_size": 8, "optimizer": "adamw", "lr": 0.01, "ema": 0.98, "warmup_steps": 50}
        | {"device": "cpu"},
    }
    if charges:
        values["long_range"] = {"smearing": 1.0}
    return train_potential(parse_config(PotentialTrainingConfig, values, "potential_long_range"), progress=False)


def main() -> None:
    """Make the data, train both, test both, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--frames", type=int, default=200, help="of each kind, for training")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    training = [*frames(arguments.frames, 0, True), *frames(arguments.frames, 0, False)]
    check_labels(training[0])
    write(folder / "train.xyz", training, format="extxyz")
    tests = {}
    for name, periodic in (("boxes", True), ("clusters", False)):
        write(folder / f"{name}.xyz", frames(100, 1, periodic), format="extxyz")
        tests[name] = read_frames(folder / f"{name}.xyz", LabelConfig(check_units=False))
    errors: dict[str, dict[str, float]] = {}
    facts = {}
    for charges in (False, True):
        out = train(folder, charges, arguments.epochs)
        kind = out.name
        potential = load_checkpoint(out)
        facts[kind] = json.loads((out / "model.json").read_text())["training"]
        errors[kind] = {name: evaluate(potential, some)["forces_rmse"] for name, some in tests.items()}
        squares = sum(len(some[0].numbers) * errors[kind][name] ** 2 for name, some in tests.items())
        errors[kind]["all"] = (squares / sum(len(some[0].numbers) for some in tests.values())) ** 0.5
        print(kind, errors[kind], f"{facts[kind]['cpu_seconds']:.0f} CPU s", flush=True)
    batch = collate(tests["clusters"])
    found = potential(batch, stress=False)["charges"]
    sodium = found[batch.numbers == 11]
    learned = f"charges of +0.8 e found as {float(sodium.mean()):.3f} ± {float(sodium.std()):.3f} e in the clusters"
    rms = 1000 * float(torch.cat([one.forces for some in tests.values() for one in some]).square().mean().sqrt())
    print(learned)
    if arguments.no_record:
        return
    for row, name, what in (
        ("B11", "all", "all test frames"),
        ("B11a", "boxes", "100 periodic boxes of 8 ions, 10 to 12 Å"),
        ("B11b", "clusters", "100 clusters of 6 ions within 18 Å"),
    ):
        record(
            id=row,
            value=errors["charged"][name],
            unit="meV/Å",
            peer="the same network without long-range charges, trained alike",
            peer_value=errors["short"][name],
            protocol=(
                f"force RMSE on {what}; labels: +-0.8 e point charges (Ewald) and Lennard-Jones; network of cutoff 4 Å,"
                f" two layers, 16 channels, l = 1, float32, {facts['charged']['frames']['training']} training frames,"
                f" {arguments.epochs} epochs ({facts['charged']['cpu_seconds']:.0f} s of one core, without charges"
                f" {facts['short']['cpu_seconds']:.0f} s)"
            ),
            note=f"{learned}; force RMS of all test labels {rms:.0f} meV/Å",
            data_sha256=None,
            seed=0,
        )


if __name__ == "__main__":
    main()
