"""Lattices as six unconstrained numbers: the logarithm of the symmetric polar factor, standardised by atom count.

A row lattice L is S Q with S = (L L^T)^(1/2) symmetric positive definite and Q a rotation (the left polar
decomposition); S keeps everything but the orientation. K = log S is symmetric and free, trace K = log volume,
and exp K has a positive volume whatever K is (the log-polar form of Jiao et al. 2024, DiffCSP++, sec. 4.1; the
symmetric form and the density-informed prior of Zeni et al. 2025, MatterGen, SI A.2).

K is written in an orthonormal basis of symmetric matrices: one volume, two axial and three shear components.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def _basis() -> Tensor:
    """[6, 3, 3] orthonormal symmetric matrices; the first is I/sqrt(3)."""
    matrices = torch.zeros(6, 3, 3, dtype=torch.float64)
    matrices[0] = torch.eye(3, dtype=torch.float64) / math.sqrt(3)
    matrices[1] = torch.diag(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)) / math.sqrt(2)
    matrices[2] = torch.diag(torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64)) / math.sqrt(6)
    for index, (i, j) in enumerate([(1, 2), (0, 2), (0, 1)], start=3):
        matrices[index, i, j] = matrices[index, j, i] = 1 / math.sqrt(2)
    return matrices


BASIS = _basis()
MIN_STD = 0.1  # small cells mostly have a = b; a spread fitted to that would make the others wild outliers


def encode(lattice: Tensor) -> Tensor:
    """Row lattices [B, 3, 3] in Å to their log-polar components [B, 6]; rotations and handedness drop out.

    A lattice that is not finite has components that are NaN.
    """
    metric = lattice.double() @ lattice.double().transpose(-1, -2)
    broken = ~torch.isfinite(metric).all(-1).all(-1)
    metric = torch.where(broken[:, None, None], torch.eye(3, dtype=metric.dtype, device=metric.device), metric)
    values, vectors = torch.linalg.eigh(metric)
    log_polar = vectors @ torch.diag_embed(0.5 * values.log()) @ vectors.transpose(-1, -2)
    found = torch.einsum("kij,bij->bk", BASIS, log_polar).to(lattice.dtype)
    return found.masked_fill(broken[:, None], torch.nan)


def decode(components: Tensor) -> Tensor:
    """Log-polar components [B, 6] to symmetric row lattices [B, 3, 3] in Å, volume always positive."""
    log_polar = torch.einsum("kij,bk->bij", BASIS.to(components.device), components.double())
    return torch.linalg.matrix_exp(log_polar).to(components.dtype)


@dataclass(frozen=True)
class LatticeScale:
    """Mean and spread of the components against the atom count N; the diffusion runs on standardised values.

    Component 0 is centred on the volume N / density; every component has mean a + b log N and spread
    exp(c + d log N), fitted to the training set. With d = 0, a lattice whose lengths go as N^(1/3) varies by the same
    share at every N, which is MatterGen's variance of N^(2/3) in Å^2; the fit to 16,000 crystals gives d = 0.01 for the
    volume and between -0.19 and 0.43 for the others.
    """

    density: float  # atoms/Å^3
    mean: tuple[tuple[float, float], ...]  # six pairs (a, b)
    log_std: tuple[tuple[float, float], ...]  # six pairs (c, d)

    def standardise(self, components: Tensor, n_atoms: int) -> Tensor:
        """[B, 6] log-polar components to roughly standard normal ones."""
        centre, spread = self._moments(n_atoms, components)
        return (components - centre) / spread

    def restore(self, standard: Tensor, n_atoms: int) -> Tensor:
        """Inverse of `standardise`."""
        centre, spread = self._moments(n_atoms, standard)
        return centre + spread * standard

    def _moments(self, n_atoms: int, like: Tensor) -> tuple[Tensor, Tensor]:
        line = torch.tensor([1.0, math.log(n_atoms)], dtype=torch.float64)
        centre = torch.tensor(self.mean, dtype=torch.float64) @ line
        # log volume = log(N / density), and component 0 is trace K / sqrt(3)
        centre[0] = centre[0] + math.log(n_atoms / self.density) / math.sqrt(3)
        spread = (torch.tensor(self.log_std, dtype=torch.float64) @ line).exp()
        return centre.to(like), spread.to(like)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for the checkpoint."""
        return {
            "density": self.density,
            "mean": [list(p) for p in self.mean],
            "log_std": [list(p) for p in self.log_std],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "LatticeScale":
        """Inverse of `to_json`."""
        return cls(
            float(value["density"]),
            tuple((float(a), float(b)) for a, b in value["mean"]),
            tuple((float(c), float(d)) for c, d in value["log_std"]),
        )


def fit_scale(lattices: dict[int, Tensor]) -> LatticeScale:
    """Fit a `LatticeScale` to training lattices [M, 3, 3] by atom count.

    Means by least squares on log N; spreads by least squares on the log of the residuals' root mean square of
    each atom count, weighted by the number of crystals.
    """
    total_atoms = sum(n * len(lattice) for n, lattice in lattices.items())
    total_volume = sum(float(torch.linalg.det(lattice.double()).abs().sum()) for lattice in lattices.values())
    density = total_atoms / total_volume
    components, log_counts = [], []
    for n, lattice in sorted(lattices.items()):
        part = encode(lattice.double())
        part[:, 0] -= math.log(n / density) / math.sqrt(3)
        components.append(part)
        log_counts.append(torch.full((len(lattice),), math.log(n), dtype=torch.float64))
    values, x = torch.cat(components), torch.cat(log_counts)
    design = torch.stack([torch.ones_like(x), x], dim=1)
    mean = torch.linalg.lstsq(design, values).solution  # [2, 6]
    residual = values - design @ mean
    rows, targets, weights = [], [], []
    for level in x.unique():
        members = residual[x == level]
        rows.append(torch.stack([torch.ones_like(level), level]))
        targets.append((members**2).mean(0).sqrt().clamp_min(MIN_STD).log())
        weights.append(math.sqrt(len(members)))
    weight = torch.tensor(weights, dtype=torch.float64).unsqueeze(1)
    log_std = torch.linalg.lstsq(weight * torch.stack(rows), weight * torch.stack(targets)).solution  # [2, 6]
    return LatticeScale(
        density,
        tuple((float(a), float(b)) for a, b in mean.T),
        tuple((float(c), float(d)) for c, d in log_std.T),
    )
