"""Widom insertion and zero-loading heats, by both engines, against a direct summation; and raspalib's quirks."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import GeometryError, InputError
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host, supercell_repeats
from screening.adsorption.gases import TRAPPE
from screening.adsorption.henry import HenrySettings, henry_coefficient
from screening.adsorption.uff import UFF

TEMPERATURE = 300.0
CUTOFF = 12.0
both_engines = pytest.mark.parametrize("engine", ["batched", "raspa"])


def argon_lattice() -> Structure:
    """A made-up porous host small enough to sum by hand: simple cubic argon, one atom in 8 x 8 x 8 Å."""
    return Structure(Lattice.cubic(8.0), ["Ar"], [[0, 0, 0]])


def settings(truncation: str = "truncated", engine: str = "raspa", **effort: float) -> HenrySettings:
    model = HostGuestModel(charges="none", truncation=truncation, cutoff=CUTOFF)
    defaults = {"insertions": 20_000, "heat_moves": 20_000, "error": 0.01}
    return HenrySettings(model=model, engine=engine, **defaults | effort)


def direct_widom(gas: str, truncation: str, insertions: int = 60_000) -> tuple[float, float, float]:
    """(Widom factor, its standard error, <U> in K) by plain numpy insertion into 3 x 3 x 3 cells."""
    rng = np.random.default_rng(7)
    box = 24.0
    host = np.stack(np.meshgrid(*[np.arange(3) * 8.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3)  # [27, 3]
    centres = rng.uniform(0.0, box, (insertions, 3))
    axes = rng.normal(size=(insertions, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    energy = np.zeros(insertions)
    for site in TRAPPE[gas].sites:
        if site.epsilon == 0.0:
            continue
        epsilon = math.sqrt(site.epsilon * UFF["Ar"][0])
        sigma = 0.5 * (site.sigma + UFF["Ar"][1])
        difference = (centres + site.offset * axes)[:, None] - host[None]  # [n, 27, 3]
        difference -= box * np.round(difference / box)
        r2 = (difference**2).sum(axis=2)
        s6 = (sigma**2 / r2) ** 3
        pair = 4.0 * epsilon * (s6**2 - s6)
        edge6 = (sigma / CUTOFF) ** 6
        if truncation == "shifted":
            pair -= 4.0 * epsilon * (edge6**2 - edge6)
        energy += np.where(r2 < CUTOFF**2, pair, 0.0).sum(axis=1)
        if truncation == "tail":
            # guest with a uniform continuum beyond the cut-off: 4 pi rho int r^2 u dr
            density = 1.0 / 8.0**3
            energy += 16.0 * np.pi * epsilon * density * (sigma**12 / (9.0 * CUTOFF**9) - sigma**6 / (3.0 * CUTOFF**3))
    weight = np.exp(-np.minimum(energy / TEMPERATURE, 700.0))
    mean_energy = float((energy * weight)[weight > 0].sum() / weight.sum())
    return float(weight.mean()), float(weight.std() / math.sqrt(insertions)), mean_energy


@both_engines
@pytest.mark.parametrize(
    ("gas", "truncation"), [("CH4", "truncated"), ("CH4", "shifted"), ("CO2", "tail"), ("N2", "truncated")]
)
def test_henry_coefficient_and_heat_equal_a_direct_summation(gas, truncation, engine):
    expected, expected_std, mean_energy = direct_widom(gas, truncation)
    protocol = settings(truncation, engine)
    result = henry_coefficient(argon_lattice(), gas, temperature=TEMPERATURE, settings=protocol, seed=3)
    assert result.widom_factor == pytest.approx(expected, abs=4 * math.hypot(result.widom_std, expected_std))
    assert result.widom_std < 0.03 * expected  # or the comparison would mean little
    # K_H = W / (R T rho), rho = one argon atom in 512 Å^3
    density = 39.948e-3 / 6.02214076e23 / 512e-30  # kg/m^3
    assert result.henry_coefficient == pytest.approx(
        result.widom_factor / (GAS_CONSTANT * TEMPERATURE * density), rel=1e-3
    )
    # q = R T - <U>
    heat = (TEMPERATURE - mean_energy) * GAS_CONSTANT / 1000.0
    assert result.heat == pytest.approx(heat, abs=4 * result.heat_std + 0.05)
    assert result.heat_std < 0.2


def test_tail_correction_raises_the_henry_coefficient():
    # the same seed samples the same points, so the difference is the tail and nothing else
    factors = {
        kind: henry_coefficient(argon_lattice(), "CO2", settings=settings(kind, heat_moves=200), seed=1).widom_factor
        for kind in ("tail", "truncated", "shifted")
    }
    assert factors["tail"] > factors["truncated"] > factors["shifted"]


@both_engines
def test_the_heat_is_the_slope_of_the_henry_coefficient(engine):
    # van 't Hoff: d ln(K_H T) / d(1/T) = -<U>/k, with K_H from insertions alone
    protocol = settings(engine=engine, insertions=60_000, error=0.003)
    low, high = (
        henry_coefficient(argon_lattice(), "CH4", temperature=t, settings=protocol, seed=5) for t in (285.0, 315.0)
    )
    mean_energy = -math.log(low.widom_factor / high.widom_factor) / (1 / 285.0 - 1 / 315.0)
    slope_std = math.hypot(low.widom_std / low.widom_factor, high.widom_std / high.widom_factor) / (1 / 285 - 1 / 315)
    slope_heat = (300.0 - mean_energy) * GAS_CONSTANT / 1000.0
    assert 0.5 * (low.heat + high.heat) == pytest.approx(slope_heat, abs=4 * slope_std * GAS_CONSTANT / 1000.0)


@both_engines
def test_error_bars_cover_the_spread_of_repeats(engine):
    few = settings(engine=engine, insertions=2000, heat_moves=2000, error=0.9)
    results = [henry_coefficient(argon_lattice(), "CH4", settings=few, seed=seed) for seed in range(24)]
    for values, errors in (
        ([r.widom_factor for r in results], [r.widom_std for r in results]),
        ([r.heat for r in results], [r.heat_std for r in results]),
    ):
        spread, claimed = np.std(values, ddof=1), math.sqrt(np.mean(np.square(errors)))
        assert 0.6 < claimed / spread < 1.7  # 24 repeats know the spread to 15 %


@both_engines
def test_seed_decides_everything(engine):
    few = settings(engine=engine, insertions=2000, heat_moves=2000)
    first = henry_coefficient(argon_lattice(), "CO2", settings=few, seed=11)
    assert henry_coefficient(argon_lattice(), "CO2", settings=few, seed=11) == first
    other = henry_coefficient(argon_lattice(), "CO2", settings=few, seed=12)
    assert other.widom_factor != first.widom_factor
    assert other.heat != first.heat


@both_engines
def test_nothing_is_printed_and_no_file_is_left(tmp_path, monkeypatch, capfd, engine):
    monkeypatch.chdir(tmp_path)
    few = settings(engine=engine, insertions=2000, heat_moves=2000)
    henry_coefficient(argon_lattice(), "CH4", settings=few, seed=0)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@both_engines
def test_no_room_is_an_answer_not_a_hang(engine):
    iron = Structure.from_spacegroup("Im-3m", Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]])
    result = henry_coefficient(iron, "CO2", settings=settings(engine=engine, insertions=400, heat_moves=400))
    assert result.henry_coefficient == pytest.approx(0.0, abs=1e-30)
    assert result.heat is None
    assert "does not fit" in result.note


def test_method_states_what_was_done():
    method = henry_coefficient(argon_lattice(), "CH4", settings=settings(insertions=2000, heat_moves=400)).method
    for part in ("RASPA3", "Widom", "2000 insertions", "uff-trappe", "12 Å cut-off, truncated", "3x3x3 cells"):
        assert part in method


def test_method_of_the_batched_engine_says_so():
    method = henry_coefficient(argon_lattice(), "CH4", settings=settings(engine="batched")).method
    for part in ("batched Widom", "131072 insertions", "0.25 Å grid", "uff-trappe", "12 Å cut-off, truncated"):
        assert part in method


# --- the simulation box


def test_repeats_make_every_width_twice_the_cutoff():
    assert supercell_repeats(Lattice.cubic(12.0), 12.0) == (2, 2, 2)
    assert supercell_repeats(Lattice.cubic(11.99), 12.0) == (3, 3, 3)
    assert supercell_repeats(Lattice.orthorhombic(24.0, 8.0, 30.0), 12.0) == (1, 3, 1)
    # a sheared cell is narrower than its edges: the width of b is 10 sin 30 degrees
    sheared = Lattice.from_parameters(30.0, 10.0, 30.0, 90.0, 90.0, 30.0)
    assert supercell_repeats(sheared, 12.0) == (2, 5, 1)


def test_given_density_is_that_of_the_golden_structure():
    from benchmarks.adsorption_structures import mfi

    host = prepare_host(mfi(), HostGuestModel(force_field="zeolite"))
    assert host.density == pytest.approx(1796.34, abs=0.01)
    assert host.cell_mass == pytest.approx(5.76809, abs=1e-4)
    assert host.repeats == (2, 2, 2)


@pytest.mark.parametrize(
    ("structure", "error", "message"),
    [
        (Structure(Lattice.cubic(8), [{"Zn": 0.5}], [[0, 0, 0]]), InputError, "partially occupied"),
        (Structure(Lattice.cubic(8), ["Ar", "Ar"], [[0, 0, 0], [0.02, 0, 0]]), GeometryError, "0.16"),
        (Structure(Lattice.orthorhombic(20, 20, 0.4), ["Ar"], [[0, 0, 0]]), GeometryError, "0.4"),
        (Structure(Lattice.cubic(float("nan")), ["Ar"], [[0, 0, 0]]), GeometryError, "finite"),
    ],
)
def test_bad_frameworks_are_refused(structure, error, message):
    with pytest.raises(error, match=message):
        henry_coefficient(structure, "CO2")


def test_unknown_gas_and_temperature_are_refused():
    with pytest.raises(InputError, match="'XYZ' is not in this force field"):
        henry_coefficient(argon_lattice(), "XYZ", settings=settings())
    with pytest.raises(InputError, match="temperature -1"):
        henry_coefficient(argon_lattice(), "CO2", temperature=-1.0, settings=settings())
