"""Lease, run, commit: tasks of one stage through a runner into the store, deaths counted and poisoned."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from potentials.errors import InputError, SorbusError
from screening.executor import Outcome, Task, TaskRunner
from screening.store import Store

_BEAT_S = 1.0  # longest silence between two looks at the clock, the progress and a Ctrl-C


def run_stage(
    store: Store,
    runner: TaskRunner,
    stage: str,
    groups: Iterable[tuple[str, ...]],
    make_task: Callable[[tuple[str, ...]], Task],
    commit: Callable[[Task, Mapping[str, Any]], None],
    give_up: Callable[[str, str, float], None],
    max_attempts: int,
    beat: Callable[[int], None],
) -> None:
    """Work through a stage. What is committed stays, however this ends.

    Args:
        store: open for writing; leases, answers and deaths of one beat are one commit.
        runner: where tasks run.
        stage: its name.
        groups: subjects of each task, in order; a group whose worker dies is tried again one by one, so that the
            death is charged to the one that causes it.
        make_task: builds the task of a group when its turn comes.
        commit: writes an answer without `error`.
        give_up: (subject, reason, wall seconds) writes that a subject failed: by an error, or by
            `max_attempts` worker deaths.
        max_attempts: worker deaths that poison a subject, those of earlier drivers included.
        beat: called at least once a second with the number of running tasks.

    Raises:
        InputError: a worker found the disk full or read-only, or the store did.
    """
    queue = deque(groups)
    deaths = store.deaths(stage)
    begun: dict[tuple[str, ...], float] = {}
    outcomes: list[Outcome] = []

    def settle(outcome: Outcome) -> None:
        subjects = outcome.task.subjects
        seconds = time.monotonic() - begun.pop(subjects)
        error = None if outcome.answer is None else outcome.answer.get("error")
        if outcome.answer is not None and outcome.answer.get("machine"):
            raise InputError(f"stage {stage}: {error}: free some space, then run the same command to go on")
        if outcome.answer is not None and error is None:
            commit(outcome.task, outcome.answer)
        elif len(subjects) > 1:
            queue.extendleft((subject,) for subject in reversed(subjects))
        elif outcome.death is None:
            give_up(subjects[0], str(error), seconds)
        else:
            count = deaths[subjects[0]] = store.record_death(stage, subjects[0], outcome.death)
            if count < max_attempts:
                queue.appendleft(subjects)
            else:
                give_up(subjects[0], f"{outcome.death}, {_times(count)}", seconds)

    while True:
        leased: list[Task] = []
        if outcomes or (queue and runner.free() > 0):
            with store.transaction():
                for outcome in outcomes:
                    settle(outcome)
                while queue and len(leased) < runner.free():
                    leased.append(make_task(queue.popleft()))
                    for subject in leased[-1].subjects:
                        store.lease(stage, subject, deaths.get(subject, 0) + 1, leased[-1].deadline_s)
        for task in leased:
            runner.submit(task)
            begun[task.subjects] = time.monotonic()
        beat(len(begun))
        if not begun:
            return
        outcomes = runner.wait(_BEAT_S)


def run_all(
    runner: TaskRunner, tasks: Iterable[Task], max_attempts: int, beat: Callable[[int, int], None]
) -> dict[str, Mapping[str, Any]]:
    """Run tasks of which every one must succeed, outside the ledger; answers by stage name.

    Args:
        runner: where tasks run.
        tasks: one a stage.
        max_attempts: worker deaths after which a task is given up.
        beat: called at least once a second with the number of finished and of running tasks.

    Raises:
        InputError: a task answered with an error; its sentence.
        SorbusError: its workers died.
    """
    queue, running = deque((task, 1) for task in tasks), 0
    attempts: dict[str, int] = {}
    answers: dict[str, Mapping[str, Any]] = {}
    while queue or running:
        while queue and runner.free() > 0:
            task, attempt = queue.popleft()
            attempts[task.stage] = attempt
            runner.submit(task)
            running += 1
        for outcome in runner.wait(_BEAT_S):
            running -= 1
            stage = outcome.task.stage
            if outcome.answer is None and attempts[stage] < max_attempts:
                queue.appendleft((outcome.task, attempts[stage] + 1))
            elif outcome.answer is None:
                raise SorbusError(f"stage {stage}: {outcome.death}, {_times(attempts[stage])}: see workers.log")
            elif "error" in outcome.answer:
                raise InputError(f"stage {stage}: {outcome.answer['error']}")
            else:
                answers[stage] = outcome.answer
        beat(len(answers), running)
    return answers


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
