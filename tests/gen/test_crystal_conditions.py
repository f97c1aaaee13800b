"""What may be asked of the generator, and what each wrong request is told."""

import pytest
import torch

from gen.crystals.conditions import draw_size, parse_conditions
from potentials.errors import InputError

ELEMENTS = (3, 8, 11, 15, 16, 17, 22, 38)  # Li O Na P S Cl Ti Sr
ATOM_COUNTS = {1: 5, 2: 40, 3: 0, 4: 30, 5: 20, 8: 10, 16: 5}
FORMULA_UNITS = {1: 60, 2: 40}


def parse(conditions):
    return parse_conditions(conditions, ELEMENTS, ATOM_COUNTS, FORMULA_UNITS)


def test_nothing_asked():
    conditions = parse(None)
    assert set(conditions.sizes) == {1, 2, 4, 5, 8, 16}
    assert conditions.species(8) == ()
    assert conditions.bounds.allowed == tuple(range(8))


def test_chemical_system():
    conditions = parse({"chemical_system": "Li-P-S"})
    assert conditions.bounds.allowed == tuple(conditions.bounds.lower) == (0, 3, 4)
    assert min(conditions.sizes) == 4  # three elements need three atoms, and no training crystal has three


def test_composition_is_whole_formula_units():
    conditions = parse({"composition": "Li3PS4"})
    assert set(conditions.sizes) == {8, 16}
    assert sorted(conditions.species(16)) == [0] * 6 + [3] * 2 + [4] * 8
    assert parse({"composition": "Na2Cl2"}).formula == parse({"composition": "NaCl"}).formula


def test_units_are_drawn_as_they_occur():
    conditions = parse({"composition": "NaCl"})
    generator = torch.Generator().manual_seed(0)
    sizes = [draw_size(conditions, generator) for _ in range(2000)]
    assert sizes.count(2) / 2000 == pytest.approx(0.6, abs=0.04)
    assert sizes.count(4) / 2000 == pytest.approx(0.4, abs=0.04)


def test_number_of_atoms_with_composition():
    assert set(parse({"composition": "NaCl", "num_atoms": 8}).sizes) == {8}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"chemical_sytem": "Li-O"}, "did you mean 'chemical_system'"),
        ({"colour": "red"}, "known conditions: num_atoms"),
        ({"chemical_system": "Li-Xx"}, "'Xx' is not an element"),
        ({"chemical_system": "Li-U"}, "not trained on U"),
        ({"chemical_system": "Li-Li"}, "names an element twice"),
        ({"chemical_system": ""}, "names no element"),
        ({"chemical_system": "Li-P-S", "num_atoms": 2}, "needs at least 3 atoms"),
        ({"composition": "Li3PS4", "num_atoms": 5}, "give a multiple of 8 atoms"),
        ({"composition": "Li17P"}, "fits none of the atom counts 1 to 16"),
        ({"composition": "hello"}, "is not a formula"),
        ({"composition": "Li0.5Cl"}, "whole atoms"),
        ({"composition": "LiCl", "chemical_system": "Na-Cl"}, "contradict"),
        ({"num_atoms": 17}, "outside 1 to 16"),
        ({"num_atoms": 0}, "outside 1 to 16"),
        ({"num_atoms": 2.5}, "not a whole number"),
        ({"num_atoms": True}, "not a whole number"),
    ],
)
def test_wrong_requests(conditions, message):
    with pytest.raises(InputError, match=message):
        parse(conditions)
