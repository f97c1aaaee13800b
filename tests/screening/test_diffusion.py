"""Guest diffusion: particles with known diffusion, the check of the regime, forces against finite differences."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.adsorption.diffusion import (
    ACCELERATION,
    BOLTZMANN,
    M2_PER_S,
    DiffusionSettings,
    _fit,
    guest_diffusion,
    mean_squared_displacement,
    run_walkers,
)
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.pair_forces import (
    Molecule,
    classical_forces,
    classical_molecule,
    damped_coulomb,
    site_weights,
)

ATOM = Molecule("Ar", torch.zeros(1, 3, dtype=torch.float64), torch.tensor([40.0], dtype=torch.float64))


def free(positions):
    return positions.new_zeros(len(positions)), torch.zeros_like(positions)


def measured(settings, forces, seed=0):
    generator = torch.Generator().manual_seed(seed)
    start = torch.zeros(settings.walkers, 1, 3, dtype=torch.float64)
    track, temperature = run_walkers(start, ATOM.masses, forces, settings, generator)
    lags, squared = mean_squared_displacement(track)
    per_frame = settings.picoseconds / (len(track) - 1)
    return _fit(settings, ATOM, lags * per_frame, squared, temperature, "test")


def test_a_brownian_particle_diffuses_as_einstein_says():
    settings = DiffusionSettings(
        walkers=400, picoseconds=20.0, settle_picoseconds=0.5, friction=10.0, timestep=5.0, temperature=300.0
    )
    found = measured(settings, free)
    expected = BOLTZMANN * 300.0 * ACCELERATION / (40.0 * 10.0 * 1e-3) * M2_PER_S  # kT / (m gamma)
    assert expected == pytest.approx(8.314 * 300 / 0.040 / 1e13, rel=1e-3)
    assert found.coefficient == pytest.approx(expected, abs=4 * found.std)
    assert found.std < 0.1 * expected
    assert found.diffusive
    assert found.mean_temperature == pytest.approx(300.0, rel=0.03)
    assert "friction matters" in found.note


def test_free_flight_and_cages_are_not_diffusion():
    flight = measured(DiffusionSettings(walkers=64, picoseconds=2.0, friction=0.0, settle_picoseconds=0.0), free)
    assert flight.exponent == pytest.approx(2.0, abs=0.02)
    assert not flight.diffusive
    assert "not diffusive" in flight.note

    def spring(positions):
        return 0.5 * positions.square().sum((1, 2)), -positions

    caged = measured(DiffusionSettings(walkers=64, picoseconds=10.0, friction=1.0, timestep=2.0), spring)
    assert abs(caged.exponent) < 0.2
    assert not caged.diffusive
    # equipartition in the cage: <x^2> = kT / k, so the plateau is 6 kT / k
    plateau = caged.displacement[len(caged.displacement) // 2]
    assert plateau == pytest.approx(6 * BOLTZMANN * 298.0, rel=0.2)


def test_displacement_by_fourier_transform_equals_the_double_loop():
    track = np.cumsum(np.random.default_rng(0).normal(size=(17, 3, 3)), axis=0)
    lags, squared = mean_squared_displacement(track)
    for lag in (0, 1, 5, 16):
        plain = ((track[lag:] - track[: 17 - lag]) ** 2).sum(2).mean(0)
        assert squared[lag] == pytest.approx(plain, abs=1e-9)
    assert lags[-1] == 16


def rock_salt(charge: float) -> Structure:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(9.0), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    values = [charge if site.specie.symbol == "Mg" else -charge for site in salt]
    return salt.copy(site_properties={"charge": values})


@pytest.mark.parametrize("gas_name", ["CO2", "N2", "CH4", "H2O"])
def test_forces_are_minus_the_gradient(gas_name):
    model = HostGuestModel()
    host = prepare_host(rock_salt(0.6), model)
    gas = find_gas(host.force_field.gases, gas_name)
    forces = classical_forces(host, gas)
    molecule = classical_molecule(gas)
    start = molecule.positions[None] + torch.tensor([[[2.2, 2.4, 2.1]], [[11.5, -2.2, 2.3]]], dtype=torch.float64)
    start = start + 0.02 * torch.randn(start.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    energies, found = forces(start)
    step = 1e-5
    for walker, atom, axis in ((0, 0, 0), (1, 0, 2), (0, len(molecule.masses) - 1, 1)):
        moved = start.clone()
        moved[walker, atom, axis] += step
        ahead = forces(moved)[0][walker]
        moved[walker, atom, axis] -= 2 * step
        slope = (ahead - forces(moved)[0][walker]) / (2 * step)
        assert float(found[walker, atom, axis]) == pytest.approx(-float(slope), rel=1e-5, abs=1e-6)
    assert torch.isfinite(energies).all()
    # a cell further on nothing changes
    shift = torch.tensor(host.structure.lattice.matrix[0].copy())
    assert forces(start + shift)[0] == pytest.approx(energies, abs=1e-9)


@pytest.mark.parametrize("gas_name", ["CO2", "CH4"])
def test_pairs_kept_from_call_to_call_change_no_force(gas_name):
    host = prepare_host(rock_salt(0.6), HostGuestModel())
    gas = find_gas(host.force_field.gases, gas_name)
    kept = classical_forces(host, gas)
    generator = torch.Generator().manual_seed(2)
    places = classical_molecule(gas).positions[None] + 40.0 * torch.rand(6, 1, 3, generator=generator).double()
    for _ in range(12):  # some three Å in all: the list is made anew on the way
        energy, force = kept(places)
        fresh_energy, fresh_force = classical_forces(host, gas)(places)
        assert torch.allclose(energy, fresh_energy, rtol=1e-10, atol=1e-12)
        assert torch.allclose(force, fresh_force, rtol=1e-9, atol=1e-10)
        places = places + 0.25
    assert len(kept(places[:3])[0]) == 3  # and where walkers come and go


def test_massless_sites_ride_on_the_massive_ones():
    from screening.adsorption.gases import TRAPPE

    for name in ("N2", "H2O"):
        gas = TRAPPE[name]
        massive = torch.tensor([s.position for s in gas.sites if s.mass > 0], dtype=torch.float64)
        places = torch.tensor([s.position for s in gas.sites], dtype=torch.float64)
        assert site_weights(gas) @ massive == pytest.approx(places, abs=1e-10)
        assert site_weights(gas).sum(1) == pytest.approx(torch.ones(len(places)), abs=1e-10)


def test_damped_coulomb_vanishes_smoothly_at_the_cutoff():
    r = torch.tensor([3.0, 11.999, 12.0], dtype=torch.float64, requires_grad=True)
    value = damped_coulomb(r, 12.0)
    (slope,) = torch.autograd.grad(value.sum(), r)
    value = value.detach()
    assert float(value[2]) == pytest.approx(0.0, abs=1e-15)
    assert float(slope[2]) == pytest.approx(0.0, abs=1e-12)
    assert float(value[0]) == pytest.approx(float(torch.erfc(torch.tensor(0.6)) / 3), abs=2e-3)


def test_methane_between_atoms_far_apart_moves_and_a_full_crystal_has_no_room():
    settings = DiffusionSettings(
        gas="CH4", walkers=8, picoseconds=1.0, settle_picoseconds=0.1, model=HostGuestModel(charges="none")
    )
    sparse = Structure(Lattice.cubic(15.0), ["Ar"], [[0, 0, 0]])
    found = guest_diffusion(sparse, settings, seed=1)
    assert found.displacement[-1] > 0.1
    assert "BAOAB" in found.method
    again = guest_diffusion(sparse, settings, seed=1)
    assert again.coefficient == found.coefficient
    with pytest.raises(InputError, match="does not fit"):
        guest_diffusion(Structure(Lattice.cubic(3.2), ["Ar"], [[0, 0, 0]]), settings)


def test_any_potential_can_drive_the_guest():
    from potentials import load_potential

    settings = DiffusionSettings(gas="Ar", walkers=8, picoseconds=0.04, settle_picoseconds=0.0, timestep=2.0)
    host = Structure(Lattice.cubic(11.0), ["Ar"], [[0, 0, 0]])
    found = guest_diffusion(host, settings, potential=load_potential("lj", cutoff=5.0), seed=0)
    assert np.isfinite(found.displacement).all()
    assert "forces of lj" in found.method
