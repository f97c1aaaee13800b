"""What a framework's properties will be, from its beads alone: kernel ridge regression on the training labels.

Assembling a framework and measuring its pores and Henry coefficient costs a second; asking this costs a millisecond. So
of several sets of beads drawn for a request, the one that promises to meet it is assembled (`generation.py`). Features
are the cell and the distances between beads in logarithms, and averages of the blocks' fingerprints over nodes, linkers
and atoms; the kernel is a Gaussian (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25).
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save
from scipy.linalg import solve

from gen.sorbents.bead_config import LENGTH
from gen.sorbents.bead_dataset import BeadGroup
from gen.sorbents.beads import EDGE, Beads
from gen.sorbents.block_rules import Library
from gen.sorbents.catalog import load_catalog
from gen.sorbents.fingerprint import load_fingerprints
from potentials.errors import InputError
from potentials.files import write_atomic

FILE = "surrogate.safetensors"  # beside the weights
NEAREST = 8  # distances to other beads that are looked at
GEOMETRY = 12 + NEAREST  # features that are not averages of fingerprints
EMPHASIS = 8.0  # their weight in the distance of two frameworks, a fingerprint's entry has 1
WIDTH = 2.0  # of the kernel: squared, in units of the median squared distance
RIDGE = 0.02  # noise of a label, squared, in units of its spread
MOST_ROWS = 4000  # of the fit; rows that carry every label come first
LEAST_ROWS = 30  # that carry a label
FAR = 99.0  # Å, instead of the distance of a bead to itself


@dataclass(frozen=True)
class Surrogate:
    """Predicts labels from beads."""

    names: tuple[str, ...]  # labels
    mean: np.ndarray  # [F]
    spread: np.ndarray  # [F] what features are divided by; smaller for those that count for more
    rows: np.ndarray  # [M, F] features of the frameworks fitted to, so divided
    width: float  # of the kernel, squared
    weights: np.ndarray  # [M, P]
    offset: np.ndarray  # [P]
    scale: np.ndarray  # [P] spread of each label
    sha256: str = ""  # of the file

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Labels [n, P] of frameworks with features [n, F]."""
        return _kernel((features - self.mean) / self.spread, self.rows, self.width) @ self.weights + self.offset

    def misfit(self, beads: Sequence[Beads], asked: Mapping[str, float]) -> np.ndarray:
        """[n] how far frameworks promise to be from what is asked, in spreads of the labels, summed over them.

        Beads that are not finite are infinitely far. Labels that are not known to the fit are passed over.
        """
        places = [self.names.index(name) for name in asked if name in self.names]
        target = np.array([asked[self.names[k]] for k in places])
        far = np.full(len(beads), np.inf)
        sound = [k for k, each in enumerate(beads) if np.isfinite(each.lattice).all() and np.isfinite(each.frac).all()]
        if sound:
            found = self(np.stack([bead_features(beads[k].blocks, beads[k].frac, beads[k].lattice) for k in sound]))[
                :, places
            ]
            far[sound] = (np.abs(found - target) / self.scale[places]).sum(axis=1)
        return np.where(np.isnan(far), np.inf, far)


