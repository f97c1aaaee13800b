"""The field's metrics on structures found in files or folders."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from pymatgen.core import Structure

from gen.evaluation import Metric, evaluate_crystals
from gen.evaluation.hull import METASTABLE, TABLE, HullTable, read_table
from gen.evaluation.matching import match_metrics, match_samples
from gen.evaluation.novelty import MATCHER, VOLUME_TOLERANCE, novel_flags, novel_flags_by_matching
from gen.evaluation.reference import Reference, read_reference
from gen.evaluation.stability import (
    TwinConfig,
    Verdict,
    agreement_metrics,
    judge,
    msun_flags,
    second_opinion,
    stability_metrics,
)
from gen.generator import WEIGHTS
from potentials.config import Config
from potentials.errors import InputError
from potentials.files import write_atomic
from potentials.potential import load_potential
from potentials.structure_files import read_structures


class SecondJudge(Config):
    """Another potential with its own hull, so that nothing is filtered and judged by the same model alone."""

    potential: str | dict[str, Any]  # e.g. {name: external, python: envs/sevenn/bin/python, model: sevenn}
    hull: str  # table of its reference energies (docs/evaluate.md says how to build one)


class EvaluateSettings(Config):
    """What `sorbus evaluate` needs to know."""

    reference: str = "crystals"  # weights (shipped or a checkpoint folder) whose training set novelty is against
    known: str | None = None  # file or folder of known structures: novelty by matching, and coverage of them
    targets: str | None = None  # structures the samples predict: match rates, METRe, cRMSE
    stability: bool = False  # relax everything and place it above the hull: about a second a crystal
    twin: TwinConfig = TwinConfig()
    hull: str | None = None  # table of reference energies of the twin's potential; None: the shipped one
    second: SecondJudge | None = None
    limit: int | None = Field(default=None, ge=1)  # evaluate the first so many only
    out: str | None = None  # CSV file for the metrics; JSON and a picture are put beside it


@dataclass(frozen=True)
class Report:
    """What `sorbus evaluate` found."""

    metrics: list[Metric]
    structures: list[Structure]
    unreadable: list[str] = field(default_factory=list)  # one sentence each
    verdicts: list[Verdict] | None = None  # of each structure, when the twin was asked
    novel: list[bool] | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a metric."""
        return [{"metric": m.name, "value": m.value, "unit": m.unit, "protocol": m.protocol} for m in self.metrics]

    def write(self, path: str | Path) -> list[Path]:
        """CSV at `path`; beside it JSON with a row for every structure, and a picture where matplotlib is installed."""
        from screening.evaluation_picture import draw
        from screening.table import write_table

        path = Path(path)
        written = [write_table(self.rows, path).path]
        payload = {"metrics": self.rows, "structures": self._structure_rows(), "unreadable": self.unreadable}
        written.append(write_atomic(path.with_suffix(".json"), json.dumps(payload, indent=1)))
        picture = draw(self, path.with_suffix(".png"))
        return written + ([picture] if picture else [])

    def _structure_rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"formula": s.composition.reduced_formula, "atoms": len(s), "density_g_cm3": round(float(s.density), 4)}
            for s in self.structures
        ]
        if self.verdicts is None or self.novel is None:
            return rows
        flags = msun_flags(self.verdicts, self.novel)
        for row, verdict, novel, found in zip(rows, self.verdicts, self.novel, flags, strict=True):
            row |= {
                "energy_ev_per_atom": verdict.energy,
                "above_hull_ev_per_atom": verdict.above_hull,
                "decomposes_to": list(verdict.decomposition),
                "rmsd_angstrom": verdict.rmsd,
                "steps": verdict.steps,
                "converged": verdict.converged,
                "novel": bool(novel),
                "metastable_unique_novel": bool(found),
                "failure": verdict.failure,
            }
        return rows


