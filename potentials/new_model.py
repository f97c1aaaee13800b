"""An untrained potential, and what is said of the data before a network learns: reference energies, pairs, scale."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from potentials.atom_graph import AtomGraph, collate
from potentials.dataset import split_frames
from potentials.errors import InputError
from potentials.neighbours import batch_neighbours
from potentials.network_potential import EnergyModel, elements_from_symbols
from potentials.pair_baseline import MOST_ELEMENTS, PairBaseline
from potentials.reference_energies import (
    composition_is_ambiguous,
    composition_matrix,
    fit_reference_energies,
    mean_site_energies,
)
from potentials.training_config import PotentialTrainingConfig
from potentials.training_data import free_atom_energies, lifts

_CALIBRATION_FRAMES = 32
_TOGETHER = 64  # frames of a pass


def new_model(
    config: PotentialTrainingConfig,
    frames: Sequence[AtomGraph],
    held_out: Sequence[AtomGraph],
    unbound: Sequence[AtomGraph],
) -> EnergyModel:
    """The model a training begins with.

    Args:
        config: of the training.
        frames: to train on, with neighbours.
        held_out: frames whose elements it must know too.
        unbound: frames without neighbours; single atoms among them are what energies end at.

    Raises:
        InputError: elements that no training frame holds, reference energies that lack some, or settings that the
            data do not allow.
    """
    numbers = [frame.numbers.numpy() for frame in frames]
    elements = sorted({int(z) for system in numbers for z in system})
    unseen = sorted({int(z) for frame in held_out for z in frame.numbers} - set(elements))
    if unseen:
        names = ", ".join(chemical_symbols[z] for z in unseen)
        raise InputError(f"validation frames hold {names}, which no training frame does: move some to the training set")
    baseline = _fitted_baseline(config, frames, elements)
    rest = _Rest(frames, baseline)
    free = free_atom_energies(unbound)
    references = _reference_energies(config, rest, composition_matrix(numbers, elements), elements, free)
    scale = rest.scale(references)
    dtype = torch.float64 if config.precision == "float64" else torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        # forces that all vanish (one perfect crystal) say nothing about the scale
        model = EnergyModel(
            config.network,
            references,
            scale if scale > 1e-6 else 1.0,
            config.zbl,
            dtype,
            config.long_range,
            lifts(free, references),
            pair_baseline=baseline is not None,
        )
    if baseline is not None and model.pair_baseline is not None:
        model.pair_baseline.coefficients.copy_(baseline.coefficients)
    some = split_frames(frames, _CALIBRATION_FRAMES / len(frames), config.seed)[1] if len(frames) > 1 else frames
    sample = collate(list(some))
    model.calibrate(sample, batch_neighbours(sample))
    return model


def _fitted_baseline(
    config: PotentialTrainingConfig, frames: Sequence[AtomGraph], elements: Sequence[int]
) -> PairBaseline | None:
    wanted, forces, many = config.pair_baseline, "forces" in frames[0], len(elements) > MOST_ELEMENTS
    if wanted and not forces:
        raise InputError("pair_baseline is fitted to forces, and the data have none: leave the key out")
    if wanted and many:
        raise InputError(
            f"pair_baseline takes at most {MOST_ELEMENTS} elements, the data hold {len(elements)}: leave the key out"
        )
    # tried on alloys it was in the way: pairs say little of what a metal's neighbours are worth
    molecules = not any(bool(frame.pbc.any()) for frame in frames)
    if wanted is False or not forces or many or not (wanted or molecules):
        return None
    baseline = PairBaseline(elements, config.network.cutoff, torch.float64)
    baseline.fit(frames)
    return baseline


class _Rest:
    """What pairs leave of the labels."""

    def __init__(self, frames: Sequence[AtomGraph], baseline: PairBaseline | None) -> None:
        self.frames = frames
        self.energies = torch.tensor([frame.energy.item() for frame in frames], dtype=torch.float64)
        self.forces = torch.cat([frame.forces for frame in frames]) if "forces" in frames[0] else None
        self.sites: Tensor | None = None  # what pairs give each atom
        if baseline is not None and self.forces is not None:
            found = [
                baseline.labels(collate(list(frames[start : start + _TOGETHER])))
                for start in range(0, len(frames), _TOGETHER)
            ]
            energies, forces, sites = (torch.cat(parts) for parts in zip(*found, strict=True))
            self.energies, self.forces, self.sites = self.energies - energies, self.forces - forces, sites

    def scale(self, references: dict[int, float]) -> float:
        """Energy scale of the network: the forces' root mean square, or of energies where there are none, eV."""
        if self.forces is not None:
            return float(self.forces.square().mean().sqrt())
        zero = [sum(references[z] for z in frame.numbers.tolist()) for frame in self.frames]
        sizes = torch.tensor([len(frame.numbers) for frame in self.frames])
        return float(((self.energies - torch.tensor(zero, dtype=torch.float64)) / sizes).std())


def _reference_energies(
    config: PotentialTrainingConfig, rest: _Rest, counts: np.ndarray, elements: list[int], free: dict[int, float]
) -> dict[int, float]:
    if config.reference_energies is not None:
        given = elements_from_symbols(config.reference_energies)
        lacking = ", ".join(chemical_symbols[z] for z in elements if z not in given)
        if lacking:
            raise InputError(
                f"reference_energies lack {lacking}, which the training data hold: add them or drop the key"
            )
        return {z: given[z] for z in elements}
    if "site_energies" in rest.frames[0]:
        return mean_site_energies(rest.frames, rest.sites)
    all_free = free if set(elements) <= set(free) else None
    if not all_free and composition_is_ambiguous(counts):
        logging.getLogger(__name__).info("compositions do not fix each element's reference energy, only their sums")
    return fit_reference_energies(counts, rest.energies.tolist(), elements, all_free)
