"""Every runner: answers, errors, deaths; and of the supervised ones: kills, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import EVALUATORS, LOADER
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError, SorbusError
from screening import workers
from screening.executor import FuturesRunner, Outcome, Task, TaskRunner
from screening.geometry_json import encode_structure
from screening.workers import LocalWorkers

STRUCTURE = encode_structure(Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
MARK = "SORBUS_TEST_MARK"


def task(index: int, deadline_s: float = 60.0, **settings: Any) -> Task:
    candidate = {"id": f"id{index}", "index": index, "structure": STRUCTURE, "provenance": {}, "properties": []}
    payload = {
        "kind": "evaluate",
        "stage": "probe",
        "function": EVALUATORS[0].function,
        "settings_class": EVALUATORS[0].settings,
        "settings": settings,
        "seed": index,
        "candidate": candidate,
    }
    return Task("probe", (f"id{index}",), payload, deadline_s)


def drive(runner: TaskRunner, tasks: list[Task], limit_s: float = 60.0) -> dict[str, Outcome]:
    """Run all tasks; outcomes by subject, each exactly once."""
    outcomes: dict[str, Outcome] = {}
    waiting = list(tasks)
    end = time.monotonic() + limit_s
    while len(outcomes) < len(tasks):
        assert time.monotonic() < end, f"only {sorted(outcomes)} came back"
        while waiting and runner.free() > 0:
            runner.submit(waiting.pop(0))
        for outcome in runner.wait(0.5):
            assert outcome.task.subjects[0] not in outcomes
            outcomes[outcome.task.subjects[0]] = outcome
    return outcomes


def processes(mark: str) -> set[int]:
    """Living processes that inherited the environment variable `MARK=mark`."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes()
            dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (OSError, PermissionError):
            continue
        if marked and not dead:
            found.add(int(folder.name))
    return found - {os.getpid()}


def gone(mark: str, patience_s: float = 15.0) -> bool:
    end = time.monotonic() + patience_s
    while processes(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


def thread_pool() -> Executor:
    return ThreadPoolExecutor(2)


def process_pool() -> Executor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@pytest.fixture(params=["local", thread_pool, process_pool], ids=["local", "threads", "pool"], scope="module")
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskRunner]:
    if request.param == "local":
        with LocalWorkers(2, tmp_path_factory.mktemp("run")) as local:
            yield local
    else:
        with request.param() as pool:
            adapter = FuturesRunner(pool, window=4)
            yield adapter
            adapter.close()


def test_contract_every_task_has_one_outcome(runner: TaskRunner) -> None:
    outcomes = drive(runner, [task(n, raise_on=(3,), reject_on=(5,)) for n in range(9)])
    assert all(outcome.death is None and outcome.answer is not None for outcome in outcomes.values())
    answers = {key: outcome.answer for key, outcome in outcomes.items() if outcome.answer is not None}
    assert answers["id3"]["error"] == "ZeroDivisionError: no atoms left"
    assert answers["id5"]["rejected"] == "volume is out of taste"
    volume, noise, nan = answers["id0"]["properties"]
    assert volume["value"] == pytest.approx(64.0)
    assert nan["value"] is None
    assert noise["value"] != answers["id1"]["properties"][1]["value"]


def test_contract_answers_do_not_depend_on_the_runner(runner: TaskRunner) -> None:
    from screening.tasks import run_task

    outcomes = drive(runner, [task(n, move=True) for n in range(3)])
    for n in range(3):
        expected = run_task(task(n, move=True).payload)
        answer = dict(outcomes[f"id{n}"].answer or {})
        assert {**answer, "wall_seconds": 0} == {**expected, "wall_seconds": 0}


def test_contract_overdue_tasks_are_reported(runner: TaskRunner) -> None:
    if isinstance(runner, FuturesRunner):
        outcomes = drive(runner, [task(0), task(1, deadline_s=0.3, seconds=1.0)])
    else:
        outcomes = drive(runner, [task(0), task(1, deadline_s=0.3, hang_on=(1,))])
    assert outcomes["id0"].death is None
    assert outcomes["id1"].death == "no answer within 0.3 s"


def test_a_pool_that_broke_says_so() -> None:
    with process_pool() as pool:
        runner = FuturesRunner(pool, window=1)
        outcome = drive(runner, [task(0, die_on=(0,))])["id0"]
        assert outcome.death == "its worker was lost (BrokenProcessPool)"
        with pytest.raises(SorbusError, match="takes no more tasks"):
            runner.submit(task(1))


def test_a_dead_worker_costs_its_task_alone(tmp_path: Path) -> None:
    with LocalWorkers(2, tmp_path) as runner:
        outcomes = drive(runner, [task(n, die_on=(2, 3)) for n in range(8)])
    deaths = {key: outcome.death for key, outcome in outcomes.items() if outcome.death}
    assert deaths == dict.fromkeys(("id2", "id3"), "its worker was killed by SIGKILL (out of memory?)")


