"""Parts of the assembly on their own: nets, blocks, joints, torsions, and the fit of shapes."""

import warnings

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gen.sorbents.assembly import assemble
from gen.sorbents.bodies import AssemblyError, body_of, transformed
from gen.sorbents.build_catalog import RMSD_LIMIT, fit_rmsd
from gen.sorbents.catalog import load_catalog
from gen.sorbents.joints import find_joints
from gen.sorbents.library import (
    anchor_atoms,
    block_metals,
    block_names,
    count_slots,
    load_block,
    load_net,
    net_names,
    pormake,
)
from gen.sorbents.recipe import Recipe
from gen.sorbents.scaling import NetScaler
from gen.sorbents.settling import close_joints
from gen.sorbents.torsions import _overlap, _rotate
from potentials.errors import InputError

OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])
TETRAHEDRON = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
SQUARE = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)], float)
CUBE = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3)


@pytest.mark.parametrize(
    ("name", "nodes", "edges"),
    [("pcu", 1, 3), ("dia", 2, 4), ("fcu", 1, 6), ("bcu", 1, 4), ("nbo", 3, 6), ("tbo", 14, 24), ("sod", 6, 12)],
)
def test_nets_are_primitive(name, nodes, edges):
    """Nodes and edges of the primitive cell, from the symmetry of the nets (RCSR)."""
    net = load_net(name)
    assert (net.n_nodes, net.n_edges) == (nodes, edges)
    assert count_slots(name) == nodes + edges
    assert (np.asarray(net.cn)[net.node_indices].sum()) == 2 * edges


def test_unknown_parts_are_named():
    with pytest.raises(InputError, match="no net 'pcx'"):
        load_net("pcx")
    with pytest.raises(InputError, match="no building block 'N0'"):
        load_block("N0")


def test_connection_points_sit_one_radius_from_their_atom():
    block = load_block("E14")
    for point, (anchor,) in zip(block.connection_point_indices, anchor_atoms(block), strict=True):
        gap = block.atoms.positions[point] - block.atoms.positions[anchor]
        assert np.linalg.norm(gap) == pytest.approx(0.76, abs=1e-6)  # carbon
    assert block_metals(block) == ()
    assert block_metals(load_block("N16")) == ("Zn",)


def test_catalog_names_exist_in_the_library():
    catalog = load_catalog()
    assert set(catalog.blocks) <= set(block_names())
    assert set(catalog.nets) <= set(net_names())
    assert len(catalog.nets) > 1000
    for net in catalog.nets.values():
        for slot in net.nodes:
            assert slot.fits
            assert max(slot.fits.values()) <= catalog.rmsd_limit


@pytest.mark.parametrize("shape", [TETRAHEDRON, OCTAHEDRON, SQUARE, CUBE], ids=["4", "6", "4 flat", "8"])
def test_a_shape_fits_itself_turned_shuffled_and_mirrored(shape):
    rng = np.random.default_rng(1)
    turned = Rotation.random(random_state=2).apply(shape)[rng.permutation(len(shape))]
    assert fit_rmsd(shape, turned) == pytest.approx(0, abs=1e-6)
    assert fit_rmsd(shape, -turned) == pytest.approx(0, abs=1e-6)


def test_fit_of_tetrahedron_and_square_is_above_the_limit():
    assert fit_rmsd(TETRAHEDRON, SQUARE) > RMSD_LIMIT


def test_fit_agrees_with_pormake():
    """Our enumeration finds the same RMSD as PORMAKE's own search, or a better one."""
    catalog = load_catalog()
    locator = pormake().Locator()
    for net_name in ("dia", "acs", "bcu"):
        local = load_net(net_name).unique_local_structures[0]
        for name, rmsd in list(catalog.nets[net_name].nodes[0].fits.items())[:40:13]:
            block = load_block(name)
            theirs = min(
                locator.calculate_rmsd(local, block),
                locator.calculate_rmsd(local, block.make_chiral_building_block()),
            )
            assert rmsd <= theirs + 1e-3
            assert rmsd == pytest.approx(theirs, abs=0.02)


@pytest.mark.parametrize(("net", "nodes", "linker"), [("pcu", ["N16"], "E14"), ("rtl", ["N717", "N505"], "E27")])
def test_scaling_reaches_the_optimum_of_pormake(net, nodes, linker):
    """Same objective as PORMAKE's own (compiled) scaler, and the same volume."""
    topology = load_net(net)
    blocks = dict(zip(topology.unique_node_types.tolist(), map(load_block, nodes), strict=True))
    edges = {tuple(ends): load_block(linker) for ends in topology.unique_edge_types.tolist()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as below
        theirs = pormake().Builder().build_by_type(topology, blocks, edges)
        ours = pormake().Builder(scaler=NetScaler()).build_by_type(topology, blocks, edges)
    assert ours.info["relax_obj"] == pytest.approx(theirs.info["relax_obj"], rel=1e-3, abs=1e-6)
    assert ours.atoms.cell.volume == pytest.approx(theirs.atoms.cell.volume, rel=1e-3)


def test_open_joints_close():
    """MOF-5, its cell stretched by 4 % and its blocks shifted and turned, comes back together."""
    node, linker = load_block("N16"), load_block("E14")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PORMAKE's fit of two directions leaves a rotation free, and says so
        built = pormake().Builder().build_by_type(load_net("pcu"), {0: node}, {(0, 0): linker})
    placed, cell = built.info["located_bbs"], np.array(built.info["topology"].atoms.cell[:])
    joints = find_joints(built, placed, cell)
    assert len(joints) == 6
    rng = np.random.default_rng(0)
    bodies = [body_of(block, block.name) for block in placed]
    for k, body in enumerate(bodies):
        turn = Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix()
        bodies[k] = transformed(body, turn, body.centre + rng.normal(0, 0.1, 3))
    bodies, closed, gap = close_joints(bodies, cell * 1.04, joints)
    assert gap < 0.05
    assert abs(np.linalg.det(closed)) == pytest.approx(abs(np.linalg.det(cell)), rel=0.02)
    for joint in joints:
        ends = [bodies[k].atoms[bodies[k].anchors[point]] for k, point in zip(joint.bodies, joint.points, strict=True)]
        assert np.linalg.norm(ends[0] - ends[1] - joint.image @ closed) == pytest.approx(1.52, abs=0.05)


def test_rotation_about_an_axis():
    axis = np.array([0.0, 0.0, 1.0])
    moved = _rotate(np.array([[2.0, 1.0, 5.0], [1.0, 1.0, 0.0]]), np.array([1.0, 1.0, 0.0]), axis, np.pi / 2)
    np.testing.assert_allclose(moved, [[1.0, 2.0, 5.0], [1.0, 1.0, 0.0]], atol=1e-12)


def test_overlap_is_zero_beyond_contact():
    carbon = np.array([6])
    here = np.zeros((1, 3))
    assert _overlap(here, carbon, np.array([[2.7, 0.0, 0.0]]), carbon) == 0.0
    assert _overlap(here, carbon, np.array([[2.12, 0.0, 0.0]]), carbon) == pytest.approx(0.25)  # limit 2.62 Å


def test_a_net_scaled_flat_is_refused_rather_than_searched_for_ever():
    with pytest.raises(AssemblyError, match="flat cell"):
        assemble(Recipe("bbx", ("N7", "N448"), (None, None, "E44")), load_catalog())
