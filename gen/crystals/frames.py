"""Exact constraints on a sample's geometry, as linear maps of displacement fields: space groups and fixed sites.

A crystal in a space group is a set of orbits: the coordinates of the first atom of each decide those of the others,
and on a special position only some of its displacements are allowed. All allowed displacement fields form a linear
space, onto which whatever the network proposes is projected; noise is drawn in it (as Jiao et al. 2024, DiffCSP++,
sec. 4.2, with the whole atom set instead of the representatives). The lattice is kept invariant through its metric.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gen.crystals.symmetry import niggli_cell
from gen.crystals.symmetry import space_group as space_group_of
from gen.crystals.wyckoff import Orbit, SpaceGroup, space_group

PROBES = 40  # draws of orbits before a combination counts as impossible
PROBE_SYMPREC = 1e-3  # Å
# typical c/a by crystal family and centring, and how far conventional axes differ: only used to choose a basis
SHAPE = {"tetragonal I": 1.7, "hexagonal R": 2.6, "hexagonal P": 1.4}
AXIS_SPREAD = 0.3


@dataclass(frozen=True)
class Frame:
    """What the geometry of one structure of N atoms is held to."""

    origin: Tensor  # [N, 3] float64 coordinates that satisfy the constraint
    move: Tensor  # [3N, 3N] projects a displacement field on the allowed ones, after the best overall shift
    spread: Tensor  # [3N, 3N] standard normal field to allowed noise, of unit variance along each free coordinate
    metric: Tensor  # [9, 9] projects L L^T on the invariant metrics
    leader: Tensor  # [N] int64: the atom whose species this one shares
    species: Tensor  # [N] int64 species index, -1 where the model chooses


class NoArrangement(Exception):
    """No set of orbits holds these atoms and has exactly this space group."""


def symmetric_frame(number: int, n_atoms: int, demands: Sequence[tuple[int, int]], generator: torch.Generator) -> Frame:
    """Draw orbits, coordinates and a basis for a structure of space group `number`.

    Args:
        number: 1 to 230.
        n_atoms: in the primitive cell.
        demands: (species index, atoms at least) of species that must occur; the rest is left to the model.
        generator: decides everything.

    Raises:
        NoArrangement: none was found in `PROBES` draws.
    """
    random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    group = space_group(number)
    for _ in range(PROBES):
        drawn = _draw_orbits(group, n_atoms, demands, random)
        if drawn is None:
            continue
        basis = _draw_basis(group, random)
        if _probe(group, drawn, random) == number:
            return frame_of(group, drawn, basis, random)
    raise NoArrangement(f"{n_atoms} atoms in space group {number}")


@functools.lru_cache(maxsize=4096)
def can_arrange(number: int, n_atoms: int, demands: tuple[tuple[int, int], ...]) -> bool:
    """Whether `symmetric_frame` finds an arrangement."""
    try:
        symmetric_frame(number, n_atoms, demands, torch.Generator().manual_seed(0))
    except NoArrangement:
        return False
    return True


def free_frame(uniform: Tensor) -> Frame:
    """Frame of a structure that is held to nothing and starts at coordinates `uniform` [N, 3]."""
    n_atoms = len(uniform)
    identity = torch.eye(3 * n_atoms, dtype=torch.float64)
    return Frame(
        origin=uniform.double(),
        move=identity,
        spread=identity,
        metric=torch.eye(9, dtype=torch.float64),
        leader=torch.arange(n_atoms),
        species=torch.full((n_atoms,), -1),
    )


def fixed_frame(coordinates: np.ndarray, n_atoms: int) -> Frame:
    """Frame of a structure whose first K atoms stay at `coordinates` [K, 3], the others free."""
    fixed = len(coordinates)
    allowed = torch.ones(n_atoms, dtype=torch.float64)
    allowed[:fixed] = 0.0
    projector = torch.diag(allowed.repeat_interleave(3))
    origin = torch.zeros(n_atoms, 3, dtype=torch.float64)
    origin[:fixed] = torch.from_numpy(np.asarray(coordinates, dtype=float))
    return Frame(
        origin=origin,
        move=_shifted(projector),
        spread=projector,
        metric=torch.eye(9, dtype=torch.float64),
        leader=torch.arange(n_atoms),
        species=torch.full((n_atoms,), -1),
    )


def _draw_orbits(
    group: SpaceGroup, n_atoms: int, demands: Sequence[tuple[int, int]], random: np.random.Generator
) -> list[tuple[Orbit, int]] | None:
    """(orbit, species or -1) whose sizes sum to n_atoms; None when this draw ran into a dead end."""
    available = dict(enumerate(group.orbits))
    chosen: list[tuple[Orbit, int]] = []
    left = n_atoms
    shuffled = [demands[i] for i in random.permutation(len(demands))]
    for position, (species, least) in enumerate(shuffled):
        later = sum(count for _, count in shuffled[position + 1 :])
        total = next((n for n in range(least, left - later + 1) if _ways(available, n)[0][n] > 0), None)
        if total is None:
            return None
        for index in _pick(available, total, random):
            chosen.append((available[index], species))
            if available[index].freedom == 0:
                del available[index]
        left -= total
    if left:
        if _ways(available, left)[0][left] <= 0:
            return None
        chosen += [(available[index], -1) for index in _pick(available, left, random)]
    return chosen


def _ways(available: Mapping[int, Orbit], total: int) -> list[list[float]]:
    """Weighted number of ways to reach each count with the orbits from the k-th on, [K + 1][total + 1].

    A position without freedom holds one orbit, any other as many as fit. Positions of the same size and freedom share
    one weight, so that the many inversion centres of a triclinic cell do not crowd out its general position.
    """
    orbits = list(available.values())
    ways = [[0.0] * (total + 1) for _ in range(len(orbits) + 1)]
    ways[-1][0] = 1.0
    for k in range(len(orbits) - 1, -1, -1):
        weight, most = _weight(orbits, k), _most(orbits[k], total)
        for n in range(total + 1):
            repeats = range(min(most, n // orbits[k].size) + 1)
            ways[k][n] = sum(weight**c * ways[k + 1][n - c * orbits[k].size] for c in repeats)
    return ways


def _pick(available: Mapping[int, Orbit], total: int, random: np.random.Generator) -> list[int]:
    """Keys of orbits whose sizes sum to `total`, drawn by their weights."""
    orbits, keys = list(available.values()), list(available)
    ways = _ways(available, total)
    picked: list[int] = []
    left = total
    for k, orbit in enumerate(orbits):
        repeats = range(min(_most(orbit, total), left // orbit.size) + 1)
        weights = np.array([_weight(orbits, k) ** c * ways[k + 1][left - c * orbit.size] for c in repeats])
        count = int(random.choice(len(weights), p=weights / weights.sum()))
        picked += [keys[k]] * count
        left -= count * orbit.size
    return picked


def _weight(orbits: Sequence[Orbit], k: int) -> float:
    alike = sum((o.size, o.freedom) == (orbits[k].size, orbits[k].freedom) for o in orbits)
    return 1.0 / alike


def _most(orbit: Orbit, total: int) -> int:
    return 1 if orbit.freedom == 0 else total // orbit.size


def _draw_basis(group: SpaceGroup, random: np.random.Generator) -> np.ndarray:
    """[3, 3] integer rows: the vectors of a Niggli cell in the group's primitive basis.

    The network learnt Niggli cells, and which primitive cell that is depends on the shape; so a shape is drawn.
    """
    lattice = group.basis @ _conventional(group, random)
    reduced = niggli_cell((lattice, np.zeros((1, 3)), np.ones(1)))
    if reduced is None:
        return np.eye(3)
    basis = np.rint(reduced[0] @ np.linalg.inv(lattice))
    # spglib may turn the cell as well as reduce it; a basis must be an integer recombination
    if not np.allclose(basis @ lattice @ (basis @ lattice).T, reduced[0] @ reduced[0].T, atol=1e-4):
        return np.eye(3)
    return basis * np.sign(np.linalg.det(basis))


def _conventional(group: SpaceGroup, random: np.random.Generator) -> np.ndarray:
    """A conventional cell of random shape and about 5 Å edges, [3, 3] Å rows."""
    a, b, c = np.exp(AXIS_SPREAD * random.standard_normal(3))
    alpha = beta = gamma = 90.0
    family = group.crystal_family()
    if family == "triclinic":
        alpha, beta, gamma = random.uniform(65, 115, size=3)
    elif family == "monoclinic":
        beta = random.uniform(92, 125)
    elif family in ("tetragonal", "hexagonal"):
        b = a
        c *= SHAPE.get(f"{family} {group.symbol[0]}", 1.0)
        gamma = 120.0 if family == "hexagonal" else 90.0
    elif family == "cubic":
        b = c = a
    cos = np.cos(np.radians([alpha, beta, gamma]))
    cos[np.abs(cos) < 1e-12] = 0.0
    lengths = np.array([a, b, c])
    metric = np.array([[1, cos[2], cos[1]], [cos[2], 1, cos[0]], [cos[1], cos[0], 1]]) * np.outer(lengths, lengths)
    return 5.0 * np.linalg.cholesky(metric)


def _probe(group: SpaceGroup, drawn: Sequence[tuple[Orbit, int]], random: np.random.Generator) -> int | None:
    """Space group of these orbits with coordinates and lattice left to chance: at least the one asked, maybe more."""
    frac = np.concatenate([orbit.place(random.random(3)) for orbit, _ in drawn])
    kinds = [species + 1 if species >= 0 else 200 + k for k, (_, species) in enumerate(drawn)]
    numbers = np.repeat(kinds, [orbit.size for orbit, _ in drawn])
    return space_group_of((group.basis @ _conventional(group, random), frac, numbers), PROBE_SYMPREC)


def frame_of(
    group: SpaceGroup, drawn: Sequence[tuple[Orbit, int]], basis: np.ndarray, random: np.random.Generator
) -> Frame:
    """The constraint of atoms on given orbits, each with its species, free coordinates left to chance.

    Args:
        basis: [3, 3] integer rows: vectors of the cell in the group's primitive basis.
    """
    # rows of `basis` are the new vectors: columns of coordinates change by its inverse transpose
    change, back = np.linalg.inv(basis).T, basis.T
    size = sum(orbit.size for orbit, _ in drawn)
    move, spread = np.zeros((size, 3, size, 3)), np.zeros((size, 3, size, 3))
    origin, leader, species = [], [], []
    start = 0
    for orbit, kind in drawn:
        turned = change @ orbit.rotations @ back  # [M, 3, 3]
        projector = change @ orbit.projector @ back
        members = slice(start, start + orbit.size)
        spread[members, :, start, :] = turned @ projector
        back_and_forth = np.einsum("iab,jbc->iajc", turned @ projector, np.linalg.inv(turned))
        move[members, :, members, :] = back_and_forth / orbit.size
        origin.append(orbit.place(random.random(3)) @ change.T)
        leader += [start] * orbit.size
        species += [kind] * orbit.size
        start += orbit.size
    rotations = change @ group.rotations @ back
    metric = np.mean([np.kron(w.T, w.T) for w in rotations], axis=0)
    projector_all = torch.from_numpy(move.reshape(3 * size, 3 * size))
    return Frame(
        origin=torch.from_numpy(np.concatenate(origin)),
        move=_shifted(projector_all),
        spread=torch.from_numpy(spread.reshape(3 * size, 3 * size)),
        metric=torch.from_numpy(metric),
        leader=torch.tensor(leader),
        species=torch.tensor(species),
    )


def _shifted(projector: Tensor) -> Tensor:
    """`projector` after the overall shift that leaves least outside it.

    The network's displacements have zero mean, since a shift of the crystal changes nothing for it. Where some atoms
    may not move, what it wants of them must be taken off the others instead.
    """
    size = len(projector)
    shift = torch.eye(3, dtype=torch.float64).repeat(size // 3, 1)  # [3N, 3]
    outside = torch.eye(size, dtype=torch.float64) - projector
    best = torch.linalg.pinv(outside @ shift, rtol=1e-8) @ outside  # [3, 3N]
    return projector @ (torch.eye(size, dtype=torch.float64) - shift @ best)


def project_lattice(lattice: Tensor, metric: Tensor) -> Tensor:
    """Row lattices [B, 3, 3] Å to symmetric ones of the same volume whose metric is invariant; maps [B, 9, 9].

    A lattice that is not finite, or flat to rounding, comes back as NaN.
    """
    gram = lattice.double() @ lattice.double().transpose(1, 2)
    kept = (metric @ gram.reshape(-1, 9, 1)).reshape(-1, 3, 3)
    kept = 0.5 * (kept + kept.transpose(1, 2))
    ratio = torch.linalg.det(gram) / torch.linalg.det(kept)
    scaled = kept * ratio.clamp_min(1e-30)[:, None, None] ** (1 / 3)
    broken = ~torch.isfinite(scaled).all(2).all(1)[:, None, None]
    values, vectors = torch.linalg.eigh(torch.where(broken, torch.eye(3).to(scaled), scaled))
    root = vectors @ torch.diag_embed(values.clamp_min(1e-12).sqrt()) @ vectors.transpose(1, 2)
    return root.masked_fill(broken, torch.nan).to(lattice.dtype)
