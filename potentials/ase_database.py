"""Frames from an ASE database: one SQLite file, numbers as raw bytes and the rest as JSON, nothing executable."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potentials.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms


def read_ase_database(path: Path) -> list[tuple[str, "Atoms"]]:
    """Every row as (name, atoms), in the order of their ids; the name is `row <id>`.

    What a row holds besides atoms and ASE's own results (energy, forces, stress) is in `atoms.info`: its key-value
    pairs, and the entries of its `data`, so that labels may be kept in any of the three places.

    Raises:
        InputError: no SQLite file, no ASE database in it, or a row that cannot be read.
    """
    from ase.db import connect

    # ASE would turn any other SQLite file into a database of its own
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(f"{path} is no readable SQLite file ({error}): give an ASE database or extended XYZ") from None
    if "systems" not in tables:
        raise InputError(f"{path} is a SQLite file but no ASE database (no table `systems`): check data.train")
    frames = []
    row_id: Any = "?"
    try:
        for row in connect(path, type="db").select():
            row_id = row.id
            atoms = row.toatoms()
            atoms.info = {**row.key_value_pairs, **dict(row.data or {})}
            frames.append((f"row {row_id}", atoms))
    except Exception as error:  # ASE raises whatever the damaged row leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}, after row {row_id}: the database is damaged ({reason}): copy it again") from None
    return frames
