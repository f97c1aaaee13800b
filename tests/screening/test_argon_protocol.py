"""A published run of jammed argon repeated: its moves sample the right ensemble, its spread is what is reported."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

pytest.importorskip("numba")

from benchmarks import adsorption_argon as argon
from benchmarks import argon_kernel as kernel
from benchmarks.adsorption_golden import deviation
from screening.adsorption.batched.isotherm import IsothermSettings, isotherm_of_host
from screening.adsorption.framework import prepare_host
from screening.adsorption.process import Measured

TEMPERATURE, PRESSURE = 180.0, 5e6  # above the critical temperature: nothing jams


@pytest.fixture(scope="module")
def host():
    lattice = Lattice([[13.0, 0.0, 0.0], [1.5, 13.2, 0.0], [-1.0, 2.0, 13.1]])
    places = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.3], [0.5, 0.6, 0.7], [0.6, 0.8, 0.7], [0.1, 0.7, 0.1]]
    return prepare_host(Structure(lattice, ["Si", "O", "Si", "O", "O"], places), argon.MODEL)


@pytest.fixture(scope="module")
def run(host):
    """(box, atoms, numbers, energies) of a run that settled."""
    box = argon.simulation_box(host, TEMPERATURE, PRESSURE, 0.2)
    atoms = argon.empty(box, 1)
    numbers, energies = np.zeros(4000, dtype=np.int64), np.zeros(4000)
    kernel.run(box, atoms, numbers[:1000], energies[:1000], 100)
    kernel.run(box, atoms, numbers[1000:], energies[1000:], 0)
    return box, atoms, numbers[1000:], energies[1000:]


def test_kept_energies_and_bins_are_those_of_the_configuration(run):
    box, atoms, numbers, energies = run
    n = int(atoms.count[0])
    assert n == numbers[-1] > 20
    guests = [kernel.pair_energies(box, atoms, j, *atoms.place[:, j], atoms.pair[1]) for j in range(n)]
    np.testing.assert_allclose(atoms.guest[:n], guests, rtol=1e-9, atol=1e-6)
    hosts = [kernel.host_at(box, *kernel.fractional(box, *atoms.place[:, j])) for j in range(n)]
    assert energies[-1] == pytest.approx(sum(hosts) + 0.5 * sum(guests), rel=1e-9)
    bins = [kernel.bin_of(box, *kernel.fractional(box, *atoms.place[:, j])) for j in range(n)]
    np.testing.assert_array_equal(np.bincount(bins, minlength=len(atoms.held)), atoms.held)
    assert (atoms.tried > 0).all()
    assert (atoms.accepted > 0).all()


def test_few_atoms_are_what_the_henry_coefficient_says(host):
    box = argon.simulation_box(host, TEMPERATURE, 1e5, 0.2)
    atoms = argon.empty(box, 2)
    numbers = np.zeros(40_000, dtype=np.int64)
    kernel.run(box, atoms, numbers, np.zeros(40_000), 0)
    energies = 1000.0 * np.sinh(box.grids[0].astype(float))  # K, as the grid is compressed
    expected = box.ideal * np.exp(-box.beta * energies).mean()
    error = np.std([part.mean() for part in np.split(numbers, 20)], ddof=1) / 20**0.5
    assert 0.5 < expected < 2.0
    assert abs(numbers.mean() - expected) < 4.0 * error + 0.02 * expected  # atoms meet now and then


@pytest.mark.slow
def test_its_moves_find_what_the_batched_engine_finds(host, run):
    _, _, numbers, _ = run
    per_atom = 1.0 / (host.cell_mass * np.prod(host.repeats))
    weights = np.maximum(numbers, kernel.LEAST_MOVES)  # moves to the next sample
    blocks = [np.average(n, weights=w) for n, w in zip(np.split(numbers, 10), np.split(weights, 10), strict=True)]
    found = Measured(np.mean(blocks) * per_atom, np.std(blocks, ddof=1) / 10**0.5 * per_atom)
    settings = IsothermSettings(error=0.03, most_moves=400_000, ideal_gas=True)
    engine = isotherm_of_host(host, {"Ar": 1.0}, [PRESSURE], TEMPERATURE, settings=settings, seed=1)[0]["Ar"]
    assert found.std < 0.03 * found.value
    assert abs(found.value - engine.uptake) < 4.0 * np.hypot(found.std, engine.uptake_std)


def test_seeds_repeat(host):
    box = argon.simulation_box(host, TEMPERATURE, PRESSURE, 0.2)
    traces = []
    for seed in (5, 5, 6):
        numbers = np.zeros(40, dtype=np.int64)
        kernel.run(box, argon.empty(box, seed), numbers, np.zeros(40), 0)
        traces.append(numbers.tolist())
    assert traces[0] == traces[1] != traces[2]


def test_the_error_is_what_a_single_run_may_be_off(tmp_path, monkeypatch):
    monkeypatch.setattr(argon, "RUNS", tmp_path)
    made = []
    monkeypatch.setattr(argon, "repeat", lambda code, seed, cycles: made.append(seed) or row(9.0))

    def row(loading: float, cycles: int = 100_000) -> dict:
        return {"loading": loading, "cycles": cycles, "moves": 2_000_000, "seconds": 10.0}

    for seed, loading in ((1, 11.0), (2, 10.0), (7, 12.0)):
        (tmp_path / f"CHA_{seed}.json").write_text(json.dumps(row(loading)))
    (tmp_path / "CHA_1_500.json").write_text(json.dumps(row(3.0, 500)))  # a quick look does not count
    found = argon.repeated("CHA", 1.0, 1)
    assert made == [3]  # three runs at least; what is there is kept
    assert found.value == pytest.approx(10.5)
    assert found.std == pytest.approx(np.std([9, 10, 11, 12], ddof=1) * 1.25**0.5)
    assert "4 runs from empty pores" in found.words
    assert found.seconds == 40.0
    argon.repeated("CHA", 1.0, 1)
    assert made == [3]


def test_runs_that_all_agree_are_compared_as_such():
    assert deviation(Measured(12.4825, 0.0), Measured(12.4825, 0.0)) == 0.0
    assert deviation(Measured(12.5, 0.0), Measured(12.4825, 0.0)) == np.inf
    assert deviation(Measured(1.1, 0.03), Measured(1.0, 0.04)) == pytest.approx(2.0)


def test_published_blocks_have_the_published_mean_and_error():
    for run in argon.PUBLISHED.values():
        blocks = np.array(run.blocks)
        per_atom = run.loading / blocks.mean()
        assert run.error == pytest.approx(2.0 * blocks.std() * per_atom, rel=0.01, abs=1e-9)
