"""Space groups drawn from the training set and held: determinism, independence of the batch, exact symmetry."""

import numpy as np
import pytest
from crystal_samples import dataset

from gen.crystals.drawn_symmetry import symmetric_crystals
from gen.crystals.generation import generate_crystals
from gen.crystals.sampling import SamplingConfig
from gen.evaluation.crystals import space_group
from gen.evaluation.reference import read_reference, write_reference
from gen.generator import Generator

FEW = SamplingConfig(steps=6, quench_steps=2)


@pytest.fixture(scope="module")
def model():
    return Generator.from_pretrained("crystals").model


@pytest.fixture(scope="module")
def salts(tmp_path_factory):
    """Training fingerprints of cubic crystals of 1, 2 and 5 atoms, all labelled 225."""
    folder = tmp_path_factory.mktemp("reference")
    write_reference(folder, dataset())
    return read_reference(folder)


def test_crystals_have_the_symmetry_of_their_stoichiometry(model, salts):
    """All training crystals are labelled 225, so that AB of two atoms must come out as rock salt."""
    made = symmetric_crystals(model, salts, range(4), 3, {"num_atoms": 2}, config=FEW)
    assert [result.index for result in made] == list(range(4))
    structures = [result.structure for result in made if result.structure is not None]
    pairs = [s for s in structures if len(s.composition) == 2]
    assert pairs
    assert all(space_group(s, 0.01) == 225 for s in pairs)


def test_compositions_are_the_models_own(model, salts):
    as_drawn = FEW.model_copy(update={"plausibility": 0.0})  # none drawn again for being unlike known ones
    free = generate_crystals(model, range(4), 3, config=as_drawn)
    held = symmetric_crystals(model, salts, range(4), 3, config=as_drawn)
    assert [r.structure.composition for r in held] == [r.structure.composition for r in free]


def test_structure_i_depends_on_seed_and_index_alone(model, salts):
    together = symmetric_crystals(model, salts, range(4), 3, config=FEW)
    alone = symmetric_crystals(model, salts, [2], 3, config=FEW)[0]
    other = symmetric_crystals(model, salts, [2], 4, config=FEW)[0]
    assert together[2].structure is not None
    assert alone.structure is not None
    assert other.structure is not None
    assert np.allclose(together[2].structure.lattice.abc, alone.structure.lattice.abc, atol=1e-3)
    assert together[2].structure.composition == alone.structure.composition
    assert not np.allclose(alone.structure.lattice.abc, other.structure.lattice.abc, atol=1e-3)
