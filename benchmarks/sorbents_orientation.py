"""How should blocks be turned: aligned with their neighbours' directions, or diffused on SO(3)? Both, measured.

    python -m benchmarks.sorbents_orientation prepare --minutes 5   # true rotations, then training
    python -m benchmarks.sorbents_orientation measure --minutes 6   # resumes: adds frameworks
    python -m benchmarks.sorbents_orientation record

`prepare` assembles frameworks of the training set again from their recipes, for the true rotation of every block, and
fits the denoiser on those of the training split. `measure` takes the validation split, gives both methods the same
beads, exact and with normal noise on every coordinate, and records D1x to D1z with their variants.
"""

import argparse
import contextlib
import json
import math
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import linear_sum_assignment

from benchmarks.orientation_denoiser import (
    OrientationNetwork,
    ScoreNorms,
    Sites,
    denoising_loss,
    diffused_orientations,
    joined,
    own_rotations,
    sites_of,
)
from benchmarks.record import record
from benchmarks.sorbent_template import _judge
from benchmarks.sorbents_assembly import _unwrapped, perturbed
from gen.crystals.batches import generator_for
from gen.sorbents import bead_assembly
from gen.sorbents.assembly import AssemblyError, Framework, assemble
from gen.sorbents.beads import EDGE, BeadRow, Beads, Links, read_bead_rows
from gen.sorbents.bodies import Body, library_body
from gen.sorbents.catalog import load_catalog
from gen.sorbents.connectivity import neighbour_vectors
from gen.sorbents.orientation import Orientation, orientations
from gen.sorbents.recipe import Recipe
from potentials.errors import InputError
from potentials.files import sha256_file

FOLDER = Path("runs/benchmarks/orientation")
SEED = 31
LADDER = ((0.0, 0.0), (0.1, 0.01), (0.3, 0.02))  # Å on every coordinate, strain of the cell
METHODS = ("diffusion", "alignment")
ASTRAY = 20  # degrees
FIT = 0.05  # Å, RMSD above which a block of the framework is not the library's, turned
DRAWS = 3  # ways to turn a block that assembly may try; what alignment is given too
BATCH = 192  # nodes an update
NOISE, STRAIN = 0.3, 0.02  # upper ends of what the denoiser is trained on, Å and relative
DECAY = 0.998  # of the averaged weights


@dataclass(frozen=True)
class Case:
    """A framework and how its blocks are truly turned."""

    row: BeadRow
    turns: dict[int, np.ndarray]  # node bead -> proper rotation [3, 3] of the library's block


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["prepare", "measure", "record"])
    parser.add_argument("--data", default="runs/dataset/mofs.jsonl.gz")
    parser.add_argument("--train", type=int, default=900, help="training frameworks to assemble at most")
    parser.add_argument("--minutes", type=float, default=5.0, help="in all; a third of it to assemble")
    parser.add_argument("--steps", type=int, default=25, help="network evaluations of a sample")
    parser.add_argument("--angles-only", action="store_true", help="measure rotations, assemble nothing")
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if arguments.part == "prepare":
        _prepare(arguments)
        _train(arguments)
    elif arguments.part == "measure":
        _measure(arguments)
    else:
        _record(arguments)


