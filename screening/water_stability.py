"""A flag for how a framework is likely to stand water, from the bonds water would have to break. A rule of thumb.

Water attacks the bond between metal and linker. Published regularities are applied to every such bond of a structure,
and the weakest bond decides:

  * hard with hard, soft with soft: a hard, highly charged metal ion (Zr4+, Ti4+, Cr3+, Al3+, Fe3+) holds a hard
    oxygen donor so firmly that water hardly replaces it; a soft donor on it does not stay (R. G. Pearson, J. Am.
    Chem. Soc. 85, 3533 (1963); T. Devic, C. Serre, Chem. Soc. Rev. 43, 6097 (2014));
  * a full shell of donors leaves water no place to begin (N. C. Burtch, H. Jasuja, K. S. Walton, Chem. Rev. 114, 10575
    (2014)): large ions (lanthanides, Y, Ca, Sr, Ba, Pb, Th, U) want seven to nine donors, and one with fewer in an
    activated structure is where solvent sat and water will;
  * small divalent ions with oxygen donors alone (Mg, Be, tetrahedral Zn) are hydrolysed with ease (J. J. Low et al., J.
    Am. Chem. Soc. 131, 15834 (2009));
  * ions on the border of hard and soft (Mn to Zn, Cd) hold nitrogen (S. Yuan et al., Adv. Mater. 30, 1704303 (2018));
    where it is among their donors the oxygen bonds beside it mostly stand, too.

Kinetic protection (bulky or hydrophobic linkers, interpenetration, defects) is not seen, nor is pH. The second rule,
the last half of the fourth, and that carboxylates of the other divalent metals are left undecided, were chosen on one
half of the test part of WS24 (G. Terrones et al., J. Am. Chem. Soc. 146, 20333 (2024)); `docs/adsorption.md` has the
score on the other half. Models trained on measured stabilities do better where their chemistry is covered (R. Batra et
al., Nat. Mach. Intell. 2, 704 (2020)).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pymatgen.core import Element, Structure

from potentials.config import Config
from potentials.errors import InputError
from potentials.gate import check_geometry, geometry_fault
from screening.bonds import BondGraph, bond_graph, is_metal
from screening.candidate import Candidate, Evaluation, Property

Flag = Literal["stable", "labile", "uncertain"]
_ORDER: dict[Flag, int] = {"labile": 0, "uncertain": 1, "stable": 2}
VALUES: dict[Flag, float] = {"labile": 0.0, "uncertain": 0.5, "stable": 1.0}

# Charge of the metal ion in frameworks; two where both are common (W. M. Haynes, CRC Handbook; Devic & Serre 2014).
_CHARGES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag", "Tl"), (1,)),
    **dict.fromkeys(("Be", "Mg", "Ca", "Sr", "Ba", "Mn", "Co", "Ni", "Cu", "Zn", "Cd", "Hg", "Pb", "Pd", "Pt"), (2,)),
    **dict.fromkeys(("Al", "Ga", "In", "Sc", "Y", "Cr", "Rh", "Ir", "Bi", "Au"), (3,)),
    **dict.fromkeys(("Ti", "Zr", "Hf", "Th", "Sn"), (4,)),
    **dict.fromkeys(("Nb", "Ta"), (5,)),
    **dict.fromkeys(("Mo", "W", "U", "Re"), (6,)),
    "Fe": (2, 3),
    "V": (3, 4),
    "Ru": (2, 3),
}
_SOFT_METALS = frozenset(
    {"Cu", "Ag", "Au", "Hg", "Pd", "Pt", "Cd", "Tl"}
)  # Pearson's soft, and soft side of borderline
_BORDERLINE = frozenset({"Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Cd"})  # of hard and soft; hold nitrogen
# Donors a large ion has in its usual compounds, at least (W. M. Haynes, CRC Handbook, ionic radii by coordination)
_SHELL: dict[str, int] = {
    **dict.fromkeys(("Ca", "Y", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"), 7),
    **dict.fromkeys(("La", "Ce", "Pr", "Nd", "Sm", "Eu", "Gd", "Sr", "Ba", "Th"), 8),
}


class WaterStabilitySettings(Config):
    """Nothing to set; the rule is fixed."""


@dataclass(frozen=True)
class Shell:
    """What surrounds the atoms of one metal."""

    donors: int  # of the atom that has fewest
    nitrogen: bool  # among the donors of any


@dataclass(frozen=True)
class BondVerdict:
    """What is said of one kind of bond."""

    bond: str  # e.g. "Zn-O (carboxylate)"
    count: int  # in the cell
    flag: Flag
    reason: str


@dataclass(frozen=True)
class WaterStability:
    """The flag and what it rests on."""

    flag: Flag
    verdicts: tuple[BondVerdict, ...]  # weakest first
    open_metal_sites: int  # metals with at most five neighbours in the cell that water could bind first

    @property
    def evidence(self) -> str:
        """One line for a table."""
        parts = [f"{v.bond} x{v.count}: {v.flag}, {v.reason}" for v in self.verdicts]
        if self.open_metal_sites:
            parts.append(f"{self.open_metal_sites} metal atoms with five or fewer neighbours, open to water")
        return "; ".join(parts) + " (heuristic)"


def water_stability(structure: Structure) -> WaterStability:
    """Flag a framework by its weakest bond.

    Args:
        structure: ordered periodic crystal with its hydrogen atoms.

    Raises:
        InputError: partial occupancy.
        GeometryError: a geometry that cannot be analysed.
    """
    if not structure.is_ordered:
        raise InputError("the framework has partially occupied sites: choose one ordered arrangement")
    check_geometry(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    graph = bond_graph(structure)
    metal = is_metal(graph.numbers)
    kinds: Counter[tuple[str, str, str]] = Counter()
    neighbours: list[list[int]] = [[] for _ in graph.numbers]
    for i, j in graph.pairs.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    # hydrides do not occur, and what carbon or the middle of an oxo-anion has near a metal is a contact, not a bond
    donating = [
        not metal[k] and z not in (1, 6) and not _is_centre(graph.numbers, near, metal, k)
        for k, (z, near) in enumerate(zip(graph.numbers, neighbours, strict=True))
    ]
    for i, j in graph.pairs.tolist():
        if metal[i] == metal[j]:
            continue
        centre, donor = (i, j) if metal[i] else (j, i)
        if donating[donor]:
            symbols = (_symbol(graph, centre), _symbol(graph, donor))
            kinds[(*symbols, _donor_kind(graph, neighbours, metal, donor))] += 1
    donors = [sum(donating[k] for k in near) for near in neighbours]
    shells: dict[str, Shell] = {}
    for atom in np.flatnonzero(metal).tolist():
        if donors[atom]:
            symbol, seen = _symbol(graph, atom), any(graph.numbers[k] == 7 for k in neighbours[atom])
            known = shells.get(symbol, Shell(donors[atom], False))
            shells[symbol] = Shell(min(known.donors, donors[atom]), known.nitrogen or seen)
    verdicts = [_verdict(*kind, count, shells[kind[0]]) for kind, count in kinds.items()]
    if not kinds:
        verdicts = _covalent(graph, neighbours)
    verdicts.sort(key=lambda v: (_ORDER[v.flag], -v.count))
    bare = sum(bool(metal[atom]) and 0 < count <= 5 for atom, count in enumerate(donors))
    return WaterStability(verdicts[0].flag, tuple(verdicts), bare)


def evaluate_water_stability(candidate: Candidate, settings: WaterStabilitySettings, seed: int) -> Evaluation:
    """Property `water_stability_flag`: 1 likely stable, 0.5 uncertain, 0 likely hydrolysed; evidence in its note."""
    structure = candidate.structure
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        return Evaluation(rejected=fault)
    try:
        found = water_stability(structure)
    except InputError as error:
        return Evaluation(rejected=str(error))
    method = "heuristic: hardness, charge and full shell of the metal, weakest bond (Low 2009, Burtch 2014)"
    return Evaluation((Property("water_stability_flag", VALUES[found.flag], "", method=method, note=found.evidence),))


def _is_centre(numbers: np.ndarray, near: list[int], metal: np.ndarray, atom: int) -> bool:
    """Whether an atom is the middle of an oxo-anion, such as phosphorus in a phosphonate or sulphur in a sulphonate."""
    return int(numbers[atom]) not in (7, 8, 9) and sum(numbers[k] == 8 and not metal[k] for k in near) >= 2


def _verdict(metal: str, donor: str, kind: str, count: int, shell: Shell) -> BondVerdict:
    bond = f"{metal}-{donor} ({kind})"
    element = Element(metal)
    charges = _CHARGES.get(metal, (3,) if element.is_lanthanoid or element.is_actinoid else ())

    def say(flag: Flag, reason: str) -> BondVerdict:
        return BondVerdict(bond, count, flag, reason)

    if not charges:
        return say("uncertain", "no common charge is tabulated for this metal")
    low = min(charges)
    if kind == "water":
        return say("uncertain", "bound water: the site is open to exchange")
    if donor in ("O", "F"):
        return say(*_of_hard_donor(metal, kind, charges, shell))
    if donor == "N":
        if kind == "azolate" and metal in _BORDERLINE:
            return say("stable", "azolate nitrogen, of middling hardness like the metal")
        if low >= 3:
            return say("uncertain", f"nitrogen donor on a hard {low}+ ion")
        if metal in _BORDERLINE and shell.donors >= 4:
            return say("stable", "nitrogen of middling hardness like the metal, beside other donors")
        return say("uncertain", "neutral or amine nitrogen: replaced by water where nothing shields it")
    if donor in ("S", "Se", "P", "As"):
        if metal in _SOFT_METALS or metal in ("Ni", "Co", "Fe", "Zn"):
            return say("stable", "soft donor on a soft or borderline ion")
        return say("labile", "soft donor on a hard ion")
    if donor in ("Cl", "Br", "I"):
        return say("uncertain", "halide: replaced by water on hard ions")
    return say("uncertain", "no rule covers this donor")


def _of_hard_donor(metal: str, kind: str, charges: tuple[int, ...], shell: Shell) -> tuple[Flag, str]:
    """Flag and reason of a bond to oxygen or fluorine."""
    low, high = min(charges), max(charges)
    full = _SHELL.get(metal)
    if full is not None and shell.donors < full:
        return "labile", f"{shell.donors} donors where a large ion holds {full} or more: solvent sat there, water will"
    if low >= 4 or (low == 3 and metal in ("Al", "Cr", "Sc", "Ga", "V", "Rh", "Ir")):
        return "stable", f"hard donor on a hard {low}+ ion, slow to exchange"
    if low == 3:
        if full is not None:
            return "stable", f"hard donor on a large {low}+ ion whose shell of {shell.donors} leaves water no place"
        return "uncertain", "hard donor on a 3+ ion: firm, but open to more ligands"
    if high >= 3 and not shell.nitrogen:
        return "uncertain", f"stable as {high}+, labile as {low}+; the structure does not tell which"
    if metal in _BORDERLINE and shell.nitrogen:
        return "stable", "oxygen beside nitrogen donors on an ion that holds both"
    if kind == "oxide":
        return "uncertain", f"oxide bridge of a {low}+ ion"
    if metal in ("Be", "Mg") or low == 1 or (metal == "Zn" and shell.donors <= 4):
        return "labile", f"hard oxygen donors alone on a {low}+ ion: hydrolysed with ease"
    return "uncertain", f"oxygen donors alone on a {low}+ ion: hydrolysed unless something shields them"


def _donor_kind(graph: BondGraph, neighbours: list[list[int]], metal: np.ndarray, donor: int) -> str:
    """What group a donor atom belongs to, by its other neighbours."""
    others = [k for k in neighbours[donor] if not metal[k]]
    elements = Counter(_symbol(graph, k) for k in others)
    symbol = _symbol(graph, donor)
    if symbol == "O":
        if not others:
            return "oxide"
        if elements["H"] >= 2:
            return "water"
        if elements["H"] == 1 and len(others) == 1:
            return "hydroxide"
        carbons = [k for k in others if graph.numbers[k] == 6]
        if carbons and sum(graph.numbers[k] == 8 for k in neighbours[carbons[0]]) >= 2:
            return "carboxylate"
        if carbons:
            return "alkoxide or phenolate"
        return f"{next(iter(elements))} oxo-anion"
    if symbol == "N":
        return "azolate" if _in_azole(graph, neighbours, donor) else "amine or pyridine"
    return "donor"


def _in_azole(graph: BondGraph, neighbours: list[list[int]], donor: int) -> bool:
    """Whether nitrogen lies in a five-membered ring of C and N with another nitrogen, and none is protonated."""
    allowed = {6, 7}
    for path in _rings_of_five(graph, neighbours, donor, allowed):
        nitrogen = [k for k in path if graph.numbers[k] == 7]
        bare = all(all(graph.numbers[m] != 1 for m in neighbours[k]) for k in nitrogen)
        if len(nitrogen) >= 2 and bare:
            return True
    return False


def _rings_of_five(graph: BondGraph, neighbours: list[list[int]], start: int, allowed: set[int]) -> list[list[int]]:
    rings = []
    stack = [[start]]
    while stack:
        path = stack.pop()
        for k in neighbours[path[-1]]:
            if len(path) == 5 and k == start:
                rings.append(path)
            elif len(path) < 5 and k not in path and int(graph.numbers[k]) in allowed:
                stack.append([*path, k])
    return rings


def _covalent(graph: BondGraph, neighbours: list[list[int]]) -> list[BondVerdict]:
    """Frameworks without metal: oxides of silicon, and covalent organic frameworks by their linkages."""
    numbers = graph.numbers
    counts = Counter(tuple(sorted((_symbol(graph, i), _symbol(graph, j)))) for i, j in graph.pairs.tolist())
    verdicts = []
    if counts[("B", "O")]:
        reason = "boronate ester or boroxine: hydrolysed (Côté et al., Science 310, 1166 (2005); Burtch 2014)"
        verdicts.append(BondVerdict("B-O", counts[("B", "O")], "labile", reason))
    if counts[("O", "Si")]:
        reason = "silica: insoluble in neutral water, slowly attacked by steam"
        verdicts.append(BondVerdict("O-Si", counts[("O", "Si")], "stable", reason))
    if not verdicts:
        imines = sum(
            1
            for i, z in enumerate(numbers)
            if z == 7 and len(neighbours[i]) == 2 and all(numbers[k] == 6 for k in neighbours[i])
        )
        if imines:
            reason = "two-coordinate nitrogen between carbons: an imine is hydrolysed by acid, an aromatic ring is not"
            verdicts.append(BondVerdict("C-N", imines, "uncertain", reason))
        else:
            verdicts.append(
                BondVerdict("C-C", counts[("C", "C")], "stable", "covalent bonds that water does not break")
            )
    return verdicts


def _symbol(graph: BondGraph, atom: int) -> str:
    return str(Element.from_Z(int(graph.numbers[atom])).symbol)
