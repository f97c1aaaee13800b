"""Chemical and geometric fingerprints of building blocks: how a network knows a block, one it never met included.

A fingerprint is a row of plain numbers that no rotation, reflection or renumbering of the block changes. Directions
of connection points enter by their power spectrum

    p_l = 1/n^2 sum_ij P_l(u_i . u_j),   l = 1 ... 8,

the rotation-invariant norm of their spherical-harmonic expansion (Bartok et al. 2013, "On representing chemical
environments", eq. 27 with the addition theorem put in): an octahedron, a prism and a hexagon differ in it.
"""

import functools
import gzip
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from pymatgen.core import Element
from scipy.special import eval_legendre

from gen.sorbents.beads import EDGE

ORDERS = range(1, 9)  # l of the power spectrum
NONMETALS = ("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I")
RINGS = (3, 4, 5, 6)  # sizes counted one by one; larger ones together
CLIP = 4.0  # standard deviations; a rare metal would stand 30 of them out


@dataclass(frozen=True)
class Fingerprints:
    """Standardised fingerprints of every block of the library, `DIRECT` first."""

    names: tuple[str, ...]  # blocks, in token order
    connections: tuple[int, ...]  # of each block; `EDGE` for linkers and `DIRECT`
    features: tuple[str, ...]  # what each column is
    table: np.ndarray  # [blocks, features] float32, zero mean and unit spread over the library, clipped
    sizes: np.ndarray  # [blocks] float32, Å: mean distance of connection points from their middle
    pormake: str  # version of the library

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        """Row of each block."""
        return {name: row for row, name in enumerate(self.names)}


@functools.cache
def load_fingerprints() -> Fingerprints:
    """The shipped fingerprints (`build_fingerprints.py`), read once per process."""
    packed = resources.files("gen.sorbents").joinpath("fingerprints.json.gz").read_bytes()
    stored = json.loads(gzip.decompress(packed))
    table = np.array(stored["table"], dtype=float)
    centre, spread = table.mean(0), table.std(0)
    standard = (table - centre) / np.where(spread > 1e-8, spread, 1.0)
    return Fingerprints(
        names=tuple(stored["names"]),
        connections=tuple(stored["connections"]),
        features=tuple(stored["features"]),
        table=standard.clip(-CLIP, CLIP).astype(np.float32),
        sizes=table[:, stored["features"].index("radius")].astype(np.float32),
        pormake=stored["pormake"],
    )


def block_features(block: Any, charge: int, metals: tuple[str, ...]) -> dict[str, float]:
    """Raw features of a PORMAKE building block.

    Args:
        block: as `load_block` gives it: connection points are atoms of number 0.
        charge: formal, e, of the nonmetal atoms.
        metals: every metal of the library; each has a column.

    Returns:
        name -> value; lengths in Å.
    """
    real = block.atoms.numbers > 0
    numbers, positions = block.atoms.numbers[real], block.atoms.positions[real]
    points = block.atoms.positions[block.connection_point_indices]
    anchors = _anchors(block)
    return {
        **_connection_features(points, block.atoms.positions[anchors], block.atoms.numbers[anchors]),
        **_composition(numbers, charge, len(points), metals),
        **_bulk(numbers, positions, points),
        **_ring_features(block, real),
        "direct": 0.0,
    }


def direct_features(metals: tuple[str, ...]) -> dict[str, float]:
    """Raw features of `DIRECT`: two joints that are one, and no atoms."""
    opposite = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    connection = _connection_features(1e-9 * opposite, np.zeros((2, 3)), np.array([], int))
    bulk = _bulk(np.array([], int), np.zeros((0, 3)), np.zeros((2, 3)))
    rings = {f"rings {size}": 0.0 for size in (*RINGS, "large")}
    return {**connection, **_composition(np.array([], int), 0, EDGE, metals), **bulk, **rings, "direct": 1.0}


def power_spectrum(directions: np.ndarray) -> np.ndarray:
    """[8] p_l of unit directions [n, 3], each in [0, 1]."""
    cosines = (directions @ directions.T).clip(-1, 1)
    return np.array([float(eval_legendre(order, cosines).mean()) for order in ORDERS])


def _anchors(block: Any) -> np.ndarray:
    """The atom each connection point is bonded to (the first, where a block is ambiguous)."""
    points = [int(point) for point in block.connection_point_indices]
    partner: dict[int, int] = {}
    for i, j in np.asarray(block.bonds).tolist():
        for point, other in ((i, j), (j, i)):
            if point in points:
                partner.setdefault(int(point), int(other))
    return np.array([partner[point] for point in points])


