"""Core repulsion: Ziegler's screened Coulomb energy, gone at bond lengths."""

import math

import pytest
import torch
from ase.data import covalent_radii

from potentials.zbl import ZBLRepulsion


def pair_energy(z1: int, z2: int, length: float, cutoff: float = 5.0) -> float:
    repulsion = ZBLRepulsion([z1, z2], cutoff).double()
    species = torch.tensor([0, 1])
    centre, neighbour = torch.tensor([0, 1]), torch.tensor([1, 0])
    lengths = torch.full((2,), length, dtype=torch.float64)
    return repulsion(species, centre, neighbour, lengths).sum().item()


def test_bare_nuclei_at_tiny_distance() -> None:
    # the screening and the fading both tend to one
    assert pair_energy(6, 8, 1e-4) == pytest.approx(14.399645 * 48 / 1e-4, rel=3e-3)


def test_screened_energy_of_two_silicon_atoms() -> None:
    """V(r) = (Z^2 e^2 / r) phi(r / a) at 0.3 Å; a = 0.8854 * 0.529177 / (2 * 14^0.23) Å."""
    length = 0.3
    a = 0.8854 * 0.529177 / (2 * 14**0.23)
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    phi = sum(c * math.exp(-d * length / a) for c, d in terms)
    x = length / (0.75 * 2 * covalent_radii[14])
    fade = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert pair_energy(14, 14, length) == pytest.approx(14.399645 * 196 / length * phi * fade, rel=1e-4)


def test_zero_at_bond_lengths() -> None:
    reach = 0.75 * (covalent_radii[6] + covalent_radii[8])
    assert reach < 1.128  # Å, carbon monoxide, the shortest bond of the two
    assert pair_energy(6, 8, reach - 1e-3) < 1e-6
    assert pair_energy(6, 8, reach + 1e-4) == 0
    assert pair_energy(55, 55, 3.5, cutoff=3.49) == 0  # large atoms end at the neighbour list


def test_monotonic_and_smooth() -> None:
    lengths = torch.linspace(0.2, 1.6, 400, dtype=torch.float64)
    energies = torch.tensor([pair_energy(6, 8, float(length)) for length in lengths])
    assert (energies.diff() <= 0).all()
