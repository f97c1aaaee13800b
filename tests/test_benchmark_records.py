"""The benchmark record: what is written, what is refused, and that the page is what the lines give."""

import json
import multiprocessing
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from potentials.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no installed package

from benchmarks.make_results import PAGE, RESULTS, explain, render, write_results  # noqa: E402
from benchmarks.record import portable_command, record  # noqa: E402

KEYS = {"id", "value", "unit", "peer", "peer_value", "ratio", "protocol", "data_sha256"}
KEYS |= {"seed", "command", "commit", "hardware", "versions", "date", "note"}


def measure(path: Path, **changes):
    settings = {"id": "S6", "value": 2.0, "unit": "structures/s", "protocol": "FIRE", "data_sha256": None, "seed": 0}
    return record(**{**settings, **changes}, results=path)


def test_a_line_holds_every_key_and_what_was_given(tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    measure(path, value=np.float32(3.0), peer="ASE 3.29", peer_value=1.5, data_sha256="ab" * 32, note="warm")
    (line,) = path.read_text().splitlines()
    written = json.loads(line)
    assert set(written) == KEYS
    assert (written["value"], written["ratio"], written["data_sha256"]) == (3.0, 2.0, "ab" * 32)
    assert written["versions"]["numpy"] == np.__version__
    assert re.fullmatch(r"[0-9a-f]{12}(\+changes)?|unknown", written["commit"])
    assert "cores" in written["hardware"]
    assert "recorded S6: 3 structures/s" in capsys.readouterr().out


def test_nothing_of_the_machine_is_written(tmp_path, monkeypatch):
    arguments = ["data.file=/home/someone/mp.csv", str(ROOT / "configs" / "x.yaml"), "~/y.cif", "--seed=3"]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks" / "speed.py"), *arguments])
    line = measure(tmp_path / "results.jsonl")
    assert line["command"] == "python benchmarks/speed.py data.file=.../mp.csv configs/x.yaml .../y.cif --seed=3"
    assert str(ROOT) not in json.dumps(line)


def test_the_command_is_what_a_reader_types(monkeypatch, tmp_path):
    monkeypatch.setenv("SORBUS_DATA", str(tmp_path / "sets"))
    assert portable_command(["sorbus", "evaluate", str(tmp_path / "sets" / "mp" / "test.csv")]) == (
        "sorbus evaluate ../shared/data/mp/test.csv"
    )
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/sorbus", "discover", "a b"])
    assert measure(tmp_path / "r.jsonl")["command"] == "sorbus discover 'a b'"
    assert measure(tmp_path / "r.jsonl", command="make test")["command"] == "make test"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "speed"}, "benchmark id 'speed'"),
        ({"id": "S6-b"}, "benchmark id 'S6-b'"),
        ({"value": float("nan")}, "value is nan"),
        ({"peer_value": 1.0}, "compares with nothing named"),
        ({"data_sha256": "abc"}, "is not 64 hex digits"),
        ({"protocol": "  "}, "has no protocol"),
    ],
)
def test_what_cannot_be_repeated_or_compared_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        measure(tmp_path / "results.jsonl", **changes)
    assert not (tmp_path / "results.jsonl").exists()


def _record_ten(path):
    for _ in range(10):
        measure(path, protocol="x" * 20_000)  # far past what one write call is sure to append whole


def test_lines_of_two_processes_do_not_mix(tmp_path):
    path = tmp_path / "results.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_record_ten, args=(path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 20


def test_the_page_shows_the_latest_of_each_id_in_order(tmp_path):
    path, page = tmp_path / "results.jsonl", tmp_path / "RESULTS.md"
    measure(path, id="S10", value=7.0)
    measure(path, id="S2", value=0.5, unit="")
    measure(path, id="S2", value=0.96, unit="", peer="MatterGen | paper", peer_value=0.98)
    text = write_results(path, page).read_text()
    assert text.index("## S2") < text.index("## S10")
    assert "**0.96**" in text
    assert "**0.5**" not in text
    assert "measured 2 times; before: 0.5 (" in text
    assert explain("S2") in text
    assert explain("S2b") == explain("S2")


def test_a_broken_line_is_named():
    with pytest.raises(InputError, match=r"line 2 is not a measurement"):
        render(["", '{"id": "S1"}'])


def test_the_page_in_the_repository_is_what_its_lines_give():
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    assert PAGE.read_text(encoding="utf-8") == render(lines), "run: python benchmarks/make_results.py"
