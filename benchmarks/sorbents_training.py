"""What training the sorbent generator cost, and how well its geometry fits given blocks.

    python -m benchmarks.sorbents_training cost                       # D6b: minutes, from the checkpoint
    python -m benchmarks.sorbents_training geometry --split validation # prints; chooses nothing on `held`

`cost` reads what the training run itself wrote down. `geometry` gives the model roles and blocks of frameworks it was
not trained on, samples positions and cells, links and assembles them, and counts how often the net of the framework
comes out.
"""

import argparse
import collections
import math
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import record
from gen.crystals.batches import generator_for
from gen.crystals.checkpoint import find_checkpoint
from gen.crystals.reverse_process import Plan, SamplingConfig, draw_noise, reverse
from gen.sorbents.bead_assembly import AssemblyError, assemble_beads
from gen.sorbents.bead_config import LENGTH
from gen.sorbents.bead_model import BeadModel, read_bead_model
from gen.sorbents.bead_network import bound
from gen.sorbents.beads import BeadRow, Beads, read_bead_rows


def main() -> None:
    """Run the part asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "geometry"])
    parser.add_argument("--checkpoint", default="sorbents", help="shipped weights by name, or a folder")
    parser.add_argument("--data", type=Path, default=Path("runs/dataset/mofs.jsonl.gz"))
    parser.add_argument("--split", choices=["train", "validation", "held"], default="validation")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = read_bead_model(find_checkpoint(arguments.checkpoint))
    if arguments.what == "cost":
        _cost(model)
    else:
        _geometry(model, arguments)


def _cost(model: BeadModel) -> None:
    known = model.provenance
    rows = known["data"]["train"]
    record(
        id="D6b",
        value=round((known["wall_seconds"] + known["base_seconds"]) / 60, 1),
        unit="min",
        protocol="training of the shipped weights on one busy core: "
        f"{known['updates'] + known['base_updates']} updates of {known['config']['train']['batch_size']} "
        f"on {rows} frameworks, all stages; the making of the data set not counted; as written in the checkpoint",
        data_sha256=known["data_sha256"],
        seed=known["seed"],
        peer="MOFDiff, block encoder and diffusion model on one V100, as its authors state",
        peer_value=8 * 24 * 60.0,
        command=known["command"],
        note=f"weights {model.sha256[:12]}; losses {known['losses']}",
    )


def sample_geometry(model: BeadModel, rows: list[BeadRow], seed: int, steps: int) -> list[Beads]:
    """Positions and cells for the blocks of rows, each from its own random numbers."""
    config = SamplingConfig(steps=steps)
    token = {name: k for k, name in enumerate(model.vocabulary)}
    groups = collections.defaultdict(list)
    for place, row in enumerate(rows):
        groups[len(row.beads.blocks)].append(place)
    found: dict[int, Beads] = {}
    for count, places in sorted(groups.items()):
        tokens = torch.tensor([[token[name] for name in rows[place].beads.blocks] for place in places])
        roles = torch.tensor([rows[place].beads.connections for place in places])
        seeds = [
            draw_noise(generator_for(seed, "geometry", place), place, 0, count, config, model.process)
            for place in places
        ]
        barred = torch.zeros(len(model.vocabulary), dtype=torch.bool)
        done = reverse(Plan(model.process, bound(model.network, roles), seeds, tokens, barred), config)
        for k, place in enumerate(places):
            lattice = LENGTH * done.lattice[k].double().numpy()
            beads = rows[place].beads
            found[place] = Beads(lattice, done.frac[k].double().numpy(), beads.blocks, beads.connections)
    return [found[place] for place in range(len(rows))]


def _geometry(model: BeadModel, arguments: argparse.Namespace) -> None:
    rows = [row for row in read_bead_rows(arguments.data) if row.split == arguments.split]
    order = torch.randperm(len(rows), generator=generator_for(arguments.seed, "rows")).tolist()
    rows = [rows[place] for place in order[: arguments.count]]
    reasons: collections.Counter[str] = collections.Counter()
    sizes: dict[str, list[bool]] = collections.defaultdict(list)
    volumes, same = [], 0
    for row, beads in zip(rows, sample_geometry(model, rows, arguments.seed, arguments.steps), strict=True):
        volumes.append(abs(math.log(np.linalg.det(beads.lattice) / abs(np.linalg.det(row.beads.lattice)))))
        try:
            framework = assemble_beads(beads)
            same += framework.net == row.net
            reasons["assembled"] += 1
            good = True
        except AssemblyError as error:
            reasons[str(error).split(":")[0]] += 1
            good = False
        sizes["up to 8" if len(row.beads.blocks) <= 8 else "9 to 16" if len(row.beads.blocks) <= 16 else "more"].append(
            good
        )
    print(
        f"{arguments.split}: {len(rows)} frameworks, {reasons['assembled']} assembled, {same} on the net they came from"
    )
    print(f"median |ln V / V0| before assembly {np.median(volumes):.3f}")
    for name, outcomes in sorted(sizes.items()):
        print(f"  {name} beads: {sum(outcomes)} of {len(outcomes)} assembled")
    for reason, count in reasons.most_common():
        print(f"  {count:4d}  {reason}")


if __name__ == "__main__":
    main()
