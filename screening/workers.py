"""Supervised local workers: a dead or hung one costs its task, never the campaign.

Long-lived processes, so that models are loaded once. Each is a fresh interpreter (no fork: torch and compiled
codes do not survive one; no re-import of the caller's script as `multiprocessing`'s spawn does it) in its own
session. A task past its deadline has its worker's whole process group killed with SIGKILL, which also ends a hung
compiled call; when the driver dies, kernel and guardian end the rest (`worker_process.py`, `guardian.py`).
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import TracebackType

from potentials.errors import InputError, SorbusError
from screening.executor import Outcome, Task

START_LIMIT_S = 300.0  # from the start of a task to the end of its imports, cold disk and busy machine included
_MAX_FAILED_STARTS = 3  # in a row, before we say that workers cannot start here

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from screening.worker_process import main; \
main(int(sys.argv[2]), int(sys.argv[3]))"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """A `TaskRunner` of `count` supervised processes, started as tasks come.

    Each has a folder for temporary files (`TMPDIR`) under `<folder>/.scratch`, removed with it: a killed code
    leaves nothing behind.

    Args:
        count: processes; each gets `max(1, cores // count)` threads for its compiled codes.
        folder: takes `workers.log`, with everything workers print, and the scratch folders.

    Raises:
        InputError: the folder cannot be written.
        SorbusError: (from `wait`) workers die before they are ready, time after time.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self.log = folder / "workers.log"
        self._scratch = folder.absolute() / ".scratch"
        threads = str(max(1, cpu_count() // count))
        self._environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, threads), "PYTHONUNBUFFERED": "1"}
        self._slots: list[_Worker | None] = [None] * count
        self._failed_starts = 0
        self._guardian: subprocess.Popen[bytes] | None = None
        try:
            shutil.rmtree(self._scratch, ignore_errors=True)  # of a driver that was killed
            self._scratch.mkdir(parents=True)
            self._output = self.log.open("ab")
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}: choose a folder you may write to") from error

    def __enter__(self) -> "LocalWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def free(self) -> int:
        """Workers without a task, or not yet started."""
        return sum(worker is None or worker.task is None for worker in self._slots)

    def stages(self) -> dict[str, str]:
        """What the tasks under way said last (`screening.stage_report.tell`), by their first subject."""
        busy = [worker for worker in self._slots if worker is not None and worker.task is not None]
        return {worker.task.subjects[0]: worker.stage for worker in busy if worker.task is not None and worker.stage}

    def submit(self, task: Task) -> None:
        """Give the task to an idle worker (a warm one first), starting one if need be."""
        idle = [n for n, worker in enumerate(self._slots) if worker is None or worker.task is None]
        slot = min(idle, key=lambda n: self._slots[n] is None)
        worker = self._slots[slot]
        if worker is None:
            worker = self._slots[slot] = self._start(slot)
        worker.give(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Answers and deaths, waiting up to `timeout_s` for the first; overdue workers are killed here."""
        now = time.monotonic()
        limits = [worker.limit for worker in self._slots if worker is not None and worker.task is not None]
        patience = max(0.0, min([timeout_s, *(limit - now for limit in limits)]))
        wait_for([worker.connection for worker in self._slots if worker is not None], timeout=patience)
        outcomes = []
        for slot, worker in enumerate(self._slots):
            if worker is None:
                continue
            # a process it started may hold its socket open, so its end is looked for as well as the end of file
            ended = worker.exit_status() is not None
            if worker.connection.poll():
                outcomes += self._read(slot, worker)
            elif ended:
                outcomes += self._bury(slot, worker)
            elif worker.task is not None and time.monotonic() > worker.limit:
                allowed = worker.task.deadline_s if worker.started else START_LIMIT_S
                outcomes.append(Outcome(worker.task, death=f"no answer within {allowed:g} s"))
                self._end(slot)
        return outcomes

    def close(self) -> None:
        """Kill every worker and the guardian's charge; safe to call twice."""
        for slot in range(len(self._slots)):
            self._end(slot)
        if self._guardian is not None:
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()
            self._guardian.wait()
            self._guardian = None
        self._output.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _start(self, slot: int) -> "_Worker":
        scratch = self._scratch / str(slot)
        try:
            scratch.mkdir(exist_ok=True)
            self._start_guardian()
            worker = _Worker({**self._environment, "TMPDIR": str(scratch)}, self._output.fileno())
        except OSError as error:
            raise SorbusError(f"cannot start a worker ({error}): free memory or disk, or use fewer workers") from error
        self._tell_guardian(f"+{worker.process.pid}\n")
        return worker

    def _start_guardian(self) -> None:
        if self._guardian is None:
            # stdin carries the process groups; the path avoids importing anything of ours
            script = str(Path(__file__).with_name("guardian.py"))
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", script, "0", str(os.getpid())],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
            )

    def _tell_guardian(self, line: str) -> None:
        assert self._guardian is not None
        assert self._guardian.stdin is not None
        with contextlib.suppress(OSError):  # without a guardian the kernel still ends the workers themselves
            self._guardian.stdin.write(line.encode())

    def _read(self, slot: int, worker: "_Worker") -> list[Outcome]:
        """What one worker has to say: ready, started, the stage it is at, an answer, or its death."""
        try:
            message = json.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            return self._bury(slot, worker)
        if message.get("ready"):
            worker.ready = True
            worker.send_task()
            return []
        task = worker.task
        assert task is not None
        if message.get("started"):
            self._failed_starts = 0
            worker.started = True
            worker.limit = time.monotonic() + task.deadline_s
            return []
        if "stage" in message:
            worker.stage = str(message["stage"])
            return []
        worker.task = None
        return [Outcome(task, answer=message)]

    def _bury(self, slot: int, worker: "_Worker") -> list[Outcome]:
        status = worker.exit_status(patience_s=5.0)
        self._end(slot)
        cause = _cause(status)
        if worker.task is not None and worker.started:
            return [Outcome(worker.task, death=f"its worker {cause}")]
        if worker.task is not None or not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise SorbusError(f"worker processes end before they begin ({cause}): the reason is in {self.log}")
        if worker.task is not None:  # it had not begun, so the candidate is not to blame: a fresh worker takes it
            self.submit(worker.task)
        return []

    def _end(self, slot: int) -> None:
        """Kill the worker's process group and reap the worker."""
        worker = self._slots[slot]
        if worker is None:
            return
        self._slots[slot] = None
        # the group goes before its leader is reaped: until then its number cannot be given to another process
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        self._tell_guardian(f"-{worker.process.pid}\n")
        worker.connection.close()
        worker.process.wait()
        shutil.rmtree(self._scratch / str(slot), ignore_errors=True)


