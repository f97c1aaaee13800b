"""The silica evaluator."""

import pytest
from pymatgen.core import Lattice, Structure

from gen.zeolites.geometry import relax_geometry
from gen.zeolites.nets import silica_of_net
from screening.candidate import Candidate
from screening.evaluators import find_evaluator, resolve
from screening.silica import SilicaSettings, analyse_silica, evaluate_silica


@pytest.fixture(scope="module")
def sodalite() -> Structure:
    """SOD, relaxed."""
    return relax_geometry([silica_of_net("sod")])[0].framework.to_structure()


def test_sodalite_is_recognised(sodalite: Structure) -> None:
    report = analyse_silica(sodalite)
    assert {"SOD", "sod"} & set(report.names)
    assert report.smallest_ring == 4
    assert report.mean_bond == pytest.approx(1.61, abs=0.01)
    assert report.tetrahedron < 5


def test_evaluator_is_registered_and_refuses(sodalite: Structure) -> None:
    assert resolve(find_evaluator("silica").function) is evaluate_silica
    found = evaluate_silica(Candidate("a", 0, sodalite, {}), SilicaSettings(), 0)
    assert found.rejected is None
    assert {p.name: p.value for p in found.properties}["four_connected"] == 1.0
    known = evaluate_silica(Candidate("a", 0, sodalite, {}), SilicaSettings(known=False), 0)
    assert "known" in (known.rejected or "")
    rings = evaluate_silica(Candidate("a", 0, sodalite, {}), SilicaSettings(min_ring=5), 0)
    assert "4 tetrahedra" in (rings.rejected or "")


@pytest.mark.parametrize("fault", ["missing", "element", "stretched"])
def test_what_is_no_silica_is_refused(sodalite: Structure, fault: str) -> None:
    broken = sodalite.copy()
    if fault == "missing":
        broken.remove_sites([17])
    elif fault == "element":
        broken.replace(0, "Ge")
    else:
        broken = Structure(Lattice(1.2 * broken.lattice.matrix), broken.species, broken.frac_coords)
    result = evaluate_silica(Candidate("a", 0, broken, {}), SilicaSettings(), 0)
    assert result.rejected
    assert result.properties[0].value == 0.0
