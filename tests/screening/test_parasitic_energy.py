"""Parasitic energy: published figures of Mg-MOF-74 and HKUST-1 (G32), and the formulas term by term."""

import numpy as np
import pytest

from benchmarks.adsorption_process import BEDS, PUBLISHED, gases
from potentials.errors import InputError
from screening.adsorption.isotherms import Langmuir
from screening.adsorption.parasitic_energy import (
    ATMOSPHERE,
    SOURCES,
    Bed,
    compression_work,
    gas_from_isotherm,
    parasitic_energy,
)


@pytest.mark.parametrize("case", PUBLISHED, ids="-".join)
def test_published_parasitic_energies(case):
    framework, source, mode = case
    found = parasitic_energy(*gases(framework), BEDS[framework], SOURCES[source], mode)
    if PUBLISHED[case] is None:
        assert found is None
        return
    assert found.energy == pytest.approx(PUBLISHED[case], abs=1.1e-3)
    assert found.energy == pytest.approx(found.heat + found.compression)


def test_the_published_optimum_of_mg_mof_74():
    found = parasitic_energy(*gases("Mg-MOF-74"), BEDS["Mg-MOF-74"], SOURCES["coal"], "TPSA")
    assert found.desorption_pressure / ATMOSPHERE == pytest.approx(0.37)
    assert found.desorption_temperature == 383.0
    assert found.working_capacity == pytest.approx(0.109, abs=5e-4)
    assert found.purity == pytest.approx(0.943, abs=5e-4)


def test_published_compression_work():
    # the log of the published Mg-MOF-74 run: 333 K, 0.01 and 0.11 atm
    assert compression_work(1013.25, 0.9669) == pytest.approx(7.432e5, rel=2e-4)
    assert compression_work(11145.75, 0.9153) == pytest.approx(5.818e5, rel=2e-4)
    assert compression_work(1e5, 1.0) < compression_work(1e4, 1.0) < compression_work(1e4, 0.9)


def test_psa_and_tsa_are_corners_of_tpsa():
    co2 = gas_from_isotherm(Langmuir(5.0, 5e-5), 32.0, 300.0)
    n2 = gas_from_isotherm(Langmuir(5.0, 1e-6), 15.0, 300.0)
    found = {mode: parasitic_energy(co2, n2, Bed(900.0), SOURCES["coal"], mode) for mode in ("TPSA", "PSA", "TSA")}
    assert found["TPSA"].energy <= min(found["PSA"].energy, found["TSA"].energy)
    assert found["PSA"].desorption_temperature == 333.0
    assert found["TSA"].desorption_pressure == ATMOSPHERE


def test_a_heavier_heat_capacity_costs_more():
    co2 = gas_from_isotherm(Langmuir(5.0, 5e-5), 32.0, 300.0)
    n2 = gas_from_isotherm(Langmuir(5.0, 1e-6), 15.0, 300.0)
    costs = [
        parasitic_energy(co2, n2, Bed(900.0, heat_capacity), SOURCES["coal"], "TSA").energy
        for heat_capacity in (700.0, 1200.0)
    ]
    assert costs[0] < costs[1]


@pytest.mark.parametrize(("mode", "density", "message"), [("VSA", 900.0, "TPSA, PSA or TSA"), ("PSA", 0.0, "density")])
def test_bad_input_is_named(mode, density, message):
    gas = gas_from_isotherm(Langmuir(5.0, 5e-5), 32.0, 300.0)
    with pytest.raises(InputError, match=message):
        parasitic_energy(gas, gas, Bed(density), SOURCES["coal"], mode)


def test_nothing_is_yielded_where_nothing_is_adsorbed():
    nearly_nothing = gas_from_isotherm(Langmuir(1e-9, 1e-9), 5.0, 300.0)
    assert parasitic_energy(nearly_nothing, nearly_nothing, Bed(900.0), SOURCES["air"], "TSA") is None
    assert np.isfinite(SOURCES["air"].pressure)
