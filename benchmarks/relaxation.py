"""Relaxations per minute: many crystals at once against the usual loop of ASE FIRE, and against TorchSim.

    python -m benchmarks.relaxation run ours --pool runs/generated          # a folder of structure files
    python -m benchmarks.relaxation run ours --pool runs/generated --optimizer lbfgs
    python -m benchmarks.relaxation run ase --pool runs/generated --count 48      # a random part
    envs/torchsim/bin/python -m benchmarks.relaxation run torchsim --pool runs/generated --count 100
    python -m benchmarks.relaxation report
    python -m benchmarks.relaxation run ours --structures 12                # rock salts built in code instead of a pool

All sides start from the same structures, run CHGNet 0.3.0 on the same number of threads, and relax positions and cell;
process time is measured. The ASE side is what a user writes today: the chgnet package's own ASE calculator,
`FrechetCellFilter` and ASE's `FIRE`, which stops by its own criterion (generalised forces below fmax); ours must also
bring the stress below smax. TorchSim (in an environment that has it beside Sorbus) gets the same potential, batches as
large, and ASE's criterion as well. Peers may get a random part; the ratio is then that on the part.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import io
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from benchmarks.record import record
from potentials.potential import load_potential
from potentials.relaxation import relax
from potentials.structure_files import read_structures

IDS = {("ase", "fire"): "B7", ("ase", "lbfgs"): "B7a", ("torchsim", "fire"): "B7b", ("torchsim", "lbfgs"): "B7c"}
SALTS = ("LiF", "NaCl", "KBr", "MgO", "CaO", "SrO", "LiCl", "NaBr")
LENGTHS = (4.03, 5.64, 6.60, 4.21, 4.81, 5.16, 5.13, 5.97)  # Å, conventional cubic cells
TORCHSIM_SWAP = 5  # steps between its convergence checks, its default


def distorted_salts(count: int, seed: int) -> list[Atoms]:
    """Rock salts of 8 and 16 atoms with one cation replaced, strained by 5 % and rattled by 0.15 Å."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        atoms = bulk(SALTS[k % len(SALTS)], "rocksalt", LENGTHS[k % len(SALTS)], cubic=True)
        atoms.symbols[0] = ("Li", "Na", "K", "Mg", "Ca")[int(rng.integers(5))]
        if rng.random() < 0.5:
            atoms *= (2, 1, 1)
        strain = rng.normal(scale=0.05, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.15, size=atoms.positions.shape)
        found.append(atoms)
    return found


