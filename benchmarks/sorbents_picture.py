"""Picture for the guide: a generated framework, and void fractions asked against got.

    python -m benchmarks.sorbents_picture --each 5

Every framework is drawn once, whatever comes of it; the title counts those that fail a test.
"""

import argparse
import functools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase.visualize.plot import plot_atoms
from scipy.stats import spearmanr

from benchmarks.sorbents_labels import PORES_ONLY, Labels
from benchmarks.sorbents_samples import Sample, collect, generator_hash, learned, skipping

TARGETS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
PROPERTY = "void_fraction"


def main() -> None:
    """Generate, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=5, help="frameworks for each value asked")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--checkpoint", default="sorbents")
    parser.add_argument("--out", type=Path, default=Path("docs/images/sorbents.png"))
    arguments = parser.parse_args()
    labels = Labels(PORES_ONLY, arguments.seed)
    asked, got, proposed, shown = [], [], 0, None
    for target in TARGETS:
        conditions = {PROPERTY: target}
        identity = {"generator": generator_hash(arguments.checkpoint), "seed": arguments.seed, "conditions": conditions}
        source = functools.partial(
            learned, arguments.seed, conditions, checkpoint=arguments.checkpoint, batch=arguments.each
        )
        samples = collect(
            f"picture_{target}",
            lambda first, proposals=source: skipping(proposals(), first),  # type: ignore[misc]
            arguments.each,
            identity,
        )
        proposed += len(samples)
        for sample in samples:
            if sample.valid and PROPERTY in (found := labels.label(sample)):
                asked.append(target)
                got.append(found[PROPERTY])
                if shown is None or (sample.structure is not None and _is_better(sample, shown)):
                    shown = sample
    correlation = float(spearmanr(asked, got).statistic)
    print(f"{len(asked)} of {proposed} measured, rank correlation {correlation:.2f}")
    for target in TARGETS:
        mine = [value for a, value in zip(asked, got, strict=True) if a == target]
        if mine:
            print(f"asked {target}: got {np.mean(mine):.3f} on average of {len(mine)}")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2))
    _draw_framework(left, shown)
    _draw_values(right, np.array(asked), np.array(got), proposed, correlation)
    figure.tight_layout()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=130)


def _is_better(sample: Sample, other: Sample) -> bool:
    """Pictures of cells of about sixty atoms are easiest to read."""
    assert sample.structure is not None
    assert other.structure is not None
    return abs(len(sample.structure) - 60) < abs(len(other.structure) - 60)


def _draw_framework(axis: plt.Axes, sample: Sample | None) -> None:
    axis.set_axis_off()
    if sample is None or sample.structure is None:
        return
    atoms = sample.structure.to_ase_atoms()
    plot_atoms(atoms.repeat((2, 2, 2)), axis, radii=0.45, rotation="8x,-12y,0z", show_unit_cell=0)
    metals = ", ".join(sorted(name for name in set(sample.blocks) if name.startswith("N")))
    linkers = ", ".join(sorted(name for name in set(sample.blocks) if not name.startswith("N")))
    axis.set_title(f"net {sample.net}, nodes {metals}, linkers {linkers}", fontsize=9)


def _draw_values(axis: plt.Axes, asked: np.ndarray, got: np.ndarray, proposed: int, correlation: float) -> None:
    random = np.random.default_rng(0)
    axis.axline((0.4, 0.4), slope=1, color="0.7", linewidth=1, zorder=0)
    axis.scatter(
        asked + 0.008 * random.standard_normal(len(asked)),
        got,
        s=16,
        alpha=0.5,
        color="#2b6cb0",
        linewidths=0,
        label="one framework",
    )
    levels = np.unique(asked)
    axis.plot(
        levels, [got[asked == level].mean() for level in levels], "o", color="#c05621", markersize=8, label="mean"
    )
    axis.set_xlabel("void fraction asked")
    axis.set_ylabel("void fraction measured")
    axis.set_title(f"{len(asked)} of {proposed} valid, rank correlation {correlation:.2f}", fontsize=9)
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
