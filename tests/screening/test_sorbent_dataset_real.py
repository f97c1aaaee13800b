"""Real frameworks cut into blocks: what is assembled must come apart into what it was made of."""

import json
import tarfile

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gen.sorbents.assembly import assemble
from gen.sorbents.beads import DIRECT, read_bead_rows
from gen.sorbents.catalog import load_catalog
from gen.sorbents.recipe import Recipe
from potentials.config import parse_config
from potentials.errors import InputError
from potentials.files import data_root
from screening.bonds import bond_graph
from screening.sorbent_dataset import decompose as decompose_module
from screening.sorbent_dataset.block_match import block_graph, match_fragment
from screening.sorbent_dataset.decompose import decompose, decomposed_row
from screening.sorbent_dataset.fragments import (
    DecompositionError,
    building_bonds,
    cut_structure,
    cuttable,
    piece_formula,
)
from screening.sorbent_dataset.real_frameworks import RealSettings, decompose_pools, primitive, sampled_files


@pytest.fixture(scope="module")
def mof5():
    return assemble(Recipe("pcu", ("N16",), ("E14",)), load_catalog())


@pytest.fixture
def small_library(monkeypatch):
    """The library's four blocks that the tests need: indexing all of it takes some seconds."""
    from screening.sorbent_dataset import block_match

    def few(level):
        table = {}
        for name in ("N16", "E14", "N409", "N10"):
            block = block_graph(name, level)
            table.setdefault(block_match._key(block.graph, len(block.points)), {})[name] = block
        return table

    monkeypatch.setattr(block_match, "library", few)


def test_a_framework_is_cut_where_its_blocks_were_joined(mof5):
    pieces = cut_structure(mof5.structure)
    formulas = sorted(piece_formula(pieces, k) for k in range(len(pieces.fragments)))
    assert formulas == ["C6H4 with 2 connections"] * 3 + ["C6O13Zn4 with 6 connections"]
    assert len(pieces.cuts) == 6
    assert sum(len(fragment.atoms) for fragment in pieces.fragments) == len(mof5.structure)


def test_decomposition_gives_back_the_beads_it_was_assembled_from(mof5, small_library):
    found = decompose(mof5.structure)
    assert (found.level, found.key, found.net) == ("exact", "pcu:N16:E14", "pcu")
    assert sorted(found.beads.blocks) == sorted(mof5.beads.blocks)
    ours = {(block, *position) for block, position in zip(found.beads.blocks, _rounded(found.beads), strict=True)}
    theirs = {(block, *position) for block, position in zip(mof5.beads.blocks, _rounded(mof5.beads), strict=True)}
    assert ours == theirs
    lengths = [_link_lengths(beads, links) for beads, links in ((found.beads, found.links), (mof5.beads, mof5.links))]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.05)
    assert decomposed_row(found, {}).key == "pcu:N16:E14"


def _rounded(beads):
    return ((beads.frac + 0.01) % 1.0 * 20).astype(int).tolist()


def _link_lengths(beads, links):
    ends = beads.frac[links.nodes] + links.images  # [E, 2, 3]
    vectors = (ends - beads.frac[links.bead][:, None]) @ beads.lattice
    return np.sort(np.linalg.norm(vectors, axis=2).ravel()).tolist()


def test_origin_and_cell_chosen_make_no_difference(mof5, small_library):
    moved = mof5.structure.copy()
    moved.translate_sites(range(len(moved)), [0.31, 0.77, 0.12])
    assert decompose(moved).key == "pcu:N16:E14"
    doubled = mof5.structure.copy()
    doubled.make_supercell([2, 1, 1])
    found = decompose(doubled)
    assert len(found.beads.blocks) == 8
    assert found.net == "pcu"
    assert len(primitive(doubled)) == len(mof5.structure)


def test_nodes_bonded_to_each_other_get_a_direct_bead(small_library):
    recipe = Recipe("tbo", *_filled("tbo", {3: "N10", 4: "N409"}))
    found = decompose(assemble(recipe, load_catalog()).structure)
    assert found.beads.blocks.count(DIRECT) == 24
    assert sorted(set(found.beads.blocks)) == sorted(["N10", "N409", DIRECT])
    assert found.net == "tbo"


def _filled(net, by_connections):
    """Blocks for the node classes of a net whose nodes have 3 and 4 neighbours; all joints direct."""
    catalog = load_catalog()
    slots = catalog.nets[net].nodes
    nodes = tuple(next(name for name in by_connections.values() if name in slot.fits) for slot in slots)
    return nodes, (None,) * len(catalog.nets[net].edges)


