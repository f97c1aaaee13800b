"""From an index to a row of the training set, or the reason why there is none."""

import hashlib
from collections.abc import Iterable
from typing import Any

from pymatgen.core import Structure

from gen.sorbents.assembly import AssemblyError, Framework, assemble
from gen.sorbents.beads import BeadRow, held_out
from gen.sorbents.recipe import Recipe
from potentials.gate import geometry_fault
from screening.candidate import Candidate
from screening.matching import formula_key, network_hash
from screening.sorbent_dataset.draws import Draws
from screening.sorbent_dataset.labels import label
from screening.sorbent_dataset.settings import SorbentDatasetSettings
from screening.validity import BALANCE, ValiditySettings, analyse, evaluate_validity, validity_tests

VALIDATION = 20  # one in so many rows, by the hash of the key


def make_record(index: int, draws: Draws, settings: SorbentDatasetSettings) -> dict[str, Any]:
    """What index `index` gives, JSON-able; a function of the index and the settings alone.

    `kept` tells whether there is a `row`; otherwise `check` names the test that failed and `reason` says how.
    `content` is equal for two descriptions of one bonded network; `notes` says which labels are missing and why.
    """
    recipe = draws.recipe(index)
    if recipe is None:
        return lost(index, None, "recipe", "no framework within the limits was drawn")
    try:
        return _built(index, recipe, draws, settings)
    except AssemblyError as error:
        return lost(index, recipe, "assembly", str(error))
    except Exception as error:  # one bad row must not end the set; what it was is written down
        return lost(index, recipe, "error", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _built(index: int, recipe: Recipe, draws: Draws, settings: SorbentDatasetSettings) -> dict[str, Any]:
    framework = assemble(recipe, draws.catalog)
    if framework.gap > settings.draw.max_gap:
        reason = f"a joint stays {framework.gap:.2f} Å open, above {settings.draw.max_gap} Å"
        return lost(index, recipe, "open joint", reason)
    structure = framework.structure
    verdict = evaluate_validity(Candidate(recipe.key, index, structure, {}), settings.validity, 0)
    if verdict.rejected:
        return lost(index, recipe, failed_check(structure, settings.validity), verdict.rejected)
    labels, notes = label(structure, recipe.key, settings.labels, settings.seed)
    row = bead_row(recipe, framework, labels)
    return {
        "index": index,
        "kept": True,
        "key": recipe.key,
        "content": f"{formula_key(structure)} {network_hash(structure)}",
        "atoms": len(structure),
        "row": row.to_json(),
        "notes": notes,
    }


def bead_row(recipe: Recipe, framework: Framework, labels: dict[str, float]) -> BeadRow:
    """The row of a framework, with its place in training, validation or held-out set."""
    return BeadRow(recipe.key, recipe.net, split_of(recipe), framework.beads, framework.links, labels)


def split_of(recipe: Recipe) -> str:
    """`split_of_parts` of a recipe."""
    return split_of_parts([recipe.net, *recipe.nodes, *(edge for edge in recipe.edges if edge)], recipe.key)


def split_of_parts(names: Iterable[str], key: str) -> str:
    """`held` with a held-out net or block; else `validation` for one key in twenty, by hash; else `train`."""
    if any(held_out(name) for name in names):
        return "held"
    return "validation" if int(hashlib.sha256(key.encode()).hexdigest(), 16) % VALIDATION == 0 else "train"


def failed_check(structure: Structure, settings: ValiditySettings) -> str:
    """Name of the first validity test a rejected framework fails, in the order they are run."""
    if geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True):
        return "geometry"
    analysis = analyse(structure)
    counted = [test for test in validity_tests(settings) if test.name != BALANCE or settings.unbalanced == "reject"]
    return next((test.name for test in counted if test.fault(analysis)), "unknown")


def lost(index: int, recipe: Recipe | None, check: str, reason: str) -> dict[str, Any]:
    """The record of an index that gave no row."""
    return {"index": index, "kept": False, "key": recipe.key if recipe else None, "check": check, "reason": reason}
