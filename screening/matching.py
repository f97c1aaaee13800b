"""When are two structures the same? Formula, bonded network, then geometry: cheap tests first."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from screening.bonds import bond_graph

NETWORK_ROUNDS = 6  # bonds from an atom its colour sees
LENGTH, SITE, ANGLE = 0.2, 0.3, 5.0  # pymatgen's own tolerances, on scaled primitive cells
MATCHER = f"ltol {LENGTH}, stol {SITE}, angle_tol {ANGLE}"


def formula_of_counts(counts: Mapping[str, int]) -> str:
    """Reduced formula, symbols in alphabetical order, e.g. `C3H2Zn`."""
    divisor = math.gcd(*counts.values())
    return "".join(f"{s}{n // divisor if n > divisor else ''}" for s, n in sorted(counts.items()))


def formula_key(structure: Structure) -> str:
    """`formula_of_counts` of a structure."""
    return formula_of_counts(Counter(site.specie.symbol for site in structure))


def network_hash(structure: Structure) -> str:
    """Hash of the bonded network, independent of cell, setting and atom order.

    Colours of atoms are refined by their neighbours' (Weisfeiler & Leman 1968) and their shares are hashed, so
    that a supercell has the hash of its primitive cell. Equal networks have equal hashes; different ones
    with the same surroundings everywhere (diamond and lonsdaleite) may share one too.
    """
    graph = bond_graph(structure)
    neighbours: list[list[int]] = [[] for _ in graph.numbers]
    for i, j in graph.pairs.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    colours = [str(number) for number in graph.numbers.tolist()]
    for _ in range(NETWORK_ROUNDS):
        words = [f"{colours[k]}({','.join(sorted(colours[m] for m in near))})" for k, near in enumerate(neighbours)]
        colours = [hashlib.blake2b(word.encode(), digest_size=8).hexdigest() for word in words]
    counts = Counter(colours)
    divisor = math.gcd(*counts.values())
    shares = ";".join(f"{colour}:{n // divisor}" for colour, n in sorted(counts.items()))
    return hashlib.blake2b(shares.encode(), digest_size=8).hexdigest()


def same_geometry(first: Structure, second: Structure) -> bool:
    """Whether pymatgen's `StructureMatcher` maps one structure onto the other."""
    return bool(StructureMatcher(ltol=LENGTH, stol=SITE, angle_tol=ANGLE).fit(first, second))
