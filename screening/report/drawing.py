"""Structures as the report draws them: atoms, half-bonds and the cell, and a still picture of each.

Every bond is drawn as two halves, one from each atom in that atom's colour; a bond that leaves the cell is then two
stubs that point at each other's images. Atoms on a face, edge or corner of the cell are shown on all of its copies.
"""

import colorsys
from collections import Counter
from html import escape
from itertools import product
from typing import Any

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.bonds import bond_graph

MOST_ATOMS = 1500  # of a structure that is drawn; more would make a page of tens of megabytes
_ON_FACE = 1e-3  # fractional distance within which an atom lies on a face of the cell
_FLATTEST = 1.0  # Å; below this cell height a neighbour list can take for ever

# Chosen for this report: carbon grey, oxygen red and nitrogen blue as chemists expect, metals muted.
COLOURS = {
    "H": "#d9d6cb", "B": "#e0a48c", "C": "#5b6166", "N": "#3a5fcd", "O": "#d23b2f", "F": "#7cc46a",
    "Na": "#9a7fd1", "Mg": "#6fae4e", "Al": "#b3a7a7", "Si": "#d8b078", "P": "#e08a2e", "S": "#e2c22f",
    "Cl": "#43b35a", "K": "#8a5fc4", "Ca": "#58a55c", "Ti": "#9da3ab", "V": "#8f98a8", "Cr": "#7c90b8",
    "Mn": "#9a7cb8", "Fe": "#c9703a", "Co": "#d4809a", "Ni": "#4fb06f", "Cu": "#c2783f", "Zn": "#7f86b4",
    "Br": "#9c4a34", "Sr": "#4fae7f", "Y": "#70b5b0", "Zr": "#6fb0b8", "Mo": "#5f9fa8", "Cd": "#c9b070",
    "In": "#a87f78", "I": "#7d3f8c", "Ba": "#3f9f5a", "La": "#6aa8d8", "Pb": "#5c6068",
}  # fmt: skip


def colour(symbol: str) -> str:
    """Hex colour of an element; those without a colour of their own get one from their atomic number."""
    if symbol in COLOURS:
        return COLOURS[symbol]
    hue = (Element(symbol).Z * 0.381966) % 1.0  # golden angle: neighbours in the table differ
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, 0.55, 0.35))


def drawn_radius(symbol: str) -> float:
    """Radius of the drawn ball in Å: a fraction of the covalent radius (Cordero et al. 2008), so that bonds show."""
    return 0.14 + 0.32 * float(covalent_radii[Element(symbol).Z])


def scene(structure: Structure) -> dict[str, Any] | None:
    """What the viewer needs, as JSON: elements, atoms, half-bonds, cell; None when it cannot be drawn.

    Returns:
        `elements` [[symbol, colour, radius Å, count], ...]; `atoms` [[element index, x, y, z], ...] in Å, wrapped
        into the cell; `halves` [[atom index, dx, dy, dz], ...], from the atom to the middle of the bond;
        `cell` [3][3], rows are vectors.
    """
    if not _drawable(structure):
        return None
    wrapped = _wrapped(structure)
    counts = Counter(site.specie.symbol for site in wrapped)
    elements = sorted(counts, key=lambda symbol: (-Element(symbol).Z, symbol))
    place = {symbol: i for i, symbol in enumerate(elements)}
    cell, halves = wrapped.lattice.matrix, _half_bonds(wrapped)
    atoms: list[list[float]] = []
    drawn_halves: list[list[float]] = []
    for site, own_halves in zip(wrapped, halves, strict=True):
        for shift in product(*((0, 1) if x < _ON_FACE else (0,) for x in site.frac_coords)):
            drawn_halves += [[len(atoms), *_rounded(half)] for half in own_halves]
            atoms.append([place[site.specie.symbol], *_rounded(site.coords + np.array(shift) @ cell)])
    return {
        "elements": [[s, colour(s), round(drawn_radius(s), 3), counts[s]] for s in elements],
        "atoms": atoms,
        "halves": drawn_halves,
        "cell": [_rounded(vector) for vector in cell],
    }


