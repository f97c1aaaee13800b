"""The network's densities and products as polynomials of cuEquivariance (NVIDIA, Apache-2.0).

Both are sums of terms c x_i y_j ... over whole segments of C channels, which is what its kernel `uniform_1d` takes:
a polynomial whose operands are rows of segments, gathered and scattered by index. A density is then one kernel, from
harmonics, radial weights and senders' features to sums at the atoms: no tensor of edges times components times
channels is written to memory. The package differentiates its kernels twice.
"""

import importlib.util
import math
from typing import Any

import torch
from torch import Tensor, nn

from potentials.density import EdgeLayout
from potentials.errors import InputError
from potentials.neighbour_density import neighbour_density
from potentials.network import EquivariantNetwork, Interaction
from potentials.spherical import NodeProduct, coupling_matrix, split_degrees

_ZERO = 1e-12  # Clebsch-Gordan coefficients below it are rounding errors
Term = tuple[list[int], float]  # segment of each operand, the output's last, and the coefficient


def fuse_products(network: EquivariantNetwork) -> None:
    """Replace the densities and products of every layer, in place; nothing with a weight is touched."""
    lmax, channels = network.config.lmax, network.config.channels
    for layer in network.layers:
        assert isinstance(layer, Interaction)
        layer.density_kernel = FusedDensity()
        for name in ("square", "cube"):
            product = getattr(layer, name)
            if isinstance(product, NodeProduct):
                setattr(layer, name, FusedNodeProduct(product, lmax, channels))


class FusedNodeProduct(nn.Module):
    """A `NodeProduct` through one polynomial; called and answering like it.

    Args:
        product: what to replace.
        lmax: highest degree of its factors.
        channels: of its factors.
    """

    def __init__(self, product: NodeProduct, lmax: int, channels: int) -> None:
        super().__init__()
        self.counts, self.paths = product.counts, product.paths
        degrees, size = range(lmax + 1), (lmax + 1) ** 2
        matrix = coupling_matrix(product.paths, degrees, degrees).view(-1, size, size)
        if product.symmetric:  # x_i x_j = x_j x_i: each pair once
            matrix = torch.triu(matrix) + torch.tril(matrix, -1).transpose(1, 2)
        self.rows, self.channels = matrix.shape[0], channels
        terms = [([int(i), int(j), int(row)], float(matrix[row, i, j])) for row, i, j in _nonzero(matrix)]
        factors = [channels] * size
        operands = [factors] if product.symmetric else [factors, factors]
        places = [0, 0, 1] if product.symmetric else [0, 1, 2]
        self.polynomial = Polynomial(operands, [channels] * self.rows, places, terms, "node_product")

    def forward(self, left: Tensor, right: Tensor | None = None) -> list[Tensor]:
        """As `NodeProduct.forward`."""
        factors = [left.flatten(1)] if right is None else [left.flatten(1), right.flatten(1)]
        out = self.polynomial(factors)
        return split_degrees(out.view(-1, self.rows, self.channels), self.counts)


class FusedDensity:
    """`neighbour_density` through one polynomial for each shape it meets; called and answering like it."""

    def __init__(self) -> None:
        self._polynomials: dict[tuple[int, int, int, int], Polynomial] = {}

    def __call__(
        self, harmonics: Tensor, features: Tensor, weights: Tensor, layout: EdgeLayout, coupling: Tensor | None = None
    ) -> Tensor:
        """As `neighbour_density`."""
        if not len(layout.sender):  # isolated atoms only
            return neighbour_density(harmonics, features, weights, layout, coupling)
        n_atoms, components, channels = features.shape
        key = (harmonics.shape[1], components, weights.shape[1], channels)
        if key not in self._polynomials:
            self._polynomials[key] = _density_polynomial(*key, coupling)
        out = self._polynomials[key](
            [harmonics, weights, features.flatten(1)], {2: layout.sender}, _centres(layout), n_atoms
        )
        return out.view(n_atoms, -1, channels)


def _density_polynomial(size: int, components: int, width: int, channels: int, coupling: Tensor | None) -> "Polynomial":
    """sum over slots of c Y_m w_l h_k: segments of Y are numbers, those of weights and features C channels."""
    resolved = width > channels  # a radial weight for each degree of Y
    matrix = torch.eye(size * components) if coupling is None else coupling.detach().cpu()
    matrix = matrix.double().view(-1, size, components)
    terms = []
    for row, m, k in _nonzero(matrix):
        degree = math.isqrt(m) if resolved else 0  # components l^2 to (l + 1)^2 - 1 are those of degree l
        terms.append(([m, degree, k, row], float(matrix[row, m, k])))
    operands = [[0] * size, [channels] * (width // channels), [channels] * components]
    return Polynomial(operands, [channels] * matrix.shape[0], [0, 1, 2, 3], terms, "density")


class Polynomial:
    """One polynomial, with the implementation that the device of its first argument has.

    Args:
        operands: widths of the segments of each input; 0 is a number rather than channels.
        output: widths of the output's segments.
        places: which input each factor of a term is taken from, the output last.
        terms: segments and coefficient of each term.
        name: shown by profilers.
    """

    def __init__(
        self, operands: list[list[int]], output: list[int], places: list[int], terms: list[Term], name: str
    ) -> None:
        import cuequivariance as cue

        of_factors = [*([operands[place] for place in places[:-1]]), output]
        subscripts = ",".join("u" if widths[0] else "" for widths in of_factors)
        product = cue.SegmentedTensorProduct.from_subscripts(subscripts)
        for place, widths in enumerate(of_factors):
            product.add_segments(place, [(width,) if width else () for width in widths])
        for segments, coefficient in terms:
            product.add_path(*segments, c=coefficient)
        inputs = [product.operands[places.index(number)] for number in range(len(operands))]
        self._descriptor = cue.SegmentedPolynomial(
            inputs, [product.operands[-1]], [(cue.Operation(tuple(places)), product)]
        )
        self._name = name
        self._made: dict[torch.device, Any] = {}

    def __call__(
        self,
        inputs: list[Tensor],
        input_indices: dict[int, Tensor] | None = None,
        output_index: Tensor | None = None,
        output_rows: int = 0,
    ) -> Tensor:
        """Rows of the output: one a row of the inputs, or `output_rows` sums over those with the same index."""
        device = inputs[0].device
        if device not in self._made:
            self._made[device] = self._implementation(device)
        if output_index is None:
            return self._made[device](inputs, input_indices)[0]
        shape = inputs[0].new_empty(output_rows, 1)
        return self._made[device](inputs, input_indices, {0: shape}, {0: output_index})[0]

    def _implementation(self, device: torch.device) -> Any:
        import cuequivariance_torch

        if device.type == "cuda" and importlib.util.find_spec("cuequivariance_ops_torch") is None:
            raise InputError(
                "kernels cuequivariance on a GPU need their compiled part: pip install cuequivariance-ops-torch-cu12 "
                "(or -cu13, as your torch), or leave kernels at torch"
            )
        method = "uniform_1d" if device.type == "cuda" else "naive"
        return cuequivariance_torch.SegmentedPolynomial(self._descriptor, method=method, name=self._name).to(device)


def _nonzero(matrix: Tensor) -> list[list[int]]:
    return (matrix.abs() > _ZERO).nonzero().tolist()


def _centres(layout: EdgeLayout) -> Tensor:
    """Renumbered atom of each slot [S]."""
    device = layout.sender.device
    counts = torch.tensor([width for atoms, width in layout.blocks for _ in range(atoms)], device=device)
    return torch.repeat_interleave(torch.arange(len(counts), device=device), counts, output_size=len(layout.sender))
