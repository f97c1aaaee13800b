"""A ranking on disk and on the terminal: `ranking.csv`, a CIF per candidate, an aligned table."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from potentials.cif import format_cif
from potentials.errors import InputError
from potentials.files import write_atomic
from screening.candidate import Candidate, Property, Snapshot
from screening.quantities import label, with_error
from screening.ranking import Ranked, Ranking

_OURS = re.compile(r"\d{2,}_[A-Za-z0-9.]+_[A-Za-z0-9-]+\.cif")  # names this module gives


def write_ranking(folder: str | Path, snapshot: Snapshot, ranking: Ranking) -> Path:
    """Write `ranking.csv` and `candidates/<place>_<formula>_<id>.cif` for every ranked candidate.

    Each file appears whole or not at all. CIFs that an earlier ranking left in `candidates/` and this one does not
    name are removed; other files there are not touched.

    Args:
        folder: the run folder.
        snapshot: where the ranking came from; its configuration hash is written beside each row.
        ranking: the ranking.

    Returns:
        The path of `ranking.csv`.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    names = [cif_name(entry, len(ranking.entries)) for entry in ranking.entries]
    for entry, name in zip(ranking.entries, names, strict=True):
        head = f"Sorbus candidate {entry.candidate.id}, place {entry.place} of campaign {snapshot.config_hash}"
        write_atomic(folder / "candidates" / name, f"# {head}\n{cif_text(entry.candidate.structure)}")
    path = write_atomic(folder / "ranking.csv", _csv(snapshot, ranking, names))
    try:
        for old in (folder / "candidates").glob("*.cif"):
            if _OURS.fullmatch(old.name) and old.name not in names:
                old.unlink()
    except OSError as error:
        raise InputError(f"cannot remove old CIFs in {folder / 'candidates'}: {error.strerror}: delete them") from error
    return path


def format_ranking(ranking: Ranking, top: int | None = None) -> str:
    """The best `top` candidates as an aligned table, each number with its error and unit.

    Args:
        ranking: the ranking.
        top: how many rows; by default what the campaign calls its top.
    """
    top = ranking.top if top is None else top
    level = f"{ranking.level:.0%}"
    head = [["", "candidate", "formula", "score", "interval", "rank", f"P(top {ranking.top})", "front"]]
    head.append(["", "", "", "", level, level, "", ""])
    head.append([""] * len(head[0]))
    for objective in ranking.objectives:
        name, _, conditions = label(objective.property).partition(", ")
        for line, cell in zip(head, (name, conditions, objective.unit), strict=True):
            line.append(cell)
    lines = [line for line in head if any(line)]
    lines += [_terminal_row(entry, ranking) for entry in ranking.entries[:top]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {1, 2}
    text = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    if not ranking.entries:
        text = ["no candidate could be ranked"]
    elif len(ranking.entries) > top:
        text.append(f"and {len(ranking.entries) - top} more in ranking.csv")
    if ranking.unranked:
        first = ranking.unranked[0]
        text.append(f"{len(ranking.unranked)} not rankable, e.g. {first.candidate.id}: {first.reason}")
    return "\n".join(text)


def cif_name(entry: Ranked, total: int) -> str:
    """`01_<formula>_<id>.cif`; the place padded so that the folder listing is the ranking."""
    formula = re.sub(r"[^A-Za-z0-9.]", "", entry.candidate.structure.composition.reduced_formula) or "structure"
    identity = re.sub(r"[^A-Za-z0-9-]", "", entry.candidate.id) or str(entry.index)
    return f"{entry.place:0{max(2, len(str(total)))}d}_{formula[:60]}_{identity}.cif"


def cif_text(structure: Structure) -> str:
    """The structure as CIF, P1, with `_atom_site_charge` (e) where its sites carry partial charges."""
    plain = structure.copy()
    charges = plain.site_properties.get("charge") or plain.site_properties.get("charges")
    for name in list(plain.site_properties):
        plain.remove_site_property(name)
    if charges is not None and all(isinstance(q, int | float) and math.isfinite(q) for q in charges):
        plain.add_site_property("charge", list(charges))
    return format_cif(plain)


def property_columns(ranking: Ranking) -> list[str]:
    """Names of all properties measured on ranked candidates: objectives first, then in the order of measuring."""
    measured = (name for entry in ranking.entries for name in entry.candidate.properties)
    return list(dict.fromkeys([*(objective.property for objective in ranking.objectives), *measured]))


def _terminal_row(entry: Ranked, ranking: Ranking) -> list[str]:
    low, high = entry.score_interval
    first, last = entry.rank_interval
    cells = [
        str(entry.place),
        entry.candidate.id[:8],
        entry.candidate.structure.composition.reduced_formula[:28],
        f"{entry.score:.3f}",
        f"{low:.2f}–{high:.2f}",
        f"{first}–{last}" if first != last else str(first),
        f"{entry.top_probability:.2f}",
        str(entry.front),
    ]
    for objective in ranking.objectives:
        found = entry.candidate.properties[objective.property]
        cells.append(with_error(found.value, found.std))
    return cells


def _csv(snapshot: Snapshot, ranking: Ranking, names: list[str]) -> str:
    columns = property_columns(ranking)
    units = {name: _unit(ranking, name) for name in columns}
    erring = {name for name in columns if any(_std(e.candidate, name) is not None for e in ranking.entries)}
    rows = []
    for entry, cif in zip(ranking.entries, names, strict=True):
        row: dict[str, Any] = {
            "place": entry.place,
            "id": entry.candidate.id,
            "proposal": entry.index,
            "formula": entry.candidate.structure.composition.reduced_formula,
            "score": f"{entry.score:.4f}",
            "score_p05": f"{entry.score_interval[0]:.4f}",
            "score_p95": f"{entry.score_interval[1]:.4f}",
            "rank_p05": entry.rank_interval[0],
            "rank_p95": entry.rank_interval[1],
            f"probability_top_{ranking.top}": f"{entry.top_probability:.4f}",
            "pareto_front": entry.front,
            "probability_pareto": f"{entry.front_probability:.4f}",
        }
        for name in columns:
            found = entry.candidate.properties.get(name)
            unit = f" [{units[name]}]" if units[name] else ""
            row[name + unit] = "" if found is None or found.value is None else f"{found.value:.8g}"
            if name in erring:
                std = _std(entry.candidate, name)
                row[f"{name}_std{unit}"] = "" if std is None else f"{std:.3g}"
        row["cif"] = f"candidates/{cif}"
        row["campaign"] = snapshot.config_hash
        row["provenance"] = json.dumps(dict(entry.candidate.provenance), sort_keys=True, default=str)
        rows.append(row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["place", "id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _unit(ranking: Ranking, name: str) -> str:
    found: Property | None = next(
        (e.candidate.properties[name] for e in ranking.entries if name in e.candidate.properties), None
    )
    return found.unit if found is not None else ""


def _std(candidate: Candidate, name: str) -> float | None:
    found = candidate.properties.get(name)
    return found.std if found is not None and found.value is not None else None