def bead_features(blocks: Sequence[str], frac: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """[F] features of one framework.

    Args:
        blocks: N names of the library.
        frac: [N, 3].
        lattice: [3, 3] Å, rows are vectors; short ones, since only the next cells are looked at.
    """
    table = load_fingerprints()
    rows = [table.rows[name] for name in blocks]
    connections = np.array(table.connections)[rows]
    atoms, sizes, prints = _atoms()[rows], table.sizes[rows], table.table[rows]
    edges = connections == EDGE
    nodes = ~edges
    volume = abs(float(np.linalg.det(lattice)))
    areas = np.linalg.norm(np.cross(lattice[[1, 2, 0]], lattice[[2, 0, 1]]), axis=1)
    heights = np.sort(volume / np.maximum(areas, 1e-9))
    shape = np.log(np.maximum([volume / max(atoms.sum(), 1), volume / len(rows), atoms.sum(), *heights], 1e-6))
    kinds = [
        edges.mean(),
        *(values[part].mean() for part, values in ((nodes, connections), (edges, sizes), (nodes, sizes))),
    ]
    longest = [sizes[edges].max(), sizes[nodes].max()]
    steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = np.linalg.norm(((frac[:, None] - frac)[:, :, None] + steps) @ lattice, axis=-1)
    apart[apart < 1e-6] = FAR
    nearest = np.log(np.sort(apart.reshape(len(rows), -1), axis=1)[:, :NEAREST]).mean(axis=0)
    weight = (atoms + 1e-9)[:, None]
    averages = [prints[nodes].mean(axis=0), (prints * weight).sum(axis=0) / weight.sum(), prints[edges].mean(axis=0)]
    return np.concatenate([shape, kinds, longest, nearest, *averages])


def fit_surrogate(groups: Mapping[int, BeadGroup], names: Sequence[str]) -> Surrogate | None:
    """Fit every label to the frameworks that carry it; None where there are too few for one of them.

    Args:
        groups: training frameworks, their tokens in the order of the fingerprints.
        names: columns of their `values`.
    """
    features, labels = [], []
    blocks = np.array(load_fingerprints().names)
    rows_of = {n: group.values.numpy() for n, group in sorted(groups.items())}
    for n, k in _chosen(rows_of):
        group = groups[n]
        frac, lattice = group.frac[k].double().numpy(), group.lattice[k].double().numpy()
        features.append(bead_features(blocks[group.tokens[k].numpy()].tolist(), frac, LENGTH * lattice))
        labels.append(rows_of[n][k])
    if not names or not labels or np.isfinite(labels).sum(axis=0).min() < LEAST_ROWS:
        return None
    x, y = np.stack(features), np.stack(labels)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    spread[:GEOMETRY] /= EMPHASIS
    rows = (x - mean) / spread
    width = WIDTH * float(np.median(_squared(rows, rows)))
    offset, scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0) + 1e-12
    matrix = _kernel(rows, rows, width) + RIDGE * np.eye(len(rows))
    weights = np.zeros(y.shape)
    carried = np.isfinite(y)
    for column in np.unique(carried, axis=1).T:  # labels that the same frameworks carry are solved for at once
        same = (carried == column[:, None]).all(axis=0)
        right = (y[np.ix_(column, same)] - offset[same]) / scale[same]
        solved = solve(matrix[np.ix_(column, column)], right, assume_a="pos") * scale[same]
        weights[np.ix_(column, same)] = solved
    return Surrogate(tuple(names), mean, spread, rows, width, weights, offset, scale)


def _chosen(values: Mapping[int, np.ndarray]) -> list[tuple[int, int]]:
    """(group, row) of at most `MOST_ROWS` frameworks, those that carry every label first, each part in random order."""
    places = [(n, k) for n, labels in values.items() for k in np.flatnonzero(np.isfinite(labels).any(axis=1))]
    order = np.random.default_rng(0).permutation(len(places))
    whole = [bool(np.isfinite(values[n][k]).all()) for n, k in places]
    first = [place for place in order if whole[place]] + [place for place in order if not whole[place]]
    return [places[place] for place in first[:MOST_ROWS]]


def write_surrogate(folder: str | Path, surrogate: Surrogate) -> None:
    """Write it beside the weights in `folder`."""
    arrays = {
        name: np.atleast_1d(getattr(surrogate, name)).astype(np.float32)
        for name in ("mean", "spread", "width", "weights", "offset", "scale")
    }
    arrays["rows"] = surrogate.rows.astype(np.float16)  # features are no better than that
    write_atomic(Path(folder) / FILE, save(arrays, {"names": " ".join(surrogate.names)}))


def read_surrogate(folder: str | Path) -> Surrogate | None:
    """What `write_surrogate` wrote; None where there is none.

    Raises:
        InputError: a damaged file.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        payload = path.read_bytes()
        arrays = {name: array.astype(float) for name, array in load(payload).items()}
        with safe_open(str(path), framework="numpy") as opened:
            names = tuple(opened.metadata()["names"].split())
        width = float(arrays.pop("width")[0])
        return Surrogate(names=names, width=width, sha256=hashlib.sha256(payload).hexdigest(), **arrays)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged ({reason}): train again, or delete it to go without") from None


@functools.cache
def _atoms() -> np.ndarray:
    """[T] atoms of each block, in the order of the fingerprints."""
    table = load_fingerprints()
    return Library.of(table.names, table.connections, load_catalog()).atoms.astype(float)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0))


def _kernel(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    return np.asarray(np.exp(-_squared(a, b) / width))
