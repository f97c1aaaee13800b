"""Picture for the guide: generated silica frameworks, and one with aluminium and sodium.

    python -m benchmarks.zeolites_picture

Frameworks of `python benchmarks/zeolites.py generate`: the first sample of each net that training never saw, those with
the widest channels, seen along them. Bonds are grey, darker in front; Si gold, O red, Al blue, Na violet.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from pymatgen.core import Structure

from benchmarks.zeolites import FOLDER, _new, _rows
from gen.zeolites.aluminosilicates import DecorationConfig, decorate_as
from potentials.errors import InputError

COLOURS = {"Si": "#d69e2e", "O": "#c53030", "Al": "#2b6cb0", "Na": "#805ad5"}
SIZES = {"Si": 34, "O": 14, "Al": 46, "Na": 70}
TOUCHING = 1.9  # Å, longest bond between a tetrahedron's middle and its corner
WIDTH, DEPTH = 22.0, 9.0  # Å of the framework that are shown, across and along the view


def main() -> None:
    """Choose, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="zeolites")
    parser.add_argument("--out", type=Path, default=Path("docs/images/zeolites.png"))
    arguments = parser.parse_args()
    new = list(_new(_rows(FOLDER / "samples.jsonl"), arguments.checkpoint))
    if len(new) < 5:
        raise InputError("fewer than five new nets in runs/zeolites: run benchmarks/zeolites.py generate first")
    found = []
    for row in new:
        structure = Structure.from_dict(row["structure"])
        width, axis = max((_channel(structure, axis), axis) for axis in range(3))
        found.append((width, row["index"], axis, row, structure))
    chosen = sorted(found, key=lambda item: -item[0])[:5]
    figure, panels = plt.subplots(2, 3, figsize=(9.6, 6.6))
    for panel, (_, index, axis, row, structure) in zip(panels.flat, chosen, strict=False):
        name = ", ".join(row["names"]) or "a net without a name"
        title = f"sample {index}: {name}\n{row['silicon']} Si a cell, {row['density']:.1f} Si / 1000 Å³"
        _draw(panel, structure, axis, title)
    _, index, axis, _, structure = chosen[0]
    made, _ = decorate_as(structure, DecorationConfig(si_al=3, cation="Na"), seed=1)
    title = f"sample {index} with Si/Al = {made.silicon_per_aluminium:.1f}\nand {made.cations} Na in the cell"
    _draw(panels.flat[-1], made.structure, axis, title)
    figure.tight_layout()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=110)
    print(json.dumps([(index, row["key"], round(width, 2)) for width, index, _, row, _ in chosen]))


def _view(structure: Structure, axis: int) -> np.ndarray:
    """[3, 3] rows: two directions across, then the one along lattice vector `axis`."""
    along = structure.lattice.matrix[axis] / np.linalg.norm(structure.lattice.matrix[axis])
    across = structure.lattice.matrix[axis - 2] - (structure.lattice.matrix[axis - 2] @ along) * along
    across = across / np.linalg.norm(across)
    return np.stack([across, np.cross(along, across), along])


def _channel(structure: Structure, axis: int) -> float:
    """Å, radius of the widest circle no oxygen or silicon projects into, seen along lattice vector `axis`."""
    others = [k for k in range(3) if k != axis]
    plane = (structure.lattice.matrix @ _view(structure, axis)[:2].T)[others]  # [2, 2] projected lattice
    sites = structure.frac_coords[:, others]
    steps = np.linspace(0, 1, 24, endpoint=False)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)
    shifts = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1)), axis=-1).reshape(-1, 1, 1, 2)
    apart = np.linalg.norm((grid - sites + shifts) @ plane, axis=-1)  # [9, grid, sites]
    return float(apart.min(axis=(0, 2)).max())


def _draw(panel: plt.Axes, structure: Structure, axis: int, title: str) -> None:
    """Ball and stick, in parallel projection."""
    view = _view(structure, axis)
    span = int(np.ceil(2 * WIDTH / min(structure.lattice.abc))) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-span, span + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    frac = (structure.frac_coords - structure.frac_coords.mean(0) + cells).reshape(-1, 3)
    symbols = np.tile([site.specie.symbol for site in structure], len(cells))
    points = frac @ structure.lattice.matrix @ view.T
    half = np.array([WIDTH / 2, WIDTH / 2.4, DEPTH / 2])
    shown = (np.abs(points) < half).all(1)
    points, symbols = points[shown], symbols[shown]
    depth = (points[:, 2] + DEPTH / 2) / DEPTH  # 0 at the back, 1 in front
    middles, corners = np.flatnonzero(np.isin(symbols, ("Si", "Al"))), np.flatnonzero(symbols == "O")
    apart = np.linalg.norm(points[middles][:, None] - points[corners], axis=-1)
    bonds = [(middles[i], corners[j]) for i, j in zip(*np.nonzero(apart < TOUCHING), strict=True)]
    bonds.sort(key=lambda pair: depth[list(pair)].mean())
    shades = [str(0.85 - 0.6 * depth[list(pair)].mean()) for pair in bonds]
    panel.add_collection(LineCollection([points[list(pair), :2] for pair in bonds], colors=shades, linewidths=1.1))
    lone = ~np.isin(np.arange(len(points)), bonds) & (symbols != "Na")  # cut off at the edge of what is shown
    order = np.array([k for k in np.argsort(depth) if not lone[k]])
    panel.scatter(
        *points[order, :2].T,
        s=[SIZES[symbol] * (0.35 + 0.65 * depth[k]) for k, symbol in zip(order, symbols[order], strict=True)],
        c=[COLOURS[symbol] for symbol in symbols[order]],
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
    )
    panel.set_aspect("equal")
    panel.set_axis_off()
    panel.set_title(title, fontsize=8)


if __name__ == "__main__":
    main()
