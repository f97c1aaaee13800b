"""The water stability flag: the weakest bond decides, the evidence says why."""

import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.adsorption_structures import mfi, mg_mof_74
from potentials.errors import InputError
from screening.candidate import Candidate
from screening.water_stability import (
    Shell,
    WaterStabilitySettings,
    _verdict,
    evaluate_water_stability,
    water_stability,
)


def test_mg_mof_74_is_labile_and_says_why():
    found = water_stability(mg_mof_74())
    assert found.flag == "labile"
    assert found.open_metal_sites > 0  # five-coordinate magnesium
    assert "Mg-O (carboxylate)" in found.evidence
    assert "heuristic" in found.evidence
    order = ["labile", "uncertain", "stable"]
    assert [v.flag for v in found.verdicts] == sorted((v.flag for v in found.verdicts), key=order.index)


def test_silica_is_stable():
    found = water_stability(mfi())
    assert found.flag == "stable"
    assert found.open_metal_sites == 0


def imidazolate(metal: str, protonated: bool = False) -> Structure:
    """A metal between the nitrogen atoms of two imidazole rings, in a wide cell."""
    ring = [("N", 0.0, 0.0), ("C", 1.10, 0.80), ("N", 2.20, 0.0), ("C", 1.78, -1.30), ("C", 0.42, -1.30)]
    species, places = [metal], [[10.0, 10.0, 10.0]]
    for sign in (1, -1):
        for symbol, x, y in ring:
            species.append(symbol)
            places.append([10.0 + sign * (2.0 + x), 10.0 + sign * y, 10.0])
        if protonated:
            species.append("H")
            places.append([10.0 + sign * (2.0 + 2.20 + 0.8), 10.0 + sign * 0.6, 10.0])
    return Structure(Lattice.cubic(20.0), species, places, coords_are_cartesian=True)


def test_azolate_nitrogen_holds_zinc_and_protonated_imidazole_does_not():
    found = water_stability(imidazolate("Zn"))
    assert found.flag == "stable"
    assert "azolate" in found.evidence
    assert water_stability(imidazolate("Zn", protonated=True)).flag == "uncertain"


@pytest.mark.parametrize(
    ("metal", "donor", "kind", "shell", "flag"),
    [
        ("Zr", "O", "carboxylate", Shell(8, False), "stable"),
        ("Al", "O", "hydroxide", Shell(6, False), "stable"),
        ("Cr", "O", "carboxylate", Shell(5, False), "stable"),
        ("Fe", "O", "carboxylate", Shell(5, False), "uncertain"),
        ("Fe", "O", "carboxylate", Shell(6, True), "stable"),
        ("Cu", "O", "carboxylate", Shell(4, False), "uncertain"),
        ("Cu", "O", "carboxylate", Shell(5, True), "stable"),
        ("Cu", "N", "amine or pyridine", Shell(5, True), "stable"),
        ("Cu", "N", "amine or pyridine", Shell(2, True), "uncertain"),
        ("Zn", "O", "carboxylate", Shell(4, False), "labile"),
        ("Mg", "O", "carboxylate", Shell(6, True), "labile"),
        ("La", "O", "carboxylate", Shell(9, False), "stable"),
        ("La", "O", "carboxylate", Shell(7, False), "labile"),
        ("Yb", "O", "carboxylate", Shell(7, False), "stable"),
        ("Ca", "O", "carboxylate", Shell(5, False), "labile"),
        ("Ca", "O", "carboxylate", Shell(8, False), "uncertain"),
        ("Th", "O", "carboxylate", Shell(9, False), "stable"),
        ("Zn", "O", "water", Shell(6, False), "uncertain"),
        ("Cd", "S", "donor", Shell(4, False), "stable"),
        ("Al", "S", "donor", Shell(4, False), "labile"),
        ("Po", "O", "carboxylate", Shell(6, False), "uncertain"),
    ],
)
def test_rules(metal, donor, kind, shell, flag):
    verdict = _verdict(metal, donor, kind, 4, shell)
    assert verdict.flag == flag
    assert verdict.reason
    assert f"{metal}-{donor}" in verdict.bond


def test_the_middle_of_a_phosphonate_is_no_donor():
    # Zr - O - P(O)(O): zirconium lies 3 Å from phosphorus, which a generous bond length may take for a bond
    species = ["Zr", "O", "P", "O", "O"]
    places = [[8.0, 8.0, 8.0], [10.05, 8.0, 8.0], [10.6, 9.4, 8.0], [10.1, 10.2, 9.2], [12.1, 9.4, 8.0]]
    found = water_stability(Structure(Lattice.cubic(18.0), species, places, coords_are_cartesian=True))
    assert not any(verdict.bond.startswith("Zr-P") for verdict in found.verdicts)
    assert any(verdict.bond.startswith("Zr-O") for verdict in found.verdicts)


def test_boronate_is_labile_and_bare_carbon_stable():
    boroxine = Structure(Lattice.cubic(12.0), ["B", "O", "C"], [[0.5, 0.5, 0.5], [0.612, 0.5, 0.5], [0.37, 0.5, 0.5]])
    assert water_stability(boroxine).flag == "labile"
    carbon = Structure(Lattice.cubic(12.0), ["C", "C"], [[0.5, 0.5, 0.5], [0.62, 0.5, 0.5]])
    assert water_stability(carbon).flag == "stable"


def test_evaluator_and_bad_input():
    found = evaluate_water_stability(Candidate("x", 0, mg_mof_74(), {}), WaterStabilitySettings(), 0)
    (flag,) = found.properties
    assert (flag.name, flag.value) == ("water_stability_flag", 0.0)
    assert "heuristic" in flag.method
    assert "Mg-O" in flag.note
    mixed = Structure(Lattice.cubic(5.0), [{"Zn": 0.5, "Cd": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="partially occupied"):
        water_stability(mixed)
