"""Train one network for so many process seconds and test it: called by `benchmarks/potential_equal_time.py`.

    envs/nequip/bin/python benchmarks/equal_time_worker.py nequip folder --minutes 8

Runs in the network's own environment, so it imports nothing of Sorbus but for Sorbus's own networks. All networks get
the same loop: the same frames, loss, schedule, weight average and clock, the process time of the training steps alone.
Besides the network, its own are how a loss on forces is differentiated (the peers: twice, as in their packages;
Sorbus: by differences of energies, unless `--exact`), the optimiser and the batch, which options set. Writes
`<kind>.json` and, for the test frames, `<kind>_<set>.npz` with energies and forces.
"""

import argparse
import contextlib
import importlib.metadata
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
LR, EMA, WARMUP, CLIP = 0.01, 0.995, 100, 10.0
ENERGY_START, ENERGY_END = 1.0, 100.0  # weight of the squared error per atom (eV), forces (eV/Å) have 1
CUTOFF = 5.0
LOOKS = 8  # validations; they do not count


class Frames:
    """Frames of one molecule with their bonds, read from an npz of `potential_equal_time.py`."""

    def __init__(self, path):
        with np.load(path) as stored:
            arrays = dict(stored)
        self.numbers = arrays["numbers"]  # [n]
        self.positions = torch.from_numpy(arrays["positions"])  # [F, n, 3]
        self.energies = torch.from_numpy(arrays["energies"])  # [F] eV, without the reference energies
        self.forces = torch.from_numpy(arrays["forces"])  # [F, n, 3], NaN where a set has none
        ends = arrays["edge_ends"].tolist()
        self.edges = [torch.from_numpy(arrays["edges"][:, a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    def __len__(self):
        return len(self.energies)

    def batch(self, rows):
        """Positions [N, 3], edges [2, E], frame of each atom [N], energies and forces of some frames."""
        n = len(self.numbers)
        edges = torch.cat([self.edges[row] + place * n for place, row in enumerate(rows)], dim=1)
        return (
            self.positions[rows].reshape(-1, 3),
            edges,
            torch.arange(len(rows)).repeat_interleave(n),
            self.energies[rows],
            self.forces[rows].reshape(-1, 3),
        )


class Network(NamedTuple):
    """A network as the loop wants it."""

    model: torch.nn.Module
    call: Callable  # (positions, edges, frames, training) to energies and forces
    what: str
    turn: Callable | None = None  # (step, frames) to a rotation a frame
    loss: Callable | None = None  # (positions, edges, frames, loss of energies and forces) to a loss; None: of `call`


def sorbus(frames, options):
    """Our default network (or, `plain`, the one without symmetry)."""
    from potentials.atom_graph import collate, make_graph
    from potentials.augmentation import random_orthogonal
    from potentials.difference_loss import difference_loss
    from potentials.neighbours import Neighbours
    from potentials.network import NetworkConfig
    from potentials.network_potential import EnergyModel

    plain = options.kind == "plain"
    shape = {"cutoff": CUTOFF} | json.loads(options.network)
    config = NetworkConfig(architecture="plain" if plain else "density", **shape)
    scale = float(frames.forces.square().mean().sqrt())
    model = EnergyModel(config, {int(z): 0.0 for z in np.unique(frames.numbers)}, scale)

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
        what += f", radial networks of width {config.radial_hidden}" if config.radial_hidden else ", linear radial"
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
        per_type_energy_shifts=dict.fromkeys(symbols, 0.0),
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
        atomic_inter_shift=0.0,
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


def optimizer_of(parameters, options):
    """AdamW, or SOAP."""
    if options.optimizer == "soap":
        from potentials.soap import SOAP

        return SOAP(parameters, lr=options.lr)
    return torch.optim.AdamW(parameters, lr=options.lr, weight_decay=0.0)


def train(frames, held_out, network, options):
    """Train for the minutes given; leaves the best averaged weights in the model and returns what happened."""
    model, call = network.model, network.call
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(parameters, options)
    average = [p.detach().clone() for p in parameters]
    best, best_error = [p.clone() for p in average], math.inf
    history: list[dict[str, float]] = []
    order: list[list[int]] = []
    n_atoms, budget = len(frames.numbers), 60.0 * options.minutes
    spent, step, epoch = 0.0, 0, 0
    model.train()
    while spent < budget:
        start = time.process_time()
        done = spent / budget
        if not order:
            generator = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
            order = [rows.tolist() for rows in torch.randperm(len(frames), generator=generator).split(options.batch)]
            epoch += 1
        rows = order.pop()
        positions, edges, _, energies, forces = frames.batch(rows)
        if network.turn:
            mine = network.turn(step, len(rows)).repeat_interleave(n_atoms, dim=0)
            positions = torch.einsum("nij,nj->ni", mine, positions)
            forces = torch.einsum("nij,nj->ni", mine, forces)
        rate = options.lr * min(1.0, (step + 1) / WARMUP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        weight = ENERGY_START * (ENERGY_END / ENERGY_START) ** done

        def penalty(energy, force, energies=energies, forces=forces, weight=weight):
            return weight * ((energy - energies) / n_atoms).square().mean() + (force - forces).square().mean()

        if network.loss:
            loss = network.loss(positions, edges, len(rows), penalty)
        else:
            loss = penalty(*call(positions, edges, len(rows), True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        step += 1
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, parameter in zip(average, parameters, strict=True):
                kept.lerp_(parameter, 1 - decay)
        spent += time.process_time() - start
        if spent >= budget * (len(history) + 1) / LOOKS:
            with averaged(parameters, average):
                errors = test(held_out, model, call)[0]
            history.append({"seconds": spent, "steps": step, **errors})
            print(json.dumps(history[-1]), flush=True)
            if errors["forces_rmse"] < best_error:
                best, best_error = [p.clone() for p in average], errors["forces_rmse"]
    with torch.no_grad():
        for parameter, kept in zip(parameters, best, strict=True):
            parameter.copy_(kept)
    return {"seconds": spent, "steps": step, "epochs": step * options.batch / len(frames), "history": history}


@contextlib.contextmanager
def averaged(parameters, average):
    """The averaged weights in place of the present ones."""
    present = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for parameter, kept in zip(parameters, average, strict=True):
            parameter.copy_(kept)
    yield
    with torch.no_grad():
        for parameter, kept in zip(parameters, present, strict=True):
            parameter.copy_(kept)


def test(frames, model, call):
    """Errors on frames (meV, meV/Å), and the energies and forces themselves."""
    model.eval()
    energies, forces = [], []
    for start in range(0, len(frames), 16):
        rows = list(range(start, min(start + 16, len(frames))))
        positions, edges, *_ = frames.batch(rows)
        energy, force = call(positions, edges, len(rows), False)
        energies.append(energy.detach().double())
        forces.append(force.detach().double().reshape(len(rows), -1, 3))
    model.train()
    energy, force = torch.cat(energies), torch.cat(forces)
    errors = {"energy_rmse": 1000 * float((energy - frames.energies).square().mean().sqrt())}
    if not frames.forces.isnan().any():  # scans have energies only
        errors["forces_rmse"] = 1000 * float((force - frames.forces).square().mean().sqrt())
        errors["forces_mae"] = 1000 * float((force - frames.forces).abs().mean())
    return errors, energy, force


def turned(frames, model, call, options):
    """How much predictions for the first frames change as the frames turn, and what averaging over the turns is worth.

    Energies and forces (turned back) of each frame in many random orientations: root mean square deviations from the
    frame's mean, meV and meV/Å a component, and the errors of the mean and of single orientations.
    """
    from potentials.augmentation import random_orthogonal

    rows = list(range(min(options.turned_frames, len(frames))))
    positions, edges, _, energies, forces = frames.batch(rows)
    n_atoms = len(frames.numbers)
    found = []
    model.eval()
    for number in range(options.turns):
        turns = random_orthogonal(len(rows), 7919 + options.seed, number)
        mine = turns.repeat_interleave(n_atoms, dim=0)
        energy, force = call(torch.einsum("nij,nj->ni", mine, positions), edges, len(rows), False)
        back = torch.einsum("nij,ni->nj", mine, force.detach().double())
        found.append((energy.detach().double(), back))
    energy, force = (torch.stack(parts) for parts in zip(*found, strict=True))  # [T, F], [T, F n, 3]

    def rms(values):
        return 1000 * float(values.square().mean().sqrt())

    unbiased = math.sqrt(options.turns / (options.turns - 1))
    return {
        "frames": len(rows),
        "turns": options.turns,
        "energy_spread": unbiased * rms(energy - energy.mean(0)),
        "forces_spread": unbiased * rms(force - force.mean(0)),
        "energy_rmse": rms(energy - energies),
        "forces_rmse": rms(force - forces),
        "mean_energy_rmse": rms(energy.mean(0) - energies),
        "mean_forces_rmse": rms(force.mean(0) - forces),
    }


def main():
    """Train, validate, test, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["sorbus", "plain", "nequip", "mace"])
    parser.add_argument("folder", type=Path, help="train.npz, validation.npz and the test sets as <name>.npz")
    parser.add_argument("--minutes", type=float, required=True, help="process time of training steps")
    parser.add_argument("--tests", nargs="*", default=["test_300K", "hot_1200K"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", help="name of the answer; default the kind")
    parser.add_argument("--turns", type=int, default=0, help="orientations of each frame (Sorbus's networks), 0: none")
    parser.add_argument("--turned-frames", type=int, default=100, help="of the first test set")
    parser.add_argument("--batch", type=int, default=5, help="frames a step")
    parser.add_argument("--optimizer", choices=["adamw", "soap"], default="adamw")
    parser.add_argument("--lr", type=float, default=LR)
    parser.add_argument("--exact", action="store_true", help="Sorbus: differentiate force losses twice")
    parser.add_argument("--network", default="{}", help="Sorbus: keys of NetworkConfig, as JSON")
    parser.add_argument("--nequip-layers", type=int, default=4)
    parser.add_argument("--nequip-lmax", type=int, default=1)
    parser.add_argument("--nequip-features", type=int, default=32)
    parser.add_argument("--mace-irreps", default="64x0e")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    frames, held_out = Frames(options.folder / "train.npz"), Frames(options.folder / "validation.npz")
    make = {"sorbus": sorbus, "plain": sorbus, "nequip": nequip, "mace": mace}[options.kind]
    network = make(frames, options)
    model, call = network.model, network.call
    answer = {
        "what": network.what,
        "recipe": f"{options.optimizer}, rate {options.lr:g}, batches of {options.batch}",
        "weights": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
        "minutes": options.minutes,
        "seed": options.seed,
        "training_frames": len(frames),
        **train(frames, held_out, network, options),
        "validation": test(held_out, model, call)[0],
    }
    label = options.label or options.kind
    path = options.folder / f"{label}.json"
    path.write_text(json.dumps(answer, indent=1))  # what a killed job keeps
    for name in options.tests:
        errors, energy, force = test(Frames(options.folder / f"{name}.npz"), model, call)
        answer[name] = errors
        np.savez(options.folder / f"{label}_{name}.npz", energies=energy.numpy(), forces=force.numpy())
        path.write_text(json.dumps(answer, indent=1))
    if options.turns:
        answer["turned"] = turned(Frames(options.folder / f"{options.tests[0]}.npz"), model, call, options)
        path.write_text(json.dumps(answer, indent=1))
    print(
        json.dumps({key: answer[key] for key in ("what", "recipe", "weights", "steps", "validation", *options.tests)})
    )


if __name__ == "__main__":
    main()
