"""Train one network for so many process seconds and test it: called by `benchmarks/potential_equal_time.py`.

    envs/nequip/bin/python benchmarks/equal_time_worker.py nequip folder --minutes 8

Runs in the network's own environment, so it imports nothing of Sorbus but for Sorbus's own networks. All networks get
the same loop: the same frames, loss, schedule, weight average and clock, the process time of the training steps alone.
A training that leaves its minimum goes back, at half the rate, as those of Sorbus do.
Besides the network, its own are how a loss on forces is differentiated (the peers: twice, as in their packages;
Sorbus: by differences of energies, unless `--exact`), the optimiser and the batch, which options set. Writes
`<kind>.json` and, for the test frames, `<kind>_<set>.npz` with energies and forces.
"""

import argparse
import contextlib
import json
import math
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.equal_time_networks import NETWORKS  # noqa: E402
from benchmarks.equal_time_state import (  # noqa: E402
    begin_with,
    finished,
    keep_weights,
    read_state,
    state_path,
    write_state,
)
from potentials.loss_watch import has_risen, is_settled  # noqa: E402

EMA, WARMUP, CLIP = 0.995, 100, 10.0
KEEP_STEPS = 500  # between weights that a training which leaves its minimum goes back to, at half the rate
RATES = {"adamw": 0.01, "soap": 0.02}
ENERGY_START, ENERGY_END = 1.0, 100.0  # weight of the squared error per atom (eV), forces (eV/Å) have 1
LOOKS = 8  # validations; they do not count
SAVE_SECONDS = 60.0  # of training between states


