"""The geometry a silica net wants: distance least squares with atoms and cell free.

Every tetrahedron should be regular with bonds of 1.61 Å, every bridge Si-O-Si near 145 degrees, which are distances
between bonded silicon and oxygen, between oxygens of one tetrahedron and between bonded silicons (Meier, Villiger,
Z. Kristallogr. 1969, 129, 411; weights after Baerlocher, Hepp, Meier, DLS-76, 1977). A soft repulsion keeps atoms that
are not bonded apart. Many frameworks are relaxed at once, with the optimiser of `potentials.relaxation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import vesin
from torch import Tensor

from gen.crystals.gate import cell_heights
from gen.zeolites.framework import Framework
from gen.zeolites.pair_batch import PairBatch, make_pair_batch
from potentials.cell_filter import displace, generalised_forces, lay_out
from potentials.lbfgs import lbfgs_init, lbfgs_step

BOND, ALUMINIUM_BOND = 1.61, 1.74  # Å, Si-O and Al-O
EDGE = (8 / 3) ** 0.5  # O-O of a regular tetrahedron, in bonds
ANGLE = 145.0  # degrees, Si-O-Si; 147 is the mean over silica zeolites, quartz has 144
# eV/Å^2. Relative weights are those of DLS-76 squared (2.0, 0.61, 0.23), the scale that of a silicate bond.
STIFF_BOND, STIFF_EDGE, STIFF_BRIDGE = 40.0, 6.0, 2.0
STIFF_CONTACT = 2.0
# Å, between atoms that no bond, edge or bridge joins; what dense silica polymorphs hardly go below
CONTACTS = {(8, 8): 3.0, (8, 14): 3.2, (14, 14): 3.6}
REACH = 4.6  # Å of the contact list, rebuilt every `REBUILD` steps
REBUILD = 15


@dataclass(frozen=True)
class Relaxed:
    """A framework after the least squares."""

    framework: Framework
    misfit: float  # Å, root mean square of the bonds about 1.61 Å (Si-O) and 1.74 Å (Al-O)
    strain: float  # eV per silicon, what is left of the sum of squares
    fmax: float  # eV/Å


@dataclass(frozen=True)
class _Pairs:
    """Distances with a target; indices into the atoms of the batch."""

    first: Tensor  # [P]
    second: Tensor  # [P]
    shifts: Tensor  # [P, 3] cells to add to the second
    system: Tensor  # [P]
    target: Tensor  # [P] Å
    stiffness: Tensor  # [P] eV/Å^2
    one_sided: Tensor  # [P] bool: felt only when shorter than the target


def relax_geometry(
    frameworks: Sequence[Framework],
    *,
    angles: Sequence[float] | None = None,
    aluminium: Sequence[np.ndarray] | None = None,
    steps: int = 300,
    fmax: float = 0.02,
    max_atoms: int = 2000,
) -> list[Relaxed]:
    """Relax atoms and cells of frameworks by distance least squares; bonds are kept as given.

    Args:
        angles: Si-O-Si each framework is drawn towards, degrees; `ANGLE` by default.
        aluminium: [T] bool of each framework, tetrahedra that are aluminium and have longer bonds; none by default.
        steps: of the optimiser, at most.
        fmax: eV/Å at which a framework is done.
        max_atoms: atoms that are moved together.

    Returns:
        One result a framework, in order. One that cannot be realised comes back with a large misfit.
    """
    targets = list(angles) if angles is not None else [ANGLE] * len(frameworks)
    masks = aluminium if aluminium is not None else [np.zeros(f.n_silicon, dtype=bool) for f in frameworks]
    bonds = [np.where(mask, ALUMINIUM_BOND, BOND) for mask in masks]
    results: list[Relaxed] = []
    start = 0
    while start < len(frameworks):
        stop, atoms = start + 1, 3 * frameworks[start].n_silicon
        while stop < len(frameworks) and atoms + 3 * frameworks[stop].n_silicon <= max_atoms:
            atoms += 3 * frameworks[stop].n_silicon
            stop += 1
        results += _relax_batch(frameworks[start:stop], targets[start:stop], bonds[start:stop], steps, fmax)
        start = stop
    return results


def _relax_batch(
    frameworks: Sequence[Framework], angles: Sequence[float], bonds: Sequence[np.ndarray], steps: int, fmax: float
) -> list[Relaxed]:
    """A framework that is done is written down at once, so that its result does not depend on its company.

    `bonds` are the lengths [T] Å each framework's tetrahedra want.
    """
    batch = make_pair_batch([f.lattice for f in frameworks], [f.frac for f in frameworks])
    layout = lay_out(batch, variable_cell=True)
    state = lbfgs_init(len(layout.owner), len(frameworks))
    bonded = _bonded(frameworks, angles, bonds, batch)
    joined = [_joined(framework) for framework in frameworks]
    contacts = _contacts(batch, frameworks, joined)
    done: dict[int, Relaxed] = {}
    for step in range(steps + 1):
        if step % REBUILD == 0 and step:
            contacts = _contacts(batch, frameworks, joined)
        energy, forces, stress = _energy(batch, [bonded, contacts])
        largest = torch.zeros(len(frameworks), dtype=torch.float64)
        largest.scatter_reduce_(0, batch.batch, forces.norm(dim=1), "amax")
        for k in torch.nonzero((largest < fmax) | (step == steps)).flatten().tolist():
            if k not in done:
                done[k] = _result(batch, k, frameworks[k], bonds[k], float(energy[k]), float(largest[k]))
        if len(done) == len(frameworks):
            break
        moved, state = lbfgs_step(state, generalised_forces(batch, layout, forces, stress), layout.owner)
        batch.positions, batch.cell = displace(batch, layout, moved)
    return [done[k] for k in range(len(frameworks))]


def _bonded(
    frameworks: Sequence[Framework], angles: Sequence[float], bonds: Sequence[np.ndarray], batch: PairBatch
) -> _Pairs:
    """Bonds, edges of tetrahedra and bridges, all two-sided."""
    parts = []
    for k, (framework, angle, bond) in enumerate(zip(frameworks, angles, bonds, strict=True)):
        ends = bond[framework.silicon]  # [2T, 2]
        bridge = np.sqrt((ends**2).sum(1) - 2 * ends.prod(1) * np.cos(np.radians(angle)))
        targets = (ends.ravel(), np.repeat(EDGE * bond, 6), bridge)
        for (first, second, shifts), target, stiffness in zip(
            bonded_pairs(framework), targets, (STIFF_BOND, STIFF_EDGE, STIFF_BRIDGE), strict=True
        ):
            parts.append(_table(first, second, shifts, k, int(batch.ptr[k]), target, stiffness, one_sided=False))
    return _join(parts)


def bonded_pairs(framework: Framework) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Bonds O-Si, edges O-O and bridges Si-Si of a framework, each as (first, second, cell of the second).

    Bonds follow the oxygens, two each, and edges the silicons, six each.
    """
    count = framework.n_silicon
    oxygens = np.arange(2 * count) + count
    bonds = (np.repeat(oxygens, 2), framework.silicon.ravel(), framework.images.reshape(-1, 3))
    # seen from a silicon, an oxygen lies in minus the cell the oxygen sees the silicon in
    order = np.argsort(bonds[1], kind="stable").reshape(count, 4)
    first, second = np.triu_indices(4, 1)
    a, b = order[:, first].ravel(), order[:, second].ravel()
    edges = (bonds[0][a], bonds[0][b], bonds[2][a] - bonds[2][b])
    pairs, cells = framework.edges()
    return bonds, edges, (pairs[:, 0], pairs[:, 1], cells)


