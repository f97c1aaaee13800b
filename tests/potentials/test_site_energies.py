"""Potentials that say what each atom contributes: the contributions sum to the energies, system by system."""

import sys

import pytest
import torch
from ase.build import bulk

from potentials.atom_graph import collate, graph_from
from potentials.potential import load_potential

EXTERNAL = {"name": "external", "python": sys.executable, "model": "ase.calculators.emt:EMT"}


@pytest.mark.parametrize("choice", ["chgnet-fast", "sorbus-crystals", "emt", EXTERNAL], ids=str)
def test_they_sum_to_the_energies(choice):
    alloy = bulk("Cu", cubic=True, a=3.8)
    alloy.symbols = ["Cu", "Cu", "Al", "Cu"]
    alloy.positions[0] += 0.1
    other = alloy.copy()  # of the same size: calculators may use an array again
    other.symbols = ["Al", "Cu", "Al", "Cu"]
    batch = collate([graph_from(atoms) for atoms in (alloy, other, bulk("Al") * (2, 1, 1))])
    output = load_potential(choice)(batch)
    sites = output["site_energies"].double()
    assert sites.shape == batch.numbers.shape
    sums = torch.zeros(3, dtype=torch.float64).index_add(0, batch.batch, sites)
    torch.testing.assert_close(sums, output["energy"].double(), rtol=0, atol=1e-5)
    assert float(sites[:4].std()) > 1e-3
