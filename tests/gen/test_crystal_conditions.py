"""What may be asked of the generator, and what each wrong request is told."""

import pytest
import torch

from gen.crystals.conditions import draw_size, parse_conditions
from gen.crystals.properties import PropertySpec
from potentials.errors import InputError

ELEMENTS = (3, 8, 11, 15, 16, 17, 22, 38)  # Li O Na P S Cl Ti Sr
ATOM_COUNTS = {1: 5, 2: 40, 3: 0, 4: 30, 5: 20, 8: 10, 16: 5}
FORMULA_UNITS = {1: 60, 2: 40}


GAP = PropertySpec("band_gap", "scalar", mean=1.0, std=1.0, low=0.0, high=8.0, count=100)
GROUP = PropertySpec("space_group", "category", mean=0.0, std=1.0, low=1.0, high=230.0, count=100)


def parse(conditions, properties=()):
    return parse_conditions(conditions, ELEMENTS, ATOM_COUNTS, FORMULA_UNITS, properties)


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


@pytest.mark.parametrize("composition", [{"Li": 2, "O": ">=4", "P": "1-2"}, "Li=2 O>=4, P=1-2"])
def test_partial_composition(composition):
    conditions = parse({"composition": composition})
    assert conditions.bounds.lower == {0: 2, 1: 4, 3: 1}
    assert conditions.bounds.upper == {0: 2, 3: 2}
    assert set(conditions.sizes) == {8, 16}  # at least seven atoms
    assert conditions.violation([0, 0, 1, 1, 1, 1, 3, 5]) is None
    assert "asked for 2 to 2" in conditions.violation([0, 1, 1, 1, 1, 1, 3, 5])


def test_required_allowed_and_excluded_elements():
    conditions = parse({"required_elements": "Li,O", "excluded_elements": ["Ti", "U"], "allowed_elements": "Li O Ti S"})
    assert conditions.bounds.allowed == (0, 1, 4)
    assert conditions.demands(8) == ((0, 1), (1, 1))


def test_atom_counts_in_a_range_or_a_list():
    assert set(parse({"num_atoms": "4-6"}).sizes) == {4, 5, 6}
    assert set(parse({"num_atoms": [4, 16]}).sizes) == {4, 16}


def test_space_group_leaves_only_the_counts_its_orbits_make_up():
    assert set(parse({"space_group": "Fd-3m"}).sizes) == {2, 4, 8, 16}
    both = parse({"composition": "SrTiO3", "space_group": 221})
    assert (both.space_group, set(both.sizes)) == (221, {5})


def test_property_values():
    assert parse({"band_gap": "2.5"}, [GAP]).values == {"band_gap": 2.5}
    held = parse({"space_group": 225, "num_atoms": 2}, [GAP, GROUP])
    assert (held.space_group, held.values) == (225, {"space_group": 225.0})
    told = parse({"space_group_feature": 225}, [GROUP])
    assert (told.space_group, told.values) == (None, {"space_group": 225.0})


def test_a_value_outside_what_was_seen_is_allowed_with_a_warning(caplog):
    assert parse({"band_gap": -0.5}, [GAP]).values == {"band_gap": -0.5}
    assert "outside the 0 to 8" in caplog.text


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"band_gap": "wide"}, "not a number"),
        ({"band_gap": 50}, "far outside the 0 to 8"),
        ({"band_gpa": 2}, "did you mean 'band_gap'"),
        ({"hardness": 2}, "has seen: band_gap; sorbus finetune crystals --property hardness"),
        ({"space_group_feature": 225}, "never saw 'space_group'"),
    ],
)
def test_wrong_properties(conditions, message):
    with pytest.raises(InputError, match=message):
        parse(conditions, [GAP])


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"space_group": 230, "num_atoms": 5}, "space_group 230 cannot be had with 5 atoms"),
        ({"space_group": 230, "composition": "SrTiO3"}, "its orbits hold 8, 12, 16, 24, 48 atoms"),
        ({"space_group": 0}, "give a number 1 to 230"),
        ({"space_group": "Fm-3mm"}, "not a symbol"),
        ({"composition": {"Li": "some"}}, "is not 2, '>=2'"),
        ({"composition": "Li=2 and O"}, "cannot read"),
        ({"composition": "Li=4-2"}, "is no range"),
        ({"composition": {"Li": 12}, "num_atoms": 8}, "needs at least 12 atoms"),
        ({"composition": {"O": 4}, "excluded_elements": "O"}, "O: composition and .* contradict"),
        ({"composition": {"Li": 0}, "required_elements": "Li"}, "Li: composition and .* contradict"),
        ({"composition": "NaCl", "required_elements": "Li"}, "Li: required_elements and composition contradict"),
        ({"composition": "NaCl", "excluded_elements": "Cl"}, "Cl: composition and .* contradict"),
        ({"chemical_system": "Li-O", "allowed_elements": "Li"}, "O: chemical_system and allowed_elements contradict"),
        ({"chemical_system": "Li-O", "excluded_elements": "O"}, "contradict"),
        ({"allowed_elements": "Li", "excluded_elements": "Li"}, "no element is left"),
        ({"required_elements": 7}, "not a list of elements"),
        ({"num_atoms": "9-4"}, "empty range"),
    ],
)
def test_conditions_that_cannot_be_met(conditions, message):
    with pytest.raises(InputError, match=message):
        parse(conditions)


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
