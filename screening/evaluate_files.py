"""The field's metrics on structures found in files or folders."""

from collections.abc import Sequence
from typing import Any

from pymatgen.core import Structure

from gen.evaluation import evaluate_crystals
from potentials.config import Config
from potentials.errors import InputError
from potentials.structure_files import read_structures


class EvaluateSettings(Config):
    """What `sorbus evaluate` needs to know."""

    out: str | None = None  # CSV file for the metrics


def evaluate_files(paths: Sequence[str], settings: EvaluateSettings) -> tuple[list[dict[str, Any]], list[str]]:
    """Metrics over every readable structure in `paths`, and a sentence for each unreadable one.

    Raises:
        InputError: a path does not exist, or nothing in it can be read.
    """
    del settings  # where to write is the caller's business
    structures: list[Structure] = []
    errors = []
    for result in (result for path in paths for result in read_structures(path)):
        try:
            structures.append(result.structure)
        except InputError as error:
            errors.append(str(error))
    if not structures:
        raise InputError(f"no readable structure in {', '.join(map(str, paths))}: {errors[0] if errors else 'empty'}")
    rows = [
        {"metric": metric.name, "value": metric.value, "unit": metric.unit, "protocol": metric.protocol}
        for metric in evaluate_crystals(structures)
    ]
    return rows, errors
