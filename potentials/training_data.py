"""Frames a training of a potential begins with."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from potentials.atom_graph import AtomGraph
from potentials.dataset import attach_neighbours, read_frames, split_frames
from potentials.dissociation import LARGEST_LIFT
from potentials.training_config import PotentialTrainingConfig


def load_frames(
    config: PotentialTrainingConfig, *, progress: bool = False
) -> tuple[list[AtomGraph], list[AtomGraph], list[AtomGraph]]:
    """Frames to train on, those held out, and those without a single bond, which are neither.

    Free atoms lie several eV an atom above everything else. A network that must bridge that by a smooth function of its
    neighbours pays with its forces where atoms are bound: five times as large errors on ethanol. Single atoms are met
    exactly instead, by `potentials.dissociation`.

    Raises:
        InputError: unusable data.
    """
    data = config.data
    frames = read_frames(data.train, data.labels, progress=progress)
    attach_neighbours(frames, config.network.cutoff, str(data.train), progress=progress)
    bound = [frame for frame in frames if frame.edge_index.shape[1]]
    unbound = [frame for frame in frames if not frame.edge_index.shape[1]] if bound else []
    if unbound:
        frames = bound
        logging.getLogger(__name__).warning(
            "%s: not trained on are frames (%d) without two atoms within %g Å: single atoms among them are what "
            "energies end at as atoms part",
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


def free_atom_energies(unbound: Sequence[AtomGraph]) -> dict[int, float]:
    """Energies of single atoms, eV, by atomic number; the median where there are several."""
    found: dict[int, list[float]] = {}
    for frame in unbound:
        if len(frame.numbers) == 1:
            found.setdefault(int(frame.numbers[0]), []).append(frame.energy.item())
    return {z: float(np.median(energies)) for z, energies in found.items()}


def lifts(free: Mapping[int, float], references: Mapping[int, float]) -> dict[int, float]:
    """By how much free atoms lie above reference energies, eV; not of those that cannot be of the same calculations."""
    found = {z: energy - references[z] for z, energy in free.items() if z in references}
    for z, lift in found.items():
        if abs(lift) > LARGEST_LIFT:
            logging.getLogger(__name__).warning(
                "free %s lies %.1f eV from what it has in bonds, more than any bonds are worth: it was computed "
                "otherwise than the rest (spin, pseudopotential, zero of energy?), and energies will not end there",
                chemical_symbols[z],
                lift,
            )
    return {z: lift for z, lift in found.items() if abs(lift) <= LARGEST_LIFT}
