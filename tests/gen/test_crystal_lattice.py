"""Log-polar lattices: what is kept, what drops out, and the standardisation."""

import math

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice

from gen.crystals.lattice import LatticeScale, decode, encode, fit_scale

HEXAGONAL = torch.tensor(Lattice.hexagonal(3.209, 5.211).matrix.copy())  # magnesium, Å


def parameters(lattice: torch.Tensor) -> np.ndarray:
    return np.array(Lattice(lattice.numpy()).parameters)


def test_decode_gives_the_cell_back():
    components = encode(HEXAGONAL.unsqueeze(0))
    assert parameters(decode(components)[0]) == pytest.approx(parameters(HEXAGONAL), abs=1e-9)


def test_rotation_and_handedness_drop_out():
    generator = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    lattice = HEXAGONAL.unsqueeze(0)
    assert torch.allclose(encode(lattice @ rotation), encode(lattice), atol=1e-12)
    assert torch.allclose(encode(-lattice), encode(lattice), atol=1e-12)


def test_first_component_is_the_volume():
    volume = float(torch.linalg.det(HEXAGONAL))
    assert encode(HEXAGONAL.unsqueeze(0))[0, 0] == pytest.approx(math.log(volume) / math.sqrt(3))


def test_any_components_have_positive_volume():
    generator = torch.Generator().manual_seed(1)
    lattices = decode(2 * torch.randn(200, 6, generator=generator, dtype=torch.float64))
    assert (torch.linalg.det(lattices) > 0).all()
    assert torch.allclose(lattices, lattices.transpose(1, 2))


def test_cubic_cell_has_only_volume():
    components = encode(torch.eye(3, dtype=torch.float64).unsqueeze(0) * 4.0)
    assert components[0, 0] == pytest.approx(3 * math.log(4.0) / math.sqrt(3))
    assert torch.allclose(components[0, 1:], torch.zeros(5, dtype=torch.float64), atol=1e-12)


def test_fit_centres_and_scales_every_atom_count():
    """Cells drawn from a known law of N come back standard normal."""
    generator = torch.Generator().manual_seed(2)
    lattices = {}
    for n in (2, 5, 12):
        components = 0.25 * torch.randn(4000, 6, generator=generator, dtype=torch.float64)
        components[:, 0] += math.log(n / 0.06) / math.sqrt(3)
        components[:, 3] += 0.1 * math.log(n)
        lattices[n] = decode(components)
    scale = fit_scale(lattices)
    assert scale.density == pytest.approx(0.06, rel=0.1)
    for n, lattice in lattices.items():
        standard = scale.standardise(encode(lattice), n)
        assert standard.mean(0).abs().max() < 0.06
        assert (standard.std(0) - 1).abs().max() < 0.05
        assert torch.allclose(scale.restore(standard, n), encode(lattice))


def test_scale_survives_json():
    scale = LatticeScale(0.05, ((0.1, 0.2),) * 6, ((-1.0, 0.3),) * 6)
    assert LatticeScale.from_json(scale.to_json()) == scale
