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
from screening.model_names import is_member
from screening.quantities import label, with_error
from screening.rank_uncertainty import Distinction, distinguish
from screening.ranking import Ranked, Ranking

_OURS = re.compile(r"\d{2,}_[A-Za-z0-9.]+_[A-Za-z0-9-]+\.cif")  # names this module gives


def write_ranking(
    folder: str | Path, snapshot: Snapshot, ranking: Ranking, distinction: Distinction | None = None
) -> Path:
    """Write `ranking.csv` and `candidates/<place>_<formula>_<id>.cif` for every ranked candidate.

    Each file appears whole or not at all. CIFs that an earlier ranking left in `candidates/` and this one does not
    name are removed; other files there are not touched.

    Args:
        folder: the run folder.
        snapshot: where the ranking came from; its configuration hash is written beside each row.
        ranking: the ranking.
        distinction: how far its first candidates can be told apart; worked out here when not given.

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
    path = write_atomic(folder / "ranking.csv", _csv(snapshot, ranking, names, distinction or distinguish(ranking)))
    try:
        for old in (folder / "candidates").glob("*.cif"):
            if _OURS.fullmatch(old.name) and old.name not in names:
                old.unlink()
    except OSError as error:
        raise InputError(f"cannot remove old CIFs in {folder / 'candidates'}: {error.strerror}: delete them") from error
    return path


def format_ranking(ranking: Ranking, top: int | None = None, distinction: Distinction | None = None) -> str:
    """The best `top` candidates as an aligned table, each number with its error and unit; `*` marks a measured one.

    Args:
        ranking: the ranking.
        top: how many rows; by default what the campaign calls its top.
        distinction: how far the first candidates can be told apart; worked out here when not given.
    """
    top = ranking.top if top is None else top
    distinction = distinction or distinguish(ranking)
    level = f"{ranking.level:.0%}"
    head = [["", "candidate", "formula", "score", "interval", "rank", "group", f"P(top {ranking.top})", "front"]]
    head.append(["", "", "", "", level, _rank_basis(distinction, level), "", "", ""])
    head.append([""] * len(head[0]))
    for objective in ranking.objectives:
        name, _, conditions = label(objective.property).partition(", ")
        for line, cell in zip(head, (name, conditions, objective.unit), strict=True):
            line.append(cell)
    lines = [line for line in head if any(line)]
    lines += [_terminal_row(entry, ranking, distinction, i) for i, entry in enumerate(ranking.entries[:top])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {1, 2, 6}
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
    if len(distinction.places) > 1:
        text.append(f"candidates that share a letter cannot be told apart; {_told_apart(distinction)}")
    if any(item.endswith("*") for line in lines for item in line):
        text.append("* measured in a laboratory; the computed figure stands beside it in ranking.csv and the report")
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


def property_columns(ranking: Ranking, *, members: bool = False) -> list[str]:
    """Names of all properties of ranked candidates: objectives first, then in the order of measuring.

    `members` adds the figures of an ensemble's other models.
    """
    measured = (name for e in ranking.entries for name in e.candidate.properties if members or not is_member(name))
    return list(dict.fromkeys([*(objective.property for objective in ranking.objectives), *measured]))


def _rank_basis(distinction: Distinction, level: str) -> str:
    return f"{level}, {len(distinction.models)} models" if len(distinction.models) > 1 else level


def _told_apart(distinction: Distinction) -> str:
    basis = f"{len(distinction.models)} models" if len(distinction.models) > 1 else "Monte Carlo errors alone"
    return f"{distinction.told_apart:.0%} of the pairs can, at {distinction.level:.0%}, by {basis}"


def model_rank_interval(distinction: Distinction, place: int) -> tuple[int, int] | None:
    """Interval of places under the ensemble, of a candidate at `place`; None beyond those compared."""
    if not 1 <= place <= len(distinction.places):
        return None
    return int(distinction.rank_low[place - 1]), int(distinction.rank_high[place - 1])


def _terminal_row(entry: Ranked, ranking: Ranking, distinction: Distinction, i: int) -> list[str]:
    low, high = entry.score_interval
    under_models = model_rank_interval(distinction, entry.place) if len(distinction.models) > 1 else None
    first, last = under_models or entry.rank_interval
    cells = [
        str(entry.place),
        entry.candidate.id[:8],
        entry.candidate.structure.composition.reduced_formula[:28],
        f"{entry.score:.3f}",
        f"{low:.2f}–{high:.2f}",
        f"{first}–{last}" if first != last else str(first),
        distinction.groups[i] if i < len(distinction.groups) else "",
        f"{entry.top_probability:.2f}",
        str(entry.front),
    ]
    for objective in ranking.objectives:
        found = entry.candidate.properties[objective.property]
        cells.append(with_error(found.value, found.std) + ("*" if found.fidelity == "measured" else ""))
    return cells


def _csv(snapshot: Snapshot, ranking: Ranking, names: list[str], distinction: Distinction) -> str:
    columns = property_columns(ranking, members=True)
    units = {name: _unit(ranking, name) for name in columns}
    measured = {n for e in ranking.entries for n, p in e.candidate.properties.items() if p.fidelity == "measured"}
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
            **_model_columns(distinction, entry.place),
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
            if name in measured:
                row[f"{name}_fidelity"] = "" if found is None else found.fidelity
                before = entry.candidate.superseded.get(name)
                row[f"{name}_computed{unit}"] = "" if before is None or before.value is None else f"{before.value:.8g}"
        row["cif"] = f"candidates/{cif}"
        row["campaign"] = snapshot.config_hash
        row["provenance"] = json.dumps(dict(entry.candidate.provenance), sort_keys=True, default=str)
        rows.append(row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["place", "id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _model_columns(distinction: Distinction, place: int) -> dict[str, Any]:
    """What the ensemble makes of a place; empty beyond the candidates compared."""
    interval = model_rank_interval(distinction, place)
    return {
        "rank_models_p05": "" if interval is None else interval[0],
        "rank_models_p95": "" if interval is None else interval[1],
        "models": len(distinction.models) if interval is not None else "",
        "group": "" if interval is None else distinction.groups[place - 1],
    }


def _unit(ranking: Ranking, name: str) -> str:
    found: Property | None = next(
        (e.candidate.properties[name] for e in ranking.entries if name in e.candidate.properties), None
    )
    return found.unit if found is not None else ""


def _std(candidate: Candidate, name: str) -> float | None:
    found = candidate.properties.get(name)
    return found.std if found is not None and found.value is not None else None
