"""Progress of a verb that takes minutes a structure: what each one is at; a bar in a terminal, lines anywhere else."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

_BAR = "{desc}: {n_fmt} of {total_fmt} |{bar:20}| {elapsed}{postfix}"


class StructureProgress:
    """Counts finished structures and shows the stage of those that are being measured.

    Args:
        verb: what is done, the first word of everything shown.
        total: structures.
        done: finished before.
        show: `False` prints nothing.
        stream: where to print; stderr by default.
    """

    def __init__(self, verb: str, total: int, done: int, *, show: bool, stream: TextIO | None = None) -> None:
        self._verb, self._total, self._done, self._show = verb, total, done, show and total > done
        self._stream = stream or sys.stderr
        self._stages: dict[str, str] = {}
        self._begun = time.monotonic()
        self._bar: tqdm | None = None
        if self._show and self._stream.isatty():
            self._bar = tqdm(
                total=total, initial=done, desc=verb, file=self._stream, dynamic_ncols=True, bar_format=_BAR
            )

    def __enter__(self) -> "StructureProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.close()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._say(f"stopped: {self._done} of {self._total} are finished and kept, the same command goes on")

    def stages(self, stages: Mapping[str, str]) -> None:
        """What is being done to which structure, by name; call it often, it speaks where something changed."""
        changed = {name: stage for name, stage in stages.items() if self._stages.get(name) != stage}
        self._stages = dict(stages)
        if self._bar is not None:
            self._bar.set_postfix_str("; ".join(f"{name}: {stage}" for name, stage in stages.items()), refresh=False)
            self._bar.refresh()
            return
        for name, stage in changed.items():
            self._say(f"{name}: {stage}")

    def finished(self, name: str, outcome: str = "done") -> None:
        """A structure is done with."""
        self._done += 1
        self._stages.pop(name, None)
        if self._bar is not None:
            self._bar.update()
        else:
            self._say(f"{name}: {outcome}, {self._done} of {self._total}")

    def _say(self, text: str) -> None:
        if self._show:
            print(f"{self._verb} {time.monotonic() - self._begun:5.0f} s  {text}", file=self._stream, flush=True)
