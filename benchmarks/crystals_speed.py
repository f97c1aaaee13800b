"""Speed and memory of the `nano` crystal network: sampling (C6), training against a naive network (C7), memory (C8).

    python -m benchmarks.crystals_speed sampling --model runs/train/crystals_csp --record
    python -m benchmarks.crystals_speed training --record
    python -m benchmarks.crystals_speed memory --record

Two processes of one thread each stand for two cores. Rates are structures per second of processor time, summed over
both, so that whatever else runs on the machine does not count; the rate by the clock is printed beside them.
Cells are as large as those of MP-20's binaries and ternaries (9.6 atoms on average), drawn from that data set.

The naive network is the plain way to write a fully connected edge network (after Jiao et al. 2023, DiffCSP, eqs. 6-9):
both end nodes, the metric and 128 Fourier frequencies of the fractional difference are concatenated on every edge and
pass a two-layer perceptron, in each of four layers of 128 channels.
"""

import argparse
import math
import multiprocessing
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.record import record
from gen.crystals.batches import epoch_batches, generator_for
from gen.crystals.config import CrystalTrainingConfig, NetworkConfig, ProcessConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.lattice import fit_scale
from gen.crystals.network import CrystalNetwork
from gen.crystals.prediction import evaluations, predict_structures
from gen.crystals.process import CleanCrystals, CrystalProcess
from gen.crystals.processes import make_process
from gen.crystals.sampling import SamplingConfig
from gen.generator import Generator
from potentials.config import load_config, parse_config

CONFIG = "configs/train/crystals_csp.yaml"
NANO = {"size": "nano"}
NAIVE_FREQUENCIES = 128


