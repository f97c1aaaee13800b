"""Typed configuration: YAML files checked into frozen objects, dotted overrides, and a hash.

Configuration is data, never code: files are safe-loaded, unknown keys are refused with the nearest valid
one, and things are chosen by short registered names rather than import paths.
"""

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
import yaml

from potentials.errors import InputError
from potentials.files import sha256_json


class Config(pydantic.BaseModel):
    """Base of every configuration object: frozen, and no key it does not know."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(kind: type[ConfigT], path: str | Path | None = None, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a YAML file (or start from defaults), apply `key.sub=value` overrides, and check the whole.

    Args:
        kind: the `Config` subclass the result must be.
        path: YAML file; `None` starts from the defaults of `kind`.
        overrides: dotted assignments such as `train.lr=1e-3`; values are parsed as YAML.

    Raises:
        InputError: naming the file, the line where there is one, the key and the nearest valid key.
    """
    values: dict[str, Any] = {}
    lines: dict[tuple[Any, ...], int] = {}
    where = "command line"
    if path is not None:
        values, lines = _read_yaml(Path(path))
        where = str(path)
    for override in overrides:
        _apply_override(values, override)
    return parse_config(kind, values, where, lines)


def parse_config(
    kind: type[ConfigT], values: Any, where: str, lines: dict[tuple[Any, ...], int] | None = None
) -> ConfigT:
    """Check a plain mapping into a `kind`; `where` names its origin in the error message."""
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(_explain(kind, error, where, lines or {})) from None


def config_hash(config: Config) -> str:
    """First 16 hex digits of the SHA-256 of the resolved configuration."""
    return sha256_json(config.model_dump(mode="json"))[:16]


def dump_yaml(config: Config) -> str:
    """The resolved configuration as YAML, keys in the order they are declared."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[Any, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        nearby = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        hint = f": did you mean {path.parent / nearby[0]}?" if nearby else ": check the path"
        raise InputError(f"no configuration file {path}{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}: give a UTF-8 YAML file") from None
    try:
        values = yaml.safe_load(text)
        lines = dict(_key_lines(yaml.compose(text, Loader=yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if values is None:
        raise InputError(f"{path} is empty: start from a file in configs/")
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}: a configuration is a mapping of keys to values")
    return values, lines


def _key_lines(node: yaml.Node | None, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*prefix, key.value), key.start_mark.line + 1
            yield from _key_lines(value, (*prefix, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*prefix, index), value.start_mark.line + 1
            yield from _key_lines(value, (*prefix, index))


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise InputError(f"override {override!r} is not of the form key.sub=value, e.g. train.lr=1e-3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"override {override!r}: {text!r} is not a YAML value") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 (no dot) as text; people mean a number
        with contextlib.suppress(ValueError):
            value = float(value)
    target: Any = values
    for part in parts[:-1]:
        target = _descend(target, part, override)
    if isinstance(target, list):
        target[_list_index(target, parts[-1], override)] = value
    else:
        target[parts[-1]] = value


def _descend(target: Any, part: str, override: str) -> Any:
    if isinstance(target, list):
        return target[_list_index(target, part, override)]
    child = target.setdefault(part, {})
    if child is None:
        child = target[part] = {}
    if not isinstance(child, dict | list):
        raise InputError(f"override {override!r}: {part!r} holds the value {child!r}, not a group of keys")
    return child


def _list_index(target: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(target):
        raise InputError(f"override {override!r}: {part!r} is not an index below {len(target)}")
    return int(part)


def _explain(kind: type[Config], error: pydantic.ValidationError, where: str, lines: dict[tuple[Any, ...], int]) -> str:
    messages = []
    for item in error.errors():
        location = item["loc"]
        line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)
        place = f"{where}, line {line}" if line else where
        key = ".".join(str(part) for part in location)
        if item["type"] == "extra_forbidden":
            valid = _valid_keys(kind, location[:-1])
            nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"valid keys: {', '.join(sorted(valid))}"
            messages.append(f"{place}: unknown key {key!r}: {hint}")
        elif item["type"] == "missing":
            messages.append(f"{place}: key {key!r} is missing: add it")
        else:
            reason = item["msg"].removeprefix("Value error, ")
            messages.append(f"{place}: {key} = {item.get('input')!r}: {reason[:1].lower() + reason[1:]}")
    return "; ".join(messages)


def _valid_keys(kind: Any, location: tuple[Any, ...]) -> list[str]:
    """Field names of the (possibly nested, optional or listed) config at `location`."""
    if isinstance(kind, type) and issubclass(kind, Config):
        if not location:
            return list(kind.model_fields)
        field = kind.model_fields.get(str(location[0]))
        return _valid_keys(field.annotation, location[1:]) if field else _valid_keys(kind, location[1:])
    names: list[str] = []
    for argument in get_args(kind):
        rest = location[1:] if location and isinstance(location[0], int) else location
        names += _valid_keys(argument, rest)
    return names
