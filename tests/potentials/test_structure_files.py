"""Structure files: what is written comes back, what pools contain is read, what is broken is named."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice, Structure

from potentials.cif import format_cif, parse_cif
from potentials.errors import InputError
from potentials.structure_files import read_structure, read_structures, write_structures

SALT = """\
data_salt
_cell_length_a 5.64(1)
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_charge
Na1 Na1+ 0 0 0 1 0.9
Cl1 Cl1- 0.5 0.5 0.5 1.0 -0.9
"""
P1 = SALT.replace("'F m -3 m'", "P 1")  # unquoted, as in the CoRE MOF pools


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def only_error(path: Path) -> str:
    (result,) = read_structures(path)
    assert result.system is None
    assert result.error is not None
    assert str(path) in result.error
    with pytest.raises(InputError, match=path.name):
        _ = result.structure
    with pytest.raises(InputError, match=path.name):
        read_structure(path)
    return result.error


def quartz() -> Structure:
    lattice = Lattice.hexagonal(4.9137, 5.4047)
    return Structure.from_spacegroup("P3_221", lattice, ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7855]])


def test_symmetry_is_expanded_and_charges_follow_their_sites(tmp_path: Path) -> None:
    structure = read_structure(write(tmp_path, "salt.cif", SALT))
    assert structure.composition.formula == "Na4 Cl4"
    assert structure.get_space_group_info()[0] == "Fm-3m"
    for site in structure:
        assert site.properties["charge"] == (0.9 if site.specie.symbol == "Na" else -0.9)
    (result,) = read_structures(tmp_path / "salt.cif")
    assert result.name == "salt"
    assert result.atoms.get_initial_charges().sum() == pytest.approx(0)


@pytest.mark.parametrize(
    "symmetry",
    [
        "loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n'-y,x-y,z+2/3'\n'-x+y,-x,z+1/3'\n'y,x,-z'\n'x-y,-y,-z+1/3'\n"
        "'-x,-x+y,-z+2/3'",
        "_symmetry_space_group_name_H-M 'P 32 2 1'",
        "_symmetry_Int_Tables_number 154",
    ],
)
def test_special_positions_rounded_in_the_file_are_one_atom(tmp_path: Path, symmetry: str) -> None:
    text = (
        "data_quartz\n_cell_length_a 4.9137\n_cell_length_b 4.9137\n_cell_length_c 5.4047\n_cell_angle_alpha 90\n"
        f"_cell_angle_beta 90\n_cell_angle_gamma 120\n{symmetry}\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
        "_atom_site_fract_y\n_atom_site_fract_z\nSi1 0.4697 0.0000 0.6667\nO1 0.4133 0.2672 0.7855\n"
    )
    found = read_structure(write(tmp_path, "quartz.cif", text))
    assert found.composition.formula == "Si3 O6"
    assert found.matches(quartz(), stol=0.01)


def test_sins_of_public_pools_are_forgiven(tmp_path: Path) -> None:
    ddec = "{'program': 'DDEC', 'net charge': 0.0}\n" + P1
    structure = read_structure(write(tmp_path, "ddec.cif", ddec))
    assert structure.composition.formula == "Na1 Cl1"
    assert structure.site_properties["charge"] == [0.9, -0.9]
    author = SALT.replace("data_salt", "data_salt\n_publ_author_name 'M\xfcller'").encode("latin-1")
    assert len(read_structure(write(tmp_path, "latin.cif", author))) == 8
    labels_only = P1.replace("_atom_site_type_symbol\n", "").replace(" Na1+", "").replace(" Cl1-", "")
    assert read_structure(write(tmp_path, "labels.cif", labels_only)).composition.formula == "Na1 Cl1"
    unknown = P1.replace(" 0.9", " ?").replace(" 1.0 ", " . ")
    assert "charge" not in read_structure(write(tmp_path, "unknown.cif", unknown)).site_properties


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.cif", "", "it is empty"),
        ("blank.json", "  \n", "it is empty"),
        ("text.cif", "hello", "no data_ block"),
        ("half.cif", P1[: P1.index("Cl1 Cl1-") + 14], "may be truncated"),
        ("header.cif", P1[: P1.index("loop_")], "no atom sites"),
        ("nothing.cif", "data_x\n_journal_name 'Acta'\n", "no block holds a cell"),
        ("nan.cif", P1.replace("5.64(1)", "nan"), "_cell_length_a is 'nan', not a number"),
        ("missing.cif", P1.replace("_cell_angle_beta 90\n", ""), "_cell_angle_beta is missing"),
        ("angle.cif", P1.replace("gamma 90", "gamma 180"), "span no volume"),
        ("flat.cif", P1.replace("length_c 5.64", "length_c 0.02"), "cell height 0.02 Å along c is below 1 Å"),
        ("coordinate.cif", P1.replace("0.5 0.5 0.5", "0.5 ? 0.5"), "site Cl1 has coordinates"),
        ("double.cif", P1.replace("0.5 0.5 0.5", "0.0 1.0 0.0"), "atoms 0 (Na) and 1 (Cl) sit on one site"),
        ("disorder.cif", P1.replace("0.5 1.0", "0.5 0.4"), "site Cl1 has occupancy 0.4 (disorder)"),
        ("element.cif", P1.replace("Na1 Na1+", "Xx1 Xx1+"), "site Xx1 has type 'Xx1+', which is no chemical element"),
        ("group.cif", P1.replace("P 1", "'Q 7'"), "space group 'Q 7' is unknown"),
        ("operation.cif", P1 + "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,spam'\n", "is not readable"),
        ("list.json", "[1, 2", "not valid JSON"),
        ("record.json", '{"a": 1}', "no pymatgen structure (KeyError"),
        ("old.vasp", "x\n1.0\n4 0 0\n0 4 0\n0 0 4\n1\nDirect\n0 0 0\n", "does not name its elements"),
        ("broken.vasp", "x\n1.0\n4 0 0\n", "cannot be read"),
        ("broken.xyz", "2\n\nH 0 0 0\n", "truncated"),
        ("words.xyz", "two\n\nH 0 0 0\n", "instead of a number of atoms"),
        ("broken.cif.gz", b"\x1f\x8b broken", "cannot be opened"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    error = only_error(write(tmp_path, name, text))
    assert words in error
    assert "\n" not in error
    assert "Traceback" not in error


def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_structures(tmp_path / "none.cif")
    with pytest.raises(InputError, match="no known structure format"):
        read_structures(write(tmp_path, "notes.txt", "x"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no structure files"):
        read_structures(tmp_path / "folder")
    monkeypatch.setattr("potentials.structure_files.MAX_BYTES", 100)
    assert "larger than 0 MB" in only_error(write(tmp_path, "big.cif", SALT))


def test_one_bad_row_does_not_stop_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "b_good.cif", SALT)
    write(tmp_path, "a_bad.cif", "data_\n")
    write(tmp_path, "README.md", "not a structure")
    two = SALT + "\n" + P1.replace("data_salt", "data_flat").replace("length_c 5.64", "length_c 0.02")
    write(tmp_path, "c_two.cif", two)
    frames = "1\n\nHe 0 0 0\n2\n\nH 0 0 0\nH 0 0 0.1\n1\n\nXx 0 0 0\n1\n\nNe 0 0 0\n"
    write(tmp_path, "d_frames.xyz", frames)
    results = read_structures(tmp_path)
    assert [(result.name, result.error is None) for result in results] == [
        ("a_bad", False),
        ("b_good", True),
        ("c_two:salt", True),
        ("c_two:flat", False),
        ("d_frames:frame 0", True),
        ("d_frames:frame 1", False),
        ("d_frames:frame 2", False),
        ("d_frames:frame 3", True),
    ]
    assert "frame 1: atoms 0 (H) and 1 (H) are 0.1 Å apart" in str(results[5].error)
    assert results[-1].atoms.get_chemical_formula() == "Ne"


@pytest.mark.parametrize("name", ["out.cif", "out.json", "out.extxyz", "out.vasp", "POSCAR"])
def test_what_is_written_comes_back(tmp_path: Path, name: str) -> None:
    structure = quartz()
    if not name.endswith(("vasp", "POSCAR")):
        structure.add_site_property("charge", [float(x) for x in np.linspace(-1, 1, len(structure))])
    write_structures(tmp_path / name, [structure], ["quartz"])
    back = read_structure(tmp_path / name)
    np.testing.assert_allclose(back.lattice.parameters, structure.lattice.parameters, atol=1e-6)
    if name.endswith(("vasp", "POSCAR")):
        assert back.matches(structure)
    else:
        assert back.species == structure.species
        np.testing.assert_allclose(back.frac_coords, structure.frac_coords, atol=1e-8)
        np.testing.assert_allclose(back.site_properties["charge"], structure.site_properties["charge"], atol=1e-6)


def test_folders_many_blocks_and_molecules(tmp_path: Path) -> None:
    systems = [quartz(), bulk("NaCl", "rocksalt", 5.6)]
    write_structures(tmp_path / "pool", systems, ["α/quartz", "salt"])
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == ["salt.cif", "α_quartz.cif"]
    write_structures(tmp_path / "both.cif", systems, ["a", "b"])
    assert [result.name for result in read_structures(tmp_path / "both.cif")] == ["both:a", "both:b"]
    water = molecule("H2O")
    water.calc = SinglePointCalculator(water, energy=-1.0)
    write_structures(tmp_path / "w.xyz", [water, water])
    first, _ = read_structures(tmp_path / "w.xyz")
    assert isinstance(first.system, Atoms)
    np.testing.assert_allclose(first.atoms.positions, water.positions, atol=1e-7)
    with pytest.raises(InputError, match="w:frame 0 has no cell, so it is a molecule"):
        _ = first.structure


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    salt = bulk("NaCl", "rocksalt", 5.6)
    with pytest.raises(InputError, match="one structure, not 2"):
        write_structures(tmp_path / "x.vasp", [salt, salt])
    with pytest.raises(InputError, match="different names"):
        write_structures(tmp_path / "x.cif", [salt, salt], ["a", "a"])
    with pytest.raises(InputError, match="0 structures"):
        write_structures(tmp_path / "x.cif", [])
    with pytest.raises(InputError, match=r"drop \.gz"):
        write_structures(tmp_path / "x.cif.gz", [salt])
    blocked = write(tmp_path, "file", "x")
    with pytest.raises(InputError, match="cannot write"):
        write_structures(blocked / "x.cif", [salt])
    assert not list(tmp_path.glob("x*"))


def test_compressed_files_and_json_lists(tmp_path: Path) -> None:
    (tmp_path / "salt.cif.gz").write_bytes(gzip.compress(SALT.encode()))
    (result,) = read_structures(tmp_path / "salt.cif.gz")
    assert result.name == "salt"
    disordered = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    records = [{"structure": quartz().as_dict(), "id": 1}, disordered.as_dict(), "nonsense"]
    results = read_structures(write(tmp_path, "many.json", json.dumps(records)))
    assert [result.error is None for result in results] == [True, False, False]
    assert "partially occupied" in str(results[1].error)


def test_json_never_imports_what_a_file_names(tmp_path: Path) -> None:
    record = quartz().as_dict()
    marker = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    record["sites"][0]["properties"] = {"x": {"@module": "evil_module", "@class": "Evil"}}
    record["@module"] = "evil_module"
    path = write(tmp_path, "evil.json", json.dumps(record))
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        read_structures(path)
    finally:
        sys.path.remove(str(tmp_path))
    assert not marker.exists()


def test_every_mutation_of_a_cif_is_a_structure_or_a_sentence() -> None:
    """Deleted, doubled and changed characters: a structure that passed the gate, or an InputError."""
    rng = np.random.default_rng(0)
    outcomes = {"ok": 0, "error": 0}
    for _ in range(400):
        text = list(SALT)
        for _ in range(int(rng.integers(1, 6))):
            place = int(rng.integers(len(text)))
            kind = int(rng.integers(3))
            text[place] = ["", text[place] * 2, chr(int(rng.integers(32, 127)))][kind]
        try:
            outcomes["ok" if isinstance(parse_cif("".join(text))[0][1], Structure) else "error"] += 1
        except InputError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 20


def test_pools_at_hand_are_read(data: Path, tmp_path: Path) -> None:
    import tarfile

    archive = next((data / "sorbents" / "coremof_ddec").glob("ddec_xtals*.tar.xz"))
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.name.endswith(".cif")][:20]
        for member in members:
            write(tmp_path, os.path.basename(member.name), tar.extractfile(member).read())
    results = read_structures(tmp_path)
    assert len(results) == 20
    for result in results:
        assert result.error is None
        assert abs(sum(result.structure.site_properties["charge"])) < 0.1


def test_format_is_stable_under_a_round_trip() -> None:
    text = format_cif(quartz(), "q")
    ((name, structure),) = parse_cif(text)
    assert name == "q"
    ((_, again),) = parse_cif(format_cif(structure, "q"))
    np.testing.assert_allclose(again.frac_coords, structure.frac_coords, atol=1e-9)


def test_an_ending_says_more_than_a_beginning(tmp_path: Path) -> None:
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
    write_structures(tmp_path / "CONTCAR_1.cif", [structure])
    write_structures(tmp_path / "POSCAR", [structure])
    for name in ("CONTCAR_1.cif", "POSCAR"):
        assert read_structure(tmp_path / name).composition == structure.composition