class _Worker:
    """One process, our end of its socket, and what it is doing."""

    def __init__(self, environment: dict[str, str], output: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self.stage = ""  # what the task said it is at
        self.limit = 0.0  # time.monotonic() at which the task is overdue
        self.ready = False
        self.started = False

    def give(self, task: Task) -> None:
        """Take a task; it is sent when the worker listens, since a long message to a deaf one would block us."""
        self.task, self.started, self.stage = task, False, ""
        self.limit = time.monotonic() + START_LIMIT_S
        if self.ready:
            self.send_task()

    def send_task(self) -> None:
        """Send the task, if there is one."""
        if self.task is not None:
            with contextlib.suppress(OSError):  # it died idle: its end is found by the next wait
                self.connection.send_bytes(json.dumps(self.task.payload).encode())

    def exit_status(self, patience_s: float = 0.0) -> int | None:
        """Exit code, or minus the signal, of a process that has ended; it stays unreaped. `None`: it lives."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: reaped here already
            return self.process.poll()
        limit = time.monotonic() + patience_s
        while True:
            state = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is not None:
                return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status
            if time.monotonic() >= limit:
                return None
            time.sleep(0.01)


def _cause(status: int | None) -> str:
    if status is None:
        return "closed its connection"
    if status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
        return f"was killed by {name}{hint}"
    return f"exited with code {status}"
