"""Formal charges of ligands as a chemist would draw them."""

import numpy as np
import pytest
from ase.build import molecule
from ase.data import covalent_radii

from gen.sorbents.block_charge import block_charge, metal_counts
from gen.sorbents.catalog import load_catalog
from gen.sorbents.formal_charge import balance_fault, ligand_charge, oxidation_states
from gen.sorbents.library import anchor_atoms, load_block
from gen.sorbents.recipe import Choice, RecipeSampler, recipe_imbalance
from gen.sorbents.template import TemplateProposer, TemplateSettings

H, B, C, N, O, F, SI, P, S = 1, 5, 6, 7, 8, 9, 14, 15, 16  # noqa: E741
RING = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)]

LIGANDS = {
    "oxide": ([O], [], -2),
    "hydroxide": ([O, H], [(0, 1)], -1),
    "water": ([O, H, H], [(0, 1), (0, 2)], 0),
    "fluoride": ([F], [], -1),
    "cyanide": ([C, N], [(0, 1)], -1),
    "azide": ([N, N, N], [(0, 1), (1, 2)], -1),
    "formate": ([C, O, O, H], [(0, 1), (0, 2), (0, 3)], -1),
    "formic acid": ([C, O, O, H, H], [(0, 1), (0, 2), (0, 3), (2, 4)], 0),
    "oxalate": ([C, C, O, O, O, O], [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)], -2),
    "imidazolate": ([N, C, N, C, C, H, H, H], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 5), (3, 6), (4, 7)], -1),
    "tetrazolate": ([C, N, N, N, N, H], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 5)], -1),
    "pyridine": ([N] + 5 * [C] + 5 * [H], [*RING, (1, 6), (2, 7), (3, 8), (4, 9), (5, 10)], 0),
    "phenolate": (6 * [C] + 5 * [H] + [O], [*RING, (1, 6), (2, 7), (3, 8), (4, 9), (5, 10), (0, 11)], -1),
    "nitrate": ([N, O, O, O], [(0, 1), (0, 2), (0, 3)], -1),
    "nitromethane": ([C, H, H, H, N, O, O], [(0, 1), (0, 2), (0, 3), (0, 4), (4, 5), (4, 6)], 0),
    "sulfate": ([S, O, O, O, O], [(0, 1), (0, 2), (0, 3), (0, 4)], -2),
    "methylsulfonate": ([S, O, O, O, C, H, H, H], [(0, k) for k in (1, 2, 3, 4)] + [(4, 5), (4, 6), (4, 7)], -1),
    "phosphate": ([P, O, O, O, O], [(0, 1), (0, 2), (0, 3), (0, 4)], -3),
    "tetrafluoroborate": ([B, F, F, F, F], [(0, 1), (0, 2), (0, 3), (0, 4)], -1),
    "hexafluorosilicate": ([SI] + 6 * [F], [(0, k) for k in range(1, 7)], -2),
    "ammonium": ([N, H, H, H, H], [(0, k) for k in range(1, 5)], 1),
    "carbonate": ([C, O, O, O], [(0, 1), (0, 2), (0, 3)], -2),
}


@pytest.mark.parametrize("name", LIGANDS)
def test_ligands(name: str) -> None:
    numbers, bonds, charge = LIGANDS[name]
    assert ligand_charge(numbers, bonds) == charge


@pytest.mark.parametrize("name", ["C6H6", "CO2", "HCN", "C2H2", "C5H5N", "CH3CONH2", "C4H4S", "CH3NO2", "C4H4NH"])
def test_neutral_molecules(name: str) -> None:
    atoms = molecule(name)
    radii = covalent_radii[atoms.numbers]
    bonded = np.triu(atoms.get_all_distances() < 1.2 * (radii[:, None] + radii), 1)
    assert ligand_charge(atoms.numbers.tolist(), np.argwhere(bonded).tolist()) == 0


def test_metals_pass_unseen() -> None:
    assert ligand_charge([30, O, H], [(1, 2)]) == -1


