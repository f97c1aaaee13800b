"""The name of a net from its quotient graph, and a key that says when two frameworks have the same net and blocks.

A node of a net is described by its coordination sequence to `SHELLS` shells (how many nodes lie 1, 2, ... bonds away),
the bonds within and the shortest paths to each shell, and then, round by round, by what its neighbours are described
by (Weisfeiler and Lehman 1968). On a quotient graph this gives the colours of the infinite net, whatever cell was
chosen. The shares of the colours name the net; the table `nets.json.gz` holds them for every net of the catalog (made
by `build_nets.py`). RCSR tells nets apart by coordination sequences and vertex symbols (O'Keeffe et al., Acc. Chem.
Res. 2008, 41, 1782).
"""

import functools
import gzip
import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from gen.sorbents.beads import Beads, Links
from gen.sorbents.catalog import load_catalog
from gen.sorbents.recipe import COMMON_NETS

SHELLS = 10
PATHS = 6  # shells to which shortest paths are counted; their number grows fast
ROUNDS = 12  # of refinement: fixed, because a colour must not depend on how large the cell was chosen
DIGITS = 16  # hexadecimal, of a colour
ORDERS_MAX = 720  # ways to give node classes of one colour their blocks that are tried


@dataclass(frozen=True)
class Quotient:
    """A net, one translation period of it: nodes 0 ... n - 1 and edges with the cells they cross."""

    count: int
    ends: np.ndarray  # [E, 2]
    shifts: np.ndarray  # [E, 3] cells from the first end to the second


@dataclass(frozen=True)
class NetEntry:
    """A net of the table."""

    name: str
    quotient: Quotient
    classes: tuple[int, ...]  # of each node: position of its class in the catalog


def quotient(beads: Beads, links: Links) -> tuple[Quotient, np.ndarray]:
    """The net of linked beads, and the bead of each of its nodes."""
    nodes = np.flatnonzero(~beads.is_edge)
    row = np.full(len(beads.blocks), -1)
    row[nodes] = np.arange(len(nodes))
    return Quotient(len(nodes), row[links.nodes], links.images[:, 1] - links.images[:, 0]), nodes


def coordination_sequences(net: Quotient, shells: int = SHELLS) -> np.ndarray:
    """[n, shells] nodes at a distance of 1, 2, ... bonds from each node."""
    return np.array([[size for size, *_ in surroundings(net, node, shells)] for node in range(net.count)])


def surroundings(net: Quotient, root: int, shells: int = SHELLS) -> list[tuple[int, ...]]:
    """For every shell about a node of the infinite net: its nodes, the bonds among them, and how many shortest paths
    lead to each of its nodes (sorted pairs of paths and nodes, `PATHS` shells far).

    Bonds and paths tell apart nets of one coordination sequence, as bcu and hex (both 8, 26, 56 ...).
    """
    ends = np.concatenate([net.ends, net.ends[:, ::-1]])
    shifts = np.concatenate([net.shifts, -net.shifts]).astype(np.int64)
    order = np.argsort(ends[:, 0], kind="stable")
    ends, shifts = ends[order], shifts[order]
    degree = np.bincount(ends[:, 0], minlength=net.count)
    first = np.concatenate([[0], np.cumsum(degree)])
    reach = np.abs(shifts).max(axis=0, initial=0) * shells + 1
    size = 2 * reach + 1
    strides = np.array([size[1] * size[2], size[2], 1])
    steps = shifts @ strides
    cells = int(np.prod(size))
    distance = np.full(net.count * cells, -1, np.int16)
    node, cell, paths = np.array([root]), np.array([int(reach @ strides)]), np.array([1])
    distance[node * cells + cell] = 0
    found: list[tuple[int, ...]] = []
    for shell in range(1, shells + 1):
        fan = degree[node]
        edge = np.repeat(first[node] - np.concatenate([[0], np.cumsum(fan)[:-1]]), fan) + np.arange(fan.sum())
        code = ends[edge, 1] * cells + np.repeat(cell, fan) + steps[edge]
        within = int((distance[code] == shell - 1).sum()) // 2  # bonds among the nodes of the shell before
        fresh = distance[code] < 0
        code, where = np.unique(code[fresh], return_inverse=True)
        paths = np.bincount(where, weights=np.repeat(paths, fan)[fresh], minlength=len(code)).astype(np.int64)
        distance[code] = shell
        node, cell = code // cells, code % cells
        tally = np.stack(np.unique(paths, return_counts=True), axis=1).ravel().tolist() if shell <= PATHS else []
        found.append((len(node), within, *tally))
    return found


def colours(net: Quotient, labels: Sequence[str], edge_labels: Sequence[str]) -> list[str]:
    """A digest of every node that says what its neighbourhood looks like, `ROUNDS` bonds far.

    Args:
        net: quotient graph.
        labels: of each node, what is known of it at the start.
        edge_labels: of each edge.
    """
    around: list[list[tuple[str, int]]] = [[] for _ in range(net.count)]
    for (a, b), label in zip(net.ends.tolist(), edge_labels, strict=True):
        around[a].append((label, b))
        around[b].append((label, a))
    current = [_digest(label) for label in labels]
    for _ in range(ROUNDS):
        current = [
            _digest(current[node] + "".join(sorted(f"|{label}>{current[other]}" for label, other in around[node])))
            for node in range(net.count)
        ]
    return current


