"""Frameworks that are neutral on paper, and ones that lack a hydrogen or a counterion."""

import pytest
from pymatgen.core import Lattice, Structure

from screening.bonds import bond_graph
from screening.candidate import Candidate
from screening.charge_balance import charge_balance
from screening.validity import ValiditySettings, evaluate_validity


def rock_salt(anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Mg", anion], [[0, 0, 0], [0.5, 0, 0]])


def zinc_cyanide() -> Structure:
    """Zn(CN)2, P-43m, two interpenetrating diamond nets (Hoskins, Robson 1990)."""
    return Structure.from_spacegroup(
        "P-43m", Lattice.cubic(5.9), ["Zn", "Zn", "C", "N"], [[0, 0, 0], [0.5] * 3, [0.193] * 3, [0.307] * 3]
    )


def test_oxide_is_balanced_and_fluoride_is_not() -> None:
    balance = charge_balance(bond_graph(rock_salt("O", 4.21)))
    assert (balance.ligand_charge, balance.metals, balance.mean_oxidation_state) == (-8, {"Mg": 4}, 2.0)
    assert balance.balanced
    fault = charge_balance(bond_graph(rock_salt("F", 4.21))).fault
    assert fault == "ligands carry -4 e, so 4 Mg would need a mean oxidation state of 1.00 (known: Mg 2)"


def test_cyanide_net() -> None:
    structure = zinc_cyanide()
    balance = charge_balance(bond_graph(structure))
    assert balance.metals == {"Zn": 2}
    assert balance.ligand_charge == -4
    assert balance.balanced


@pytest.mark.parametrize(("unbalanced", "rejected"), [("report", False), ("reject", True)])
def test_validity_reports_or_rejects(unbalanced: str, rejected: bool) -> None:
    structure = zinc_cyanide()
    structure.replace_species({"Zn": "In"})
    settings = ValiditySettings(unbalanced=unbalanced)
    result = evaluate_validity(Candidate("x", 0, structure, {}), settings, 0)
    values = {item.name: item for item in result.properties}
    assert values["charge_balanced"].value == 0.0
    assert values["mean_oxidation_state"].value == pytest.approx(2.0)
    assert "known: In" in values["charge_balanced"].note
    assert bool(result.rejected) == rejected
