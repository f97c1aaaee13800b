"""Match rate against the number of network evaluations: how few steps a sampler needs.

    python -m benchmarks.crystals_evaluations measure --curve "perovskites, flow" --model runs/train/perovskites_flow \
        --test perov_5_test --count 60 --samples 5 --ids C1i C1j C1k C1l C1m
    python -m benchmarks.crystals_evaluations plot docs/images/evaluations_curve.png

Each budget is spent on plain steps; `--quench SHARE` spends that share of it on noise-free steps at the end instead.
The rate is the mean over samples of the match rate at 1, ungated. Points are kept in `runs/evaluations_curve.jsonl`, a
curve's latest measurement of a budget counting.
"""

import argparse
import collections
import json
import math
from pathlib import Path
from typing import Literal

import torch

from benchmarks.crystals_match import held_out, predict, split_crystals
from benchmarks.record import record
from gen.crystals.sampling import SamplingConfig
from gen.crystals.sources import source_path
from gen.generator import Generator
from potentials.files import sha256_file

BUDGETS = (10, 25, 50, 100, 250)
POINTS = Path("runs/evaluations_curve.jsonl")


def settings_for(budget: int, quench: float, symmetry: Literal["known", "free"]) -> SamplingConfig:
    """Plain steps and a share of quench steps that together cost `budget` evaluations."""
    noise_free = round(quench * budget)
    return SamplingConfig(steps=budget - noise_free, quench_steps=noise_free, symmetry=symmetry)


def measure(arguments: argparse.Namespace) -> None:
    """One curve, its points appended as they come."""
    torch.set_num_threads(1)
    model = Generator.from_pretrained(arguments.model).model
    if arguments.test:
        references, where = split_crystals(arguments.test, arguments.count), arguments.test
        digest = sha256_file(source_path(arguments.test))
    else:
        references, where = held_out(arguments.config, arguments.count), f"held-out crystals of {arguments.config}"
        digest = None
    ids = arguments.ids or [None] * len(BUDGETS)
    for budget, name in zip(BUDGETS, ids, strict=True):
        config = settings_for(budget, arguments.quench, arguments.symmetry)
        matches, seconds = predict(model, references, config, arguments)
        rate = float((matches.distances < math.inf).mean())
        point = {
            "curve": arguments.curve,
            "evaluations": budget,
            "rate": rate,
            "trials": matches.distances.size,
            "rmse": matches.rmse(1, gated=False),
            "epochs": model.provenance.get("epochs"),
            "model_sha256": model.sha256,
        }
        POINTS.parent.mkdir(exist_ok=True)
        with POINTS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(point) + "\n")
        print(f"{arguments.curve}: {budget} evaluations, rate {rate:.3f}, {seconds:.0f} s", flush=True)
        if name:
            quench = f", {config.quench_steps} of them quench" if config.quench_steps else ""
            quench += f", symmetry {arguments.symmetry}"
            record(
                id=name,
                value=rate,
                unit="fraction",
                protocol=f"{arguments.curve}, {point['epochs']} epochs: match rate at 1, ungated, mean over "
                f"{arguments.samples} samples of each of a fixed random {len(references)} of {where}; {budget} network "
                f"evaluations{quench}, {arguments.precision}; StructureMatcher(stol 0.5, angle_tol 10, ltol 0.3)",
                data_sha256=digest,
                seed=arguments.seed,
                note=arguments.note,
            )


def plot(path: Path) -> None:
    """Curves of every set in `runs/evaluations_curve.jsonl`, a panel for each name before the comma."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = [json.loads(line) for line in POINTS.read_text(encoding="utf-8").splitlines()]
    curves: dict[str, dict[str, dict[int, dict]]] = collections.defaultdict(lambda: collections.defaultdict(dict))
    for point in points:
        panel, _, curve = point["curve"].partition(", ")
        curves[panel][curve or "default"][point["evaluations"]] = point
    figure, axes = pyplot.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.4), squeeze=False)
    for axis, (panel, lines) in zip(axes[0], curves.items(), strict=True):
        for curve, by_budget in lines.items():
            budgets = sorted(by_budget)
            rates = [by_budget[budget]["rate"] for budget in budgets]
            errors = [
                math.sqrt(rate * (1 - rate) / by_budget[b]["trials"]) for b, rate in zip(budgets, rates, strict=True)
            ]
            axis.errorbar(budgets, rates, yerr=errors, marker="o", capsize=2, label=curve)
        axis.set(title=panel, xlabel="network evaluations", xscale="log", ylim=(0, None))
        axis.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
        axis.minorticks_off()
        axis.legend(frameon=False)
    axes[0][0].set_ylabel("match rate of one sample")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")


def main() -> None:
    """Measure a curve or draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure")
    one.add_argument("--curve", required=True, help="panel, then what this curve is")
    one.add_argument("--model", required=True)
    one.add_argument("--test", help="a test source; by default the held-out crystals of --config")
    one.add_argument("--config", default="configs/train/crystals.yaml")
    one.add_argument("--count", type=int, default=60)
    one.add_argument("--samples", type=int, default=5)
    one.add_argument("--seed", type=int, default=12)
    one.add_argument("--batch", type=int, default=128)
    one.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    one.add_argument("--quench", type=float, default=0.0)
    one.add_argument("--symmetry", choices=["known", "free"], default="free", help="hold structure types or nothing")
    one.add_argument("--ids", nargs=len(BUDGETS), help="record under these ids")
    one.add_argument("--note")
    draw = verbs.add_parser("plot")
    draw.add_argument("path", type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "measure":
        measure(arguments)
    else:
        plot(arguments.path)


if __name__ == "__main__":
    main()