def picture(drawn: dict[str, Any] | None, title: str, size: int = 220) -> str:
    """A still SVG picture of a scene: parallel projection, far atoms first; empty when there is no scene."""
    if drawn is None:
        return ""
    turn = _view(np.array(drawn["cell"]))
    atoms = np.array([atom[1:] for atom in drawn["atoms"]]) @ turn.T  # [N, 3]; third is towards the eye
    cell = np.array(drawn["cell"]) @ turn.T
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ cell
    outline = np.vstack([corners, atoms])
    low, high = outline[:, :2].min(axis=0) - 0.8, outline[:, :2].max(axis=0) + 0.8
    scale = size / float((high - low).max())
    middle = (low + high) / 2

    def place(point: NDArray[np.float64]) -> tuple[str, str]:
        x, y = (point[:2] - middle) * scale
        return f"{size / 2 + x:.1f}", f"{size / 2 - y:.1f}"

    shapes: list[tuple[float, str]] = []
    for i, half in ((h[0], np.array(h[1:]) @ turn.T) for h in drawn["halves"]):
        (x1, y1), (x2, y2) = place(atoms[i]), place(atoms[i] + half)
        line = f"M{x1} {y1}L{x2} {y2}"
        fill = drawn["elements"][drawn["atoms"][i][0]][1]
        shapes.append((atoms[i, 2] + half[2] / 2, f'<path d="{line}" stroke="{fill}"/>'))
    for i, atom in enumerate(drawn["atoms"]):
        _, fill, radius, _ = drawn["elements"][atom[0]]
        x, y = place(atoms[i])
        look = f'r="{max(radius * scale, 1.2):.1f}" fill="{fill}"'
        shapes.append((atoms[i, 2] + radius / 2, f'<circle cx="{x}" cy="{y}" {look}/>'))
    edges = [(i, j) for i in range(8) for j in range(i) if bin(i ^ j).count("1") == 1]
    box = "".join("M{} {}L{} {}".format(*place(corners[i]), *place(corners[j])) for i, j in edges)
    body = "".join(text for _, text in sorted(shapes, key=lambda shape: shape[0]))
    stroke = f'stroke-width="{max(0.24 * scale, 0.8):.1f}" stroke-linecap="round"'
    return (
        f'<svg class="picture" viewBox="0 0 {size} {size}" role="img" aria-label="{escape(title)}">'
        f'<path class="cell" d="{box}"/><g {stroke}>{body}</g></svg>'
    )


def _drawable(structure: Structure) -> bool:
    matrix = structure.lattice.matrix
    if not (0 < len(structure) <= MOST_ATOMS and np.isfinite(matrix).all()):
        return False
    if not np.isfinite(structure.frac_coords).all():
        return False
    areas = np.linalg.norm(np.cross(np.roll(matrix, -1, axis=0), np.roll(matrix, -2, axis=0)), axis=1)
    return bool((abs(structure.volume) > _FLATTEST * areas).all())  # perpendicular height = volume / face area


def _wrapped(structure: Structure) -> Structure:
    fractional = structure.frac_coords % 1.0
    fractional[fractional > 1 - _ON_FACE] -= 1.0
    return Structure(structure.lattice, [_symbol(site) for site in structure], fractional)


def _symbol(site: Any) -> str:
    """The element of a site, the most abundant where several share it."""
    species = max(site.species.items(), key=lambda item: (item[1], str(item[0])))[0]
    return str(getattr(species, "symbol", species))


def _half_bonds(structure: Structure) -> list[list[NDArray[np.float64]]]:
    """For each atom, the vectors from it to the middle of each of its bonds, Å."""
    graph = bond_graph(structure)
    metal = np.array([Element.from_Z(int(z)).is_metal for z in graph.numbers])
    halves: list[list[NDArray[np.float64]]] = [[] for _ in range(len(structure))]
    for (i, j), image in zip(graph.pairs.tolist(), graph.images, strict=True):
        if metal[i] and metal[j] and not metal.all():
            continue  # cations close to each other across an anion are not bonded
        half = (structure.cart_coords[j] + image @ structure.lattice.matrix - structure.cart_coords[i]) / 2
        halves[i].append(half)
        halves[j].append(-half)
    return halves


def _view(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation [3, 3] that looks almost along the shortest cell vector, where channels tend to run."""
    lengths = np.linalg.norm(cell, axis=1)
    along = int(np.argmin(lengths))
    forward = cell[along] / lengths[along]
    side = cell[(along + 1) % 3]
    right = side - (side @ forward) * forward
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    yaw, pitch = np.radians([14.0, 9.0])  # a little off the axis: depth can be seen
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return about_x @ about_y @ upright


def _rounded(vector: NDArray[np.float64]) -> list[float]:
    return [round(float(x), 3) + 0.0 for x in vector]
