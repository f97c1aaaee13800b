"""Framework types of the IZA atlas, from the public set of supercells: their nets, in primitive cells.

(Baerlocher, McCusker, Database of Zeolite Structures, iza-structure.org/databases; the set of Sarkisov et al.,
Chem. Mater. 2020, 32, 9849.) Only the net is used here; geometry is made anew by `gen.zeolites.geometry`.
"""

import re
import tarfile
from collections.abc import Iterator

import numpy as np
from pymatgen.core import Lattice, Structure

from gen.crystals.symmetry import primitive_cell
from gen.zeolites.bonding import assigned_framework
from gen.zeolites.framework import OXYGEN, SILICON, Framework
from potentials.errors import GeometryError, InputError
from potentials.files import data_root

ARCHIVE = "sorbents/iza_zeolites/iza_cifs_and_pore_summaries.tar.xz"
SYMPREC = 0.05  # Å; coordinates of the set have four decimals of a conventional cell
NUMBERS = {"Si": SILICON, "O": OXYGEN}


def read_atlas(max_silicon: int | None = None) -> Iterator[tuple[str, Framework | str]]:
    """(code, framework in its primitive cell, or why it has none), in alphabetical order.

    Args:
        max_silicon: primitive cells beyond are given as a reason.

    Raises:
        InputError: the data set is not at hand.
    """
    path = data_root() / ARCHIVE
    if not path.is_file():
        raise InputError(f"no data file {path}: set SORBUS_DATA to the folder that holds sorbents/")
    texts = {}
    with tarfile.open(path, mode="r|xz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".cif") else None
            if content is not None:
                texts[member.name.split("/")[0]] = content.read().decode()
    for code, text in sorted(texts.items()):
        yield code, _framework(text, max_silicon)


def _framework(text: str, max_silicon: int | None) -> Framework | str:
    lengths = [float(x) for x in re.findall(r"^_cell_length_[abc]\s+(\S+)", text, re.M)]
    angles = [float(x) for x in re.findall(r"^_cell_angle_(?:alpha|beta|gamma)\s+(\S+)", text, re.M)]
    rows = re.findall(r"^\S+[ \t]+(Si|O)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", text, re.M)
    if len(lengths) != 3 or len(angles) != 3 or not rows:
        return "its file holds no cell or no Si and O"
    lattice = Lattice.from_parameters(*lengths, *angles).matrix
    numbers = np.array([NUMBERS[row[0]] for row in rows])
    frac = np.array([row[1:] for row in rows], dtype=float)
    reduced = primitive_cell((lattice, frac, numbers), SYMPREC)
    if reduced is None:
        return "spglib finds no primitive cell"
    lattice, frac, numbers = reduced
    if max_silicon is not None and (numbers == SILICON).sum() > max_silicon:
        return f"{(numbers == SILICON).sum()} silicons in the primitive cell, above {max_silicon}"
    try:
        return assigned_framework(Structure(Lattice(lattice), numbers.tolist(), frac))
    except GeometryError as error:
        return str(error)
