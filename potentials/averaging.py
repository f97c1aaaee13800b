"""Averages of weights: of a training and the one it started from, or of several that share a start.

Where trainings went on from the same weights without leaving their basin, the mean of their weights is a network of the
same cost that errs less than either, on new data above all (Wortsman et al., Model soups, ICML 2022; Robust fine-tuning
of zero-shot models, CVPR 2022). Whether it is so says a set nobody trained on: try shares there.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.errors import InputError
from potentials.growth import can_grow, grown
from potentials.network_potential import EnergyModel

_OF_ONE = ("validation_errors", "errors_by_element", "forgetting")  # measured on the last one, not true of the average


def average_checkpoints(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Path:
    """Write the average of trained potentials as one of the same cost.

    Args:
        folders: checkpoints; the last one's facts (data, command; not its errors) are kept with the average. One
            of a smaller shape is grown to that of the last, as the training that started from it did.
        out: folder of the new checkpoint.
        shares: of each, together 1; equal ones by default.
        seed: of the growth: the `seed` of the training that grew it.
        name: short name; by default the last one's.

    Returns:
        The folder.

    Raises:
        InputError: shares that do not add up, fewer than two checkpoints, or ones of other elements or shapes.
    """
    paths = [Path(folder) for folder in folders]
    weights = [1 / len(paths)] * len(paths) if shares is None and paths else list(shares or ())
    if len(paths) < 2 or len(weights) != len(paths) or abs(sum(weights) - 1) > 1e-6:
        raise InputError(
            f"{len(paths)} checkpoints with shares {weights}: give two or more, and shares that add up to 1"
        )
    loaded = [load_checkpoint(path) for path in paths]
    last = loaded[-1].model
    models = []
    for path, potential in zip(paths, loaded, strict=True):
        model = potential.model
        if model.config != last.config and can_grow(model.config, last.config):
            model = grown(model, last.config, seed)
        if not _alike(model, last):
            raise InputError(f"{path} differs from {paths[-1]} in elements, shape or energy scale: no average of them")
        models.append(model)
    facts = {
        **{key: fact for key, fact in loaded[-1].metadata["training"].items() if key not in _OF_ONE},
        "average": [
            {"name": path.name, "share": share, "weights_sha256": potential.metadata["weights_sha256"]}
            for path, share, potential in zip(paths, weights, loaded, strict=True)
        ],
    }
    return save_checkpoint(out, average(models, weights), name=name or loaded[-1].name, training=facts)


def average(models: Sequence[EnergyModel], shares: Sequence[float]) -> EnergyModel:
    """The model whose weights and reference energies are means of those given, which are of one shape and elements."""
    mean = copy.deepcopy(models[-1])
    parts = [dict(model.state_dict()) for model in models]
    with torch.no_grad():
        for key, value in mean.state_dict().items():
            if value.is_floating_point():
                terms = [share * part[key].double() for share, part in zip(shares, parts, strict=True)]
                value.copy_(torch.stack(terms).sum(0))
    mean.reference_energies = {
        z: sum(share * model.reference_energies[z] for share, model in zip(shares, models, strict=True))
        for z in mean.elements
    }
    return mean


def _alike(one: EnergyModel, other: EnergyModel) -> bool:
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (one, other)]
    scales = abs(one.energy_scale - other.energy_scale) <= 1e-9 * abs(other.energy_scale)
    return one.elements == other.elements and one.config == other.config and shapes[0] == shapes[1] and scales
