"""Largest free and included spheres of zeolites through our pore evaluator, against published pyzeo figures.

python -m benchmarks.pore_sizes
"""

import argparse

from benchmarks.record import record
from screening.candidate import Candidate
from screening.pores import PoreSettings, evaluate_pores
from tests.structures.published import cha, lta, mfi

# Å: figures of pyzeo 0.2.0 on the IZA frameworks (golden value G29), largest free and largest included sphere
PUBLISHED = {"MFI": (mfi, 4.247, 5.956), "LTA": (lta, 3.814, 10.651), "CHA": (cha, 3.319, 6.974)}


def main() -> None:
    """Measure and record."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    letters = iter("abcdef")
    for name, (build, *figures) in PUBLISHED.items():
        evaluation = evaluate_pores(Candidate("", 0, build(), {}), PoreSettings(), 0)
        measured = {item.name: item for item in evaluation.properties}
        for key, figure in zip(("pld_angstrom", "lcd_angstrom"), figures, strict=True):
            item = measured[key]
            if item.value is None:
                raise SystemExit(f"{name}: {item.note}")
            record(
                id=f"G29{next(letters)}",
                value=item.value,
                unit="Å",
                protocol=f"{key} of {name} (IZA framework in space group, cell and asymmetric unit), {item.method}",
                data_sha256=None,
                seed=0,
                peer="pyzeo 0.2.0 figures G29",
                peer_value=figure,
            )


if __name__ == "__main__":
    main()
