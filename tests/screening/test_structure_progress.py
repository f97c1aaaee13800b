"""What `sorbus adsorb` says while it works: lines in a log, a bar in a terminal, nothing when not asked."""

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.adsorption_structures import mfi
from screening import stage_report
from screening.adsorb_files import AdsorbSettings, _announce, _fallen_back
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.state_names import point_name, state_name
from screening.executor import Task
from screening.geometry_json import encode_structure
from screening.structure_progress import StructureProgress
from screening.workers import LocalWorkers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_a_stage_and_a_structure() -> None:
    stream = io.StringIO()
    with StructureProgress("adsorb", 3, 1, show=True, stream=stream) as progress:
        for stages in ({"MFI": "charges"}, {"MFI": "charges"}, {"MFI": "pores", "CHA": "charges"}):
            progress.stages(stages)
        progress.finished("MFI", "measured")
    said = [line.split(" s  ")[1] for line in stream.getvalue().splitlines()]
    assert said == ["MFI: charges", "MFI: pores", "CHA: charges", "MFI: measured, 2 of 3"]


def test_a_terminal_gets_a_bar_with_what_is_under_way() -> None:
    stream = Terminal()
    with StructureProgress("adsorb", 3, 1, show=True, stream=stream) as progress:
        progress.stages({"MFI": "charges"})
        progress.finished("MFI")
        progress.stages({})
    assert "adsorb: 1 of 3" in stream.getvalue()
    assert "MFI: charges" in stream.getvalue()
    assert "2 of 3" in stream.getvalue().splitlines()[-1]
    assert "MFI" not in stream.getvalue().rpartition("\r")[2]


def test_ctrl_c_says_what_is_kept() -> None:
    stream = io.StringIO()
    progress = StructureProgress("adsorb", 3, 1, show=True, stream=stream)
    progress.stages({"MFI": "charges"})
    progress.__exit__(KeyboardInterrupt, None, None)
    assert "stopped: 1 of 3 are finished and kept, the same command goes on" in stream.getvalue()


@pytest.mark.parametrize(("show", "done"), [(False, 0), (True, 2)])
def test_silence_when_not_asked_or_when_nothing_is_left(show: bool, done: int) -> None:
    stream = io.StringIO()
    with StructureProgress("adsorb", 2, done, show=show, stream=stream) as progress:
        progress.stages({"MFI": "charges"})
        progress.finished("MFI")
    assert stream.getvalue() == ""


def test_names_of_state_points() -> None:
    assert state_name({"CO2": 1.0}, 298.0) == "CO2 at 298 K"
    assert point_name({"CO2": 1.0}, [1e3, 5e3], 1, 298.0) == "CO2 at 298 K: point 2 of 2, 0.05 bar"
    assert point_name({"CO2": 0.15, "N2": 0.85}, [1e5], 0, 298.0) == "15 % CO2 + 85 % N2 at 298 K: 1 bar"


def talkative(candidate, settings, seed):
    """An evaluator that tells what it does, then waits to be stopped."""
    stage_report.tell("counting atoms")
    time.sleep(60.0)


def test_a_worker_hands_on_what_its_task_tells(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    structure = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    candidate = {"id": "id0", "index": 0, "structure": encode_structure(structure), "provenance": {}, "properties": []}
    payload = {
        "kind": "evaluate",
        "stage": "probe",
        "function": "test_structure_progress:talkative",
        "settings_class": "screening.pores:PoreSettings",
        "settings": {},
        "seed": 1,
        "candidate": candidate,
    }
    with LocalWorkers(1, tmp_path) as workers:
        workers.submit(Task("probe", ("id0",), payload, 60.0))
        assert workers.stages() == {}
        end = time.monotonic() + 120.0
        while not workers.stages() and time.monotonic() < end:
            assert workers.wait(0.5) == []
        assert workers.stages() == {"id0": "counting atoms"}


def test_what_looks_wrong_is_told_before_anything_is_measured(tmp_path: Path, capsys) -> None:
    rows = [{"name": "bad", "error": "no cell"}, *({"name": f"odd{k}", "warnings": "solvent"} for k in range(12))]
    _announce(rows, 12, tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "refused: bad: no cell"
    assert said[1] == "warning: odd0: solvent"
    assert len([line for line in said if line.startswith("warning: ")]) == 10
    assert said[11].startswith("warnings of 2 more: in")
    assert said[12].startswith("12 to measure")
    _announce(rows, 0, tmp_path)
    assert capsys.readouterr().out.splitlines() == ["refused: bad: no cell"]


def test_charges_that_are_not_the_learned_ones_asked_for_are_told_on_the_row() -> None:
    settings = AdsorbSettings()
    host = prepare_host(mfi(), HostGuestModel(force_field="trappe-zeo"))
    assert _fallen_back(host, settings) == ()  # the force field's own
    (told,) = _fallen_back(replace(host, charge_method="EQeq (no reference charges for Po)"), settings)
    assert told.value is None
    assert told.note.startswith("charges by EQeq (no reference charges for Po) instead of learned ones")
    assert _fallen_back(replace(host, charge_method="EQeq"), AdsorbSettings(model={"charges": "eqeq"})) == ()
