"""Energy and forces beside NequIP and MACE, each in its own environment, same machine, same systems, in turn.

    python benchmarks/potential_peers.py --nequip envs/nequip/bin/python --mace envs/mace/bin/python

Make the environments with `python -m venv envs/nequip` and `pip install torch nequip` (mace-torch) there. One thread,
float32, neighbour lists at hand, least process time of many calls in each of some rounds. Records B5a (3BPA x 10),
B5b (64 crystals of 20 atoms, with stress), B6 (water, 513 atoms) against NequIP, B5c, B5d, B6a against MACE, and B8,
B8a: memory a call adds in water.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from pymatgen.core import Lattice, Structure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from potentials.atom_graph import AtomGraph, collate, graph_from, graph_from_atoms  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.errors import InputError  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.neighbours import neighbour_list  # noqa: E402
from potentials.network import NetworkConfig  # noqa: E402
from potentials.network_potential import EnergyModel  # noqa: E402

MOLECULES = Path("potentials/botnet/dataset_3BPA/train_300K.xyz.xz")
REPEATS = 12
BUDGET = 25.0  # CPU seconds of timed calls in a round, after which no new one starts (three are made at least)


def molecules() -> list[AtomGraph]:
    """Ten 3BPA molecules."""
    return list(read_frames(data_root() / MOLECULES, LabelConfig())[:10])


def crystals() -> list[AtomGraph]:
    """64 rattled strontium titanate supercells of 20 atoms."""
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    graphs = []
    for number in range(64):
        structure = cell * (2, 2, 1)
        shifts = np.random.default_rng([0, number]).normal(0, 0.05, (20, 3))
        moved = structure.cart_coords + shifts
        graphs.append(graph_from(Structure(structure.lattice, structure.species, moved, coords_are_cartesian=True)))
    return graphs


def water() -> list[AtomGraph]:
    """171 water molecules (513 atoms) on a grid at 1 g/cm^3, turned at random."""
    side = (171 * 18.015 / 0.6022) ** (1 / 3)  # Å
    rng = np.random.default_rng(0)
    places = np.array(np.meshgrid(*3 * [np.arange(6)])).reshape(3, -1).T[:171] * side / 6
    atoms = Atoms(cell=[side] * 3, pbc=True)
    for place in places:
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3))
        one.positions += place - one.positions.mean(0)
        atoms += one
    return [graph_from_atoms(atoms)]


SYSTEMS = {
    "3BPA x 10": (molecules, False),
    "64 crystals of 20 atoms": (crystals, True),
    "water, 513 atoms": (water, False),
}


def write_systems(path: Path, graphs: list[AtomGraph], cutoff: float, stress: bool) -> None:
    """Positions, species and the neighbour list of a batch, as arrays."""
    batch = collate(graphs)
    found = neighbour_list(batch, cutoff)
    np.savez(
        path,
        positions=batch.positions.numpy(),
        numbers=batch.numbers.numpy(),
        cell=batch.cell.numpy(),
        pbc=batch.pbc.numpy(),
        batch=batch.batch.numpy(),
        edge_index=found.edge_index.numpy(),
        shifts=found.shifts.numpy(),
        stress=np.array(stress),
    )


def ours(path: Path) -> dict[str, Any]:
    """Time the network of B2 to B4; run in a process of its own so that memory is comparable."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]);"
        "from benchmarks.potential_peers import time_ours; print(json.dumps(time_ours(sys.argv[2], int(sys.argv[3]))))"
    )
    return _ask([sys.executable, "-c", code, str(ROOT), str(path), str(REPEATS)])


