"""Frames a training of a potential begins with."""

import logging
from collections.abc import Sequence

import numpy as np

from potentials.atom_graph import AtomGraph
from potentials.dataset import attach_neighbours, read_frames, split_frames
from potentials.training_config import PotentialTrainingConfig


def load_frames(config: PotentialTrainingConfig) -> tuple[list[AtomGraph], list[AtomGraph], list[AtomGraph]]:
    """Frames to train on, those held out, and those without a single bond, which are neither.

    Free atoms lie several eV an atom above everything else. A network that must bridge that by a smooth function of its
    neighbours pays with its forces where atoms are bound: five times as large errors on ethanol.

    Raises:
        InputError: unusable data.
    """
    data = config.data
    frames = read_frames(data.train, data.labels)
    attach_neighbours(frames, config.network.cutoff, str(data.train))
    bound = [frame for frame in frames if frame.edge_index.shape[1]]
    unbound = [frame for frame in frames if not frame.edge_index.shape[1]] if bound else []
    if unbound:
        frames = bound
        logging.getLogger(__name__).warning(
            "%s: %d frames have no two atoms within %g Å: single atoms among them tell elements' reference energies "
            "apart, the energy of free atoms is not learned",
            data.train,
            len(unbound),
            config.network.cutoff,
        )
    if data.validation is None:
        training, held_out, _ = split_frames(frames, data.validation_fraction, config.seed)
        return training, held_out, unbound
    held_out = read_frames(data.validation, data.labels)
    attach_neighbours(held_out, config.network.cutoff, str(data.validation))
    return frames, [frame for frame in held_out if frame.edge_index.shape[1]] or held_out, unbound


def free_atom_energies(unbound: Sequence[AtomGraph], elements: Sequence[int]) -> np.ndarray:
    """Energies of single atoms, eV [n_elements], to fit other energies on; zeros unless all elements are there."""
    found = {int(frame.numbers[0]): frame.energy.item() for frame in unbound if len(frame.numbers) == 1}
    return np.array([found[z] for z in elements]) if set(elements) <= set(found) else np.zeros(len(elements))
