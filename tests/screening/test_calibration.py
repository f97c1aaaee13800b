"""Calibration of a model on measured uptakes, and the consensus of several papers."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_snapshot import ensemble_snapshot

from potentials.errors import InputError
from screening.candidate import Property
from screening.experiments.calibration import (
    Pair,
    calibrate,
    calibrated_snapshot,
    fit_calibration,
    load_calibration,
    pairs_of,
    save_calibration,
)
from screening.experiments.consensus import consensus
from screening.experiments.measured_isotherm import make_isotherm

UPTAKE = "co2_uptake_0.15bar_298K"


def pairs(materials: int, factor: float, tau: float, noise: float, seed: int = 0, points: int = 4) -> list[Pair]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(materials):
        own = tau * rng.standard_normal()
        for k in range(points):
            computed = 1.0 + k
            measured = computed * factor * math.exp(own + noise * rng.standard_normal())
            found.append(Pair(f"m{number}", measured, computed, noise, 1e4 * (1 + k)))
    return found


def test_factor_and_scatter_are_recovered() -> None:
    factors, scatters, within = [], [], 0
    for seed in range(40):
        fit = fit_calibration(pairs(30, 0.8, 0.3, 0.1, seed), model="uff", gas="CO2", temperature=298.0)
        factors.append(fit.log_factor)
        scatters.append(fit.material_scatter)
        within += abs(fit.log_factor - math.log(0.8)) < 2 * fit.log_factor_std
    assert np.mean(factors) == pytest.approx(math.log(0.8), abs=0.03)
    assert np.mean(scatters) == pytest.approx(0.3, abs=0.03)
    assert within >= 34  # of 40 at two standard errors
    assert (fit.materials, fit.pairs, fit.pressure_low, fit.pressure_high) == (30, 120, 1e4, 4e4)


def test_no_scatter_between_materials_is_found_as_none() -> None:
    fits = [
        fit_calibration(pairs(20, 1.0, 0.0, 0.1, seed), model="uff", gas="CO2", temperature=298.0) for seed in range(20)
    ]
    assert np.median([fit.material_scatter for fit in fits]) < 0.04


def test_one_wild_material_widens_but_does_not_carry_the_factor() -> None:
    sober = pairs(12, 0.9, 0.05, 0.05)
    wild = [Pair("wild", 60.0, 1.0, 0.05, 1e4)]
    with_wild = fit_calibration(sober + wild, model="uff", gas="CO2", temperature=298.0)
    without = fit_calibration(sober, model="uff", gas="CO2", temperature=298.0)
    assert with_wild.median_ratio == pytest.approx(without.median_ratio, rel=0.05)
    assert with_wild.material_scatter > 5 * without.material_scatter


def test_too_few_materials_are_refused() -> None:
    with pytest.raises(InputError, match="2 materials"):
        fit_calibration(pairs(2, 0.8, 0.1, 0.1), model="uff", gas="CO2", temperature=298.0)


def test_a_calibrated_figure_carries_its_uncertainty_and_says_so() -> None:
    fit = fit_calibration(pairs(20, 0.8, 0.2, 0.05), model="uff", gas="CO2", temperature=298.0)
    item = Property(UPTAKE, 2.0, "mol/kg", 0.02, "GCMC")
    found = calibrate(item, fit)
    assert found.value == pytest.approx(2.0 * fit.factor)
    assert found.std is not None
    assert found.std / (found.value or 1) == pytest.approx(math.hypot(0.01, fit.new_material_std), rel=0.05)
    assert "calibrated x" in found.method
    assert "20 materials" in found.method
    for untouched in (
        replace(item, fidelity="measured"),
        replace(item, name="n2_uptake_0.85bar_298K"),
        replace(item, name="pld_angstrom"),
        replace(item, value=None),
    ):
        assert calibrate(untouched, fit) == untouched
    for outside in ("co2_uptake_20bar_298K", "co2_uptake_0.1bar_363K"):
        found = calibrate(replace(item, name=outside), fit)
        assert found.value == 2.0
        assert "not calibrated" in found.note


def test_a_snapshot_is_calibrated_as_a_whole_and_the_file_comes_back(tmp_path: Path) -> None:
    snapshot = ensemble_snapshot()
    candidates = [row.candidate for row in snapshot.rows if row.candidate is not None]
    found = pairs_of(candidates, "CO2")
    assert {round(p.measured / p.computed, 2) for p in found} == {0.8}
    fit = fit_calibration(found, model="uff", gas="CO2", temperature=298.0)
    assert fit.factor == pytest.approx(0.8, rel=0.01)
    assert load_calibration(save_calibration(fit, tmp_path / "c.json")) == fit
    after = calibrated_snapshot(snapshot, fit)
    for before_row, row in zip(snapshot.rows, after.rows, strict=True):
        if row.candidate is None or before_row.candidate is None or UPTAKE not in row.candidate.properties:
            continue
        before, now = before_row.candidate.properties[UPTAKE], row.candidate.properties[UPTAKE]
        expected = 1.0 if before.fidelity == "measured" else fit.factor
        assert now.value == pytest.approx((before.value or 0) * expected)
    (tmp_path / "d.json").write_text("{}")
    for name, match in (("none.json", "there is no"), ("d.json", "not a calibration")):
        with pytest.raises(InputError, match=match):
            load_calibration(tmp_path / name)


def test_a_paper_counts_once_in_the_consensus() -> None:
    def of(source: str, factor: float, kelvin: float = 298.0, category: str = "unknown"):
        return make_isotherm(
            gas="CO2",
            material="x",
            temperature=kelvin,
            pressure=np.array([1e3, 1e4, 1e5]),
            loading=factor * np.array([0.1, 1.0, 5.0]),
            source=source,
            category=category,  # type: ignore[arg-type]
        )

    many = [of("a", 1.0)] * 7 + [of("b", 2.0), of("c", 3.0)]
    found = consensus(many, 1e4, temperature=298.0)
    assert found is not None
    assert (found.median, found.papers, found.isotherms) == (2.0, 3, 9)
    assert (found.low, found.high) == (1.5, 2.5)
    assert found.log_std == pytest.approx(math.log(2.5 / 1.5) / 1.349)
    others = [of("d", 4.5, 313.0), of("e", 4.5, category="simulation"), of("f", 4.5, category="model")]
    assert consensus(many + others, 1e4, temperature=298.0) == found
    assert consensus(many, 2e5, temperature=298.0) is None
    assert consensus(many, 1e4, temperature=298.0, min_papers=4) is None
