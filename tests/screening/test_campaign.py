"""A campaign end to end: who is lost where and why, what may change between runs, what is refused."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from campaign_parts import EVALUATORS, LOADER, make_campaign, make_config, run_count, table

from potentials.errors import InputError, SorbusError
from screening import progress
from screening.campaign import Campaign
from screening.candidate import Snapshot
from screening.executor import FuturesRunner
from screening.resume import set_aside
from screening.store import PROPOSED, STORE_NAME, Store
from screening.tasks import task_seed


def run(config: Any, folder: Path, **values: Any) -> Snapshot:
    """In threads of this process: quick, and the same tasks. Deaths need `LocalWorkers`."""
    with ThreadPoolExecutor(2) as pool:
        return make_campaign(config, folder, runner=FuturesRunner(pool, 3)).run(progress=False, **values)


def losses(snapshot: Snapshot) -> dict[int, tuple[str, str | None, str | None]]:
    return {row.index: (row.state, row.stage, row.reason) for row in snapshot.rows if row.state != "active"}


FUNNEL: list[dict[str, Any]] = [
    {
        "evaluator": "probe",
        "settings": {"die_on": [3], "hang_on": [4], "raise_on": [6], "reject_on": [8], "die_once_on": [9]},
        "require": {"probe_volume": "> 16.5"},
        "deadline_s": 1.0,
    },
    {"evaluator": "together", "keep": {"n": 3, "by": "rank"}},
    {"evaluator": "probe", "name": "again", "settings": {"name": "again", "move": True}},
]


def test_every_loss_has_its_stage_and_reason(tmp_path: Path) -> None:
    """With real workers: deaths, a hang in compiled code, errors, duplicates and filters in one campaign."""
    stages = [{**FUNNEL[0], "settings": {**FUNNEL[0]["settings"], "folder": str(tmp_path)}}, *FUNNEL[1:]]
    proposer = {
        "count": 14,
        "batch": 4,
        "settings": {"folder": str(tmp_path), "twins": {"5": 0, "7": 0}, "unbuilt": [2], "die_on": [10]},
    }
    snapshot = make_campaign(make_config(stages, proposer=proposer), tmp_path / "run").run(progress=False)
    killed = "its worker was killed by SIGKILL (out of memory?), 2 times"
    lost = losses(snapshot)
    assert len(snapshot.rows) == 14
    assert lost[2] == ("unbuilt", PROPOSED, "the block has no partner")
    assert lost[3] == ("failed", "probe", killed)
    assert lost[4] == ("failed", "probe", "no answer within 1 s, 2 times")
    assert lost[5] == lost[7] == ("rejected", PROPOSED, "identical to proposal 0")
    assert lost[6] == ("failed", "probe", "ZeroDivisionError: no atoms left")
    assert lost[8] == ("rejected", "probe", "volume is out of taste")
    assert lost[10] == ("unbuilt", PROPOSED, killed)
    others = [lost[index] for index in lost if index not in (2, 3, 4, 5, 6, 7, 8, 10)]
    assert others
    for state, stage, reason in others:
        assert (state, stage) in {("rejected", "probe"), ("rejected", "together"), ("not selected", "together")}
        assert re.fullmatch(
            r"probe_volume 1\d\.\d+ is not above 16\.5|the largest of all|"
            r"ranked \d(st|nd|rd|th) by rank, stage together keeps 3",
            reason or "",
        )
    survivors = [row for row in snapshot.rows if row.state == "active"]
    assert len(survivors) == 3
    for row in survivors:
        assert row.candidate is not None
        properties = row.candidate.properties
        assert properties["probe_noise"].value != properties["again_noise"].value  # one seed a stage
        assert row.candidate.structure.volume > (properties["probe_volume"].value or 0)  # moved by the last stage
        assert properties["probe_noise"].note == "drawn"
    # what dies is tried twice, what died once is not given up, what is done is not done again
    assert {n: run_count(tmp_path, "probe", n) for n in (3, 4, 6, 9)} == {3: 2, 4: 2, 6: 1, 9: 2}
    assert run_count(tmp_path, "probe", 5) == run_count(tmp_path, "probe", 2) == 0
    assert "ZeroDivisionError" in (tmp_path / "run" / "workers.log").read_text()


def test_results_do_not_depend_on_workers_or_batches(tmp_path: Path) -> None:
    stages = [FUNNEL[1], {**FUNNEL[2], "keep": {"n": 2, "by": "again_noise", "order": "min"}}]
    tables = []
    for workers, batch in ((1, 1), (2, 4)):
        config = make_config(stages, workers=workers, proposer={"count": 7, "batch": batch})
        tables.append(table(make_campaign(config, tmp_path / f"{workers}").run(progress=False)))
    tables.append(table(run(config, tmp_path / "threads")))
    assert tables[0] == tables[1] == tables[2]


def test_seeds_differ_by_campaign_candidate_and_stage() -> None:
    seeds = {task_seed(a, b, c) for a in range(20) for b in range(50) for c in ("pores", "henry")}
    assert len(seeds) == 20 * 50 * 2
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert task_seed(0, 0, "henry") == task_seed(0, 0, "henry")


def test_a_finished_campaign_does_nothing_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"folder": str(tmp_path)}
    config = make_config([{"evaluator": "probe", "settings": settings}], proposer={"settings": settings})
    first = run(config, tmp_path / "run")
    second = make_campaign(config, tmp_path / "run").run()
    assert table(first) == table(second)
    assert {run_count(tmp_path, stage, n) for stage in ("probe", "proposed") for n in range(6)} == {1}
    assert "nothing left to measure: 6 proposals are through all 1 stages" in capsys.readouterr().err


def test_no_survivor_is_an_answer_too(tmp_path: Path) -> None:
    stages = [{"evaluator": "probe", "require": {"probe_volume": "< 0"}}, *FUNNEL[1:]]
    snapshot = run(make_config(stages), tmp_path)
    assert {row.state for row in snapshot.rows} == {"rejected"}


def test_a_property_that_could_not_be_measured_meets_nothing(tmp_path: Path) -> None:
    stages = [{"evaluator": "probe", "keep": {"n": 2, "by": "probe_nan"}, "require": {"probe_volume": "> 0"}}]
    assert set(losses(run(make_config(stages), tmp_path / "keep")).values()) == {
        ("not selected", "probe", "probe_nan was not measured, stage probe keeps 2")
    }
    stages = [{"evaluator": "probe", "require": {"probe_nan": "> 0"}}]
    assert set(losses(run(make_config(stages), tmp_path / "require")).values()) == {
        ("rejected", "probe", "probe_nan was not measured (the evaluator returned nan)")
    }


def test_resolved_settings_are_in_the_snapshot(tmp_path: Path) -> None:
    snapshot = run(make_config([{"evaluator": "probe", "settings": {"scale": 2}}]), tmp_path)
    settings = snapshot.config["stages"][0]["settings"]
    assert settings["scale"] == 2.0
    assert settings["seconds"] == 0.0  # a default of the evaluator, recorded as used
    assert snapshot.config["proposer"]["count"] == 6
    assert {"python", "pymatgen"} <= snapshot.versions.keys()
    assert snapshot.wall_seconds["probe"] > 0


# What may change between two runs


def changed(tmp_path: Path, before: Any, after: Any) -> str:
    run(before, tmp_path)
    content = (tmp_path / STORE_NAME).read_bytes()
    with pytest.raises(InputError) as caught:
        run(after, tmp_path)
    assert (tmp_path / STORE_NAME).read_bytes() == content
    assert "start over with --fresh" in str(caught.value)
    return str(caught.value)


def test_another_seed_or_setting_is_refused_by_name(tmp_path: Path) -> None:
    before = make_config([{"evaluator": "probe", "settings": {"scale": 1.0}, "require": {"probe_volume": "> 1"}}])
    after = make_config(
        [{"evaluator": "probe", "settings": {"scale": 2.0}, "require": {"probe_volume": "> 2"}}],
        seed=8,
        proposer={"count": 7},
    )
    message = changed(tmp_path, before, after)
    for part in (
        "proposer.count: 6 -> 7",
        "seed: 7 -> 8",
        "stages.0.settings.scale: 1.0 -> 2.0",
        "stages.0.require.probe_volume: > 1 -> > 2",
    ):
        assert part in message


def test_a_removed_stage_is_refused(tmp_path: Path) -> None:
    message = changed(tmp_path, make_config(FUNNEL[1:]), make_config(FUNNEL[2:]))
    assert "stages.1.evaluator: probe -> absent" in message


def test_what_changes_no_measurement_may_change(tmp_path: Path) -> None:
    stages = [{"evaluator": "probe"}]
    run(make_config(stages), tmp_path)
    ranking = {"objectives": [{"property": "probe_noise", "direction": "min"}], "top": 2}
    config = make_config(stages, workers=1, ranking=ranking, question="Smallest?", proposer={"batch": 3})
    snapshot = run(config, tmp_path)
    assert snapshot.question == "Smallest?"
    assert snapshot.config["ranking"]["top"] == 2


def test_a_campaign_can_be_extended_by_a_stage(tmp_path: Path) -> None:
    count = {"folder": str(tmp_path)}
    stages: list[dict[str, Any]] = [{"evaluator": "probe", "settings": count}]
    run(make_config(stages), tmp_path / "run")
    stages.append({"evaluator": "probe", "name": "again", "settings": {"name": "again"}})
    snapshot = run(make_config(stages), tmp_path / "run")
    assert {run_count(tmp_path, "probe", n) for n in range(6)} == {1}
    assert all("again_volume" in row.candidate.properties for row in snapshot.rows if row.candidate)
    assert table(snapshot) == table(run(make_config(stages), tmp_path / "at once"))


def test_an_unknown_property_is_named_and_costs_no_work(tmp_path: Path) -> None:
    count = {"folder": str(tmp_path)}
    wrong = make_config([{"evaluator": "probe", "settings": count, "require": {"probe_volum": "> 1"}}])
    with pytest.raises(InputError) as caught:
        run(wrong, tmp_path / "run")
    assert str(caught.value) == (
        "stage probe filters by 'probe_volum', which no candidate has: did you mean 'probe_volume'? "
        "measured so far: probe_nan, probe_noise, probe_volume"
    )
    run(make_config([{"evaluator": "probe", "settings": count, "require": {"probe_volume": "> 1"}}]), tmp_path / "run")
    assert {run_count(tmp_path, "probe", n) for n in range(6)} == {1}


# Refused before anything runs


@pytest.mark.parametrize(
    ("stages", "proposer", "message"),
    [
        ([{"evaluator": "prob"}], {}, "no evaluator is called 'prob': did you mean 'probe'?"),
        (
            [FUNNEL[1], {"evaluator": "probe", "settings": {"second": 1}}],
            {},
            "stage probe: stage probe, settings: unknown key 'second': did you mean 'seconds'?",
        ),
        (
            [FUNNEL[1]],
            {"name": "slats"},
            "stage proposed: no proposer is called 'slats': did you mean 'salts'?",
        ),
    ],
)
def test_wrong_names_and_settings_leave_nothing_behind(
    tmp_path: Path, stages: list[dict[str, Any]], proposer: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        run(make_config(stages, proposer=proposer), tmp_path)
    assert str(caught.value) == message
    assert not (tmp_path / STORE_NAME).exists()


def test_a_batch_evaluator_that_dies_stops_the_campaign_which_can_go_on(tmp_path: Path) -> None:
    stages: list[dict[str, Any]] = [{"evaluator": "together", "settings": {"die": True, "folder": str(tmp_path)}}]
    config = make_config(stages)
    with pytest.raises(SorbusError, match=r"stage together: its worker was killed by SIGKILL .* 2 times"):
        make_campaign(config, tmp_path / "run").run(progress=False)
    assert run_count(tmp_path, "together", 6) == 2
    with Store.open(tmp_path / "run" / STORE_NAME) as store:
        assert len(store.survivors()) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_not_a_candidates_fault(tmp_path: Path) -> None:
    config = make_config([{"evaluator": "probe", "settings": {"folder": str(tmp_path), "full_disk_on": [2]}}])
    with pytest.raises(InputError, match=r"stage probe: OSError: .*No space left on device: free some space"):
        run(config, tmp_path / "run")
    assert {row.state for row in run(config, tmp_path / "run").rows} == {"active"}


def test_the_second_driver_is_refused(tmp_path: Path) -> None:
    config = make_config([{"evaluator": "probe"}])
    run(config, tmp_path)
    with Store.open(tmp_path / STORE_NAME, "w"):
        code = (
            f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; from campaign_parts import *; "
            f"make_campaign(make_config([{{'evaluator': 'probe'}}]), {str(tmp_path)!r}).run()"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"is in use by process {os.getpid()} on" in second.stderr


def test_set_aside_renames_to_the_first_free_name(tmp_path: Path) -> None:
    folder = tmp_path / "salts"
    config = make_config([{"evaluator": "probe"}])
    assert set_aside(folder) is None
    for number in (1, 2):
        run(config, folder)
        assert set_aside(folder) == tmp_path / f"salts.{number}"
        assert not folder.exists()
    run(config, folder)
    with Store.open(folder / STORE_NAME, "w"), pytest.raises(InputError, match="open for writing"):
        set_aside(folder)


def test_from_config_reads_overrides_and_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "salts.yaml"
    path.write_text(
        "name: salts\nquestion: Which?\nproposer: {name: files, count: 2}\nstages: [{evaluator: validity}]\n"
        "ranking: {objectives: [{property: density}]}\n"
    )
    campaign = Campaign.from_config(path, ["proposer.count=5", f"output={tmp_path / 'run'}"])
    assert campaign.config.proposer.count == 5
    assert campaign.folder == tmp_path / "run"
    assert Campaign.from_config(path).folder == Path("runs/salts")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STORE_NAME).touch()
    Campaign.from_config(path, [f"output={tmp_path / 'run'}"], fresh=True)
    assert (tmp_path / "run.1" / STORE_NAME).exists()


# People


class Book:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.values: list[tuple[int, dict[str, Any]]] = []
        self.tables: dict[str, list[Any]] = {}

    def log(self, values: Mapping[str, Any], step: int) -> None:
        self.values.append((step, dict(values)))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.tables[name] = list(rows)


def test_a_tracker_hears_of_every_stage(tmp_path: Path) -> None:
    book = Book()
    stages = [{"evaluator": "probe", "keep": {"n": 4, "by": "probe_volume"}}, FUNNEL[1]]
    run(make_config(stages), tmp_path, tracker=book)
    assert [step for step, _ in book.values] == [0, 1, 2]
    assert book.values[1][1] == {"campaign/active": 4, "campaign/not selected": 2}
    assert [len(book.tables[name]) for name in (PROPOSED, "probe", "together")] == [6, 4, 3]
    assert {"index", "id", "probe_volume", "rank"} <= book.tables["together"][0].keys()


def test_progress_speaks_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    display = progress.Progress(stream=stream)
    clock = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    display.begin("pores", 64, 3, 1)
    for clock in (101.0, 109.0, 111.0, 115.0, 122.0):  # noqa: B007, read by the lambda
        display.update(5, 1, 2)  # nothing moves: it still speaks
    display.update(64, 4, 0)
    display.end("60 go on")
    assert stream.getvalue().splitlines() == [
        "pores: 5 of 64 done, 1 lost, 11 s, 2 running",
        "pores: 5 of 64 done, 1 lost, 22 s, 2 running",
        "pores: 64 of 64 done, 4 lost, 22 s; 60 go on",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_draws_a_bar_in_a_terminal() -> None:
    display = progress.Progress(stream=Terminal())
    display.begin("pores", 4, 1, 0)
    display.update(4, 2, 0)
    display.end("2 go on")
    text = display._stream.getvalue()  # type: ignore[attr-defined]
    assert "pores" in text
    assert "4/4" in text
    assert "lost=2" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    config = make_config(
        [{"evaluator": "probe", "settings": {"folder": str(tmp_path), "seconds": 0.2}}], proposer={"count": 9}
    )
    here = Path(__file__).parent
    command = [sys.executable, str(here / "campaign_parts.py"), str(tmp_path / "run"), config.model_dump_json()]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while sum(run_count(tmp_path, "probe", n) for n in range(9)) < 5:
        assert time.monotonic() < end
        time.sleep(0.02)
    driver.send_signal(number)
    _, text = driver.communicate(timeout=20)
    assert f"finished work is kept in {tmp_path / 'run'}: run the same command to go on" in text
    assert "KeyboardInterrupt" in text  # the command line turns it into exit code 130
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"resuming: [3-8] of 9 candidates through stage probe", second.stderr)
    assert all(row.state == "active" for row in make_campaign(config, tmp_path / "run").snapshot().rows)


def test_an_extra_evaluator_may_not_hide_a_built_in_one() -> None:
    config = make_config([{"evaluator": "probe"}])
    with pytest.raises(InputError, match="an evaluator named 'probe' exists already"):
        Campaign(config, evaluators=(*EVALUATORS, EVALUATORS[0]), proposer_loader=LOADER)
