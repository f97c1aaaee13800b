"""Cost against error of the adsorption evaluators, on frameworks of the template proposer.

    python benchmarks/adsorption_effort.py            # the table of docs/adsorption.md
    python benchmarks/adsorption_effort.py --frameworks 2 --efforts 1

Seconds are of one core (CPU time), so that a busy machine does not change them.
"""

import argparse
import time
from collections.abc import Iterator

from pymatgen.core import Structure

from gen.sorbents.template import TemplateProposer, TemplateSettings
from screening.adsorption.evaluator import HenrySettings, UptakeSettings, evaluate_henry, evaluate_uptake
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.candidate import Candidate, Property, content_id
from screening.pores import PoreSettings, evaluate_pores
from screening.validity import ValiditySettings, evaluate_validity

NAMES = (
    "co2_henry_298K",
    "n2_henry_298K",
    "co2_heat_298K",
    "n2_heat_298K",
    "co2_uptake_0.15bar_298K",
    "n2_uptake_0.85bar_298K",
    "co2_uptake_0.1bar_363K",
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=int, default=5)
    parser.add_argument("--efforts", type=float, nargs="+", default=[0.25, 1.0, 4.0], help="times the default moves")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--henry-only", action="store_true")
    arguments = parser.parse_args()
    columns = ("framework", "atoms", "box atoms", "effort", "Henry s", *NAMES[:4], "uptake s", *NAMES[4:])
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for candidate in _porous(arguments.frameworks, arguments.seed):
        host = prepare_host(candidate.structure, HostGuestModel())
        box_atoms = len(host.structure) * host.repeats[0] * host.repeats[1] * host.repeats[2]
        for effort in arguments.efforts:
            henry, uptake = HenrySettings(), UptakeSettings()
            henry = henry.model_copy(
                update={"insertions": int(henry.insertions * effort), "heat_moves": int(henry.heat_moves * effort)}
            )
            uptake = uptake.model_copy(
                update={
                    "equilibration_cycles": int(uptake.equilibration_cycles * effort),
                    "production_cycles": int(uptake.production_cycles * effort),
                }
            )
            started = time.process_time()
            found = {p.name: p for p in evaluate_henry(candidate, henry, arguments.seed).properties}
            henry_seconds = time.process_time() - started
            started = time.process_time()
            if not arguments.henry_only:
                found |= {p.name: p for p in evaluate_uptake(candidate, uptake, arguments.seed).properties}
            uptake_seconds = time.process_time() - started
            errors = [_error(found.get(name)) for name in NAMES]
            formula = candidate.structure.composition.reduced_formula
            cells = [formula, len(host.structure), box_atoms, f"{effort:g}", f"{henry_seconds:.0f}", *errors[:4]]
            cells += [f"{uptake_seconds:.0f}", *errors[4:]]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _error(found: Property | None) -> str:
    """Relative standard error in %, of heats the absolute one in kJ/mol."""
    if found is None or not found.value or found.std is None:
        return "-"
    return f"{found.std:.1f} kJ/mol" if found.unit == "kJ/mol" else f"{100 * found.std / found.value:.1f} %"


def _porous(count: int, seed: int) -> Iterator[Candidate]:
    """The first proposals with pores CO2 can enter."""
    proposer = TemplateProposer(TemplateSettings(max_atoms=130))
    found = 0
    for proposal in proposer.propose(range(200), seed):
        structure: Structure | None = proposal.structure
        if structure is None or len(structure) < 60:
            continue
        candidate = Candidate(content_id(structure), proposal.index, structure, {})
        if evaluate_validity(candidate, ValiditySettings(), seed).rejected:
            continue
        pores = {p.name: p.value for p in evaluate_pores(candidate, PoreSettings(), seed).properties}
        if (pores.get("pld_angstrom") or 0.0) >= 3.3:
            yield candidate
            found += 1
        if found == count:
            return


if __name__ == "__main__":
    main()
