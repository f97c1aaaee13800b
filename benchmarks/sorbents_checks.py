"""How often do the validity tests fail on frameworks that chemists made? CoRE MOF 2014-DDEC, CoRE MOF 2019-ASR, COFs.

    python -m benchmarks.sorbents_checks

About a minute of one core. Records the share that passes every coordination test: D1j (CoRE MOF 2014-DDEC), D1k
(2019-ASR), D1l (COFs).
"""

import argparse
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pymatgen.core import Structure

from benchmarks.record import record
from potentials.cif import parse_cif
from potentials.files import data_root, sha256_file
from screening.structure_checks import CheckSettings, structure_checks
from screening.table import aligned

# archive, every n-th file of it in its own order, largest file in bytes (about 400 atoms), id of the row
SETS = (
    ("CoRE MOF 2014-DDEC", "sorbents/coremof_ddec/ddec_xtals_open.tar.xz", 6, 30_000, "D1j"),
    ("CoRE MOF 2019-ASR", "sorbents/coremof2019/CoRE_v2_ASR.tar.xz", 24, 25_000, "D1k"),
    ("CURATED COFs", "sorbents/curated_cofs/cifs.tar.xz", 5, 40_000, "D1l"),
)


def main() -> None:
    """Judge the three sets, print the table, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-record", action="store_true", help="print only")
    parser.add_argument("--names", action="store_true", help="name the structures that fail a coordination test")
    arguments = parser.parse_args()
    passed: dict[str, Counter[str]] = {}
    totals, coordinated = {}, {}
    for label, archive, step, largest, _ in SETS:
        passed[label], totals[label], coordinated[label] = Counter(), 0, 0
        for name, structure in sampled(data_root() / archive, step, largest):
            # pores are no question of validity here: real frameworks may be dense
            checks = structure_checks(structure, CheckSettings(min_pld_angstrom=0))
            totals[label] += 1
            failed = [check for check in checks if check.outcome == "failed"]
            passed[label].update(check.name for check in checks if check.outcome == "passed")
            wrong = [check for check in failed if check.name.startswith("coordination")]
            coordinated[label] += not wrong and checks[0].outcome == "passed"
            if arguments.names:
                for check in wrong:
                    print(f"{label}: {name}: {check.finding}")
    names = list(dict.fromkeys(name for counts in passed.values() for name in counts))
    rows = [
        {"test": name} | {label: f"{100 * passed[label][name] / totals[label]:.1f} %" for label in passed}
        for name in names
    ]
    rows.append({"test": "structures"} | {label: str(total) for label, total in totals.items()})
    print(aligned(rows))
    if arguments.no_record:
        return
    for label, archive, step, largest, row in SETS:
        shares = ", ".join(f"{name} {100 * passed[label][name] / totals[label]:.1f} %" for name in names)
        record(
            id=row,
            value=100 * coordinated[label] / totals[label],
            unit="% of real frameworks pass all coordination tests",
            protocol=(
                f"{label}, every {step}th file of at most {largest} bytes ({totals[label]} ordered structures), "
                "tests of screening/structure_checks.py as shipped, pores and relaxation not run"
            ),
            data_sha256=sha256_file(data_root() / archive),
            seed=None,
            note=f"passing each test: {shares}",
        )


def sampled(archive: Path, step: int, largest: int) -> Iterator[tuple[str, Structure]]:
    """Ordered structures of every `step`-th CIF of an archive, in the archive's order."""
    with tarfile.open(archive) as tar:
        files = (member for member in tar if member.isfile() and member.name.endswith(".cif"))
        for number, member in enumerate(files, start=1):
            stream = tar.extractfile(member)
            if number % step or member.size > largest or stream is None:
                continue
            text = stream.read().decode(errors="replace")
            ((_, structure),) = parse_cif(text[text.index("data_") :])  # DDEC's files begin with a line of their own
            if isinstance(structure, Structure) and structure.is_ordered:
                yield Path(member.name).stem, structure


if __name__ == "__main__":
    main()
