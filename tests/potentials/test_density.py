"""Padded blocks: every edge in one slot, every sum the same as a loop's."""

import pytest
import torch

from potentials.density import edge_layout, project


def random_edges(n_atoms: int, n_edges: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # squares crowd the edges on few atoms, so that degrees differ widely
    centre = (torch.rand(n_edges, generator=generator) ** 3 * n_atoms).long()
    return centre, torch.randint(n_atoms, (n_edges,), generator=generator)


@pytest.mark.parametrize(("n_atoms", "n_edges"), [(1, 0), (5, 0), (3, 4), (200, 3000), (40, 39)])
def test_projection_equals_a_loop(n_atoms: int, n_edges: int) -> None:
    centre, neighbour = random_edges(n_atoms, n_edges, 1)
    layout = edge_layout(centre, neighbour, n_atoms)
    assert sum(atoms for atoms, _ in layout.blocks) == n_atoms
    assert sum(atoms * width for atoms, width in layout.blocks) == len(layout.sender)
    weights = torch.randn(n_edges, 4, dtype=torch.float64)
    values = torch.randn(n_atoms, 6, dtype=torch.float64)
    slots = layout.spread(weights, weights.new_zeros(4))
    found = project(slots, values[layout.order][layout.sender], layout.blocks)[layout.inverse]
    expected = torch.zeros(n_atoms, 4, 6, dtype=torch.float64)
    for edge in range(n_edges):
        expected[centre[edge]] += weights[edge][:, None] * values[neighbour[edge]][None, :]
    assert torch.allclose(found, expected, atol=1e-12)


def test_slots_are_distinct_and_little_is_padding() -> None:
    centre, neighbour = random_edges(2000, 40000, 2)
    layout = edge_layout(centre, neighbour, 2000)
    assert len(set(layout.edge_slot.tolist())) == 40000
    assert len(layout.sender) < 1.5 * 40000
    # one block for all would be as wide as the busiest atom
    assert 2000 * torch.bincount(centre).max() > 5 * len(layout.sender)


def test_spread_is_differentiable() -> None:
    centre, neighbour = random_edges(6, 10, 3)
    layout = edge_layout(centre, neighbour, 6)
    values = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    layout.spread(values, torch.zeros(3, dtype=torch.float64)).square().sum().backward()
    assert torch.allclose(values.grad, 2 * values)