def _joined(framework: Framework) -> np.ndarray:
    """Codes of all bonded pairs in both directions, to be left out of the contacts."""
    codes = []
    for first, second, shifts in bonded_pairs(framework):
        codes += [_codes(first, second, shifts), _codes(second, first, -shifts)]
    return np.concatenate(codes)


def _codes(first: np.ndarray, second: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """One number for each (atom, atom, cell); cells up to 15 away."""
    cell = (shifts.astype(np.int64) + 16) @ np.array([1024, 32, 1])
    return (first.astype(np.int64) * 100_000 + second) * 32_768 + cell


def _contacts(batch: PairBatch, frameworks: Sequence[Framework], joined: Sequence[np.ndarray]) -> _Pairs:
    """Pairs within `REACH` that nothing joins."""
    parts = []
    for k, framework in enumerate(frameworks):
        start, stop = int(batch.ptr[k]), int(batch.ptr[k + 1])
        cell = batch.cell[k].numpy()
        if not np.isfinite(cell).all() or float(cell_heights(cell).min()) < 1.0:
            continue  # lost: the misfit will say so
        finder = vesin.NeighborList(cutoff=REACH, full_list=False, n_threads=1)
        i, j, shifts, lengths = finder.compute(batch.positions[start:stop].numpy(), cell, True, "ijSd")
        kinds = framework.numbers
        limit = np.select(
            [(kinds[i] == 8) & (kinds[j] == 8), (kinds[i] == 14) & (kinds[j] == 14)],
            [CONTACTS[8, 8], CONTACTS[14, 14]],
            CONTACTS[8, 14],
        )
        near = lengths < limit + (REACH - max(CONTACTS.values()))
        loose = near & ~np.isin(_codes(i, j, shifts), joined[k])
        parts.append(_table(i[loose], j[loose], shifts[loose], k, start, limit[loose], STIFF_CONTACT, one_sided=True))
    return _join(parts)


def _table(
    first: np.ndarray,
    second: np.ndarray,
    shifts: np.ndarray,
    system: int,
    start: int,
    target: float | np.ndarray,
    stiffness: float,
    *,
    one_sided: bool,
) -> _Pairs:
    size = len(first)
    return _Pairs(
        first=torch.from_numpy(np.asarray(first, dtype=np.int64)) + start,
        second=torch.from_numpy(np.asarray(second, dtype=np.int64)) + start,
        shifts=torch.from_numpy(np.asarray(shifts, dtype=float).reshape(-1, 3)),
        system=torch.full((size,), system),
        target=torch.from_numpy(np.broadcast_to(np.asarray(target, dtype=float), (size,)).copy()),
        stiffness=torch.full((size,), stiffness, dtype=torch.float64),
        one_sided=torch.full((size,), one_sided),
    )


def _join(parts: Sequence[_Pairs]) -> _Pairs:
    if not parts:
        empty = np.zeros(0)
        return _table(empty, empty, np.zeros((0, 3)), 0, 0, 0.0, 0.0, one_sided=True)
    return _Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in _Pairs.__dataclass_fields__))


