"""De novo crystals through the digital twin: metastable, unique, novel, for a generator and a baseline beside it.

    python benchmarks/crystals_stability.py --model crystals --baseline runs/train/baseline --count 192
    python benchmarks/crystals_stability.py --second runs/envs/sevenn/bin/python --dry    # a second judge as well

Samples and verdicts go to `runs/stability/<weights>_<seed>/` and are not made again. Every sample counts, failed ones
too. Novelty is by structure matching against the whole training set, so the data must be at hand.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.config import DataConfig
from gen.crystals.dataset import load_dataset
from gen.crystals.sampling import SamplingConfig
from gen.crystals.verification import KnownCrystals, verified_samples
from gen.evaluation.build_hull import single_point_table
from gen.evaluation.hull import HullTable, describe, read_table
from gen.evaluation.metric import Metric
from gen.evaluation.novelty import MATCHER, novel_flags_by_matching
from gen.evaluation.stability import (
    TwinConfig,
    Verdict,
    agreement_metrics,
    msun_flags,
    second_opinion,
    stability_metrics,
)
from gen.generator import Generator
from potentials.config import load_config
from potentials.files import sha256_json
from potentials.potential import Potential, load_potential

IDS = {
    "msun": "C5",
    "metastable": "C5a",
    "rmsd_to_relaxed": "C5b",
    "relaxed": "C5c",
    "with_hull": "C5d",
    "energy_above_hull": "C5e",
    "msun_second": "C5f",
    "msun_same": "C5j",
    "msun_confirmed": "C5g",
    "hull_rank_correlation": "C5h",
    "sun": "C5i",
}


def evaluate(
    model: CrystalModel, options: argparse.Namespace, settings: list[str], known: KnownCrystals, table: HullTable
) -> tuple[list[Verdict], list[bool], list[Metric]]:
    """Verdicts of a model's samples, their novelty, and the metrics over all that were asked for."""
    twin = TwinConfig()
    sampling = load_config(SamplingConfig, overrides=settings)
    # the sampler's defaults are part of what is asked for: they may change between versions
    key = f"_{sha256_json(sampling.model_dump(mode='json'))[:8]}"
    folder = Path(options.folder) / f"{model.sha256[:12]}_{options.seed}{key}"
    verdicts = verified_samples(
        model, options.count, options.seed, folder, table, twin, sampling=sampling, say=print, progress=True
    )[: options.count]
    relaxed = [verdict.structure for verdict in verdicts]
    novel = novel_flags_by_matching(relaxed, known.of(relaxed))
    rule = f"matches none of {len(known)} training crystals ({MATCHER})"
    return verdicts, novel, stability_metrics(verdicts, novel, table, twin, rule)


def second_judge(python: str) -> Potential:
    """SevenNet-0 in an interpreter of its own."""
    return load_potential({"name": "external", "python": python, "model": "sevenn"})


def main() -> None:
    """Sample, relax, judge, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help="fields of SamplingConfig, e.g. temperature=0.9")
    parser.add_argument("--model", default="crystals", help="shipped weights by name, or a checkpoint folder")
    parser.add_argument("--baseline", help="another checkpoint folder to compare with")
    parser.add_argument(
        "--baseline-settings", nargs="*", help="its own fields of SamplingConfig; by default those of the model"
    )
    parser.add_argument("--baseline-name", default="baseline", help="what it is, for the record")
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1_000_003)
    parser.add_argument("--second", help="interpreter with sevenn installed: SevenNet-0 as second judge")
    parser.add_argument("--second-count", type=int, default=64, help="crystals the second judge sees")
    parser.add_argument("--folder", default="runs/stability")
    parser.add_argument("--only-relax", action="store_true", help="make samples and verdicts, evaluate later")
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, data = read_table(), load_dataset(DataConfig())
    known = KnownCrystals(data)
    model = Generator.from_pretrained(options.model).model
    verdicts, novel, metrics = evaluate(model, options, options.settings, known, table)
    peers: dict[str, float] = {}
    other: tuple[list[Verdict], list[bool]] | None = None
    if options.baseline:
        peer = Generator.from_pretrained(options.baseline).model
        theirs = options.settings if options.baseline_settings is None else options.baseline_settings
        found, found_novel, found_metrics = evaluate(peer, options, theirs, known, table)
        peers, other = {m.name: m.value for m in found_metrics}, (found, found_novel)
    if options.only_relax:
        return
    if options.second:
        judge = second_judge(options.second)
        seen = options.second_count
        sets = [(verdicts[:seen], novel[:seen])] + ([(other[0][:seen], other[1][:seen])] if other else [])
        everything = [v.structure for found, _ in sets for v in found]
        second = single_point_table(judge, "sevennet-0", everything, Path("runs/hull"), table)
        agreement = [
            agreement_metrics(found, second_opinion(found, second, judge), flags, second) for found, flags in sets
        ]
        metrics += agreement[0]
        if other is not None:
            peers |= {m.name: m.value for m in agreement[1]}
    made_by = f"weights {model.sha256[:12]}, sampler {options.settings or 'defaults'}, gate faults drawn again"
    if options.baseline_settings is not None:
        made_by += f"; the peer's sampler {' '.join(options.baseline_settings) or 'defaults'}"
    print(describe(table))
    for metric in metrics:
        print(f"{metric.name:24s} {metric.value:8.4f} {metric.unit:10s} baseline {peers.get(metric.name, np.nan):.4f}")
        if metric.name in IDS and not options.dry:
            against: dict[str, Any] = {}
            if metric.name in peers:
                against = {"peer": options.baseline_name, "peer_value": peers[metric.name]}
            record(
                id=IDS[metric.name],
                value=metric.value,
                unit=metric.unit,
                protocol=f"{metric.name}: {metric.protocol}; {made_by}",
                data_sha256=data.sha256,
                seed=options.seed,
                **against,
            )
    error = np.sqrt(0.25 / options.count)
    print(f"{int(msun_flags(verdicts, novel).sum())} of {options.count}; standard error of a share at most {error:.3f}")


if __name__ == "__main__":
    main()
