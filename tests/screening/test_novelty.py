"""Novel, known, or open: three answers, each with its reason."""

import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta

from potentials.errors import InputError
from screening.candidate import Candidate, content_id
from screening.matching import formula_key
from screening.novelty import NoveltySettings, evaluate_novelty, published_formulas


def judge(structure, **settings):
    candidate = Candidate(content_id(structure), 0, structure, {})
    results = evaluate_novelty([candidate], NoveltySettings(**settings), 0)
    assert results[candidate.id].rejected is None
    (flag,) = results[candidate.id].properties
    assert (flag.name, flag.unit) == ("novel", "bool")
    return flag


def of_formula(**counts):
    symbols = [symbol for symbol, count in counts.items() for _ in range(count)]
    return Structure(Lattice.cubic(20), symbols, [(k / len(symbols), 0, 0) for k in range(len(symbols))])


def test_shipped_formulas_hold_well_known_frameworks():
    """HKUST-1, UiO-66 (as listed), MOF-5, Mg-MOF-74: C18H6Cu3O12, C24H12O13Zn4, C4HMgO3."""
    formulas = published_formulas()
    assert 8_000 < len(formulas) < 20_000
    known = [of_formula(C=18, H=6, Cu=3, O=12), of_formula(C=24, H=12, O=13, Zn=4), of_formula(C=4, H=1, Mg=1, O=3)]
    assert all(formula_key(structure) in formulas for structure in known)


def test_unknown_formula_is_novel_for_certain():
    flag = judge(of_formula(Cf=3, Xe=1))
    assert flag.value == 1.0
    assert "reduced formula" in flag.method


def test_known_formula_leaves_the_question_open():
    flag = judge(of_formula(Cu=3, C=18, H=6, O=12))
    assert flag.value is None
    assert flag.note == "formula C6CuH2O4 is known, structure not compared"


def test_reference_folder_is_compared_by_structure(tmp_path):
    cha().to(filename=str(tmp_path / "chabazite.cif"))
    found = judge(cha().get_primitive_structure(), reference=tmp_path, published=False)
    assert (found.value, found.note) == (0.0, "same structure as chabazite.cif")
    assert judge(lta(), reference=tmp_path, published=False).value == 1.0
    assert str(tmp_path) in found.method


def test_nothing_to_compare_with_is_said():
    flag = judge(cha(), published=False)
    assert flag.value is None
    assert "give a reference folder" in flag.note


def test_reference_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        judge(cha(), reference=tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no \.cif"):
        judge(cha(), reference=tmp_path)
    (tmp_path / "cut.cif").write_text("data_x\n_cell_length_a 3\n")
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=r"cut\.cif cannot be read as CIF"):
        judge(cha(), reference=tmp_path)


def test_reduced_formula_does_not_depend_on_the_cell():
    assert formula_key(cha()) == formula_key(lta()) == formula_key(cha() * (2, 1, 1)) == "O2Si"