def _energy(batch: PairBatch, tables: Sequence[_Pairs]) -> tuple[Tensor, Tensor, Tensor]:
    """Energy [B] eV, forces [N, 3] eV/Å and stress [B, 3, 3] eV/Å^3 of sums of k (d - d0)^2 / 2."""
    energy = batch.positions.new_zeros(batch.num_graphs)
    forces = torch.zeros_like(batch.positions)
    virial = batch.positions.new_zeros(batch.num_graphs, 3, 3)
    for table in tables:
        offsets = torch.einsum("pi,pij->pj", table.shifts, batch.cell[table.system])
        vectors = batch.positions[table.second] - batch.positions[table.first] + offsets
        lengths = vectors.norm(dim=1).clamp_min(1e-6)
        off = lengths - table.target
        off = torch.where(table.one_sided, off.clamp_max(0.0), off)
        energy.index_add_(0, table.system, 0.5 * table.stiffness * off**2)
        pull = (table.stiffness * off / lengths)[:, None] * vectors  # force on the first
        forces.index_add_(0, table.first, pull)
        forces.index_add_(0, table.second, -pull)
        virial.index_add_(0, table.system, pull[:, :, None] * vectors[:, None, :])
    volume = torch.linalg.det(batch.cell).abs().clamp_min(1e-6)
    return energy, forces, virial / volume[:, None, None]


def _result(batch: PairBatch, k: int, framework: Framework, bonds: np.ndarray, energy: float, fmax: float) -> Relaxed:
    start, stop = int(batch.ptr[k]), int(batch.ptr[k + 1])
    cell, positions = batch.cell[k].numpy().copy(), batch.positions[start:stop].numpy()
    if not (np.isfinite(cell).all() and np.isfinite(positions).all()) or abs(np.linalg.det(cell)) < 1e-3:
        return Relaxed(framework, float("inf"), float("inf"), float("inf"))
    moved = replace(framework, lattice=cell, frac=positions @ np.linalg.inv(cell))
    misfit = float(np.sqrt(((bond_lengths(moved) - bonds[framework.silicon].ravel()) ** 2).mean()))
    return Relaxed(moved, misfit, energy / framework.n_silicon, fmax)


def bond_lengths(framework: Framework) -> np.ndarray:
    """[4T] Å."""
    first, second, shifts = bonded_pairs(framework)[0]
    vectors = framework.frac[second] + shifts - framework.frac[first]
    return np.linalg.norm(vectors @ framework.lattice, axis=1)
