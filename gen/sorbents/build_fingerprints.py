"""Make `fingerprints.json.gz`: the raw fingerprint of every block of the catalog.

    python -m gen.sorbents.build_fingerprints

Takes about two minutes on one core and has to run again only when PORMAKE's library or the features change.
"""

import gzip
import json
import sys
from pathlib import Path

from tqdm import tqdm

from gen.sorbents.beads import DIRECT, EDGE
from gen.sorbents.catalog import load_catalog
from gen.sorbents.fingerprint import block_features, direct_features
from gen.sorbents.library import load_block
from potentials.files import write_atomic

FINGERPRINTS_PATH = Path(__file__).with_name("fingerprints.json.gz")
DIGITS = 5


def main() -> int:
    """Fingerprint every block and write the table."""
    catalog = load_catalog()
    metals = tuple(sorted({metal for block in catalog.blocks.values() for metal in block.metals}))
    names, connections = [DIRECT], [EDGE]
    rows = [direct_features(metals)]
    for name in tqdm(sorted(catalog.blocks), desc="fingerprints", unit="block"):
        entry = catalog.blocks[name]
        rows.append(block_features(load_block(name), entry.charge, metals))
        names.append(name)
        connections.append(entry.connections)
    features = list(rows[0])
    table = [[round(row[feature], DIGITS) for feature in features] for row in rows]
    stored = {
        "pormake": catalog.pormake,
        "names": names,
        "connections": connections,
        "features": features,
        "table": table,
    }
    payload = json.dumps(stored, separators=(",", ":")).encode()
    write_atomic(FINGERPRINTS_PATH, gzip.compress(payload, mtime=0))
    print(f"{len(names)} blocks, {len(features)} features in {FINGERPRINTS_PATH.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
