"""Measured isotherms out of files, by the format the file's name declares."""

import gzip
from collections.abc import Mapping
from pathlib import Path

from potentials.errors import InputError
from screening.experiments.measured_isotherm import IsothermRead

MAX_BYTES = 50_000_000  # of text, after decompression


def read_isotherms(path: str | Path, options: Mapping[str, str | None] | None = None) -> list[IsothermRead]:
    """The isotherms of a file: `.csv`/`.tsv`/`.txt`, `.aif`, ISODB's `.json`, or its table `single_gas*.csv.gz`.

    A broken isotherm among several is recorded on its `IsothermRead`; the others are read.

    Args:
        path: the file.
        options: what the file does not say or says wrong; see `csv_isotherm.parse_csv`.

    Raises:
        InputError: the file is missing, too large, not text, or of no known ending.
    """
    from screening.experiments.aif import parse_aif
    from screening.experiments.csv_isotherm import parse_csv
    from screening.experiments.isodb import parse_isodb, read_isodb_table

    path = Path(path)
    if path.name.endswith(".csv.gz"):
        return list(read_isodb_table(path, options=options))
    text = _text(path)
    ending = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if ending == "aif":
        return parse_aif(text, path.name, options)
    if ending == "json":
        return parse_isodb(text, path.name, options)
    if ending in ("csv", "tsv", "txt", "dat"):
        try:
            return [IsothermRead(path.stem, parse_csv(text, path.name, options))]
        except InputError as error:
            return [IsothermRead(path.stem, None, str(error))]
    raise InputError(f"{path.name} ends in neither .csv, .aif nor .json: name it by the format it holds")


def _text(path: Path) -> str:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                payload = stream.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as plain:
                payload = plain.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if len(payload) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB: it is not an isotherm")
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload.decode("latin-1")  # instruments write °C and cm³ in it
