"""Every named test of a framework at once, as a table: what was asked, what came out, and why.

    python -m screening.structure_checks framework.cif [relaxed.cif]

Beside the tests of `screening.validity` these are the pore test (CO2 must pass: PLD at least 3.3 Å, its kinetic
diameter) and, where a relaxed geometry is given, whether the framework survived (`screening.framework`).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic
from pymatgen.core import Structure

from potentials.errors import InputError
from potentials.gate import geometry_fault
from screening.framework import framework_change
from screening.pores import PoreSettings, measure_pores
from screening.table import aligned
from screening.validity import ValiditySettings, analyse, validity_tests

GEOMETRY, PORES, SURVIVAL = "geometry", "pores", "relaxation"

Outcome = Literal["passed", "failed", "not run"]


class CheckSettings(ValiditySettings):
    """Limits of all tests."""

    min_pld_angstrom: float = pydantic.Field(default=3.3, ge=0)  # 0 leaves the pores unmeasured
    max_volume_change_percent: float = pydantic.Field(default=30.0, gt=0)  # on relaxation, either way


@dataclass(frozen=True)
class Check:
    """One test's outcome."""

    name: str
    limit: str
    outcome: Outcome
    finding: str = ""  # why it failed or was not run, or what was measured


def structure_checks(
    structure: Structure, settings: CheckSettings | None = None, relaxed: Structure | None = None
) -> tuple[Check, ...]:
    """Run every test on a framework, whatever the others say.

    Args:
        structure: the framework to judge.
        settings: limits.
        relaxed: the same atoms in the same order after relaxation; without it the survival test is not run.

    Returns:
        One `Check` a test, always the same names in the same order: geometry, those of
        `screening.validity.validity_tests`, pores, relaxation. When the geometry gate fails nothing else can be run.

    Raises:
        InputError: `relaxed` holds other atoms.
    """
    settings = settings or CheckSettings()
    tests = validity_tests(settings)
    pores = f"PLD at least {settings.min_pld_angstrom:g} Å"
    survival = f"bonds kept, volume within {settings.max_volume_change_percent:g} %"
    gate = "finite, cell height, volume per atom, no two atoms on one site"
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        skipped = [(test.name, test.limit) for test in tests] + [(PORES, pores), (SURVIVAL, survival)]
        rest = (Check(name, limit, "not run", "the geometry gate failed") for name, limit in skipped)
        return (Check(GEOMETRY, gate, "failed", fault), *rest)
    found = analyse(structure)
    checks = [Check(GEOMETRY, gate, "passed")]
    for test in tests:
        reason = test.fault(found)
        checks.append(Check(test.name, test.limit, "failed" if reason else "passed", reason or ""))
    checks.append(_pores(structure, settings, pores))
    checks.append(_survival(structure, relaxed, settings, survival))
    return tuple(checks)


def failures(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Those that failed; a test that was not run is none of them, but the gate's failure is always there."""
    return tuple(check for check in checks if check.outcome == "failed")


def format_checks(checks: Sequence[Check]) -> str:
    """The outcomes as a table for the terminal."""
    return aligned(
        [
            {"test": check.name, "outcome": check.outcome, "asked": check.limit, "finding": check.finding}
            for check in checks
        ]
    )


def _pores(structure: Structure, settings: CheckSettings, limit: str) -> Check:
    if settings.min_pld_angstrom == 0:
        return Check(PORES, limit, "not run", "no pore size is asked for")
    # the fewest samples Zeo++ is allowed: the PLD needs none
    measured, note = measure_pores(structure, PoreSettings(surface_samples=10, volume_samples=100), 0)
    pld = measured.get("pld_angstrom")
    if pld is None:
        return Check(PORES, limit, "failed", note or "Zeo++ gave no PLD")
    if pld < settings.min_pld_angstrom:
        return Check(PORES, limit, "failed", f"PLD {pld:.2f} Å is below {settings.min_pld_angstrom:g} Å")
    return Check(PORES, limit, "passed", f"PLD {pld:.2f} Å")


def _survival(structure: Structure, relaxed: Structure | None, settings: CheckSettings, limit: str) -> Check:
    if relaxed is None:
        return Check(SURVIVAL, limit, "not run", "no relaxed geometry was given")
    change = framework_change(structure, relaxed, settings.max_volume_change_percent, settings.min_dimension)
    if change.reason:
        return Check(SURVIVAL, limit, "failed", change.reason)
    return Check(SURVIVAL, limit, "passed", f"volume {change.volume_change_percent:+.1f} %")


def main() -> None:
    """Print the table of one CIF file."""
    from gen.sorbents.files import read_structure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", type=Path, help="CIF file")
    parser.add_argument("relaxed", type=Path, nargs="?", help="CIF file of the same atoms after relaxation")
    arguments = parser.parse_args()
    structures = []
    for path in filter(None, (arguments.framework, arguments.relaxed)):
        structure, fault = read_structure(path)
        if structure is None:
            raise InputError(f"{path} {fault}: repair or replace it")
        structures.append(structure)
    print(format_checks(structure_checks(structures[0], relaxed=structures[1] if len(structures) > 1 else None)))


if __name__ == "__main__":
    main()
