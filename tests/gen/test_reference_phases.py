"""Elemental crystals and substituted compounds that complete a hull."""

import json

import numpy as np
import pytest
from pymatgen.core import Element, Lattice, Structure

from gen.crystals.crystal_lines import to_line
from gen.evaluation import build_hull
from gen.evaluation.build_hull import single_point_table
from gen.evaluation.elemental_phases import PUBLISHED, elemental_phases
from gen.evaluation.hull import TABLE, Composition, is_element, make_table, read_table
from gen.evaluation.reference_phases import append, lowest_crystals
from gen.evaluation.substitution import empty_pairs, known_binaries, substituted
from potentials.atom_graph import graph_from, structure_from_graph
from potentials.potential import load_potential

# density in g/cm^3 and shortest bond in Å at room temperature (CRC Handbook; Donohue, The Structures of the Elements)
MEASURED = {
    "As": (5.75, 2.517),
    "B": (2.46, 1.67),
    "Ga": (5.91, 2.45),
    "In": (7.31, 3.25),
    "Mn": (7.43, 2.26),
    "P": (2.69, 2.22),
    "Pu": (19.84, 2.57),
    "Sm": (7.52, 3.59),
    "U": (18.95, 2.75),
}


def test_published_structures_have_the_density_and_bonds_of_the_elements():
    own = {symbol: crystal for name, symbol, crystal in elemental_phases() if name.startswith("own.")}
    for symbol, (density, bond) in MEASURED.items():
        crystal = own[symbol]
        assert crystal.density == pytest.approx(density, rel=0.04), symbol
        wide = crystal * (2, 2, 2)
        shortest = (wide.distance_matrix + 99 * np.eye(len(wide))).min()
        assert shortest == pytest.approx(bond, abs=0.04), symbol


def test_every_packing_keeps_the_volume_of_an_atom():
    phases = list(elemental_phases())
    assert len({name for name, *_ in phases}) == len(phases)
    volumes = {}
    for name, symbol, crystal in phases:
        if not name.startswith("own2"):
            volumes.setdefault(symbol, []).append(crystal.volume / len(crystal))
    assert {entry.symbol for entry in PUBLISHED} <= set(volumes)
    for symbol, found in volumes.items():
        assert len(found) == 5, symbol
        assert found == pytest.approx([found[0]] * 5), symbol


def rock_salt(a=5.64, anion="Cl", cation="Na"):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure()


def caesium_chloride(a=4.12):
    return Structure(Lattice.cubic(a), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_pairs_without_a_compound():
    assert empty_pairs([11, 17, 19], [(17, 11), (19, 17)]) == [(11, 19)]


def test_the_likest_compound_is_substituted_first():
    graphs = [graph_from(s) for s in (rock_salt(), rock_salt(4.2, "O", "Mg"), caesium_chloride())]
    binaries = known_binaries(graphs, 8)
    assert len(binaries) == 3
    pair = (Element("K").Z, Element("Br").Z)
    first, second = (structure_from_graph(g) for g in substituted(pair, binaries, 2))
    assert first.composition.reduced_formula == "KBr"
    # both types are tried; of the rock salts the chloride, not the oxide
    kinds = {first.get_space_group_info()[1], second.get_space_group_info()[1]}
    assert kinds == {225, 221}
    # larger ions, larger cell
    assert first.volume > rock_salt().volume


def test_no_formula_is_listed_twice_and_every_element_has_its_own_energy():
    table = read_table(TABLE)
    elements = {next(iter(Composition(f).get_el_amt_dict())): p for f, p in table.phases.items() if is_element(f)}
    assert len(elements) == 89
    assert not [symbol for symbol, phase in elements.items() if phase.source == "MP"]  # all by the table's potential
    assert all(phase.relaxed for phase in elements.values() if phase.source == "element")


@pytest.mark.parametrize("system", ["Al-Fe", "Pd-Yb", "As-Ce", "O-Tb", "Ba-Sc-Y"])
def test_systems_the_pool_has_no_compound_of_have_substituted_ones(system):
    phases = read_table(TABLE).inside(system.split("-"))
    assert [phase for phase in phases if not is_element(phase.formula)]


def test_lowest_geometries_are_found_and_evaluated_once(tmp_path, monkeypatch):
    argon = Structure(Lattice.cubic(5.3), ["Ar"] * 4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    rows = [
        {"key": "own.Ar", "formula": "Ar", "energy": -0.02, "crystal": to_line(argon)},
        {"key": "bcc.Ar", "formula": "Ar", "energy": -0.01, "crystal": to_line(argon)},
    ]
    append(tmp_path / "elements.jsonl", rows)
    assert lowest_crystals(tmp_path, {"Ar", "Kr"}) == {"Ar": "own.Ar"}
    table = make_table([("Ar", -0.02, True, "element"), ("Kr", -0.02, True, "element")], "toy", "", "0" * 64)
    lj = load_potential("lj")
    other = single_point_table(lj, "lj", tmp_path, table)
    assert set(other.phases) == {"Ar"}
    assert other.phases["Ar"].source == "element"
    lines = (tmp_path / "points_lj.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["key"] == "own.Ar"
    monkeypatch.setattr(build_hull, "geometries", lambda *_: pytest.fail("evaluated again"))
    assert single_point_table(lj, "lj", tmp_path, table).phases == other.phases


def test_a_step_without_its_points_leaves_the_tables_alone(tmp_path, monkeypatch, capsys):
    table = tmp_path / "hull.json.gz"
    table.write_bytes(b"as it was")
    words = ["build_hull", "screen", "--folder", str(tmp_path / "empty"), "--table", str(table)]
    monkeypatch.setattr("sys.argv", [*words, "--screen-table", str(table)])
    with pytest.raises(SystemExit):
        build_hull.main()
    assert "begin with the step points" in capsys.readouterr().err
    assert table.read_bytes() == b"as it was"
