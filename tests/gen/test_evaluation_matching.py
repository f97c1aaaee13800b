"""Match rates, METRe and coverage against cases worked out by hand."""

import numpy as np
import pytest
from crystal_samples import fcc, perovskite, rock_salt, structures
from pymatgen.core import Lattice, Structure

from gen.evaluation.coverage import (
    Cutoffs,
    average_minimum_distances,
    calibrated_cutoffs,
    coverage_metrics,
    cumulated_composition,
    fingerprints,
    read_held_out,
    write_held_out,
)
from gen.evaluation.matching import match_metrics, match_samples
from potentials.errors import InputError

SALT = rock_salt("Na", "Cl", 5.64)
CAESIUM_TYPE = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
POTASSIUM = rock_salt("K", "Cl", 6.292)


def values(metrics):
    return {metric.name: metric.value for metric in metrics}


def test_identical_sets_match_fully():
    known = structures()
    found = values(match_metrics(match_samples([[s] for s in known], known)))
    assert found["match_rate_1_ungated"] == 1
    assert found["metre"] == 1
    assert found["rmse_1_ungated"] == found["crmse"] == pytest.approx(0, abs=1e-6)


def test_rates_at_one_and_two():
    # NaCl: wrong, then right; KCl: wrong both times (a sample of another composition, and none at all)
    matches = match_samples([[CAESIUM_TYPE, SALT], [CAESIUM_TYPE, None]], [SALT, POTASSIUM])
    found = values(match_metrics(matches))
    assert found["match_rate_1_ungated"] == 0
    assert found["match_rate_2_ungated"] == 0.5
    assert found["metre"] == 0.5
    assert found["crmse"] == pytest.approx((0 + 0.5) / 2, abs=1e-6)
    assert "rmse_1_ungated" not in found


def test_metre_looks_at_every_sample_of_the_composition():
    # two polymorphs, each predicted as the other: no pair matches, every reference is found
    matches = match_samples([[CAESIUM_TYPE], [SALT]], [SALT, CAESIUM_TYPE])
    found = values(match_metrics(matches))
    assert found["match_rate_1_ungated"] == 0
    assert found["metre"] == 1


def test_the_gate_drops_invalid_samples_and_references():
    odd = Structure(Lattice.cubic(3.4), ["Na", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])  # not neutral
    found = values(match_metrics(match_samples([[odd], [SALT]], [odd, SALT])))
    assert found["match_rate_1_ungated"] == 1
    assert found["match_rate_1_gated"] == 0.5


def test_what_cannot_be_matched():
    with pytest.raises(InputError, match="1 lists of samples for 2 references"):
        match_samples([[SALT]], [SALT, SALT])
    with pytest.raises(InputError, match="same number"):
        match_samples([[SALT], []], [SALT, SALT])
    with pytest.raises(InputError, match="k = 3"):
        match_metrics(match_samples([[SALT]], [SALT]), k=3)


def test_average_minimum_distances_of_known_crystals():
    # simple cubic: 6 neighbours at 1, 12 at sqrt 2, 8 at sqrt 3, in units of the cell
    simple = Structure(Lattice.cubic(3.3), ["Po"], [[0, 0, 0]])
    expected = [1.0] * 6 + [2**0.5] * 12 + [3**0.5] * 6
    assert average_minimum_distances(simple) == pytest.approx(expected, abs=1e-9)
    # 12 neighbours at a / sqrt 2 and 6 at a, a volume of a^3 / 4 an atom
    unit = 4 ** (-1 / 3)
    assert average_minimum_distances(fcc("Cu", 3.615))[:18] == pytest.approx(
        [2**-0.5 / unit] * 12 + [1 / unit] * 6, abs=1e-9
    )
    # a supercell, a shift and another scale change nothing
    moved = perovskite("Sr", "Ti", 3.905) * (2, 1, 1)
    moved.translate_sites(range(len(moved)), [0.1, 0.2, 0.3])
    moved.scale_lattice(1.3 * moved.volume)
    assert average_minimum_distances(moved) == pytest.approx(
        average_minimum_distances(perovskite("Sr", "Ti", 3.905)), abs=1e-8
    )


def test_composition_distance_is_the_earth_movers():
    # half the atoms move from Na to K, at their distance on Pettifor's scale (Mendeleev numbers 11 and 10)
    difference = cumulated_composition(SALT.composition) - cumulated_composition(POTASSIUM.composition)
    assert np.abs(difference).sum() == pytest.approx(0.5)


def test_identical_sets_cover_each_other():
    known = fingerprints(structures())
    found = values(coverage_metrics(known, known, Cutoffs(1e-6, 1e-6), "themselves"))
    assert found == {"coverage_recall": 1, "coverage_precision": 1}


def test_coverage_by_hand():
    # NaCl is covered (KCl is half a Mendeleev number away and of equal structure), Cu and the perovskite are not;
    # of two generated crystals and one without a fingerprint one is near
    known = fingerprints([SALT, fcc("Cu", 3.615), perovskite("Sr", "Ti", 3.905)])
    generated = fingerprints([POTASSIUM, CAESIUM_TYPE])
    found = values(coverage_metrics(generated, known, Cutoffs(0.01, 0.6), "three", count=3))
    assert found == {"coverage_recall": pytest.approx(1 / 3), "coverage_precision": pytest.approx(1 / 3)}


def test_cutoffs_hold_the_share_they_are_calibrated_for():
    known = fingerprints(structures())
    assert calibrated_cutoffs(known, known) == Cutoffs(0.0, 0.0)
    cutoffs = calibrated_cutoffs(fingerprints([POTASSIUM]), fingerprints([SALT]), share=1.0)
    assert (cutoffs.structure, cutoffs.composition) == (pytest.approx(0, abs=1e-9), pytest.approx(0.5))


def test_held_out_fingerprints_ship_and_round_trip(tmp_path):
    shipped, cutoffs = read_held_out()
    assert len(shipped) > 500
    assert 0 < cutoffs.structure < 0.3
    assert np.allclose(shipped.composition[:, -1], 1, atol=1e-3)
    some = fingerprints(structures())
    back, _ = read_held_out(write_held_out(tmp_path / "c.json.gz", some, cutoffs, "0" * 64))
    assert np.allclose(back.structure, some.structure, atol=1e-3)
    assert np.allclose(back.composition, some.composition, atol=1e-4)
    with pytest.raises(InputError, match="absent"):
        read_held_out(tmp_path / "absent.json.gz")
