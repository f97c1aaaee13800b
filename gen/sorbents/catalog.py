"""Which blocks fit which nets: the table `build_catalog.py` derives from PORMAKE's library."""

import functools
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Block:
    """A building block as far as choosing goes."""

    name: str  # PORMAKE's, e.g. "N16" (node) or "E14" (edge)
    connections: int  # bonds to other blocks; 2 for an edge
    atoms: int  # connection points not counted
    metals: tuple[str, ...]  # symbols, sorted; () for an organic block
    anchors: tuple[str, ...]  # elements that bond to the neighbouring block: C, N or both
    charge: int  # formal, e, of the nonmetal atoms once every connection point is bonded
    metal_counts: Mapping[str, int]  # atoms of each metal


@dataclass(frozen=True)
class NodeSlot:
    """A symmetry class of nodes of a net."""

    tag: int  # PORMAKE's node type
    count: int  # per primitive cell
    fits: Mapping[str, float]  # block name -> RMSD of unit directions, all below the catalog's limit


@dataclass(frozen=True)
class EdgeSlot:
    """All edges of a net that join the same two node classes."""

    ends: tuple[int, int]  # node tags
    count: int  # per primitive cell


@dataclass(frozen=True)
class Net:
    """A periodic net with every way of filling its nodes."""

    name: str  # RCSR symbol
    nodes: tuple[NodeSlot, ...]
    edges: tuple[EdgeSlot, ...]


@dataclass(frozen=True)
class Catalog:
    """The library as a table; assembly itself needs PORMAKE, choosing does not."""

    pormake: str  # version the table was derived from
    rmsd_limit: float
    blocks: Mapping[str, Block]
    nets: Mapping[str, Net]


@functools.cache
def load_catalog() -> Catalog:
    """The shipped catalog, read once per process."""
    packed = resources.files("gen.sorbents").joinpath("catalog.json.gz").read_bytes()
    table = json.loads(gzip.decompress(packed))
    blocks = {
        name: Block(
            name=name,
            connections=entry["connections"],
            atoms=entry["atoms"],
            metals=tuple(entry["metals"]),
            anchors=tuple(entry["anchors"]),
            charge=entry["charge"],
            metal_counts=entry["metal_counts"],
        )
        for name, entry in table["blocks"].items()
    }
    fits = [
        {name: rmsd for shape, rmsd in fit.items() for name in table["shapes"][int(shape)]} for fit in table["fits"]
    ]
    nets = {
        name: Net(
            name,
            tuple(NodeSlot(node["tag"], node["count"], fits[node["geometry"]]) for node in entry["nodes"]),
            tuple(EdgeSlot((edge["ends"][0], edge["ends"][1]), edge["count"]) for edge in entry["edges"]),
        )
        for name, entry in table["nets"].items()
    }
    return Catalog(table["pormake"], table["rmsd_limit"], blocks, nets)
