"""Kill the driver or a worker at any moment, run again: the same table, nothing done twice, nobody left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import make_campaign, make_config, run_count, table
from test_workers import MARK, gone, needs_proc, processes

from screening.store import PROPOSED, STORE_NAME, Store

COUNT = 10


def config_counting_in(folder: Path, workers: int = 2) -> Any:
    """Proposals, two evaluators of some 50 ms with a poisonous candidate, a batch stage, a filter that keeps some."""
    counted = {"folder": str(folder)}
    probe = {**counted, "seconds": 0.05, "raise_on": [4], "reject_on": [5]}
    again = {**counted, "seconds": 0.05, "name": "again", "move": True}
    stages = [
        {"evaluator": "probe", "settings": probe, "require": {"probe_volume": "> 10"}},
        {"evaluator": "together", "settings": counted, "keep": {"n": 5, "by": "rank"}},
        {"evaluator": "probe", "name": "again", "settings": again},
    ]
    proposer = {"count": COUNT, "settings": {**counted, "seconds": 0.02, "twins": {"7": 1}, "unbuilt": [2]}}
    # the killer may hit one candidate's workers twice, which is no fault of its
    return make_config(stages, workers=workers, proposer=proposer, max_attempts=20)


def finished(path: Path) -> set[tuple[str, int]]:
    """(stage, index) of everything committed so far."""
    if not path.exists() or path.stat().st_size == 0:
        return set()
    with Store.open(path) as store:
        index_of = {row.candidate.id: row.index for row in reversed(store.snapshot().rows) if row.candidate}
        done = {(PROPOSED, index) for index in store.proposed()}
        return done | {(stage, index_of[i]) for stage in ("probe", "again") for i in store.evaluated(stage)}


def counts(folder: Path, work: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
    return {(stage, index): run_count(folder, stage, index) for stage, index in work}


def start(run: Path, config: Any) -> subprocess.Popen[bytes]:
    script = str(Path(__file__).with_name("campaign_parts.py"))
    return subprocess.Popen([sys.executable, script, str(run), config.model_dump_json()], stderr=subprocess.DEVNULL)


def drive_until_done(tmp_path: Path, mark: str, kills: int, seed: int, victims: str) -> None:
    """Start the campaign again and again, killing the driver or a worker at random moments, then let it finish."""
    rng = random.Random(seed)
    counted = tmp_path / "counts"
    counted.mkdir()
    config = config_counting_in(counted)
    run = tmp_path / "run"
    for attempt in range(kills + 1):
        done_before = finished(run / STORE_NAME)
        counts_before = counts(counted, done_before)
        driver = start(run, config)
        if attempt < kills:
            moment = time.monotonic() + rng.uniform(0.3, 2.2)
            while time.monotonic() < moment and driver.poll() is None:
                time.sleep(0.01)
            workers = processes(mark) - {driver.pid}
            if victims == "driver" or (victims == "any" and rng.random() < 0.5) or not workers:
                driver.kill()
            else:
                os.kill(rng.choice(sorted(workers)), signal.SIGKILL)
                time.sleep(rng.uniform(0.0, 0.3))
                driver.kill()
        driver.wait(timeout=90)
        assert gone(mark), "processes outlived their driver"
        assert counts(counted, done_before) == counts_before, "finished work was done again"
        assert done_before <= finished(run / STORE_NAME), "finished work was lost"
    assert driver.returncode == 0

    uninterrupted = tmp_path / "uninterrupted"
    uninterrupted.mkdir()
    expected = make_campaign(config_counting_in(uninterrupted, 1), tmp_path / "calm").run(progress=False)
    killed = make_campaign(config, run).run(progress=False)
    assert table(killed) == table(expected)
    assert len(killed.rows) == COUNT
    assert sum(row.state == "active" for row in killed.rows) == 5
    with Store.open(run / STORE_NAME) as store:
        assert store._rows("SELECT count(*) FROM lease") == [(0,)]


@needs_proc
def test_the_driver_is_killed_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, tmp_path.name + "driver")
    drive_until_done(tmp_path, tmp_path.name + "driver", kills=4, seed=20, victims="driver")


@needs_proc
def test_workers_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker killed from outside charges its candidate an attempt, and the work goes on at once."""
    monkeypatch.setenv(MARK, tmp_path.name + "worker")
    counted = tmp_path / "counts"
    counted.mkdir()
    config = config_counting_in(counted)
    driver = start(tmp_path / "run", config)
    rng = random.Random(3)
    end = time.monotonic() + 60
    victims: set[int] = set()
    while len(victims) < 3 and driver.poll() is None:
        assert time.monotonic() < end
        working = {int(pid) for path in counted.glob("*.*") for pid in path.read_text().split()[-1:]}
        alive = sorted((working & processes(tmp_path.name + "worker")) - victims - {driver.pid})
        if alive:
            victim = rng.choice(alive)
            victims.add(victim)
            os.kill(victim, signal.SIGKILL)
            time.sleep(0.5)
    driver.wait(timeout=60)
    assert victims
    assert driver.returncode == 0
    assert gone(tmp_path.name + "worker")
    uninterrupted = tmp_path / "uninterrupted"
    uninterrupted.mkdir()
    expected = make_campaign(config_counting_in(uninterrupted, 1), tmp_path / "calm").run(progress=False)
    assert table(make_campaign(config, tmp_path / "run").run(progress=False)) == table(expected)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_anybody_is_killed_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    mark = f"{tmp_path.name}{seed}"
    monkeypatch.setenv(MARK, mark)
    drive_until_done(tmp_path, mark, kills=8, seed=seed, victims="any")


@needs_proc
def test_poison_is_remembered_by_the_next_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deaths, each under another driver, give a candidate up; a third run does not try it again."""
    mark = tmp_path.name + "poison"
    monkeypatch.setenv(MARK, mark)
    counted = tmp_path / "counts"
    counted.mkdir()
    settings = {"folder": str(counted), "die_on": [0], "seconds": 0.2}
    slow = {"folder": str(counted), "seconds": 0.2}
    config = make_config([{"evaluator": "probe", "settings": settings}], workers=1, proposer={"settings": slow})
    run = tmp_path / "run"
    driver = start(run, config)
    end = time.monotonic() + 60
    while not deaths(run):
        assert time.monotonic() < end
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert gone(mark)
    assert deaths(run) == 1
    assert start(run, config).wait(timeout=60) == 0
    assert deaths(run) == 2
    assert run_count(counted, "probe", 0) in (2, 3)  # 3: killed while the second attempt ran, which blames nobody
    tries = run_count(counted, "probe", 0)
    row = make_campaign(config, run).run(progress=False).rows[0]
    assert (row.state, row.reason) == ("failed", "its worker was killed by SIGKILL (out of memory?), 2 times")
    assert run_count(counted, "probe", 0) == tries


def deaths(run: Path) -> int:
    path = run / STORE_NAME
    if not path.exists() or path.stat().st_size == 0:  # just being made
        return 0
    with Store.open(run / STORE_NAME) as store:
        return sum(store.deaths("probe").values())
