"""Is a structure known? Against a folder the user gives, and against formulas of published frameworks."""

import functools
import gzip
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pymatgen.core import Structure

from gen.sorbents.files import read_structure
from potentials.config import Config
from potentials.errors import InputError
from potentials.gate import geometry_fault
from screening.candidate import Candidate, Evaluation, Property
from screening.matching import formula_key, same_geometry


class NoveltySettings(Config):
    """What candidates are compared with."""

    reference: Path | None = None  # folder of CIF files, compared by structure
    published: bool = True  # formulas of CoRE MOF 2019 and CURATED COFs, shipped with the package


def evaluate_novelty(candidates: Sequence[Candidate], settings: NoveltySettings, seed: int) -> dict[str, Evaluation]:
    """Say of each candidate whether it is novel; none is rejected, a campaign may `require` it.

    Property `novel` (bool): 0 when a structure of the reference folder matches; 1 when no published framework
    has its reduced formula, which is certain; None when the formula is known but no structure was compared,
    which leaves the question open. Nothing is random; `seed` is not used.

    Returns:
        one evaluation for each candidate, by id.

    Raises:
        InputError: no such reference folder, or a file in it cannot be read.
    """
    reference = _load_reference(settings.reference) if settings.reference else {}
    published = published_formulas() if settings.published else frozenset()
    method = "; ".join(
        [f"StructureMatcher against {settings.reference}"] * bool(settings.reference)
        + [f"reduced formula against {len(published)} of CoRE MOF 2019 and CURATED COFs"] * settings.published
    )
    results = {}
    for candidate in candidates:
        formula = formula_key(candidate.structure)
        twin = _twin(candidate.structure, reference.get(formula, ()))
        value: float | None
        if twin:
            value, note = 0.0, f"same structure as {twin}"
        elif formula in published:
            value, note = None, f"formula {formula} is known, structure not compared"
        elif method:
            value, note = 1.0, ""
        else:
            value, note = None, "nothing to compare with: give a reference folder or switch on published"
        results[candidate.id] = Evaluation((Property("novel", value, "bool", method=method, note=note),))
    return results


@functools.cache
def published_formulas() -> frozenset[str]:
    """Reduced formulas of published frameworks; `screening/reference/build_formulas.py` says of which."""
    packed = resources.files("screening.reference").joinpath("framework_formulas.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().split())


def _twin(structure: Structure, known: Sequence[tuple[str, Structure]]) -> str | None:
    """Name of the reference structure a structure equals."""
    if not known or geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True):
        return None
    return next((name for name, other in known if same_geometry(structure, other)), None)


@functools.lru_cache(maxsize=4)
def _load_reference(folder: Path) -> dict[str, list[tuple[str, Structure]]]:
    """Structures of a folder by reduced formula."""
    if not folder.is_dir():
        raise InputError(f"reference: {folder} is not a folder: give one that holds CIF files")
    known: dict[str, list[tuple[str, Structure]]] = {}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".cif")
    if not paths:
        raise InputError(f"reference: {folder} holds no .cif file: put one structure a file there")
    for path in paths:
        structure, fault = read_structure(path)
        if structure is None:
            raise InputError(f"reference: {path} {fault}: repair or remove it")
        known.setdefault(formula_key(structure), []).append((path.name, structure))
    return known
