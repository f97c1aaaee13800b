"""The networks of `benchmarks/equal_time_worker.py`; each is imported from its own package where it is asked for."""

import importlib.metadata
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

CUTOFF = 5.0


class Network(NamedTuple):
    """A network as the loop wants it."""

    model: torch.nn.Module
    call: Callable  # (positions, edges, frames, training) to energies and forces
    what: str
    turn: Callable | None = None  # (step, frames) to a rotation a frame
    loss: Callable | None = None  # (positions, edges, frames, loss of energies and forces) to a loss; None: of `call`


def start_of(frames):
    """Energy of an atom, eV, that every network begins at: the mean of the training frames."""
    return float(frames.energies.mean()) / len(frames.numbers)


def sorbus(frames, options):
    """Our default network with linear radial functions and body order 3 (or, `plain`, the one without symmetry)."""
    from potentials.atom_graph import collate, make_graph
    from potentials.augmentation import random_orthogonal
    from potentials.difference_loss import difference_loss
    from potentials.neighbours import Neighbours
    from potentials.network import NetworkConfig
    from potentials.network_potential import EnergyModel
    from potentials.pair_baseline import PairBaseline

    plain = options.kind == "plain"
    shape: dict[str, object] = {"cutoff": CUTOFF, "radial_hidden": 0}
    shape |= ({} if plain else {"body_order": 3}) | json.loads(options.network)
    config = NetworkConfig(architecture="plain" if plain else "density", **shape)
    elements = sorted({int(z) for z in frames.numbers})
    pairs = PairBaseline(elements, CUTOFF, torch.float64)
    graphs = []
    arrays = (frames.positions, frames.edges, frames.energies, frames.forces)
    for positions, edges, energy, forces in zip(*arrays, strict=True):
        if not options.without_pairs and edges.shape[1] and not forces.isnan().any():
            graphs.append(make_graph(frames.numbers, positions.numpy()))
            graphs[-1].edge_index, graphs[-1].shifts = edges, torch.zeros(edges.shape[1], 3, dtype=torch.float64)
            graphs[-1].energy, graphs[-1].forces = energy[None], forces
    if graphs:
        pairs.fit(graphs)
        explained, pulls, _ = pairs.labels(collate(graphs))
        left = torch.cat([graph.forces for graph in graphs]) - pulls
    else:
        explained, left = torch.zeros(1, dtype=torch.float64), frames.forces
    scale = float(left.square().mean().sqrt())
    references = dict.fromkeys(elements, start_of(frames) - float(explained.mean()) / len(frames.numbers))
    free = {z: -value for z, value in references.items()} if frames.free else None
    model = EnergyModel(config, references, scale, zbl=options.zbl, free_atoms=free, pair_baseline=bool(graphs))
    if graphs:
        model.pair_baseline.coefficients.copy_(pairs.coefficients)

    def inputs(positions, edges, count):
        split = positions.reshape(count, -1, 3).numpy()
        batch = collate([make_graph(frames.numbers, one) for one in split])
        return batch, Neighbours(edges, positions.new_zeros(edges.shape[1], 3), batch.batch[edges[0]])

    def call(positions, edges, count, training):
        batch, neighbours = inputs(positions, edges, count)
        output = model(batch, neighbours, stress=False, differentiable=training)
        return output["energy"], output["forces"]

    def loss(positions, edges, count, penalty):
        def of_output(output):
            return penalty(output["energy"], output["forces"])

        return difference_loss(model, *inputs(positions, edges, count), of_output, stress=False)

    def turn(step, count):
        return random_orthogonal(count, options.seed, step)

    positions, edges, *_ = frames.batch(list(range(0, len(frames), max(1, len(frames) // 32)))[:32])
    model.calibrate(*inputs(positions, edges, len(positions) // len(frames.numbers)))
    if plain:
        what = "64 channels, degree 2, two layers, no symmetry built in, frames turned at random at each step"
    else:
        sent = " + ".join(f"{count}x{degree}" for degree, count in enumerate(config.carried))
        what = f"{config.channels} channels, l = {config.lmax}, carries {sent}, {config.layers} layers"
        what += f", body order {config.body_order}"
        what += f", radial networks of width {config.radial_hidden}" if config.radial_hidden else ", linear radial"
    what += ", core repulsion" if options.zbl else ""
    what += ", pair baseline" if graphs else ""
    what += ", free atoms as limit" if free else ""
    how = "twice" if options.exact else "by differences"
    what = f"Sorbus, {what}, eager, float32, losses on forces differentiated {how}"
    return Network(model, call, what, turn if plain else None, None if options.exact else loss)


def nequip(frames, options):
    """NequIP with its defaults (4 layers, 32 features) and without the odd-parity copies, which it calls faster."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    species = np.unique(frames.numbers)
    symbols = [f"E{z}" for z in species]
    neighbours = float(np.mean([edges.shape[1] for edges in frames.edges])) / len(frames.numbers)
    model = NequIPGNNModel(
        seed=options.seed,
        model_dtype="float32",
        type_names=symbols,
        r_max=CUTOFF,
        num_layers=options.nequip_layers,
        l_max=options.nequip_lmax,
        parity=False,
        num_features=options.nequip_features,
        avg_num_neighbors=neighbours,
        per_type_energy_scales=float(frames.forces.square().mean().sqrt()),
        per_type_energy_shifts=dict.fromkeys(symbols, start_of(frames)),
    )
    types = torch.from_numpy(np.searchsorted(species, frames.numbers))

    def call(positions, edges, count, training):
        n = len(types)
        output = model(
            {
                "pos": positions.clone(),
                "atom_types": types.repeat(count),
                "edge_index": edges,
                "batch": torch.arange(count).repeat_interleave(n),
                "num_atoms": torch.full((count,), n),
            }
        )
        return output["total_energy"].reshape(-1), output["forces"]

    what = f"{options.nequip_layers} layers, l = {options.nequip_lmax}, {options.nequip_features} features, no parity"
    version = importlib.metadata.version("nequip")
    return Network(model, call, f"NequIP {version}, {what}, eager, float32")


def mace(frames, options):
    """MACE: two layers, correlation 3, l = 3."""
    torch.set_default_dtype(torch.float32)
    import mace.modules as modules
    from e3nn import o3

    species = np.unique(frames.numbers)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(species),
        hidden_irreps=o3.Irreps(options.mace_irreps),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(species)),
        avg_num_neighbors=float(np.mean([edges.shape[1] for edges in frames.edges])) / len(frames.numbers),
        atomic_numbers=[int(z) for z in species],
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=float(frames.forces.square().mean().sqrt()),
        atomic_inter_shift=start_of(frames),
    )
    types = torch.from_numpy(np.searchsorted(species, frames.numbers))
    attributes = torch.nn.functional.one_hot(types, len(species)).float()

    def call(positions, edges, count, training):
        n = len(types)
        zeros = torch.zeros(edges.shape[1], 3)
        output = model(
            {
                "positions": positions.float(),
                "node_attrs": attributes.repeat(count, 1),
                "edge_index": edges,
                "cell": torch.zeros(3 * count, 3),
                "unit_shifts": zeros,
                "shifts": zeros,
                "batch": torch.arange(count).repeat_interleave(n),
                "ptr": torch.arange(count + 1) * n,
                "head": torch.zeros(count, dtype=torch.long),
            },
            training=training,
            compute_stress=False,
        )
        return output["energy"], output["forces"]

    version = importlib.metadata.version("mace-torch")
    what = f"MACE {version}, two layers of {options.mace_irreps}, l = 3, correlation 3, float32"
    return Network(model, call, what)


NETWORKS = {"sorbus": sorbus, "plain": sorbus, "nequip": nequip, "mace": mace}