def time_ours(path: str, repeats: int) -> dict[str, Any]:
    """Least process time of the network of B2 to B4 on the systems of a file."""
    from potentials.atom_graph import make_graph
    from potentials.neighbours import Neighbours

    torch.set_num_threads(1)
    torch.manual_seed(0)
    with np.load(path) as stored:
        arrays = dict(stored)
    graphs = []
    for index in range(len(arrays["cell"])):
        mine = arrays["batch"] == index
        graphs.append(
            make_graph(arrays["numbers"][mine], arrays["positions"][mine], arrays["cell"][index], arrays["pbc"][index])
        )
    batch = collate(graphs)
    edges = torch.from_numpy(arrays["edge_index"])
    neighbours = Neighbours(edges, torch.from_numpy(arrays["shifts"]), batch.batch[edges[0]])
    model = EnergyModel(
        NetworkConfig(radial_hidden=0, body_order=3), {int(z): 0.0 for z in np.unique(arrays["numbers"])}
    )
    model.calibrate(batch, neighbours)
    model.requires_grad_(False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(repeats + 3):
        start = time.process_time()
        model(batch, neighbours, stress=bool(arrays["stress"]))
        times.append(time.process_time() - start)
    return {
        "seconds": min(times[3:]),
        "memory_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
        "weights": sum(p.numel() for p in model.parameters()),
        "version": f"torch {torch.__version__}",
        "what": "Sorbus's network of B2 to B4: 64 channels, l = 2, carries 64 + 64x1 + 32x2, two layers, body order 3, "
        "linear radial functions, eager, float32.",
    }


def _ask(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{Path(command[0]).parent.parent.name} failed: {done.stderr.strip().splitlines()[-1:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nequip", required=True, help="interpreter of an environment with nequip")
    parser.add_argument("--mace", required=True, help="interpreter of an environment with mace-torch")
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), help="systems to measure")
    parser.add_argument("--rounds", type=int, default=2, help="of ours, NequIP and MACE in turn")
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    worker = str(Path(__file__).with_name("peer_worker.py"))
    ids = {
        "3BPA x 10": {"nequip": "B5a", "mace": "B5c"},
        "64 crystals of 20 atoms": {"nequip": "B5b", "mace": "B5d"},
        "water, 513 atoms": {"nequip": "B6", "mace": "B6a"},
    }
    memory_ids = {"nequip": "B8", "mace": "B8a"}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            make, stress = SYSTEMS[name]
            graphs = make()
            atoms = sum(len(graph.numbers) for graph in graphs)
            path = Path(folder) / "systems.npz"
            write_systems(path, graphs, 5.0, stress)
            limits = [str(path), str(REPEATS), str(BUDGET)]
            best: dict[str, dict[str, Any]] = {}
            for _ in range(arguments.rounds):  # in turn, so that other work on the machine meets all alike
                answers = {
                    "ours": ours(path),
                    "nequip": _ask([arguments.nequip, worker, "nequip", *limits]),
                    "mace": _ask([arguments.mace, worker, "mace", *limits]),
                }
                print({key: 1e6 * answer["seconds"] / atoms for key, answer in answers.items()}, flush=True)
                for key, answer in answers.items():
                    if key not in best or answer["seconds"] < best[key]["seconds"]:
                        best[key] = answer
            for key, answer in best.items():
                micro, kib = 1e6 * answer["seconds"] / atoms, answer["memory_kib"] / atoms
                print(f"{name}: {key} {micro:.0f} us/atom, {kib:.0f} KiB/atom")
            if arguments.no_record:
                continue
            digest = sha256_file(data_root() / MOLECULES) if name.startswith("3BPA") else None
            for key in ("nequip", "mace"):
                peer = f"{best[key]['what']} {best[key]['weights']} weights, {best[key]['version']}"
                measured = f"energy and forces{' and stress' if stress else ''}, neighbour lists at hand, one thread"
                protocol = (
                    f"{name}, {measured}, least process time of {best[key]['calls']} calls (ours: "
                    f"{REPEATS}) in each of {arguments.rounds} round(s) in turn; "
                    f"{best['ours']['what']} {best['ours']['weights']} weights. Weights are random: this is speed alone"
                )
                common = {"protocol": protocol, "data_sha256": digest, "seed": 0, "peer": peer}
                record(
                    id=ids[name][key],
                    value=1e6 * best["ours"]["seconds"] / atoms,
                    unit="us/atom",
                    peer_value=1e6 * best[key]["seconds"] / atoms,
                    **common,
                )
                if name.startswith("water"):
                    record(
                        id=memory_ids[key],
                        value=best["ours"]["memory_kib"] / atoms,
                        unit="KiB/atom",
                        peer_value=best[key]["memory_kib"] / atoms,
                        **common,
                    )


if __name__ == "__main__":
    main()
