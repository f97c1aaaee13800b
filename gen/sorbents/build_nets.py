"""Make `nets.json.gz`: the quotient graph of every net of the catalog, and the digest that names it.

    python -m gen.sorbents.build_nets

Some minutes on one core; to be run again after `build_catalog.py`.
"""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gen.sorbents.catalog import load_catalog
from gen.sorbents.library import load_net
from gen.sorbents.net_identity import Quotient, net_colours, net_hash
from potentials.files import write_atomic

TABLE_PATH = Path(__file__).with_name("nets.json.gz")


def net_quotient(name: str) -> tuple[Quotient, list[int]]:
    """The quotient graph of a net of the library, and the node tag of each of its nodes."""
    net = load_net(name)
    row = {int(slot): k for k, slot in enumerate(net.node_indices)}
    positions, inverse = net.atoms.positions, np.linalg.inv(net.atoms.cell[:])
    ends, shifts = [], []
    for slot in net.edge_indices:
        a, b = net.neighbor_list[slot]
        span = b.distance_vector - a.distance_vector
        ends.append((row[int(a.index)], row[int(b.index)]))
        shifts.append(np.round((span - positions[b.index] + positions[a.index]) @ inverse).astype(int))
    tags = net.atoms.get_tags()
    return Quotient(len(row), np.array(ends), np.array(shifts)), [int(tags[slot]) for slot in net.node_indices]


def main() -> None:
    """Write `nets.json.gz` next to this module."""
    table: dict[str, dict[str, Any]] = {}
    for name, entry in tqdm(load_catalog().nets.items(), desc="nets"):
        net, tags = net_quotient(name)
        digest = net_hash(net_colours(net))
        order = [slot.tag for slot in entry.nodes]
        edges = [[*pair, *shift] for pair, shift in zip(net.ends.tolist(), net.shifts.tolist(), strict=True)]
        table[name] = {"hash": digest, "classes": [order.index(tag) for tag in tags], "edges": edges}
    same = Counter(entry["hash"] for entry in table.values())
    shared = [name for name, entry in table.items() if same[entry["hash"]] > 1]
    print(f"nets that share their graph with another (coloured differently, as bcu-b with bcu): {' '.join(shared)}")
    write_atomic(TABLE_PATH, gzip.compress(json.dumps(table, separators=(",", ":")).encode(), mtime=0))
    print(f"{len(table)} of {len(load_catalog().nets)} nets -> {TABLE_PATH} ({TABLE_PATH.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
