"""Adsorption figures of structures the user brings, one table row each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from potentials.config import Config
from potentials.errors import SorbusError
from potentials.structure_files import read_structures
from screening.adsorption.evaluator import HenrySettings, UptakeSettings, evaluate_henry, evaluate_uptake
from screening.candidate import Candidate, Evaluation, content_id
from screening.pores import PoreSettings, evaluate_pores
from screening.table import Table, write_table


class UptakeSwitch(UptakeSettings):
    """Grand-canonical uptake, which may be left out."""

    enabled: bool = True


class AdsorbSettings(Config):
    """What `sorbus adsorb` needs to know."""

    henry: HenrySettings = HenrySettings()
    uptake: UptakeSwitch = UptakeSwitch()
    pores: PoreSettings = PoreSettings()
    seed: int = 0
    out: str = "runs/adsorb"  # output folder


def adsorb_files(
    paths: Sequence[str], settings: AdsorbSettings, folder: str | Path, *, progress: bool = False
) -> Table:
    """Pores, Henry coefficients, heats, uptakes and process figures of every structure in `paths`.

    Charges in the file (`_atom_site_charge`) are used as they are; otherwise they are assigned by the method
    of `settings.henry`. Writes `<folder>/adsorption.csv`, again after each structure, so that nothing is lost
    when a long run stops.

    Raises:
        InputError: a path does not exist or the folder cannot be written.
    """
    target = Path(folder) / "adsorption.csv"
    found = [result for path in paths for result in read_structures(path)]
    rows: list[dict[str, Any]] = []
    for result in tqdm(found, desc="adsorb", disable=not progress):
        row: dict[str, Any] = {"name": result.name}
        try:
            structure = result.structure
            row["formula"] = structure.composition.reduced_formula
            row |= _measure(Candidate(content_id(structure), len(rows), structure, {}), settings)
        except SorbusError as error:
            row["error"] = str(error)
        rows.append(row)
        write_table(rows, target)
    return write_table(rows, target)


def _measure(candidate: Candidate, settings: AdsorbSettings) -> dict[str, Any]:
    row: dict[str, Any] = {}
    evaluations = [lambda: evaluate_pores(candidate, settings.pores, settings.seed)]
    evaluations.append(lambda: evaluate_henry(candidate, settings.henry, settings.seed))
    if settings.uptake.enabled:
        evaluations.append(lambda: evaluate_uptake(candidate, settings.uptake, settings.seed))
    for measure in evaluations:
        evaluation: Evaluation = measure()
        for item in evaluation.properties:
            row[f"{item.name} [{item.unit}]" if item.unit else item.name] = item.value
            if item.std is not None:
                row[f"{item.name} std"] = item.std
        if evaluation.rejected:
            row["error"] = evaluation.rejected
            break
    return row