class Frames:
    """Frames of one molecule with their bonds, read from an npz of `potential_equal_time.py`."""

    def __init__(self, path, every=1):
        with np.load(path) as stored:
            arrays = dict(stored)
        self.numbers = arrays["numbers"]  # [n]
        self.free = bool(arrays.get("free", False))  # whether energies count from those of free atoms
        self.positions = torch.from_numpy(arrays["positions"][::every])  # [F, n, 3]
        self.energies = torch.from_numpy(arrays["energies"][::every])  # [F] eV, without the reference energies
        self.forces = torch.from_numpy(arrays["forces"][::every])  # [F, n, 3], NaN where a set has none
        ends = arrays["edge_ends"].tolist()
        self.edges = [torch.from_numpy(arrays["edges"][:, a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        self.edges = self.edges[::every]

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


def optimizer_of(model, options):
    """AdamW, or SOAP on the matrices of a network.

    e3nn keeps the matrices of a linear layer, one for each pair of irreps, in one vector. SOAP knows matrices, so it is
    given each of them, as a view of the vector.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=options.lr, weight_decay=options.weight_decay)
    from potentials.soap import SOAP  # of torch alone: the peers' environments have it too

    shapes = {id(p): [tuple(p.shape)] for p in parameters}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if id(weight) in shapes and weight.ndim == 1 and hasattr(module, "instructions"):
            wanted = [one for one in module.instructions if getattr(one, "has_weight", True)]
            found = [tuple(one.path_shape) for one in wanted]
            assert sum(map(math.prod, found)) == weight.numel()
            shapes[id(weight)] = found
    pieces = [
        (parameter, start, view.view(shape))
        for parameter in parameters
        for shape, (start, view) in zip(
            shapes[id(parameter)], split(parameter.detach().view(-1), shapes[id(parameter)]), strict=True
        )
    ]
    optimizer = SOAP([piece for *_, piece in pieces], lr=options.lr, weight_decay=options.weight_decay)

    def hand_over(*_):
        for parameter, start, piece in pieces:
            gradient = parameter.grad
            piece.grad = None if gradient is None else gradient.view(-1)[start : start + piece.numel()].view_as(piece)

    optimizer.register_step_pre_hook(hand_over)
    return optimizer


def split(vector, shapes):
    """Where the tensors of these shapes begin in a vector, and their stretches of it."""
    start = 0
    for shape in shapes:
        end = start + math.prod(shape)
        yield start, vector[start:end]
        start = end


def train(frames, held_out, network, options):
    """Train for the minutes given; leaves the best averaged weights in the model and returns what happened.

    A run told to end (SIGTERM) saves its state first; one that was killed goes on from a minute ago at most.
    """
    model, call = network.model, network.call
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(model, options)
    average = [p.detach().clone() for p in parameters]
    best, best_error = [p.clone() for p in average], math.inf
    history: list[dict[str, float]] = []
    order: list[list[int]] = []
    n_atoms, budget = len(frames.numbers), 60.0 * options.minutes
    spent, step, epoch, saved = 0.0, 0, 0, 0.0
    warm_from, recoveries = 0, []  # steps
    watched: dict[str, float] = {}
    good = [p.clone() for p in average]
    state = read_state(options)
    if state:
        fill(parameters, state["parameters"])
        optimizer.load_state_dict(state["optimizer"])
        average, best, best_error = state["average"], state["best"], state["best_error"]
        history, order = state["history"], state["order"]
        spent, step, epoch = state["spent"], state["step"], state["epoch"]
        warm_from, recoveries, watched, good = (state[k] for k in ("warm_from", "recoveries", "watched", "good"))
        saved = spent
        print(f"going on after {step} steps, {spent:.0f} s", flush=True)
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
        rate = options.lr * 0.5 ** len(recoveries) * min(1.0, (step - warm_from + 1) / WARMUP)
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        weight = ENERGY_START * (ENERGY_END / ENERGY_START) ** done

        def penalty(energy, force, energies=energies, forces=forces, weight=weight):
            return weight * ((energy - energies) / n_atoms).square().mean() + (force - forces).square().mean()

        if network.loss:
            loss = network.loss(positions, edges, len(rows), penalty)
        else:
            loss = penalty(*call(positions, edges, len(rows), True))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        step += 1
        value = loss.item()
        if not math.isfinite(value) or has_risen(watched, value / weight):
            print(f"left its minimum at step {step}: back, at half the rate", flush=True)
            fill(parameters, good)
            average = [p.clone() for p in good]
            optimizer.state.clear()
            warm_from = step
            recoveries.append(step)
        elif step % KEEP_STEPS == 0 and is_settled(watched):
            good = [p.clone() for p in average]
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
        if spent > saved + SAVE_SECONDS or options.stop:
            saved = spent
            write_state(
                options,
                parameters=[p.detach() for p in parameters],
                optimizer=optimizer.state_dict(),
                average=average,
                best=best,
                best_error=best_error,
                history=history,
                order=order,
                spent=spent,
                step=step,
                epoch=epoch,
                warm_from=warm_from,
                recoveries=recoveries,
                watched=watched,
                good=good,
            )
        if options.stop:
            sys.exit(f"stopped after {step} steps, {spent:.0f} s: the same command goes on")
    fill(parameters, best)
    epochs = step * options.batch / len(frames)
    return {"seconds": spent, "steps": step, "epochs": epochs, "recoveries": recoveries, "history": history}


def fill(parameters, values):
    """Copy values into the weights."""
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


@contextlib.contextmanager
def averaged(parameters, average):
    """The averaged weights in place of the present ones."""
    present = [p.detach().clone() for p in parameters]
    fill(parameters, average)
    yield
    fill(parameters, present)


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
    parser.add_argument("kind", choices=list(NETWORKS))
    parser.add_argument("folder", type=Path, help="train.npz, validation.npz and the test sets as <name>.npz")
    parser.add_argument("--minutes", type=float, required=True, help="process time of training steps")
    parser.add_argument("--tests", nargs="*", default=["test_300K", "hot_1200K"])
    parser.add_argument("--every", type=int, default=1, help="of how many test frames one is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", help="name of the answer; default the kind")
    parser.add_argument("--turns", type=int, default=0, help="orientations of each frame (Sorbus's networks), 0: none")
    parser.add_argument("--turned-frames", type=int, default=100, help="of the first test set")
    parser.add_argument("--fresh", action="store_true", help="start over though a killed run left a state")
    parser.add_argument("--start", help="label of a training to go on from, with a schedule of its own")
    parser.add_argument("--batch", type=int, default=5, help="frames a step")
    parser.add_argument("--optimizer", choices=list(RATES), default="adamw")
    parser.add_argument("--lr", type=float, help="default 0.01 for AdamW, 0.02 for SOAP")
    parser.add_argument("--weight-decay", type=float, default=0.0, help="SOAP and AdamW, a step, times the rate")
    parser.add_argument("--apart", action="store_true", help="learn from frames of atoms apart too (ethanol)")
    parser.add_argument("--zbl", action="store_true", help="Sorbus: core repulsion")
    parser.add_argument("--without-pairs", action="store_true", help="Sorbus: no pair baseline")
    parser.add_argument("--exact", action="store_true", help="Sorbus: differentiate force losses twice")
    parser.add_argument("--network", default="{}", help="Sorbus: keys of NetworkConfig, as JSON")
    parser.add_argument("--nequip-layers", type=int, default=4)
    parser.add_argument("--nequip-lmax", type=int, default=1)
    parser.add_argument("--nequip-features", type=int, default=32)
    parser.add_argument("--mace-irreps", default="64x0e")
    options = parser.parse_args()
    options.lr = options.lr or RATES[options.optimizer]
    if finished(options):
        print(f"{options.label or options.kind} is trained and tested: --fresh starts over")
        return
    options.stop = []
    signal.signal(signal.SIGTERM, lambda *_: options.stop.append(True))
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    training = options.folder / ("train_apart.npz" if options.apart else "train.npz")
    frames, held_out = Frames(training), Frames(options.folder / "validation.npz")
    network = NETWORKS[options.kind](frames, options)
    model, call = network.model, network.call
    before = begin_with(model, options) if options.start else 0.0
    recipe = f"{options.optimizer}, rate {options.lr:g}, batches of {options.batch}"
    recipe += f", weight decay {options.weight_decay:g}" if options.weight_decay else ""
    recipe += ", with frames of atoms apart" if options.apart else ""
    answer = {
        "label": options.label or options.kind,
        "what": network.what,
        "recipe": recipe + (f", {before:g} min before with a schedule of their own" if before else ""),
        "weights": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
        "minutes": before + options.minutes,
        "seed": options.seed,
        "training_frames": len(frames),
        "every": options.every,
        **train(frames, held_out, network, options),
        "validation": test(held_out, model, call)[0],
    }
    label = answer["label"]
    path = options.folder / f"{label}.json"
    path.write_text(json.dumps(answer, indent=1))  # what a killed job keeps
    for name in options.tests:
        errors, energy, force = test(Frames(options.folder / f"{name}.npz", options.every), model, call)
        answer[name] = errors
        np.savez(options.folder / f"{label}_{name}.npz", energies=energy.numpy(), forces=force.numpy())
        path.write_text(json.dumps(answer, indent=1))
    if options.turns:
        answer["turned"] = turned(Frames(options.folder / f"{options.tests[0]}.npz"), model, call, options)
        path.write_text(json.dumps(answer, indent=1))
    keep_weights(model, answer, options)
    state_path(options).unlink(missing_ok=True)
    print(
        json.dumps({key: answer[key] for key in ("what", "recipe", "weights", "steps", "validation", *options.tests)})
    )


if __name__ == "__main__":
    main()