def test_a_missing_hydrogen_and_another_metal_are_told_apart_from_an_equal_piece(mof5, small_library):
    hydrogen = next(k for k, site in enumerate(mof5.structure) if site.specie.symbol == "H")
    bare = mof5.structure.copy()
    bare.remove_sites([hydrogen])
    assert decompose(bare).level == "heavy"
    cobalt = mof5.structure.copy()
    cobalt.replace_species({"Zn": "Co"})
    assert decompose(cobalt).level == "shape"
    nitrogen = mof5.structure.copy()
    nitrogen.replace(hydrogen, "F")
    with pytest.raises(DecompositionError, match="not in the library: C6FH3 with 2 connections"):
        decompose(nitrogen)


def test_what_cannot_be_cut_says_why(mof5):
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]])
    with pytest.raises(DecompositionError, match="no bond to cut"):
        decompose(diamond)
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(DecompositionError, match="no bond to cut"):
        decompose(rock_salt)
    solvated = mof5.structure.copy()
    for shift in (0.0, 0.74):
        solvated.append("H", (mof5.structure.lattice.matrix.sum(axis=0) / 2 + [shift, 0, 0]), coords_are_cartesian=True)
    with pytest.raises(DecompositionError, match="free molecules"):
        decompose(solvated)


def test_bonds_in_rings_are_never_cut(mof5):
    bonds = building_bonds(bond_graph(mof5.structure))
    cut = cuttable(bonds)
    assert cut.sum() == 6
    numbers = np.sort(bonds.numbers[bonds.pairs[cut]], axis=1)
    assert (numbers == 6).all()
    assert not bonds.metal[bonds.pairs].all(axis=1).any()


def test_every_node_of_the_library_is_matched_by_itself(mof5, small_library):
    pieces = cut_structure(mof5.structure)
    for k, fragment in enumerate(pieces.fragments):
        points = np.eye(3)[np.arange(len(fragment.cuts)) % 3] * np.arange(1, len(fragment.cuts) + 1)[:, None]
        assert match_fragment(pieces, k, points, "exact") == ("N16" if fragment.has_metal else "E14")


def test_a_pool_is_sampled_and_reported(mof5, small_library, tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    for k in range(3):
        mof5.structure.to(filename=str(folder / f"mof{k}.cif"))
    (folder / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    archive = tmp_path / "pool.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, arcname="pool")
    assert [name for name, _ in sampled_files(archive, 2, 0)] == [name for name, _ in sampled_files(folder, 2, 0)]
    settings = parse_config(
        RealSettings,
        {
            "sources": [str(archive)],
            "out": str(tmp_path / "real.jsonl.gz"),
            "labels": {"pores": None, "henry": None},
        },
        "test",
    )
    summary = decompose_pools(settings)
    report = summary["sources"]["pool.tar.gz"]
    assert (report["looked_at"], report["decomposed"]["exact"], report["net_known"]) == (4, 3, 3)
    assert report["fraction_exact"] == 0.75
    assert report["reasons"]["not a sound CIF"] == 1
    rows = list(read_bead_rows(tmp_path / "real.jsonl.gz"))
    assert [row.key for row in rows] == ["pcu:N16:E14"]  # three copies of one framework
    assert json.loads((tmp_path / "real.json").read_text())["rows"] == 1
    with pytest.raises(InputError, match="no pool of CIF files"):
        decompose_pools(settings.model_copy(update={"sources": ("nowhere.tar.xz",)}))


@pytest.mark.slow
def test_hkust1_and_mof5_of_the_charged_pool_are_found():
    archive = data_root() / "sorbents/coremof_ddec/ddec_xtals_open.tar.xz"
    if not archive.exists():
        pytest.skip("the CoRE MOF pool with charges is not at hand")
    from potentials.cif import parse_cif

    with tarfile.open(archive) as packed:
        for name, net, node in (("DOTSOV42_clean", "tbo", "N409"), ("MIBQAR18_clean", "pcu", "N16")):
            stream = packed.extractfile(f"ddec_xtals/{name}.cif")
            assert stream is not None
            structure = parse_cif(stream.read().decode())[0][1]
            assert isinstance(structure, Structure)
            found = decompose(primitive(structure))
            assert (found.level, found.net) == ("exact", net)
            assert node in found.beads.blocks


def test_decompose_tries_linkers_in_pieces_before_whole_ones(mof5, small_library, monkeypatch):
    calls = []
    plain = decompose_module.cut_structure

    def recorded(structure, whole_linkers=False):
        calls.append(whole_linkers)
        return plain(structure, whole_linkers)

    monkeypatch.setattr(decompose_module, "cut_structure", recorded)
    decompose(mof5.structure)
    assert calls == [False]