def evaluate_files(
    paths: Sequence[str],
    settings: EvaluateSettings,
    *,
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Metrics over every readable structure in `paths`; unreadable ones are named in the report.

    Raises:
        InputError: a path does not exist, nothing in it can be read, or a setting points to nothing.
    """
    structures, errors = _read(paths)
    if not structures:
        raise InputError(f"no readable structure in {', '.join(map(str, paths))}: {errors[0] if errors else 'empty'}")
    structures = structures[: settings.limit]
    known = _read_all(settings.known, "known") if settings.known else None
    reference = _reference(settings.reference)
    table = read_table(settings.hull or TABLE) if settings.stability else None
    metrics = evaluate_crystals(structures, reference, training=known)
    if settings.targets:
        metrics += _predictions(structures, _read_all(settings.targets, "targets"))
    if table is None:
        return Report(metrics, structures, errors)
    say(f"relaxing {len(structures)} structures with {table.potential}")
    verdicts = judge(structures, table, settings.twin, progress=progress)
    relaxed = [verdict.structure for verdict in verdicts]
    novel, rule = _novelty(relaxed, reference, known)
    metrics += stability_metrics(verdicts, novel, table, settings.twin, rule)
    if settings.second is not None:
        metrics += _second(settings.second, verdicts, novel)
    return Report(metrics, structures, errors, verdicts, novel)


def _reference(name: str) -> Reference:
    shipped = WEIGHTS / name
    return read_reference(shipped if shipped.is_dir() else name)


def _novelty(
    relaxed: Sequence[Structure], reference: Reference, known: Sequence[Structure] | None
) -> tuple[list[bool], str]:
    flags = novel_flags(relaxed, reference)
    rule = f"no training crystal of its reduced formula with a volume per atom within {VOLUME_TOLERANCE:.0%}"
    if known is None:
        return flags, rule
    by_matching = novel_flags_by_matching(relaxed, known)
    both = [a and b for a, b in zip(flags, by_matching, strict=True)]
    return both, f"{rule}, and no match among {len(known)} known structures ({MATCHER})"


def _second(settings: SecondJudge, verdicts: list[Verdict], novel: list[bool]) -> list[Metric]:
    table: HullTable = read_table(settings.hull)
    potential = load_potential(settings.potential)
    try:
        opinions = second_opinion(verdicts, table, potential)
    finally:
        close = getattr(potential, "close", None)  # a model in its own interpreter has one
        if close is not None:
            close()
    return agreement_metrics(verdicts, opinions, novel, table)


def _predictions(structures: Sequence[Structure], targets: Sequence[Structure]) -> list[Metric]:
    """Match rates; the samples of a target are those of its reduced formula, in order."""
    by_formula: dict[str, list[Structure]] = {}
    for structure in structures:
        by_formula.setdefault(structure.composition.reduced_formula, []).append(structure)
    samples: list[list[Structure | None]] = [
        list(by_formula.get(target.composition.reduced_formula, ())) for target in targets
    ]
    width = max(map(len, samples))
    if width == 0:
        raise InputError("no sample has the reduced formula of a target: generate with conditions.composition")
    padded = [row + [None] * (width - len(row)) for row in samples]
    return match_metrics(match_samples(padded, targets))


def _read(paths: Sequence[str]) -> tuple[list[Structure], list[str]]:
    structures, errors = [], []
    for result in (result for path in paths for result in read_structures(path)):
        try:
            structures.append(result.structure)
        except InputError as error:
            errors.append(str(error))
    return structures, errors


def _read_all(path: str, setting: str) -> list[Structure]:
    structures, errors = _read([path])
    if errors or not structures:
        raise InputError(f"{setting}: {errors[0] if errors else f'{path} holds no structure'}")
    return structures


def headline(report: Report) -> str:
    """One sentence on the crystals the twin kept, "" when it was not asked."""
    if report.verdicts is None or report.novel is None:
        return ""
    found = int(msun_flags(report.verdicts, report.novel).sum())
    return (
        f"{found} of {len(report.structures)} are metastable (<= {METASTABLE} eV/atom above the reference hull), "
        "unique and novel"
    )
