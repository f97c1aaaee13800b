"""Lattices no one could draw: numbers that are not finite go through without an exception, and alone."""

import torch

from gen.crystals.frames import project_lattice
from gen.crystals.lattice import encode


def test_encode_marks_what_is_not_finite():
    lattices = torch.stack([torch.diag(torch.tensor([3.0, 4.0, 5.0])), torch.full((3, 3), torch.inf)])
    found = encode(lattices)
    assert torch.isnan(found[1]).all()
    assert torch.equal(found[:1], encode(lattices[:1]))


def test_projection_marks_what_is_not_finite():
    lattices = torch.stack([4.0 * torch.eye(3), torch.full((3, 3), torch.nan), 1e30 * torch.eye(3)])
    maps = torch.eye(9, dtype=torch.float64).expand(3, 9, 9)
    found = project_lattice(lattices, maps)
    assert torch.allclose(found[0], lattices[0], atol=1e-5)
    assert torch.isnan(found[1]).all()
    assert torch.allclose(found[2], lattices[2], rtol=1e-5)
