"""Densities portion by portion: the numbers and derivatives, first and second, of plain operations on all slots."""

import pytest
import torch

import potentials.neighbour_density as neighbour_density_module
from potentials.density import EdgeLayout, edge_layout
from potentials.neighbour_density import neighbour_density
from potentials.spherical import coupling_matrix, product_paths

ATOMS, CHANNELS, LMAX = 7, 3, 2
CENTRE = torch.tensor([0, 0, 0, 1, 1, 2, 4, 4, 4, 4, 6])  # atoms 3 and 5 have no neighbours
NEIGHBOUR = torch.tensor([1, 2, 3, 0, 5, 6, 0, 1, 2, 3, 4])


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One atom or two at a time."""
    monkeypatch.setattr(neighbour_density_module, "_PORTION_BYTES", 6 * 8 * CHANNELS // torch.get_num_threads())


def inputs(degree: int, layout: EdgeLayout) -> list[torch.Tensor]:
    """Harmonics, features and weights; slots without an edge weigh nothing, as behind the cutoff."""
    generator = torch.Generator().manual_seed(degree)
    edges = torch.randn(len(CENTRE), CHANNELS, generator=generator, dtype=torch.float64)
    shapes = ((len(layout.sender), (LMAX + 1) ** 2), (ATOMS, 2 * degree + 1, CHANNELS))
    harmonics, features = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
    weights = layout.spread(edges, edges.new_zeros(CHANNELS))
    return [tensor.requires_grad_() for tensor in (harmonics, features, weights)]


def weights_by_degree(layout: EdgeLayout) -> torch.Tensor:
    """A weight for each slot, degree of Y and channel."""
    generator = torch.Generator().manual_seed(9)
    edges = torch.randn(len(CENTRE), (LMAX + 1) * CHANNELS, generator=generator, dtype=torch.float64)
    return layout.spread(edges, edges.new_zeros(edges.shape[1])).requires_grad_()


def coupling(degree: int) -> torch.Tensor | None:
    degrees = range(LMAX + 1)
    return coupling_matrix(product_paths(degrees, [degree], LMAX), degrees, [degree]) if degree else None


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_equals_a_loop_over_the_slots(degree: int, small_portions: None) -> None:
    layout = edge_layout(CENTRE, NEIGHBOUR, ATOMS)
    harmonics, features, weights = inputs(degree, layout)
    found = neighbour_density(harmonics, features, weights, layout, coupling(degree))
    pairs = torch.zeros(ATOMS, (LMAX + 1) ** 2, 2 * degree + 1, CHANNELS, dtype=torch.float64)
    slot = first = 0
    for atoms, width in layout.blocks:
        for atom in range(first, first + atoms):
            for _ in range(width):
                sent = features[layout.sender[slot]] * weights[slot]
                pairs[atom] += harmonics[slot, :, None, None] * sent
                slot += 1
        first += atoms
    expected = pairs.flatten(1, 2)
    if degree:
        expected = torch.einsum("rp,npc->nrc", coupling(degree), expected)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_weight_for_each_degree_of_y(degree: int, small_portions: None) -> None:
    layout = edge_layout(CENTRE, NEIGHBOUR, ATOMS)
    harmonics, features, _ = inputs(degree, layout)
    weights = weights_by_degree(layout)
    found = neighbour_density(harmonics, features, weights, layout)
    parts = [
        neighbour_density(harmonics[:, d * d : (d + 1) ** 2], features, of_degree, layout)
        for d, of_degree in enumerate(weights.split(CHANNELS, dim=1))
    ]
    assert torch.allclose(found, torch.cat(parts, dim=1), atol=1e-13)


@pytest.mark.parametrize(("degree", "by_degree"), [(0, True), (1, False)])
def test_two_derivatives(degree: int, by_degree: bool, small_portions: None) -> None:
    """Without a graph portions are differentiated, with one plain operations: both against finite differences."""
    layout = edge_layout(CENTRE, NEIGHBOUR, ATOMS)
    given = inputs(degree, layout)
    if by_degree:
        given[2] = weights_by_degree(layout)

    def density(*tensors: torch.Tensor) -> torch.Tensor:
        return neighbour_density(*tensors, layout, coupling(degree))

    assert torch.autograd.gradcheck(density, given)
    assert torch.autograd.gradgradcheck(density, given)
    value = density(*given).pow(3).sum()
    by_portions = torch.autograd.grad(value, given, retain_graph=True)
    by_operations = torch.autograd.grad(value, given, create_graph=True)
    for portion, operation in zip(by_portions, by_operations, strict=True):
        assert torch.allclose(portion, operation, atol=1e-12)


def test_some_components_of_the_harmonics_and_some_columns_of_the_weights() -> None:
    """Views, as the layer gives them, are as good as tensors of their own."""
    layout = edge_layout(CENTRE, NEIGHBOUR, ATOMS)
    harmonics, features, weights = inputs(0, layout)
    wide = torch.cat([weights, weights + 1], dim=1).detach().requires_grad_()
    view = neighbour_density(harmonics[:, 1:4], features, wide[:, CHANNELS:], layout)
    whole = neighbour_density(harmonics, features, weights.detach() + 1, layout)[:, 1:4]
    assert torch.allclose(view, whole, atol=1e-13)
    (gradient,) = torch.autograd.grad(view.square().sum(), wide)
    assert not gradient[:, :CHANNELS].any()
    assert gradient[:, CHANNELS:].any()


def test_atoms_without_neighbours() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    layout = edge_layout(nothing, nothing, 3)
    features = torch.randn(3, 1, CHANNELS, requires_grad=True)
    density = neighbour_density(torch.zeros(0, 9), features, torch.zeros(0, CHANNELS), layout)
    assert density.shape == (3, 9, CHANNELS)
    assert not density.any()
    for create_graph in (False, True):
        (gradient,) = torch.autograd.grad(density.sum(), features, retain_graph=True, create_graph=create_graph)
        assert gradient.shape == features.shape
        assert not gradient.any()
