"""Write the small checkpoint that pins the present format version: once per version, never again for an old one.

    python tests/potentials/checkpoints/write_checkpoint.py

Copper and aluminium cells, rattled and labelled by EMT, and their free atoms train a tiny network for a few epochs;
`expected.json` keeps what it answers, so that later versions of the program can be held to it.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import DESCRIPTION, FORMAT_VERSION, WEIGHTS, load_checkpoint
from potentials.config import parse_config
from potentials.training import train_potential
from potentials.training_config import PotentialTrainingConfig

FOLDER = Path(__file__).parent / f"v{FORMAT_VERSION}"


def main() -> None:
    """Train, copy the two files of the checkpoint, and write down its answers."""
    if FOLDER.exists():
        raise SystemExit(f"{FOLDER} exists: a checkpoint of a released version is never rewritten")
    frames = []
    for number in range(60):
        generator = np.random.default_rng(number)
        atoms = bulk(("Cu", "Al")[number % 2], cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(0, 0.1, (4, 3))
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    for symbol in ("Cu", "Al"):
        atoms = Atoms(symbol, calculator=EMT())
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=np.zeros((1, 3)))
        frames.append(atoms)
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch) / "train.xyz", frames, format="extxyz")
        values = {
            "name": f"cu-al-v{FORMAT_VERSION}",
            "out": f"{scratch}/out",
            "data": {"train": f"{scratch}/train.xyz", "labels": {"stress_key": "stress"}},
            "network": {"cutoff": 4.5, "channels": 8, "carried": [8, 8, 4]},
            "zbl": True,
            "pair_baseline": True,
            "train": {"epochs": 10, "batch_size": 4, "ema": 0.9, "warmup_steps": 5},
        }
        out = train_potential(parse_config(PotentialTrainingConfig, values, "write_checkpoint"))
        FOLDER.mkdir()
        for name in (WEIGHTS, DESCRIPTION):
            (FOLDER / name).write_bytes((out / name).read_bytes())
    potential = load_checkpoint(FOLDER)
    systems = []
    for element, rattle, seed in (("Cu", 0.0, 0), ("Cu", 0.1, 1), ("Al", 0.1, 2)):
        atoms = bulk(element, cubic=True)
        atoms.rattle(rattle, seed=seed)
        answer = {key: value.tolist() for key, value in potential(collate([graph_from_atoms(atoms)])).items()}
        systems.append({"element": element, "rattle": rattle, "seed": seed, **answer, "energy": answer["energy"][0]})
    (FOLDER / "expected.json").write_text(json.dumps({"systems": systems}, indent=1) + "\n")


if __name__ == "__main__":
    main()
