"""A real framework as beads: its pieces named by the library's blocks, its net by its quotient graph."""

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Structure

from gen.sorbents.beads import DIRECT, EDGE, BeadRow, Beads, Links
from gen.sorbents.net_identity import identify
from potentials.gate import geometry_fault
from screening.bonds import bond_graph, components
from screening.sorbent_dataset.block_match import LEVELS, Level, match_fragment
from screening.sorbent_dataset.fragments import DecompositionError, Pieces, cut_structure, piece_formula
from screening.sorbent_dataset.rows import split_of_parts


@dataclass(frozen=True)
class Decomposition:
    """What a framework is made of."""

    level: Level  # how closely every piece agrees with its block
    beads: Beads
    links: Links
    net: str
    key: str


def decompose(structure: Structure) -> Decomposition:
    """Beads of a framework all of whose pieces are blocks of the library.

    Linkers are tried in pieces (a branched one is a node with arms), then whole.

    Raises:
        DecompositionError: not ordered, not sound, not one framework, or a piece the library does not have.
    """
    _check(structure)
    try:
        pieces = cut_structure(structure)
        return _named(structure, pieces)
    except DecompositionError as error:
        try:
            return _named(structure, cut_structure(structure, whole_linkers=True))
        except DecompositionError:
            raise error from None


def _check(structure: Structure) -> None:
    if not structure.is_ordered:
        raise DecompositionError("partly occupied sites")
    if geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True):
        raise DecompositionError("atoms that overlap, or no sound cell")
    parts = components(bond_graph(structure))
    if parts[0].dimension < 3:
        raise DecompositionError("no framework in three dimensions")
    if any(part.dimension == 0 for part in parts):
        raise DecompositionError("free molecules in its pores")
    if len(parts) > 1:
        raise DecompositionError("interpenetrating nets")


def _named(structure: Structure, pieces: Pieces) -> Decomposition:
    ends = joint_points(structure, pieces)
    for level in LEVELS:
        names = [_match(structure, pieces, k, ends, level) for k in range(len(pieces.fragments))]
        missing = [piece_formula(pieces, k) for k, name in enumerate(names) if name is None]
        if not missing:
            beads, links = _beads(structure, pieces, [name for name in names if name], ends)
            net, key = identify(beads, links)
            return Decomposition(level, beads, links, net, key)
    raise DecompositionError(f"not in the library: {sorted(missing)[0]}")


def _match(structure: Structure, pieces: Pieces, fragment: int, ends: np.ndarray, level: Level) -> str | None:
    return match_fragment(pieces, fragment, _points(structure, pieces, fragment, ends), level)


def joint_points(structure: Structure, pieces: Pieces) -> np.ndarray:
    """[cuts, 2, 3] fractional: where each cut bond's joint lies, as its first and its second fragment stand.

    The joint divides the bond in the ratio of the covalent radii, as in the library.
    """
    frac = structure.frac_coords
    place = np.zeros((len(frac), 3))
    for piece in pieces.fragments:
        place[list(piece.atoms)] = frac[list(piece.atoms)] + piece.cells
    points = np.zeros((len(pieces.cuts), 2, 3))
    for number, cut in enumerate(pieces.cuts):
        first, second = place[cut.atoms[0]], place[cut.atoms[1]] + cut.shift
        radii = covalent_radii[pieces.bonds.numbers[list(cut.atoms)]]
        joint = first + (second - first) * radii[0] / radii.sum()
        points[number] = joint, joint - cut.shift
    return points


def _points(structure: Structure, pieces: Pieces, fragment: int, ends: np.ndarray) -> np.ndarray:
    """[k, 3] Å, connection points of a fragment."""
    found = np.array([ends[number, end] for number, end in pieces.fragments[fragment].cuts])
    return np.asarray(found @ structure.lattice.matrix)


def _beads(structure: Structure, pieces: Pieces, names: list[str], ends: np.ndarray) -> tuple[Beads, Links]:
    """A bead for every fragment and for every bond between two nodes, in the cell it lies in."""
    middles = [np.mean([ends[number, end] for number, end in piece.cuts], axis=0) for piece in pieces.fragments]
    roles = [len(piece.cuts) for piece in pieces.fragments]
    blocks, nodes, images = list(names), [], []
    linkers = [k for k, role in enumerate(roles) if role == EDGE]
    for k in linkers:
        ends_found = []
        for number, end in pieces.fragments[k].cuts:
            cut = pieces.cuts[number]
            other = cut.fragments[1 - end]
            if roles[other] == EDGE:
                raise DecompositionError("two linkers in a row")
            ends_found.append((other, np.floor(middles[other]) + (cut.shift if end == 0 else -cut.shift)))
        nodes.append([other for other, _ in ends_found])
        images.append([cell - np.floor(middles[k]) for _, cell in ends_found])
    for number, cut in enumerate(pieces.cuts):
        first, second = cut.fragments
        if roles[first] == EDGE or roles[second] == EDGE:
            continue
        linkers.append(len(blocks))
        blocks.append(DIRECT)
        roles.append(EDGE)
        middles.append(ends[number, 0])
        nodes.append([first, second])
        here = np.floor(middles[-1])
        images.append([np.floor(middles[first]) - here, np.floor(middles[second]) + cut.shift - here])
    frac = np.array(middles)
    frac = (frac - np.floor(frac)) % 1.0
    beads = Beads(np.array(structure.lattice.matrix), frac, tuple(blocks), tuple(roles))
    return beads, Links(np.array(linkers), np.array(nodes), np.array(images).astype(int))


def decomposed_row(found: Decomposition, labels: dict[str, float]) -> BeadRow:
    """The row of a real framework."""
    split = split_of_parts((found.net, *found.beads.blocks), found.key)
    return BeadRow(found.key, found.net, split, found.beads, found.links, labels)