def _connection_features(points: np.ndarray, anchors: np.ndarray, elements: np.ndarray) -> dict[str, float]:
    """Where connection points lie about their mean, and where their bonds point."""
    arms = points - points.mean(0)
    radii = np.linalg.norm(arms, axis=1)
    bonds = points - anchors
    bonds = bonds / np.linalg.norm(bonds, axis=1, keepdims=True).clip(1e-9)
    outward = arms / radii[:, None].clip(1e-9)
    tilt = (bonds * outward).sum(1)  # 1 where a bond points straight away from the middle
    spans = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(len(points), 1)]
    singular = np.linalg.svd(arms, compute_uv=False) / np.sqrt(len(points))
    return {
        "connections": float(len(points)),
        "radius": float(radii.mean()),
        "log radius": float(np.log(0.5 + radii.mean())),
        "radius spread": float(radii.std()),
        "radius least": float(radii.min()),
        "radius most": float(radii.max()),
        "span least": float(spans.min()),
        "span most": float(spans.max()),
        "arms long": float(singular[0]),
        "arms middle": float(singular[1]),
        "arms short": float(singular[2]) if len(singular) > 2 else 0.0,
        "tilt": float(tilt.mean()),
        "tilt spread": float(tilt.std()),
        "anchor C": float(np.mean(elements == 6)) if len(elements) else 0.0,
        "anchor N": float(np.mean(elements == 7)) if len(elements) else 0.0,
        **{f"arm power {order}": value for order, value in zip(ORDERS, power_spectrum(outward).tolist(), strict=True)},
        **{f"bond power {order}": value for order, value in zip(ORDERS, power_spectrum(bonds).tolist(), strict=True)},
    }


def _composition(numbers: np.ndarray, charge: int, connections: int, metals: tuple[str, ...]) -> dict[str, float]:
    """What a block is made of; counts by their square root, so that large blocks do not drown the small."""
    count = max(1, len(numbers))
    metal_numbers = [atomic_numbers[symbol] for symbol in metals]
    held = [int(z) for z in numbers if z in metal_numbers]
    described = [Element.from_Z(z) for z in held]

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    return {
        "atoms": float(np.log1p(len(numbers))),
        "mass": float(np.log1p(atomic_masses[numbers].sum())),
        "charge": float(charge),
        "charge per connection": charge / connections,
        "metal atoms": float(np.sqrt(len(held))),
        "metal kinds": float(len(set(held))),
        "metal group": mean([float(element.group) for element in described]),
        "metal row": mean([float(element.row) for element in described]),
        "metal electronegativity": mean([float(element.X) for element in described]),
        "metal radius": mean([float(covalent_radii[z]) for z in held]),
        "metal oxidation": mean([float(max(element.common_oxidation_states or (0,))) for element in described]),
        "metal lanthanide": mean([float(element.is_lanthanoid) for element in described]),
        **{f"metal {symbol}": float(np.sqrt(held.count(atomic_numbers[symbol]))) for symbol in metals},
        **{f"share {symbol}": float(np.sum(numbers == atomic_numbers[symbol])) / count for symbol in NONMETALS},
        **{f"atoms {symbol}": float(np.sqrt(np.sum(numbers == atomic_numbers[symbol]))) for symbol in NONMETALS},
        "heteroatoms": float(np.sum(~np.isin(numbers, (1, 6)) & ~np.isin(numbers, metal_numbers))) / count,
    }


def _bulk(numbers: np.ndarray, positions: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """How much room the atoms take about the middle of the connection points, and about a linker's axis."""
    names = ("gyration", "reach", "long", "middle", "short", "width", "width mean", "offset")
    if len(positions) == 0:
        return dict.fromkeys(names, 0.0)
    arms = positions - points.mean(0)
    singular = np.zeros(3)
    found = np.linalg.svd(positions - positions.mean(0), compute_uv=False) / np.sqrt(len(positions))
    singular[: len(found)] = found
    axis = points[1] - points[0]  # of a linker; nodes have no axis, their width is taken about the middle
    across = arms
    if len(points) == EDGE and np.linalg.norm(axis) > 1e-6:
        axis = axis / np.linalg.norm(axis)
        across = arms - (arms @ axis)[:, None] * axis
    widths = np.linalg.norm(across, axis=1)
    values = (
        float(np.sqrt((arms**2).sum(1).mean())),
        float(np.linalg.norm(arms, axis=1).max()),
        *singular.tolist(),  # the last is zero for a flat block
        float(widths.max()),
        float(widths.mean()),
        float(np.linalg.norm(across.mean(0))),
    )
    return dict(zip(names, values, strict=True))


def _ring_features(block: Any, real: np.ndarray) -> dict[str, float]:
    """Rings of each size, by the square root of their number."""
    import networkx  # slow to import, and needed only where fingerprints are made

    graph = networkx.Graph()
    graph.add_nodes_from(np.flatnonzero(real).tolist())
    graph.add_edges_from((int(i), int(j)) for i, j in block.bonds if real[i] and real[j])
    sizes = [len(cycle) for cycle in networkx.minimum_cycle_basis(graph)]
    counts = {f"rings {size}": float(np.sqrt(sizes.count(size))) for size in RINGS}
    return {**counts, "rings large": float(np.sqrt(sum(size > RINGS[-1] for size in sizes)))}
