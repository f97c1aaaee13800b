"""Crystals as lines of JSON, and files of such lines that survive a killed writer."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from potentials.errors import InputError


def to_line(structure: Structure) -> dict[str, Any]:
    """Numbers, fractional coordinates and lattice (Å), to 6 decimals."""
    return {
        "numbers": [int(site.specie.Z) for site in structure],
        "frac": np.round(structure.frac_coords, 6).tolist(),
        "lattice": np.round(structure.lattice.matrix, 6).tolist(),
    }


def from_line(line: dict[str, Any]) -> Structure:
    """The crystal of `to_line`."""
    symbols = [Element.from_Z(z).symbol for z in line["numbers"]]
    return Structure(Lattice(line["lattice"]), symbols, line["frac"])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file, none if it is absent; a line torn by a killed writer is cut off the file.

    Raises:
        InputError: a line in the middle is damaged.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if len(whole) < len(text):
        path.write_text(whole, encoding="utf-8")
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): delete it, what it held will be made again") from None


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add lines; each is whole or will be cut off by `read_lines`.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: free some space and run again to resume") from None