@needs_proc
def test_a_hung_compiled_call_is_killed_and_the_rest_goes_on(tmp_path: Path, mark: str) -> None:
    with LocalWorkers(2, tmp_path) as runner:
        outcomes = drive(runner, [task(n, deadline_s=1.0, hang_on=(0, 4), child=True) for n in range(6)])
    deaths = {key: outcome.death for key, outcome in outcomes.items() if outcome.death}
    assert deaths == dict.fromkeys(("id0", "id4"), "no answer within 1 s")
    assert gone(mark), "a killed worker or a process it started is left"


@needs_proc
def test_closing_leaves_nothing(tmp_path: Path, mark: str) -> None:
    runner = LocalWorkers(2, tmp_path)
    drive(runner, [task(n, child=True) for n in range(4)])
    runner.submit(task(9, hang_on=(9,)))
    assert processes(mark)
    runner.close()
    assert gone(mark)
    assert [path.name for path in tmp_path.iterdir()] == ["workers.log"]
    runner.close()


def test_a_worker_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    with LocalWorkers(1, tmp_path) as runner:
        drive(runner, [task(0)])
        worker = runner._slots[0]
        assert worker is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        assert drive(runner, [task(1)])["id1"].death is None  # no candidate is blamed for it


def test_workers_that_cannot_start_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_BOOT", "raise SystemExit(3)")
    with (
        LocalWorkers(2, tmp_path) as runner,
        pytest.raises(SorbusError, match=r"end before they begin \(exited with code 3\)"),
    ):
        drive(runner, [task(0)])


def test_what_workers_print_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with LocalWorkers(1, tmp_path) as runner:
        drive(runner, [task(0, raise_on=(0,))])
    text = (tmp_path / "workers.log").read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: no atoms left" in text
    assert capfd.readouterr() == ("", "")


def environment_task(names: list[str]) -> Task:
    payload = {"kind": "check_proposer", "loader": "test_workers:write_environment", "proposer": "x", "settings": names}
    return Task("check", ("x",), payload, 60.0)


def write_environment(name: str, names: list[str]) -> None:
    raise InputError(" ".join(f"{key}={os.environ.get(key)}" for key in names))


@pytest.mark.parametrize(("count", "cores", "threads"), [(1, 8, 8), (3, 8, 2), (4, 2, 1)])
def test_cores_are_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, cores: int, threads: int
) -> None:
    monkeypatch.setattr(workers, "cpu_count", lambda: cores)
    with LocalWorkers(count, tmp_path) as runner:
        answer = drive(runner, [environment_task(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "TMPDIR"])])["x"].answer
    assert answer is not None
    scratch = tmp_path / ".scratch" / "0"
    assert answer["error"] == f"OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} TMPDIR={scratch}"


def test_a_read_only_folder_is_one_sentence() -> None:
    with pytest.raises(InputError, match="choose a folder you may write to"):
        LocalWorkers(1, Path("/proc/nowhere"))


# The driver dies

DRIVER = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_workers import task
from screening.workers import LocalWorkers
runner = LocalWorkers(3, Path({folder!r}))
runner.submit(task(0, child=True))
runner.submit(task(1, hang_on=(1,), child=True, folder={folder!r}))
runner.submit(task(2, seconds=100.0, child=True, folder={folder!r}))
while True:
    runner.wait(0.1)
"""


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_driver(tmp_path: Path, mark: str, number: signal.Signals) -> None:
    code = DRIVER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    running = [tmp_path / "probe.1", tmp_path / "probe.2"]
    wait_until(lambda: all(path.exists() for path in running))
    wait_until(lambda: len(processes(mark)) >= 8)  # driver, guardian, 3 workers, their 3 children
    driver.send_signal(number)
    driver.wait(timeout=10)
    assert gone(mark), f"left behind: {[Path(f'/proc/{pid}/cmdline').read_bytes() for pid in processes(mark)]}"


@needs_proc
def test_nothing_outlives_driver_and_guardian(tmp_path: Path, mark: str) -> None:
    """Without the guardian the kernel's own signal still ends every worker, hung in compiled code or not."""
    code = DRIVER.format(tests=str(Path(__file__).parent), folder=str(tmp_path)).replace(", child=True", "")
    driver = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: (tmp_path / "probe.1").exists() and len(processes(mark)) >= 5)
    (guardian,) = (pid for pid in processes(mark) if b"guardian.py" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(guardian, signal.SIGKILL)
    driver.kill()
    driver.wait(timeout=10)
    assert gone(mark)


def wait_until(condition: Callable[[], bool], patience_s: float = 30.0) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_loader_of_the_tests_is_importable_in_a_worker(tmp_path: Path) -> None:
    payload = {"kind": "check_proposer", "loader": LOADER, "proposer": "salt", "settings": {}}
    with LocalWorkers(1, tmp_path) as runner:
        answer = drive(runner, [Task("proposed", ("x",), payload, 60.0)])["x"].answer
    assert answer is not None
    assert answer["error"] == "no proposer is called 'salt': did you mean 'salts'?"
