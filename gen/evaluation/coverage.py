"""Coverage of known crystals by generated ones, and the other way round, with fingerprints of our own choice.

The idea is COV-R and COV-P of CDVAE (Xie et al. 2022, App. B.3): the share of known crystals that have a generated one
near them, and of generated ones near a known one, near meaning close in structure *and* in composition. Published
figures use matminer's CrystalNN order parameters and Magpie features with cut-offs 0.4 and 10; those here do not and
must not be compared with them:

- structure: average minimum distances (Widdowson et al., MATCH 87, 529 (2022)): the mean over atoms of the distance to
  the k-th neighbour, k = 1..24, in units of (V/N)^(1/3). A continuous invariant of the crystal, blind to species;
  distance: the largest difference.
- composition: the earth mover's distance along the Mendeleev numbers (element mover's distance; Hargreaves et al.,
  Chem. Mater. 32, 10610 (2020)).

Cut-offs are taken from real crystals: 95 % of a held-out set has a training crystal within each.
"""

import functools
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Element, Structure
from scipy.spatial.distance import cdist

from gen.evaluation.metric import Metric
from potentials.errors import InputError
from potentials.files import write_atomic

NEIGHBOURS = 24
HELD_OUT = Path(__file__).parent / "data" / "coverage.json.gz"
_MENDELEEV = 104  # numbers run from 1 to 103


@dataclass(frozen=True)
class Fingerprints:
    """Of M crystals."""

    structure: np.ndarray  # [M, 24]
    composition: np.ndarray  # [M, 104] cumulated share of atoms along the Mendeleev numbers

    def __len__(self) -> int:
        return len(self.structure)


@dataclass(frozen=True)
class Cutoffs:
    """What counts as near."""

    structure: float  # (V/N)^(1/3)
    composition: float  # Mendeleev numbers


def fingerprints(structures: Sequence[Structure]) -> Fingerprints:
    """Both fingerprints of each crystal."""
    return Fingerprints(
        np.array([average_minimum_distances(structure) for structure in structures]).reshape(-1, NEIGHBOURS),
        np.array([cumulated_composition(s.composition) for s in structures]).reshape(-1, _MENDELEEV),
    )


def average_minimum_distances(structure: Structure, k: int = NEIGHBOURS) -> np.ndarray:
    """[k] mean over atoms of the distance to the 1st, 2nd, ... k-th neighbour, in units of (V/N)^(1/3)."""
    unit = (structure.volume / len(structure)) ** (1 / 3)
    radius = unit * (3 * (k + 1) / (4 * np.pi)) ** (1 / 3) * 1.3
    while True:
        centres, _, _, distances = structure.get_neighbor_list(radius)
        counts = np.bincount(centres, minlength=len(structure))
        if counts.min() >= k:
            break
        radius *= 1.4
    order = np.lexsort((distances, centres))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    nearest = distances[order][starts[:, None] + np.arange(k)]  # [N, k]
    return nearest.mean(axis=0) / unit


def cumulated_composition(composition: Composition) -> np.ndarray:
    """[104] cumulated share of atoms up to each Mendeleev number; differences sum to the earth mover's distance."""
    shares = np.zeros(_MENDELEEV)
    for symbol, share in composition.fractional_composition.items():
        shares[int(Element(str(symbol)).mendeleev_no)] += share
    return np.cumsum(shares)


def near(first: Fingerprints, second: Fingerprints, cutoffs: Cutoffs) -> np.ndarray:
    """[M1, M2] whether two crystals are near in structure and in composition."""
    structure = cdist(first.structure, second.structure, "chebyshev") <= cutoffs.structure
    return structure & (cdist(first.composition, second.composition, "cityblock") <= cutoffs.composition)


def calibrated_cutoffs(held_out: Fingerprints, training: Fingerprints, share: float = 0.95) -> Cutoffs:
    """Distances within which `share` of the held-out crystals has a training crystal, each measure by itself."""
    structure = cdist(held_out.structure, training.structure, "chebyshev").min(axis=1)
    composition = cdist(held_out.composition, training.composition, "cityblock").min(axis=1)
    return Cutoffs(float(np.quantile(structure, share)), float(np.quantile(composition, share)))


def coverage_metrics(
    generated: Fingerprints, known: Fingerprints, cutoffs: Cutoffs, what: str, count: int | None = None
) -> list[Metric]:
    """Coverage recall and precision.

    Args:
        what: says which known crystals these are.
        count: crystals that precision is a share of, where some of them have no fingerprint.
    """
    count = len(generated) if count is None else count
    table = near(generated, known, cutoffs)
    protocol = (
        f"near: largest difference of average minimum distances <= {cutoffs.structure:.3f} (V/N)^(1/3) and element "
        f"mover's distance <= {cutoffs.composition:.2f} Mendeleev numbers; not the CrystalNN/Magpie COV; {what}; "
        f"n = {count}"
    )
    return [
        Metric("coverage_recall", float(table.any(axis=0).mean()), "fraction", protocol),
        Metric("coverage_precision", float(table.any(axis=1).sum() / count), "fraction", protocol),
    ]


def write_held_out(path: str | Path, known: Fingerprints, cutoffs: Cutoffs, data_sha256: str) -> Path:
    """Write fingerprints of held-out crystals with their cut-offs as gzipped JSON."""
    payload = {
        "data_sha256": data_sha256,
        "cutoffs": [round(cutoffs.structure, 4), round(cutoffs.composition, 4)],
        "structure": known.structure.round(3).tolist(),
        # a composition has few distinct values: written as (number, share) steps
        "composition": [
            [[int(i), round(float(step), 5)] for i, step in enumerate(np.diff(row, prepend=0.0)) if step > 1e-9]
            for row in known.composition
        ],
    }
    text = json.dumps(payload, separators=(",", ":")).encode()
    return write_atomic(path, gzip.compress(text, mtime=0))


@functools.cache
def read_held_out(path: Path = HELD_OUT) -> tuple[Fingerprints, Cutoffs]:
    """The shipped fingerprints of held-out crystals and the calibrated cut-offs.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        payload = json.loads(gzip.decompress(Path(path).read_bytes()))
        composition = np.zeros((len(payload["composition"]), _MENDELEEV))
        for row, steps in enumerate(payload["composition"]):
            for number, share in steps:
                composition[row, number] = share
        cutoffs = Cutoffs(*map(float, payload["cutoffs"]))
        return Fingerprints(np.array(payload["structure"], dtype=float), np.cumsum(composition, axis=1)), cutoffs
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"cannot read {path} ({error}): install the package again") from None
