"""The loop every crystal training runs: updates in a reproducible order, resumable at any of them."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from gen.crystals.batches import epoch_batches
from gen.crystals.config import TrainConfig
from gen.crystals.run_state import RunState, save_state

Batch = list[tuple[int, Tensor]]  # (atom count, rows of that group)


def updates_per_epoch(sizes: dict[int, int], options: TrainConfig) -> int:
    """Updates that see every crystal once; `sizes` are crystals of each atom count."""
    return len(epoch_batches(sizes, options.batch_size, options.groups, options.seed, 0))


def run_updates(
    state: RunState,
    folder: Path,
    fingerprint: str,
    sizes: dict[int, int],
    options: TrainConfig,
    total: int,
    update: Callable[[Batch], dict[str, float]],
    *,
    title: str,
    log: Callable[[dict[str, float]], None] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    write: Callable[[dict[str, float]], None] | None = None,
    progress: bool = True,
    max_seconds: float = math.inf,
) -> None:
    """Run `state` on to `total` updates; batches are a function of (seed, epoch, update) alone.

    Args:
        update: makes one update and returns its losses.
        title: of the progress bar.
        log: receives losses every `log_every` updates, and those of `validate`.
        validate: losses of held-out crystals, asked for every `validate_every` updates and at the end.
        write: called after each saved state with the last of those.
        max_seconds: of training, over all resumptions, after which it ends wherever it stands; `update` finds them in
            `state.seconds`.
    """
    per_epoch = updates_per_epoch(sizes, options)
    before, started = state.seconds, time.monotonic()
    saved = started
    losses: dict[str, float] = {}
    with tqdm(total=total, initial=state.step, desc=title, unit="update", mininterval=5, disable=not progress) as bar:
        last = state.step >= total or state.seconds >= max_seconds
        while not last:
            epoch = state.step // per_epoch
            batches = epoch_batches(sizes, options.batch_size, options.groups, options.seed, epoch)
            for batch in batches[state.step % per_epoch :][: total - state.step]:
                values = update(batch)
                bar.update()
                state.seconds = before + time.monotonic() - started
                last = state.step == total or state.seconds >= max_seconds
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
