"""Assembles generated beads with whichever version of the code is imported, and writes what came of each.

    PYTHONPATH=CHECKOUT python benchmarks/sorbents_bead_worker.py BEADS.jsonl OUT.jsonl

Used by `benchmarks.sorbents_generated_beads` to run an earlier version of the assembly over the same beads: it calls
nothing but `assemble_beads` and `contact_fault`, which every version has. A line of the result: index, processor
seconds, fault, note, and where it was assembled numbers, fractions and cell, and the beads' final places.
"""

import inspect
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gen.sorbents.bead_assembly import AssemblyError, assemble_beads
from gen.sorbents.beads import Beads
from gen.sorbents.contacts import contact_fault


def main() -> None:
    """Run over a file of beads; one line of the result for each as it is done."""
    warnings.filterwarnings("ignore")
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    takes_graph = "joined" in inspect.signature(assemble_beads).parameters
    with Path(sys.argv[2]).open("w") as stream:
        for number, row in enumerate([rows[0], *rows]):  # the first twice: imports are not part of the time
            beads = Beads(
                np.array(row["lattice"]), np.array(row["frac"]), tuple(row["blocks"]), tuple(row["connections"])
            )
            graph = None if row["joined"] is None else np.array(row["joined"])
            result = _assembled(beads, {"joined": graph} if takes_graph else {})
            if number:
                stream.write(json.dumps({"index": row["index"], **result}) + "\n")
                stream.flush()


def _assembled(beads: Beads, options: dict[str, Any]) -> dict[str, Any]:
    start = time.process_time()
    try:
        built = assemble_beads(beads, **options)
        fault = contact_fault(built.structure, built.beads)
    except AssemblyError as error:
        return {"seconds": time.process_time() - start, "fault": f"assembly: {error}"}
    seconds = time.process_time() - start
    result: dict[str, Any] = {"seconds": seconds, "fault": fault, "notes": list(built.notes)}
    if fault is None:
        structure = built.structure
        result |= {
            "numbers": [int(number) for number in structure.atomic_numbers],
            "frac": structure.frac_coords.tolist(),
            "lattice": structure.lattice.matrix.tolist(),
            "blocks": list(built.beads.blocks),
            "bead_frac": built.beads.frac.tolist(),
        }
    return result


if __name__ == "__main__":
    main()
