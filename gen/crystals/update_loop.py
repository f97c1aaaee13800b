"""The loop every crystal training runs: updates in a reproducible order, resumable at any of them."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gen.crystals.batches import epoch_batches
from gen.crystals.config import TrainConfig
from gen.crystals.run_state import RunState, save_state
from potentials.bars import progress_bar

Batch = list[tuple[int, Tensor]]  # (atom count, rows of that group)


@dataclass(frozen=True)
class Budget:
    """How long a run goes on, over all resumptions: so many updates, or until so many seconds are spent."""

    updates: int | None
    seconds: float = math.inf

    def planned(self, state: RunState) -> int:
        """Updates the whole run will have; by the clock, as many as the time so far promises."""
        if self.updates is not None:
            return self.updates
        done = state.seconds / self.seconds
        return round(state.step / done) if done > 0 else sys.maxsize

    def spent(self, state: RunState) -> bool:
        """Whether the run is over."""
        return state.seconds >= self.seconds or (self.updates is not None and state.step >= self.updates)


def training_budget(options: TrainConfig, per_epoch: int) -> Budget:
    """What the options ask for: `max_minutes` where it is given, else `epochs`."""
    if options.max_minutes is not None:
        return Budget(None, 60 * options.max_minutes)
    return Budget(per_epoch * options.epochs)


def updates_per_epoch(sizes: dict[int, int], options: TrainConfig) -> int:
    """Updates that see every crystal once; `sizes` are crystals of each atom count."""
    return len(epoch_batches(sizes, options.batch_size, options.groups, options.seed, 0))


def run_updates(
    state: RunState,
    folder: Path,
    fingerprint: str,
    sizes: dict[int, int],
    options: TrainConfig,
    budget: Budget,
    update: Callable[[Batch], dict[str, float]],
    *,
    title: str,
    log: Callable[[dict[str, float]], None] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    write: Callable[[dict[str, float]], None] | None = None,
    progress: bool = True,
) -> None:
    """Run `state` on until its budget is spent; batches are a function of (seed, epoch, update) alone.

    Args:
        update: makes one update and returns its losses.
        title: of the progress bar.
        log: receives losses every `log_every` updates, and those of `validate`.
        validate: losses of held-out crystals, asked for every `validate_every` updates and at the end.
        write: called after each saved state with the last of those, `state.seconds` up to date.
    """
    per_epoch = updates_per_epoch(sizes, options)
    before, started = state.seconds, time.monotonic()
    saved = started
    losses: dict[str, float] = {}
    with progress_bar(total=budget.updates, initial=state.step, desc=title, unit="update", progress=progress) as bar:
        last = budget.spent(state)
        while not last:
            epoch = state.step // per_epoch
            batches = epoch_batches(sizes, options.batch_size, options.groups, options.seed, epoch)
            for batch in batches[state.step % per_epoch :]:
                values = update(batch)
                bar.update()
                state.seconds = before + time.monotonic() - started
                last = budget.spent(state)
                if log is not None and (state.step % options.log_every == 0 or last):
                    bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
                    log(values)
                if validate is not None and (state.step % options.validate_every == 0 or last):
                    losses = validate()
                    if log is not None:
                        log(losses)
                if time.monotonic() - saved > options.checkpoint_seconds or last:
                    save_state(folder, state, fingerprint)
                    if write is not None:
                        write(losses)
                    saved = time.monotonic()
                if last:
                    break
