"""Hull energies against hulls worked out by hand, and pymatgen's."""

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from gen.evaluation.hull import energy_above_hull, hull_energy, make_table, read_table, write_table
from potentials.errors import InputError

# A toy binary: Na -1, Cl -2 eV/atom; NaCl -4 (formation -2.5); Na3Cl -2 against (0.5 NaCl + 0.5 Na): -2.5
TOY = [("Na", -1.0, True, ""), ("Cl", -2.0, True, ""), ("NaCl", -4.0, True, ""), ("Na3Cl", -2.0, False, "")]


def toy(rows=TOY):
    return make_table(rows, "toy", "by hand", "0" * 64)


@pytest.mark.parametrize(
    ("formula", "energy", "above", "mixture"),
    [
        ("NaCl", -4.0, 0.0, ("NaCl",)),
        ("Na2Cl2", -3.9, 0.1, ("NaCl",)),
        ("Na3Cl", -2.0, 0.5, ("Na", "NaCl")),  # half the atoms in NaCl, half in Na: -2.5
        ("NaCl3", -3.0, 0.0, ("Cl2", "NaCl")),  # half NaCl, half Cl: -3
        ("NaCl", -4.25, -0.25, ("NaCl",)),  # a find below the hull
        ("Na", -0.9, 0.1, ("Na",)),
    ],
)
def test_a_binary_by_hand(formula, energy, above, mixture):
    found = energy_above_hull(Composition(formula), energy, toy())
    assert found.energy == pytest.approx(above, abs=1e-9)
    assert tuple(sorted(found.decomposition)) == mixture


def test_it_agrees_with_pymatgen_on_a_random_ternary():
    rng = np.random.default_rng(3)
    rows = [(symbol, 0.0, True, "") for symbol in ("Li", "P", "S")]
    for _ in range(40):
        amounts = rng.integers(0, 5, 3)
        if (amounts > 0).sum() > 1:
            formula = "".join(f"{s}{n}" for s, n in zip(("Li", "P", "S"), amounts, strict=True) if n)
            rows.append((formula, float(rng.normal(-0.5, 0.5)), True, ""))
    table = toy(rows)
    entries = [
        PDEntry(Composition(p.formula), p.energy * Composition(p.formula).num_atoms) for p in table.phases.values()
    ]
    diagram = PhaseDiagram(entries)
    for phase, entry in zip(table.phases.values(), entries, strict=True):
        ours = energy_above_hull(Composition(phase.formula), phase.energy, table).energy
        assert ours == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-8)


def test_no_hull_is_said_not_guessed():
    assert energy_above_hull(Composition("KCl"), -3.0, toy()).reason == "no reference for K"
    lone = toy([("Na", -1.0, True, ""), ("K", -1.0, True, "")])
    assert energy_above_hull(Composition("NaK"), -1.0, lone).reason == "no reference compound in K-Na"
    assert hull_energy(Composition("NaK"), lone) is None
    assert energy_above_hull(Composition("Na"), -0.9, lone).energy == pytest.approx(0.1)


def test_phases_of_other_systems_do_not_enter():
    table = toy([*TOY, ("NaClO", -9.0, True, ""), ("O", -4.0, True, "")])
    assert energy_above_hull(Composition("NaCl"), -4.0, table).energy == pytest.approx(0)


def test_the_lowest_polymorph_counts_and_files_round_trip(tmp_path):
    table = toy([*TOY, ("Na2Cl2", -4.5, False, "ideal"), ("NaCl", -3.0, True, "")])
    assert table.phases["NaCl"].energy == -4.5
    first = write_table(table, tmp_path / "a.json.gz").read_bytes()
    back = read_table(tmp_path / "a.json.gz")
    assert back.phases == table.phases
    assert back.potential == "toy"
    assert write_table(back, tmp_path / "b.json.gz").read_bytes() == first


def test_a_damaged_table_is_named(tmp_path):
    path = write_table(toy(), tmp_path / "a.json.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"a\.json\.gz"):
        read_table(path)
    with pytest.raises(InputError, match="absent"):
        read_table(tmp_path / "absent.json.gz")
