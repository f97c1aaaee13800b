"""Settling a raw sample before its bonds are read: silica as spheres that fit together in one way only.

Silicon attracts oxygen at 1.61 Å; oxygens repel each other below the edge of a tetrahedron, silicons below the width
of a bridge. Four oxygens fit around a silicon and two silicons around an oxygen, a fifth or third does not, and two
tetrahedra that share an edge bring their silicons too close: the lowest energy is a corner-sharing framework. Which
one is decided by where the sample starts.
"""

from collections.abc import Sequence

import numpy as np
import torch
import vesin
from pymatgen.core import Lattice, Structure

from gen.crystals.gate import cell_heights
from gen.zeolites.framework import OXYGEN, SILICON
from gen.zeolites.geometry import BOND
from gen.zeolites.pair_batch import PairBatch, make_pair_batch
from potentials.cell_filter import displace, generalised_forces, lay_out
from potentials.fire import fire_init, fire_step

WELL, WIDTH = 1.6, 0.5  # eV and Å: depth and standard deviation of the attraction between Si and O beyond 1.61 Å
STIFF = 30.0  # eV/Å^2, of every repulsion
OXYGENS, SILICONS = 2.58, 3.0  # Å, closest O-O and Si-Si; regular tetrahedra at 145 degrees have 2.63 and 3.07
REACH = 3.6  # Å
REBUILD = 8  # steps


def settle(structures: Sequence[Structure], *, steps: int = 150, max_atoms: int = 1500) -> list[Structure]:
    """Move atoms and cells of SiO2 structures downhill; those that hold anything else come back as they are.

    A fixed number of steps of FIRE; a structure whose cell breaks on the way comes back as it was.
    """
    settled = list(structures)
    usable = [k for k, structure in enumerate(structures) if _usable(structure)]
    while usable:
        chosen: list[int] = []
        atoms = 0
        while usable and (not chosen or atoms + len(structures[usable[0]]) <= max_atoms):
            chosen.append(usable.pop(0))
            atoms += len(structures[chosen[-1]])
        for k, moved in zip(chosen, _settle([structures[k] for k in chosen], steps), strict=True):
            settled[k] = moved
    return settled


def _settle(structures: Sequence[Structure], steps: int) -> list[Structure]:
    batch = make_pair_batch(
        [structure.lattice.matrix for structure in structures], [structure.frac_coords for structure in structures]
    )
    numbers = torch.tensor([z for structure in structures for z in structure.atomic_numbers])
    layout = lay_out(batch, variable_cell=True)
    state = fire_init(len(layout.owner), len(structures))
    pairs = None
    for step in range(steps):
        if pairs is None or step % REBUILD == 0:
            pairs = _close_pairs(batch)
        first, second, shifts, system = pairs
        forces, stress = _forces(batch, numbers, first, second, shifts, system)
        moved, state = fire_step(state, generalised_forces(batch, layout, forces, stress), layout.owner)
        batch.positions, batch.cell = displace(batch, layout, moved)
    results = []
    for k, structure in enumerate(structures):
        cell = batch.cell[k].numpy().copy()
        positions = batch.positions[int(batch.ptr[k]) : int(batch.ptr[k + 1])].numpy()
        if not np.isfinite(cell).all() or not np.isfinite(positions).all() or cell_heights(cell).min() < 1.5:
            results.append(structure)
            continue
        frac = positions @ np.linalg.inv(cell)
        results.append(Structure(Lattice(cell), structure.species, frac, properties=structure.properties))
    return results


def _close_pairs(batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs within `REACH` of every structure: first [P], second [P], cell of the second [P, 3], structure [P]."""
    parts = []
    for k in range(batch.num_graphs):
        start, stop = int(batch.ptr[k]), int(batch.ptr[k + 1])
        cell, positions = batch.cell[k].numpy(), batch.positions[start:stop].numpy()
        if not np.isfinite(cell).all() or not np.isfinite(positions).all() or cell_heights(cell).min() < 1.0:
            continue
        finder = vesin.NeighborList(cutoff=REACH, full_list=False, n_threads=1)
        i, j, shifts = finder.compute(positions, cell, True, "ijS")
        parts.append((i.astype(np.int64) + start, j.astype(np.int64) + start, shifts, np.full(len(i), k)))
    first, second, shifts, system = (np.concatenate(column) for column in zip(*parts, strict=True))
    return (
        torch.from_numpy(first),
        torch.from_numpy(second),
        torch.from_numpy(shifts.astype(float)),
        torch.from_numpy(system),
    )


def _forces(
    batch: PairBatch,
    numbers: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    shifts: torch.Tensor,
    system: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forces [N, 3] eV/Å and stress [B, 3, 3] eV/Å^3."""
    vectors = batch.positions[second] - batch.positions[first] + torch.einsum("pi,pij->pj", shifts, batch.cell[system])
    lengths = vectors.norm(dim=1).clamp_min(1e-3)
    a, b = numbers[first], numbers[second]
    closest = torch.where(a != b, BOND, torch.where(a == OXYGEN, OXYGENS, SILICONS))
    beyond = lengths - closest
    slope = STIFF * beyond.clamp_max(0.0)  # dE/dr of the repulsions
    gaussian = WELL * torch.exp(-0.5 * (beyond / WIDTH) ** 2) * beyond / WIDTH**2
    slope = slope + torch.where((a != b) & (beyond > 0), gaussian, torch.zeros_like(gaussian))
    pull = (slope / lengths)[:, None] * vectors
    forces = torch.zeros_like(batch.positions).index_add_(0, first, pull).index_add_(0, second, -pull)
    virial = torch.zeros_like(batch.cell).index_add_(0, system, pull[:, :, None] * vectors[:, None, :])
    return forces, virial / torch.linalg.det(batch.cell).abs().clamp_min(1e-6)[:, None, None]


def _usable(structure: Structure) -> bool:
    numbers = list(structure.atomic_numbers)
    lattice = structure.lattice.matrix
    fits = set(numbers) <= {SILICON, OXYGEN} and numbers.count(OXYGEN) == 2 * numbers.count(SILICON)
    return fits and bool(np.isfinite(lattice).all()) and float(cell_heights(lattice).min()) >= 1.5
