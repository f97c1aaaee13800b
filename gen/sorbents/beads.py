"""A framework as beads: rigid building blocks of a library on the nodes and edges of a periodic net."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from potentials.errors import InputError

DIRECT = "direct"  # an edge whose two nodes are bonded to each other: a bead without atoms
EDGE = 2  # connections of an edge bead; a node has three or more
DIGITS = 5  # decimals kept on disk: 1e-4 Å in a cell of 10 Å


@dataclass(frozen=True)
class Beads:
    """The beads of one primitive cell, in any order.

    A node sits at the mean of its block's connection points, an edge half way between its two joints.
    """

    lattice: np.ndarray  # [3, 3] Å, rows are vectors
    frac: np.ndarray  # [n, 3] in [0, 1)
    blocks: tuple[str, ...]  # library names such as "N16" and "E14", or `DIRECT`
    connections: tuple[int, ...]  # bonds to other blocks; `EDGE` for linkers and direct joints

    @property
    def is_edge(self) -> np.ndarray:
        """[n] bool."""
        return np.array(self.connections) == EDGE


@dataclass(frozen=True)
class Links:
    """Which nodes each edge bead joins: the quotient graph of the net."""

    bead: np.ndarray  # [E] index of the edge bead
    nodes: np.ndarray  # [E, 2] indices of node beads
    images: np.ndarray  # [E, 2, 3] cells those nodes lie in, counted from the edge bead's own


def joined_counts(links: Links, count: int) -> np.ndarray:
    """[count, count] int8, symmetric: how often an edge bead ends at a node, whichever the cell."""
    joined = np.zeros((count, count), np.int8)
    for bead, nodes in zip(links.bead, links.nodes, strict=True):
        for node in nodes:
            joined[bead, node] += 1
            joined[node, bead] += 1
    return joined


@dataclass(frozen=True)
class BeadRow:
    """A framework of a training set."""

    key: str  # net and blocks; see `Recipe.key`
    net: str
    split: str  # "train", "validation" or "held"
    beads: Beads
    links: Links
    labels: Mapping[str, float] = field(default_factory=dict)  # property -> value; one not known is left out

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "key": self.key,
            "net": self.net,
            "split": self.split,
            "lattice": self.beads.lattice.round(DIGITS).tolist(),
            "frac": self.beads.frac.round(DIGITS).tolist(),
            "blocks": list(self.beads.blocks),
            "connections": list(self.beads.connections),
            "links": [
                [int(bead), nodes.tolist(), images.tolist()]
                for bead, nodes, images in zip(self.links.bead, self.links.nodes, self.links.images, strict=True)
            ],
            "labels": dict(self.labels),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "BeadRow":
        """Inverse of `to_json`."""
        beads = Beads(
            np.array(value["lattice"], float).reshape(3, 3),
            np.array(value["frac"], float).reshape(-1, 3),
            tuple(value["blocks"]),
            tuple(int(n) for n in value["connections"]),
        )
        links = Links(
            np.array([link[0] for link in value["links"]], int),
            np.array([link[1] for link in value["links"]], int).reshape(-1, 2),
            np.array([link[2] for link in value["links"]], int).reshape(-1, 2, 3),
        )
        labels = {name: float(number) for name, number in value["labels"].items()}
        return cls(value["key"], value["net"], value["split"], beads, links, labels)


def read_bead_rows(path: str | Path) -> Iterator[BeadRow]:
    """Rows of a data set on disk: a JSON object a line, the file gzipped or not.

    Raises:
        InputError: no such file, or a line that is not a row.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no bead data set at {path}: make one with `sorbus dataset mofs`")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        read = 0
        try:
            for line in lines:
                row = BeadRow.from_json(json.loads(line))
                read += 1
                yield row
        except (ValueError, KeyError, TypeError, IndexError, EOFError, gzip.BadGzipFile) as error:
            raise InputError(
                f"{path}, line {read + 1}: not a bead row ({type(error).__name__}: {error}): make the set anew"
            ) from error


def held_out(name: str) -> bool:
    """Whether a net or block is one of the tenth that training never sees."""
    return name != DIRECT and int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 0
