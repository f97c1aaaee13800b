"""Progress of a campaign: a bar in a terminal, a line every few seconds anywhere else."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

INTERVAL_S = 10.0  # of the lines where there is no terminal


class Progress:
    """One stage at a time, with how many candidates it lost.

    Args:
        show: `False` prints nothing.
        stream: where to print; stderr by default.
    """

    def __init__(self, show: bool = True, stream: TextIO | None = None) -> None:
        self._show = show
        self._stream = stream or sys.stderr
        self._terminal = show and self._stream.isatty()
        self._bar: tqdm | None = None
        self._stage, self._total, self._done, self._lost, self._running = "", 0, 0, 0, 0
        self._begun = self._spoke = 0.0

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._show:
            tqdm.write(line, file=self._stream)
            self._stream.flush()

    def begin(self, stage: str, total: int, done: int, lost: int) -> None:
        """Start a stage of which `done` candidates are finished already."""
        self._stage, self._total, self._done, self._lost, self._running = stage, total, done, lost, 0
        self._begun = self._spoke = time.monotonic()
        if self._terminal:
            self._bar = tqdm(total=total, initial=done, desc=f"{stage:>12}", file=self._stream, dynamic_ncols=True)
            self._bar.set_postfix(lost=lost)

    def update(self, done: int, lost: int, running: int) -> None:
        """Note the state of the stage; called often, speaks now and then, also while nothing moves."""
        advance, self._done, self._lost, self._running = done - self._done, done, lost, running
        if self._bar is not None:
            self._bar.set_postfix(lost=lost, refresh=False)
            self._bar.update(advance)
            self._bar.refresh()
        elif self._show and time.monotonic() - self._spoke >= INTERVAL_S:
            self._speak(f", {running} running")

    def end(self, remark: str) -> None:
        """Finish the stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._show:
            self._speak(f"; {remark}")

    def stop(self) -> None:
        """Give the terminal back, the stage unfinished."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _speak(self, ending: str) -> None:
        self._spoke = time.monotonic()
        seconds = self._spoke - self._begun
        self.say(f"{self._stage}: {self._done} of {self._total} done, {self._lost} lost, {seconds:.0f} s{ending}")
