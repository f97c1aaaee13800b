"""When to give a relaxing system up: geometries no neighbour list may see, answers no physics gives.

Each check looks at one system of a batch only, so one that breaks costs the others nothing.
"""

import torch
from torch import Tensor
from torch_geometric.data import Batch

from potentials.gate import GateLimits, geometry_fault, place_fault
from potentials.neighbours import bulk_heights

MAX_FORCE = 1e4  # eV/Å; beyond it a model is far outside anything it has learned
MAX_VOLUME_RATIO = 5.0  # of the volume to the initial one, either way
MAX_ENERGY_DROP = 30.0  # eV per atom below the start; no relaxation releases more, but holes of a model do
GATE_EVERY = 10  # steps between full checks of the distances


def geometry_explosions(
    batch: Batch, initial_volumes: list[float], steps: list[int], limits: GateLimits
) -> dict[int, str]:
    """Systems of a batch a step has made unfit for a neighbour list, with the reason.

    Args:
        batch: B systems after a move.
        initial_volumes: Å^3 [B]; 0 where a system is not periodic in three directions.
        steps: moves each has made; every `GATE_EVERY` of them distances are checked too.
        limits: of the gate.
    """
    faults: dict[int, str] = {}
    finite = torch.isfinite(batch.cell).flatten(1).all(1)
    finite[batch.batch[~torch.isfinite(batch.positions).all(1)]] = False
    heights = bulk_heights(batch.cell).amin(1).tolist()
    volumes = torch.linalg.det(batch.cell).abs().tolist()
    for k, (sound, step) in enumerate(zip(finite.tolist(), steps, strict=True)):
        bulk = initial_volumes[k] > 0
        ratio = volumes[k] / initial_volumes[k] if bulk else 1.0
        if not sound:
            faults[k] = f"positions became non-finite in step {step}: start from a saner geometry"
        elif bulk and heights[k] < limits.min_height:
            fell = f"cell height fell to {heights[k]:.3g} Å, below {limits.min_height:g} Å, in step {step}"
            faults[k] = f"{fell}: the cell collapsed"
        elif not 1 / MAX_VOLUME_RATIO < ratio < MAX_VOLUME_RATIO:
            faults[k] = f"volume went to {ratio:.3g} times the initial one in step {step}: the structure came apart"
        elif step and step % GATE_EVERY == 0:
            graph = batch[k]
            fault = geometry_fault(graph.numbers, graph.positions, graph.cell, graph.pbc, limits)
            if fault:
                faults[k] = place_fault(fault, f"step {step}")
    return faults


def answer_explosions(
    batch: Batch, energy: Tensor, forces: Tensor, stress: Tensor, initial_energies: list[float | None], steps: list[int]
) -> dict[int, str]:
    """Systems of a batch for which a potential's answer is absurd, with the reason.

    Args:
        batch: B systems with N atoms in all.
        energy: eV [B].
        forces: eV/Å [N, 3].
        stress: eV/Å^3 [B, 3, 3].
        initial_energies: eV [B], `None` before the first answer.
        steps: moves each has made.
    """
    faults: dict[int, str] = {}
    finite = torch.isfinite(energy) & torch.isfinite(stress).flatten(1).all(1)
    finite[batch.batch[~torch.isfinite(forces).all(1)]] = False
    fmax = largest_forces(batch, forces).tolist()
    counts = (batch.ptr[1:] - batch.ptr[:-1]).tolist()
    for k, (sound, start, step) in enumerate(zip(finite.tolist(), initial_energies, steps, strict=True)):
        drop = 0.0 if start is None else (start - float(energy[k])) / counts[k]
        if not sound:
            faults[k] = f"the potential returned non-finite values in step {step}: start from a saner geometry"
        elif fmax[k] > MAX_FORCE:
            faults[k] = f"a force of {fmax[k]:.3g} eV/Å exceeds {MAX_FORCE:g} eV/Å in step {step}: atoms are too close"
        elif drop > MAX_ENERGY_DROP:
            fell = f"the energy fell by {drop:.3g} eV per atom, more than {MAX_ENERGY_DROP:g} eV, by step {step}"
            faults[k] = f"{fell}: the potential is not valid there"
    return faults


def largest_forces(batch: Batch, forces: Tensor) -> Tensor:
    """Largest force on an atom of each system, eV/Å [B]."""
    strength = forces.norm(dim=1)
    return strength.new_zeros(batch.num_graphs).scatter_reduce_(0, batch.batch, strength, "amax")
