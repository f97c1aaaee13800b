"""Make `catalog.json.gz`: which building blocks fit which slots of which small nets.

    python -m gen.sorbents.build_catalog [--max-slots 40]

Runs some minutes on one core and has to run again only when PORMAKE's library changes. The result holds
names and derived figures alone: for every net its slot counts, for every node class its local geometry, and
for every geometry the blocks that fit it with their RMSD.
"""

import argparse
import functools
import gzip
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from gen.sorbents.block_charge import block_charge, metal_counts
from gen.sorbents.library import (
    anchor_atoms,
    block_metals,
    block_names,
    count_slots,
    load_block,
    load_net,
    net_names,
    pormake_version,
)
from potentials.errors import InputError
from potentials.files import write_atomic

CATALOG_PATH = Path(__file__).with_name("catalog.json.gz")
RMSD_LIMIT = 0.3  # of unit directions; the limit PORMAKE's authors use for a match
STARTS = Rotation.random(48, random_state=0).as_matrix()  # [48, 3, 3]
REFINEMENTS = 4


def fit_rmsd(targets: np.ndarray, directions: np.ndarray) -> float:
    """Smallest RMSD between unit directions over rotations, mirror images and assignments; inf above the limit.

    For one assignment the best rotation or rotation with inversion gives rmsd^2 = 2 - (2/n) sum of the singular
    values of the correlation matrix (Kabsch 1976; a block and its mirror image are both allowed, so no sign
    enters). Up to six directions every assignment is tried; beyond, assignments come from 48 fixed orientations,
    each refined (Hungarian method, then rotation, in turn).

    Args:
        targets: [n, 3] unit vectors of the slot.
        directions: [n, 3] unit vectors of the block.
    """
    n = len(targets)
    # |p_i.p_j - q_i.q_j| <= |p_i - q_i| + |p_j - q_j|: sorted pair angles bound the RMSD from below
    angles = np.sort((targets @ targets.T).ravel()) - np.sort((directions @ directions.T).ravel())
    if np.sqrt(np.mean(angles**2)) / 2 > RMSD_LIMIT:
        return np.inf
    if n <= 6:
        orders = _permutations(n)
    else:
        orders = np.array(
            [_refined_order(targets, image, start) for image in (directions, -directions) for start in STARTS]
        )
    correlation = np.einsum("pni,nj->pij", directions[orders], targets)
    overlap = np.linalg.svd(correlation, compute_uv=False).sum(axis=1).max()
    return float(np.sqrt(max(2 - 2 * overlap / n, 0.0)))


@functools.cache
def _permutations(n: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(n))))


def _refined_order(targets: np.ndarray, directions: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Assignment of directions to targets that its own best rotation reproduces, or the last of a few."""
    moved = directions @ start
    order = np.full(len(targets), -1)
    for _ in range(REFINEMENTS):
        found = linear_sum_assignment(targets @ moved.T, maximize=True)[1]
        if np.array_equal(order, found):
            break
        order = found
        u, _, vt = np.linalg.svd(directions[order].T @ targets)
        u[:, -1] *= np.sign(np.linalg.det(u @ vt))
        moved = directions @ (u @ vt)
    return order


def geometry_key(directions: np.ndarray) -> str:
    """A name for a set of directions that rotations, mirror images and order leave alone (to 0.01)."""
    gram = np.sort((directions @ directions.T).round(2), axis=1)
    return json.dumps([len(directions), *sorted(map(list, (gram + 0.0).tolist()))])


def describe_blocks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Connection points, atoms (connection points not counted), metals, formal charge and anchors of each sound block.

    A block is left out when a connection point is not bonded to exactly one atom, carbon or nitrogen (what it
    would be joined to is a matter of guessing), and when its own atoms overlap.
    """
    described = {}
    for name in names:
        block = load_block(name)
        anchors = [[block.atoms.symbols[i] for i in atoms] for atoms in anchor_atoms(block)]
        if any(symbols not in (["C"], ["N"]) for symbols in anchors) or _overlaps(block):
            continue
        described[name] = {
            "connections": int(block.n_connection_points),
            "atoms": int(block.n_atoms - block.n_connection_points),
            "metals": list(block_metals(block)),
            "metal_counts": metal_counts(block),
            "charge": block_charge(block, anchor_atoms(block)),
            "anchors": sorted({symbols[0] for symbols in anchors}),
        }
    return described


def _overlaps(block: Any) -> bool:
    """Whether two atoms of a block are closer than 0.75 of their covalent radii, or a hydrogen has two partners."""
    real = block.atoms.numbers > 0
    numbers, positions = block.atoms.numbers[real], block.atoms.positions[real]
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1) + np.diag(np.full(len(numbers), np.inf))
    ratios = distances / (covalent_radii[numbers][:, None] + covalent_radii[numbers])
    metal = np.array([Element.from_Z(int(number)).is_metal for number in numbers])
    partners = ((ratios < 1.2) & ~metal).sum(axis=1)
    return bool(ratios.min() < 0.75 or (partners[numbers == 1] > 1).any())


