"""Make the records of a range of indices, in parallel, and go on where a run was cut off."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from screening.progress import Progress
from screening.sorbent_dataset.draws import Draws
from screening.sorbent_dataset.parts import append, open_part, parts_folder
from screening.sorbent_dataset.rows import make_record
from screening.sorbent_dataset.settings import SorbentDatasetSettings, recipe_hash
from screening.sorbent_dataset.supervised import supervised_records


def build_part(settings: SorbentDatasetSettings, progress: bool = False) -> Path:
    """Append the missing records of `start` to `start + count` to their part file.

    Several processes may work at once, each with a `start` of its own. Records are in the order they were
    finished; the content of each depends on its index alone.

    Raises:
        InputError: the part belongs to other settings or another process.
        SorbusError: workers cannot be started.
    """
    path = parts_folder(settings.out) / f"rows_{settings.start:08d}.jsonl"
    stream, done = open_part(path, recipe_hash(settings))
    limit = time.monotonic() + 60.0 * settings.max_minutes if settings.max_minutes else None
    todo = [i for i in range(settings.start, settings.start + settings.count) if i not in done]
    bar = Progress(progress)
    with stream:
        bar.begin("frameworks", settings.count, settings.count - len(todo), 0)
        finished, lost = settings.count - len(todo), 0
        for record in _records(_until(todo, limit), settings):
            append(stream, record)
            finished += 1
            lost += not record["kept"]
            bar.update(finished, lost, settings.workers)
        bar.end(f"in {path}")
    return path


def _until(indices: list[int], limit: float | None) -> Iterator[int]:
    """Indices as long as the time allows."""
    return itertools.takewhile(lambda _: limit is None or time.monotonic() < limit, indices)


def _records(indices: Iterator[int], settings: SorbentDatasetSettings) -> Iterator[dict[str, Any]]:
    if settings.workers:
        yield from supervised_records(indices, settings)
        return
    draws = Draws(settings.draw, settings.seed)
    yield from (make_record(index, draws, settings) for index in indices)
