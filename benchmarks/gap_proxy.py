"""A stand-in for the band gap of a composition: kernel ridge regression on the public table of DFT band gaps."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Composition, Element

from gen.crystals.dataset import is_held_out
from potentials.files import data_root

TABLE = "crystals/mp20_biternary/val.csv.gz"
WIDTH = 12.0  # of the Laplacian kernel, in units of standardised features summed
RIDGE = 0.3
HOLDOUT = 0.1
TRAIN = 4000  # compositions; the kernel matrix is their square


@dataclass(frozen=True)
class GapProxy:
    """Predicts eV from a composition, and says how well on formulas it never saw."""

    anchors: np.ndarray  # [M, F]
    weights: np.ndarray  # [M]
    offset: float
    centre: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    mae: float  # eV, held-out formulas
    r2: float
    count: int  # held-out compositions

    @classmethod
    def fit(cls) -> "GapProxy":
        """Train on the lowest gap of each formula of the table; a tenth of the formulas are held out."""
        with gzip.open(data_root() / TABLE, "rt", encoding="utf-8", newline="") as stream:
            rows = [(row["pretty_formula"], float(row["band_gap"])) for row in csv.DictReader(stream)]
        lowest: dict[str, float] = {}
        for formula, value in rows:
            lowest[formula] = min(value, lowest.get(formula, np.inf))
        formulas = sorted(lowest)
        held = np.array([is_held_out(formula, HOLDOUT) for formula in formulas])
        features = np.array([describe(Composition(formula)) for formula in formulas])
        targets = np.array([lowest[formula] for formula in formulas])
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(~held))[:TRAIN]
        centre, scale = features[chosen].mean(0), features[chosen].std(0) + 1e-9
        anchors = (features[chosen] - centre) / scale
        offset = float(targets[chosen].mean())
        kernel = _kernel(anchors, anchors)
        weights = np.linalg.solve(kernel + RIDGE * np.eye(len(kernel)), targets[chosen] - offset)
        proxy = cls(anchors, weights, offset, centre, scale, 0.0, 0.0, int(held.sum()))
        guess = proxy._predict(features[held])
        error = guess - targets[held]
        r2 = 1 - float((error**2).mean() / targets[held].var())
        return cls(anchors, weights, offset, centre, scale, float(np.abs(error).mean()), r2, int(held.sum()))

    def predict(self, compositions: Sequence[Composition]) -> np.ndarray:
        """eV of each, not below zero."""
        return self._predict(np.array([describe(composition) for composition in compositions]))

    def _predict(self, features: np.ndarray) -> np.ndarray:
        kernel = _kernel((features - self.centre) / self.scale, self.anchors)
        return np.maximum(0.0, kernel @ self.weights + self.offset)


def describe(composition: Composition) -> np.ndarray:
    """Mean, spread, least and most of elemental properties, and fractions by column of the periodic table."""
    amounts = composition.fractional_composition.get_el_amt_dict()
    elements = [Element(symbol) for symbol in amounts]
    weights = np.array(list(amounts.values()))
    table = np.array(
        [
            # noble gases have no electronegativity, some elements no tabulated radius
            [np.nan_to_num(e.X), e.row, e.group, e.mendeleev_no, float(e.atomic_radius or 1.5), e.Z]
            for e in elements
        ]
    )
    mean = weights @ table
    spread = np.sqrt(weights @ (table - mean) ** 2)
    columns = np.zeros(19)
    for element, weight in zip(elements, weights, strict=True):
        columns[element.group] += weight
    return np.concatenate([mean, spread, table.min(0), table.max(0), columns])


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return np.exp(-cdist(a, b, "cityblock") / WIDTH)
