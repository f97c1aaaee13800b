"""Relaxations per minute: many crystals at once against the usual loop of ASE FIRE over one after the other.

    python -m benchmarks.relaxation                     # 40 crystals built in code
    python -m benchmarks.relaxation --structures 20 --optimizer lbfgs
    python -m benchmarks.relaxation --pool generated.extxyz
    python -m benchmarks.relaxation --peer torchsim     # the same potential wrapped for TorchSim, its batched FIRE

Both sides start from the same structures, run CHGNet 0.3.0 on the same number of threads, and relax positions and
cell. The peer is what a user writes today: the chgnet package's own ASE calculator, `FrechetCellFilter` and ASE's
`FIRE`, which stops by its own criterion (generalised forces below fmax); ours must also bring the stress below smax.
TorchSim (to be importable beside Sorbus) gets the same potential, batches as large, and ASE's criterion as well.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from benchmarks.record import record
from potentials.potential import load_potential
from potentials.relaxation import Relaxed, relax
from potentials.structure_files import read_structures

IDS = {("ase", "fire"): "B7", ("ase", "lbfgs"): "B7a", ("torchsim", "fire"): "B7b", ("torchsim", "lbfgs"): "B7c"}
SALTS = ("LiF", "NaCl", "KBr", "MgO", "CaO", "SrO", "LiCl", "NaBr")
LENGTHS = (4.03, 5.64, 6.60, 4.21, 4.81, 5.16, 5.13, 5.97)  # Å, conventional cubic cells


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


def run_ours(structures: Sequence[Atoms], potential: str, options: dict[str, Any]) -> tuple[list[Relaxed], float]:
    """Relaxed structures and seconds, loading of the model left out."""
    model = load_potential(potential)
    start = time.perf_counter()
    results = relax(list(structures), model, **options)
    return results, time.perf_counter() - start


def run_peer(
    structures: Sequence[Atoms], fmax: float, max_steps: int
) -> tuple[list[tuple[float, int | None, bool]], float]:
    """Energy, steps and convergence of each, and seconds, for the ASE loop with the package's calculator."""
    from chgnet.model.dynamics import CHGNetCalculator

    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")
    results: list[tuple[float, int | None, bool]] = []
    start = time.perf_counter()
    for structure in structures:
        atoms = structure.copy()
        atoms.calc = calculator
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        converged = optimizer.run(fmax=fmax, steps=max_steps)
        results.append((float(atoms.get_potential_energy()), optimizer.nsteps, bool(converged)))
    return results, time.perf_counter() - start


def run_torchsim(
    structures: Sequence[Atoms], potential: str, fmax: float, max_steps: int, max_atoms: int, swap: int
) -> tuple[list[tuple[float, int | None, bool]], float]:
    """As `run_peer`, for TorchSim's FIRE with Frechet cells, converged systems leaving the batch; no step counts."""
    import torch_sim

    from potentials.torchsim_adapter import torchsim_model

    model = torchsim_model(potential)
    criterion = torch_sim.generate_force_convergence_fn(fmax, include_cell_forces=True)
    start = time.perf_counter()
    state = torch_sim.optimize(
        [atoms.copy() for atoms in structures],
        model,
        optimizer=torch_sim.frechet_cell_fire,
        convergence_fn=criterion,
        autobatcher=torch_sim.InFlightAutoBatcher(model, memory_scales_with="n_atoms", max_memory_scaler=max_atoms),
        max_steps=max_steps,
        steps_between_swaps=swap,
    )
    seconds = time.perf_counter() - start
    converged = criterion(state).tolist()
    return [(energy, None, done) for energy, done in zip(state.energy.tolist(), converged, strict=True)], seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=40, help="how many")
    parser.add_argument("--pool", help="structure file or folder to take them from instead of building them")
    parser.add_argument("--potential", default="chgnet-fast")
    parser.add_argument("--optimizer", default="fire", choices=["fire", "lbfgs"])
    parser.add_argument("--peer", default="ase", choices=["ase", "torchsim"])
    parser.add_argument("--swap", type=int, default=5, help="TorchSim's steps between convergence checks")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å")
    parser.add_argument("--smax", type=float, default=1e-3, help="eV/Å^3")
    parser.add_argument("--max-steps", type=int, default=500)
    parser.add_argument("--max-atoms", type=int, default=400, help="atoms per batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)

    if options.pool:
        results = [result for result in read_structures(options.pool) if result.error is None]
        structures = [result.atoms for result in results[: options.structures]]
    else:
        structures = distorted_salts(options.structures, options.seed)
    digest = hashlib.sha256(b"".join(atoms.positions.tobytes() + atoms.cell.array.tobytes() for atoms in structures))

    settings = {
        "fmax": options.fmax,
        "smax": options.smax,
        "max_steps": options.max_steps,
        "optimizer": options.optimizer,
        "max_atoms_per_batch": options.max_atoms,
    }
    ours, our_seconds = run_ours(structures, options.potential, settings)
    if options.peer == "ase":
        peer, peer_seconds = run_peer(structures, options.fmax, options.max_steps)
        steps = np.mean([number for _, number, _ in peer if number is not None])
        what, told = "chgnet calculator + ASE FIRE loop", f"ASE FIRE + FrechetCellFilter one by one, {steps:.0f} steps"
    else:
        limits = (options.fmax, options.max_steps, options.max_atoms, options.swap)
        peer, peer_seconds = run_torchsim(structures, options.potential, *limits)
        what = f"TorchSim {importlib.metadata.version('torch-sim-atomistic')}, the same potential wrapped"
        told = f"frechet_cell_fire, batches of {options.max_atoms} atoms, a check every {options.swap} steps"
    rate, peer_rate = 60 * len(structures) / our_seconds, 60 * len(structures) / peer_seconds
    lower = [result.energy - energy for result, (energy, _, _) in zip(ours, peer, strict=True) if result.energy]
    counts = [len(atoms) for atoms in structures]
    protocol = (
        f"{len(structures)} structures of {min(counts)}-{max(counts)} atoms, CHGNet 0.3.0, variable cell, fmax "
        f"{options.fmax} eV/Å; ours: {options.potential}, batched {options.optimizer}, smax {options.smax} eV/Å^3, "
        f"{sum(r.converged for r in ours)} converged in {np.mean([r.steps for r in ours]):.0f} steps on average; peer: "
        f"{what}, {told}, {sum(c for _, _, c in peer)} converged; median final energy difference "
        f"{1e3 * np.median(np.array(lower) / np.array(counts)):.2f} meV/atom; {options.threads} thread(s)"
    )
    print(protocol)
    print(f"ours {rate:.1f}, {what} {peer_rate:.1f} relaxations a minute: {rate / peer_rate:.1f} times faster")
    if not options.dry:
        record(
            id=IDS[options.peer, options.optimizer],
            value=round(rate, 2),
            unit="relaxations/min",
            protocol=protocol,
            data_sha256=digest.hexdigest(),
            seed=options.seed,
            peer=what,
            peer_value=round(peer_rate, 2),
            ratio=round(rate / peer_rate, 2),
        )


if __name__ == "__main__":
    main()
