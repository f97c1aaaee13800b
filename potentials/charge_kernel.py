"""Partial charges by kinship: what atoms alike have, by Gaussian processes over descriptors of the atom.

Networks trained on few frameworks err together where elements are rare. A Gaussian process errs elsewhere: it holds
every atom of its kind against the ones it knows (`charge_descriptors.py`) and returns to the average of the bonding
environment where it knows none. One process a family of atoms (metals, O, N, C, H, others) learns what the average a
misses,

    p_i = a_i + sum_m k(x_i, z_m) c_m,    q_i = p_i - u_i / sum_j(m_j u_j) * sum_j m_j p_j,

with centres z that are atoms of the training data, Matérn's kernel k of smoothness 3/2 on distances that each block of
descriptors enters with a length of its own, m_j atoms that j stands for, and the shares u of the sum that must vanish
in proportion to what the nearest centre leaves uncertain. Lengths, amplitude and noise are the likeliest
(C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.8) for one atom a formula, so
that they say how atoms of different frameworks resemble each other; coefficients are those of projected processes
(section 8.3.4) over all atoms.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from potentials.charge_descriptors import FAMILIES, atom_descriptors, block_sizes, families_of
from potentials.charge_network import ChargeGraph, neutralised
from potentials.charge_training import LabelledGraph
from potentials.config import Config
from potentials.errors import InputError

_AVERAGE = 1  # column of a graph's prior: the average over the atom's bonding environment, e
_LARGEST = 8.0  # standard deviations; descriptors farther out are taken as this
_CHUNK = 4096  # atoms at once
Positive = Annotated[float, pydantic.Field(gt=0)]


class ChargeKernelConfig(Config):
    """How charges by kinship are fitted, and how much they count beside the networks."""

    weight: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.4  # of the charges by kinship in the mean; networks: rest
    centres: Annotated[int, pydantic.Field(ge=1)] = 3000  # atoms a family that new ones are held against, at most
    dimensions: Annotated[int, pydantic.Field(ge=1)] = 128  # of the space distances are taken in
    sample: Annotated[int, pydantic.Field(ge=2)] = 1000  # atoms a family that lengths are fitted to, at most
    steps: Annotated[int, pydantic.Field(ge=0)] = 45  # of Adam, for the lengths
    lr: Positive = 0.12  # of Adam, on logarithms


class FamilyKernel(nn.Module):
    """The process of one family of atoms; it adds in double precision, as small noise asks for.

    Args:
        centres: number of atoms held against.
        dimensions: of the space distances are taken in.
        descriptors: columns of the descriptors.
    """

    def __init__(self, centres: int, dimensions: int, descriptors: int) -> None:
        super().__init__()
        shapes = {"mean": (descriptors,), "scale": (descriptors,), "projection": (descriptors, dimensions)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        # half precision to save space; coefficients are fitted to the centres as rounded, so nothing is lost
        self.register_buffer("centres", torch.zeros(centres, dimensions, dtype=torch.float16))
        self.register_buffer("coefficients", torch.zeros(centres, dtype=torch.float64))  # e
        self.register_buffer("variances", torch.ones(2, dtype=torch.float64))  # e^2: of the process, and noise
        self.mean: Tensor
        self.scale: Tensor
        self.projection: Tensor
        self.centres: Tensor
        self.coefficients: Tensor
        self.variances: Tensor

    def forward(self, descriptors: Tensor) -> tuple[Tensor, Tensor]:
        """Expected deviation from the average [N] (e), and the variance the nearest centre leaves [N] (e^2)."""
        if not len(self.coefficients):
            return descriptors.new_zeros(len(descriptors)), self.variances.sum().expand(len(descriptors))
        amplitude, noise = self.variances
        centres = self.centres.double()
        expected, left = [], []
        for part in descriptors.split(_CHUNK):
            likeness = matern(squared_distances(self.placed(part), centres))  # [n, centres]
            expected.append(likeness @ self.coefficients)
            left.append(amplitude + noise - (amplitude * likeness.amax(dim=1)).square() / (amplitude + noise))
        return torch.cat(expected), torch.cat(left)

    def placed(self, descriptors: Tensor) -> Tensor:
        """Where atoms lie in the space distances are taken in [N, dimensions]."""
        standard = ((descriptors - self.mean) * self.scale).clamp(-_LARGEST, _LARGEST)
        return standard @ self.projection.double()


class ChargeKernel(nn.Module):
    """Charges by kinship of all distinct atoms of a `ChargeGraph` with CHGNet features.

    Args:
        shapes: of each family's process, (centres, dimensions).
        prior_features: columns of a graph's prior.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], prior_features: int) -> None:
        super().__init__()
        if len(shapes) != len(FAMILIES):
            raise ValueError(f"{len(shapes)} processes for {len(FAMILIES)} families of atoms: give one each")
        columns = sum(block_sizes(prior_features).values())
        self.families = nn.ModuleList(FamilyKernel(*shape, columns) for shape in shapes)
        self.shapes = [(centres, dimensions) for centres, dimensions in shapes]

    def forward(self, graph: ChargeGraph) -> Tensor:
        """Charges [N], e; each system's sum over `multiplicity` vanishes up to rounding.

        Raises:
            InputError: the graph holds no CHGNet features.
        """
        descriptors, family = atom_descriptors(graph), families_of(graph.numbers)
        charges = graph.prior[:, _AVERAGE].double()
        left = torch.zeros_like(charges)
        for index, process in enumerate(self.families):
            rows = torch.nonzero(family == index)[:, 0]
            if len(rows):
                expected, variance = process(descriptors[rows])
                charges[rows] += expected
                left[rows] = variance
        return neutralised(charges, left, graph).to(graph.base.dtype)


