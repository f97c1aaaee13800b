"""Helium void fraction against direct integration; excess uptake from its definition."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import TRAPPE
from screening.adsorption.process import Measured
from screening.adsorption.void_fraction import excess_uptake, helium_void

EDGE = 6.0  # Å


def test_helium_void_fraction_is_the_integral_of_the_boltzmann_factor():
    model = HostGuestModel(charges="none", pockets="open", truncation="truncated")
    host = prepare_host(Structure(Lattice.cubic(EDGE), ["Ar"], [[0, 0, 0]]), model)
    found = helium_void(host, insertions=20_000, seed=1)
    helium = TRAPPE["He"].sites[0]
    epsilon_ar, sigma_ar = host.lennard_jones[0]
    epsilon, sigma = np.sqrt(helium.epsilon * epsilon_ar), 0.5 * (helium.sigma + sigma_ar)
    ticks = (np.arange(24) + 0.5) / 24 * EDGE
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    energy = np.zeros(len(points))
    for image in np.stack(np.meshgrid(*[np.arange(-2, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3):
        r2 = ((points - EDGE * image) ** 2).sum(axis=1)
        s6 = (sigma**2 / r2) ** 3
        energy += np.where(r2 < model.cutoff**2, 4.0 * epsilon * (s6**2 - s6), 0.0)
    expected = np.exp(-energy / 298.0).mean()
    assert found.void_fraction.value == pytest.approx(expected, abs=4 * found.void_fraction.std + 0.01)
    assert found.volume.value == pytest.approx(found.void_fraction.value / host.density)
    assert 0 < found.void_fraction.value < 1


def test_excess_is_absolute_less_what_the_pores_would_hold():
    gases = [TRAPPE["CO2"], TRAPPE["N2"]]
    pores = Measured(5e-4, 1e-5)  # m^3/kg
    found = excess_uptake(
        Measured(1.0, 0.02), 0, gases, [0.15, 0.85], pressure=1e4, temperature=298.0, pore_volume=pores
    )
    ideal = 0.15 * 1e4 / (GAS_CONSTANT * 298.0) * pores.value
    assert 1.0 - found.value == pytest.approx(ideal, rel=1e-3)
    assert found.std == pytest.approx(0.02, rel=1e-3)
    dense = excess_uptake(Measured(5.0, 0.0), 0, gases[:1], [1.0], pressure=1e8, temperature=400.0, pore_volume=pores)
    assert dense.value < 0  # the gas outside is denser than what is adsorbed
