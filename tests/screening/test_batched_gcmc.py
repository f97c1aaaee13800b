"""The batched grand-canonical engine: energies, limits that are known, independence, and RASPA3 beside it."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.adsorption.batched.ewald import ewald_energy
from screening.adsorption.batched.host_field import host_field, molecule_energies
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.henry import HenrySettings, henry_at_temperatures

pytest.importorskip("numba")

from screening.adsorption.batched import gcmc_kernel as kernel
from screening.adsorption.batched import isotherm
from screening.adsorption.batched.gcmc_sampling import new_state
from screening.adsorption.batched.gcmc_statistics import (
    block_error,
    cycle_weights,
    equilibrated,
    heats_of,
    sampling_error,
    weighted_mean,
)
from screening.adsorption.batched.isotherm import IsothermSettings, isotherm_of_host

QUICK = IsothermSettings(error=0.05, most_moves=400_000, ideal_gas=True)


def salt(charge: float = 0.7, truncation: str = "tail") -> Host:
    """A made-up open host with strong fields: two charged atoms in a skewed cell of 560 Å^3."""
    lattice = Lattice([[8.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-1.0, 2.0, 8.2]])
    structure = Structure(
        lattice, ["Mg", "O"], [[0.1, 0.2, 0.3], [0.35, 0.2, 0.3]], site_properties={"charge": [charge, -charge]}
    )
    return prepare_host(structure, HostGuestModel(truncation=truncation, pockets="open"))


def replica(
    host: Host, gas: str, pressure: float, temperature: float, samples: int, stride: int = 25, candidate: int = 0
):
    """(model, state, trace) of one run."""
    gases = [host.force_field.gases[gas]]
    model = isotherm._models(kernel, host, gases, temperature, 1, {})[candidate]
    model = model._replace(activity=np.array([pressure / (isotherm._BOLTZMANN_PA * temperature)]))
    state = new_state(kernel, model, 2000, 3)
    trace = np.zeros((samples, 3))
    assert kernel.run(model, state, trace, 25, True)
    return model, state, trace


@pytest.fixture(scope="module")
def loaded():
    """CO2 at a pressure that fills the box with some fifty molecules."""
    host = salt()
    return host, *replica(host, "CO2", 4e6, 300.0, 1500)


def test_kept_energies_are_those_of_the_configuration(loaded):
    host, model, state, trace = loaded
    n = int(state.count[0])
    assert n == trace[-1, 0] > 25
    recomputed = [kernel.guest_energy(model, state, n, j, 0, state.centres[j], state.sites[j]) for j in range(n)]
    tail = 0.5 * n * n * model.pair_tail[0, 0]
    assert state.energy[1] == pytest.approx(0.5 * sum(recomputed) + tail, rel=1e-9, abs=1e-4)
    assert state.energy[0] == pytest.approx(state.host_energy[:n].sum(), rel=1e-9)
    gas = host.force_field.gases["CO2"]
    exact = molecule_energies(host_field(host, [gas]), gas, state.centres[:n], state.turns[:n])
    assert state.host_energy[:n] == pytest.approx(exact, abs=60.0)  # K, of one molecule at a wall
    assert state.host_energy[:n].mean() == pytest.approx(exact.mean(), abs=5.0)


def test_coulomb_energy_of_whole_molecules_is_close_to_the_ewald_sum(loaded):
    host, model, state, _ = loaded
    n = int(state.count[0])
    charges = np.array([site.charge for site in host.force_field.gases["CO2"].sites])
    bare = model._replace(repulsion=np.zeros_like(model.repulsion))  # electrostatics alone
    ours = 0.5 * sum(kernel.guest_energy(bare, state, n, j, 0, state.centres[j], state.sites[j]) for j in range(n))
    positions = (state.centres[:n, None] + state.sites[:n]).reshape(-1, 3)
    exact = ewald_energy(
        positions, np.tile(charges, n), model.box, cutoff=12.0, molecules=np.repeat(np.arange(n), 3)
    ).total
    assert abs(exact) / n > 20.0  # K a molecule: there is something to compare
    assert abs(ours - exact) / n < 5.0


def test_polar_guests_meet_by_an_ewald_sum():
    host = salt(charge=0.3)
    model, state, _ = replica(host, "H2O", 2e5, 350.0, 600)
    n = int(state.count[0])
    assert n > 10
    gas = host.force_field.gases["H2O"]
    charges = np.array([site.charge for site in gas.sites])
    positions = (state.centres[:n, None] + state.sites[:n]).reshape(-1, 3)
    molecules = np.repeat(np.arange(n), len(charges))
    exact = ewald_energy(positions, np.tile(charges, n), model.box, cutoff=12.0, molecules=molecules)
    bare = model._replace(coulomb=np.zeros_like(model.coulomb))
    dispersion = 0.5 * sum(
        kernel.guest_energy(bare, state, n, j, 0, state.centres[j], state.sites[j]) for j in range(n)
    )
    dispersion += 0.5 * n * n * model.pair_tail[0, 0]
    assert abs(exact.total) / n > 200.0  # K a molecule
    assert state.energy[1] - dispersion == pytest.approx(exact.total, rel=1e-4)
    factor = np.exp(2j * np.pi * (positions @ model.box_inverse) @ model.waves.T).T @ np.tile(charges, n)
    assert state.factor == pytest.approx(np.stack([factor.real, factor.imag], axis=1), abs=1e-8)


@pytest.mark.slow
def test_raspa_finds_the_same_uptake_of_water():
    from screening.adsorption.gcmc import GcmcSettings, uptake_of_host

    host = salt(charge=0.3, truncation="shifted")
    settings = IsothermSettings(error=0.04, ideal_gas=True)
    (ours,) = isotherm_of_host(host, {"H2O": 1.0}, [3e5], 450.0, settings=settings)
    protocol = GcmcSettings(
        model=host.model, equilibration_cycles=100, production_cycles=1500, ideal_gas=True, longest=1.0
    )
    a, b = ours["H2O"], uptake_of_host(host, {"H2O": 1.0}, 3e5, 450.0, protocol, seed=1)["H2O"]
    assert a.uptake == pytest.approx(b.uptake, abs=4.0 * np.hypot(a.uptake_std, b.uptake_std))


@pytest.mark.parametrize("gas", ["CH4", "CO2"])
def test_uptake_at_low_pressure_is_the_henry_coefficient_times_pressure(gas):
    host = salt()
    pressure = 500.0
    (limit,) = henry_at_temperatures(host, gas, [300.0], HenrySettings(error=0.01), seed=1)
    settings = IsothermSettings(error=0.02, most_moves=3_000_000, ideal_gas=True)
    (result,) = isotherm_of_host(host, {gas: 1.0}, [pressure], 300.0, settings=settings, seed=1)
    found = result[gas]
    expected, std = limit.henry_coefficient * pressure, limit.henry_std * pressure
    assert found.uptake == pytest.approx(expected, abs=4.0 * np.hypot(found.uptake_std, std) + 0.005 * expected)
    assert found.heat == pytest.approx(limit.heat, abs=4.0 * np.hypot(found.heat_std, limit.heat_std))


def test_mixture_at_low_pressure_is_the_sum_of_its_parts():
    host = salt()
    settings = IsothermSettings(error=0.04, most_moves=3_000_000, ideal_gas=True)
    (mixed,) = isotherm_of_host(host, {"CO2": 0.2, "N2": 0.8}, [2000.0], 300.0, settings=settings, seed=2)
    for gas, share in (("CO2", 0.2), ("N2", 0.8)):
        (limit,) = henry_at_temperatures(host, gas, [300.0], HenrySettings(error=0.01), seed=1)
        expected = limit.henry_coefficient * share * 2000.0
        assert mixed[gas].fugacity == pytest.approx(share * 2000.0)
        assert mixed[gas].uptake == pytest.approx(expected, abs=4.0 * mixed[gas].uptake_std + 0.02 * expected)


@pytest.mark.parametrize("candidate", range(5))  # for empty and for crowded pores, with cavities, with small ones
def test_number_of_molecules_is_what_ghosts_predict(candidate):
    # <N> = z V <exp(-dU/kT)> over insertions that are not made: holds only if moves and exchanges are balanced
    host = salt(charge=0.0, truncation="shifted")
    temperature, pressure = 300.0, 2.5e6
    model, state, _ = replica(host, "CH4", pressure, temperature, 1500, candidate=candidate)
    gas = host.force_field.gases["CH4"]
    field = host_field(host, [gas])
    rng = np.random.default_rng(8)
    volume = abs(np.linalg.det(model.box))
    means, predictions = [], []
    for _ in range(40):
        trace = np.zeros((60, 3))
        kernel.run(model, state, trace, 25, False)
        means.append(trace[:, 0].mean())
        n = int(state.count[0])
        ghosts = rng.random((400, 3)) @ model.box
        hosted = molecule_energies(field, gas, ghosts, np.broadcast_to(np.eye(3), (400, 3, 3)))
        met = np.array([kernel.guest_energy(model, state, n, -1, 0, ghost, np.zeros((1, 3))) for ghost in ghosts])
        weight = np.exp(-np.minimum(hosted + met, 3e5) / temperature)
        predictions.append(model.activity[0] * volume * weight.mean())
    assert np.mean(means) > 8.0
    std = np.hypot(np.std(means), np.std(predictions)) / np.sqrt(len(means) / 2.0)
    assert std < 0.06 * np.mean(means)
    assert np.mean(predictions) == pytest.approx(np.mean(means), abs=4.0 * std)


def test_seeking_cavities_changes_no_average():
    # molecules that do not meet (but for hard cores of 0.9 Å), and yet take voxels from each other: the bias alone
    # is at work and must cancel
    host = salt(charge=0.0, truncation="shifted")
    gases = [host.force_field.gases[name] for name in ("CH4", "Ar")]
    model = isotherm._models(kernel, host, gases, 300.0, 1, {})[3]
    volume = abs(np.linalg.det(model.box))
    flat = np.ones_like(model.density)
    flat[0] += model.density[0] > np.median(model.density[0])  # a bias of the host's too
    model = model._replace(
        grids=np.zeros_like(model.grids),
        repulsion=np.zeros_like(model.repulsion),
        coulomb=np.zeros_like(model.coulomb),
        pair_tail=np.zeros_like(model.pair_tail),
        exclusion=np.array([[3.4, 2.5], [2.5, 3.2]]),
        activity=np.array([20.0, 35.0]) / volume,
        moves=np.array([0.1, 0.1, 0.3, 0.65, 1.0]),
        **isotherm._insertions(flat / flat.sum(axis=1, keepdims=True), volume),
    )
    means, errors = [], []
    for each in (model, model._replace(cavity_share=0.0)):
        state = new_state(kernel, each, 2000, 3)
        trace = np.zeros((8_000, 4))
        assert kernel.run(each, state, trace, 25, False)
        counts = trace[500:, :2]
        means.append(counts.mean(axis=0))
        errors.append(block_error(counts))
        assert counts.var(axis=0) == pytest.approx(means[-1], rel=0.2)  # Poisson
    assert (np.array(errors) < 0.03 * np.array(means)).all()
    assert means[0] == pytest.approx(means[1], abs=4.0 * np.hypot(*errors).max())
    assert means[1] == pytest.approx([20.0, 35.0], rel=0.06)
    assert (model.stencil_length > 0).all()


def test_cavities_are_counted_as_they_are():
    host = salt(charge=0.0)
    model, state, _ = replica(host, "CH4", 2.5e6, 300.0, 400, candidate=2)
    n = int(state.count[0])
    assert n > 5
    shape = model.voxels * model.repeats
    middles = (np.stack(np.unravel_index(np.arange(shape.prod()), shape), axis=-1) + 0.5) / shape
    away = middles[:, None] - (state.centres[None, :n] @ model.box_inverse)
    distances = np.linalg.norm((away - np.round(away)) @ model.box, axis=2)
    expected = (distances < model.exclusion[0, 0]).sum(axis=1)
    assert (state.taken[0] != expected).mean() < 1e-4  # rounding at the rim
    probability = np.tile(model.density[0].reshape(model.voxels), model.repeats).reshape(-1) * model.voxel_volume
    roomy = np.tile(model.roomy[0].reshape(model.voxels), model.repeats).reshape(-1)
    assert state.free[0] == pytest.approx(probability[(expected == 0) & roomy].sum(), rel=1e-4)
    listed = state.free_list[0, : state.free_count[0]]
    assert (np.sort(listed) == np.flatnonzero((state.taken[0] == 0) & roomy)).all()


def test_results_depend_on_their_own_pressure_and_seed_alone():
    host = salt()
    alone = isotherm_of_host(host, {"CO2": 1.0}, [1e5], 300.0, settings=QUICK, seed=3)
    threads = QUICK.model_copy(update={"workers": 2})
    among = isotherm_of_host(host, {"CO2": 1.0}, [1e4, 1e5, 1e6], 300.0, settings=threads, seed=3)
    assert among[1] == alone[0]
    other = isotherm_of_host(host, {"CO2": 1.0}, [1e5], 300.0, settings=QUICK, seed=4)
    assert other[0]["CO2"].uptake != alone[0]["CO2"].uptake
    uptakes = [result["CO2"].uptake for result in among]
    assert uptakes == sorted(uptakes)
    assert "batched GCMC" in alone[0].method
    assert "ideal gas" in alone[0].method


def test_blocked_spheres_hold_no_molecule():
    host = salt(charge=0.0)
    spheres = (np.array([[0.7, 0.7, 0.8]]), np.array([3.0]))
    model, state, _ = replica(host, "CO2", 1e6, 300.0, 10)
    gases = [host.force_field.gases["CO2"]]
    model = isotherm._models(kernel, host, gases, 300.0, 1, {"CO2": spheres})[0]._replace(activity=model.activity)
    state = new_state(kernel, model, 2000, 3)
    kernel.run(model, state, np.zeros((400, 3)), 25, True)
    n = int(state.count[0])
    assert n > 5
    fractional = (state.centres[:n, None] + state.sites[:n]).reshape(-1, 3) @ np.linalg.inv(model.cell)
    difference = fractional - spheres[0]
    difference -= np.round(difference)
    assert (np.linalg.norm(difference @ model.cell, axis=1) >= 3.0).all()


def test_nothing_fits_is_an_answer():
    iron = Structure.from_spacegroup("Im-3m", Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]])
    host = prepare_host(iron, HostGuestModel(charges="none"))
    (result,) = isotherm_of_host(host, {"CO2": 1.0}, [1e5], 300.0, settings=IsothermSettings(most_moves=8_000_000))
    assert result["CO2"].uptake == 0.0
    assert result["CO2"].heat is None
    assert (
        int(result.method.split(" moves of which")[0].split()[-1]) < 1_200_000
    )  # an empty box is soon known to be one


def test_a_run_has_a_budget_and_says_when_it_was_too_small():
    host = salt(charge=0.0)
    little = IsothermSettings(error=0.001, most_work=1e7, ideal_gas=True)
    (short,) = isotherm_of_host(host, {"CH4": 1.0}, [2e5], 300.0, settings=little)
    assert short.note.startswith("stopped at its budget of moves: its relative error is")
    assert "instead of 0.1 %" in short.note
    moves = int(short.method.split(" moves of which")[0].split()[-1])
    assert moves < 2_000_000  # of the eight million it would have been given
    (found,) = isotherm_of_host(host, {"CH4": 1.0}, [2e5], 300.0, settings=little.model_copy(update={"error": 0.2}))
    assert found.note == ""
    assert found["CH4"].uptake == pytest.approx(short["CH4"].uptake, rel=0.2)


def test_pores_that_exchange_nothing_get_an_error_as_wide_as_both_sides():
    from screening.adsorption.batched.gcmc_sampling import _unfinished

    rng = np.random.default_rng(0)
    levels = (4.0, 6.0, 4.0, 6.0)  # from empty and from full pores, and neither moves
    traces = [level + 0.01 * rng.normal(size=(1000, 3)) for level in levels]
    mean, error = np.array([5.0]), np.array([0.01])
    no, yes = np.array([False]), np.array([True])
    fault, apart = _unfinished(traces, traces, mean, error, QUICK, yes, no, np.array([8]))
    assert "exchanged with the gas only 0.4 times" in fault
    assert apart == pytest.approx(1.0, abs=0.01)
    fault, apart = _unfinished(traces, traces, mean, error, QUICK, no, yes, np.array([8000]))
    assert "relative error is 0.2 % instead of 5 %" in fault
    assert apart == 0.0
    fault, _ = _unfinished(traces, [trace[:500] for trace in traces], mean, error, QUICK, yes, yes, np.array([8000]))
    assert "could not be told" in fault


def test_bad_mixtures_are_refused():
    with pytest.raises(InputError, match="leave it out"):
        isotherm_of_host(salt(), {"CO2": 1.0, "N2": 0.0}, [1e3], 300.0, settings=QUICK)
    with pytest.raises(InputError, match="sum to 1"):
        isotherm_of_host(salt(), {"CO2": 0.5}, [1e3], 300.0, settings=QUICK)


def test_equilibration_is_cut_and_errors_know_of_correlation():
    rng = np.random.default_rng(0)
    trace = np.zeros(20_000)
    for i in range(1, len(trace)):  # an autoregressive process with a correlation time of 100 samples
        trace[i] = 0.99 * trace[i - 1] + rng.normal()
    start = 40.0 * 10.0 * np.exp(-np.arange(len(trace)) / 400.0)
    cut = equilibrated(trace + start)
    assert 800 < cut < 6000
    assert equilibrated(trace) < 5000
    expected = np.sqrt(1.0 / (1 - 0.99**2) * 199.0 / len(trace))
    assert 0.5 * expected < block_error(trace[:, None])[0] < 1.8 * expected


@pytest.mark.slow
@pytest.mark.parametrize(("gas", "pressure"), [("CO2", 3e4), ("CH4", 5e4)])
def test_raspa_agrees_where_its_cycles_have_one_length(gas, pressure):
    # RASPA samples once in max(20, molecules) moves, which undercounts full boxes; here the box holds fewer than 20
    from benchmarks.adsorption_structures import mfi
    from screening.adsorption.gcmc import GcmcSettings, uptake_of_host

    model = HostGuestModel(force_field="zeolite", truncation="shifted")
    host = prepare_host(mfi(), model)
    (ours,) = isotherm_of_host(
        host, {gas: 1.0}, [pressure], 353.0, settings=IsothermSettings(error=0.01, ideal_gas=True)
    )
    protocol = GcmcSettings(model=model, equilibration_cycles=300, production_cycles=4000, ideal_gas=True)
    theirs = uptake_of_host(host, {gas: 1.0}, pressure, 353.0, protocol, seed=1)
    a, b = ours[gas], theirs[gas]
    assert a.uptake == pytest.approx(b.uptake, abs=4.0 * np.hypot(a.uptake_std, b.uptake_std))


def test_replicas_that_disagree_widen_the_error():
    rng = np.random.default_rng(0)
    level = np.repeat([4.0, 4.0, 5.0, 5.0], 1000)  # two replicas on either side of a step, quiet in themselves
    trace = (level + 0.01 * rng.normal(size=4000))[:, None]
    assert block_error(trace)[0] > 0.05  # blocks see it when replicas are joined ...
    assert sampling_error(trace)[0] == pytest.approx(np.std([4, 4, 5, 5], ddof=1) / 2, rel=1e-2)  # ... but not enough


def test_averages_over_cycles_count_crowded_moments_less():
    numbers = np.random.default_rng(4).poisson(60.0, (40_000, 1)).astype(float)
    weights = cycle_weights(numbers)
    mean, series = weighted_mean(numbers, weights)
    assert weights.mean() == pytest.approx(1.0)
    assert mean[0] == pytest.approx(59.0, abs=0.15)  # RASPA's means are low by var(N) / N
    assert series.mean() == pytest.approx(mean[0])
    assert block_error(series)[0] == pytest.approx(60**0.5 / 200, rel=0.5)
    np.testing.assert_allclose(cycle_weights(np.minimum(numbers, 20.0)), 1.0)  # every cycle has 20 moves


def test_weights_count_as_repeats_do_in_heats():
    rng = np.random.default_rng(5)
    numbers = rng.poisson(9.0, 400).astype(float)
    trace = np.stack([numbers, -3000.0 * numbers + rng.normal(size=400) * 500.0, np.zeros(400)], axis=1)
    twice = np.arange(400) % 2 == 0
    repeated = np.repeat(trace, np.where(twice, 2, 1), axis=0)
    weights = np.where(twice, 2.0, 1.0) / 1.5
    np.testing.assert_allclose(heats_of(trace, 1, 300.0, weights), heats_of(repeated, 1, 300.0))
    np.testing.assert_allclose(heats_of(trace, 1, 300.0, np.ones(400)), heats_of(trace, 1, 300.0))
