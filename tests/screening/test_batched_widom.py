"""Energy grids and importance-sampled insertion of our own engine against direct sums and plain averages."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.adsorption.batched.blocked_space import blocked_space
from screening.adsorption.batched.energy_grid import energy_grid, trilinear
from screening.adsorption.batched.host_field import host_field, molecule_energies, random_turns, site_energies
from screening.adsorption.batched.proposal import grid_energies, molecule_grid
from screening.adsorption.batched.triage import henry_many
from screening.adsorption.batched.widom import widom
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import TRAPPE
from screening.adsorption.henry import HenrySettings, henry_at_temperatures

CO2, N2, CH4 = (TRAPPE[name] for name in ("CO2", "N2", "CH4"))


def salt(truncation: str = "truncated", charge: float = 0.7) -> Host:
    """A made-up open host with strong fields: two charged atoms in a skewed cell of 560 Å^3."""
    lattice = Lattice([[8.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-1.0, 2.0, 8.2]])
    structure = Structure(
        lattice, ["Mg", "O"], [[0.1, 0.2, 0.3], [0.35, 0.2, 0.3]], site_properties={"charge": [charge, -charge]}
    )
    return prepare_host(structure, HostGuestModel(truncation=truncation, pockets="open"))


def plain_widom(host: Host, gas, temperature: float, insertions: int) -> tuple[float, float, float]:
    """(factor, its standard error, <U> in K) by uniform insertion with exact energies."""
    rng = np.random.default_rng(17)
    field = host_field(host, [gas])
    centres = rng.random((insertions, 3)) @ field.cell
    energy = molecule_energies(field, gas, centres, random_turns(rng.random((insertions, 3))))
    weight = np.exp(np.minimum(-energy / temperature, 300.0))
    return (
        float(weight.mean()),
        float(weight.std() / insertions**0.5),
        float((weight * energy)[weight > 0].sum() / weight.sum()),
    )


# --- the grid


@pytest.mark.parametrize("truncation", ["tail", "truncated", "shifted"])
def test_grid_points_hold_the_direct_sum(truncation):
    host = salt(truncation)  # the cell is narrower than twice the range of the split
    field = host_field(host, [CO2, N2])
    grid = energy_grid(field, 0.3)
    rng = np.random.default_rng(0)
    index = rng.integers(0, np.array(grid.shape), (1500, 3))
    points = index / np.array(grid.shape) @ field.cell
    checked = 0
    for kind in range(len(field.types.labels)):
        lennard_jones, potential = site_energies(field, points, np.full(len(points), kind))
        outside = lennard_jones < 3000.0
        if field.types.epsilon[kind] > 0.0:
            checked += int(outside.sum())
            assert np.abs(grid.lennard_jones[(kind, *index.T)] - lennard_jones)[outside].max() < 1.0  # K
            assert grid.potential is not None
            assert np.abs(grid.potential[tuple(index.T)] - potential)[outside].max() < 2.0  # K/e
    assert checked > 1500


def test_points_outside_the_cell_are_their_images():
    field = host_field(salt(), [CO2])
    points = np.random.default_rng(1).random((50, 3)) @ field.cell
    shifted = points + np.array([3, -2, 5]) @ field.cell
    kinds = np.zeros(50, dtype=int)
    for here, there in zip(site_energies(field, points, kinds), site_energies(field, shifted, kinds), strict=True):
        assert there == pytest.approx(here, rel=1e-6, abs=1e-3)


def test_trilinear_is_exact_on_planes_and_wraps():
    values = np.arange(6.0, dtype=np.float32)[:, None, None] + np.zeros((6, 4, 4), dtype=np.float32)
    points = np.array([[0.25, 0.9, 0.1], [0.5, -3.3, 7.7], [11.0 / 12.0, 0.0, 0.0]])
    assert trilinear(values, points) == pytest.approx([1.5, 3.0, 2.5])  # the last between 5 and 0


def test_interpolated_molecules_are_close_to_exact_ones():
    field = host_field(salt(), [CO2])
    molecule = molecule_grid(energy_grid(field, 0.1), field.types, CO2)
    rng = np.random.default_rng(4)
    centres, turns = rng.random((800, 3)), random_turns(rng.random((800, 3)))
    exact = molecule_energies(field, CO2, centres @ field.cell, turns)
    low = exact < 0.0
    assert low.sum() > 100
    assert np.abs(grid_energies(molecule, centres, turns) - exact)[low].mean() < 8.0  # K


# --- insertion


@pytest.mark.parametrize(("gas", "truncation"), [(CO2, "tail"), (CO2, "shifted"), (N2, "truncated"), (CH4, "tail")])
def test_widom_equals_uniform_insertion_with_exact_energies(gas, truncation):
    host = salt(truncation)
    expected, expected_std, mean_energy = plain_widom(host, gas, 300.0, 40_000)
    field = host_field(host, [gas])
    found = widom(field, energy_grid(field, 0.25), gas, [300.0], error=0.01, seed=2)
    assert expected_std < 0.05 * expected  # or the comparison would mean little
    assert found.factor_stds[0] <= 0.01 * found.factors[0]
    assert found.factors[0] == pytest.approx(expected, abs=4.0 * np.hypot(expected_std, found.factor_stds[0]))
    assert found.energies[0] == pytest.approx(mean_energy, abs=4.0 * found.energy_stds[0] + 0.03 * abs(mean_energy))


def test_a_coarse_grid_costs_error_bars_not_accuracy():
    field = host_field(salt(), [CO2])
    fine, coarse = (
        widom(field, energy_grid(field, spacing), CO2, [300.0], error=0.01, seed=3) for spacing in (0.15, 0.6)
    )
    assert coarse.exact > fine.exact
    assert coarse.factors[0] == pytest.approx(
        fine.factors[0], abs=4.0 * np.hypot(fine.factor_stds[0], coarse.factor_stds[0])
    )


def test_one_set_of_insertions_serves_many_temperatures():
    field = host_field(salt(), [CO2])
    grid = energy_grid(field, 0.25)
    temperatures = [273.0, 298.0, 363.0]
    together = widom(field, grid, CO2, temperatures, error=0.01, seed=5)
    for i, temperature in enumerate(temperatures):
        alone = widom(field, grid, CO2, [temperature], error=0.01, seed=6)
        std = np.hypot(alone.factor_stds[0], together.factor_stds[i])
        assert together.factors[i] == pytest.approx(alone.factors[0], abs=4.0 * std)
        assert together.factor_stds[i] <= 0.0101 * together.factors[i]
    assert (np.diff(together.factors) < 0.0).all()


def test_blocked_spheres_count_as_no_room():
    host = salt(charge=0.0)
    field = host_field(host, [CH4])
    grid = energy_grid(field, 0.25)
    centres, radii = np.array([[0.8, 0.7, 0.9], [0.0, 0.6, 0.1]]), np.array([2.4, 1.7])
    # quadrature on the grid, where insertions of a single site are known exactly
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    weight = np.exp(-grid.lennard_jones[0].astype(float).ravel() / 300.0)
    allowed = np.ones(len(points), dtype=bool)
    for centre, radius in zip(centres, radii, strict=True):
        for shift in np.ndindex(3, 3, 3):
            difference = (points - centre - (np.array(shift) - 1)) @ field.cell
            allowed &= (difference**2).sum(axis=1) >= radius**2
    open_factor, expected = weight.mean(), (weight * allowed).mean()
    assert expected < 0.9 * open_factor
    found = widom(field, grid, CH4, [300.0], error=0.005, seed=1, blocks=(centres, radii))
    assert found.factors[0] == pytest.approx(expected, abs=4.0 * found.factor_stds[0] + 0.004 * expected)
    everywhere = widom(field, grid, CH4, [300.0], seed=1, blocks=(np.array([[0.5, 0.5, 0.5]]), np.array([12.0])))
    assert everywhere.factors[0] == 0.0


def test_blocked_space_knows_every_image():
    cell = np.array([[6.0, 0.0, 0.0], [2.5, 6.5, 0.0], [-2.0, 1.0, 7.0]])
    centres, radii = np.array([[0.05, 0.95, 0.5], [1.4, -0.3, 0.2]]), np.array([1.8, 0.9])
    space = blocked_space(cell, centres, radii)
    assert space is not None
    points = np.random.default_rng(2).uniform(-2.0, 2.0, (3000, 3))
    expected = np.zeros(len(points), dtype=bool)
    for centre, radius in zip(centres, radii, strict=True):
        for shift in np.ndindex(11, 11, 11):
            expected |= (((points - centre - np.array(shift) + 5) @ cell) ** 2).sum(axis=1) < radius**2
    assert 0.05 < expected.mean() < 0.5
    assert (space.contains(points) == expected).all()


def test_other_gases_and_repeats_change_nothing():
    host = salt()
    both, alone = host_field(host, [N2, CO2]), host_field(host, [CO2])
    results = [widom(f, energy_grid(f, 0.25), CO2, [300.0], seed=9) for f in (both, alone, alone)]
    for other in results[1:]:
        assert other.factors[0] == results[0].factors[0]
        assert other.energies[0] == results[0].energies[0]


# --- many frameworks


def test_many_frameworks_at_once_are_the_same_as_one_by_one_and_bad_ones_are_told():
    settings = HenrySettings(gases=("CO2",), error=0.03)
    good = salt().structure
    bad = Structure(Lattice.cubic(9.0), ["Mg", "O"], [[0, 0, 0], [0.25, 0, 0]], site_properties={"charge": [1.0, 0.5]})
    rows = henry_many([good, bad], ["CO2"], [298.0, 350.0], settings=settings, seed=4)
    assert [row.index for row in rows] == [0, 1]
    assert rows[1].results == ()
    assert "must be neutral" in rows[1].error
    host = prepare_host(good, settings.model)
    assert rows[0].results == henry_at_temperatures(host, "CO2", [298.0, 350.0], settings, seed=4)
    assert [result.temperature for result in rows[0].results] == [298.0, 350.0]


def test_temperatures_must_be_positive():
    with pytest.raises(InputError, match="above 0"):
        henry_at_temperatures(salt(), "CO2", [298.0, -1.0], HenrySettings(), seed=0)
