"""Durable files: atomic writes, content hashes, and where the training data live."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from potentials.errors import InputError


def write_atomic(path: str | Path, data: str | bytes) -> Path:
    """Write `data` to `path` so that a reader sees the old file or the whole new one, never half.

    A temporary file in the same folder is written, synced and renamed over `path` (POSIX rename is atomic).

    Raises:
        InputError: the folder cannot be created or written.
    """
    path = Path(path)
    payload = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: choose a folder you may write to") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600, which a colleague could not read
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}: free some space or choose another folder") from error
    return path


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def data_root() -> Path:
    """Folder of the public training and benchmark sets: `$SORBUS_DATA`, by default `../shared/data`."""
    return Path(os.environ.get("SORBUS_DATA", "../shared/data"))
