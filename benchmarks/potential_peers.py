"""Energy and forces beside NequIP and MACE, each in its own environment, same machine, same systems, in turn.

    python benchmarks/potential_peers.py --nequip envs/nequip/bin/python --mace envs/mace/bin/python

Make the environments with `python -m venv envs/nequip` and `pip install torch nequip` (mace-torch) there. One thread,
float32, neighbour lists at hand, least process time of many calls in each of some rounds. Every side runs in each way
it supports on a CPU (eager or scripted, and compiled), and its fastest counts; `--kinds` names those to run. Programs
compiled ahead of time are kept in `--folder` (minutes each). Records B5a (3BPA x 10), B5b (64 crystals of 20 atoms,
with stress), B6 (water, 513 atoms) against NequIP, B5c, B5d, B6a against MACE, and B8, B8a: what a call adds to memory.
"""

import argparse
import json
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

from benchmarks.peer_worker import added_kib  # noqa: E402
from benchmarks.record import record  # noqa: E402
from potentials.atom_graph import AtomGraph, collate, graph_from, graph_from_atoms  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.errors import InputError  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.neighbours import neighbour_list  # noqa: E402
from potentials.network import NetworkConfig  # noqa: E402
from potentials.network_potential import EnergyModel, NetworkPotential  # noqa: E402

MOLECULES = Path("potentials/botnet/dataset_3BPA/train_300K.xyz.xz")
ELEMENTS = (1, 6, 7, 8, 22, 38)  # of all systems
KINDS = {"ours": ["ours", "ours-aot"], "nequip": ["nequip", "nequip-aot"], "mace": ["mace", "mace-compiled"]}
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


def ours(path: Path, kind: str, folder: Path) -> dict[str, Any]:
    """Time the network of B2 to B4; in a process of its own so that memory is comparable."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]);"
        "from benchmarks.potential_peers import time_ours;"
        "print(json.dumps(time_ours(sys.argv[2], int(sys.argv[3]), sys.argv[4])))"
    )
    exported = str(folder / "sorbus") if kind == "ours-aot" else ""
    command = [sys.executable, "-c", code, str(ROOT), str(path), str(REPEATS), exported]
    if exported and not (folder / "sorbus").is_dir():
        _ask(command)  # compiles
    return _ask(command)


def network(batch: Any, neighbours: Any) -> EnergyModel:
    """The network of B2 to B4 for all elements of the systems here, random weights, frozen."""
    torch.manual_seed(0)
    model = EnergyModel(NetworkConfig(radial_hidden=0, body_order=3), dict.fromkeys(ELEMENTS, 0.0))
    model.calibrate(batch, neighbours)
    return model.requires_grad_(False)


def time_ours(path: str, repeats: int, exported: str) -> dict[str, Any]:
    """Least process time of the network of B2 to B4 on the systems of a file, compiled if `exported` names a folder."""
    from potentials.atom_graph import make_graph
    from potentials.export_potential import export_potential
    from potentials.exported_potential import load_exported, padded_inputs
    from potentials.neighbours import Neighbours

    torch.set_num_threads(1)
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
    stress = bool(arrays["stress"])
    model = network(batch, neighbours)
    if exported and not Path(exported).is_dir():
        export_potential(NetworkPotential(model), exported)
    if exported:
        program = load_exported(exported, compiled=True).program
        inputs = padded_inputs(batch, model.species(batch.numbers), neighbours, 2 * model.config.cutoff)

    def call() -> None:
        if exported:
            with torch.no_grad():
                program(*inputs)
        else:
            model(batch, neighbours, stress=stress)

    call()
    memory = added_kib(call)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return {
        "seconds": min(times),
        "calls": repeats,
        "memory_kib": memory,
        "weights": sum(p.numel() for p in model.parameters()),
        "version": f"torch {torch.__version__}",
        "what": "Sorbus's network of B2 to B4: 64 channels, l = 2, carries 64 + 64x1 + 32x2, two layers, body order 3, "
        f"linear radial functions, {'AOTInductor package' if exported else 'eager'}, float32.",
    }


def measure(kind: str, path: Path, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One way of running one side on the systems of a file.

    Raises:
        InputError: it does not run; with the last line of what it said.
    """
    if kind.startswith("ours"):
        return ours(path, kind, folder)
    python = arguments.nequip if kind.startswith("nequip") else arguments.mace
    command = [python, str(Path(__file__).with_name("peer_worker.py")), kind, str(path), str(REPEATS), str(BUDGET)]
    if kind == "nequip-aot":
        program = folder / "nequip.pt2"
        command.append(str(program))
        if not program.is_file():
            _ask(command)  # compiles
    return _ask(command)


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
    every = [kind for kinds in KINDS.values() for kind in kinds]
    parser.add_argument("--kinds", nargs="+", choices=every, default=every, help="ways to run each side")
    parser.add_argument("--folder", default="runs/benchmarks/compiled", help="where compiled programs are kept")
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids = {
        "3BPA x 10": {"nequip": "B5a", "mace": "B5c"},
        "64 crystals of 20 atoms": {"nequip": "B5b", "mace": "B5d"},
        "water, 513 atoms": {"nequip": "B6", "mace": "B6a"},
    }
    memory_ids = {"nequip": "B8", "mace": "B8a"}
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            make, stress = SYSTEMS[name]
            graphs = make()
            atoms = sum(len(graph.numbers) for graph in graphs)
            path = Path(scratch) / "systems.npz"
            write_systems(path, graphs, 5.0, stress)
            found: dict[str, dict[str, Any]] = {}
            failed: dict[str, str] = {}
            for _ in range(arguments.rounds):  # in turn, so that other work on the machine meets all alike
                for kind in [kind for kind in arguments.kinds if kind not in failed]:
                    try:
                        answer = measure(kind, path, arguments, folder)
                    except InputError as error:
                        failed[kind] = str(error)
                        print(f"{name}: {kind} failed: {error}", flush=True)
                        continue
                    print(f"{name}: {kind} {1e6 * answer['seconds'] / atoms:.0f} us/atom", flush=True)
                    if kind not in found or answer["seconds"] < found[kind]["seconds"]:
                        found[kind] = answer
            best = {}
            for side, kinds in KINDS.items():
                tried = [found[kind] for kind in kinds if kind in found]
                if not tried:
                    raise InputError(f"no way of running {side} worked: {failed}")
                best[side] = min(tried, key=lambda answer: answer["seconds"])
            others = "; ".join(
                [f"{kind} {1e6 * answer['seconds'] / atoms:.0f} us/atom" for kind, answer in found.items()]
                + [f"{kind} failed: {reason[:150]}" for kind, reason in failed.items()]
            )
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
                    f"{REPEATS}) in each of {arguments.rounds} round(s) in turn, each in its fastest way; "
                    f"{best['ours']['what']} {best['ours']['weights']} weights. Weights are random: this is speed "
                    "alone. Memory: peak of a call less what was held before it"
                )
                note = f"all ways tried: {others}"
                common = {"protocol": protocol, "data_sha256": digest, "seed": 0, "peer": peer, "note": note}
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