def fit_charge_kernel(
    systems: Sequence[LabelledGraph], formulas: Sequence[str], config: ChargeKernelConfig, seed: int = 0
) -> ChargeKernel:
    """Fit one process a family; about a minute a core for 2,000 frameworks.

    Args:
        systems: graphs with CHGNet features, priors from tables that did not see them, and the charges to learn.
        formulas: of each system; atoms of one formula are no independent witnesses of how well likeness carries over.
        config: sizes.
        seed: of the choice of atoms.
    """
    if not systems:
        raise InputError("there are no systems to fit charges to: check data and split")
    descriptors = torch.cat([atom_descriptors(system.graph) for system in systems])
    missed = torch.cat([system.target.double() - system.graph.prior[:, _AVERAGE].double() for system in systems])
    family = torch.cat([families_of(system.graph.numbers) for system in systems])
    names = {name: index for index, name in enumerate(sorted(set(formulas)))}
    formula = torch.cat([torch.full((len(s.target),), names[name]) for s, name in zip(systems, formulas, strict=True)])
    prior_features = systems[0].graph.prior.shape[1]
    sizes = list(block_sizes(prior_features).values())
    fitted = []
    for index in range(len(FAMILIES)):
        rows = torch.nonzero(family == index)[:, 0]
        generator = torch.Generator().manual_seed(seed * 1_009 + index)
        fitted.append(_fit_family(descriptors[rows], missed[rows], formula[rows], sizes, config, generator))
    shapes = [(len(one.coefficients), one.centres.shape[1]) for one in fitted]
    kernel = ChargeKernel(shapes, prior_features)
    kernel.families = nn.ModuleList(fitted)
    return kernel.eval().requires_grad_(False)


def _fit_family(
    descriptors: Tensor,
    missed: Tensor,
    formula: Tensor,
    sizes: list[int],
    config: ChargeKernelConfig,
    generator: torch.Generator,
) -> FamilyKernel:
    n, columns = descriptors.shape
    if n < 2 or float(missed.std()) == 0.0:  # nothing to learn from
        return FamilyKernel(0, 1, columns)
    mean, deviation = descriptors.mean(dim=0), descriptors.std(dim=0)
    varies = deviation > 1e-6
    scale = torch.where(varies, 1.0 / deviation.clamp(min=1e-6), 0.0)
    order = torch.randperm(n, generator=generator)
    unit = float(missed.std())  # e
    standard = ((descriptors - mean) * scale).clamp(-_LARGEST, _LARGEST)
    # blocks count alike to begin with, however many columns they have
    for part, own in zip(standard.split(sizes, dim=1), varies.split(sizes), strict=True):
        part /= math.sqrt(max(int(own.sum()), 1))
    inverse_lengths, amplitude, noise = _likeliest(standard, missed / unit, formula, sizes, config, order)
    weights = torch.cat(
        [
            torch.full((size,), float(length) / math.sqrt(max(int(own.sum()), 1)))
            for size, length, own in zip(sizes, inverse_lengths, varies.split(sizes), strict=True)
        ]
    ).double()
    stretched = standard * torch.repeat_interleave(inverse_lengths.double(), torch.tensor(sizes))
    _, vectors = torch.linalg.eigh(stretched.T @ stretched)
    dimensions = min(config.dimensions, columns)
    projection = weights[:, None] * vectors[:, -dimensions:]
    process = FamilyKernel(min(config.centres, n), dimensions, columns)
    process.mean, process.scale, process.projection = mean.float(), scale.float(), projection.float()
    placed = process.placed(descriptors)
    chosen = order[: config.centres].sort().values
    process.centres = placed[chosen].half()
    process.coefficients = unit * _coefficients(placed, process.centres.double(), missed / unit, amplitude, noise)
    process.variances = unit**2 * torch.tensor([amplitude, noise], dtype=torch.float64)
    return process


