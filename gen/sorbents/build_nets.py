"""Make `nets.json.gz`: the quotient graph of every net of the catalog, and the digest that names it.

    python -m gen.sorbents.build_nets

Some minutes on one core; to be run again after `build_catalog.py`. Quotient graphs the table has
already are kept and their digests worked out again: delete it to make it anew.
"""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice
from pymatgen.symmetry.groups import SpaceGroup
from tqdm import tqdm

from gen.crystals.wyckoff import PRIMITIVE
from gen.sorbents.catalog import Net, load_catalog
from gen.sorbents.library import pormake
from gen.sorbents.net_identity import Quotient, net_colours, net_hash
from potentials.errors import InputError
from potentials.files import write_atomic

TABLE_PATH = Path(__file__).with_name("nets.json.gz")
OLD_SYMBOLS = {"Cmca": "Cmce"}  # one pymatgen does not know
TOLERANCE = 2e-3  # of coordinates with four or five decimals, after a change of basis


def net_quotient(name: str) -> tuple[Quotient, np.ndarray]:
    """The quotient graph of a net of the library, and the class of each of its nodes (in the order of the file).

    Worked out from the file's space group, nodes and edges; PORMAKE's own reading of a net finds neighbours by
    distance and takes a second.
    """
    path = Path(pormake().__file__).parent / "database" / "topologies" / f"{name}.cgd"
    words = [line.split() for line in path.read_text().splitlines()]
    group = next(line[1] for line in words if line and line[0] == "GROUP")
    symbol = OLD_SYMBOLS.get(group, group)
    operations = SpaceGroup(symbol).symmetry_ops
    rotations = np.array([operation.rotation_matrix for operation in operations])
    translations = np.array([operation.translation_vector for operation in operations])
    primitive = np.array(PRIMITIVE[symbol[0]], float)
    inverse = np.linalg.inv(primitive)

    def images(point: list[str]) -> np.ndarray:
        return np.asarray((rotations @ np.array(point, float) + translations) @ inverse)

    nodes, classes = np.zeros((0, 3)), []
    for kind, line in enumerate(line for line in words if line and line[0] == "NODE"):
        for point in images(line[3:6]):
            if not _same(nodes, point).any():
                nodes = np.concatenate([nodes, point[None]])
                classes.append(kind)
    spans = [(images(line[1:4]), images(line[4:7])) for line in words if line and line[0] == "EDGE"]
    if not spans:  # four files give the middles of edges alone
        cell = next(Lattice.from_parameters(*map(float, line[1:7])) for line in words if line and line[0] == "CELL")
        lattice = primitive @ cell.matrix
        spans = [_ends(nodes, images(line[1:4]), lattice) for line in words if line and line[0] == "EDGE_CENTER"]
    edges = set()
    for starts, stops in spans:
        for start, end in zip(starts, stops, strict=True):
            (a,), (b,) = np.flatnonzero(_same(nodes, start)), np.flatnonzero(_same(nodes, end))
            shift = np.rint(end - nodes[b] - start + nodes[a]).astype(int).tolist()
            edges.add(min((int(a), int(b), *shift), (int(b), int(a), *(-n for n in shift))))
    table = np.array(sorted(edges))
    return Quotient(len(nodes), table[:, :2], table[:, 2:]), np.array(classes)


def _same(nodes: np.ndarray, point: np.ndarray) -> np.ndarray:
    """[n] whether each node is the point or an image of it."""
    apart = nodes - point
    return np.asarray(np.abs(apart - np.rint(apart)).max(axis=1, initial=0.0) < TOLERANCE)


def _ends(nodes: np.ndarray, middles: np.ndarray, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two node images nearest to each middle of an edge, [m, 3] each."""
    cells = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    found = []
    for middle in middles:
        around = (nodes - np.rint(nodes - middle) + cells[:, None]).reshape(-1, 3)
        found.append(around[np.argsort(np.linalg.norm((around - middle) @ lattice, axis=1), kind="stable")[:2]])
    return np.array(found)[:, 0], np.array(found)[:, 1]


def check(net: Quotient, classes: np.ndarray, known: Net) -> None:
    """The net has the nodes and edges the catalog counts.

    Raises:
        InputError: it has not.
    """
    counts = [int((classes == k).sum()) for k in range(len(known.nodes))]
    if counts != [slot.count for slot in known.nodes] or len(net.ends) != sum(edge.count for edge in known.edges):
        raise InputError(f"net {known.name} has {counts} nodes and {len(net.ends)} edges here, not as in the catalog")


def main() -> None:
    """Write `nets.json.gz` next to this module."""
    nets = load_catalog().nets
    known = json.loads(gzip.decompress(TABLE_PATH.read_bytes())) if TABLE_PATH.is_file() else {}
    table: dict[str, dict[str, Any]] = {}
    for name in tqdm(nets, desc="nets"):
        if name in known:
            classes, edges = np.array(known[name]["classes"]), np.array(known[name]["edges"])
            net = Quotient(len(classes), edges[:, :2], edges[:, 2:])
        else:
            net, classes = net_quotient(name)
            edges = np.concatenate([net.ends, net.shifts], axis=1)
        check(net, classes, nets[name])
        table[name] = {"hash": net_hash(net_colours(net)), "classes": classes.tolist(), "edges": edges.tolist()}
    _write(table)
    same = Counter(entry["hash"] for entry in table.values())
    shared = [name for name, entry in table.items() if same[entry["hash"]] > 1]
    print(f"nets that share their graph with another (coloured differently, as bcu-b with bcu): {' '.join(shared)}")
    print(f"{len(table)} of {len(nets)} nets -> {TABLE_PATH} ({TABLE_PATH.stat().st_size} bytes)")


def _write(table: dict[str, dict[str, Any]]) -> None:
    ordered = dict(sorted(table.items()))
    write_atomic(TABLE_PATH, gzip.compress(json.dumps(ordered, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    main()
