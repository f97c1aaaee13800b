"""Where tasks run: the protocol a campaign drives, and the adapter for any `concurrent.futures.Executor`.

No engine survives its driver, so none keeps anything: a runner takes tasks and gives outcomes, and the store
alone knows what is done. `screening.workers.LocalWorkers` is the default runner.
"""

import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from potentials.errors import SorbusError
from screening.tasks import Payload, run_task


@dataclass(frozen=True)
class Task:
    """One unit of work. `payload` is what `screening.tasks.run_task` takes; `subjects` are the rows it serves."""

    stage: str
    subjects: tuple[str, ...]  # candidate ids, or proposal numbers at the stage "proposed"
    payload: Payload
    deadline_s: float  # wall time, without imports, after which the worker is killed


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with an `answer`, or with the `death` of its worker (why, in a few words)."""

    task: Task
    answer: Mapping[str, Any] | None = None
    death: str | None = None


class TaskRunner(Protocol):
    """Anything that runs tasks. One thread drives it; every submitted task yields exactly one outcome."""

    def free(self) -> int:
        """How many more tasks it would start at once."""
        ...

    def submit(self, task: Task) -> None:
        """Start a task; call only while `free()` is positive."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that have arrived, waiting up to `timeout_s` for the first."""
        ...

    def close(self) -> None:
        """Stop at once, whatever still runs; no process is left behind."""
        ...


class FuturesRunner:
    """Tasks on any `concurrent.futures.Executor`: a thread or process pool, Parsl, Dask's `get_executor()`.

    A future cannot be killed: a task past its deadline is given up as lost while its worker may go on, and a
    pool that breaks as a whole stops the campaign (finished work stays in the store). Local campaigns use
    `LocalWorkers`, which kill.

    Args:
        executor: the pool; the caller shuts it down.
        window: tasks handed out at once, about twice the number of workers.
    """

    def __init__(self, executor: Executor, window: int) -> None:
        self._executor = executor
        self._window = window
        self._running: dict[Future[Payload], tuple[Task, float]] = {}

    def free(self) -> int:
        """Places left in the window."""
        return self._window - len(self._running)

    def submit(self, task: Task) -> None:
        """Hand a task to the pool.

        Raises:
            SorbusError: the pool is broken or shut down.
        """
        try:
            future = self._executor.submit(run_task, task.payload)
        except RuntimeError as error:  # BrokenExecutor, or used after shutdown
            raise SorbusError(f"the executor takes no more tasks ({error}): start it again and rerun") from error
        self._running[future] = (task, time.monotonic() + task.deadline_s)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Finished and overdue tasks."""
        wait(self._running, timeout=timeout_s, return_when=FIRST_COMPLETED)
        outcomes, now = [], time.monotonic()
        for future, (task, limit) in list(self._running.items()):
            if future.done():
                outcomes.append(_outcome(task, future))
            elif now > limit:
                future.cancel()
                outcomes.append(Outcome(task, death=f"no answer within {task.deadline_s:g} s"))
            else:
                continue
            del self._running[future]
        return outcomes

    def close(self) -> None:
        """Cancel what has not begun."""
        for future in self._running:
            future.cancel()
        self._running.clear()


def _outcome(task: Task, future: Future[Payload]) -> Outcome:
    try:
        return Outcome(task, answer=future.result())
    except CancelledError:
        return Outcome(task, death="its task was cancelled")
    except Exception as error:  # run_task catches its own; this is the engine's (a lost worker, a broken pool)
        return Outcome(task, death=f"its worker was lost ({type(error).__name__})")
