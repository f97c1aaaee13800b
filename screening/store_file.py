"""The store's file: opening it, locking it for one driver, and what SQLite's errors mean to a user."""

import contextlib
import fcntl
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from potentials.errors import InputError
from screening.store_schema import APPLICATION_ID, SCHEMA_VERSION

_locked: set[str] = set()  # stores this process writes: fcntl locks do not exclude their own process


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit; `mode` is SQLite's `ro`, `rw` or `rwc`."""
    with explained(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None, timeout=30.0
        )
        try:
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "mmap_size = 0"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection


def is_writable(path: Path) -> bool:
    """Whether this process may write the file and make its journal beside it."""
    effective = os.access in os.supports_effective_ids
    return all(os.access(place, os.W_OK, effective_ids=effective) for place in (path, path.parent))


def check_ours(path: Path, connection: sqlite3.Connection, thorough: bool) -> None:
    """Refuse a file that is not a store, is from a newer Sorbus, or (`thorough`: every page is read) is damaged."""
    with explained(path):
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION_ID:
            raise InputError(f"{path} is an SQLite file but not a Sorbus store: give the store.sqlite of a run folder")
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} was written by a newer Sorbus (schema {version}, this one knows {SCHEMA_VERSION}): upgrade"
            )
        if thorough:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise InputError(f"{path} is damaged ({' '.join(verdict.split())}): restore a copy, or start afresh")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one sentence each; a programming error keeps its traceback."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        kind = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").split("_")[0]
        if kind not in _SENTENCES:
            raise
        raise InputError(_SENTENCES[kind].format(path=path, error=error)) from error


_SENTENCES = {
    "FULL": "no space left on the disk of {path}: free some, then run the same command to go on",
    "IOERR": "the disk of {path} refuses to write ({error}): free some space, then run the same command to go on",
    "READONLY": "{path} is read-only: make it and its folder writable, or copy it elsewhere",
    "CANTOPEN": "cannot open {path}: check that the folder exists and that you may write to it",
    "PERM": "cannot open {path}: check its permissions",
    "BUSY": "another program holds {path} ({error}): close it, then run the same command to go on",
    "LOCKED": "another program holds {path} ({error}): close it, then run the same command to go on",
    "CORRUPT": "{path} is damaged ({error}): restore a copy, or start afresh",
    "NOTADB": "{path} is not an SQLite file: give the store.sqlite of a run folder",
}


def acquire_lock(path: Path) -> int:
    """Take the one driver's lock, `<store>.lock`; the kernel frees it when the driver dies, however it does.

    An fcntl lock: unlike flock's it is not inherited by processes that outlive a killed driver.
    """
    lock_path = path.with_name(path.name + ".lock")
    key = os.path.realpath(lock_path)
    if key in _locked:
        raise InputError(f"{path} is open for writing in this process already: close it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"cannot write {lock_path}: {error.strerror}: choose a folder you may write to") from error
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise InputError(f"{path} is in use by process {holder}: wait until it ends, or stop it") from None
    with contextlib.suppress(OSError):  # the name of the holder is for the message only; a full disk is told later
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
    _locked.add(key)
    return handle


def release_lock(path: Path, handle: int) -> None:
    _locked.discard(os.path.realpath(path.with_name(path.name + ".lock")))
    os.close(handle)


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
