"""What generated crystals are compared with: fingerprints of the training set, statistics of the held-out one.

The training structures themselves are not shipped; formula, atom count, space group and volume are facts small
enough to travel beside the weights (`reference.json.gz`).
"""

import collections
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Composition, Element

from gen.crystals.dataset import CrystalDataset, CrystalGroup
from potentials.errors import InputError
from potentials.files import write_atomic

FILE = "reference.json.gz"
GRAM_PER_CM3 = 1.66053906892  # amu/Å^3 (CODATA 2022)


@dataclass(frozen=True)
class Fingerprint:
    """All that is kept of a training crystal beside its reduced formula."""

    n_atoms: int  # in the primitive cell
    space_group: int
    volume_per_atom: float  # Å^3


@dataclass(frozen=True)
class Reference:
    """Training fingerprints by reduced formula, and held-out crystals' densities and element counts."""

    training: dict[str, list[Fingerprint]]
    density: np.ndarray  # [M] g/cm^3
    elements: np.ndarray  # [M] distinct elements of each
    sha256: str  # of the data set

    def training_density(self) -> np.ndarray:
        """[M] g/cm^3 of the training crystals."""
        found = []
        for formula, crystals in self.training.items():
            composition = Composition(formula)
            mass = composition.weight / composition.num_atoms  # amu
            found += [GRAM_PER_CM3 * mass / crystal.volume_per_atom for crystal in crystals]
        return np.array(found)


def write_reference(folder: str | Path, dataset: CrystalDataset) -> Path:
    """Write `reference.json.gz` of a data set into a checkpoint folder."""
    training = [
        [formula, n, int(space_group), round(volume, 3)]
        for n, group in dataset.train.items()
        for formula, volume, space_group in zip(
            _formulas(group), _volumes(group) / n, group.space_group.tolist(), strict=True
        )
    ]
    density, elements = [], []
    for group in dataset.validation.values():
        masses = np.array([sum(Element.from_Z(z).atomic_mass for z in row) for row in group.numbers.tolist()])
        density += (GRAM_PER_CM3 * masses / _volumes(group)).round(4).tolist()
        elements += [len(set(row)) for row in group.numbers.tolist()]
    payload = {
        "data_sha256": dataset.sha256,
        "training": sorted(training),
        "validation": {"density_g_cm3": density, "elements": elements},
    }
    text = json.dumps(payload, separators=(",", ":")).encode()
    return write_atomic(Path(folder) / FILE, gzip.compress(text, mtime=0))  # no time stamp: same data, same bytes


def read_reference(folder: str | Path) -> Reference:
    """Read `reference.json.gz` of a checkpoint folder.

    Raises:
        InputError: it is missing or damaged.
    """
    path = Path(folder) / FILE
    try:
        payload = json.loads(gzip.decompress(path.read_bytes()))
        training: dict[str, list[Fingerprint]] = collections.defaultdict(list)
        for formula, n, space_group, volume in payload["training"]:
            training[formula].append(Fingerprint(int(n), int(space_group), float(volume)))
        validation = payload["validation"]
        return Reference(
            dict(training),
            np.asarray(validation["density_g_cm3"], dtype=float),
            np.asarray(validation["elements"], dtype=float),
            str(payload["data_sha256"]),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {path} ({error}): copy the checkpoint folder again") from None


def _formulas(group: CrystalGroup) -> list[str]:
    return [
        Composition(collections.Counter(Element.from_Z(z).symbol for z in row)).reduced_formula
        for row in group.numbers.tolist()
    ]


def _volumes(group: CrystalGroup) -> np.ndarray:
    return torch.linalg.det(group.lattice.double()).abs().numpy()
