"""Candidates of a run in the formats other programs read: CSV, JSON (OPTIMADE names), extended XYZ, CIF."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymatgen.io.ase import AseAtomsAdaptor

from potentials.errors import InputError
from potentials.files import write_atomic
from screening.candidate import Row, Snapshot
from screening.export import cif_text
from screening.table import write_table


def export_snapshot(snapshot: Snapshot, target: str | Path, *, everything: bool = False) -> tuple[int, Path]:
    """Write the candidates of a run; the format follows the ending of `target` (no ending: a folder of CIFs).

    Args:
        everything: also candidates that left the funnel; those that were never built have no structure and
            appear in CSV and JSON only.

    Raises:
        InputError: an unknown ending, or a place that cannot be written.
    """
    target = Path(target)
    rows = [row for row in snapshot.rows if everything or row.state == "active"]
    built = [row for row in rows if row.candidate is not None]
    if target.suffix == ".csv":
        return len(rows), write_table([_flat(row) for row in rows], target).path
    if target.suffix == ".json":
        document = {"data": [_optimade(row) for row in rows], "meta": {"campaign": snapshot.name}}
        return len(rows), write_atomic(target, json.dumps(document, indent=1))
    if target.suffix in (".extxyz", ".xyz"):
        return len(built), write_atomic(target, _extxyz(built))
    if target.suffix == "":
        for row in built:
            candidate = row.candidate
            assert candidate is not None
            name = f"{row.index:04d}_{candidate.structure.composition.reduced_formula}_{candidate.id}.cif"
            write_atomic(target / name, cif_text(candidate.structure))
        return len(built), target
    raise InputError(f"cannot export to {target.name}: end it in .csv, .json or .extxyz, or name a folder for CIFs")


def _flat(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"index": row.index, "state": row.state, "stage": row.stage, "reason": row.reason}
    if row.candidate is not None:
        structure = row.candidate.structure
        line |= {"id": row.candidate.id, "formula": structure.composition.reduced_formula, "nsites": len(structure)}
        for item in row.candidate.properties.values():
            column = f"{item.name} [{item.unit}]" if item.unit else item.name
            line[column] = item.value
            if item.std is not None:
                line[f"{item.name} std"] = item.std
    return line


def _optimade(row: Row) -> dict[str, Any]:
    """One OPTIMADE structures entry (v1.2 field names); our own fields carry the `_sorbus_` prefix."""
    attributes: dict[str, Any] = {"_sorbus_state": row.state, "_sorbus_stage": row.stage, "_sorbus_reason": row.reason}
    if row.candidate is None:
        return {"type": "structures", "id": f"unbuilt-{row.index}", "attributes": attributes}
    structure = row.candidate.structure
    elements = sorted({site.specie.symbol for site in structure})
    attributes |= {
        "elements": elements,
        "nelements": len(elements),
        "nsites": len(structure),
        "chemical_formula_reduced": _reduced_alphabetical(structure.composition),
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species_at_sites": [site.specie.symbol for site in structure],
        "dimension_types": [1, 1, 1],
        "_sorbus_provenance": dict(row.candidate.provenance),
    }
    for item in row.candidate.properties.values():
        attributes[f"_sorbus_{item.name}"] = {
            "value": item.value,
            "std": item.std,
            "unit": item.unit,
            "method": item.method,
        }
    return {"type": "structures", "id": row.candidate.id, "attributes": attributes}


def _reduced_alphabetical(composition: Any) -> str:
    """OPTIMADE wants the elements in alphabetical order and no 1s."""
    counts = composition.reduced_composition.get_el_amt_dict()
    return "".join(f"{element}{int(n) if n != 1 else ''}" for element, n in sorted(counts.items()))


def _extxyz(rows: Sequence[Row]) -> str:
    from ase.io.extxyz import write_extxyz

    buffer = io.StringIO()
    for row in rows:
        assert row.candidate is not None
        atoms = AseAtomsAdaptor.get_atoms(row.candidate.structure)
        atoms.calc = None
        atoms.info = {"id": row.candidate.id, "state": row.state}
        atoms.info |= {item.name: item.value for item in row.candidate.properties.values() if item.value is not None}
        write_extxyz(buffer, [atoms])
    return buffer.getvalue()
