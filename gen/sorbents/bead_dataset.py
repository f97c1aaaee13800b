"""Training frameworks as tensors: beads in a reduced cell, grouped by their number, with their labels."""

import collections
import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from gen.sorbents.bead_config import LENGTH, BeadDataConfig
from gen.sorbents.beads import BeadRow, joined_counts, read_bead_rows
from potentials.errors import InputError

GAIN = 0.98  # vectors of a net's mean cell are exchanged for others that are shorter by 2 %
Roles = tuple[int, ...]  # connections of the beads of a cell, sorted
Graph = tuple[tuple[int, int], ...]  # which of them are linked
SKEWED = 0.8  # those of a single framework only for much shorter ones
FEWEST_LABELS = 10  # training rows that must carry a property for it to be learnt


@dataclasses.dataclass(frozen=True)
class BeadGroup:
    """Frameworks of equal bead count N, beads in the order of their connections."""

    tokens: Tensor  # [M, N] int64 indices of blocks
    frac: Tensor  # [M, N, 3]
    lattice: Tensor  # [M, 3, 3], divided by `LENGTH`
    values: Tensor  # [M, P] labels, NaN where a framework has none
    joined: Tensor  # [M, N, N] int8 how often two beads are linked

    def __len__(self) -> int:
        return len(self.tokens)


@dataclasses.dataclass(frozen=True)
class BeadDataset:
    """Frameworks by bead count; `held` holds nets or blocks that training never sees."""

    train: dict[int, BeadGroup]
    validation: dict[int, BeadGroup]
    held: dict[int, BeadGroup]
    labels: tuple[str, ...]  # columns of `values`
    sha256: str
    counts: dict[str, int]  # rows of each split, and those left out by reason


def load_bead_dataset(config: BeadDataConfig, vocabulary: Sequence[str]) -> BeadDataset:
    """The data set of a configuration.

    Raises:
        InputError: no such file, or no usable training row in it.
    """
    paths = [config.path] if isinstance(config.path, str) else list(config.path)
    data = group_rows(_once(paths), vocabulary, config.labels, config.max_beads)
    if not data.train:
        raise InputError(
            f"{', '.join(paths)} holds no framework of at most {config.max_beads} beads to train on ({data.counts}): "
            "make a larger set, or raise data.max_beads"
        )
    return data


def _once(paths: Iterable[str]) -> Iterator[BeadRow]:
    """Rows of all files, a framework that an earlier one has left out."""
    seen: set[str] = set()
    for path in paths:
        for row in read_bead_rows(path):
            if row.key not in seen:
                seen.add(row.key)
                yield row


def group_rows(
    rows: Iterable[BeadRow], vocabulary: Sequence[str], labels: Sequence[str], max_beads: int
) -> BeadDataset:
    """Rows as dense tensors by split and bead count; labels that hardly any training row carries are dropped."""
    index = {name: token for token, name in enumerate(vocabulary)}
    members: dict[tuple[str, int], list[BeadRow]] = collections.defaultdict(list)
    counts: Counter[str] = Counter()
    for row in rows:
        if len(row.beads.blocks) > max_beads:
            counts["too many beads"] += 1
        elif not all(name in index for name in row.beads.blocks):
            counts["unknown block"] += 1
        else:
            counts[row.split] += 1
            members[row.split, len(row.beads.blocks)].append(row)
    training = [row for (split, _), group in members.items() if split == "train" for row in group]
    carried = Counter(name for row in training for name in row.labels)
    kept = tuple(name for name in labels if carried[name] >= FEWEST_LABELS)
    bases = net_reductions(row for _, group in sorted(members.items()) for row in group)
    digest = hashlib.sha256()
    splits: dict[str, dict[int, BeadGroup]] = {"train": {}, "validation": {}, "held": {}}
    for (split, count), group in sorted(members.items()):
        if split in splits:
            splits[split][count] = stacked = _stack(group, index, kept, bases)
            for tensor in (stacked.tokens, stacked.frac, stacked.lattice, stacked.values, stacked.joined):
                digest.update(tensor.numpy().tobytes())
    return BeadDataset(
        splits["train"], splits["validation"], splits["held"], kept, digest.hexdigest(), dict(sorted(counts.items()))
    )


def role_sets(groups: Mapping[int, BeadGroup], connections: Sequence[int]) -> dict[Roles, Tensor]:
    """Sorted roles of the beads of a cell -> labels [M, P] of the frameworks that have them."""
    found: dict[Roles, list[Tensor]] = collections.defaultdict(list)
    of_token = torch.tensor(connections)
    for _, group in sorted(groups.items()):
        for roles, values in zip(of_token[group.tokens].tolist(), group.values, strict=True):
            found[tuple(roles)].append(values)
    return {roles: torch.stack(values) for roles, values in found.items()}


