"""Two descriptions of one structure count once."""

from collections.abc import Sequence

from pymatgen.core import Structure

from potentials.config import Config
from potentials.gate import geometry_fault
from screening.candidate import Candidate, Evaluation, Property
from screening.matching import MATCHER, formula_key, network_hash, same_geometry


class UniquenessSettings(Config):
    """How structures are compared."""

    compare_geometry: bool = True  # off: the same formula and bonded network count as the same structure


def evaluate_uniqueness(
    candidates: Sequence[Candidate], settings: UniquenessSettings, seed: int
) -> dict[str, Evaluation]:
    """Compare all candidates; of equal ones the first proposed stays and later ones are rejected.

    Only candidates with the same reduced formula, net (where the proposer names one) and bonded network are
    compared in geometry, so that hundreds of frameworks take seconds. Property: `unique` (bool).
    Nothing is random; `seed` is not used.

    Returns:
        one evaluation for each candidate, by id.
    """
    method = f"formula, net, bonded network (Weisfeiler-Leman), then pymatgen StructureMatcher {MATCHER}"
    kept: dict[tuple[str, str, str], list[Candidate]] = {}
    results: dict[str, Evaluation] = {}
    for candidate in sorted(candidates, key=lambda c: c.index):
        bucket = kept.setdefault(_bucket(candidate), [])
        twin = next((other for other in bucket if _same(candidate.structure, other.structure, settings)), None)
        flag = Property("unique", float(twin is None), "bool", method=method)
        if twin is None:
            bucket.append(candidate)
            results[candidate.id] = Evaluation((flag,))
        else:
            results[candidate.id] = Evaluation((flag,), rejected=f"same structure as candidate {twin.index}")
    return results


def _bucket(candidate: Candidate) -> tuple[str, str, str]:
    """Candidates in different buckets cannot be equal."""
    structure = candidate.structure
    net = str(candidate.provenance.get("net", ""))
    if geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True):
        return formula_key(structure), net, candidate.id  # no neighbour list may see it: equal to nothing
    return formula_key(structure), net, network_hash(structure)


def _same(first: Structure, second: Structure, settings: UniquenessSettings) -> bool:
    return same_geometry(first, second) if settings.compare_geometry else True
