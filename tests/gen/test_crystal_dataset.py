"""From CIF to training set: parsing, primitive Niggli cells, cleaning, duplicates, the hold-out."""

import numpy as np
import pytest
from crystal_samples import perovskite, rock_salt
from pymatgen.core import Lattice, Structure

from gen.crystals.config import DataConfig
from gen.crystals.dataset import (
    Crystal,
    clean,
    deduplicate,
    is_held_out,
    load_dataset,
    minimum_distance,
    reduce_crystal,
)
from gen.crystals.sources import RawCrystal, parse_cif, read_formulas
from potentials.errors import InputError
from potentials.files import data_root

CONFIG = DataConfig()
needs_data = pytest.mark.skipif(
    not (data_root() / "crystals").is_dir(), reason=f"the public crystal sets are not in {data_root()}"
)


def raw(structure: Structure) -> RawCrystal:
    numbers = np.array([site.specie.Z for site in structure])
    return RawCrystal("test/1", numbers, structure.frac_coords, structure.lattice.matrix)


def reduced(structure: Structure) -> Crystal:
    crystal = reduce_crystal(raw(structure))
    assert isinstance(crystal, Crystal)
    return crystal


def test_conventional_cell_becomes_primitive_and_niggli():
    conventional = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal = reduced(conventional)
    assert len(crystal.numbers) == 2
    assert crystal.space_group == 225
    assert crystal.formula == "NaCl"
    assert Lattice(crystal.lattice).parameters == pytest.approx((5.64 / 2**0.5,) * 3 + (60.0,) * 3)
    assert crystal.volume_per_atom == pytest.approx(5.64**3 / 8)
    assert minimum_distance(crystal.frac, crystal.lattice) == pytest.approx(5.64 / 2)


def test_one_atom_sees_its_own_images():
    assert minimum_distance(np.zeros((1, 3)), np.eye(3) * 2.7) == pytest.approx(2.7)


def test_cif_round_trip():
    structure = perovskite("Sr", "Ti", 3.905)
    crystal = parse_cif(structure.to(fmt="cif"), "srtio3")
    assert sorted(crystal.numbers.tolist()) == [8, 8, 8, 22, 38]
    assert Lattice(crystal.lattice).volume == pytest.approx(3.905**3, rel=1e-6)


def test_cif_with_symmetry_is_expanded():
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal = parse_cif(structure.to(fmt="cif", symprec=0.01), "nacl")
    assert sorted(crystal.numbers.tolist()) == [11] * 4 + [17] * 4


def test_partial_occupancy_is_refused():
    structure = Structure(Lattice.cubic(3.9), [{"Sr": 0.5, "Ba": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="occupancy"):
        parse_cif(structure.to(fmt="cif"), "solution")


def test_reasons_to_leave_a_crystal_out():
    salt = reduced(rock_salt("Na", "Cl", 5.64))
    assert clean(salt, CONFIG, set()) is None
    assert clean(salt, CONFIG, {"NaCl"}) == "formula of a test split"
    assert clean(reduced(rock_salt("Xe", "F", 6.0)), CONFIG, set()) == "excluded element"
    assert clean(reduced(rock_salt("Na", "Cl", 12.0)), CONFIG, set()) == "too dilute"
    assert clean(reduced(rock_salt("Na", "Cl", 1.0)), CONFIG, set()) == "atoms overlap"
    assert clean(salt, DataConfig(max_atoms=1), set()) == "too many atoms"


def test_duplicates_are_told_by_formula_size_group_and_volume():
    salt, same, wider = (reduced(rock_salt("Na", "Cl", a)) for a in (5.64, 5.65, 5.80))
    assert deduplicate([salt, same, wider]) == [salt, wider]


def test_hold_out_keeps_polymorphs_together_and_its_share():
    formulas = [f"Na{i}Cl{j}" for i in range(1, 60) for j in range(1, 60)]
    share = np.mean([is_held_out(formula, 0.05) for formula in formulas])
    assert share == pytest.approx(0.05, abs=0.015)
    assert is_held_out("NaCl", 0.05) == is_held_out("NaCl", 0.05)


def test_missing_data_folder_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("SORBUS_DATA", str(tmp_path))
    with pytest.raises(InputError, match="set SORBUS_DATA"):
        load_dataset(DataConfig(cache=str(tmp_path)))


@needs_data
def test_test_formulas_can_be_read():
    formulas = read_formulas("mp20_biternary_test")
    assert len(formulas) > 2000
    assert all(len(formula) >= 1 for formula in formulas)
