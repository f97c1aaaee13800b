"""Fine-tuning: start from a trained potential, on other labels, without forgetting what it knew."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from ase.data import chemical_symbols

from potentials.atom_graph import AtomGraph, collate, graph_from
from potentials.checkpoint import load_checkpoint
from potentials.dataset import attach_neighbours
from potentials.errors import InputError
from potentials.growth import can_grow, grown
from potentials.neighbours import batch_neighbours
from potentials.network_potential import EnergyModel
from potentials.reference_energies import composition_matrix, fit_reference_energies
from potentials.structure_files import read_structures
from potentials.training_config import FinetuneConfig, PotentialTrainingConfig

_BATCH = 16  # frames a call when labelling
_FRAMES_AN_ELEMENT = 60  # with an element, at least, that its reference energy is shifted by; all where there are fewer


def resolve_start(config: PotentialTrainingConfig) -> PotentialTrainingConfig:
    """The configuration with the network of the checkpoint it starts from.

    Raises:
        InputError: no such checkpoint, or a network, reference energies or core repulsion that contradict it.
    """
    if config.start is None:
        return config
    model = load_checkpoint(config.start.checkpoint).model
    where = config.start.checkpoint
    network = model.config
    if "network" in config.model_fields_set and config.network != network:
        if not can_grow(network, config.network):
            raise InputError(
                f"network differs from that of start.checkpoint ({where}): leave the key out when fine-tuning, or give "
                "it with larger or more numbers in network.carried, the first as it is, for it to grow"
            )
        network = config.network
    if config.reference_energies is not None:
        raise InputError(
            "reference_energies cannot be given when fine-tuning: they come from start.checkpoint and are shifted to "
            "fit the new energies; leave the key out"
        )
    if "zbl" in config.model_fields_set and config.zbl != (model.repulsion is not None):
        raise InputError(f"zbl differs from start.checkpoint ({where}): leave the key out when fine-tuning")
    pairs = model.pair_baseline is not None
    if config.pair_baseline is not None and config.pair_baseline != pairs:
        raise InputError(f"pair_baseline differs from start.checkpoint ({where}): leave the key out when fine-tuning")
    long_range = model.long_range.config if model.long_range is not None else None
    if "long_range" in config.model_fields_set and config.long_range != long_range:
        raise InputError(f"long_range differs from start.checkpoint ({where}): leave the key out when fine-tuning")
    found = {
        "network": network,
        "zbl": model.repulsion is not None,
        "pair_baseline": pairs,
        "long_range": long_range,
    }
    return config.model_copy(update=found)


def load_start(
    config: PotentialTrainingConfig,
    start: FinetuneConfig,
    frames: Sequence[AtomGraph],
    held_out: Sequence[AtomGraph] = (),
) -> EnergyModel:
    """The model to go on from, its reference energies moved to the zero of the new labels.

    Another code or functional shifts the energy of every element by a constant. The shifts are fitted, robustly, to
    what the old model gets wrong, so that training has only the differences that matter left to learn.

    Raises:
        InputError: the frames hold an element the checkpoint never saw.
    """
    model = load_checkpoint(start.checkpoint, precision=config.precision).model
    unseen = sorted({int(z) for frame in (*frames, *held_out) for z in frame.numbers} - set(model.elements))
    if unseen:
        names = ", ".join(chemical_symbols[z] for z in unseen)
        raise InputError(
            f"the training or validation data hold {names}, which start.checkpoint ({start.checkpoint}) never saw: "
            "remove those frames or train anew on both sets of data"
        )
    chosen = _telling(frames, config.seed)
    predicted = torch.cat([output["energy"] for output in _predictions(model, chosen)])
    residuals = torch.cat([frame.energy for frame in chosen]) - predicted
    numbers = [frame.numbers.numpy() for frame in chosen]
    present = sorted({int(z) for system in numbers for z in system})
    shifts = fit_reference_energies(composition_matrix(numbers, present), residuals.tolist(), present)
    # elements that the new data lack move with the rest: a constant offset of a code is the likelier guess than none
    common = float(np.median(list(shifts.values())))
    model.reference_energies = {z: e + shifts.get(z, common) for z, e in model.reference_energies.items()}
    if config.network != model.config:  # `resolve_start` lets only growth pass
        model = grown(model, config.network, config.seed)
    return model.train().requires_grad_(True)


def replay_frames(
    start: FinetuneConfig, model: EnergyModel, frames: Sequence[AtomGraph], seed: int
) -> tuple[list[AtomGraph], list[AtomGraph]]:
    """Structures that the old model labels itself, to be mixed into training, and a tenth kept to measure forgetting.

    Self-labelling needs no labels of the old data (Li, Hoiem, Learning without Forgetting, ECCV 2016), and with the
    shifted reference energies they agree with the level of theory of the new ones.

    Raises:
        InputError: no readable structure among `start.replay`.
    """
    if start.replay is None:
        return [], []
    found = [result.system for result in read_structures(start.replay) if result.system is not None]
    graphs = [graph_from(system) for system in found]
    graphs = [graph for graph in graphs if {int(z) for z in graph.numbers} <= set(model.elements)]
    if len(graphs) < 2:
        raise InputError(
            f"start.replay ({start.replay}) holds {len(graphs)} readable structures of elements the checkpoint knows: "
            "give at least two, or leave the key out"
        )
    wanted = max(2, round(len(frames) * start.replay_share / (1 - start.replay_share)))
    order = np.random.default_rng([seed, 7]).permutation(len(graphs))
    kept_aside = max(1, len(graphs) // 10)
    aside = [graphs[i] for i in order[:kept_aside]]
    chosen = [graphs[i] for i in order[kept_aside:][:wanted]]
    for group in (aside, chosen):
        attach_neighbours(group, model.config.cutoff, str(start.replay))
        _label(model, group, frames[0])
    return chosen, aside


def _telling(frames: Sequence[AtomGraph], seed: int) -> list[AtomGraph]:
    """Frames enough to say how each element's reference energy moves: of thousands each adds nothing but time."""
    seen: Counter[int] = Counter()
    chosen = []
    for index in np.random.default_rng([seed, 8]).permutation(len(frames)).tolist():
        elements = set(frames[index].numbers.tolist())
        if any(seen[z] < _FRAMES_AN_ELEMENT for z in elements):
            seen.update(elements)
            chosen.append(frames[index])
    return chosen


def _label(model: EnergyModel, graphs: Sequence[AtomGraph], like: AtomGraph) -> None:
    """Energy, and forces and stress where `like` has them, from the model itself."""
    outputs = _predictions(model, graphs)
    energies = torch.cat([output["energy"] for output in outputs])
    forces = torch.cat([output["forces"] for output in outputs]).double()
    stresses = torch.cat([output["stress"] for output in outputs]).double()
    ends = np.cumsum([len(graph.numbers) for graph in graphs]).tolist()
    for index, (graph, end) in enumerate(zip(graphs, ends, strict=True)):
        graph.energy = energies[index : index + 1].clone()
        if "forces" in like:
            graph.forces = forces[end - len(graph.numbers) : end].clone()
        if "stress" in like:
            bulk = bool(graph.pbc.all())
            graph.stress = stresses[index : index + 1].clone() if bulk else torch.full((1, 3, 3), float("nan")).double()


def _predictions(model: EnergyModel, graphs: Sequence[AtomGraph]) -> list[dict[str, torch.Tensor]]:
    """Outputs of the model for frames that carry their neighbours."""
    batches = [collate(list(graphs[start : start + _BATCH])) for start in range(0, len(graphs), _BATCH)]
    return [model(batch, batch_neighbours(batch)) for batch in batches]