class NaiveNetwork(nn.Module):
    """Four rounds of messages over concatenated edge inputs; takes and gives what `CrystalNetwork` does."""

    def __init__(self, species: int, channels: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(species + 1, channels)
        self.node_in = nn.Linear(channels + 64, channels)
        edge_in = 2 * channels + 9 + 6 * NAIVE_FREQUENCIES
        self.edges = nn.ModuleList(
            nn.Sequential(nn.Linear(edge_in, channels), nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
            for _ in range(layers)
        )
        self.nodes = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.score = nn.Linear(channels, 3, bias=False)
        self.lattice = nn.Linear(channels, 6)
        self.species = nn.Linear(channels, species)

    def forward(
        self, tokens: Tensor, frac: Tensor, components: Tensor, lattice: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score [B, N, 3], velocity [B, 6], logits [B, N, species]."""
        batch, count = tokens.shape
        orders = 2 * math.pi * torch.arange(1, NAIVE_FREQUENCIES + 1, dtype=frac.dtype)
        phase = ((frac.unsqueeze(1) - frac.unsqueeze(2)).unsqueeze(-1) * orders).flatten(3)  # [B, N, N, 3 K]
        metric = (lattice @ lattice.transpose(1, 2)).flatten(1)[:, None, None].expand(batch, count, count, 9)
        known = torch.cat([torch.sin(phase), torch.cos(phase), metric], dim=-1)
        wave = t[:, None] * torch.exp(torch.linspace(0, math.log(200), 32))
        time_part = torch.cat([torch.sin(wave), torch.cos(wave)], -1).unsqueeze(1).expand(batch, count, 64)
        h = self.node_in(torch.cat([self.embedding(tokens), time_part], dim=-1))
        for edge, node, norm in zip(self.edges, self.nodes, self.norms, strict=True):
            x = norm(h)
            ends = [
                x.unsqueeze(2).expand(batch, count, count, -1),
                x.unsqueeze(1).expand(batch, count, count, -1),
            ]
            messages = edge(torch.cat([*ends, known], dim=-1)).mean(2)
            h = h + node(torch.cat([x, messages], dim=-1))
        return self.score(h), self.lattice(h.mean(1)), self.species(h)


def mp_like(seed: int) -> tuple[CrystalProcess, dict[int, CleanCrystals], list[list[tuple[int, Tensor]]]]:
    """The process, the clean crystals by size, and the updates of one epoch of the binaries and ternaries."""
    data = load_dataset(load_config(CrystalTrainingConfig, CONFIG).data)
    scale = fit_scale({n: group.lattice for n, group in data.train.items()})
    process = make_process(ProcessConfig(), scale, mask=119)
    clean = {
        n: CleanCrystals(group.numbers, group.frac, process.encode(group.lattice, n)) for n, group in data.train.items()
    }
    sizes = {n: len(group) for n, group in data.train.items()}
    return process, clean, epoch_batches(sizes, 64, 2, seed, 0)


def train_rate(task: tuple[str, str, float, int]) -> tuple[float, float]:
    """Structures per processor second and per second by the clock, forward and backward, of one process."""
    name, precision, seconds, seed = task
    torch.set_num_threads(1)
    process, clean, batches = mp_like(seed)
    network: nn.Module = (
        NaiveNetwork(119) if name == "naive" else CrystalNetwork(parse_config(NetworkConfig, NANO, "nano"), 119)
    )
    generator = generator_for(seed, "speed")

    def update(batch: list[tuple[int, Tensor]]) -> int:
        for n_atoms, rows in batch:
            group = clean[n_atoms]
            picked = CleanCrystals(group.tokens[rows], group.frac[rows], group.components[rows])
            draws = process.draw(len(rows), n_atoms, generator)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                losses = process.losses(network, picked, draws)
            (losses.coordinates + losses.lattice + losses.species).mean().backward()
        network.zero_grad(set_to_none=True)
        return sum(len(rows) for _, rows in batch)

    return _rate(update, batches, seconds)


def _rate(
    work: Callable[[list[tuple[int, Tensor]]], int], batches: list[list[tuple[int, Tensor]]], seconds: float
) -> tuple[float, float]:
    for batch in batches[:3]:
        work(batch)
    done, spent, clock = 0, time.process_time(), time.monotonic()
    for batch in batches[3:]:
        done += work(batch)
        if time.process_time() - spent > seconds:
            break
    return done / (time.process_time() - spent), done / (time.monotonic() - clock)


def sample_rate(task: tuple[str, int, int, list[str]]) -> tuple[float, float]:
    """Structures per processor second and per second by the clock, of one process that predicts `count` cells."""
    folder, count, seed, settings = task
    torch.set_num_threads(1)
    model = Generator.from_pretrained(folder).model
    data = load_dataset(load_config(CrystalTrainingConfig, CONFIG).data)
    numbers = [row for group in data.train.values() for row in group.numbers.tolist()]
    chosen = torch.randperm(len(numbers), generator=generator_for(seed, "speed"))[:count]
    cells = [numbers[row] for row in chosen.tolist()]
    config = load_config(SamplingConfig, overrides=settings)
    predict_structures(model, cells[:8], seed=seed, config=config, precision="bfloat16")
    spent, clock = time.process_time(), time.monotonic()
    predict_structures(model, cells, seed=seed, config=config, precision="bfloat16")
    return count / (time.process_time() - spent), count / (time.monotonic() - clock)


def peak_memory(task: tuple[int, int, str]) -> float:
    """Peak resident memory in GB of a fresh process that does one training step on `batch` cells of `n_atoms`."""
    batch, n_atoms, precision = task
    torch.set_num_threads(1)
    generator = generator_for(1, "memory")
    cells = 12.0 * torch.eye(3) + torch.randn(batch, 3, 3, generator=generator)
    process = make_process(ProcessConfig(), fit_scale({n_atoms: cells}), mask=80)
    network = CrystalNetwork(parse_config(NetworkConfig, NANO, "nano"), 80)
    clean = CleanCrystals(
        torch.randint(0, 80, (batch, n_atoms), generator=generator),
        torch.rand(batch, n_atoms, 3, generator=generator),
        process.encode(cells, n_atoms),
    )
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            losses = process.losses(network, clean, process.draw(batch, n_atoms, generator))
        (losses.coordinates + losses.lattice + losses.species).mean().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _two_cores(work: Callable[..., tuple[float, float]], tasks: list[tuple]) -> tuple[float, float]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rates = pool.map(work, tasks)
    return sum(rate for rate, _ in rates), sum(rate for _, rate in rates)


def measure_sampling(arguments: argparse.Namespace) -> None:
    """C6."""
    settings = ["steps=40", "quench_steps=10"]
    cost = evaluations(load_config(SamplingConfig, overrides=settings))
    rate, clock = _two_cores(sample_rate, [(arguments.model, arguments.count, seed, settings) for seed in (1, 2)])
    print(f"sampling: {rate:.1f} structures per processor second of two cores, {clock:.1f} by the clock")
    if arguments.record:
        record(
            id="C6",
            value=rate,
            unit="structures/s",
            peer="target",
            peer_value=10.0,
            protocol=f"nano network, {2 * arguments.count} cells of MP-20 binary and ternary compositions, "
            f"{cost} network evaluations, bfloat16, batches of up to 128, two processes of one thread; "
            f"per second of processor time, summed over both; {clock:.1f} by the clock of the busy machine",
            data_sha256=None,
            seed=1,
        )


def measure_training(arguments: argparse.Namespace) -> None:
    """C7: ours as it is trained, against the naive network; both also at the other's precision."""
    for letter, mine, theirs in (
        ("", "bfloat16", "float32"),
        ("a", "float32", "float32"),
        ("b", "bfloat16", "bfloat16"),
    ):
        rate, clock = _two_cores(train_rate, [("nano", mine, arguments.seconds, seed) for seed in (1, 2)])
        naive, naive_clock = _two_cores(train_rate, [("naive", theirs, arguments.seconds, seed) for seed in (1, 2)])
        print(f"training: nano {mine} {rate:.0f} ({clock:.0f} by the clock)")
        print(f"          naive {theirs} {naive:.0f} ({naive_clock:.0f} by the clock)")
        if arguments.record:
            record(
                id=f"C7{letter}",
                value=rate,
                unit="structures/s",
                peer=f"naive fully connected network, 128 x 4, {theirs}",
                peer_value=naive,
                protocol=f"forward and backward of nano in {mine}, MP-20 binaries and ternaries, 64 an update in two "
                f"groups of equal size, two processes of one thread, {arguments.seconds:g} s each; per second of "
                f"processor time, summed over both; {clock:.0f} and {naive_clock:.0f} by the clock of the busy machine",
                data_sha256=None,
                seed=1,
                note="target: at least twice the naive network",
            )


def measure_memory(arguments: argparse.Namespace) -> None:
    """C8."""
    for letter, precision in (("", "float32"), ("a", "bfloat16")):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            (peak,) = pool.map(peak_memory, [(64, 52, precision)])
        print(f"memory: {peak:.2f} GB in {precision}")
        if arguments.record:
            record(
                id=f"C8{letter}",
                value=peak,
                unit="GB",
                peer="target, at most",
                peer_value=4.0,
                protocol=f"peak resident memory of a fresh process that does two training steps (forward and "
                f"backward) of nano on 64 cells of 52 atoms, {precision}, the program itself included",
                data_sha256=None,
                seed=1,
            )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sampling", "training", "memory"])
    parser.add_argument("--model", default="runs/train/crystals_csp", help="a nano checkpoint")
    parser.add_argument("--count", type=int, default=256, help="cells each process predicts")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor seconds a measurement")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    {"sampling": measure_sampling, "training": measure_training, "memory": measure_memory}[arguments.what](arguments)


if __name__ == "__main__":
    main()
