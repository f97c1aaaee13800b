"""The shipped teaching model: loads by name, is small, and knows a perovskite when it is asked for one."""

from pathlib import Path

import numpy as np
from crystal_samples import perovskite
from pymatgen.analysis.structure_matcher import StructureMatcher

import gen
from gen.crystals.prediction import predict_structures
from gen.crystals.sampling import SamplingConfig
from gen.generator import Generator

FOLDER = Path(gen.__file__).parent / "weights" / "perovskites"


def test_small_enough_to_ship_and_described():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 16e6
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert Generator.from_pretrained("perovskites").model.sha256 in card
    assert "sorbus train crystals configs/train/perovskites.yaml" in card


def test_every_crystal_has_five_atoms():
    structures = Generator.from_pretrained("perovskites").sample(4, seed=1, steps=12)
    assert [len(structure) for structure in structures] == [5] * 4
    again = Generator.from_pretrained("perovskites").sample(4, seed=1, steps=12)
    assert all(np.array_equal(a.frac_coords, b.frac_coords) for a, b in zip(structures, again, strict=True))


def test_strontium_titanate_is_found():
    """Cubic SrTiO3, a = 3.905 Å (experiment), among eight samples of its composition."""
    model = Generator.from_pretrained("perovskites").model
    cell = [38, 22, 8, 8, 8]
    (samples,) = predict_structures(
        model, [cell], seed=3, samples=8, config=SamplingConfig(steps=30, quench_steps=10, quench_time=0.3)
    )
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    reference = perovskite("Sr", "Ti", 3.905)
    found = [sample for sample in samples if sample is not None and matcher.fit(sample, reference)]
    assert found
    assert min(abs(sample.volume ** (1 / 3) / 3.905 - 1) for sample in found) < 0.06
