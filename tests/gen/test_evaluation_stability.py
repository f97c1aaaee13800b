"""Stability through a twin whose answers are known: Lennard-Jones crystals, whose hull one can write down."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gen.evaluation.hull import make_table
from gen.evaluation.stability import (
    TwinConfig,
    agreement_metrics,
    judge,
    msun_flags,
    placed,
    rmsd,
    second_opinion,
    stability_metrics,
)
from potentials.errors import InputError
from potentials.potential import load_potential

FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
A = 5.26  # Å, near the minimum for sigma = 3.4 Å
LJ = TwinConfig(potential="lj", fmax=1e-3, smax=1e-5, max_steps=100)


def argon(a=A, symbol="Ar"):
    return Structure(Lattice(np.array(FCC) * a), [symbol], [[0, 0, 0]])


def mixed():
    return Structure(Lattice.tetragonal(A / 2**0.5, A), ["Ar", "Kr"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def cohesive():
    """eV/atom of the relaxed crystal; all elements are alike to this potential."""
    (verdict,) = judge([argon()], make_table([("Ar", 0.0, True, "")], "lj", "", "0" * 64), LJ)
    assert verdict.energy is not None
    assert verdict.energy == pytest.approx(-0.0835, abs=0.005)  # 8.1 epsilon at a cutoff of 3 sigma
    return verdict.energy


def table(cohesive, above=0.0):
    rows = [("Ar", cohesive, True, ""), ("Kr", cohesive, True, ""), ("Ar3Kr", cohesive - above, True, "")]
    return make_table(rows, "lj", "by hand", "0" * 64)


def test_relaxed_crystals_sit_where_the_hull_says(cohesive):
    squeezed = argon(A * 0.97)
    verdicts = judge([squeezed, mixed()], table(cohesive), LJ)
    assert verdicts[0].above_hull == pytest.approx(0, abs=1e-4)
    assert verdicts[0].volume_change == pytest.approx((A / (A * 0.97)) ** 3 - 1, abs=0.03)
    assert verdicts[0].rmsd == 0  # one atom: strain is not displacement
    assert verdicts[1].above_hull == pytest.approx(0, abs=1e-4)  # fcc sites, two species that are alike
    (raised,) = judge([mixed()], table(cohesive, above=0.3), LJ)
    # half Ar, half Kr decomposes to 2/3 Ar3Kr + 1/3 Kr: 0.2 eV/atom below
    assert raised.above_hull == pytest.approx(0.2, abs=1e-4)
    assert not raised.metastable


def test_metastable_unique_novel_counts_each_crystal_once(cohesive):
    verdicts = judge([argon(), argon(A * 0.98), mixed(), argon(symbol="Xe")], table(cohesive), LJ)
    assert verdicts[3].failure == "no reference for Xe"
    assert msun_flags(verdicts, [True] * 4).tolist() == [True, False, True, False]
    assert msun_flags(verdicts, [False, True, True, True]).tolist() == [False, False, True, False]
    metrics = {m.name: m for m in stability_metrics(verdicts, [True] * 4, table(cohesive), LJ, "all")}
    assert metrics["msun"].value == 0.5
    assert metrics["metastable"].value == 0.75
    assert metrics["with_hull"].value == 0.75
    assert "lj" in metrics["msun"].protocol


def test_a_crystal_that_cannot_be_relaxed_stays_in_the_count(cohesive):
    crowded = Structure(Lattice.cubic(A), ["Ar", "Ar"], [[0, 0, 0], [0.001, 0, 0]])
    verdicts = judge([crowded, argon()], table(cohesive), LJ)
    assert verdicts[0].energy is None
    assert verdicts[0].failure
    metrics = {m.name: m.value for m in stability_metrics(verdicts, [True, True], table(cohesive), LJ, "all")}
    assert metrics["metastable"] == 0.5


def test_energies_of_two_potentials_are_never_mixed(cohesive):
    with pytest.raises(InputError, match=r"by lj, .* by chgnet-fast"):
        judge([argon()], table(cohesive))


def test_rmsd_forgets_translation_strain_and_images():
    before = mixed()
    after = Structure(
        Lattice(before.lattice.matrix * 1.1), before.species, before.frac_coords + np.array([0.93, 0.2, -0.4])
    )
    assert rmsd(before, after) == pytest.approx(0, abs=1e-9)
    moved = before.copy()
    moved.translate_sites([1], [0, 0, 0.1], to_unit_cell=False)
    # 0.1 c between two atoms: each moves half of it from their mean
    assert rmsd(before, moved) == pytest.approx(0.05 * A, abs=1e-9)


def test_a_second_judge_reports_agreement(cohesive):
    first = judge([argon(), argon(A * 0.98), mixed(), argon(symbol="Kr")], table(cohesive), LJ)
    # the same potential with energies twice as deep, against a hull twice as deep, that dislikes the mixture
    deep = load_potential("lj", epsilon=2 * 0.0103)
    rows = [("Ar", 2 * cohesive, True, ""), ("Kr", 2 * cohesive, True, ""), ("Ar3Kr", 2 * cohesive - 0.6, True, "")]
    other = make_table(rows, "lj-deep", "by hand", "0" * 64)
    second = second_opinion(first, other, deep)
    assert second[0].above_hull == pytest.approx(0, abs=1e-3)
    assert second[2].above_hull == pytest.approx(0.4, abs=1e-3)
    metrics = {m.name: m.value for m in agreement_metrics(first, second, [True] * 4, other)}
    # the first finds Ar, ArKr and Kr; the second confirms Ar and Kr
    assert metrics["msun_second"] == 0.5
    assert metrics["msun_confirmed"] == pytest.approx(2 / 3)


def test_a_verdict_can_be_placed_above_another_hull(cohesive):
    (verdict,) = judge([mixed()], table(cohesive), LJ)
    lower = placed(verdict, table(cohesive, above=0.3))
    assert lower.above_hull == pytest.approx(verdict.above_hull + 0.2, abs=1e-9)
    assert lower.energy == verdict.energy
    assert placed(verdict, make_table([("Ar", 0.0, True, "")], "lj", "", "0" * 64)).failure == "no reference for Kr"


def test_rattling_takes_a_crystal_off_the_saddle_its_symmetry_holds_it_on(cohesive):
    # simple cubic argon slides to denser packings, but no force on it says so
    cubic = Structure(Lattice.cubic(3.6), ["Ar"], [[0, 0, 0]]) * (2, 2, 2)
    held, freed = (judge([cubic], table(cohesive), LJ.model_copy(update={"rattle": size}))[0] for size in (0.0, 0.05))
    assert held.energy > cohesive + 0.01
    assert freed.energy < held.energy - 0.005
    assert "rattled by 0.05" in LJ.describe()