def net_graphs(groups: Mapping[int, BeadGroup], connections: Sequence[int]) -> dict[Roles, Counter[Graph]]:
    """Sorted roles of the beads of a cell -> graphs of training frameworks that have them, and how many each."""
    found: dict[Roles, Counter[Graph]] = collections.defaultdict(Counter)
    of_token = torch.tensor(connections)
    for _, group in sorted(groups.items()):
        for roles, joined in zip(of_token[group.tokens].tolist(), group.joined.numpy(), strict=True):
            found[tuple(roles)][graph_of(joined)] += 1
    return found


def graph_of(joined: np.ndarray) -> Graph:
    """Linked pairs (i, j), i < j, of a matrix [N, N] of counts, each as often as it is linked."""
    pairs = np.argwhere(np.triu(joined)).tolist()
    return tuple((i, j) for i, j in pairs for _ in range(int(joined[i, j])))


def joined_matrix(graph: Graph, count: int) -> Tensor:
    """[count, count] int8, what `graph_of` came from."""
    joined = torch.zeros(count, count, dtype=torch.int8)
    for i, j in graph:
        joined[i, j] += 1
        joined[j, i] += 1
    return joined


def reduction(lattice: np.ndarray, gain: float = GAIN) -> np.ndarray:
    """Short vectors of a lattice: [3, 3] integers, rows are the new vectors in the old ones.

    The network sees 27 images of every bead, enough for the nearest in a cell of short vectors.

    Args:
        lattice: [3, 3] rows are vectors.
        gain: a vector is exchanged only for one shorter than this share of it.
    """
    basis = np.eye(3)
    steps = [np.array(step) for step in itertools.product((-1, 0, 1), repeat=2) if any(step)]
    while True:
        options = []
        for axis in range(3):
            others = [k for k in range(3) if k != axis]
            length = np.linalg.norm(basis[axis] @ lattice)
            for step in steps:
                vector = basis[axis] + step @ basis[others]
                options.append((round(float(np.linalg.norm(vector @ lattice) / length), 6), axis, vector))
        least, axis, vector = min(options, key=lambda option: option[:2])
        if least >= gain:
            return basis
        basis[axis] = vector


def net_reductions(rows: Iterable[BeadRow]) -> dict[str, np.ndarray]:
    """The reduction [3, 3] of every net's mean cell.

    All frameworks of a net are described in one cell that way; reduced one by one they would scatter over cells
    that are equally good to within their strain.
    """
    metrics: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for row in rows:
        lattice = row.beads.lattice / abs(np.linalg.det(row.beads.lattice)) ** (1 / 3)
        metrics[row.net].append(lattice @ lattice.T)
    return {net: reduction(np.linalg.cholesky(np.mean(found, axis=0))) for net, found in metrics.items()}


def in_cell(lattice: np.ndarray, frac: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lattice [3, 3] and coordinates [n, 3] of the cell whose vectors are `basis` [3, 3] in those of the old one."""
    coordinates = frac @ np.linalg.inv(basis)
    return basis @ lattice, coordinates - np.floor(coordinates)


def _stack(
    rows: Sequence[BeadRow], index: Mapping[str, int], labels: Sequence[str], bases: Mapping[str, np.ndarray]
) -> BeadGroup:
    cells, orders = [], []
    for row in rows:
        order = np.argsort(row.beads.connections, kind="stable")
        lattice, frac = in_cell(row.beads.lattice, row.beads.frac[order], bases[row.net])
        cells.append(in_cell(lattice, frac, reduction(lattice, SKEWED)))
        orders.append(order)
    joined = [
        joined_counts(row.links, len(order))[np.ix_(order, order)] for row, order in zip(rows, orders, strict=True)
    ]
    return BeadGroup(
        tokens=torch.tensor(
            [[index[row.beads.blocks[k]] for k in order] for row, order in zip(rows, orders, strict=True)]
        ),
        frac=torch.tensor(np.stack([frac for _, frac in cells]), dtype=torch.float32),
        lattice=torch.tensor(np.stack([lattice for lattice, _ in cells]) / LENGTH, dtype=torch.float32),
        values=torch.tensor(
            [[row.labels.get(name, float("nan")) for name in labels] for row in rows], dtype=torch.float64
        ).reshape(len(rows), len(labels)),
        joined=torch.from_numpy(np.stack(joined)),
    )
