"""Frames from ASE databases, SQLite (`.db`) or LMDB (`.aselmdb`): numbers and JSON, nothing executable."""

import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potentials.errors import InputError
from potentials.lmdb_file import read_lmdb

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
            frames.append((f"row {row_id}", _atoms(row)))
    except Exception as error:  # ASE raises whatever the damaged row leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}, after row {row_id}: the database is damaged ({reason}): copy it again") from None
    return frames


def read_ase_lmdb(path: Path) -> list[tuple[str, "Atoms"]]:
    """The same of an LMDB of ASE rows, the form of the OMat24 and later Open Catalyst sets.

    Each value is the row as JSON, compressed by zlib; keys that are no number are the database's own.

    Raises:
        InputError: no LMDB file, a row that cannot be read, or rows that are pickles, which could run code.
    """
    from ase.db.row import AtomsRow
    from ase.io.jsonio import decode

    frames = []
    rows = sorted((int(key), value) for key, value in read_lmdb(path) if key.isdigit())
    for row_id, value in rows:
        if value[:1] == b"\x80":
            raise InputError(
                f"{path}, row {row_id}: the record is a pickle, which can run code, and is not read: where you trust "
                "the file, write its frames as extended XYZ or an ASE database"
            )
        try:
            row = AtomsRow(decode(zlib.decompress(value).decode()) | {"id": row_id})
            frames.append((f"row {row_id}", _atoms(row)))
        except Exception as error:  # ASE raises whatever the damaged row leads to
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}, row {row_id}: no ASE row ({reason}): copy the file again") from None
    return frames


def _atoms(row: Any) -> "Atoms":
    """A row's atoms with its results, and with everything else it holds in `info`."""
    atoms = row.toatoms()
    atoms.info = {**row.key_value_pairs, **dict(row.data or {})}
    return atoms
