"""Four-connected nets of the RCSR, read from the library PORMAKE ships, as idealised silica frameworks.

Nodes become silicons, the midpoints of edges oxygens. A net file names a space group and one node or edge of every
orbit; all others follow from the operations. (O'Keeffe, Peskov, Ramsden, Yaghi, Acc. Chem. Res. 2008, 41, 1782.)
"""

import functools
import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice
from pymatgen.symmetry.groups import SpaceGroup

from gen.crystals.wyckoff import PRIMITIVE
from gen.zeolites.framework import Framework, check_degrees
from potentials.errors import InputError

SILICON_DISTANCE = 3.06  # Å, between bonded silicons: two bonds of 1.61 Å at 144 degrees
OLD_SYMBOLS = {"Cmca": "Cmce"}  # one pymatgen does not know
TOLERANCE = 2e-3  # of coordinates with four or five decimals, after a change of basis


@dataclass(frozen=True)
class _NetFile:
    group: str
    cell: tuple[float, ...]
    nodes: np.ndarray  # [n, 3]
    connections: tuple[int, ...]
    edges: np.ndarray  # [e, 2, 3]


@functools.cache
def four_connected_nets() -> tuple[str, ...]:
    """Names of the library's three-periodic nets all of whose nodes have four edges, sorted."""
    names = sorted(path.stem for path in _folder().glob("*.cgd"))
    return tuple(name for name in names if set(_read(name).connections) == {4} and len(_read(name).cell) == 6)


def silica_of_net(name: str, max_silicon: int | None = None) -> Framework:
    """The net in its primitive cell as silica: bond lengths right on average, angles as the net has them.

    Raises:
        InputError: no such net, one that is not four-connected, a file whose edges do not add up, or more than
            `max_silicon` nodes in the primitive cell.
    """
    if not (_folder() / f"{Path(name).name}.cgd").is_file():
        raise InputError(f"no net {name!r} in the library: use an RCSR symbol such as sod")
    file = _read(Path(name).name)
    if set(file.connections) != {4} or len(file.cell) != 6:
        raise InputError(
            f"net {name!r} has nodes of {sorted(set(file.connections))} edges: silica needs four each, in 3-D"
        )
    rotations, shifts, basis = _operations(file.group, name)
    inverse = np.linalg.inv(basis)

    def images(point: np.ndarray) -> np.ndarray:
        """[G, 3] in primitive coordinates."""
        return (rotations @ point + shifts) @ inverse

    if not len(file.edges):
        raise InputError(f"net {name!r} has no edge in its file: choose another net")
    points = np.concatenate([images(point) for point in file.nodes])
    # rounding may part images of one node, never merge two: no fewer than there are
    if max_silicon is not None and len(np.unique((points % 1).round(2) % 1, axis=0)) > 8 * max_silicon:
        raise InputError(f"net {name!r} has more than {max_silicon} nodes in its primitive cell: raise the limit")
    nodes = _distinct(points)
    if max_silicon is not None and len(nodes) > max_silicon:
        raise InputError(f"net {name!r} has {len(nodes)} nodes in its primitive cell, above {max_silicon}")
    ends = [np.stack([images(a), images(b)], axis=1) for a, b in file.edges]  # [G, 2, 3] each
    pairs, cells = _edges(nodes, np.concatenate(ends), name)
    check_degrees(pairs, len(nodes))
    lattice = basis @ Lattice.from_parameters(*file.cell).matrix
    vectors = (nodes[pairs[:, 1]] + cells - nodes[pairs[:, 0]]) @ lattice
    scale = SILICON_DISTANCE / np.linalg.norm(vectors, axis=1).mean()
    middle = (nodes[pairs[:, 0]] + nodes[pairs[:, 1]] + cells) / 2
    home = np.floor(middle).astype(int)
    both = np.stack([np.zeros_like(cells), cells], axis=1) - home[:, None]
    return Framework(scale * lattice, np.concatenate([nodes, middle - home]), pairs, both)


@functools.cache
def _operations(group: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations [G, 3, 3], translations [G, 3] and the primitive basis [3, 3] of a space group symbol."""
    symbol = OLD_SYMBOLS.get(group, group)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen notes that it knows some symbols in their short form alone
            operations = SpaceGroup(symbol).symmetry_ops
    except ValueError:
        raise InputError(f"net {name!r} has the unknown space group {symbol!r}: choose another net") from None
    rotations = np.array([operation.rotation_matrix for operation in operations])
    shifts = np.array([operation.translation_vector for operation in operations])
    return rotations, shifts, np.array(PRIMITIVE[symbol[0]], dtype=float)


def _edges(nodes: np.ndarray, ends: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Each edge once: node pairs [E, 2] and the cell of the second counted from the first's [E, 3]."""
    found = set()
    apart = ends[:, :, None] - nodes  # [P, 2, n, 3]
    off = np.abs(apart - np.rint(apart)).max(-1)
    if (off.min(-1) > TOLERANCE).any():
        raise InputError(f"net {name!r} has an edge that ends at no node: its file is damaged, choose another net")
    which = off.argmin(-1)  # [P, 2]
    cells = np.rint(ends - nodes[which]).astype(int)
    for (i, j), shift in zip(which.tolist(), (cells[:, 1] - cells[:, 0]).tolist(), strict=True):
        forward, backward = (i, j, *shift), (j, i, *(-s for s in shift))
        found.add(min(forward, backward))
    table = np.array(sorted(found))
    return table[:, :2], table[:, 2:]


def _distinct(points: np.ndarray) -> np.ndarray:
    """One of the points that lattice translations relate, in [0, 1)."""
    kept: list[np.ndarray] = []
    for point in points - np.floor(points):
        apart = point - np.array(kept) if kept else np.ones((1, 3)) / 2
        if (np.abs(apart - np.rint(apart)).max(1) > TOLERANCE).all():
            kept.append(point)
    return np.array(kept)


@functools.cache
def _folder() -> Path:
    """Net files of the installed library, which need not be imported to be read (it would load jax)."""
    package = importlib.util.find_spec("pormake")
    if package is None or package.origin is None:
        raise InputError("the net library PORMAKE is not installed: pip install pormake")
    return Path(package.origin).parent / "database" / "topologies"


@functools.cache
def _read(name: str) -> _NetFile:
    lines = [line.split() for line in (_folder() / f"{name}.cgd").read_text().splitlines()]
    words = {line[0]: line[1:] for line in lines if line}
    nodes = [line[1:] for line in lines if line and line[0] == "NODE"]
    edges = [line[1:7] for line in lines if line and line[0] == "EDGE" and len(line) >= 7]
    return _NetFile(
        group=words["GROUP"][0],
        cell=tuple(float(word) for word in words.get("CELL", ())[:6]),
        nodes=np.array([node[2:5] for node in nodes if len(node) >= 5], dtype=float).reshape(-1, 3),
        connections=tuple(int(node[1]) for node in nodes),
        edges=np.array(edges, dtype=float).reshape(-1, 2, 3),
    )
