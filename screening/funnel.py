"""Who goes on after a stage: requirements such as `>= 3.3`, and "only the best n"."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence

from potentials.errors import InputError
from screening.candidate import Property

_COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    ">=": (operator.ge, "below"),
    "<=": (operator.le, "above"),
    ">": (operator.gt, "not above"),
    "<": (operator.lt, "not below"),
    "==": (operator.eq, "not"),
    "!=": (operator.ne, "just"),
}
_TERM = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


def parse_requirement(text: str) -> list[tuple[str, float]]:
    """The terms of a requirement: a comparison and a number, several joined by commas (all must hold).

    Raises:
        ValueError: the text is not of that form.
    """
    terms = []
    for part in text.split(","):
        match = _TERM.fullmatch(part)
        if match is None:
            raise ValueError(f"{text!r} is not a requirement: write a comparison and a number, such as '>= 3.3'")
        terms.append((match[1], float(match[2])))
    return terms


def unmet(require: Mapping[str, str], properties: Mapping[str, Property]) -> str | None:
    """Why a candidate does not meet `require`, in a few words; `None` when it does.

    A property that could not be measured meets nothing.
    """
    for name, text in require.items():
        item = properties.get(name)
        if item is None or item.value is None:
            return f"{name} was not measured" + (f" ({item.note})" if item is not None and item.note else "")
        for comparison, limit in parse_requirement(text):
            holds, otherwise = _COMPARISONS[comparison]
            if not holds(item.value, limit):
                return f"{name} {_number(item.value)} is {otherwise} {_number(limit)}"
    return None


def not_kept(
    measured: Sequence[tuple[int, Mapping[str, Property]]], n: int, by: str, order: str, stage: str
) -> dict[int, str]:
    """Which candidates a stage drops when it keeps its best `n`, with the reason.

    Args:
        measured: (index, properties) of every candidate that is still in the funnel.
        n: places.
        by: property that orders them; candidates without a value come last, ties go to the lower index.
        order: `max` or `min` is best.
        stage: named in the reason.

    Returns:
        Reason by index, for those dropped.
    """

    def place(item: tuple[int, Mapping[str, Property]]) -> tuple[bool, float, int]:
        value = _value(item[1], by)
        return value is None, 0.0 if value is None else (-value if order == "max" else value), item[0]

    dropped = {}
    for rank, (index, properties) in enumerate(sorted(measured, key=place), start=1):
        if rank > n:
            value = _value(properties, by)
            what = f"{by} was not measured" if value is None else f"ranked {_ordinal(rank)} by {by}"
            dropped[index] = f"{what}, stage {stage} keeps {n}"
    return dropped


def check_known(names: Sequence[str], measured: Sequence[str], stage: str) -> None:
    """Refuse a filter on a property that no candidate has, which would silently drop everything.

    Raises:
        InputError: naming the nearest measured property and all of them.
    """
    for name in names:
        if name not in measured:
            nearest = difflib.get_close_matches(name, measured, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise InputError(
                f"stage {stage} filters by {name!r}, which no candidate has: {hint}"
                f"measured so far: {', '.join(sorted(measured)) or 'nothing'}"
            )


def _value(properties: Mapping[str, Property], name: str) -> float | None:
    item = properties.get(name)
    return None if item is None else item.value


def _number(value: float) -> str:
    return f"{value:.6g}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