def _prepare(arguments: argparse.Namespace) -> None:
    """Append frameworks with true rotations: validation first, then training ones in random order."""
    path, stop = FOLDER / "turns.jsonl", time.monotonic() + 20 * arguments.minutes
    rows = list(read_bead_rows(arguments.data))
    training = [row for row in rows if row.split == "train"]
    order = np.random.default_rng(SEED).permutation(len(training))[: arguments.train]
    wanted = [row for row in rows if row.split == "validation"] + [training[k] for k in order]
    done = {line["key"] for line in _lines(path)}
    catalog = load_catalog()
    lost: Counter[str] = Counter()
    with path.open("a") as stream:
        for row in wanted:
            if row.key in done:
                continue
            if time.monotonic() > stop:
                break
            net, nodes, edges = row.key.split(":")
            linkers = tuple(None if name == "direct" else name for name in edges.split("+"))
            try:
                framework = assemble(Recipe(net, tuple(nodes.split("+")), linkers), catalog)
                turned = true_turns(framework)
            except (AssemblyError, InputError) as error:
                lost[str(error).split(":")[0]] += 1
                continue
            beads, turns = turned
            links = framework.links if beads is framework.beads else _inverted(framework)[1]
            line = BeadRow(row.key, row.net, row.split, beads, links).to_json()
            stream.write(json.dumps({**line, "turns": {k: turn.round(6).tolist() for k, turn in turns.items()}}) + "\n")
            stream.flush()
    print(f"{len(_lines(path))} frameworks; lost: {dict(lost)}")


def true_turns(framework: Framework) -> tuple[Beads, dict[int, np.ndarray]]:
    """Beads of a framework, and how its node blocks are turned against the library, from its atoms.

    A framework of mirrored blocks is inverted, beads and all, so that every turn is a proper rotation.

    Raises:
        AssemblyError: blocks of both hands, or one that is not the library's.
    """
    fits = {}
    for bead, (name, c) in enumerate(zip(framework.beads.blocks, framework.beads.connections, strict=True)):
        if c > EDGE:
            body = library_body(name)
            atoms = _unwrapped(framework.structure, framework.beads, bead, body)
            fits[bead] = [_fit(sign * body.atoms, atoms) for sign in (1.0, -1.0)]
    for sign in (0, 1):
        if all(found[sign][1] < FIT for found in fits.values()):
            turns = {bead: found[sign][0] for bead, found in fits.items()}
            return (_inverted(framework)[0] if sign else framework.beads), turns
    raise AssemblyError("a block is not the library's, or blocks are of both hands")


def _inverted(framework: Framework) -> tuple[Beads, Links]:
    """The framework seen from the other side: every bead at minus its place."""
    beads, links = framework.beads, framework.links
    cells = np.floor(-beads.frac)  # where each bead went before it was folded
    moved = (cells[links.nodes] - cells[links.bead][:, None]).astype(int)
    folded = Beads(beads.lattice, (-beads.frac) % 1.0, beads.blocks, beads.connections)
    return folded, Links(links.bead, links.nodes, moved - links.images)


def _fit(own: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, float]:
    """Proper rotation [3, 3] that brings `own` over `atoms` [n, 3], and the RMSD left (Å)."""
    a, b = own - own.mean(axis=0), atoms - atoms.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return u @ vt, float(np.sqrt(((a @ (u @ vt).T - b) ** 2).sum(1).mean()))


def _cases(split: str) -> Iterator[Case]:
    for line in _lines(FOLDER / "turns.jsonl"):
        if line["split"] == split:
            yield Case(BeadRow.from_json(line), {int(k): np.array(turn) for k, turn in line["turns"].items()})


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@dataclass(frozen=True)
class _Pool:
    """All nodes of a split, by connection number and by the order of their block's own rotations."""

    groups: dict[tuple[int, int], tuple[Sites, torch.Tensor]]  # sites, clean rotations [M, K, 3, 3]
    beads: int
    owner: torch.Tensor  # [beads] framework of each bead
    frameworks: int

    def noised(self, group: tuple[int, int], rows: torch.Tensor, generator: torch.Generator) -> Sites:
        """Nodes of a group; each framework with a noise level of its own, drawn anew."""
        level = NOISE * torch.rand(self.frameworks, generator=generator)
        shifts = level[self.owner].unsqueeze(-1) * torch.randn(self.beads, 3, generator=generator)
        tensor = torch.randn(self.frameworks, 3, 3, generator=generator)
        strain = (STRAIN / NOISE * level).view(-1, 1, 1) * (tensor + tensor.mT) / 2
        return self.groups[group][0].take(rows).noised(shifts, strain)


