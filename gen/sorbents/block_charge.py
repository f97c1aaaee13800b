"""Formal charge of a building block, and the oxygens whose hydrogens its crystal structure did not show.

PORMAKE's nodes come from X-ray structures. Hydrogens of hydroxides and water are often missing there: the node of
UiO-66, with twelve connections, has eight bare oxygens where chemistry has four oxides and four hydroxides.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ase
import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element

from gen.sorbents.formal_charge import balance_fault, ligand_charge

COVALENT, COORDINATED = 1.2, 1.25  # times the covalent radii: a bond between nonmetals, one to a metal
_O_H = 0.97  # Å
_SETS = 5000  # choices of oxygens that are compared; beyond, the first ones are taken


def metal_counts(block: Any) -> dict[str, int]:
    """Atoms of each metal in a block, sorted by symbol."""
    numbers = block.atoms.numbers[_metals(block)]
    symbols, counts = np.unique(numbers, return_counts=True)
    return dict(sorted((Element.from_Z(int(z)).symbol, int(n)) for z, n in zip(symbols, counts, strict=True)))


def block_charge(block: Any, anchors: Sequence[Sequence[int]]) -> int:
    """Formal charge, e, of a block's nonmetal atoms when every connection point is bonded to another block.

    Bonds by distance, as in the finished framework: PORMAKE's own lists leave some out.

    Args:
        block: a PORMAKE `BuildingBlock`.
        anchors: for each connection point, the atoms it is bonded to; the first counts.
    """
    numbers = np.where(block.atoms.numbers > 0, block.atoms.numbers, 1)  # a point takes up one bond, as hydrogen does
    points = block.connection_point_indices.tolist()
    joints = [(int(point), atoms[0]) for point, atoms in zip(points, anchors, strict=True) if atoms]
    covalent = ~_metals(block)
    covalent[points] = False
    bonds = np.argwhere(np.triu(_close(block, COVALENT)) & covalent & covalent[:, None])
    return ligand_charge(numbers.tolist(), [(int(i), int(j)) for i, j in bonds] + joints)


def complete_oxygens(block: Any, anchors: Sequence[Sequence[int]]) -> None:
    """Give a node (in place) the hydrogens it needs to be neutral, if bare oxygens on its metals can take them.

    Tried in order: hydroxides, that is one hydrogen on as few bridging oxygens as balance the charge, as far from each
    other as they can be; terminal oxygens taken for water and removed, as activation does; both. A node that none of
    this makes neutral stays as it is.
    """
    metals = metal_counts(block)
    if not metals:
        return
    charge = block_charge(block, anchors)
    if balance_fault(charge, metals) is None:
        return
    terminal, bridging = _bare_oxygens(block)
    for removed in ([], terminal) if terminal else ([],):
        for count in range(0 if removed else 1, len(bridging) + 1):
            if balance_fault(charge + 2 * len(removed) + count, metals) is None:
                _rebuild(block, removed, _spread(block, bridging, count))
                return


def _bare_oxygens(block: Any) -> tuple[list[int], list[int]]:
    """Oxygens with no neighbour but one metal, and with no neighbour but several."""
    metal, close = _metals(block), _close(block, COORDINATED)
    oxygen = np.flatnonzero(block.atoms.numbers == 8)
    bare = [int(i) for i in oxygen if close[i].any() and not (close[i] & ~metal).any()]
    return [i for i in bare if close[i].sum() == 1], [i for i in bare if close[i].sum() > 1]


def _spread(block: Any, oxygens: list[int], count: int) -> list[int]:
    """The `count` oxygens whose smallest distance from each other is largest."""
    if count < 2:
        return oxygens[:count]
    distances = np.linalg.norm(block.atoms.positions[:, None] - block.atoms.positions, axis=-1)
    sets = itertools.islice(itertools.combinations(oxygens, count), _SETS)

    def nearest(chosen: Iterable[int]) -> float:
        # rounded, so that sets equal by symmetry do not change places with the last digit
        return round(min(distances[a, b] for a, b in itertools.combinations(chosen, 2)), 3)

    return list(max(sets, key=nearest))


def _rebuild(block: Any, removed: Sequence[int], protonated: Sequence[int]) -> None:
    metal, close, positions = _metals(block), _close(block, COORDINATED), block.atoms.positions
    hydrogens = []
    for oxygen in protonated:
        arms = positions[oxygen] - positions[close[oxygen] & metal]
        away = (arms / np.linalg.norm(arms, axis=1, keepdims=True)).sum(axis=0)
        if np.linalg.norm(away) < 0.1:  # metals all around: no side is free
            away = np.cross(arms[0], [0.12, 0.53, 0.84])
        hydrogens.append(positions[oxygen] + _O_H * away / np.linalg.norm(away))
    kept = [i for i in range(len(positions)) if i not in set(removed)]
    new_index = {old: new for new, old in enumerate(kept)}
    bonds = [(i, j, kind) for (i, j), kind in zip(block.bonds.tolist(), block.bond_types, strict=True)]
    bonds = [(new_index[i], new_index[j], kind) for i, j, kind in bonds if i in new_index and j in new_index]
    bonds += [(new_index[oxygen], len(kept) + k, "S") for k, oxygen in enumerate(protonated)]
    atoms = block.atoms[kept]
    if hydrogens:
        atoms += ase.Atoms("H" * len(hydrogens), np.array(hydrogens))
    points = [new_index[int(i)] for i in block.connection_point_indices]
    atoms.info = {**block.atoms.info, "cpi": points}
    block.atoms = atoms
    block.connection_point_indices = np.array(points)
    block._bonds = np.array([bond[:2] for bond in bonds])
    block._bond_types = [bond[2] for bond in bonds]


def _metals(block: Any) -> np.ndarray:
    """Which atoms are metals [n]; connection points have the number 0."""
    kinds: Mapping[int, bool] = {int(z): z > 0 and Element.from_Z(int(z)).is_metal for z in set(block.atoms.numbers)}
    return np.array([kinds[int(z)] for z in block.atoms.numbers])


def _close(block: Any, factor: float) -> np.ndarray:
    """Which pairs of real atoms are nearer than `factor` times their covalent radii [n, n]."""
    numbers, positions = block.atoms.numbers, block.atoms.positions
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    radii = covalent_radii[numbers]
    real = (numbers > 0) & (numbers > 0)[:, None]
    return (distances < factor * (radii[:, None] + radii)) & real & ~np.eye(len(numbers), dtype=bool)
