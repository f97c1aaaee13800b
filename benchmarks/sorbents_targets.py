"""Asked and got: frameworks generated for a void fraction or a Henry coefficient, measured as the training set was.

    python -m benchmarks.sorbents_targets --each 5

Records D3a (error over spread, void fraction), D3b (the same, log10 of the Henry coefficient of CO2), D3c and D3d (rank
correlations). Run again to go on. About three seconds of one core a framework.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.record import record
from benchmarks.sorbents_generation import DATASET
from benchmarks.sorbents_labels import ALL, PORES_ONLY, Labels, trained_values
from benchmarks.sorbents_samples import CHECKED, Sample, collect, generator_hash, learned, model_hash
from gen.sorbents.beads import read_bead_rows
from potentials.files import sha256_file

TARGETS = 19  # evenly spaced quantiles of the training labels, 5 to 95 %
ASKED = (("void_fraction", "", "D3a", "D3c"), ("log10_co2_henry", "log10 mol/(kg Pa)", "D3b", "D3d"))


def main() -> None:
    """Generate, measure, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=5, help="frameworks for each of the 19 targets")
    parser.add_argument("--free", type=int, default=95, help="frameworks without a condition, for the spread")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, help="weight of the condition; default: the sampler's")
    parser.add_argument("--steps", type=int, help="of the reverse process; default: the sampler's")
    parser.add_argument("--minutes", type=float, help="for the measurements of each property; then fewer are measured")
    parser.add_argument("--only", choices=[name for name, *_ in ASKED], help="one property")
    parser.add_argument("--checkpoint", default="sorbents")
    parser.add_argument("--data", type=Path, default=DATASET)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    rows = list(read_bead_rows(arguments.data))
    for name, unit, error_row, rank_row in ASKED:
        if arguments.only in (None, name):
            values = trained_values(rows, name)
            _measure(arguments, name, unit, error_row, rank_row, values)


def _measure(
    arguments: argparse.Namespace, name: str, unit: str, error_row: str, rank_row: str, trained: np.ndarray
) -> None:
    targets = np.unique(np.quantile(trained, np.linspace(0.05, 0.95, TARGETS)))  # many have no room for the probe: 0
    labels = Labels(PORES_ONLY if name == "void_fraction" else ALL, arguments.seed)
    made = [(float(target), _samples(arguments, {name: float(target)}, arguments.each)) for target in targets]
    unasked = _samples(arguments, {}, arguments.free)
    limit = time.monotonic() + 60 * arguments.minutes if arguments.minutes else np.inf
    # every target once before any gets its next, so that a run cut short is balanced
    queue = [(target, samples[k]) for k in range(arguments.each) for target, samples in made if k < len(samples)]
    queue = [(np.nan, sample) for sample in unasked[: len(unasked) // 2]] + queue
    queue += [(np.nan, sample) for sample in unasked[len(unasked) // 2 :]]
    results, tried = [], []
    for target, sample in queue:
        if time.monotonic() > limit:
            break
        tried.append((target, sample.valid))
        if sample.valid and name in (found := labels.label(sample)):
            results.append((target, found[name]))
    free = np.array([value for target, value in results if np.isnan(target)])
    asked = np.array([target for target, _ in results if not np.isnan(target)])
    got = np.array([value for target, value in results if not np.isnan(target)])
    proposed = sum(not np.isnan(target) for target, _ in tried)
    valid = sum(good and not np.isnan(target) for target, good in tried)
    errors = np.abs(asked - got)
    spread = float(np.abs(free - np.median(free)).mean())
    blind = float(np.abs(asked[:, None] - free).mean())
    correlation = float(spearmanr(asked, got).statistic)
    ratio = float(errors.mean()) / spread
    print(
        f"{name}: {len(asked)} of {proposed} measured ({valid} valid), error {errors.mean():.4f}, spread {spread:.4f}, "
        f"ratio {ratio:.3f}, rank correlation {correlation:.3f}; blind error {blind:.4f}"
    )
    for target in targets:
        mine = got[asked == float(target)]
        if len(mine):
            print(f"  asked {target:.3f}: got {np.median(mine):.3f} ({min(mine):.3f} to {max(mine):.3f}, {len(mine)})")
    if arguments.no_record:
        return
    model = model_hash(arguments.checkpoint)
    guidance = "the sampler's default guidance" if arguments.guidance is None else f"guidance {arguments.guidance:g}"
    guidance += "" if arguments.steps is None else f", {arguments.steps} steps"
    protocol = (
        f"{name} asked at {len(targets)} quantiles (5 to 95 %) of the {len(trained)} training labels, {proposed} "
        f"frameworks of seed {arguments.seed} as users get them, {guidance}; of these {valid} pass {CHECKED} and "
        f"{len(asked)} are measured, unrelaxed, by the training set's label code and settings"
    )
    note = (
        f"mean absolute error {errors.mean():.4f} {unit}; spread {spread:.4f}: mean absolute deviation from the median "
        f"of {len(free)} frameworks generated without a condition; mean error of those against the same targets "
        f"{blind:.4f}; weights {model[:12]}"
    )
    shared = {"protocol": protocol, "data_sha256": sha256_file(arguments.data), "seed": arguments.seed, "note": note}
    record(
        id=error_row,
        value=round(ratio, 3),
        unit=f"mean absolute error over the unconditioned spread, {name}; target 0.5 or less",
        **shared,
    )
    record(
        id=rank_row,
        value=round(correlation, 3),
        unit=f"Spearman correlation of asked and got, {name}; target 0.7 or more",
        **shared,
    )


def _samples(arguments: argparse.Namespace, conditions: dict[str, float], n: int) -> list[Sample]:
    """The first `n` frameworks under conditions, with those that cannot be assembled drawn again."""
    guided = {} if arguments.guidance is None or not conditions else {"guidance": arguments.guidance}
    guided |= {} if arguments.steps is None else {"steps": arguments.steps}
    identity = {"seed": arguments.seed, "conditions": conditions, **guided}
    identity["generator"] = generator_hash(arguments.checkpoint)
    batch = arguments.each if conditions else 32

    def source(first: int):  # type: ignore[no-untyped-def]
        return learned(arguments.seed, conditions, True, arguments.checkpoint, batch=batch, first=first, **guided)

    return collect("targets" if conditions else "free", source, n, {**identity, "resample": True})


if __name__ == "__main__":
    main()
