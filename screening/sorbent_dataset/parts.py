"""Part files: one record a line, appended as they come, safe to cut anywhere."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from potentials.errors import InputError


def parts_folder(out: str | Path) -> Path:
    """Where the parts of a set lie: `mofs.parts` beside `mofs.jsonl.gz`."""
    path = Path(out)
    return path.with_name(path.name.split(".")[0] + ".parts")


def open_part(path: Path, settings_hash: str) -> tuple[BinaryIO, set[int]]:
    """Open a part for appending, and the indices it has; a torn last line is cut off.

    Raises:
        InputError: other settings made the part, another process writes to it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: choose another out") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise InputError(f"{path} is being written by another process: give this one another start") from None
    stream.seek(0)
    content = stream.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        stream.truncate(whole)
    if whole == 0:
        stream.write(json.dumps({"settings": settings_hash}).encode() + b"\n")
        stream.flush()
        return stream, set()
    stream.seek(0, 2)
    return stream, {record["index"] for record in read_part(path, settings_hash)}


def append(stream: BinaryIO, record: dict[str, Any]) -> None:
    """Write one record; after this a kill of the process loses nothing."""
    stream.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def read_part(path: Path, settings_hash: str) -> Iterator[dict[str, Any]]:
    """Records of a part; a torn last line is left out.

    Raises:
        InputError: other settings made it, or a line in its middle is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end was cut off
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            found = record["settings"] if number == 1 else None
            if number > 1:
                record["index"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}, line {number}: damaged: delete that line and run again") from None
        if number == 1:
            if found != settings_hash:
                raise InputError(
                    f"{path} was made with other settings (hash {found}, now {settings_hash}): "
                    "go back to them, or choose another out"
                )
            continue
        yield record
