"""Imports only go down: potentials < gen < screening, and the light entry points stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("potentials", "gen", "screening")  # from the ground up


def imported_packages(path: Path) -> set[str]:
    """Top-level names a file imports, anywhere in it, also as text handed to import_module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_points_up(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    offenders = {str(path.relative_to(ROOT)): up for path in files if (up := imported_packages(path) & above)}
    assert offenders == {}


def test_no_relative_import_hides_a_direction() -> None:
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                assert not (isinstance(node, ast.ImportFrom) and node.level > 1), path


def test_generic_diffusion_knows_nothing_of_crystals() -> None:
    for path in (ROOT / "gen" / "diffusion").rglob("*.py"):
        assert not {"pymatgen", "ase", "spglib"} & imported_packages(path), path
        assert "gen.crystals" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("module", ["potentials", "gen", "screening", "screening.cli.parser"])
def test_importing_a_package_stays_light(module: str) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"torch", "pymatgen", "numpy", "ase", "pydantic"} & set(loaded.split())
