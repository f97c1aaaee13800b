"""Where the frameworks with published partial charges lie below the data root, and how they are read."""

from collections.abc import Iterator
from pathlib import Path

from potentials.files import data_root
from screening.adsorption import charge_dataset
from screening.adsorption.charge_dataset import ChargedFramework, Split

__all__ = ["DDEC_ARCHIVE", "HENRY_ARCHIVE", "HENRY_TABLE", "ChargedFramework", "Split", "read_archive", "split_of"]

DDEC_ARCHIVE = Path("sorbents/coremof_ddec/ddec_xtals_open.tar.xz")
HENRY_ARCHIVE = Path("sorbents/mpn_henry/xtals_ddec_mpnn_iqeq_open.tar.xz")
HENRY_TABLE = Path("sorbents/mpn_henry/henry_co2_298K_open.csv")


def read_archive(archive: Path, folder: str = "") -> Iterator[ChargedFramework]:
    """Every framework of an archive below the data root, in order of name; `folder` picks part of it."""
    return charge_dataset.read_archive(data_root() / archive, folder)


def split_of(framework: ChargedFramework, henry_formulas: set[str]) -> Split:
    """Which part of the split a framework belongs to."""
    return charge_dataset.split_of(framework.formula, henry_formulas)
