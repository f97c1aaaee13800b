"""A picture of the first crystals that the shipped model makes, in their conventional cells.

    python -m benchmarks.crystals_picture

Eight crystals of seed 1 at the default settings, in order and unchosen; labels give formula, space group, atoms.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from gen.generator import Generator
from screening.report.drawing import scene

VIEW = np.radians([24.0, 14.0])  # turned about the vertical and tipped forward, so that depth can be seen


def draw(axis: Any, structure: Structure) -> None:
    """Atoms, half-bonds and cell of a structure on a matplotlib axis, far things first."""
    from matplotlib.patches import Circle

    drawn = scene(structure)
    if drawn is None:
        return
    (sy, sx), (cy, cx) = np.sin(VIEW), np.cos(VIEW)
    turn = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    upright = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # c points up
    to_eye = (turn @ upright).T
    cell = np.array(drawn["cell"]) @ to_eye
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ cell
    for first in range(8):
        for second in range(first):
            if bin(first ^ second).count("1") == 1:
                axis.plot(*corners[[first, second], :2].T, color="#8b929b", lw=0.8, zorder=-100)
    atoms = np.array([atom[1:] for atom in drawn["atoms"]]) @ to_eye
    kinds = [drawn["elements"][atom[0]] for atom in drawn["atoms"]]
    for place, *half in drawn["halves"]:
        start = atoms[place]
        end = start + np.array(half) @ to_eye
        axis.plot(*np.stack([start, end])[:, :2].T, color=kinds[place][1], lw=2.2, zorder=(start + end)[2] / 2)
    for position, (_, fill, radius, _) in zip(atoms, kinds, strict=True):
        axis.add_patch(Circle(position[:2], radius, fc=fill, ec="#2b2f33", lw=0.4, zorder=position[2] + radius / 2))
    low, high = (edge(np.vstack([corners, atoms])[:, :2], axis=0) for edge in (np.min, np.max))
    middle, reach = (low + high) / 2, (high - low).max() / 2 + 0.9
    axis.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    for column, (symbol, fill, _, _) in enumerate(sorted(drawn["elements"])):
        axis.text(0.08 + 0.14 * column, -0.02, symbol, color=fill, transform=axis.transAxes, va="top", weight="bold")


def main() -> None:
    """Generate and draw."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/crystals.png"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structures = Generator.from_pretrained("crystals").generate(arguments.count, seed=arguments.seed, symmetrize=True)
    rows = -(-arguments.count // 4)
    figure, axes = pyplot.subplots(rows, 4, figsize=(11, 3.2 * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
        axis.set_aspect("equal")
    for axis, structure in zip(axes.flat, structures, strict=False):
        analyzer = SpacegroupAnalyzer(structure, 0.01)
        draw(axis, analyzer.get_conventional_standard_structure())
        title = f"{structure.composition.reduced_formula}  {analyzer.get_space_group_symbol()}"
        axis.set_title(f"{title}, {len(structure)} atoms", fontsize=10)
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=110)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
