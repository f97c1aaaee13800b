"""Adsorption figures of structures the user brings, measured by a process recipe, ranked, and resumable.

Every structure runs in a supervised worker process, since a compiled simulation cannot be interrupted and ends its
process on an internal error. What is finished is kept in `<folder>/structures/` under the content of the structure
and the hash of the settings, so that a second run of the same command goes on where the first stopped.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pymatgen.core import Element, Structure

from potentials.config import config_hash
from potentials.errors import GeometryError, InputError, SorbusError
from potentials.files import sha256_json, write_atomic
from potentials.gate import GateLimits
from potentials.structure_files import ReadResult, read_structures
from screening.adsorb_tables import columns_of, model_rows, place_interval, point_rows, rounded
from screening.adsorption.charges import FORCE_FIELD, GIVEN, charge_model_mark
from screening.adsorption.ensemble import EnsembleSettings, evaluate_ensemble
from screening.adsorption.force_fields import find_force_field
from screening.adsorption.framework import MAX_HOST_ATOMS, Host, check_framework, prepare_host
from screening.adsorption.host_checks import force_field_warnings, framework_warnings
from screening.adsorption.recipe_figures import recipe_properties, require_objectives
from screening.adsorption.recipe_run import MIN_POINTS, RecipeSettings, run_recipe
from screening.adsorption.seeds import derive_seed
from screening.candidate import Candidate, Evaluation, Property, Row, Snapshot, content_id
from screening.executor import Task
from screening.geometry_json import encode_structure
from screening.pores import PoreSettings, evaluate_pores
from screening.quantities import with_error
from screening.rank_uncertainty import Distinction, distinguish
from screening.ranking import Ranking, rank
from screening.stage_report import tell
from screening.structure_progress import StructureProgress
from screening.table import Table, aligned, write_table
from screening.workers import LocalWorkers

_STAGE = "adsorb"
_WARNED_OF = 10  # structures whose warnings are shown beforehand
_READ = GateLimits(max_atoms=20 * MAX_HOST_ATOMS)  # too large a cell is refused in this verb's own words


class AdsorbSettings(RecipeSettings):
    """What `sorbus adsorb` needs to know."""

    # The whole recipe again with other force fields and charges, so that places get intervals over models too
    ensemble: bool = False
    force_fields: tuple[str, ...] = ("uff-trappe", "dreiding-uff-trappe")  # of the ensemble
    charge_methods: tuple[str, ...] = ("learned", "eqeq")  # of the ensemble, where a structure brings none
    pores: PoreSettings = PoreSettings()
    seed: int = 0
    workers: int = Field(default=1, gt=0)  # processes; a structure occupies one core
    deadline_s: float = Field(default=7200.0, gt=0)  # a structure; then its process is killed
    out: str = "runs/adsorb"  # output folder


@dataclass(frozen=True)
class AdsorbResult:
    """What a run of `adsorb_files` leaves behind."""

    table: Table  # one row a structure, in the order of the input
    ranking: Ranking
    distinction: Distinction  # which places can be told apart, over models if an ensemble was measured
    points: Table  # one row an isotherm point
    pictures: tuple[Path, ...]  # of the isotherms; empty without matplotlib
    reused: int  # structures that an earlier run had finished

    @property
    def summary(self) -> str:
        """The ranking and what went wrong, for a terminal."""
        return _summary(self)


def adsorb_files(
    paths: Sequence[str], settings: AdsorbSettings, folder: str | Path, *, progress: bool = False
) -> AdsorbResult:
    """Measure every structure of `paths` for the recipe of the settings, and rank them by its objectives.

    Charges in a file (`_atom_site_charge`) are used as they are; otherwise they are assigned by `settings.model`.
    Writes in `folder`: `adsorption.csv` (again after each structure), `isotherms.csv`, `isotherms.png` and `.svg` when
    matplotlib is installed, `models.csv` with an ensemble, and `structures/*.json`.

    Raises:
        InputError: a path does not exist, the folder cannot be written, or the recipe needs more than is asked for.
    """
    require_objectives(settings)
    folder = Path(folder)
    found = [result for path in paths for result in read_structures(path, limits=_READ)]
    rows: list[dict[str, Any]] = [{"name": result.name} for result in found]
    candidates = [_candidate(result, index, rows[index], settings) for index, result in enumerate(found)]
    kept = {c.id: _load(folder, c.id, settings) for c in candidates if c is not None}
    reused = sum(evaluation is not None for evaluation in kept.values())
    waiting = {c.id: c for c in candidates if c is not None and kept[c.id] is None}

    def record(identity: str, evaluation: Evaluation | None, reason: str | None = None) -> None:
        for row, candidate in zip(rows, candidates, strict=True):
            if candidate is not None and candidate.id == identity:
                row |= columns_of(evaluation) if evaluation else {}
                if reason or (evaluation and evaluation.rejected):
                    row["error"] = reason or (evaluation.rejected if evaluation else "")
        write_table(rows, folder / "adsorption.csv")

    for identity, evaluation in kept.items():
        if evaluation is not None:
            record(identity, evaluation)
    if progress:
        _announce(rows, len(waiting), folder)
    with StructureProgress("adsorb", len(kept), reused, show=progress) as shown:
        for identity, answer in _run(list(waiting.values()), settings, folder, shown):
            if isinstance(answer, str):
                record(identity, None, answer)
            else:
                kept[identity] = _evaluation(answer)
                if kept[identity].rejected is None:  # type: ignore[union-attr]
                    write_atomic(record_path(folder, identity, settings), json.dumps(answer, allow_nan=False))
                record(identity, kept[identity])
            failed = isinstance(answer, str) or answer["rejected"] is not None
            shown.finished(waiting[identity].provenance["name"], "not measured" if failed else "measured")
    ranking = _rank(candidates, kept, settings)
    distinction = distinguish(ranking)
    for entry in ranking.entries:
        low, high = place_interval(entry, distinction)
        rows[entry.index] |= {
            "place": entry.place,
            "place low": low,
            "place high": high,
            "score": rounded(entry.score),
        }
    if settings.ensemble:
        write_table(model_rows(rows, ranking), folder / "models.csv")
    points = write_table(point_rows(rows, candidates, kept), folder / "isotherms.csv")
    pictures = _draw(points, ranking, rows, settings, folder)
    return AdsorbResult(write_table(rows, folder / "adsorption.csv"), ranking, distinction, points, pictures, reused)


def measure_structure(candidate: Candidate, settings: AdsorbSettings, seed: int) -> Evaluation:
    """Pores, every figure of the recipe, and how sure learned charges are; what a worker runs.

    A framework the model cannot describe is rejected with the reason.
    """
    from screening.adsorption.charge_confidence import confidence_properties  # torch takes its time

    tell("pores")
    pores = evaluate_pores(candidate, settings.pores, seed).properties
    try:
        tell("charges")
        host = prepare_host(candidate.structure, settings.model)
        run = run_recipe(host, settings, seed)
        others = _other_models(candidate, settings, seed) if settings.ensemble else ()
        charges = confidence_properties(host, settings.recipe.target, settings.recipe.feed.temperature)
        charges = charges or _fallen_back(host, settings)
        return Evaluation((*pores, *recipe_properties(host, run, settings, seed), *charges, *others))
    except (InputError, GeometryError) as error:
        return Evaluation(pores, rejected=str(error))


def _fallen_back(host: Host, settings: AdsorbSettings) -> tuple[Property, ...]:
    """Says on the row that charges could not be the learned ones asked for."""
    if settings.model.charges != "learned" or host.charge_method in (GIVEN, FORCE_FIELD):
        return ()
    note = f"charges by {host.charge_method} instead of learned ones: their error is larger and not known"
    return (Property(f"charges_ln_henry_{settings.recipe.target.lower()}_std", None, "", note=note),)


def _other_models(candidate: Candidate, settings: AdsorbSettings, seed: int) -> tuple[Property, ...]:
    """Every member's figures of the recipe, named `<property>@<force field>+<charges>`."""
    recipe = {name: getattr(settings, name) for name in RecipeSettings.model_fields}
    ensemble = EnsembleSettings(
        model=settings.model,
        force_fields=settings.force_fields,
        charges=settings.charge_methods,
        measure="process",
        process=RecipeSettings(**recipe),
    )
    return evaluate_ensemble(candidate, ensemble, seed).properties


