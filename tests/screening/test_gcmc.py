"""Grand-canonical uptake: Henry's law, mixtures, fugacities, reproducibility."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.equilibration import mean_and_error
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import TRAPPE, Gas, Site
from screening.adsorption.gcmc import GcmcSettings, gcmc_uptake
from screening.adsorption.henry import HenrySettings, henry_coefficient
from screening.adsorption.raspa import ENERGY_EVERY, build_system, cycle_lengths, load_raspalib, sample_grand_canonical

MODEL = HostGuestModel(charges="none")


def argon_lattice() -> Structure:
    """A made-up porous host: simple cubic argon, one atom in 8 x 8 x 8 Å."""
    return Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]])


def settings(**changes) -> GcmcSettings:
    return GcmcSettings(**{"model": MODEL, "equilibration_cycles": 200, "production_cycles": 3000} | changes)


def henry(gas: str, temperature: float = 298.0):
    protocol = HenrySettings(model=MODEL, insertions=20_000, heat_moves=10_000)
    return henry_coefficient(argon_lattice(), gas, temperature=temperature, settings=protocol, seed=1)


def test_dilute_uptake_follows_henrys_law_and_its_heat():
    pressure = 2e4
    result = gcmc_uptake(
        argon_lattice(), {"CH4": 1.0}, pressure, 298.0, settings=settings(production_cycles=5000), seed=2
    )
    methane, limit = result["CH4"], henry("CH4")
    expected = limit.henry_coefficient * methane.fugacity
    error = math.hypot(methane.uptake_std, limit.henry_std * pressure)
    assert methane.uptake == pytest.approx(expected, abs=4 * error)
    assert error < 0.1 * expected
    assert methane.heat == pytest.approx(limit.heat, abs=4 * math.hypot(methane.heat_std, limit.heat_std) + 0.3)


def test_components_of_a_dilute_mixture_ignore_each_other():
    # also pins how raspalib wants partial pressures: by component, not by its own equal shares
    result = gcmc_uptake(
        argon_lattice(), {"CO2": 0.15, "N2": 0.85}, 5e4, 298.0, settings=settings(production_cycles=12_000), seed=3
    )
    for gas in ("CO2", "N2"):
        limit, component = henry(gas), result[gas]
        expected = limit.henry_coefficient * component.fugacity
        error = math.hypot(component.uptake_std, limit.henry_std * component.fugacity)
        assert component.uptake == pytest.approx(expected, abs=4 * error + 0.03 * expected)
        assert error < 0.15 * expected


def test_fugacities_are_peng_robinsons_or_ideal():
    few = {"production_cycles": 20, "equilibration_cycles": 0}
    real = gcmc_uptake(argon_lattice(), {"CO2": 0.25, "CH4": 0.75}, 1e6, 300.0, settings=settings(**few))
    phi = peng_robinson([TRAPPE["CO2"], TRAPPE["CH4"]], [0.25, 0.75], temperature=300.0, pressure=1e6)
    assert real["CO2"].fugacity == pytest.approx(0.25e6 * phi.fugacity_coefficients[0])
    assert real["CH4"].fugacity == pytest.approx(0.75e6 * phi.fugacity_coefficients[1])
    assert "Peng-Robinson" in real.method
    ideal = gcmc_uptake(argon_lattice(), {"CO2": 1.0}, 1e6, 300.0, settings=settings(ideal_gas=True, **few))
    assert ideal["co2"].fugacity == 1e6
    assert "ideal gas" in ideal.method


def test_seed_decides_everything_and_nothing_is_left_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    few = settings(production_cycles=200, equilibration_cycles=20)
    first = gcmc_uptake(argon_lattice(), None, settings=few, seed=5)
    assert gcmc_uptake(argon_lattice(), None, settings=few, seed=5) == first
    assert gcmc_uptake(argon_lattice(), None, settings=few, seed=6) != first
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_bad_mixtures_are_refused():
    with pytest.raises(InputError, match="do not sum to 1"):
        gcmc_uptake(argon_lattice(), {"CO2": 0.5, "N2": 0.2}, settings=settings())
    with pytest.raises(InputError, match="of no amount"):
        gcmc_uptake(argon_lattice(), {"CO2": 1.0, "N2": 0.0}, settings=settings())


def test_three_components_each_follow_henrys_law():
    mixture = {"CO2": 0.3, "N2": 0.4, "CH4": 0.3}
    result = gcmc_uptake(argon_lattice(), mixture, 5e4, 298.0, settings=settings(production_cycles=6000), seed=3)
    assert [component.gas for component in result.components] == ["CO2", "N2", "CH4"]
    for gas, fraction in mixture.items():
        limit, component = henry(gas), result[gas]
        assert component.mole_fraction == fraction
        expected = limit.henry_coefficient * component.fugacity
        error = math.hypot(component.uptake_std, limit.henry_std * component.fugacity)
        assert component.uptake == pytest.approx(expected, abs=4 * error + 0.03 * expected)


def test_a_run_too_short_goes_on_and_says_when_that_was_not_enough():
    few = settings(equilibration_cycles=0, production_cycles=20, independent_samples=15, longest=20)
    longer = gcmc_uptake(argon_lattice(), {"CH4": 1.0}, 1e5, 298.0, settings=few, seed=1)
    assert 20 < longer.cycles <= 400
    assert longer.independent_samples >= 15
    assert longer.note == ""
    assert f"{longer.cycles} cycles, {longer.discarded} of them discarded" in longer.method
    cut = settings(equilibration_cycles=0, production_cycles=20, independent_samples=500, longest=2)
    short = gcmc_uptake(argon_lattice(), {"CH4": 1.0}, 1e5, 298.0, settings=cut, seed=1)
    assert short.cycles == 40
    assert "lower bounds" in short.note


def test_error_bars_of_uptakes_cover_the_spread_of_repeats():
    few = settings(equilibration_cycles=50, production_cycles=250)
    results = [
        gcmc_uptake(argon_lattice(), {"CH4": 1.0}, 5e5, 298.0, settings=few, seed=seed)["CH4"] for seed in range(20)
    ]
    claimed = math.sqrt(sum(r.uptake_std**2 for r in results) / len(results))
    mean = sum(r.uptake for r in results) / len(results)
    spread = math.sqrt(sum((r.uptake - mean) ** 2 for r in results) / (len(results) - 1))
    assert 0.6 < claimed / spread < 1.7  # 20 repeats know the spread to 16 %


def test_energies_of_a_run_are_raspalibs_averages():
    # pins the unit of compute_total_energies and that averages of energies look at every tenth cycle
    raspalib = load_raspalib()
    host = prepare_host(argon_lattice(), MODEL)
    system = build_system(
        host,
        [TRAPPE["CO2"]],
        temperature=298.0,
        pressure=2e6,
        fugacity_coefficients=[1.0],
        mole_fractions=[1.0],
        moves=raspalib.MCMoveProbabilities(swap_cbmc_probability=0.4, reinsertion_cbmc_probability=0.2),
        molecules=[0],
    )
    system, first = sample_grand_canonical(system, cycles=5 * ENERGY_EVERY, seed=1)
    system, second = sample_grand_canonical(system, cycles=15 * ENERGY_EVERY, seed=2)
    trace = first.then(second)
    assert trace.numbers.shape == (20 * ENERGY_EVERY, 1)
    assert trace.energies.shape == (20,)
    loading = system.average_loadings.result()[0].number_of_molecules[0]
    assert trace.numbers.mean() == pytest.approx(loading)
    last = system.compute_total_energies()
    assert trace.energies[-1] == pytest.approx(last.potential_energy() * 10.0 / 8.314462618)
    average = system.average_energies.result()[0].total_energy.energy  # K
    assert trace.energies.mean() == pytest.approx(average, rel=0.25)


def test_an_ideal_gas_of_many_molecules_has_the_density_it_must_have():
    # RASPA's own mean over cycles is 3 % low here
    raspalib = load_raspalib()
    almost_empty = Structure(Lattice.cubic(24.0), ["He"], [[0, 0, 0]])
    host = prepare_host(almost_empty, HostGuestModel(charges="none", truncation="truncated", pockets="open"))
    point = Gas("X", (Site("X", (0.0, 0.0, 0.0), 1e-9, 0.5, 0.0, 16.0, 6),), 190.0, 4e6, 0.01, "ideal gas")
    system = build_system(
        host,
        [point],
        temperature=298.0,
        pressure=25 * 1.380649e-23 * 298.0 / 24e-10**3,
        fugacity_coefficients=[1.0],
        mole_fractions=[1.0],
        moves=raspalib.MCMoveProbabilities(translation_probability=0.6, swap_cbmc_probability=0.4),
        molecules=[25],
    )
    _, trace = sample_grand_canonical(system, cycles=9000, seed=1)
    numbers = trace.numbers[:, 0]
    plain, _ = mean_and_error(numbers)
    weighed, error = mean_and_error(numbers, cycle_lengths(trace.numbers))
    assert error < 0.2
    assert weighed == pytest.approx(25.0, abs=4 * error)
    assert plain < weighed - 0.5
    assert np.var(numbers) == pytest.approx(25.0, rel=0.15)


def test_averages_over_cycles_can_be_asked_for():
    dense = {"equilibration_cycles": 100, "production_cycles": 600, "ideal_gas": True}
    by_moves = gcmc_uptake(argon_lattice(), {"CH4": 1.0}, 5e6, 298.0, settings=settings(**dense), seed=1)
    by_cycles = gcmc_uptake(
        argon_lattice(), {"CH4": 1.0}, 5e6, 298.0, settings=settings(averages="cycles", **dense), seed=1
    )
    assert by_cycles["CH4"].uptake < by_moves["CH4"].uptake  # the same run, averaged in two ways
    assert "averages over cycles" in by_cycles.method


def test_a_charged_guest_in_a_charged_host_follows_henrys_law():
    """A run whose reciprocal Ewald sum was not set up held a hundred times too much CO2 here."""
    host = Structure(
        Lattice.cubic(9.0), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"charge": [0.6, -0.6]}
    )
    model = HostGuestModel()
    limit = henry_coefficient(host, "CO2", temperature=298.0, settings=HenrySettings(model=model, error=0.03), seed=1)
    pressure = 0.02 / limit.henry_coefficient  # 0.02 mol/kg: molecules hardly meet
    protocol = settings(model=model, production_cycles=6000)
    (co2,) = [gcmc_uptake(host, {"CO2": 1.0}, pressure, 298.0, settings=protocol, seed=4)["CO2"]]
    expected = limit.henry_coefficient * co2.fugacity
    error = math.hypot(co2.uptake_std, limit.henry_std * co2.fugacity)
    assert co2.uptake == pytest.approx(expected, abs=4 * error + 0.05 * expected)
    assert error < 0.2 * expected
