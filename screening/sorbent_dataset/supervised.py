"""Worker processes that answer one index at a time; one that hangs or dies costs its index, not the run."""

import contextlib
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from potentials.errors import SorbusError
from screening.sorbent_dataset.draws import Draws
from screening.sorbent_dataset.rows import lost, make_record
from screening.sorbent_dataset.settings import SorbentDatasetSettings

START_LIMIT_S = 300.0  # imports of a fresh worker on a busy machine
MAX_FAILED_STARTS = 3  # in a row, before we say that workers cannot start here
POLL_S = 1.0
NO_ANSWER = "no answer in time"


class _Worker:
    """A fresh interpreter (compiled codes do not survive a fork) and what it is at."""

    def __init__(self, settings: SorbentDatasetSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, settings.model_dump(mode="json")), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.index: int | None = None
        self.limit = time.monotonic() + START_LIMIT_S

    def give(self, index: int, limit_s: float) -> None:
        self.index, self.limit = index, time.monotonic() + limit_s
        self.connection.send(index)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def supervised_records(indices: Iterable[int], settings: SorbentDatasetSettings) -> Iterator[dict[str, Any]]:
    """Records as `settings.workers` processes finish them; an index past `settings.row_limit_s` is lost.

    Raises:
        SorbusError: workers die before they are ready, time after time.
    """
    source = iter(indices)
    workers: list[_Worker] = []
    failed_starts, drawn = 0, next(source, None)
    try:
        while drawn is not None or any(worker.index is not None for worker in workers):
            while drawn is not None and len(workers) < settings.workers:
                workers.append(_Worker(settings))
            for worker in workers:
                if worker.ready and worker.index is None and drawn is not None:
                    worker.give(drawn, settings.row_limit_s)
                    drawn = next(source, None)
            wait_for([worker.connection for worker in workers], timeout=POLL_S)
            for worker in list(workers):
                answer = _answer(worker)
                if isinstance(answer, dict):
                    failed_starts = 0
                    yield answer
                elif answer is not None:
                    failed_starts += not worker.ready
                    if failed_starts >= MAX_FAILED_STARTS:
                        raise SorbusError(f"worker processes end before they begin ({answer}): free some memory")
                    index = worker.index
                    worker.end()
                    workers.remove(worker)
                    if index is not None:
                        yield lost(index, None, "time" if answer == NO_ANSWER else "crash", answer)
    finally:
        for worker in workers:
            worker.end()


def _answer(worker: _Worker) -> dict[str, Any] | str | None:
    """A record, in words how the worker ended, or None: nothing yet."""
    try:
        if worker.connection.poll():
            message = worker.connection.recv()
            if worker.ready:
                worker.index = None
                return dict(message)
            worker.ready = True
            return None
    except (EOFError, OSError):
        worker.process.join(5.0)
        return f"its process ended with code {worker.process.exitcode}"
    busy = worker.index is not None or not worker.ready
    return NO_ANSWER if busy and time.monotonic() > worker.limit else None


def _serve(connection: Connection, settings: dict[str, Any]) -> None:
    parsed = SorbentDatasetSettings.model_validate(settings)
    draws = Draws(parsed.draw, parsed.seed)
    connection.send("ready")
    with contextlib.suppress(EOFError, OSError):  # the driver is gone
        while True:
            connection.send(make_record(connection.recv(), draws, parsed))
