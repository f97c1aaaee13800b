"""What a set covers, in one picture: `python -m screening.sorbent_dataset.figure ROWS.jsonl.gz PICTURE.png`."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gen.sorbents.beads import BeadRow, read_bead_rows


def draw_set(rows: Sequence[BeadRow], path: str | Path) -> Path:
    """Histograms of void fraction and Henry coefficient, one against the other, and how rows share the nets."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    voids, henry, both, nets = figure.subplots(2, 2).ravel()
    labels = [row.labels for row in rows]
    voids.hist([found["void_fraction"] for found in labels if "void_fraction" in found], bins=30, color="#4477aa")
    voids.set(xlabel="void fraction, N$_2$ probe", ylabel="frameworks")
    name = "log$_{10}$ K$_H$ of CO$_2$ / mol kg$^{-1}$ Pa$^{-1}$, 298 K"
    henry.hist([found["log10_co2_henry"] for found in labels if "log10_co2_henry" in found], bins=30, color="#cc6677")
    henry.set(xlabel=name, ylabel="frameworks")
    pairs = [
        (found["void_fraction"], found["log10_co2_henry"])
        for found in labels
        if {"void_fraction", "log10_co2_henry"} <= found.keys()
    ]
    both.plot(*zip(*pairs, strict=True), ".", markersize=3, color="#222222", alpha=0.6) if pairs else None
    both.set(xlabel="void fraction, N$_2$ probe", ylabel="log$_{10}$ K$_H$")
    counts = sorted(Counter(row.net for row in rows).values(), reverse=True)
    nets.step(range(1, len(counts) + 1), counts, where="mid", color="#117733")
    nets.set(xlabel=f"{len(counts)} nets, the most common first", ylabel="frameworks", xscale="log", yscale="log")
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    return out


if __name__ == "__main__":
    print(draw_set(list(read_bead_rows(sys.argv[1])), sys.argv[2]))
