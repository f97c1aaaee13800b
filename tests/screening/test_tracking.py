"""Tracking: offline runs hold what was logged, off costs nothing, and errors say what to do."""

import os
import subprocess
import sys
import time

import pytest
from example_snapshot import sodalite
from PIL import Image

from potentials.errors import InputError
from screening.tracking import make_tracker


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", os.devnull)


def test_an_offline_run_holds_everything_that_was_logged(tmp_path, capfd):
    pytest.importorskip("wandb", reason="wandb is not installed")
    page = tmp_path / "report.html"
    page.write_text("<p>the report")
    config = {"learning_rate": 1e-3, "stages": [{"evaluator": "pores"}]}
    tracker = make_tracker("offline", "sorbus-tests", "first", config, tmp_path / "run")
    tracker.log({"train/energy_error": 0.5}, step=0)
    tracker.table("survivors", [{"id": "a", "pld": 3.3}, {"id": "b", "uptake": None}])
    tracker.table("second_table", [{"id": "a"}])
    tracker.structure("candidate/01", sodalite())
    tracker.html("report", page)
    picture = tmp_path / "parity.png"
    Image.new("RGB", (4, 3)).save(picture)
    tracker.picture("parity", picture)
    tracker.log({"train/force_error": 0.25}, step=1)
    tracker.finish()

    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (log,) = run.glob("*.wandb")
    logged = ("train/energy_error", "train/force_error", "survivors", "candidate/01", "report", "learning_rate")
    held, patience = log.read_bytes(), time.monotonic() + 30
    while any(key.encode() not in held for key in logged) and time.monotonic() < patience:
        time.sleep(0.2)  # a process of wandb's own writes the file
        held = log.read_bytes()
    for key in logged:
        assert key.encode() in held, key
    media = [path for path in (run / "files" / "media").rglob("*") if path.is_file()]
    assert {path.suffix for path in media} == {".json", ".cif", ".html", ".png"}
    table = next(path for path in media if "survivors" in path.name).read_text()
    assert '"columns":["id","pld","uptake"]' in table.replace(" ", "")
    cif = next(path for path in media if path.suffix == ".cif").read_text()
    assert "_cell_length_a    8.86" in cif
    assert capfd.readouterr().out == ""  # nothing between our own lines


def test_off_is_silent_and_never_imports_wandb(tmp_path):
    script = (
        "import sys\n"
        "from screening.tracking import make_tracker\n"
        f"tracker = make_tracker('off', 'p', 'n', {{}}, {str(tmp_path / 'none')!r})\n"
        "tracker.log({'x': 1.0}, step=0); tracker.table('t', [{'a': 1}]); tracker.html('h', 'missing.html')\n"
        "tracker.picture('p', 'missing.png')\n"
        "tracker.finish()\n"
        "sys.exit('wandb' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0
    assert not (tmp_path / "none").exists()


def test_without_the_package_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # what an import of a missing package does
    with pytest.raises(InputError, match=r"pip install 'sorbus\[tracking\]'"):
        make_tracker("offline", "p", "n", {}, tmp_path)


def test_online_without_an_account_is_refused_before_any_connection(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    with pytest.raises(InputError, match="finds no account"):
        make_tracker("online", "p", "n", {}, tmp_path)


def test_a_place_that_cannot_be_written_and_an_unknown_mode_are_named(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        make_tracker("offline", "p", "n", {}, tmp_path / "file")
    with pytest.raises(InputError, match="choose off, offline, online"):
        make_tracker("maybe", "p", "n", {}, tmp_path)