def _announce(rows: Sequence[Mapping[str, Any]], waiting: int, folder: Path) -> None:
    """What will not be measured and why, and what looks wrong, before the rest takes its time."""
    for row in rows:
        if row.get("error"):
            print(f"refused: {row['name']}: {row['error']}", flush=True)
    doubtful = [row for row in rows if row.get("warnings")]
    if not waiting:
        return
    for row in doubtful[:_WARNED_OF]:
        print(f"warning: {row['name']}: {row['warnings']}", flush=True)
    if len(doubtful) > _WARNED_OF:
        print(f"warnings of {len(doubtful) - _WARNED_OF} more: in {folder / 'adsorption.csv'}", flush=True)
    print(
        f"{waiting} to measure, each in seconds (mixtures=none isotherm_points=0) to many minutes (crowded pores); "
        f"{folder / 'adsorption.csv'} grows as they finish, and the same command goes on where it stopped",
        flush=True,
    )


def _candidate(result: ReadResult, index: int, row: dict[str, Any], settings: AdsorbSettings) -> Candidate | None:
    """The structure of a file, its row given formula and warnings, or the reason why there is none."""
    try:
        structure = result.structure
        with warnings.catch_warnings():  # pymatgen on elements it knows no electronegativity of
            warnings.simplefilter("ignore", UserWarning)
            row["formula"] = structure.composition.reduced_formula
        row["atoms"] = len(structure)
        check_framework(structure, settings.model)
        warned = [
            *force_field_warnings(structure, settings.model),
            *framework_warnings(structure, settings.model.cutoff),
        ]
        row["warnings"] = "; ".join(warned)
        return Candidate(
            _identity(structure, settings), index, structure, {"name": result.name, "file": str(result.path)}
        )
    except SorbusError as error:
        row["error"] = str(error)
        return None


