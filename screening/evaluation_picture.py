"""A picture of an evaluation: density, elements, symmetry and energies, beside the held-out crystals."""

import io
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gen.evaluation.crystals import EXACT, SYMPREC, space_group
from gen.evaluation.hull import METASTABLE
from gen.evaluation.reference import read_reference
from gen.generator import WEIGHTS
from potentials.files import write_atomic

if TYPE_CHECKING:
    from screening.evaluate_files import Report

logger = logging.getLogger(__name__)

OURS, REAL, LIMIT = "#c9703a", "#8a97a3", "#333333"
CRYSTAL_SYSTEMS = (
    ("triclinic P1", 1, 1),
    ("triclinic P-1", 2, 2),
    ("monoclinic", 3, 15),
    ("orthorhombic", 16, 74),
    ("tetragonal", 75, 142),
    ("trigonal", 143, 167),
    ("hexagonal", 168, 194),
    ("cubic", 195, 230),
)


def draw(report: "Report", path: Path) -> Path | None:
    """Write a PNG of four panels (three without the twin); None, with a line in the log, without matplotlib."""
    if find_spec("matplotlib") is None:
        logger.warning("no picture: matplotlib is not installed (pip install 'sorbus[plots]')")
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    held_out = read_reference(WEIGHTS / "crystals")
    with_twin = report.verdicts is not None
    figure, axes = plt.subplots(
        1, 4 if with_twin else 3, figsize=(15 if with_twin else 11.5, 3.3), layout="constrained"
    )
    density, elements, symmetry = axes[:3]

    values = np.array([s.density for s in report.structures])
    edges = np.linspace(0, max(np.quantile(held_out.density, 0.995), np.quantile(values, 0.99)), 31).tolist()
    density.hist(held_out.density, edges, density=True, color=REAL, alpha=0.6, label="held-out crystals")
    density.hist(values, edges, density=True, histtype="step", color=OURS, lw=1.8, label="these crystals")
    density.set(xlabel="density (g/cm³)", ylabel="share per g/cm³", title="Density")
    density.legend(frameon=False, fontsize=8)

    own = np.array([len(s.composition) for s in report.structures])
    places = np.arange(1, int(max(own.max(), held_out.elements.max())) + 1)
    for counts, shift, colour in ((held_out.elements, -0.2, REAL), (own, 0.2, OURS)):
        elements.bar(places + shift, [(counts == place).mean() for place in places], 0.4, color=colour)
    elements.set(xlabel="number of elements", ylabel="share", title="Elements", xticks=places)

    names = [name for name, _, _ in CRYSTAL_SYSTEMS]
    for symprec, shift, colour, label in (
        (EXACT, 0.2, REAL, f"as it stands ({EXACT} Å)"),
        (SYMPREC, -0.2, OURS, f"within {SYMPREC} Å"),
    ):
        groups = np.array([space_group(s, symprec) for s in report.structures])
        shares = [float(((groups >= low) & (groups <= high)).mean()) for _, low, high in CRYSTAL_SYSTEMS]
        symmetry.barh(np.arange(len(names)) + shift, shares, 0.4, color=colour, label=label)
    symmetry.set(xlabel="share", title="Symmetry", yticks=range(len(names)), yticklabels=names)
    symmetry.invert_yaxis()
    symmetry.legend(frameon=False, fontsize=8)

    if report.verdicts is not None:
        energy = axes[3]
        above = [v.above_hull for v in report.verdicts if v.above_hull is not None]
        lowest = min([-0.1, *above])
        if above:
            bins = np.linspace(max(lowest, -0.5), 1.0, 46).tolist()
            energy.hist(np.clip(above, bins[0], 1.0), bins, color=OURS)
        energy.axvline(METASTABLE, color=LIMIT, lw=1, ls="--", label=f"metastable: {METASTABLE} eV/atom")
        missing = len(report.verdicts) - len(above)
        energy.set(
            xlabel="energy above hull (eV/atom)",
            ylabel="crystals",
            title=f"Stability ({missing} without energy or hull)" if missing else "Stability",
        )
        energy.legend(frameon=False, fontsize=8)

    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, format="png")
    plt.close(figure)
    return write_atomic(path, buffer.getvalue())