def _pool(cases: list[Case]) -> _Pool:
    sites, clean = defaultdict(list), defaultdict(list)
    owner: list[int] = []
    for number, case in enumerate(cases):
        beads = case.row.beads
        for c, (nodes, found) in sites_of(beads, case.row.links, number, len(owner)).items():
            for place, node in enumerate(nodes):
                turns = case.turns[node] @ own_rotations(beads.blocks[node])
                group = (c, len(turns))
                sites[group].append(found.take(torch.tensor([place])))
                clean[group].append(torch.tensor(turns, dtype=torch.float32))
        owner += [number] * len(beads.blocks)
    groups = {group: (joined(found), torch.stack(clean[group])) for group, found in sorted(sites.items())}
    return _Pool(groups, len(owner), torch.tensor(owner), len(cases))


def _train(arguments: argparse.Namespace) -> None:
    """Fit by the clock; writes averaged weights and what they were trained on."""
    pool, held = _pool(list(_cases("train"))), _pool(list(_cases("validation")))
    weights = {group: len(sites) for group, (sites, _) in pool.groups.items()}
    print(f"{pool.frameworks} frameworks, {sum(weights.values())} nodes, {len(weights)} groups", flush=True)
    torch.manual_seed(SEED)
    network, norms = OrientationNetwork(), ScoreNorms()
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    generator = generator_for(SEED, "train")
    groups = list(weights)
    odds = torch.tensor([math.sqrt(weights[group]) for group in groups])  # rare shapes are seen more than once
    budget, start = 40 * arguments.minutes, time.monotonic()
    update, losses = 0, []
    while (spent := time.monotonic() - start) < budget:
        rate = 2e-3 * 0.5 * (1 + math.cos(math.pi * spent / budget)) * min(1.0, (update + 1) / 100)
        for settings in optimizer.param_groups:
            settings["lr"] = rate
        group = groups[int(torch.multinomial(odds, 1, generator=generator))]
        size = max(16, min(BATCH, BATCH * 36 // group[0] ** 2))
        rows = torch.randint(weights[group], (size,), generator=generator)
        sites = pool.noised(group, rows, generator)
        loss = denoising_loss(network, sites, pool.groups[group][1][rows], norms, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - min(DECAY, (1 + update) / (10 + update)))
        losses.append(float(loss.detach()))
        update += 1
        if update % 500 == 0:
            print(f"{update} updates, {spent:.0f} s, loss {np.mean(losses[-500:]):.4f}", flush=True)
    network.load_state_dict(average)
    validation = _validation_loss(network, held, norms)
    save_file(network.state_dict(), FOLDER / "model.safetensors")
    card = {
        "frameworks": pool.frameworks,
        "nodes": sum(weights.values()),
        "updates": update,
        "seconds": time.monotonic() - start,
        "loss": float(np.mean(losses[-1000:])),
        "validation": validation,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    (FOLDER / "model.json").write_text(json.dumps(card))
    print(card)


@torch.no_grad()
def _validation_loss(network: OrientationNetwork, pool: _Pool, norms: ScoreNorms) -> float:
    generator, total, count = generator_for(SEED, "validation"), 0.0, 0
    for group, (sites, clean) in pool.groups.items():
        rows = torch.arange(len(sites)).repeat(8)
        noised = pool.noised(group, rows, generator)
        total += float(denoising_loss(network, noised, clean[rows], norms, generator)) * len(rows)
        count += len(rows)
    return total / count


def _measure(arguments: argparse.Namespace) -> None:
    """Both methods on the same beads, a line a framework and noise level; a killed run keeps what it has."""
    network = OrientationNetwork()
    network.load_state_dict(load_file(FOLDER / "model.safetensors"), strict=False)
    path = FOLDER / ("angles.jsonl" if arguments.angles_only else "valid.jsonl")
    done = {(line["key"], line["noise"]) for line in _lines(path)}
    stop = time.monotonic() + 60 * arguments.minutes
    with path.open("a") as stream:
        for index, case in enumerate(_cases("validation")):
            for noise, strain in LADDER:
                if (case.row.key, noise) in done or time.monotonic() > stop:
                    continue
                beads, links = perturbed(case.row.beads, case.row.links, noise, strain, [SEED, index])
                line: dict[str, Any] = {"key": case.row.key, "noise": noise}
                for method in METHODS:
                    if arguments.angles_only:
                        line[method] = _errors(case, beads, links, network, method, arguments.steps)
                    else:
                        line[method] = _outcome(beads, network, method, arguments.steps)
                stream.write(json.dumps(line) + "\n")
                stream.flush()
    print(len(_lines(path)), "lines")


def _errors(
    case: Case, beads: Beads, links: Links, network: OrientationNetwork, method: str, steps: int
) -> dict[str, Any]:
    """Errors (degrees) of every node, and CPU time (s)."""
    start = time.process_time()
    found = _turned(beads, links, network, method, steps)
    seconds = time.process_time() - start
    pairs = [(found[node].turn, truth, beads.blocks[node]) for node, truth in case.turns.items()]
    return {
        "own": [_own_error(*pair) for pair in pairs],
        "arms": [_arm_error(*pair) for pair in pairs],
        "seconds": seconds,
    }


def _turned(
    beads: Beads, links: Links, network: OrientationNetwork, method: str, steps: int
) -> Mapping[int, Orientation]:
    if method == "diffusion":
        return {n: ways[0] for n, ways in diffused_orientations(network, beads, links, SEED, steps=steps).items()}
    vectors = neighbour_vectors(beads, links)
    return {n: orientations(library_body(beads.blocks[n]), v, limit=1)[0] for n, (_, v) in vectors.items()}


def _own_error(found: np.ndarray, truth: np.ndarray, name: str) -> float:
    """Degrees to the nearest of the rotations by which the block is as it truly is; a mirrored one is 180 off."""
    traces = np.einsum("kij,ij->k", truth @ own_rotations(name), found)
    if np.linalg.det(found) < 0:
        return 180.0
    return float(np.degrees(np.arccos(np.clip((traces.max() - 1) / 2, -1, 1))))


def _arm_error(found: np.ndarray, truth: np.ndarray, name: str) -> float:
    """Degrees, root mean square over connection points that are paired as suits best (the measure of D1v)."""
    arms = library_body(name).points
    arms = arms / np.linalg.norm(arms, axis=1, keepdims=True)
    cosines = (arms @ truth.T) @ (arms @ found.T).T
    pairs = linear_sum_assignment(cosines, maximize=True)
    return float(np.degrees(np.sqrt(np.mean(np.arccos(np.clip(cosines[pairs], -1, 1)) ** 2))))


def _outcome(beads: Beads, network: OrientationNetwork, method: str, steps: int) -> str:
    """ "valid" where the beads assemble with blocks turned by `method` and pass every check, or why not."""
    try:
        if method == "alignment":
            built = bead_assembly.assemble_beads(beads)
        else:
            with _diffused(network, steps):
                built = bead_assembly.assemble_beads(beads)
    except AssemblyError as error:
        return str(error)
    return _judge(built.structure).rejected or "valid"


@contextlib.contextmanager
def _diffused(network: OrientationNetwork, steps: int) -> Iterator[None]:
    """Within it, assembly gets rotations from the diffusion, `DRAWS` samples of each block to try."""
    build, align = bead_assembly._built, bead_assembly.orientations

    def diffuse(beads: Beads, links: Links, note: str | None) -> bead_assembly.BeadFramework:
        """Assembly of beads whose links are known: every one of its starts is diffused anew."""
        turned = diffused_orientations(network, beads, links, SEED, draws=DRAWS, steps=steps)
        vectors = {v.tobytes(): node for node, (_, v) in neighbour_vectors(beads, links).items()}

        def given(body: Body, directions: np.ndarray, limit: int = DRAWS) -> list[Orientation]:
            return turned[vectors[directions.tobytes()]][:limit]

        bead_assembly.orientations = given  # type: ignore[assignment]
        return build(beads, links, note)

    bead_assembly._built = diffuse
    try:
        yield
    finally:
        bead_assembly._built, bead_assembly.orientations = build, align


def _record(arguments: argparse.Namespace) -> None:
    """Print the table and record it."""
    card = json.loads((FOLDER / "model.json").read_text())
    angles, valid = _lines(FOLDER / "angles.jsonl"), _lines(FOLDER / "valid.jsonl")
    figures: dict[tuple[float, str], dict[str, float]] = {}
    for noise, _ in LADDER:
        for method in METHODS:
            lines = [line[method] for line in angles if line["noise"] == noise]
            arms = np.concatenate([line["arms"] for line in lines])
            outcomes = [line[method] for line in valid if line["noise"] == noise]
            figures[noise, method] = {
                "own": float(np.median(np.concatenate([line["own"] for line in lines]))),
                "arms": float(np.median(arms)),
                "astray": 100.0 * float(np.mean(arms > ASTRAY)),
                "seconds": float(np.mean([line["seconds"] for line in lines])),
                "valid": 100.0 * outcomes.count("valid") / max(len(outcomes), 1),
                "nodes": len(arms),
                "frameworks": len(lines),
                "assembled": len(outcomes),
            }
            print(noise, method, {name: round(value, 3) for name, value in figures[noise, method].items()})
            print("   not valid:", Counter(" ".join(o.split()[:5]) for o in outcomes if o != "valid").most_common(4))
    if arguments.no_record:
        return
    first = figures[0.0, "alignment"]
    how = (
        f"{first['frameworks']} validation frameworks ({first['nodes']} nodes) assembled again for the true rotation "
        "of every block, those with blocks of both hands left out; both methods given the same beads and the true "
        "links; noise normal on every coordinate, with 1 % strain at 0.1 Å and 2 % at 0.3 Å. Diffusion: "
        f"{card['parameters']} parameters, {card['frameworks']} training frameworks ({card['nodes']} nodes), "
        f"{card['updates']} updates in {card['seconds'] / 60:.1f} min of one core, "
        f"{arguments.steps} steps, first sample"
    )
    notes = {
        key: "; ".join(
            f"{noise} Å: " + ", ".join(f"{method} {figures[noise, method][key]:.3g}" for method in METHODS)
            for noise, _ in LADDER
        )
        for key in ("own", "arms", "astray", "valid", "seconds")
    }
    built = f"assembled and valid, links found by assembly, which may try {DRAWS} rotations of a block"
    rows = (
        ("D1x", 0.1, "own", "degrees", "median angle to the truth, modulo rotations the block itself has"),
        ("D1y", 0.1, "arms", "degrees", "median over nodes of connection points' directions, best paired, as D1v"),
        ("D1ya", 0.1, "astray", "%", f"nodes with connection points more than {ASTRAY} degrees off, best paired"),
        *((f"D1z{x}", n, "valid", "%", built) for x, n in (("", 0.0), ("a", 0.1), ("b", 0.3)) if valid),
        ("D1zc", 0.0, "seconds", "s of one core a framework", "turning all its blocks, links given"),
    )
    for id_, noise, key, unit, what in rows:
        count = f", first {figures[noise, 'alignment']['assembled']} frameworks" if key == "valid" else ""
        record(
            id=id_,
            value=figures[noise, "diffusion"][key],
            unit=unit,
            peer="alignment",
            peer_value=figures[noise, "alignment"][key],
            protocol=f"{what}{count}, at {noise} Å; {how}",
            data_sha256=sha256_file(Path(arguments.data)),
            seed=SEED,
            note=notes[key],
        )


if __name__ == "__main__":
    main()
