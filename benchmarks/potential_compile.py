"""Eager, exported and compiled, side by side: `python benchmarks/potential_compile.py`.

The network of B2 to B4 (random weights; the time does not depend on them), energy, forces and virials of ten 3BPA
molecules, float32, neighbour lists at hand, one thread, least process time of many calls. Records B5e: the AOTInductor
package against the eager model; B5f: `torch.compile` against the same; B5g, B5h: what making either costs, CPU seconds.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.record import record  # noqa: E402
from benchmarks.timing import least_seconds  # noqa: E402
from potentials.atom_graph import collate  # noqa: E402
from potentials.dataset import LabelConfig, read_frames  # noqa: E402
from potentials.export_potential import compiled_potential, export_potential  # noqa: E402
from potentials.exported_potential import TensorPotential, load_exported, padded_inputs  # noqa: E402
from potentials.files import data_root, sha256_file  # noqa: E402
from potentials.neighbours import neighbour_list  # noqa: E402
from potentials.network import NetworkConfig  # noqa: E402
from potentials.network_potential import EnergyModel, NetworkPotential  # noqa: E402

REPEATS = 12


def microseconds(call: Callable[[], object], atoms: int) -> float:
    """Least process time of some calls, µs an atom."""
    return 1e6 * least_seconds(call, REPEATS) / atoms


def cpu_seconds() -> float:
    """Of this process and of the compilers it started."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main() -> None:
    """Measure and record, the cheaper part first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-jit", action="store_true", help="leave torch.compile out")
    parser.add_argument("--folder", help="keep the exported potential here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = data_root() / "potentials/botnet/dataset_3BPA/train_300K.xyz.xz"
    batch = collate(read_frames(path, LabelConfig())[:10])
    model = EnergyModel(NetworkConfig(radial_hidden=0, body_order=3), {1: 0.0, 6: 0.0, 7: 0.0, 8: 0.0})
    neighbours = neighbour_list(batch, model.config.cutoff)
    model.calibrate(batch, neighbours)
    potential = NetworkPotential(model)
    atoms, edges = batch.num_nodes, neighbours.edge_index.shape[1]
    eager = microseconds(lambda: model(batch, neighbours), atoms)
    print(f"eager {eager:.0f} us/atom", flush=True)
    reference = potential(batch)
    inputs = padded_inputs(batch, model.species(batch.numbers), neighbours, 2 * model.config.cutoff)
    protocol = (
        f"3BPA x 10 ({atoms} atoms, {edges} edges, {inputs[2].numel()} slots), the network of B2 to B4, float32, one "
        f"thread, energy, forces and virials, neighbour list at hand, least process time of {REPEATS} calls"
    )
    common = {"data_sha256": sha256_file(path), "seed": 0}

    def compare(program: TensorPotential, id_time: str, id_cost: str, what: str, cost: float) -> None:
        error = float((program(batch)["forces"] - reference["forces"]).abs().max())
        spent = microseconds(lambda: program.program(*inputs), atoms)
        note = f"largest difference of a force component {error:.1e} eV/Å, largest force "
        note += f"{float(reference['forces'].abs().max()):.1f}"
        record(
            id=id_time, value=spent, unit="us/atom", peer="eager, same run", peer_value=eager, note=note,
            protocol=f"{what}: {protocol}", **common,
        )  # fmt: skip
        record(id=id_cost, value=cost, unit="CPU s", protocol=f"{what}: tracing, compiling, checking", **common)

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or scratch
        start = cpu_seconds()
        export_potential(potential, folder)
        cost = cpu_seconds() - start
        graph = load_exported(folder, compiled=False)
        with torch.no_grad():
            plain = microseconds(lambda: graph.program(*inputs), atoms)
        print(f"traced graph, not compiled: {plain:.0f} us/atom", flush=True)
        compare(load_exported(folder, compiled=True), "B5e", "B5g", "AOTInductor package", cost)
    if options.skip_jit:
        return
    start = cpu_seconds()
    program = compiled_potential(potential)
    program(batch)
    compare(program, "B5f", "B5h", "torch.compile, dynamic shapes", cpu_seconds() - start)


if __name__ == "__main__":
    main()
