"""Space groups as exact constraints: what is displaced, shaken and strained within them keeps its group."""

import numpy as np
import pytest
import torch

from gen.crystals.frames import NoArrangement, can_arrange, project_lattice, symmetric_frame
from gen.crystals.symmetry import space_group

# group and atoms in the primitive cell: triclinic to cubic, primitive and centred
CASES = [(1, 4), (2, 8), (14, 12), (15, 10), (43, 10), (62, 12), (71, 8), (99, 5), (139, 5), (148, 10), (160, 4)]
CASES += [(166, 6), (176, 14), (194, 8), (198, 8), (216, 3), (225, 4), (227, 6), (229, 4)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("number", "n_atoms"), CASES)
def test_displaced_structures_keep_exactly_their_group(number, n_atoms):
    for seed in range(3):
        frame = symmetric_frame(number, n_atoms, [], generator(seed))
        free = generator(seed)
        moved = frame.move @ (0.05 * torch.randn(3 * n_atoms, dtype=torch.float64, generator=free))
        shaken = frame.spread @ (0.05 * torch.randn(3 * n_atoms, dtype=torch.float64, generator=free))
        frac = frame.origin + (moved + shaken).reshape(n_atoms, 3)
        strain = 0.15 * torch.randn(3, 3, dtype=torch.float64, generator=free)
        lattice = 5 * torch.matrix_exp(strain + strain.T)
        lattice = project_lattice(lattice[None], frame.metric[None])[0]
        _, kinds = torch.unique(frame.leader, return_inverse=True)
        assert space_group((lattice.numpy(), frac.numpy() % 1, kinds.numpy() + 1), 1e-4) == number


@pytest.mark.parametrize(("number", "n_atoms"), [(62, 12), (166, 6), (225, 4)])
def test_projections(number, n_atoms):
    frame = symmetric_frame(number, n_atoms, [], generator(0))
    field = torch.randn(3 * n_atoms, dtype=torch.float64, generator=generator(1))
    assert torch.allclose(frame.move @ frame.move, frame.move, atol=1e-9)
    assert torch.allclose(frame.move @ frame.spread @ field, frame.spread @ field, atol=1e-9)
    lattice = torch.eye(3, dtype=torch.float64)[None] * 4 + 0.3 * torch.randn(1, 3, 3, dtype=torch.float64)
    held = project_lattice(lattice, frame.metric[None])
    assert torch.linalg.det(held).item() == pytest.approx(abs(torch.linalg.det(lattice).item()))
    assert torch.allclose(project_lattice(held, frame.metric[None]), held, atol=1e-6)


def test_demanded_species_get_enough_atoms():
    frame = symmetric_frame(227, 14, [(0, 2), (1, 4), (2, 8)], generator(3))
    counts = torch.bincount(frame.species)
    assert counts.tolist() == [2, 4, 8]
    partial = symmetric_frame(62, 16, [(5, 3)], generator(3))
    assert int((partial.species == 5).sum()) == 4  # three do not fill an orbit
    assert int((partial.species == -1).sum()) == 12


@pytest.mark.parametrize(
    ("number", "n_atoms", "demands"),
    [
        (230, 5, ()),  # its smallest orbit holds eight
        (195, 1, ()),  # one atom in a cubic cell is always more symmetric
        (225, 2, ((0, 2),)),  # two atoms alike fill a smaller cell
        (227, 14, ((0, 3), (1, 11))),  # no orbits of three
    ],
)
def test_impossible_arrangements(number, n_atoms, demands):
    assert not can_arrange(number, n_atoms, demands)
    with pytest.raises(NoArrangement):
        symmetric_frame(number, n_atoms, demands, generator(1))


def test_the_same_generator_gives_the_same_frame():
    first, second = (symmetric_frame(139, 10, [], generator(7)) for _ in range(2))
    assert torch.equal(first.origin, second.origin)
    assert np.array_equal(first.leader, second.leader)
