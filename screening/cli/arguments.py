"""What the verbs share: typed configuration from a YAML file and dotted overrides, and output folders."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from potentials.errors import InputError

if TYPE_CHECKING:
    from potentials.config import Config

    ConfigT = TypeVar("ConfigT", bound=Config)

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


def verb_parser(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """A sub-parser whose help ends in runnable examples."""
    return verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_config_options(parser: argparse.ArgumentParser, *, positional: str | None = None) -> None:
    """Options of every configurable verb; `positional` adds inputs before the `key=value` overrides."""
    what = "key=value overrides, e.g. seed=2" if positional is None else f"{positional}, then key=value overrides"
    parser.add_argument("inputs", nargs="*", metavar="INPUT|key=value" if positional else "key=value", help=what)
    parser.add_argument("--config", metavar="FILE", help="YAML file with the settings (see configs/)")
    parser.add_argument("--print-config", action="store_true", help="print the resolved settings and stop")


def split_inputs(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """(paths, overrides) among the positional words: an override starts with `name=`."""
    paths = [word for word in arguments.inputs if not _OVERRIDE.match(word)]
    overrides = [word for word in arguments.inputs if _OVERRIDE.match(word)]
    return paths, overrides


def resolve_config(
    kind: "type[ConfigT]", arguments: argparse.Namespace, path: str | None = None
) -> "tuple[ConfigT, list[str]]":
    """The typed settings of this call and its input paths.

    Raises:
        InputError: an unknown key (with the nearest valid one), a wrong value, or an unreadable file.
    """
    from potentials.config import load_config

    paths, overrides = split_inputs(arguments)
    return load_config(kind, path or arguments.config, overrides), paths


def print_config(config: "Config") -> int:
    """Show the resolved settings as YAML with their hash."""
    from potentials.config import config_hash, dump_yaml

    print(f"# hash {config_hash(config)}\n{dump_yaml(config)}", end="")
    return 0


def require_inputs(paths: list[str], verb: str, what: str) -> list[str]:
    """The input paths, or a sentence that says what was expected."""
    if not paths:
        raise InputError(f"no input: name {what}, e.g. sorbus {verb} my_structures/")
    return paths


def writable_folder(path: str | Path) -> Path:
    """Create an output folder and prove that it can be written, before long work starts.

    Raises:
        InputError: the folder cannot be made or written.
    """
    import tempfile

    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror}: choose a folder you may write to") from None
    return folder
