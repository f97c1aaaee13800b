"""Formal charges on a drawing of the bonds: what ligands carry, and which metals can balance it.

Every nonmetal atom wants its number of bonds (C 4, N 3, O 2, H 1, ...). Bonds to nonmetal neighbours are drawn single;
what is left is paired into double and triple bonds by a maximum matching; what cannot be paired is a lone pair bound
to metal, one negative charge each. Carboxylates, azolates, porphyrins, oxides, hydroxides and water come out as
chemists write them, and a missing or spare hydrogen shows as an oxidation state the metal does not have. It is a count
on a drawing, not a calculation of electrons: radicals, metal-metal bonds and non-innocent ligands are beyond it.
"""

import itertools
from collections.abc import Mapping, Sequence

import networkx as nx
from pymatgen.core import Element

# Bonds a neutral nonmetal makes. Sulfur, phosphorus and the heavier halogens make more when crowded.
VALENCE = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 32: 4, 33: 3, 34: 2, 35: 1, 52: 2, 53: 1}
_MAX_BOND_ORDER = 3
# Oxidation states met in frameworks beyond those pymatgen lists as common.
_ALSO = {
    "Ag": (2,), "Co": (3,), "Cr": (2,), "Cu": (1,), "Eu": (2,), "Fe": (2, 3), "Mn": (3,), "Mo": (2, 4), "Nb": (3, 4),
    "Pd": (4,), "Re": (1, 3), "Rh": (2,), "Ru": (2,), "Ti": (3,), "U": (4,), "V": (3, 4), "W": (4,),
}  # fmt: skip


def ligand_charge(numbers: Sequence[int], bonds: Sequence[tuple[int, int]]) -> int:
    """Formal charge, e, of nonmetal atoms and the bonds among them.

    Args:
        numbers: atomic number of each atom; metals may be among them and are passed over.
        bonds: pairs of indices of bonded nonmetals, each bond once (twice where two images of one atom are bonded).
    """
    degree = [0] * len(numbers)
    partners: dict[int, list[int]] = {}
    for a, b in bonds:
        degree[a] += 1
        degree[b] += 1
        partners.setdefault(a, []).append(b)
        partners.setdefault(b, []).append(a)
    charge = 0
    free = {}
    for atom, number in enumerate(numbers):
        if Element.from_Z(int(number)).is_metal:
            continue
        ends = [int(numbers[partner]) for partner in partners.get(atom, []) if degree[partner] == 1]
        valence, own = _valence(int(number), degree[atom], ends)
        charge += own
        free[atom] = max(valence - degree[atom], 0)
    return charge - (sum(free.values()) - 2 * _pi_bonds(bonds, free))


def balance_fault(charge: int, metals: Mapping[str, int]) -> str | None:
    """Why no known oxidation states of the metals make a cell neutral, in one sentence; None when some do.

    Args:
        charge: of the ligands, e.
        metals: atoms of each metal.
    """
    if not metals:
        return None if charge == 0 else f"formal charge {charge:+d} e without a metal to balance it"
    needed = -charge
    states = {symbol: oxidation_states(symbol) for symbol in metals}
    if _reachable(needed, metals, states):
        return None
    have = ", ".join(f"{symbol} {'/'.join(map(str, states[symbol]))}" for symbol in metals)
    atoms = " + ".join(f"{n} {symbol}" for symbol, n in metals.items())
    mean = needed / sum(metals.values())
    return f"ligands carry {charge:+d} e, so {atoms} would need a mean oxidation state of {mean:.2f} (known: {have})"


def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Positive oxidation states a metal is known in within frameworks."""
    common = [int(state) for state in Element(symbol).common_oxidation_states if state > 0]
    return tuple(sorted({*common, *_ALSO.get(symbol, ())})) or (1, 2, 3)


def _reachable(needed: int, metals: Mapping[str, int], states: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether atoms of each metal, at most two neighbouring states of it among them, can sum to `needed`."""
    sums = {0}
    for symbol, n in metals.items():
        ladder = states[symbol]
        pairs = [*itertools.pairwise(ladder)] or [(ladder[0], ladder[0])]
        # one state throughout, or mixed valence between neighbouring states
        mine = {k * low + (n - k) * high for low, high in pairs for k in range(n + 1)}
        sums = {total + part for total in sums for part in mine}
    return needed in sums


def _valence(number: int, neighbours: int, ends: Sequence[int]) -> tuple[int, int]:
    """Bonds an atom makes with so many neighbours (`ends`: numbers of the terminal ones), and its own charge then."""
    valence, oxo = VALENCE.get(number, 0), ends.count(8)
    if number == 7 and neighbours == 2 and ends == [7, 7]:  # azide: N=N+=N
        return 4, 1
    if number == 7 and neighbours == 3 and oxo:  # nitro, N-oxide: N+ with a double bond
        return 4, 1
    if number == 5 and neighbours == 4:  # borate
        return 4, -1
    if number in (7, 15) and neighbours == 4 and not oxo:  # ammonium, phosphonium
        return 4, 1
    if number in (15, 33) and neighbours >= 3 and oxo:  # phosphonate, phosphate
        return 5, 0
    if number in (16, 34, 52) and neighbours >= 3:  # sulfoxide, sulfone, sulfonate
        return (4 if neighbours == 3 else 6), (1 if neighbours == 3 and not oxo else 0)
    if number in (14, 32) and neighbours == 6:  # hexafluorosilicate
        return 6, -2
    if number in (15, 33) and neighbours == 6:  # hexafluorophosphate
        return 6, -1
    if number in (17, 35, 53) and neighbours == 4:  # perchlorate
        return 7, 0
    return max(valence, neighbours), 0


def _pi_bonds(bonds: Sequence[tuple[int, int]], free: Mapping[int, int]) -> int:
    """Largest number of bonds that can be added between bonded atoms with valences to spare."""
    copies = nx.Graph()
    for a, b in bonds:
        for k in range(min(free[a], _MAX_BOND_ORDER - 1)):
            for m in range(min(free[b], _MAX_BOND_ORDER - 1)):
                if a != b:
                    copies.add_edge((a, k), (b, m))
    return len(nx.max_weight_matching(copies, maxcardinality=True))