def run_ours(structures: Sequence[Atoms], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a structure; the seconds of all are on the first, loading of the model left out."""
    model = load_potential(options.potential)
    start = time.process_time()
    results = relax(
        list(structures),
        model,
        fmax=options.fmax,
        smax=options.smax,
        max_steps=options.max_steps,
        optimizer=options.optimizer,
        max_atoms_per_batch=options.max_atoms,
    )
    seconds = time.process_time() - start
    rows = [
        {"energy": r.energy, "steps": r.steps, "converged": r.converged, "restarts": r.restarts, "seconds": 0.0}
        for r in results
    ]
    rows[0]["seconds"] = seconds
    return rows


def run_ase(structures: Sequence[Atoms], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a structure, for the ASE loop with the package's calculator."""
    from chgnet.model.dynamics import CHGNetCalculator

    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")
    rows = []
    for structure in structures:
        atoms = structure.copy()
        atoms.calc = calculator
        start = time.process_time()
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        try:
            converged = bool(optimizer.run(fmax=options.fmax, steps=options.max_steps))
            energy = float(atoms.get_potential_energy())
        except KeyboardInterrupt:  # what is done is kept
            break
        seconds = time.process_time() - start
        rows.append({"energy": energy, "steps": optimizer.nsteps, "converged": converged, "seconds": seconds})
        print(f"{len(rows)} of {len(structures)}: {optimizer.nsteps} steps, {seconds:.1f} s", flush=True)
    return rows


def run_torchsim(structures: Sequence[Atoms], options: argparse.Namespace) -> list[dict[str, Any]]:
    """As `run_ours`, for TorchSim's FIRE with Frechet cells, converged systems leaving the batch; no step counts."""
    import torch_sim

    from potentials.torchsim_adapter import torchsim_model

    model = torchsim_model(options.potential)
    criterion = torch_sim.generate_force_convergence_fn(options.fmax, include_cell_forces=True)
    batcher = torch_sim.InFlightAutoBatcher(model, memory_scales_with="n_atoms", max_memory_scaler=options.max_atoms)
    start = time.process_time()
    state = torch_sim.optimize(
        [atoms.copy() for atoms in structures],
        model,
        optimizer=torch_sim.frechet_cell_fire,
        convergence_fn=criterion,
        autobatcher=batcher,
        max_steps=options.max_steps,
        steps_between_swaps=TORCHSIM_SWAP,
    )
    seconds = time.process_time() - start
    rows = [
        {"energy": energy, "steps": None, "converged": bool(done), "seconds": 0.0}
        for energy, done in zip(state.energy.tolist(), criterion(state).tolist(), strict=True)
    ]
    rows[0]["seconds"] = seconds
    return rows


SIDES = {"ours": run_ours, "ase": run_ase, "torchsim": run_torchsim}


def read_pool(options: argparse.Namespace) -> tuple[list[int], list[Atoms], str]:
    """Places, structures and the hash of all of the pool, of which a random part is taken if so asked."""
    if options.pool:
        found = [result.atoms for result in read_structures(options.pool) if result.error is None]
        structures = found[: options.structures]
    else:
        structures = distorted_salts(options.structures, options.seed)
    digest = hashlib.sha256(b"".join(atoms.positions.tobytes() + atoms.cell.array.tobytes() for atoms in structures))
    order = np.random.default_rng(options.seed).permutation(len(structures)).tolist()
    chosen = order[: options.count or len(order)]
    return chosen, [structures[k] for k in chosen], digest.hexdigest()


def run(options: argparse.Namespace) -> None:
    """Relax, and append one line with everything to the file of runs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    places, structures, digest = read_pool(options)
    rows = SIDES[options.side](structures, options)
    version = ""
    if options.side == "torchsim":
        version = importlib.metadata.version("torch-sim-atomistic")
    line = {
        **{key: value for key, value in vars(options).items() if key not in ("do", "out", "dry")},
        "digest": digest,
        "places": places[: len(rows)],
        "atoms": [len(atoms) for atoms in structures[: len(rows)]],
        "rows": rows,
        "version": version,
    }
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    seconds = sum(row["seconds"] for row in rows)
    print(f"{options.side}: {60 * len(rows) / seconds:.1f} a minute, {sum(r['converged'] for r in rows)} converged")


def report(options: argparse.Namespace) -> None:
    """Compare the last runs of each side and record what there is."""
    with open(options.out, encoding="utf-8") as stream:
        runs = [json.loads(line) for line in stream]
    for (peer, optimizer), name in IDS.items():
        theirs = [one for one in runs if one["side"] == peer]
        if not theirs:
            continue
        other = theirs[-1]
        mine = [
            one
            for one in runs
            if one["side"] == "ours" and one["optimizer"] == optimizer and one["digest"] == other["digest"]
        ]
        if not mine:
            print(f"{name}: ours with {optimizer} has not been run on these structures")
            continue
        ours, seconds = mine[-1], sum(row["seconds"] for row in mine[-1]["rows"])
        row_of = dict(zip(ours["places"], zip(ours["rows"], ours["atoms"], strict=True), strict=True))
        part = [row_of[place] for place in other["places"]]
        # force calls are what costs: the time ours took is shared out by atoms times force calls
        share = sum(work(*one) for one in part) / sum(work(*one) for one in row_of.values())
        rate, part_rate = 60 * len(row_of) / seconds, 60 * len(part) / (share * seconds)
        peer_rate = 60 * len(part) / sum(row["seconds"] for row in other["rows"])
        told = {key: [row[key] for row in other["rows"]] for key in ("energy", "steps", "converged")}
        steps = f" in {np.mean(told['steps']):.0f} steps on average" if peer == "ase" else ""
        differences = [
            1e3 * (row["energy"] - energy) / count
            for (row, count), energy in zip(part, told["energy"], strict=True)
            if row["energy"] is not None
        ]
        what = {
            "ase": "chgnet calculator + ASE FIRE loop",
            "torchsim": f"TorchSim {other['version']}, the same potential wrapped",
        }[peer]
        how = {
            "ase": "FrechetCellFilter, one after the other",
            "torchsim": f"frechet_cell_fire, batches of {other['max_atoms']} atoms, checks every {TORCHSIM_SWAP} steps",
        }[peer]
        source = "generated crystals (shipped weights)" if other["pool"] else "distorted rock salts"
        which = "all" if len(part) == len(row_of) else f"a random {len(part)}"
        protocol = (
            f"{len(row_of)} {source} of {min(ours['atoms'])}-{max(ours['atoms'])} atoms, CHGNet 0.3.0, "
            f"variable cell, fmax {ours['fmax']} eV/Å, at most {ours['max_steps']} steps, process time, one thread; "
            f"ours: {ours['potential']}, batched {optimizer}, smax {ours['smax']} eV/Å^3, {told_of(ours['rows'])}; "
            f"peer: {what}, {how}, on {which} of them, {sum(told['converged'])} converged{steps}; ours on these "
            f"{len(part)}: {part_rate:.1f} a minute (its time shared out by atoms times force calls), "
            f"{told_of([row for row, _ in part])}; the ratio is of these; final energies there: ours minus peer's "
            f"{np.median(differences):.2f} meV/atom in the median, {sum(d < -5 for d in differences)} lower and "
            f"{sum(d > 5 for d in differences)} higher by more than 5 (other minima), "
            f"{np.mean(differences):.0f} on average"
        )
        print(f"{name}: {protocol}\n  {rate:.1f}, on the part {part_rate:.1f}, peer {peer_rate:.1f} a minute")
        if not options.dry:
            record(
                id=name,
                value=round(rate, 2),
                unit="relaxations/min",
                protocol=protocol,
                data_sha256=other["digest"],
                seed=other["seed"],
                peer=what,
                peer_value=round(peer_rate, 2),
                ratio=round(part_rate / peer_rate, 2),
            )


def work(row: dict[str, Any], atoms: int) -> int:
    """Atoms times force calls of one of ours."""
    return atoms * (row["steps"] + 1)


def told_of(rows: list[dict[str, Any]]) -> str:
    """Convergence, steps and what the guard of L-BFGS did, in words."""
    turned = sum(row["restarts"] > 0 for row in rows)
    steps = np.mean([row["steps"] for row in rows])
    told = f"{sum(row['converged'] for row in rows)} converged in {steps:.0f} steps on average"
    return told + (f", {turned} turned back by the guard" if turned else "")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="do", required=True)
    runs = tasks.add_parser("run", help="one side")
    runs.add_argument("side", choices=list(SIDES))
    runs.add_argument("--structures", type=int, default=200, help="how many of the pool, or to build")
    runs.add_argument("--pool", help="structure file or folder to take them from instead of building them")
    runs.add_argument("--count", type=int, default=0, help="a random part of so many; 0 is all")
    runs.add_argument("--potential", default="chgnet-fast")
    runs.add_argument("--optimizer", default="fire", choices=["fire", "lbfgs"], help="ours")
    runs.add_argument("--fmax", type=float, default=0.05, help="eV/Å")
    runs.add_argument("--smax", type=float, default=1e-3, help="eV/Å^3")
    runs.add_argument("--max-steps", type=int, default=500)
    runs.add_argument("--max-atoms", type=int, default=400, help="atoms per batch")
    runs.add_argument("--seed", type=int, default=0)
    reports = tasks.add_parser("report", help="compare and record")
    for one in (runs, reports):
        one.add_argument("--out", default="runs/benchmarks/relaxation.jsonl", help="file of all runs")
    reports.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    {"run": run, "report": report}[options.do](options)


if __name__ == "__main__":
    main()
