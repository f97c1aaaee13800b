"""Is a stated uncertainty true? Coverage of its intervals, rank correlation with errors, the factor that mends it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import spearmanr

from potentials.atom_graph import AtomGraph, collate
from potentials.errors import InputError
from potentials.potential import Potential

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_BATCH = 16


@dataclass(frozen=True)
class ForceCalibration:
    """How the stated standard deviations of force components compare with the errors made."""

    coverage: dict[float, float]  # nominal level -> share of components inside the normal interval of that level
    rank_correlation: float  # Spearman, of stated and true error of each atom
    factor: float  # by which to multiply the standard deviations so that 90 % intervals cover 90 % of these frames
    rmse: float  # eV/Å
    mean_std: float  # eV/Å
    atoms: int


def force_calibration(potential: Potential, frames: Sequence[AtomGraph]) -> ForceCalibration:
    """Judge `forces_std` of a potential on labelled frames.

    The factor is a split-conformal one (Angelopoulos, Bates, arXiv:2107.07511): the 90 % quantile of |error| / std over
    that of the normal distribution. Fit it on one set, judge it on another.

    Raises:
        InputError: a potential without `forces_std`, or frames without forces.
    """
    if "forces" not in frames[0]:
        raise InputError("frames carry no forces: force uncertainties cannot be judged on them")
    errors, stds = [], []
    for start in range(0, len(frames), _BATCH):
        batch = collate(list(frames[start : start + _BATCH]))
        output = potential(batch, stress=False)  # type: ignore[arg-type]
        if "forces_std" not in output:
            raise InputError(f"{potential.name} states no force uncertainty: use an ensemble or a DistancePotential")
        errors.append((output["forces"].double() - batch.forces).abs())
        stds.append(output["forces_std"].double())
    error, std = torch.cat(errors).numpy(), torch.cat(stds).numpy()
    scaled = (error / np.maximum(std, 1e-12)).ravel()
    normal = {level: float(ndtri(0.5 + level / 2)) for level in LEVELS}
    correlation = spearmanr(np.sqrt((std**2).mean(1)), np.sqrt((error**2).mean(1))).statistic
    return ForceCalibration(
        coverage={level: float((scaled < width).mean()) for level, width in normal.items()},
        rank_correlation=float(correlation),
        factor=float(np.quantile(scaled, 0.9) / normal[0.9]),
        rmse=float(np.sqrt((error**2).mean())),
        mean_std=float(std.mean()),
        atoms=len(error),
    )
