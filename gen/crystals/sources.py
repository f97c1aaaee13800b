"""Reading the public crystal sets: each source yields plain arrays, one crystal at a time."""

import csv
import gzip
import json
import lzma
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Element

from potentials import cif
from potentials.errors import InputError
from potentials.files import data_root

PATHS = {
    "mp20_biternary_val": "crystals/mp20_biternary/val.csv.gz",
    "mp20_biternary_test": "crystals/mp20_biternary/test_open.csv.gz",
    "mpts52_val": "crystals/mpts52/val.csv.gz",
    "mpts52_test": "crystals/mpts52/test_open.csv.gz",
    "perov_5_val": "crystals/perov_5/val.csv.xz",
    "perov_5_test": "crystals/perov_5/test_open.csv.xz",
    "lemat_baseline": "crystals/lemat_baseline/cifs.tar.xz",
    "matbench_dielectric": "crystals/matbench_dielectric/matbench_dielectric.json.gz",
}


@dataclass(frozen=True)
class RawCrystal:
    """A crystal as published; nothing reduced yet."""

    name: str  # source/id
    numbers: np.ndarray  # [N] int
    frac: np.ndarray  # [N, 3]
    lattice: np.ndarray  # [3, 3] Å, rows are vectors


def source_path(source: str) -> Path:
    """File of a source under the data folder.

    Raises:
        InputError: the file is not there.
    """
    path = data_root() / PATHS[source]
    if not path.is_file():
        raise InputError(f"no data file {path}: set SORBUS_DATA to the folder that holds crystals/")
    return path


def read_source(source: str) -> Iterator[RawCrystal | str]:
    """Crystals of a source in file order; a row that cannot be used yields the reason (a string) instead."""
    if source == "matbench_dielectric":
        yield from _read_dielectric(source_path(source))
        return
    for name, text in _cif_texts(source):
        try:
            yield parse_cif(text, name)
        except (ValueError, RuntimeError, InputError) as error:
            yield f"{name}: {error}"


def choose_crystals(source: str, count: int, seed: int = 0) -> list[RawCrystal]:
    """A fixed random choice of `count` crystals of a source of CIFs (all of them if it holds fewer).

    Raises:
        InputError: a chosen row cannot be read.
    """
    rows = list(_cif_texts(source))
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [parse_cif(rows[row][1], rows[row][0]) for row in chosen]


def read_formulas(source: str) -> set[str]:
    """Reduced formulas of a source of CIFs, from their `_chemical_formula_sum` alone."""
    formulas = set()
    for name, text in _cif_texts(source):
        match = re.search(r"^_chemical_formula_sum\s+'?([^'\n]+)'?", text, flags=re.MULTILINE)
        if match is None:
            raise InputError(f"{name} of {source} has no _chemical_formula_sum: the file is damaged")
        formulas.add(Composition(match.group(1)).reduced_formula)
    return formulas


def parse_cif(text: str, name: str) -> RawCrystal:
    """Read one ordered crystal from CIF text.

    Raises:
        InputError: no sites, a partially occupied one, or more than one structure.
    """
    found = cif.parse_cif(text)
    if len(found) != 1:
        raise InputError(f"{name} holds {len(found)} structures: split it")
    structure = found[0][1]
    if isinstance(structure, str):
        raise InputError(f"{name}: {structure}")
    return RawCrystal(
        name=name,
        numbers=np.array(structure.atomic_numbers),
        frac=structure.frac_coords,
        lattice=structure.lattice.matrix,
    )


def _cif_texts(source: str) -> Iterator[tuple[str, str]]:
    path = source_path(source)
    if source == "lemat_baseline":
        with lzma.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".cif") else None
                if content is not None:
                    yield f"{source}/{member.name}", content.read().decode()
        return
    opened = lzma.open if path.suffix == ".xz" else gzip.open
    with opened(path, "rt", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            yield f"{source}/{row['material_id']}", row["cif"]


def _read_dielectric(path: Path) -> Iterator[RawCrystal]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        table = json.load(stream)["structure"]
    for key, entry in table.items():
        sites = entry["sites"]
        yield RawCrystal(
            name=f"matbench_dielectric/{key}",
            numbers=np.array([Element(site["species"][0]["element"]).Z for site in sites]),
            frac=np.array([site["abc"] for site in sites]),
            lattice=np.array(entry["lattice"]["matrix"]),
        )
