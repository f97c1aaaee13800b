"""The relaxation evaluator, with a fast analytic potential and (slow) with CHGNet on a framework."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from structures.published import cha

from potentials.config import parse_config
from potentials.errors import InputError
from screening.candidate import Candidate, content_id
from screening.relaxation import RelaxationSettings, evaluate_relaxation


def relax_one(structure, **settings):
    return evaluate_relaxation(Candidate(content_id(structure), 0, structure, {}), RelaxationSettings(**settings), 0)


def value(evaluation, name):
    return next(item.value for item in evaluation.properties if item.name == name)


def rattled_copper():
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.8), ["Cu"], [(0, 0, 0)])
    positions = copper.cart_coords + np.random.default_rng(0).normal(0, 0.05, (len(copper), 3))
    return Structure(copper.lattice, copper.species, positions, coords_are_cartesian=True)


def test_copper_relaxes_to_its_lattice_constant():
    """EMT's copper has a = 3.59 Å (Jacobsen, Stoltze & Norskov, Surf. Sci. 1996: 3.61 Å experimental)."""
    result = relax_one(rattled_copper(), potential="emt", kind="crystal", max_steps=300, fmax=0.01, smax=1e-4)
    assert result.rejected is None
    assert value(result, "relaxation_converged") == 1.0
    assert value(result, "relaxation_fmax") <= 0.01
    assert value(result, "relaxation_energy_ev_atom") > 0.01
    assert result.structure.volume / 4 == pytest.approx(3.59**3 / 4, rel=0.01)
    assert value(result, "volume_change_percent") == pytest.approx(100 * (3.59**3 / 3.8**3 - 1), abs=1.0)


def test_too_few_steps_are_recorded_not_punished():
    result = relax_one(rattled_copper(), potential="emt", max_steps=2)
    assert value(result, "relaxation_steps") == 2.0
    assert value(result, "relaxation_converged") == 0.0
    assert value(result, "relaxation_fmax") > 0.1
    assert result.rejected is None
    assert value(result, "framework_intact") == 1.0
    assert "2 steps" in next(item.method for item in result.properties)


def test_fixed_cell_keeps_the_cell():
    result = relax_one(rattled_copper(), potential="emt", variable_cell=False, max_steps=50)
    np.testing.assert_allclose(result.structure.lattice.matrix, rattled_copper().lattice.matrix)


def test_a_framework_that_breaks_is_rejected_with_its_reason():
    """Copper atoms 3.9 Å apart are a metal with bonds to form: the volume falls beyond any framework's limit."""
    stretched = Structure(Lattice.cubic(2.9), ["Cu"], [(0, 0, 0)])
    result = relax_one(stretched, potential="emt", max_steps=200, max_volume_change_percent=5)
    assert "volume changed by" in result.rejected
    assert value(result, "framework_intact") == 0.0
    assert result.structure is not None


def test_an_element_the_potential_does_not_know_is_a_reason():
    result = relax_one(cha(), potential="emt")
    assert "does not know Si" in result.rejected


def test_a_flat_cell_is_a_reason():
    result = relax_one(Structure(Lattice.orthorhombic(9, 9, 0.02), ["Cu"], [(0, 0, 0)]), potential="emt")
    assert "cell height" in result.rejected


def test_unknown_potential_is_named():
    with pytest.raises(InputError, match="chgnet"):
        relax_one(rattled_copper(), potential="chgnt")


def test_unknown_setting_is_named():
    with pytest.raises(InputError, match="max_steps"):
        parse_config(RelaxationSettings, {"max_step": 3}, "settings")


@pytest.mark.slow
def test_chgnet_keeps_chabazite():
    result = relax_one(cha(), max_steps=15)
    assert result.rejected is None
    assert abs(value(result, "volume_change_percent")) < 8
    assert value(result, "framework_intact") == 1.0