def describe_nets(max_slots: int, connections: set[int]) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Nets of at most `max_slots` slots in the primitive cell that blocks of the library can fill."""
    nets: dict[str, dict[str, Any]] = {}
    geometries: dict[str, np.ndarray] = {}
    for name in tqdm(net_names(), desc="nets"):
        try:
            if count_slots(name) > max_slots:
                continue
            net = load_net(name)
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if not set(net.unique_cn.tolist()) <= connections:
            continue
        node_tags = net.node_types[net.node_indices]
        nodes = []
        for tag, local in zip(net.unique_node_types.tolist(), net.unique_local_structures, strict=True):
            key = geometry_key(local.positions)
            geometries.setdefault(key, local.positions)
            nodes.append({"tag": tag, "count": int((node_tags == tag).sum()), "geometry": key})
        edge_pairs, counts = np.unique(net.edge_types[net.edge_indices], axis=0, return_counts=True)
        edges = [
            {"ends": pair, "count": count} for pair, count in zip(edge_pairs.tolist(), counts.tolist(), strict=True)
        ]
        nets[name] = {"nodes": nodes, "edges": edges}
    return nets, geometries


def block_shapes(blocks: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Node blocks by the geometry of their connection points."""
    shapes: dict[str, list[str]] = defaultdict(list)
    for name, described in blocks.items():
        if described["connections"] >= 3:
            shapes[geometry_key(load_block(name).local_structure().positions)].append(name)
    return dict(sorted(shapes.items()))


def fits(geometries: dict[str, np.ndarray], shapes: dict[str, list[str]]) -> dict[str, dict[int, float]]:
    """For every geometry, the shapes (by number) that fit it within `RMSD_LIMIT` and their RMSD."""
    directions = [load_block(names[0]).local_structure().positions for names in shapes.values()]
    matches: dict[str, dict[int, float]] = {}
    for key, targets in tqdm(geometries.items(), desc="fit", unit="geometry"):
        found = {
            shape: round(fit_rmsd(targets, vectors), 3)
            for shape, vectors in enumerate(directions)
            if len(vectors) == len(targets)
        }
        matches[key] = {shape: rmsd for shape, rmsd in found.items() if rmsd < RMSD_LIMIT}
    return matches


def main() -> None:
    """Write `catalog.json.gz` next to this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-slots", type=int, default=40, help="nodes + edges of the primitive cell")
    arguments = parser.parse_args()
    blocks = describe_blocks(block_names())
    nets, geometries = describe_nets(arguments.max_slots, {entry["connections"] for entry in blocks.values()})
    shapes = block_shapes(blocks)
    matches = fits(geometries, shapes)
    usable = {name: net for name, net in nets.items() if all(matches[node["geometry"]] for node in net["nodes"])}
    # Geometries are renamed 0, 1, ...: their keys are long, and matrices of angles are of no use to a reader.
    used = sorted({node["geometry"] for net in usable.values() for node in net["nodes"]})
    number = {key: index for index, key in enumerate(used)}
    catalog = {
        "pormake": pormake_version(),
        "rmsd_limit": RMSD_LIMIT,
        "max_slots": arguments.max_slots,
        "blocks": blocks,
        "shapes": list(shapes.values()),
        "fits": [matches[key] for key in used],
        "nets": {
            name: {
                "nodes": [{**node, "geometry": number[node["geometry"]]} for node in net["nodes"]],
                "edges": net["edges"],
            }
            for name, net in usable.items()
        },
    }
    write_atomic(CATALOG_PATH, gzip.compress(json.dumps(catalog, separators=(",", ":")).encode(), mtime=0))
    print(f"{len(usable)} of {len(net_names())} nets, {len(used)} geometries, {len(blocks)} blocks -> {CATALOG_PATH}")


if __name__ == "__main__":
    main()
