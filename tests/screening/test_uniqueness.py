"""Equal structures are found whatever their description, different ones are kept apart."""

import numpy as np
from pymatgen.core import Lattice, Structure
from structures.published import cha, lta

from screening.candidate import Candidate, content_id
from screening.matching import formula_key, network_hash
from screening.uniqueness import UniquenessSettings, evaluate_uniqueness


def candidates(*structures, nets=()):
    rows = []
    for index, structure in enumerate(structures):
        provenance = {"net": nets[index]} if nets else {}
        rows.append(Candidate(f"{index}-{content_id(structure)}", index, structure, provenance))
    return rows


def verdicts(rows, **settings):
    results = evaluate_uniqueness(rows, UniquenessSettings(**settings), 0)
    assert set(results) == {row.id for row in rows}
    return [results[row.id].rejected for row in rows]


def diamond():
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [(0, 0, 0)])


def lonsdaleite():
    # P6_3/mmc, a = 2.51 Å, c = 4.12 Å (Bundy & Kasper, J. Chem. Phys. 1967)
    return Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(2.51, 4.12), ["C"], [(1 / 3, 2 / 3, 0.0625)])


def shifted(structure, seed=0):
    """The same crystal with another origin, atom order, wrapping and a little noise."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(structure))
    fractions = (structure.frac_coords + rng.random(3))[order] % 1.0
    moved = Structure(structure.lattice, [structure[int(k)].specie for k in order], fractions)
    positions = moved.cart_coords + rng.normal(0, 0.01, (len(moved), 3))
    return Structure(moved.lattice, moved.species, positions, coords_are_cartesian=True)


def test_other_settings_of_one_structure_are_duplicates_of_the_first():
    rows = candidates(cha(), shifted(cha()), cha().get_primitive_structure(), lta(), diamond(), diamond() * (2, 1, 1))
    assert verdicts(rows) == [
        None,
        "same structure as candidate 0",
        "same structure as candidate 0",
        None,
        None,
        "same structure as candidate 4",
    ]


def test_the_first_proposed_stays_whatever_the_order_given():
    rows = candidates(cha(), shifted(cha()))
    assert verdicts(rows[::-1]) == ["same structure as candidate 0", None]


def test_polytypes_with_one_formula_and_one_coordination_stay_apart():
    assert formula_key(diamond()) == formula_key(lonsdaleite())
    assert network_hash(diamond()) == network_hash(lonsdaleite())  # four-connected carbon, both
    assert verdicts(candidates(diamond(), lonsdaleite())) == [None, None]
    assert verdicts(candidates(diamond(), lonsdaleite()), compare_geometry=False)[1] == "same structure as candidate 0"


def test_another_net_or_element_is_another_structure():
    assert verdicts(candidates(diamond(), diamond(), nets=("dia", "lon"))) == [None, None]
    silicon = Structure(Lattice.cubic(5.43), ["Si"] * 8, diamond().frac_coords)
    assert verdicts(candidates(diamond(), silicon)) == [None, None]


def test_network_hash_sees_bonds_not_descriptions():
    assert network_hash(cha()) == network_hash(shifted(cha(), 1)) == network_hash(cha() * (1, 1, 2))
    broken = cha()
    broken.remove_sites([len(broken) - 1])
    assert network_hash(broken) != network_hash(cha())
    assert network_hash(cha()) != network_hash(lta() * (1, 1, 1)) or formula_key(cha()) == formula_key(lta())


def test_an_unsound_structure_does_not_stop_the_rest():
    flat = Structure(Lattice.orthorhombic(9, 9, 0.01), ["C"], [(0, 0, 0)])
    assert verdicts(candidates(flat, flat, diamond(), diamond())) == [None, None, None, "same structure as candidate 2"]


def test_flag_and_method_are_recorded():
    rows = candidates(diamond(), diamond())
    results = evaluate_uniqueness(rows, UniquenessSettings(), 0)
    flags = [results[row.id].properties[0] for row in rows]
    assert [(flag.name, flag.value, flag.unit) for flag in flags] == [("unique", 1.0, "bool"), ("unique", 0.0, "bool")]
    assert "StructureMatcher" in flags[0].method
