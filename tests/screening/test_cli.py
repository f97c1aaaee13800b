"""The command line: help, typed settings, and one clear sentence with exit code 2 for anything unusable."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from screening.cli import main
from screening.cli.parser import VERBS

ROOT = Path(__file__).parents[2]

FLAT_CELL = """data_flat
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 0.0002
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
V1 V 0.0 0.0 0.0
Ni1 Ni 0.5 0.5 0.5
"""
SOUND = FLAT_CELL.replace("0.0002", "4.0")
GARBAGE = {
    "empty": "",
    "truncated": SOUND[: len(SOUND) // 2],
    "nan_cell": SOUND.replace("_cell_length_a 4.0", "_cell_length_a nan"),
    "one_site_twice": SOUND.replace("0.5 0.5 0.5", "0.0 0.0 0.0"),
    "flat_cell": FLAT_CELL,
    "unknown_element": SOUND.replace("Ni1 Ni", "Zz1 Zz"),
    "not_a_cif": "the quick brown fox",
}


def fail(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that must be refused; returns its one sentence."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    sentences = [line for line in captured.err.splitlines() if line.startswith("sorbus ")]
    assert len(sentences) == 1, captured.err
    return sentences[0]


@pytest.mark.parametrize("verb", [*VERBS, "train crystals", "train potential"])
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), "--help"])
    assert stop.value.code == 0
    help_text = capsys.readouterr().out
    assert "examples:" in help_text
    assert f"sorbus {verb.split()[0]}" in help_text


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom screening.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nprint('LOADED', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(run.stdout.split("LOADED")[1].split())
    assert not {"torch", "numpy", "pymatgen", "ase", "pydantic", "yaml", "e3nn", "jax"} & loaded


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["generate", "cuont=3"], "unknown key 'cuont': did you mean 'count'?"),
        (["generate", "count=0"], "greater than or equal to 1"),
        (["generate", "model=crystls"], "crystals"),
        (["generate", "stray.yaml"], "--config"),
        (["relax", "fmax=0.1"], "no input"),
        (["relax", "missing.cif"], "missing.cif"),
        (["relax", "a.cif", "fmx=1"], "did you mean 'fmax'?"),
        (["adsorb", "missing_folder"], "missing_folder"),
        (["adsorb", "a.cif", "prodution_cycles=300"], "did you mean 'production_cycles'?"),
        (["evaluate", "missing_folder"], "missing_folder"),
        (["train", "crystals"], "name one configuration"),
        (["train", "potential", "missing.yaml"], "missing.yaml"),
        (["discover"], "name one campaign"),
        (["discover", "configs/discover/co2_flue_gaz.yaml"], "did you mean configs/discover/co2_flue_gas.yaml?"),
        (["discover", "configs/discover/co2_flue_gas.yaml", "propser.count=3"], "did you mean 'proposer'?"),
        (["show", "missing_run"], "missing_run"),
        (["export", "missing_run", "a.csv"], "missing_run"),
        (["report", "missing_run"], "missing_run"),
    ],
)
def test_unusable_requests_are_refused(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    before = sorted(os.listdir(ROOT))
    assert message in fail(capsys, *argv)
    assert sorted(set(os.listdir(ROOT)) - {"runs"}) == sorted(set(before) - {"runs"})


@pytest.mark.parametrize("verb", ["relax", "adsorb", "evaluate"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_structures_are_named_not_raised(
    verb: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{kind}.cif"
    path.write_text(GARBAGE[kind])
    out = tmp_path / ("metrics.csv" if verb == "evaluate" else "out")
    assert main([verb, str(path), f"out={out}"]) == 2
    captured = capsys.readouterr()
    assert path.stem in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err
    assert not list(tmp_path.rglob("*.cif.*")), "nothing is left half written"


def test_a_bad_row_does_not_stop_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for kind, text in GARBAGE.items():
        (folder / f"{kind}.cif").write_text(text)
    (folder / "sound.cif").write_text(SOUND)
    (folder / "dimer.xyz").write_text("2\n\nAr 0 0 0\nAr 3.5 0 0\n")
    assert main(["relax", str(folder), "potential=lj", "max_steps=2", f"out={tmp_path}/out"]) == 0
    with open(tmp_path / "out" / "relaxed.csv", newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows.keys() == {*GARBAGE, "sound", "dimer"}
    assert all(rows[kind]["error"] for kind in GARBAGE)
    assert not rows["sound"]["error"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".cif", ".extxyz"}
    assert main(["evaluate", str(folder)]) == 0
    assert capsys.readouterr().out.count("not read: ") == len(GARBAGE) + 1  # the molecule has no cell


def test_unwritable_folder_is_refused_before_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A folder below a plain file cannot be made by anybody, root included.
    (tmp_path / "file").write_text("in the way")
    message = fail(capsys, "generate", "model=template", "count=1", f"out={tmp_path}/file/out")
    assert "cannot write in" in message


@pytest.mark.parametrize("argv", [["generate", "--print-config"], ["relax", "--print-config", "fmax=0.2"]])
def test_print_config_shows_the_resolved_whole(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert text.startswith("# hash ")
    assert "out: runs/" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("sorbus ")
