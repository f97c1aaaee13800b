"""Electrostatic energy of smeared charges: by pairs for molecules, by Ewald's reciprocal sum for crystals and slabs.

Each charge is a Gaussian cloud, so that two of them meet with erf(r / (sqrt(2) s)) / r, s the smearing: Coulomb's law
beyond a few s, finite at r = 0. All of the sum over images then lies in reciprocal space, and what the clouds miss
at short range is left to a short-ranged model, as in latent Ewald summation (B. Cheng, npj Comput. Mater. 11, 80
(2025)). A cloud does not act on itself. Crystals have the conducting ("tin foil") boundary; slabs are summed in a cell
with vacuum, with the dipole correction of Yeh and Berkowitz (J. Chem. Phys. 111, 3155 (1999)).
"""

import math

import torch
from torch import Tensor

from potentials.errors import InputError
from potentials.reciprocal_lattice import half_space

COULOMB = 14.3996454785  # e^2 / (4 pi eps0), eV Å (CODATA 2018)
_PRECISION = 1e-7  # of the reciprocal sum: weight of the first wave vector left out, relative to a bare 1/k^2
_VACUUM = 3.0  # of a slab's cell, in lateral cell vectors: its images are then felt by 1e-8


def coulomb_energy(
    positions: Tensor, charges: Tensor, cell: Tensor, pbc: Tensor, system: Tensor, smearing: float
) -> Tensor:
    """Energies of the charges of each system, eV [B], float64; twice differentiable in positions, charges and cells.

    Args:
        positions: [N, 3] Å, systems one after the other.
        charges: [N] e. A periodic system should be neutral: an excess is met by a uniform background, unsaid.
        cell: [B, 3, 3] Å, rows are vectors.
        pbc: [B, 3] periodic along each vector: none, two or three of them.
        system: [N] system of each atom, ascending.
        smearing: s, Å.

    Raises:
        InputError: a system periodic along one axis only, whose sum has another form.
    """
    positions, charges, cell = positions.double(), charges.double(), cell.double()
    axes = pbc.sum(dim=1).tolist()
    if 1 in axes:
        raise InputError(
            f"system {axes.index(1)} of the batch is periodic along one axis: long-range charges need none, two or "
            "three; give it vacuum and set pbc along two or three axes"
        )
    ends = torch.bincount(system, minlength=len(cell)).cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    molecules = [(a, b) for a, b, n in zip(starts, ends, axes, strict=True) if n == 0]
    energies = _pair_energies(positions, charges, system, molecules, len(cell), smearing)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if axes[number] == 0:
            continue
        mine = slice(start, end)
        if axes[number] == 3:
            found = _reciprocal_energy(positions[mine], charges[mine], cell[number], smearing)
        else:
            found = _slab_energy(positions[mine], charges[mine], cell[number], pbc[number], smearing)
        energies = energies.index_add(0, torch.tensor([number], device=energies.device), found[None])
    return COULOMB * energies


def _pair_energies(
    positions: Tensor, charges: Tensor, system: Tensor, molecules: list[tuple[int, int]], count: int, smearing: float
) -> Tensor:
    """Every pair of each molecule once, e^2/Å [B]; 0 for periodic systems."""
    pairs = [torch.triu_indices(b - a, b - a, offset=1, device=positions.device) + a for a, b in molecules]
    first, second = torch.cat(pairs, dim=1) if pairs else torch.empty(2, 0, dtype=torch.int64, device=positions.device)
    distance = torch.linalg.vector_norm(positions[second] - positions[first], dim=1)
    energy = charges[first] * charges[second] * torch.erf(distance / (math.sqrt(2) * smearing)) / distance
    return energy.new_zeros(count).index_add(0, system[first], energy)


def _reciprocal_energy(positions: Tensor, charges: Tensor, cell: Tensor, smearing: float) -> Tensor:
    """All images of a periodic cell, e^2/Å; the sum over one half of the wave vectors, twice."""
    k_max = math.sqrt(-2 * math.log(_PRECISION)) / smearing
    # the set of wave vectors is a choice, not a function of the cell to be derived
    indices = torch.from_numpy(half_space(cell.detach().cpu().numpy(), k_max)).to(cell)
    waves = 2 * math.pi * indices @ torch.linalg.inv(cell).T  # [K, 3]
    squares = waves.square().sum(dim=1)
    volume = torch.linalg.det(cell).abs()
    weights = 4 * math.pi / volume * torch.exp(-0.5 * smearing**2 * squares) / squares  # [K]
    phases = positions @ waves.T  # [n, K]
    structure = (charges @ torch.cos(phases)).square() + (charges @ torch.sin(phases)).square()
    themselves = charges.square().sum() / (math.sqrt(2 * math.pi) * smearing)
    return (weights * structure).sum() - themselves


def _slab_energy(positions: Tensor, charges: Tensor, cell: Tensor, pbc: Tensor, smearing: float) -> Tensor:
    """A layer periodic along two vectors, e^2/Å: Ewald's sum with vacuum, and no field between its images."""
    a, b = cell[pbc.bool()]
    normal = torch.linalg.cross(a, b)
    area = torch.linalg.vector_norm(normal)
    normal = normal / area
    heights = positions @ normal
    with torch.no_grad():
        widest = max(float(torch.linalg.vector_norm(a)), float(torch.linalg.vector_norm(b)))
        thickness = float(heights.max() - heights.min())
        height = thickness + _VACUUM * widest + 6 * smearing
    energy = _reciprocal_energy(positions, charges, torch.stack([a, b, height * normal]), smearing)
    dipole = (charges * heights).sum()
    return energy + 2 * math.pi * dipole.square() / (area * height)
