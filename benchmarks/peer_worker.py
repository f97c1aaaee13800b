"""Time a peer's network in the peer's own environment: called by `benchmarks/potential_peers.py`, not by hand.

    envs/nequip/bin/python benchmarks/peer_worker.py nequip systems.npz 12 25
    envs/nequip/bin/python benchmarks/peer_worker.py nequip-aot systems.npz 12 25 nequip.pt2
    envs/mace/bin/python benchmarks/peer_worker.py mace-compiled systems.npz 12 25

Twelve timed calls at most, no new one once they took 25 s (three at least). `nequip-aot` makes the file it is given if
there is none, which takes minutes, and is then to be called again. Prints one JSON line. The systems carry their
neighbour lists, so that nothing but the network is timed.
"""

import ctypes
import importlib.metadata
import json
import pathlib
import sys
import time

import numpy as np
import torch


def nequip_network(numbers, arrays):
    """NequIP's network and the data it takes."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    symbols = [f"E{z}" for z in numbers]
    model = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=symbols,
        r_max=5.0,
        num_layers=4,
        l_max=2,
        parity=False,
        num_features=32,
        avg_num_neighbors=arrays["edge_index"].shape[1] / len(arrays["numbers"]),
        per_type_energy_scales=1.0,
        per_type_energy_shifts=dict.fromkeys(symbols, 0.0),
    )
    index = {z: i for i, z in enumerate(numbers)}

    def data():
        return {
            "pos": torch.from_numpy(arrays["positions"]),
            "atom_types": torch.tensor([index[z] for z in arrays["numbers"]]),
            "edge_index": torch.from_numpy(arrays["edge_index"]),
            "cell": torch.from_numpy(arrays["cell"]),
            "edge_cell_shift": torch.from_numpy(arrays["shifts"]).double(),
            "batch": torch.from_numpy(arrays["batch"]),
            "num_atoms": torch.from_numpy(np.bincount(arrays["batch"])),
            "pbc": torch.from_numpy(arrays["pbc"]),
        }

    return model, data


def nequip(numbers, arrays, stress):
    """NequIP: 4 layers, l = 2, 32 features, no odd-parity copies (the faster kind), eager, float32."""
    model, data = nequip_network(numbers, arrays)

    def call():
        return model(data())["forces"]

    return model, call


def nequip_aot(numbers, arrays, stress):
    """NequIP: 4 layers, l = 2, 32 features, no odd-parity copies, AOTInductor as nequip-compile makes it, float32."""
    from nequip.scripts._compile_utils import BATCH_TARGET as target

    numbers = [*numbers, *range(200, 204)][:4]  # one program serves all systems, none of which has more elements
    model, data = nequip_network(numbers, arrays)
    path = pathlib.Path(sys.argv[5])
    if not path.exists():
        from nequip.utils.aot import aot_export_model
        from torch.export import Dim

        sizes = {"graph": Dim("num_frames", min=2), "node": Dim("num_nodes", min=2), "edge": Dim("num_edges", min=2)}
        aot_export_model(model, "cpu", target["input"], target["output"], data(), sizes, str(path))
    program = torch._inductor.aoti_load_package(str(path))

    def call():
        given = data()
        with torch.inference_mode():
            answer = program([given[key] for key in target["input"]])
        return dict(zip(target["output"], answer, strict=True))["forces"]

    return model, call


def mace_network(numbers, arrays):
    """MACE's network and the data it takes."""
    torch.set_default_dtype(torch.float32)
    import mace.modules as modules
    from e3nn import o3

    model = modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        num_interactions=2,
        num_elements=len(numbers),
        hidden_irreps=o3.Irreps("128x0e + 128x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(numbers)),
        avg_num_neighbors=arrays["edge_index"].shape[1] / len(arrays["numbers"]),
        atomic_numbers=list(numbers),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    index = torch.tensor([list(numbers).index(z) for z in arrays["numbers"]])
    counts = np.bincount(arrays["batch"])
    cell = torch.from_numpy(arrays["cell"]).float()
    shifts = torch.from_numpy(arrays["shifts"]).float()
    batch = torch.from_numpy(arrays["batch"])
    edges = torch.from_numpy(arrays["edge_index"])

    def data():
        return {
            "positions": torch.from_numpy(arrays["positions"]).float(),
            "node_attrs": torch.nn.functional.one_hot(index, len(numbers)).float(),
            "edge_index": edges,
            "cell": cell.reshape(-1, 3),
            "unit_shifts": shifts,
            "shifts": torch.einsum("ei,eij->ej", shifts, cell[batch[edges[0]]]),
            "batch": batch,
            "ptr": torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
            "head": torch.zeros(len(counts), dtype=torch.long),
        }

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model, data


def mace(numbers, arrays, stress):
    """MACE: two layers, 128x0e + 128x1o, l = 3, correlation 3, scripted by e3nn as its calculator does, float32."""
    from e3nn.util import jit

    model, data = mace_network(numbers, arrays)
    scripted = jit.compile(model)

    def call():
        return scripted(data(), compute_stress=stress)["forces"]

    return model, call


def mace_compiled(numbers, arrays, stress):
    """MACE: two layers, 128x0e + 128x1o, l = 3, correlation 3, torch.compile as its calculator does, float32."""
    from mace.tools.compile import prepare
    from mace.tools.scripts_utils import extract_model

    model, data = mace_network(numbers, arrays)
    program = torch.compile(prepare(extract_model)(model=model, map_location="cpu"), mode="default", fullgraph=True)
    for parameter in program.parameters():
        parameter.requires_grad_(False)

    def call():
        given = data()
        for key in ("node_attrs", "positions"):
            given[key].requires_grad_(True)
        return program(given, compute_stress=stress, training=True)["forces"].detach()

    return model, call


KINDS = {"nequip": nequip, "nequip-aot": nequip_aot, "mace": mace, "mace-compiled": mace_compiled}


def added_kib(call):
    """What a call adds to the memory in use at its worst, KiB: peak less what was held before (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed and malloc kept would hide it
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (man 5 proc)
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def main():
    """Least process time of many calls, and the memory a call adds."""
    torch.set_num_threads(1)
    kind, path, repeats, budget = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with np.load(path) as stored:
        arrays = dict(stored)
    stress = bool(arrays.pop("stress"))
    numbers = sorted({int(z) for z in arrays["numbers"]})
    model, call = KINDS[kind](numbers, arrays, stress)
    call()
    memory = added_kib(call)
    times = []
    while len(times) < repeats and (len(times) < 3 or sum(times) < budget):
        start = time.process_time()
        forces = call()
        times.append(time.process_time() - start)
    assert bool(torch.isfinite(forces).all())
    package = {"nequip": "nequip", "mace": "mace-torch"}[kind.split("-")[0]]
    answer = {
        "seconds": min(times),
        "calls": len(times),
        "memory_kib": memory,
        "weights": sum(p.numel() for p in model.parameters()),
        "version": f"{package} {importlib.metadata.version(package)}, torch {torch.__version__}",
        "what": KINDS[kind].__doc__,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