def _likeliest(
    standard: Tensor, missed: Tensor, formula: Tensor, sizes: list[int], config: ChargeKernelConfig, order: Tensor
) -> tuple[Tensor, float, float]:
    """Inverse lengths of the blocks, and the variances of process and noise, for one atom a formula."""
    _, place = torch.unique(formula[order], return_inverse=True)
    first = torch.full((int(place.max()) + 1,), len(order)).scatter_reduce(0, place, torch.arange(len(order)), "amin")
    sample = order[first.sort().values][: config.sample]
    chosen = standard[sample].float()
    squares = [squared_distances(part, part) for part in chosen.split(sizes, dim=1)]
    values = missed[sample].float()
    # logarithms: lengths, amplitude, noise
    logs = torch.tensor([math.log(2.0)] * len(sizes) + [0.0, math.log(0.5)], requires_grad=True)
    optimizer = torch.optim.Adam([logs], lr=config.lr)
    identity = torch.eye(len(sample))
    for _ in range(config.steps):
        distance = torch.stack([one * torch.exp(-2 * log) for one, log in zip(squares, logs, strict=False)]).sum(dim=0)
        covariance = torch.exp(2 * logs[-2]) * matern(distance) + _noise(logs) * identity
        factor, fault = torch.linalg.cholesky_ex(covariance)
        if int(fault):  # less noise than single precision can tell: what was reached is kept
            break
        solved = torch.cholesky_solve(values[:, None], factor)[:, 0]
        unlikeliness = 0.5 * (values @ solved) + torch.log(torch.diagonal(factor)).sum()
        optimizer.zero_grad()
        unlikeliness.backward()
        optimizer.step()
    logs = logs.detach()
    return torch.exp(-logs[:-2]), float(torch.exp(2 * logs[-2])), float(_noise(logs))


def _noise(logs: Tensor) -> Tensor:
    return torch.exp(2 * logs[-1]) + 1e-4


def _coefficients(placed: Tensor, centres: Tensor, missed: Tensor, amplitude: float, noise: float) -> Tensor:
    """Of the projected process [centres], for a kernel of amplitude one."""
    own = amplitude * matern(squared_distances(centres, centres))
    own.diagonal().add_(1e-6 * amplitude)
    lower = torch.linalg.cholesky(own)
    inner = torch.eye(len(centres), dtype=torch.float64)
    right = torch.zeros(len(centres), dtype=torch.float64)
    for part, values in zip(placed.split(_CHUNK), missed.split(_CHUNK), strict=True):
        likeness = amplitude * matern(squared_distances(centres, part))
        whitened = torch.linalg.solve_triangular(lower, likeness, upper=False) / math.sqrt(noise)
        inner += whitened @ whitened.T
        right += whitened @ values / math.sqrt(noise)
    white = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(inner))
    return amplitude * torch.linalg.solve_triangular(lower.T, white, upper=True)[:, 0]


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """[n, m] between rows of two tables."""
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)[None] - 2 * first @ second.T
    return squares.clamp(min=0.0)


def matern(squares: Tensor) -> Tensor:
    """Matérn's kernel of smoothness 3/2, amplitude and length one, of squared distances."""
    reach = torch.sqrt(3 * squares + 1e-8)
    return (1 + reach) * torch.exp(-reach)
