"""Which net is this? A table of facts: the signature of every four-connected RCSR net and every IZA framework type.

`python -m gen.zeolites.build_known_nets` makes the table from the net library and the public set of the atlas.
"""

import functools
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen.zeolites.framework import Framework
from gen.zeolites.topology import Signature, net_key, signature
from potentials.errors import InputError

TABLE = Path(__file__).parent / "known_nets.json.gz"


@dataclass(frozen=True)
class KnownNet:
    """A net somebody has named."""

    name: str  # RCSR symbol (lower case) or IZA code (upper case)
    source: str  # "RCSR" or "IZA"
    silicon: int  # nodes in the primitive cell
    signature: Signature


@functools.cache
def known_nets() -> Mapping[str, tuple[KnownNet, ...]]:
    """Named nets by key; a key with several names is one net under several names, or nets the signature cannot tell.

    Raises:
        InputError: the table is missing or damaged.
    """
    try:
        payload = json.loads(gzip.decompress(TABLE.read_bytes()))
        nets = [
            KnownNet(name, source, int(silicon), tuple((tuple(row), int(number)) for row, number in rows))
            for name, source, silicon, rows in payload["nets"]
        ]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {TABLE} ({error}): install the package again") from None
    found: dict[str, list[KnownNet]] = {}
    for net in nets:
        found.setdefault(net_key(net.signature), []).append(net)
    return {key: tuple(members) for key, members in found.items()}


def identify(framework: Framework) -> tuple[str, tuple[str, ...]]:
    """The key of a framework's net, and the names it goes by (none for a net nobody has named)."""
    key = net_key(signature(*framework.edges(), framework.n_silicon))
    return key, tuple(net.name for net in known_nets().get(key, ()))


def coordination_sequences_of(name: str) -> tuple[tuple[int, ...], ...]:
    """The distinct coordination sequences, ten terms each, of an RCSR net or IZA code.

    Raises:
        InputError: no such name.
    """
    for members in known_nets().values():
        for net in members:
            if net.name == name:
                return tuple(row[:10] for row, _ in net.signature)
    raise InputError(f"no net is called {name!r}: RCSR symbols are lower case (sod), IZA codes upper case (SOD)")


def to_payload(nets: list[KnownNet]) -> dict[str, Any]:
    """What the table's file holds."""
    rows = [[net.name, net.source, net.silicon, [[list(row), n] for row, n in net.signature]] for net in nets]
    return {"nets": sorted(rows)}
