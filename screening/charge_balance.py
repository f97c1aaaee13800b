"""Whether a framework is neutral on paper: formal charge of its ligands against the oxidation states of its metals."""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element

from gen.sorbents.formal_charge import balance_fault, ligand_charge
from screening.bonds import BondGraph, is_metal

_BOND = 1.2  # times the covalent radii, as for coordination


@dataclass(frozen=True)
class ChargeBalance:
    """Formal charges of one cell; see `gen.sorbents.formal_charge` for how they are counted."""

    ligand_charge: int  # e, of all nonmetal atoms
    metals: dict[str, int]  # atoms of each metal
    mean_oxidation_state: float | None  # that the metals would need for a neutral cell; None without metals
    fault: str | None  # why no assignment of known oxidation states makes the cell neutral, in one sentence

    @property
    def balanced(self) -> bool:
        """Whether known oxidation states make the cell neutral."""
        return self.fault is None


def charge_balance(graph: BondGraph) -> ChargeBalance:
    """Formal charge of the ligands, and whether the metals can balance it."""
    metal = is_metal(graph.numbers)
    i, j = graph.pairs[:, 0], graph.pairs[:, 1]
    covalent = ~metal[i] & ~metal[j] & (graph.ratios < _BOND)
    charge = ligand_charge(graph.numbers.tolist(), [(int(a), int(b)) for a, b in graph.pairs[covalent]])
    numbers, counts = np.unique(graph.numbers[metal], return_counts=True)
    metals = {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(numbers, counts, strict=True)}
    mean = -charge / sum(metals.values()) if metals else None
    return ChargeBalance(charge, metals, mean, balance_fault(charge, metals))
