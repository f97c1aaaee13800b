"""How far must a template framework be relaxed? Energy, volume and pores after 20, 50 and 100 steps of CHGNet.

    python -m benchmarks.framework_relaxation -n 6

About a minute of one core a framework. Records S11a-S11g.
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

from benchmarks.record import record
from gen.sorbents.template import TemplateProposer, TemplateSettings
from screening.candidate import Candidate, Evaluation
from screening.pores import PoreSettings, evaluate_pores
from screening.relaxation import RelaxationSettings, evaluate_relaxation
from screening.validity import ValiditySettings, evaluate_validity

STEPS = (20, 50, 100)
PORES = PoreSettings(surface_samples=50, volume_samples=500)  # diameters are not sampled


def main() -> None:
    """Relax the first `n` open, valid frameworks to each number of steps; print the table and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=6, help="frameworks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="print only")
    arguments = parser.parse_args()

    gained: dict[int, list[float]] = {steps: [] for steps in STEPS}
    volume: dict[int, list[float]] = {steps: [] for steps in STEPS}
    pore: dict[int, list[float]] = {steps: [] for steps in STEPS}
    seconds: dict[int, list[float]] = {steps: [] for steps in STEPS}
    broken = dict.fromkeys(STEPS, 0)
    print(
        f"{'recipe':32s} {'atoms':>5s} {'steps':>5s} {'eV/atom':>8s} {'fmax':>6s} {'dV %':>6s} {'PLD Å':>6s}  verdict"
    )
    for candidate in tqdm(open_frameworks(arguments.n, arguments.seed), total=arguments.n, desc="frameworks"):
        for steps in STEPS:
            start = time.process_time()
            result = evaluate_relaxation(candidate, RelaxationSettings(max_steps=steps), 0)
            seconds[steps].append(time.process_time() - start)
            after = Candidate("", 0, result.structure or candidate.structure, {})
            energy, change = _value(result, "relaxation_energy_ev_atom"), _value(result, "volume_change_percent")
            size = _value(evaluate_pores(after, PORES, 0), "pld_angstrom")
            gained[steps].append(energy or 0.0)
            volume[steps].append(change or 0.0)
            pore[steps].append(size or 0.0)
            broken[steps] += result.rejected is not None
            print(
                f"{candidate.provenance['recipe']}, {len(candidate.structure)}, {steps}: {energy:.3f}, "
                f"{_value(result, 'relaxation_fmax'):.3f}, {change:.1f}, {size:.2f}, {result.rejected or 'intact'}",
                flush=True,
            )
    count = len(gained[STEPS[0]])
    share = [100 * np.mean(np.array(gained[steps]) / np.array(gained[STEPS[-1]])) for steps in STEPS]
    drift = [np.mean(np.abs(np.array(volume[steps]) - np.array(volume[STEPS[-1]]))) for steps in STEPS]
    pores = [np.mean(np.abs(np.array(pore[steps]) - np.array(pore[STEPS[-1]]))) for steps in STEPS]
    for k, steps in enumerate(STEPS):
        print(
            f"{steps:4d} steps: {share[k]:.0f} % of the energy of {STEPS[-1]}, volume {drift[k]:.1f} % off, "
            f"PLD {pores[k]:.2f} Å off, {np.mean(seconds[steps]):.1f} s of a core, {broken[steps]} of {count} broken"
        )
    if arguments.no_record:
        return
    protocol = (
        f"first {count} valid template frameworks with PLD >= 3.3 Å and at most 120 atoms, seed {arguments.seed}; "
        f"CHGNet, FIRE, variable cell, to 0.1 eV/Å or {{}} steps, compared with 100 steps"
    )
    rows = (
        ("S11a", 0, share[0], "% of the energy gained"),
        ("S11b", 0, drift[0], "% of volume, mean distance"),
        ("S11c", 1, share[1], "% of the energy gained"),
        ("S11d", 1, drift[1], "% of volume, mean distance"),
        ("S11e", 1, pores[1], "Å of PLD, mean distance"),
        ("S11f", 1, np.mean(seconds[STEPS[1]]), "s of one core a framework"),
        ("S11g", 2, 100 * broken[STEPS[2]] / count, "% of frameworks broken"),
    )
    for id_, k, value, unit in rows:
        at = protocol.format(STEPS[k])
        record(id=id_, value=float(value), unit=unit, protocol=at, data_sha256=None, seed=arguments.seed)


def open_frameworks(count: int, seed: int) -> list[Candidate]:
    """The first valid proposals through which CO2 can pass."""
    found: list[Candidate] = []
    proposer = TemplateProposer(TemplateSettings(max_atoms=120))
    for proposal in proposer.propose(range(20 * count), seed):
        if proposal.structure is None:
            continue
        candidate = Candidate("", proposal.index, proposal.structure, proposal.provenance)
        if evaluate_validity(candidate, ValiditySettings(), 0).rejected:
            continue
        if (_value(evaluate_pores(candidate, PORES, 0), "pld_angstrom") or 0.0) >= 3.3:
            found.append(candidate)
        if len(found) == count:
            break
    return found


def _value(evaluation: Evaluation, name: str) -> float | None:
    return next((item.value for item in evaluation.properties if item.name == name), None)


if __name__ == "__main__":
    main()
