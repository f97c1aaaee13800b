"""Pore geometry against published zeolites, and Zeo++ kept in its place."""

import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta, mfi

from screening.candidate import Candidate, content_id
from screening.pores import PoreSettings, evaluate_pores


def measure(structure, seed=0, **settings):
    candidate = Candidate(content_id(structure), 0, structure, {})
    return {item.name: item for item in evaluate_pores(candidate, PoreSettings(**settings), seed).properties}


@pytest.mark.parametrize(
    ("build", "pld", "lcd"), [(mfi, 4.247, 5.956), (lta, 3.814, 10.651), (cha, 3.319, 6.974)], ids=["MFI", "LTA", "CHA"]
)
def test_zeolite_diameters(build, pld, lcd):
    pores = measure(build())
    assert pores["pld_angstrom"].value == pytest.approx(pld, abs=0.15)
    assert pores["lcd_angstrom"].value == pytest.approx(lcd, abs=0.15)
    assert pores["density_g_cm3"].value == pytest.approx(build().density, rel=1e-3)


def test_surface_and_void_follow_the_probe():
    nitrogen, small = measure(lta()), measure(lta(), probe_radius=1.2)
    assert small["accessible_void_fraction"].value > nitrogen["accessible_void_fraction"].value > 0
    assert nitrogen["accessible_surface_m2_g"].value > 100
    ratio = nitrogen["accessible_surface_m2_cm3"].value / nitrogen["accessible_surface_m2_g"].value
    assert ratio == pytest.approx(lta().density, rel=1e-3)
    assert "1.2 Å" in small["accessible_void_fraction"].method


def test_windows_too_small_for_the_probe_leave_pockets():
    pores = measure(cha())  # its eight-rings pass 3.3 Å, less than nitrogen's 3.72 Å
    assert pores["accessible_surface_m2_g"].value == 0.0
    assert pores["channels"].value == 0.0
    assert pores["pockets"].value > 0


def test_results_repeat_and_do_not_depend_on_cell_setting():
    first, second = measure(lta(), seed=1), measure(lta(), seed=2)
    assert {name: item.value for name, item in first.items()} == {name: item.value for name, item in second.items()}
    rotated = lta().get_primitive_structure()
    assert measure(rotated)["pld_angstrom"].value == pytest.approx(first["pld_angstrom"].value, abs=1e-3)
    skewed = cha().get_primitive_structure()  # rhombohedral: 36 atoms
    assert measure(skewed)["lcd_angstrom"].value == pytest.approx(6.974, abs=0.02)


def test_folder_and_output_stay_clean(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    measure(cha())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_structure_zeo_must_not_see_is_a_note():
    flat = Structure(Lattice.orthorhombic(10, 10, 0.02), ["C"], [(0, 0, 0)])
    pores = measure(flat)
    assert pores["pld_angstrom"].value is None
    assert "cell height" in pores["pld_angstrom"].note


def test_a_hung_zeo_is_stopped():
    pores = measure(mfi(), timeout_s=0.01)
    assert pores["pld_angstrom"].value is None
    assert "within 0.01 s" in pores["pld_angstrom"].note


def test_published_zeolites_match_the_public_set(data):
    """Cell contents and densities of our builders against the public IZA set's own figures."""
    import csv

    table = data / "sorbents" / "iza_zeolites" / "iza_pore_metrics_poreblazer4_ar87K.csv"
    if not table.exists():
        pytest.skip(f"{table} is absent")
    rows = {next(iter(row.values())): row for row in csv.DictReader(table.open())}
    for build in (mfi, lta, cha):
        row = rows[build.__name__.upper()]
        density = next(float(value) for key, value in row.items() if key and "rho" in key.lower())
        assert build().density == pytest.approx(density, rel=2e-3)
