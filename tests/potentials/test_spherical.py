"""Products at the atoms: the same numbers as e3nn's, and equivariant under rotations and inversion."""

import pytest
import torch
from e3nn import o3

from potentials.density import edge_layout, project
from potentials.spherical import (
    NodeProduct,
    coupling_matrix,
    paths_per_degree,
    product_paths,
    spherical_harmonics,
    split_degrees,
)

CHANNELS, ATOMS = 5, 7


def natural(degrees: range, multiplicity: int) -> o3.Irreps:
    return o3.Irreps([(multiplicity, (degree, (-1) ** degree)) for degree in degrees])


def to_e3nn(feature: torch.Tensor, degrees: range) -> torch.Tensor:
    """[N, M, C] to e3nn's layout: degree after degree, channels before components."""
    parts = feature.split([2 * degree + 1 for degree in degrees], dim=1)
    return torch.cat([part.transpose(1, 2).flatten(1) for part in parts], dim=1)


def random_feature(lmax: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ATOMS, (lmax + 1) ** 2, CHANNELS, generator=generator, dtype=torch.float64)


def node_product(lmax: int, lmax_out: int, symmetric: bool) -> NodeProduct:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return NodeProduct(lmax, lmax_out, symmetric)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(("lmax", "lmax_out"), [(1, 1), (2, 2), (3, 1)])
def test_product_equals_e3nn(lmax: int, lmax_out: int) -> None:
    degrees = range(lmax + 1)
    product = node_product(lmax, lmax_out, symmetric=False)
    irreps = natural(degrees, CHANNELS)
    out = o3.Irreps([(CHANNELS, (c, (-1) ** c)) for _, _, c in product.paths])
    instructions = [(a, b, k, "uuu", False) for k, (a, b, _) in enumerate(product.paths)]
    reference = o3.TensorProduct(irreps, irreps, out, instructions).double()

    left, right = random_feature(lmax, 1), random_feature(lmax, 2)
    expected = reference(to_e3nn(left, degrees), to_e3nn(right, degrees))
    found = product(left, right)
    position = 0
    seen = [0] * (lmax_out + 1)
    for _, _, c in product.paths:
        size = CHANNELS * (2 * c + 1)
        block = expected[:, position : position + size].view(ATOMS, CHANNELS, 2 * c + 1).transpose(1, 2)
        start = seen[c] * CHANNELS
        assert torch.allclose(found[c][:, :, start : start + CHANNELS], block, atol=1e-13)
        seen[c] += 1
        position += size


def test_symmetric_paths_leave_nothing_out() -> None:
    """Of a square, the paths left out are copies of those kept."""
    feature = random_feature(2, 3)
    full, half = node_product(2, 2, symmetric=False), node_product(2, 2, symmetric=True)
    by_path = {}
    for product, target in ((full, {}), (half, by_path)):
        seen = [0] * 3
        outputs = product(feature)
        for path in product.paths:
            c = path[2]
            block = outputs[c][:, :, seen[c] * CHANNELS : (seen[c] + 1) * CHANNELS]
            seen[c] += 1
            target[path] = block
        if product is full:
            everything = dict(target)
    for (a, b, c), block in everything.items():
        assert torch.allclose(block, by_path[(min(a, b), max(a, b), c)], atol=1e-13)


def test_a_symmetric_product_takes_one_factor() -> None:
    with pytest.raises(TypeError, match="squares one feature"):
        node_product(1, 1, symmetric=True)(random_feature(1, 1), random_feature(1, 2))


@pytest.mark.parametrize(("lmax", "lmax_out", "symmetric"), [(2, 2, True), (2, 2, False), (2, 0, False)])
def test_products_have_two_derivatives(lmax: int, lmax_out: int, symmetric: bool) -> None:
    """With all pairs of components, with each pair once, and with those pairs alone that an output needs."""
    product = node_product(lmax, lmax_out, symmetric)
    factors = [random_feature(lmax, seed)[:2, :, :1].clone().requires_grad_() for seed in range(1 if symmetric else 2)]

    def cubed(*given: torch.Tensor) -> torch.Tensor:
        return sum((part**3).sum() for part in product(*given))

    assert torch.autograd.gradcheck(cubed, factors)
    assert torch.autograd.gradgradcheck(cubed, factors)


