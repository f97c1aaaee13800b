"""What two rounds of self-training do to the rate of metastable, unique, novel crystals on a held-out seed.

    python benchmarks/crystals_improve.py runs/improve/crystals [--second runs/envs/sevenn/bin/python] [--dry]

Reads a finished folder of `sorbus improve crystals` and records C10a.. for its last round, with the start (round 0) as
peer: same seed, sampler, potential, hull and training set for novelty. The second judge was no part of the loop.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure
from record import record

from gen.crystals.crystal_lines import from_line, read_lines
from gen.crystals.dataset import load_dataset
from gen.crystals.improve import ImproveConfig
from gen.crystals.verification import KnownCrystals, verdict_from_line
from gen.evaluation.build_hull import single_point_table
from gen.evaluation.hull import TABLE, describe, read_table
from gen.evaluation.novelty import MATCHER, novel_flags_by_matching
from gen.evaluation.stability import Verdict, agreement_metrics, msun_flags, second_opinion
from potentials.config import load_config
from potentials.potential import load_potential

IDS = {
    "msun": ("C10a", "fraction"),
    "msun_beyond_manifest": ("C10b", "fraction"),
    "metastable": ("C10c", "fraction"),
    "msun_second": ("C10d", "fraction"),
    "msun_same": ("C10n", "fraction"),
    "msun_confirmed": ("C10o", "fraction"),
    "unique": ("C10e", "fraction"),
    "effective_elements": ("C10f", "elements"),
    "kl_elements": ("C10g", "nats"),
    "kl_space_groups": ("C10h", "nats"),
    "distinct_prototypes": ("C10i", ""),
    "novel": ("C10j", "fraction"),
    "share_lanthanides": ("C10k", "fraction"),
    "hull_rank_correlation": ("C10l", ""),
    "median_above_hull": ("C10m", "eV/atom"),
}


def held_out(folder: Path, number: int) -> list[Verdict]:
    """Verdicts on the held-out seed after a round."""
    return [verdict_from_line(line) for line in read_lines(folder / f"held_out_{number}" / "verdicts.jsonl")]


def bootstrap_gain(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """95 % interval of the difference of two shares, by resampling both sets of crystals."""
    rng = np.random.default_rng(0)
    gains = [rng.choice(after, len(after)).mean() - rng.choice(before, len(before)).mean() for _ in range(4000)]
    return float(np.quantile(gains, 0.025)), float(np.quantile(gains, 0.975))


def main() -> None:
    """Read a run, add the second judge, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--second", help="interpreter with sevenn installed: SevenNet-0 as second judge")
    parser.add_argument("--second-count", type=int, default=64, help="crystals of a round the second judge sees")
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(ImproveConfig, options.folder / "config.yaml")
    rounds = read_lines(options.folder / "rounds.jsonl")
    data, table = load_dataset(config.data), read_table(config.hull or TABLE)
    known = KnownCrystals(data)
    verdicts = [held_out(options.folder, line["round"]) for line in rounds]
    flags: list[np.ndarray] = []
    values: list[dict[str, float]] = [{**line["metrics"], **line["drift"]} for line in rounds]
    novelty = []
    for found in verdicts:
        relaxed: list[Structure] = [verdict.structure for verdict in found]
        novelty.append(novel_flags_by_matching(relaxed, known.of(relaxed)))
        flags.append(msun_flags(found, novelty[-1]))
    second = ""
    if options.second:
        judge = load_potential({"name": "external", "python": options.second, "model": "sevenn"})
        seen = options.second_count
        everything = [verdict.structure for found in verdicts for verdict in found[:seen]]
        other = single_point_table(judge, "sevennet-0", Path("runs/hull"), table, everything)
        second = f"; second judge SevenNet-0, single points on the first {seen} relaxed crystals, {describe(other)}"
        for found, novel, row in zip(verdicts, novelty, values, strict=True):
            opinions = second_opinion(found[:seen], other, judge)
            row |= {m.name: m.value for m in agreement_metrics(found[:seen], opinions, novel[:seen], other)}
    manifest = [from_line(line) for line in read_lines(options.folder / "manifest.jsonl")]
    low, high = bootstrap_gain(flags[0], flags[-1])
    protocol = (
        f"{len(rounds) - 1} rounds of {config.samples} samples, {len(manifest)} crystals added "
        f"({', '.join(str(line['added']) for line in rounds[1:])}), retrained for {config.train.updates} updates each; "
        f"held-out seed {config.held_out_seed}, n = {config.held_out_samples}; {config.twin.describe()}; "
        f"{describe(table)}; novel: matches none of {len(known)} training crystals ({MATCHER}); element growth at most "
        f"{config.element_growth}"
    )
    print(protocol)
    for name, (row_id, unit) in IDS.items():
        series = [row.get(name) for row in values]
        if series[0] is None or series[-1] is None:
            continue
        print(f"{name:24s} " + " -> ".join(f"{value:.4f}" for value in series))
        if options.dry:
            continue
        extra: dict[str, Any] = {}
        if name == "msun":
            extra["note"] = f"95 % interval of the change {low:+.3f} to {high:+.3f} (bootstrap over crystals)"
        record(
            id=row_id,
            value=series[-1],
            unit=unit,
            protocol=f"{name} by round {', '.join(f'{value:.4f}' for value in series)}; {protocol}"
            + (second if name in ("msun_second", "msun_same", "msun_confirmed", "hull_rank_correlation") else ""),
            data_sha256=data.sha256,
            seed=config.held_out_seed,
            peer="the same generator before self-training",
            peer_value=series[0],
            ratio=series[-1] / series[0] if series[0] else None,
            **extra,
        )
    print(f"change of msun: 95 % interval {low:+.3f} to {high:+.3f}")


if __name__ == "__main__":
    main()
