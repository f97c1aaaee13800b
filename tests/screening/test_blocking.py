"""Pockets and channels: toy cells, zeolite cages, and what raspalib does with the spheres."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.adsorption_structures import faujasite, lta, mfi, sodalite
from screening.adsorption.blocking import (
    HARD_SPHERE,
    Blocks,
    blocking_spheres,
    free_space,
    periodic_components,
    pocket_blocks,
    pore_diameters,
)
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import TRAPPE
from screening.adsorption.henry import HenrySettings, henry_coefficient, henry_of_host
from screening.adsorption.uff import UFF

CUBE = 10.0 * np.eye(3)  # Å
MODEL = HostGuestModel(charges="none")


def shell_of_atoms(radius: float) -> np.ndarray:
    """[n, 3] fractional positions on a sphere about the middle of the cube: a cage without a window."""
    index = np.arange(160) + 0.5
    z = 1.0 - 2.0 * index / 160
    angle = math.pi * (1.0 + math.sqrt(5.0)) * index
    flat = np.sqrt(1.0 - z * z)
    points = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)
    return 0.5 + radius / 10.0 * points


def host_of(structure: Structure, model: HostGuestModel = MODEL):
    return prepare_host(structure, model)


def test_a_closed_cage_is_a_pocket_and_the_space_around_it_a_channel():
    blocks = blocking_spheres(shell_of_atoms(3.0), CUBE, np.full(160, 1.2), 0.8)
    assert (blocks.pockets, blocks.channels) == (1, 1)
    assert blocks.radii == pytest.approx([1.0], abs=0.4)  # 3.0 - 1.2 - 0.8, and one grid step beyond
    assert blocks.centres == pytest.approx(np.array([[0.5, 0.5, 0.5]]), abs=0.03)
    assert blocks.pocket_fraction == pytest.approx(4.0 / 3.0 * math.pi / 1000.0, rel=0.3)
    assert "1 pockets blocked" in blocks.describe()


def test_spheres_hold_the_pockets_and_no_channel():
    fractional, radii = shell_of_atoms(3.0), np.full(160, 1.2)
    blocks = blocking_spheres(fractional, CUBE, radii, 0.8)
    free = free_space(fractional, CUBE, radii, 0.8, 0.25)
    labels, _, percolates = periodic_components(free)
    points = np.argwhere(free) / np.array(free.shape)
    inside = np.zeros(len(points), dtype=bool)
    for centre, radius in zip(blocks.centres, blocks.radii, strict=True):
        away = points - centre
        inside |= np.linalg.norm((away - np.round(away)) @ CUBE, axis=1) < radius
    in_channel = percolates[labels[free] - 1]
    assert inside[~in_channel].all()
    assert not inside[in_channel].any()


@pytest.mark.parametrize("shift", [0.0, 0.31, 0.5])
@pytest.mark.parametrize("cell", [CUBE, np.array([[10.0, 0, 0], [4.0, 9.0, 0], [-3.0, 2.0, 11.0]])])
def test_what_is_found_does_not_depend_on_where_the_cell_begins(shift, cell):
    # a slab of free space between two dense layers percolates in the plane; a bubble in a layer does not
    rng = np.random.default_rng(1)
    fractional = rng.uniform(0, 1, (600, 3)) * [1, 1, 0.6]
    fractional = fractional[np.linalg.norm((fractional - [0.5, 0.5, 0.3]) @ cell, axis=1) > 2.4]
    blocks = blocking_spheres((fractional + shift) % 1.0, cell, np.full(len(fractional), 1.3), 0.6)
    assert blocks.channels == 1
    assert blocks.pockets >= 1
    centre = blocks.centres[int(np.argmax(blocks.radii))] - shift
    away = centre - [0.5, 0.5, 0.3]
    assert np.linalg.norm((away - np.round(away)) @ cell) < 1.0


def test_a_straight_channel_through_a_corner_of_the_cell_percolates():
    free = np.zeros((6, 6, 6), dtype=bool)
    for i in range(6):
        free[i, i, i] = True  # meets its image across three faces at once
    _, count, percolates = periodic_components(free)
    assert (count, percolates.tolist()) == (1, [True])
    free[3, 3, 3] = False
    _, count, percolates = periodic_components(free)
    assert (count, percolates.tolist()) == (1, [False])


def test_sodalite_cages_are_closed_to_co2_and_open_to_no_one_else_than_helium():
    blocks = pocket_blocks(host_of(lta()), TRAPPE["CO2"])
    assert (blocks.channels, blocks.pockets) == (1, 1)  # the large cages join; the one sodalite cage does not
    assert 1.5 < blocks.radii.max() < 3.0
    closed = pocket_blocks(host_of(sodalite()), TRAPPE["H2O"])
    assert closed.channels == 0
    assert closed.pocket_fraction > 0.05
    assert "no channel" in closed.describe()
    assert pocket_blocks(host_of(sodalite()), TRAPPE["He"]).channels == 1


def test_faujasite_has_two_sodalite_cages_a_primitive_cell():
    blocks = pocket_blocks(host_of(faujasite()), TRAPPE["CO2"])
    assert (blocks.channels, (blocks.radii > 1.0).sum()) == (1, 2)


def test_mfi_has_no_pockets():
    for gas in ("CO2", "N2", "CH4"):
        blocks = pocket_blocks(host_of(mfi()), TRAPPE[gas])
        assert (blocks.pockets, blocks.channels, len(blocks.radii)) == (0, 1, 0)


def test_pore_diameters_of_lta():
    # PoreBlazer 4, UFF radii: 3.74 and 10.57 Å (Sarkisov et al. 2020)
    structure = lta()
    radii = np.array([UFF[site.specie.symbol][1] / 2 for site in structure])
    limiting, largest = pore_diameters(structure.frac_coords, structure.lattice.matrix, radii)
    assert limiting == pytest.approx(3.74, abs=0.15)
    assert largest == pytest.approx(10.57, abs=0.1)


def test_blocked_pockets_hold_nothing_in_the_widom_run():
    effort = {"insertions": 4_000, "heat_moves": 200}
    results = {}
    for pockets in ("blocked", "open"):
        model = HostGuestModel(charges="none", cutoff=8.0, pockets=pockets)
        results[pockets] = henry_coefficient(lta(), "Ar", settings=HenrySettings(model=model, **effort), seed=1)
    # the sodalite cage holds argon tightly: it carries a good part of the open framework's coefficient
    assert results["open"].henry_coefficient > 1.05 * results["blocked"].henry_coefficient
    assert "1 pockets blocked" in results["blocked"].method
    assert "not looked for" in results["open"].method


def test_raspalib_blocks_in_fractions_of_the_unit_cell():
    structure = Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]])
    settings = HenrySettings(model=MODEL, insertions=20_000, heat_moves=2_000)
    whole = henry_coefficient(structure, "CH4", settings=settings, seed=1)
    host = host_of(structure)
    probe = HARD_SPHERE * TRAPPE["CH4"].largest_sigma
    sphere = Blocks(np.array([[0.5, 0.5, 0.5]]), np.array([3.0]), 1, 1, 0.0, 0.0, probe)
    host.cache[f"pockets of {probe}"] = sphere
    cut = henry_of_host(host, "CH4", 298.0, settings, 1)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 8, (15_000, 3))
    images = (
        np.array([[i, j, k] for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2) for k in (-2, -1, 0, 1, 2)]) * 8.0
    )
    r2 = ((points[:, None] - images[None]) ** 2).sum(-1)
    sigma = 0.5 * (3.73 + UFF["Ar"][1])
    s6 = (sigma**2 / r2) ** 3
    energy = np.where(r2 < 144.0, 4.0 * math.sqrt(148.0 * UFF["Ar"][0]) * (s6 * s6 - s6), 0.0).sum(1)
    weight = np.exp(-np.minimum(energy / 298.0, 500.0))
    outside = np.linalg.norm(points - 4.0, axis=1) > 3.0
    share = (weight * outside).sum() / weight.sum()
    assert cut.widom_factor / whole.widom_factor == pytest.approx(share, abs=0.03)
    assert 0.2 < share < 0.95
