"""The metrics against structures whose answer is known."""

import gzip
import json

import pytest
from crystal_samples import dataset, fcc, perovskite, rock_salt, structures
from pymatgen.core import Composition, Lattice, Structure

from gen.evaluation import evaluate_crystals, read_reference
from gen.evaluation.composition import is_charge_neutral, is_smact_valid, passes_pauling
from gen.evaluation.crystals import space_group
from gen.evaluation.novelty import novel_flags, novel_flags_by_matching, unique_flags
from gen.evaluation.reference import write_reference
from gen.evaluation.validity import is_structure_valid
from potentials.errors import InputError


@pytest.mark.parametrize(
    ("formula", "neutral", "valid"),
    [
        ("NaCl", True, True),
        ("SrTiO3", True, True),
        ("Li3PS4", True, True),
        ("Na2Cl", False, False),
        ("SrTiO9", False, False),
        ("Cu3Au", False, True),  # an alloy: valid by exemption, not neutral
        ("Si", True, True),
        ("Mg(AlO2)2", True, True),
    ],
)
def test_composition_rules(formula, neutral, valid):
    assert is_charge_neutral(Composition(formula)) is neutral
    assert is_smact_valid(Composition(formula)) is valid


def test_multiples_of_a_formula_agree():
    assert is_smact_valid(Composition("Na4Cl4")) == is_smact_valid(Composition("NaCl"))


def test_pauling_asks_every_cation_to_be_less_electronegative():
    assert passes_pauling((1, -1), [0.93, 3.16])
    assert not passes_pauling((-1, 1), [0.93, 3.16])
    assert not passes_pauling((2, 3, -2), [0.95, 3.5, 3.44])
    assert passes_pauling((1, -1), [None, 3.16])  # no value, no objection


def test_structure_validity():
    assert all(is_structure_valid(structure) for structure in structures())
    close = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.1, 0, 0]])  # 0.40 Å
    across = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0.05, 0, 0], [0.95, 0, 0]])  # 0.40 Å over the edge
    own_image = Structure(Lattice.orthorhombic(0.4, 5, 5), ["Na"], [[0, 0, 0]])
    assert not any(is_structure_valid(s) for s in (close, across, own_image))
    tiny = Structure(Lattice.cubic(0.45), ["Na"], [[0, 0, 0]])  # 0.09 Å^3
    assert not is_structure_valid(tiny)


def test_uniqueness_sees_through_cells_and_origins():
    salt = rock_salt("Na", "Cl", 5.64)
    shifted = salt.copy()
    shifted.translate_sites([0, 1], [0.2, 0.3, 0.1])
    supercell = salt * (2, 1, 1)
    caesium_chloride_type = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    flags = unique_flags([salt, shifted, supercell, caesium_chloride_type, rock_salt("K", "Cl", 6.292)])
    assert flags == [True, False, False, True, True]


def test_reference_round_trip(tmp_path):
    write_reference(tmp_path, dataset())
    first = (tmp_path / "reference.json.gz").read_bytes()
    write_reference(tmp_path, dataset())
    assert (tmp_path / "reference.json.gz").read_bytes() == first
    reference = read_reference(tmp_path)
    assert sum(len(prints) for prints in reference.training.values()) == 17
    (salt,) = reference.training["NaCl"]
    assert (salt.n_atoms, salt.volume_per_atom) == (2, pytest.approx(5.64**3 / 8, abs=1e-3))
    # 2.16 g/cm^3 is the handbook density of rock salt
    assert reference.density.tolist() == pytest.approx([2.164, 3.585, 5.117], abs=0.02)
    assert sorted(reference.elements.tolist()) == [2, 2, 3]


def test_novelty(tmp_path):
    write_reference(tmp_path, dataset())
    reference = read_reference(tmp_path)
    known, other_volume, other_formula = (
        rock_salt("Na", "Cl", 5.70),
        rock_salt("Na", "Cl", 6.30),
        rock_salt("Rb", "Cl", 6.581),
    )
    assert novel_flags([known, other_volume, other_formula], reference) == [False, True, True]
    assert novel_flags_by_matching([known, other_formula], structures()) == [False, True]


def test_metrics_and_their_protocols(tmp_path):
    write_reference(tmp_path, dataset())
    sample = [rock_salt("Na", "Cl", 5.64), rock_salt("Na", "Cl", 5.65), fcc("Cu", 3.615), perovskite("Sr", "Ti", 3.9)]
    metrics = {m.name: m for m in evaluate_crystals(sample, read_reference(tmp_path), training=structures())}
    assert metrics["structural_validity"].value == 1
    assert metrics["smact_validity"].value == 1
    assert metrics["unique"].value == 0.75
    assert metrics["not_p1"].value == 1
    assert metrics["novel"].value == metrics["novel_by_matching"].value == 0
    # elements 2, 2, 1, 3 against the reference's 2, 2, 3: sorted, |1-2| over the first quarter, 1/12 of 3-2
    assert metrics["wasserstein_elements"].value == pytest.approx(1 / 4 + 1 / 12)
    assert all(metric.protocol.endswith("n = 4") for metric in metrics.values())
    assert "ICSD24" in metrics["smact_validity"].protocol


def test_density_of_the_training_set_comes_from_its_fingerprints(tmp_path):
    """The training set itself is no distance away, up to the rounding of volumes; half the volume is."""
    write_reference(tmp_path, dataset())
    reference = read_reference(tmp_path)
    assert sorted(reference.training_density()) == pytest.approx(sorted(s.density for s in structures()), rel=1e-3)
    metrics = {m.name: m for m in evaluate_crystals(structures(), reference)}
    assert metrics["wasserstein_density_training"].value == pytest.approx(0, abs=2e-3)
    dense = [Structure(s.lattice.scale(s.volume / 2), s.species, s.frac_coords) for s in structures()]
    mean = sum(s.density for s in structures()) / len(structures())
    moved = {m.name: m for m in evaluate_crystals(dense, reference)}["wasserstein_density_training"]
    assert moved.value == pytest.approx(mean, rel=1e-3)


def test_shipped_reference_is_the_default():
    metrics = {metric.name: metric for metric in evaluate_crystals([rock_salt("Na", "Cl", 5.64)])}
    assert "training crystals" in metrics["novel"].protocol
    assert metrics["unique"].value == 1


def test_space_group():
    assert space_group(rock_salt("Na", "Cl", 5.64)) == 225
    lattice = Lattice.from_parameters(4.1, 5.3, 6.2, 81, 95, 103)
    assert space_group(Structure(lattice, ["Na", "Cl", "O"], [[0, 0, 0], [0.21, 0.34, 0.47], [0.6, 0.1, 0.8]])) == 1


def test_what_cannot_be_evaluated(tmp_path):
    with pytest.raises(InputError, match="no structures"):
        evaluate_crystals([])
    with pytest.raises(InputError, match=r"structure 0 .* is disordered"):
        evaluate_crystals([Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])])
    with pytest.raises(InputError, match="cannot read"):
        read_reference(tmp_path)
    (tmp_path / "reference.json.gz").write_bytes(gzip.compress(json.dumps({"training": []}).encode())[:-9])
    with pytest.raises(InputError, match="cannot read"):
        read_reference(tmp_path)