def test_metals_balance_in_states_they_are_known_in() -> None:
    assert balance_fault(-2, {"Zn": 1}) is None
    assert balance_fault(-24, {"Zr": 6}) is None
    assert balance_fault(-5, {"Fe": 2}) is None  # mixed valence, 2 and 3
    assert balance_fault(-3, {"Cu": 1, "Na": 1}) is None
    assert "Ag would need a mean oxidation state of 0.00 (known: Ag 1/2)" in str(balance_fault(0, {"Ag": 4}))
    assert "mean oxidation state of 3.00" in str(balance_fault(-3, {"Zn": 1}))
    assert balance_fault(0, {}) is None
    assert "without a metal" in str(balance_fault(-1, {}))
    assert 2 in oxidation_states("Zn")


def test_catalog_knows_the_charges_of_famous_nodes_and_linkers() -> None:
    blocks = load_catalog().blocks
    benzene = blocks["E14"]  # 1,4-phenylene
    assert (benzene.charge, benzene.metal_counts) == (0, {})
    assert (blocks["N16"].charge, blocks["N16"].metal_counts) == (-8, {"Zn": 4})  # Zn4O(CO2)6
    assert (blocks["N409"].charge, blocks["N409"].metal_counts) == (-4, {"Cu": 2})  # paddlewheel


def test_every_recipe_drawn_is_neutral_and_some_would_not_be() -> None:
    catalog = load_catalog()
    rng = np.random.default_rng(0)
    neutral = RecipeSampler(catalog, Choice((), frozenset(), True, True, 150, 0.3))
    drawn = [recipe for _ in range(200) if (recipe := neutral.draw(rng))]
    assert len(drawn) > 30
    assert not any(recipe_imbalance(recipe, catalog) for recipe in drawn)
    anything = RecipeSampler(catalog, Choice((), frozenset(), True, True, 150, 0.3, neutral=False))
    drawn = [recipe for _ in range(200) if (recipe := anything.draw(rng))]
    assert 0.3 < np.mean([bool(recipe_imbalance(recipe, catalog)) for recipe in drawn]) < 0.9


def test_the_proposer_can_be_told_to_take_charged_frameworks() -> None:
    settings = TemplateSettings(neutral=False)
    assert TemplateProposer(settings).recipe(0, 1) is not None


def test_the_node_of_uio66_gets_its_four_hydroxides() -> None:
    block = load_block("N419")
    symbols = block.atoms.get_chemical_symbols()
    assert symbols.count("Zr") == 6
    assert symbols.count("H") == 4
    hydrogens = block.atoms.positions[[k for k, symbol in enumerate(symbols) if symbol == "H"]]
    oxygens = block.atoms.positions[[k for k, symbol in enumerate(symbols) if symbol == "O"]]
    lengths = np.linalg.norm(hydrogens[:, None] - oxygens, axis=-1)
    np.testing.assert_allclose(lengths.min(axis=1), 0.97, atol=1e-6)
    # on alternate faces: as far from each other as the corners of a tetrahedron
    between = np.linalg.norm(hydrogens[:, None] - hydrogens, axis=-1)[np.triu_indices(4, 1)]
    np.testing.assert_allclose(between, between.mean(), rtol=0.05)
    assert block_charge(block, anchor_atoms(block)) == -24
    assert len(block.bonds) == len(block.bond_types)


def test_water_without_hydrogens_is_taken_off_a_paddlewheel() -> None:
    block = load_block("N17")  # Cu2(CO2)4 with an oxygen on either copper
    assert sorted(block.atoms.get_chemical_symbols()) == sorted(["Cu"] * 2 + ["C"] * 4 + ["O"] * 8 + ["X"] * 4)
    assert [block.atoms.symbols[k] for k in block.connection_point_indices] == ["X"] * 4
    assert block_charge(block, anchor_atoms(block)) == -4


def test_the_catalog_agrees_with_the_blocks() -> None:
    for name in ("N16", "N17", "N95", "N409", "N419", "E14", "E44"):
        block, entry = load_block(name), load_catalog().blocks[name]
        assert entry.charge == block_charge(block, anchor_atoms(block))
        assert entry.metal_counts == metal_counts(block)
        assert entry.atoms == len(block.atoms) - len(block.connection_point_indices)
