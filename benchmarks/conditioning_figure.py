"""Picture of asked against got, from the files that `crystals_conditions.py --samples` wrote.

python benchmarks/conditioning_figure.py docs/images/conditioning.png density.json gap.json
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

LABELS = {"density": "density, g/cm³", "band_gap": "band gap, eV"}
GOT = {"density": "measured on the sample", "band_gap": "estimated from composition"}


def main() -> None:
    """Draw one panel a property."""
    target, *sources = sys.argv[1:]
    found: dict[str, dict[str, list[float]]] = {}
    for source in sources:
        found |= json.loads(Path(source).read_text())
    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.8), squeeze=False)
    random = np.random.default_rng(0)
    for axis, (name, values) in zip(axes[0], found.items(), strict=True):
        asked, got = np.array(values["asked"]), np.array(values["got"])
        width = 0.02 * (asked.max() - asked.min())
        axis.axline((asked.mean(), asked.mean()), slope=1, color="0.7", linewidth=1, zorder=0)
        jitter = width * random.standard_normal(len(asked))
        axis.scatter(asked + jitter, got, s=16, alpha=0.5, color="#2b6cb0", linewidths=0, label="one crystal")
        levels = np.unique(asked)
        means = [got[asked == level].mean() for level in levels]
        axis.plot(levels, means, "o", color="#c05621", markersize=8, label="mean")
        axis.set_xlabel(f"asked {LABELS[name]}")
        axis.set_ylabel(f"{GOT[name]}")
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=130)


if __name__ == "__main__":
    main()
