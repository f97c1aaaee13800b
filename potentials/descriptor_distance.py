"""Uncertainty of one network for the price of one: how far an atom's features lie from those it was trained on.

Mahalanobis distance in the space of the last readout's features, one Gaussian an element (Lee et al., NeurIPS 2018; Zhu
et al., J. Chem. Phys. 158, 164111 (2023), with one component). A power law fitted to held-out errors turns the
distance into the standard deviation of a force component.
"""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, collate
from potentials.errors import InputError
from potentials.neighbours import edge_vectors, neighbour_list
from potentials.network_potential import NetworkPotential
from potentials.potential import PotentialOutput

_BATCH = 16
_SHRINK = 1e-3  # of the mean variance, added to every direction


class DistancePotential:
    """A trained network whose `forces_std` follows from the distance of each atom to the training set.

    Args:
        potential: the network.
        training: frames it was trained on.
        held_out: labelled frames it was not trained on, to which the power law is fitted.

    Raises:
        InputError: held-out frames without forces.
    """

    def __init__(
        self, potential: NetworkPotential, training: Sequence[AtomGraph], held_out: Sequence[AtomGraph]
    ) -> None:
        if "forces" not in held_out[0]:
            raise InputError("held-out frames carry no forces: the uncertainty is fitted to force errors")
        self._potential = potential
        self.name, self.elements, self.cutoff = f"{potential.name}-distance", potential.elements, potential.cutoff
        self._gaussians = self._fit(training)
        self._law = (0.0, 0.0)  # log std = first + second * log distance
        distances, errors = [], []
        for start in range(0, len(held_out), _BATCH):
            batch = collate(list(held_out[start : start + _BATCH]))
            distances.append(self.distances(batch))
            difference = potential(batch, stress=False)["forces"].double() - batch.forces
            errors.append(difference.square().mean(dim=1))
        self._law = _power_law(torch.cat(distances).numpy(), torch.cat(errors).numpy())

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """What the network says, and `forces_std` [N, 3], alike for the three components of an atom."""
        output = self._potential(batch, stress=stress)
        intercept, slope = self._law
        std = torch.exp(intercept + slope * torch.log(self.distances(batch)))
        output["forces_std"] = std[:, None].expand(-1, 3).to(output["forces"])
        return output

    def distances(self, batch: Batch) -> Tensor:
        """Mahalanobis distance over the square root of the dimension, of each atom [N]; about 1 in training."""
        features = self._features(batch)
        result = torch.full((len(features),), math.inf, dtype=torch.float64)
        for number, (mean, whiten) in self._gaussians.items():
            mine = batch.numbers.cpu() == number
            scores = (features[mine] - mean) @ whiten
            result[mine] = (scores.square().sum(dim=1) / scores.shape[1]).sqrt().clamp_min(1e-6)
        return result

    def _fit(self, frames: Sequence[AtomGraph]) -> dict[int, tuple[Tensor, Tensor]]:
        features, numbers = [], []
        for start in range(0, len(frames), _BATCH):
            batch = collate(list(frames[start : start + _BATCH]))
            features.append(self._features(batch))
            numbers.append(batch.numbers)
        stacked, number = torch.cat(features), torch.cat(numbers)
        gaussians = {}
        for z in number.unique().tolist():
            mine = stacked[number == z]
            mean = mine.mean(dim=0)
            covariance = (mine - mean).T @ (mine - mean) / max(1, len(mine) - 1)
            ridge = _SHRINK * covariance.diagonal().mean() + 1e-12
            values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(mean), dtype=torch.float64))
            gaussians[int(z)] = (mean, vectors / values.sqrt())
        return gaussians

    def _features(self, batch: Batch) -> Tensor:
        model = self._potential.model
        device = model.factors.device
        batch = copy.copy(batch).to(device)
        neighbours = neighbour_list(batch, model.config.cutoff)
        vectors = edge_vectors(batch, neighbours).to(model.dtype)
        with torch.no_grad():
            centre, neighbour = neighbours.edge_index
            found = model.network.descriptors(model.species(batch.numbers), centre, neighbour, vectors)
        return found.double().cpu()


def _power_law(distances: np.ndarray, squared_errors: np.ndarray, bins: int = 20) -> tuple[float, float]:
    """Intercept and slope of log RMS error against log distance, from bins of equal count."""
    order = np.argsort(distances, kind="stable")
    groups = [group for group in np.array_split(order, min(bins, max(1, len(order) // 20))) if len(group)]
    x = np.array([np.log(distances[group]).mean() for group in groups])
    y = np.array([0.5 * np.log(max(squared_errors[group].mean(), 1e-16)) for group in groups])
    if len(groups) < 2 or np.ptp(x) < 1e-9:
        return float(y.mean()), 0.0
    slope, intercept = np.polyfit(x, y, 1)
    return float(intercept), max(float(slope), 0.0)  # farther is never surer
