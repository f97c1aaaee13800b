"""Structure prediction in mixed batches: compositions kept, batches without influence, bad cells left out."""

import numpy as np
import pytest
import torch
from crystal_samples import dataset

from gen.crystals.checkpoint import CrystalModel, read_model
from gen.crystals.config import CrystalTrainingConfig
from gen.crystals.prediction import evaluations, predict_structures
from gen.crystals.sampling import SamplingConfig
from gen.crystals.training import train_crystals
from gen.generator import Generator
from potentials.config import parse_config
from potentials.errors import InputError

FEW = SamplingConfig(steps=6, quench_steps=2)
CELLS = [[11, 17], [12, 8], [38, 22, 8, 8, 8], [3, 9], [29]]  # NaCl, MgO, SrTiO3, LiF, Cu


def hardly_trained(folder, kind: str) -> CrystalModel:
    """Enough for shapes, seeds and batches."""
    lattice = {"lattice_outputs": 9 if kind == "diffcsp" else 6}
    values = {
        "out": str(folder),
        "network": {"channels": 16, "edge_channels": 12, "layers": 1, **lattice},
        "process": {"kind": kind, "known_species": 1.0, "no_geometry": 0.0},
        "train": {"epochs": 2, "batch_size": 8, "warmup_steps": 2},
    }
    config = parse_config(CrystalTrainingConfig, values, "test")
    return read_model(train_crystals(config, dataset=dataset()))


@pytest.fixture(scope="module", params=["diffusion", "flow"])
def model(request, tmp_path_factory) -> CrystalModel:
    return hardly_trained(tmp_path_factory.mktemp(request.param), request.param)


def test_every_composition_is_kept_and_seeded(model):
    first, again = (predict_structures(model, CELLS, seed=1, samples=2, config=FEW) for _ in range(2))
    other = predict_structures(model, CELLS, seed=2, samples=2, config=FEW)
    for cell, samples, repeated, different in zip(CELLS, first, again, other, strict=True):
        assert len(samples) == 2
        for one, same, unlike in zip(samples, repeated, different, strict=True):
            assert [site.specie.Z for site in one] == cell
            assert np.array_equal(one.frac_coords, same.frac_coords)
            assert np.array_equal(one.lattice.matrix, same.lattice.matrix)
            assert not np.allclose(one.lattice.matrix, unlike.lattice.matrix)


def test_batches_have_no_influence(model):
    together = predict_structures(model, CELLS, seed=3, config=FEW, batch_size=64)
    apart = predict_structures(model, CELLS, seed=3, config=FEW, batch_size=1)
    for (one,), (alone,) in zip(together, apart, strict=True):
        difference = one.frac_coords - alone.frac_coords
        assert np.abs(difference - np.round(difference)).max() < 1e-3
        assert np.allclose(one.lattice.matrix, alone.lattice.matrix, atol=1e-3)


def test_the_generator_runs_on_every_process(model):
    """De novo, and with a composition, through the public door."""
    generator = Generator(model)
    free = generator.sample(2, seed=1, steps=4, quench_steps=2)
    asked = generator.sample(2, seed=1, steps=4, quench_steps=2, conditions={"composition": "NaCl"})
    assert all(np.isfinite(structure.frac_coords).all() for structure in (*free, *asked))
    assert {structure.composition.reduced_formula for structure in asked} == {"NaCl"}


def test_unknown_element_gives_none_and_the_rest_goes_on(model):
    known, unknown = predict_structures(model, [[11, 17], [94, 8]], seed=1, config=FEW)
    assert unknown == [None]
    assert len(known) == 1


def test_reduced_precision_is_close_and_a_wrong_name_refused(model):
    exact, rough = (
        predict_structures(model, [[11, 17]], seed=1, config=SamplingConfig(steps=2, quench_steps=0), precision=name)
        for name in ("float32", "bfloat16")
    )
    assert rough[0][0].volume == pytest.approx(exact[0][0].volume, rel=0.3)
    with pytest.raises(InputError, match="float32 or bfloat16"):
        predict_structures(model, [[11, 17]], seed=1, precision="float16")


def test_a_cell_that_is_not_finite_is_left_out(model):
    broken = torch.nn.Module.state_dict(model.network)["lattice_out.bias"].clone()
    model.network.lattice_out.bias.data.fill_(float("nan"))
    assert predict_structures(model, [[11, 17]], seed=1, config=FEW) == [[None]]
    model.network.lattice_out.bias.data.copy_(broken)


def test_baseline_samples_with_its_own_sampler(tmp_path):
    """Whatever an untrained raw lattice becomes, one result a composition, never an exception."""
    model = hardly_trained(tmp_path, "diffcsp")
    sampler = SamplingConfig(steps=40, corrector=True, corrector_step=0.4, quench_steps=0)
    results = predict_structures(model, CELLS, seed=1, config=sampler)
    assert [len(samples) for samples in results] == [1] * len(CELLS)
    for cell, (sample,) in zip(CELLS, results, strict=True):
        assert sample is None or [site.specie.Z for site in sample] == cell


def test_evaluations_are_counted():
    assert evaluations(SamplingConfig(steps=40, quench_steps=10)) == 50
    assert evaluations(SamplingConfig(steps=1000, corrector=True, quench_steps=0)) == 1999