@pytest.mark.parametrize("inverted", [False, True])
def test_product_is_equivariant_under_o3(inverted: bool) -> None:
    lmax = 3
    product = node_product(lmax, lmax, symmetric=True)
    rotation = o3.rand_matrix().double() * (-1 if inverted else 1)

    def turn(feature: torch.Tensor, degree_range: range) -> torch.Tensor:
        parts = feature.split([2 * degree + 1 for degree in degree_range], dim=1)
        turned = []
        for degree, part in zip(degree_range, parts, strict=True):
            wigner = o3.Irreps([(1, (degree, (-1) ** degree))]).D_from_matrix(rotation)
            turned.append(torch.einsum("mn,anc->amc", wigner.double(), part))
        return torch.cat(turned, dim=1)

    feature = random_feature(lmax, 4)
    before = product(feature)
    turned = turn(feature, range(lmax + 1))
    after = product(turned)
    for degree in range(lmax + 1):
        expected = turn(before[degree], range(degree, degree + 1))
        assert torch.allclose(after[degree], expected, atol=1e-5)  # e3nn's Wigner D is good to about 1e-7


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_density_equals_the_sum_of_e3nn_edge_products(degree: int) -> None:
    """Coefficients at the atoms after projection = a weighted tensor product on every edge, then the sum."""
    lmax = 2
    generator = torch.Generator().manual_seed(5)
    centre = torch.tensor([0, 0, 0, 1, 1, 2, 4, 4, 4, 4, 6])
    neighbour = torch.tensor([1, 2, 3, 0, 5, 6, 0, 1, 2, 3, 4])
    vectors = torch.randn(len(centre), 3, generator=generator, dtype=torch.float64)
    sent = torch.randn(ATOMS, 2 * degree + 1, CHANNELS, generator=generator, dtype=torch.float64)
    radial = torch.randn(len(centre), CHANNELS, generator=generator, dtype=torch.float64)
    harmonics = spherical_harmonics(lmax)(vectors)

    degrees = range(lmax + 1)
    paths = product_paths(degrees, [degree], lmax)
    irreps_h = natural(range(degree, degree + 1), CHANNELS)
    out = o3.Irreps([(CHANNELS, (c, (-1) ** c)) for _, _, c in paths])
    instructions = [(0, a, k, "uvu", True) for k, (a, _, _) in enumerate(paths)]
    reference = o3.TensorProduct(
        irreps_h, natural(degrees, 1), out, instructions, shared_weights=False, internal_weights=False
    ).double()
    flat = sent[neighbour].transpose(1, 2).flatten(1)
    on_edges = reference(flat, harmonics, radial.repeat(1, len(paths)))
    expected = torch.zeros(ATOMS, on_edges.shape[1], dtype=torch.float64).index_add(0, centre, on_edges)

    layout = edge_layout(centre, neighbour, ATOMS)
    slot_harmonics = layout.spread(harmonics, harmonics.new_zeros(harmonics.shape[1]))
    slot_radial = layout.spread(radial, radial.new_zeros(CHANNELS))
    values = sent[layout.order][layout.sender] * slot_radial[:, None, :]
    density = project(slot_harmonics, values.flatten(1), layout.blocks).view(ATOMS, -1, CHANNELS)
    rows = torch.matmul(coupling_matrix(paths, degrees, [degree]), density)[layout.inverse]
    found = split_degrees(rows, paths_per_degree(paths, lmax))
    position, seen = 0, [0] * (lmax + 1)
    for a, b, c in paths:
        size = CHANNELS * (2 * c + 1)
        block = expected[:, position : position + size].view(ATOMS, CHANNELS, 2 * c + 1).transpose(1, 2)
        # e3nn's Wigner 3j changes sign with odd a + b + c under exchange; natural parity has even ones only
        assert (a + b + c) % 2 == 0
        part = found[c][:, :, seen[c] * CHANNELS : (seen[c] + 1) * CHANNELS]
        assert torch.allclose(part, block, atol=1e-12), (a, b, c)
        seen[c] += 1
        position += size