def _identity(structure: Structure, settings: AdsorbSettings) -> str:
    """Id of a structure, with what else of its file changes figures: charges, and labels where the force field has any.

    Two files of one framework with charges of different sources must not share what was measured.
    """
    identity = content_id(structure)
    charges = structure.site_properties.get("charge")
    told = [] if charges is None or not np.any(charges) else [np.round(charges, 6).tolist()]
    kinds = find_force_field(settings.model.force_field).framework
    if not all(Element.is_valid_symbol(kind) for kind in kinds):
        told.append([site.label for site in structure])
    if not told:
        return identity
    places = (np.round(structure.frac_coords % 1.0, 4) % 1.0 + 0.0).tolist()  # which site each belongs to
    return sha256_json([identity, places, told])[:16]


def _run(candidates: list[Candidate], settings: AdsorbSettings, folder: Path, shown: StructureProgress) -> Any:
    """(id, answer or reason) of every candidate as it comes."""
    if not candidates:
        return
    values = settings.model_dump(mode="json")
    queue = list(reversed(candidates))
    names = {candidate.id: str(candidate.provenance["name"]) for candidate in candidates}
    folder.mkdir(parents=True, exist_ok=True)
    with LocalWorkers(min(settings.workers, len(candidates)), folder) as workers:
        running = 0
        while queue or running:
            while queue and workers.free() > 0:
                workers.submit(_task(queue.pop(), values, settings))
                running += 1
            arrived = workers.wait(1.0)
            shown.stages({names[identity]: stage for identity, stage in workers.stages().items()})
            for outcome in arrived:
                running -= 1
                identity = outcome.task.subjects[0]
                if outcome.answer is None:
                    yield identity, f"the simulation ended ({outcome.death}): the reason is in {workers.log}"
                elif "error" in outcome.answer:
                    yield identity, str(outcome.answer["error"])
                else:
                    yield identity, dict(outcome.answer)


def _task(candidate: Candidate, values: Mapping[str, Any], settings: AdsorbSettings) -> Task:
    payload = {
        "kind": "evaluate",
        "stage": _STAGE,
        "subject": candidate.id,
        "function": "screening.adsorb_files:measure_structure",
        "settings_class": "screening.adsorb_files:AdsorbSettings",
        "settings": values,
        "seed": derive_seed(settings.seed, _STAGE, candidate.id),
        "candidate": {
            "id": candidate.id,
            "index": candidate.index,
            "structure": encode_structure(candidate.structure),
            "provenance": {},
            "properties": [],
        },
    }
    return Task(_STAGE, (candidate.id,), payload, settings.deadline_s)


def record_path(folder: Path, identity: str, settings: AdsorbSettings) -> Path:
    """Where the figures of a structure are kept, by its content, the settings, the recipe and the model of charges."""
    # where it runs and how many at a time change no number
    alike = settings.model_copy(update={"out": "", "workers": 1, "deadline_s": 1.0})
    facts = [config_hash(alike), repr(settings.recipe)]
    if settings.model.charges == "learned" or (settings.ensemble and "learned" in settings.charge_methods):
        facts.append(charge_model_mark())
    return folder / "structures" / f"{identity}_{sha256_json(facts)[:12]}.json"


