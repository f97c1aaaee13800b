"""De novo crystals through the digital twin: metastable, unique, novel, for a generator and a baseline beside it.

    python benchmarks/crystals_stability.py make --model runs/train/crystals_85 --count 192
    python benchmarks/crystals_stability.py report --model runs/train/crystals_85 --second runs/envs/sevenn/bin/python

Three sets: the model as it samples, the model behind the stability screen, the baseline. `make` samples, relaxes and
judges; samples and verdicts go to `runs/stability/<weights>_<seed>_<settings>/` and are not made again, so a killed
run goes on. `report` evaluates what is there and records it: the screened model against the baseline as published,
both without a screen, and what the screen would make of both (chosen among their judged crystals). Every sample counts,
failed ones too. Novelty is by structure matching against the whole training set, so the data must be at hand.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from record import record

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.config import DataConfig
from gen.crystals.crystal_lines import from_line, read_lines
from gen.crystals.dataset import load_dataset
from gen.crystals.drift import census_of_structures
from gen.crystals.sampling import SamplingConfig
from gen.crystals.screen import Screen, ScreenConfig, Screened
from gen.crystals.verification import KnownCrystals, verified_samples
from gen.evaluation.build_hull import single_point_table
from gen.evaluation.hull import HullTable, describe, read_table
from gen.evaluation.metric import Metric
from gen.evaluation.novelty import MATCHER, novel_flags_by_matching, unique_flags
from gen.evaluation.stability import TwinConfig, Verdict, agreement_metrics, second_opinion, stability_metrics
from gen.generator import Generator
from potentials.config import load_config
from potentials.files import sha256_json
from potentials.potential import Potential, load_potential

SETS = ("model", "model_screened", "baseline")
GROUPS = 20_000  # random groups the screen is asked about
PUBLISHED = ["steps=1000", "corrector=true", "corrector_step=0.2", "quench_steps=0"]  # DiffCSP's sampler
SHIPPED = {("model_screened", "model"): {"msun": "C5z"}}  # what is recorded of the shipped weights
# what is recorded of which set of other weights, against which
IDS: dict[tuple[str, str], dict[str, str]] = {
    ("model_screened", "baseline"): {
        "msun": "C5",
        "metastable": "C5a",
        "rmsd_to_relaxed": "C5b",
        "relaxed": "C5c",
        "with_hull": "C5d",
        "energy_above_hull": "C5e",
        "msun_second": "C5f",
        "msun_confirmed": "C5g",
        "hull_rank_correlation": "C5h",
        "sun": "C5i",
        "msun_same": "C5j",
        "seconds": "C5t",
        "unique_novel": "C5v",
    },
    ("model", "baseline"): {
        "msun": "C5k",
        "metastable": "C5l",
        "rmsd_to_relaxed": "C5m",
        "with_hull": "C5n",
        "energy_above_hull": "C5o",
        "msun_second": "C5p",
        "seconds": "C5u",
        "unique_novel": "C5w",
        "msun_if_screened": "C5q",
        "metastable_if_screened": "C5r",
    },
    ("model_screened", "model"): {"effective_elements": "C5x", "unique_novel": "C5y"},
}


@dataclass(frozen=True)
class Judged:
    """One set of crystals with what the twin says of them."""

    verdicts: list[Verdict]
    novel: list[bool]
    metrics: dict[str, Metric]
    made_by: str


def options_of(name: str, options: argparse.Namespace) -> tuple[CrystalModel, SamplingConfig, ScreenConfig | None]:
    """Generator, sampler and screen of a set."""
    baseline = name.startswith("baseline")
    model = Generator.from_pretrained(options.baseline if baseline else options.model).model
    sampling = load_config(SamplingConfig, overrides=options.baseline_settings if baseline else options.settings)
    return model, sampling, load_config(ScreenConfig, overrides=options.screen) if name.endswith("screened") else None


def verdicts_of(name: str, options: argparse.Namespace, table: HullTable) -> tuple[list[Verdict], Path, str]:
    """Verdicts of a set, the folder they are in, and a phrase that says how they were made."""
    model, sampling, screen = options_of(name, options)
    twin = TwinConfig(chunk=32)
    # the defaults are part of what is asked for: they may change between versions
    asked = [sampling.model_dump(mode="json"), twin.model_dump(mode="json", exclude={"chunk"})]
    asked += [screen.model_dump(mode="json")] if screen else []
    folder = Path(options.folder) / f"{model.sha256[:12]}_{options.seed}_{sha256_json(asked)[:8]}"
    verdicts = verified_samples(
        model,
        options.count,
        options.seed,
        folder,
        table,
        twin,
        sampling=sampling,
        screen=Screen(screen) if screen else None,
        say=print,
    )
    given = options.baseline_settings if name.startswith("baseline") else options.settings
    made_by = f"weights {model.sha256[:12]}, sampler {' '.join(given) or 'defaults'}, gate faults drawn again"
    return verdicts[: options.count], folder, f"{made_by}, {screen.describe() if screen else 'not screened'}"


def evaluate(name: str, options: argparse.Namespace, known: KnownCrystals, table: HullTable) -> Judged:
    """A set with its metrics over all that were asked for."""
    verdicts, folder, made_by = verdicts_of(name, options, table)
    samples = read_lines(folder / "samples.jsonl")[: options.count]
    seconds = [row["seconds"] for row in samples]
    relaxed = [verdict.structure for verdict in verdicts]
    novel = novel_flags_by_matching(relaxed, known.of(relaxed))
    rule = f"matches none of {len(known)} training crystals ({MATCHER})"
    metrics = {m.name: m for m in stability_metrics(verdicts, novel, table, TwinConfig(), rule)}
    cost = f"of one core for each crystal returned, {len(seconds)} crystals"
    metrics["seconds"] = Metric("seconds", float(np.mean(seconds)), "s", cost)
    both = float((np.array(unique_flags(relaxed)) & np.array(novel)).mean())
    metrics["unique_novel"] = Metric("unique_novel", both, "fraction", f"unique among the relaxed; {rule}")
    count = 1 / census_of_structures(relaxed).hhi
    metrics["effective_elements"] = Metric("effective_elements", count, "", "1 / sum of squared shares of mentions")
    if not name.endswith("screened"):
        screen = Screen(load_config(ScreenConfig, overrides=options.screen))
        drawn = [from_line(row) for row in samples if "fault" not in row]
        metrics |= if_screened(verdicts, novel, screen, screen.judge(drawn))
    return Judged(verdicts, novel, metrics, made_by)


def if_screened(
    verdicts: list[Verdict], novel: list[bool], screen: Screen, judged: list[Screened]
) -> dict[str, Metric]:
    """Expected rates of crystals chosen by the screen among judged ones: the mean over groups drawn at random."""
    good = np.array([verdict.metastable for verdict in verdicts])
    random, size = np.random.default_rng(0), min(screen.config.candidates, len(judged))
    groups = [random.choice(len(judged), size, replace=False) for _ in range(GROUPS)]
    chosen = np.array([group[screen.choose([judged[place] for place in group])] for group in groups])
    how = (
        f"expected over {GROUPS} random groups of {size} of the {len(judged)} crystals of the unscreened set, of which "
        "the screen chooses one; each judged as it was drawn, repeats not counted"
    )
    rates = {"metastable_if_screened": good, "msun_if_screened": good & np.array(novel)}
    return {name: Metric(name, float(flags[chosen].mean()), "fraction", how) for name, flags in rates.items()}


def second_judge(python: str) -> Potential:
    """SevenNet-0 in an interpreter of its own."""
    return load_potential({"name": "external", "python": python, "model": "sevenn"})


def add_second_opinion(sets: dict[str, Judged], options: argparse.Namespace, table: HullTable) -> None:
    """Metrics of the second judge over the first crystals of every set."""
    judge, seen = second_judge(options.second), options.second_count
    everything = [v.structure for judged in sets.values() for v in judged.verdicts[:seen]]
    second = single_point_table(judge, "sevennet-0", Path(options.hull), table, everything)
    for judged in sets.values():
        verdicts, novel = judged.verdicts[:seen], judged.novel[:seen]
        opinions = second_opinion(verdicts, second, judge)
        judged.metrics.update({m.name: m for m in agreement_metrics(verdicts, opinions, novel, second)})


def main() -> None:
    """Sample, relax and judge; or evaluate and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("make", "report"))
    parser.add_argument("settings", nargs="*", help="fields of SamplingConfig, e.g. temperature=0.9")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--model", default="crystals", help="shipped weights by name, or a checkpoint folder")
    parser.add_argument("--baseline", default="runs/train/crystals_diffcsp", help="the checkpoint compared with")
    parser.add_argument("--baseline-settings", nargs="*", default=PUBLISHED, help="its own fields of SamplingConfig")
    parser.add_argument(
        "--baseline-name", default="DiffCSP's process de novo, same data, network and updates", help="what it is"
    )
    parser.add_argument("--screen", nargs="*", default=[], help="fields of ScreenConfig, e.g. candidates=4")
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1_000_003)
    parser.add_argument("--second", help="interpreter with sevenn installed: SevenNet-0 as second judge")
    parser.add_argument("--second-count", type=int, default=96, help="crystals of each set the second judge sees")
    parser.add_argument("--folder", default="runs/stability")
    parser.add_argument("--hull", default="runs/hull", help="working folder of gen.evaluation.build_hull")
    parser.add_argument("--dry", action="store_true", help="print only, record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = read_table()
    if options.step == "make":
        for name in options.sets:
            print(name, flush=True)
            verdicts_of(name, options, table)
        return
    data = load_dataset(DataConfig())
    known = KnownCrystals(data)
    sets = {name: evaluate(name, options, known, table) for name in options.sets}
    if options.second:
        add_second_opinion(sets, options, table)
    print(describe(table))
    for name, judged in sets.items():
        print(f"{name}: {len(judged.verdicts)} crystals, {judged.made_by}")
        for metric in judged.metrics.values():
            print(f"    {metric.name:24s} {metric.value:8.4f} {metric.unit}")
    print(f"standard error of a share at most {np.sqrt(0.25 / options.count):.3f}")
    for (name, peer), ids in (SHIPPED if options.model == "crystals" else IDS).items():
        if options.dry or name not in sets or peer not in sets:
            continue
        for metric_name, row in ids.items():
            if metric_name not in sets[name].metrics or metric_name not in sets[peer].metrics:
                continue
            metric = sets[name].metrics[metric_name]
            record(
                id=row,
                value=metric.value,
                unit=metric.unit,
                protocol=f"{metric.name}: {metric.protocol}; {sets[name].made_by}; the peer: {sets[peer].made_by}",
                data_sha256=data.sha256,
                seed=options.seed,
                peer=options.baseline_name if peer == "baseline" else "the same model, not screened",
                peer_value=sets[peer].metrics[metric_name].value,
            )


if __name__ == "__main__":
    main()
