"""All tests of a framework at once, and the coordination tests each on its own defect."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha

from potentials.errors import InputError
from screening.bonds import bond_graph
from screening.coordination import (
    carbon_fault,
    crowded_fault,
    largest_coordination,
    metal_fault,
    nitrogen_fault,
    oxygen_fault,
    surroundings,
)
from screening.structure_checks import CheckSettings, failures, format_checks, structure_checks
from screening.validity import overlap_fault

DENSE = CheckSettings(min_pld_angstrom=0)


def cluster(symbols, positions):
    """Atoms at Cartesian positions (Å) in a large box."""
    return Structure(Lattice.cubic(20.0), symbols, np.array(positions) + 10.0, coords_are_cartesian=True)


def around(symbols, positions):
    structure = cluster(symbols, positions)
    return surroundings(structure, bond_graph(structure))


def outcomes(checks):
    return {check.name: check.outcome for check in checks}


def test_a_zeolite_passes_all_and_the_table_says_so():
    checks = structure_checks(cha(), relaxed=cha())
    assert set(outcomes(checks).values()) == {"passed"}
    assert not failures(checks)
    table = format_checks(checks)
    for words in ("PLD 3.3", "coordination of metals", "volume +0.0 %"):
        assert words in table


def test_several_defects_are_all_told():
    structure = cha()
    structure.append("Zn", structure[0].coords + np.array([0.6, 0.0, 0.0]), coords_are_cartesian=True)
    grid = np.stack(np.meshgrid(*[np.arange(0, 1, 0.1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    far = grid[structure.lattice.get_all_distances(grid, structure.frac_coords).min(axis=1).argmax()]
    structure.append("Ar", far)
    failed = {check.name: check.finding for check in failures(structure_checks(structure, DENSE))}
    assert "overlap" in failed["distances"]
    assert "Ar1" in failed["floating part"]
    assert outcomes(structure_checks(structure, DENSE))["dimension"] == "passed"


def test_what_the_gate_stops_is_not_run_and_has_the_same_names():
    flat = Structure(Lattice.orthorhombic(10, 10, 0.02), ["C"], [(0, 0, 0)])
    checks = structure_checks(flat)
    assert [check.name for check in checks] == [check.name for check in structure_checks(cha(), DENSE)]
    assert checks[0].outcome == "failed"
    assert {check.outcome for check in checks[1:]} == {"not run"}


def test_narrow_pores_and_a_collapse_are_failures():
    assert "below 5 Å" in next(c.finding for c in failures(structure_checks(cha(), CheckSettings(min_pld_angstrom=5))))
    shrunk = cha()
    shrunk.scale_lattice(0.6 * shrunk.volume)
    (failed,) = failures(structure_checks(cha(), DENSE, relaxed=shrunk))
    assert failed.name == "relaxation"
    assert "volume changed by -40 %" in failed.finding
    with pytest.raises(InputError, match="different atoms"):
        structure_checks(cha(), DENSE, relaxed=Structure.from_sites(cha()[:10]))


def test_a_bent_carbon_lacks_its_hydrogen_and_a_straight_one_does_not():
    bent = around(["O", "C", "N"], [[1.3, 0, 0], [0, 0, 0], [-0.7, 1.212, 0]])
    assert "120° apart" in (carbon_fault(bent) or "")
    places = [[0, 0, 0], [1.15, 0, 0], [2.6, 0, 0], [3, 1.0, 0], [3, -0.5, 0.9], [3, -0.5, -0.9]]
    straight = around(["N", "C", "C", "H", "H", "H"], places)
    assert carbon_fault(straight) is None
    assert nitrogen_fault(straight) is None  # acetonitrile's end


def test_a_bare_nitrogen_on_a_ring_is_named():
    ring = around(["N", "C", "C", "C"], [[0, 0, 0], [1.4, 0, 0], [2.1, 1.2, 0], [2.1, -1.2, 0]])
    assert "N (atom 0) has 1 neighbours, below 2" in (nitrogen_fault(ring) or "")


@pytest.mark.parametrize(("metal", "distance", "fails"), [("V", 1.6, False), ("U", 1.78, False), ("Zn", 2.0, True)])
def test_a_terminal_oxide_belongs_to_metals_that_form_it(metal, distance, fails):
    found = around([metal, "O"], [[0, 0, 0], [distance, 0, 0]])
    assert bool(oxygen_fault(found)) == fails
    assert overlap_fault(found.graph, 0.75) is None


def test_an_overlap_on_an_oxo_metal_is_still_found():
    assert "below 0.62" in (overlap_fault(around(["V", "O"], [[0, 0, 0], [1.2, 0, 0]]).graph, 0.75) or "")


def sphere(metal, count):
    """`count` oxygens at 2.0 Å from a metal, spread over a sphere (golden spiral)."""
    k = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    return around([metal, *["O"] * count], [[0, 0, 0], *(2.0 * unit)])


LIMITS = [
    ("Cu", 6, None),
    ("Cu", 7, "above 6"),
    ("Zr", 8, None),
    ("Zr", 10, "above 9"),
    ("Zn", 1, "below 2"),
    ("Zn", 2, None),
]


@pytest.mark.parametrize(("metal", "count", "word"), LIMITS)
def test_metals_have_a_least_and_a_largest_coordination(metal, count, word):
    fault = metal_fault(sphere(metal, count))
    assert (fault is None) if word is None else word in (fault or "")


def test_carbon_of_a_carboxylate_is_no_ligand():
    acetate = around(["Na", "O", "O", "C", "C"], [[0, 0, 0], [1.9, 1.1, 0], [1.9, -1.1, 0], [2.5, 0, 0], [4.0, 0, 0]])
    assert acetate.ligands[0] == 2


@pytest.mark.parametrize(
    ("number", "limit"), [(30, 8), (29, 6), (13, 6), (57, 12), (68, 12), (74, 8), (40, 9), (19, 12)]
)
def test_limits_follow_the_table(number, limit):
    assert largest_coordination(number) == limit


def test_hydrogen_between_two_oxygens_is_crowded():
    assert "above 1" in (crowded_fault(around(["O", "H", "O"], [[0, 0, 0], [1.1, 0, 0], [2.2, 0, 0]]), "H") or "")