def _load(folder: Path, identity: str, settings: AdsorbSettings) -> Evaluation | None:
    path = record_path(folder, identity, settings)
    if not path.is_file():
        return None
    try:
        return _evaluation(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # written by another version, or cut short: measured again


def _evaluation(answer: Mapping[str, Any]) -> Evaluation:
    return Evaluation(tuple(Property(**item) for item in answer["properties"]), rejected=answer["rejected"])


def _objectives(settings: AdsorbSettings) -> list[dict[str, Any]]:
    recipe = settings.recipe
    if settings.mixtures == "none" and not (recipe.parasitic and settings.isotherm_points >= MIN_POINTS):
        name = f"{recipe.target.lower()}_henry_{recipe.feed.temperature:g}K"
        return [{"property": name, "direction": "max", "weight": 1.0}]
    return [
        {"property": f"{recipe.prefix}_{name}", "direction": direction, "weight": weight}
        for name, direction, weight in recipe.objectives
    ]


def _rank(
    candidates: Sequence[Candidate | None], kept: Mapping[str, Evaluation | None], settings: AdsorbSettings
) -> Ranking:
    rows = []
    for candidate in candidates:
        evaluation = kept.get(candidate.id) if candidate else None
        if candidate is not None and evaluation is not None and evaluation.rejected is None:
            measured = {item.name: item for item in evaluation.properties}
            rows.append(Row(candidate.index, "active", replace(candidate, properties=measured)))
    config = {"ranking": {"objectives": _objectives(settings), "top": 10}, "seed": settings.seed}
    return rank(Snapshot(_STAGE, settings.recipe.title, config, "", {}, (_STAGE,), tuple(rows)))


def _draw(
    points: Table, ranking: Ranking, rows: Sequence[Mapping[str, Any]], settings: AdsorbSettings, folder: Path
) -> tuple[Path, ...]:
    from screening.isotherm_figure import draw_isotherms

    best = [str(rows[entry.index]["name"]) for entry in ranking.entries]
    return draw_isotherms(points.rows, best, settings.recipe.title, folder)


def _summary(result: AdsorbResult) -> str:
    lines = [f"{result.table.succeeded} of {len(result.table.rows)} measured, {result.reused} of them before"]
    shown = []
    for entry in result.ranking.entries[:20]:
        row: dict[str, Any] = {"place": entry.place, "90 %": _span(place_interval(entry, result.distinction))}
        if entry.place in result.distinction.places:
            row["group"] = result.distinction.groups[result.distinction.places.index(entry.place)]
        row["name"] = result.table.rows[entry.index]["name"]
        for objective in result.ranking.objectives:
            item = entry.candidate.properties[objective.property]
            label = f"{objective.property} [{objective.unit}]" if objective.unit else objective.property
            row[label] = with_error(item.value, item.std)
        row["!"] = "!" if result.table.rows[entry.index].get("warnings") else ""
        shown.append(row)
    if shown:
        lines += ["", aligned(shown)]
        count = len(result.distinction.models)
        lines.append(
            f"90 %: over {count} models and their Monte Carlo errors; who shares a letter cannot be told apart"
            if count > 1
            else "90 %: from the Monte Carlo errors alone; force field and charges add more (--ensemble)"
        )
    if len(result.ranking.entries) > len(shown):
        lines.append(f"... and {len(result.ranking.entries) - len(shown)} more in {result.table.path}")
    lines += [f"not ranked: {result.table.rows[u.index]['name']}: {u.reason}" for u in result.ranking.unranked]
    lines += [f"{row['name']}: {row['error']}" for row in result.table.rows if row.get("error")]
    lines += [f"! {row['name']}: {row['warnings']}" for row in result.table.rows if row.get("warnings")]
    models = [result.table.path.with_name("models.csv")] if len(result.distinction.models) > 1 else []
    points = [result.points.path] if result.points.rows else []
    written = [result.table.path, *models, *points, *result.pictures]
    return "\n".join([*lines, "", "written: " + ", ".join(map(str, written))])


def _span(interval: tuple[int, int]) -> str:
    return str(interval[0]) if interval[0] == interval[1] else f"{interval[0]}-{interval[1]}"