def net_colours(net: Quotient) -> list[str]:
    """Colours of the nodes of a bare net; see the module's docstring."""
    labels = [str(surroundings(net, node)) for node in range(net.count)]
    return colours(net, labels, [""] * len(net.ends))


def net_hash(net_colour: Sequence[str]) -> str:
    """A digest of a net from the colours of its nodes, the same for every cell chosen."""
    counts = Counter(net_colour)
    common = math.gcd(*counts.values())
    return _digest(",".join(f"{colour}*{counts[colour] // common}" for colour in sorted(counts)))


def identify(beads: Beads, links: Links) -> tuple[str, str]:
    """The name of the net and the key of the framework.

    The name is an RCSR symbol where the table has the net, otherwise `net-` and eight hexadecimal digits. The key
    has the form of `Recipe.key` when the net is known and all nodes of a class have the same block, as all edges
    of a class have; otherwise it is the net's name and a digest of the labelled graph. Nets that differ in the
    classes of their nodes alone (bcu and its binary variant bcu-b) are tried from the fewest classes on.
    """
    net, nodes = quotient(beads, links)
    bare = net_colours(net)
    entries = net_table().get(net_hash(bare), ())
    blocks = [beads.blocks[node] for node in nodes]
    linkers = [beads.blocks[edge] for edge in links.bead]
    labelled = _labelled(net, bare, blocks, linkers)
    for entry in entries:
        if key := _recipe_key(entry, net, bare, blocks, linkers, labelled):
            return entry.name, key
    name = entries[0].name if entries else f"net-{net_hash(bare)[:8]}"
    parts = "+".join(f"{block}*{count}" for block, count in sorted(Counter(blocks + linkers).items()))
    return name, f"{name}:{parts}:{labelled[:12]}"


@functools.cache
def net_table() -> Mapping[str, tuple[NetEntry, ...]]:
    """The shipped table: nets by their digest, the plainest name first."""
    packed = resources.files("gen.sorbents").joinpath("nets.json.gz").read_bytes()
    table: dict[str, list[NetEntry]] = {}
    for name, entry in json.loads(gzip.decompress(packed)).items():
        edges = np.array(entry["edges"], int).reshape(-1, 5)
        net = Quotient(len(entry["classes"]), edges[:, :2], edges[:, 2:])
        table.setdefault(entry["hash"], []).append(NetEntry(name, net, tuple(entry["classes"])))
    return {digest: tuple(sorted(same, key=_plainness)) for digest, same in table.items()}


def _plainness(entry: NetEntry) -> tuple[bool, int, int, str]:
    """Order of nets of one graph: names frameworks are known by, then few node classes, then small cells."""
    return entry.name not in COMMON_NETS, len(set(entry.classes)), len(entry.classes), entry.name


def _labelled(net: Quotient, bare: Sequence[str], blocks: Sequence[str], linkers: Sequence[str]) -> str:
    """A digest of a net with blocks on its nodes and edges, the same for every cell chosen."""
    labels = [f"{colour}:{block}" for colour, block in zip(bare, blocks, strict=True)]
    found = colours(net, labels, linkers)
    return net_hash(found)


def _recipe_key(
    entry: NetEntry,
    net: Quotient,
    bare: Sequence[str],
    blocks: Sequence[str],
    linkers: Sequence[str],
    labelled: str,
) -> str | None:
    """The recipe's key whose labelled net is this one; None when blocks differ within a class.

    Classes of one colour cannot be told apart by the graph; every way to give them the blocks found is compared by
    the labelled net it makes, and the first in the order of keys is taken.
    """
    theirs = _entry_colours(entry)
    classes = sorted(set(entry.classes))
    colour_of = {k: theirs[entry.classes.index(k)] for k in classes}
    options: list[list[str]] = []
    for k in classes:
        found = sorted({block for block, colour in zip(blocks, bare, strict=True) if colour == colour_of[k]})
        options.append(found)
    if math.prod(map(len, options)) > ORDERS_MAX:
        return None
    pairs = [tuple(sorted(entry.classes[node] for node in pair)) for pair in entry.quotient.ends.tolist()]
    tags = [slot.tag for slot in load_catalog().nets[entry.name].nodes]
    slots = [tuple(sorted(map(tags.index, edge.ends))) for edge in load_catalog().nets[entry.name].edges]
    by_ends: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for (a, b), linker in zip(net.ends.tolist(), linkers, strict=True):
        by_ends.setdefault(tuple(sorted([(bare[a], blocks[a]), (bare[b], blocks[b])])), set()).add(linker)
    keys = []
    for nodes in itertools.product(*options):
        choices = []
        for i, j in slots:
            ends = tuple(sorted([(colour_of[i], nodes[i]), (colour_of[j], nodes[j])]))
            choices.append(sorted(by_ends.get(ends, ())))
        if math.prod(map(len, choices)) > ORDERS_MAX:
            return None
        for edges in itertools.product(*choices):
            filled = [nodes[k] for k in entry.classes]
            joined = [edges[slots.index(pair)] for pair in pairs]
            if _labelled(entry.quotient, theirs, filled, joined) == labelled:
                keys.append(":".join([entry.name, "+".join(nodes), "+".join(edges)]))
    return min(keys) if keys else None


@functools.lru_cache(maxsize=256)
def _entry_colours_of(name: str) -> tuple[str, ...]:
    entry = next(entry for same in net_table().values() for entry in same if entry.name == name)
    return tuple(net_colours(entry.quotient))


def _entry_colours(entry: NetEntry) -> tuple[str, ...]:
    return _entry_colours_of(entry.name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
