"""Spherical harmonics and their products, as dense matrices over all channels at once.

Features of degree l are tensors [N, 2l + 1, C] in e3nn's real basis and component normalisation. Only natural parity
(-1)^l is carried: 0e, 1o, 2e, ..., so a product path l1 x l2 -> l exists where l1 + l2 + l is even and the triangle
rule holds, and everything is equivariant under O(3), inversion included.
"""

from functools import lru_cache

import torch
from e3nn import o3
from torch import Tensor, nn

Degrees = range | list[int]
Path = tuple[int, int, int]  # l1, l2 -> l

_ZERO = 1e-12  # Clebsch-Gordan coefficients below it are rounding errors
_FEW_PAIRS = 0.75  # of all pairs of components: with more, picking them costs more than it saves


def spherical_harmonics(lmax: int) -> o3.SphericalHarmonics:
    """Module: vectors [S, 3] to Y [S, (lmax + 1)^2] of their directions, |Y_l|^2 = 2l + 1."""
    return o3.SphericalHarmonics(list(range(lmax + 1)), normalize=True, normalization="component")


def product_paths(lefts: Degrees, rights: Degrees, lmax: int, symmetric: bool = False) -> list[Path]:
    """All paths from degrees `lefts` x `rights` to degrees up to `lmax`, sorted by output degree.

    `symmetric` keeps l1 <= l2 only: with both factors equal the others repeat them.
    """
    return sorted(
        (
            (a, b, c)
            for a in lefts
            for b in rights
            for c in range(abs(a - b), min(a + b, lmax) + 1)
            if (a + b + c) % 2 == 0 and not (symmetric and a > b)
        ),
        key=lambda path: (path[2], path[0], path[1]),
    )


@lru_cache(maxsize=256)
def _wigner(path: Path) -> Tensor:
    return o3.wigner_3j(*path, dtype=torch.float64) * (2 * path[2] + 1) ** 0.5  # [2 l1 + 1, 2 l2 + 1, 2 l + 1]


def coupling_matrix(paths: list[Path], lefts: Degrees, rights: Degrees) -> Tensor:
    """Clebsch-Gordan coefficients of many paths as one matrix [rows, columns], float64.

    Columns run over the outer product (left component, right component), degrees in the order given. Rows are
    sorted by output degree l, then component m, then path, so that the rows of one l reshape to [2l + 1, paths].
    Each path alone equals e3nn's `uuu` product with component normalisation.
    """
    left_start = _offsets(lefts)
    right_start = _offsets(rights)
    n_left, n_right = sum(2 * a + 1 for a in lefts), sum(2 * b + 1 for b in rights)
    rows = []
    for degree in sorted({c for _, _, c in paths}):
        of_degree = [path for path in paths if path[2] == degree]
        block = torch.zeros(2 * degree + 1, len(of_degree), n_left, n_right, dtype=torch.float64)
        for number, (a, b, c) in enumerate(of_degree):
            i, j = left_start[a], right_start[b]
            block[:, number, i : i + 2 * a + 1, j : j + 2 * b + 1] = _wigner((a, b, c)).permute(2, 0, 1)
        rows.append(block.reshape(-1, n_left * n_right))
    return torch.cat(rows)


def paths_per_degree(paths: list[Path], lmax: int) -> list[int]:
    """Number of paths that end in each degree 0..lmax."""
    return [sum(c == degree for _, _, c in paths) for degree in range(lmax + 1)]


def split_degrees(rows: Tensor, counts: list[int]) -> list[Tensor]:
    """Rows [N, sum_l (2l + 1) count_l, C] of a coupling matrix as one tensor [N, 2l + 1, count_l * C] per l."""
    sizes = [(2 * degree + 1) * count for degree, count in enumerate(counts)]
    parts = rows.split(sizes, dim=1)
    return [part.reshape(rows.shape[0], 2 * degree + 1, -1) for degree, part in enumerate(parts)]


class NodeProduct(nn.Module):
    """Channel-wise product of two features [N, M, C] with all degrees 0..lmax, M = (lmax + 1)^2.

    The products of those pairs of components that any output needs, then one matrix product over all atoms and
    channels: the same numbers as an e3nn `o3.TensorProduct` with one weightless `uuu` instruction a path.

    Args:
        lmax: degree of both factors.
        lmax_out: highest degree of the product.
        symmetric: square of one feature: paths l1 <= l2 only, each pair of components once.
    """

    def __init__(self, lmax: int, lmax_out: int, symmetric: bool) -> None:
        super().__init__()
        degrees = range(lmax + 1)
        size = (lmax + 1) ** 2
        self.paths = product_paths(degrees, degrees, lmax_out, symmetric)
        self.counts = paths_per_degree(self.paths, lmax_out)
        self.symmetric = symmetric
        matrix = coupling_matrix(self.paths, degrees, degrees)
        by_pair = matrix.view(-1, size, size)
        if symmetric:  # x_i x_j = x_j x_i
            by_pair = torch.triu(by_pair) + torch.tril(by_pair, -1).transpose(1, 2)
        left, right = (by_pair.abs().amax(0) > _ZERO).nonzero(as_tuple=True)
        self.pairwise = symmetric or len(left) < _FEW_PAIRS * size**2
        if self.pairwise:
            matrix = by_pair[:, left, right]
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        self.register_buffer("matrix", matrix.to(torch.get_default_dtype()), persistent=False)
        self.left: Tensor
        self.right: Tensor
        self.matrix: Tensor

    def forward(self, left: Tensor, right: Tensor | None = None) -> list[Tensor]:
        """Two [N, M, C] to one [N, 2l + 1, paths_l * C] for each l; channels of one path lie together.

        Args:
            left: one factor.
            right: the other; without it `left` is squared, all that a `symmetric` product can do.
        """
        if self.symmetric and right is not None:
            raise TypeError("a symmetric product squares one feature: give it no second")
        second = left if right is None else right
        if self.pairwise:
            products = left.index_select(1, self.left) * second.index_select(1, self.right)  # [N, pairs, C]
        else:
            products = (left[:, :, None, :] * second[:, None, :, :]).flatten(1, 2)  # [N, M * M, C]
        return split_degrees(couple(self.matrix, products), self.counts)


def couple(matrix: Tensor, pairs: Tensor) -> Tensor:
    """matrix [R, P] times the pairs [N, P, C] of every atom: [N, R, C]."""
    return torch.bmm(matrix.expand(pairs.shape[0], -1, -1), pairs)


def _offsets(degrees: Degrees) -> dict[int, int]:
    starts, position = {}, 0
    for degree in degrees:
        starts[degree] = position
        position += 2 * degree + 1
    return starts
