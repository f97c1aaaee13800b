"""Frameworks with published partial charges: reading them, and who may be fitted to.

The split goes by reduced formula, so that polymorphs and re-determinations of one framework stay together, and
every formula of the Henry-coefficient set (`mpn_henry`) is kept out of the fit.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pymatgen.core import Structure

from potentials.cif import parse_cif
from potentials.errors import InputError
from potentials.files import data_root

DDEC_ARCHIVE = Path("sorbents/coremof_ddec/ddec_xtals_open.tar.xz")
HENRY_ARCHIVE = Path("sorbents/mpn_henry/xtals_ddec_mpnn_iqeq_open.tar.xz")
HENRY_TABLE = Path("sorbents/mpn_henry/henry_co2_298K_open.csv")

Split = Literal["training", "validation", "test", "henry"]


@dataclass(frozen=True)
class ChargedFramework:
    """A framework and the charges published with it."""

    name: str
    structure: Structure
    elements: tuple[str, ...]  # [n]
    charges: np.ndarray  # [n] e

    @property
    def formula(self) -> str:
        """Reduced formula, the unit of the split."""
        return str(self.structure.composition.reduced_formula)


def read_charged_cif(name: str, text: str) -> ChargedFramework:
    """A P1 CIF with `_atom_site_charge`; whatever stands before `data_` is dropped."""
    ((_, structure),) = parse_cif(text)
    if isinstance(structure, str):
        raise InputError(f"{name}: {structure}")
    elements = tuple(site.specie.symbol for site in structure)
    charges = np.array(structure.site_properties["charge"])
    return ChargedFramework(name, structure, elements, charges)


def read_archive(archive: Path, folder: str = "") -> Iterator[ChargedFramework]:
    """Every framework of an archive below the data root, in order of name; `folder` picks part of it."""
    with tarfile.open(data_root() / archive) as tar:
        members = [m for m in tar.getmembers() if m.name.endswith(".cif") and folder in m.name]
        for member in sorted(members, key=lambda m: m.name):
            stream = tar.extractfile(member)
            if stream is not None:
                yield read_charged_cif(Path(member.name).stem, stream.read().decode(errors="replace"))


def split_of(framework: ChargedFramework, henry_formulas: set[str]) -> Split:
    """Which part of the split a framework belongs to."""
    if framework.formula in henry_formulas:
        return "henry"
    bucket = int(hashlib.sha256(framework.formula.encode()).hexdigest()[:8], 16) % 10
    return "test" if bucket < 2 else "validation" if bucket == 2 else "training"
