"""Which nodes the edge beads join: exact degrees, noise, and reasons for refusing."""

import numpy as np
import pytest
from bead_nets import diamond, noisy, primitive_cubic, square_layers

from gen.sorbents.beads import Beads, joined_counts
from gen.sorbents.bodies import AssemblyError, library_body
from gen.sorbents.catalog import load_catalog
from gen.sorbents.connectivity import connect, neighbour_vectors, periodicity


def first_block(**wanted) -> str:
    """The first block of the library with these entries."""
    blocks = load_catalog().blocks.values()
    return next(b.name for b in blocks if all(getattr(b, name) == value for name, value in wanted.items()))


def flat_node() -> str:
    """A four-connected node whose connection points lie in a plane."""
    for block in load_catalog().blocks.values():
        if block.connections == 4:
            body = library_body(block.name)
            if np.linalg.svd(body.points - body.centre)[1][2] < 0.2 and body.radii.std() < 0.1:
                return block.name
    raise AssertionError("the library has square nodes")


def degrees(beads, links):
    counts = np.zeros(len(beads.blocks), int)
    np.add.at(counts, links.nodes.ravel(), 1)
    return counts


@pytest.mark.parametrize(("sigma", "strain"), [(0.0, 0.0), (0.3, 0.02), (0.6, 0.03)])
def test_cubic_net_is_linked(sigma, strain):
    beads = noisy(primitive_cubic(), sigma, strain, seed=5)
    links = connect(beads)
    assert sorted(links.bead.tolist()) == [1, 2, 3]
    assert degrees(beads, links).tolist() == [6, 0, 0, 0]
    spans = links.images[:, 1] - links.images[:, 0]  # each edge joins the node to its image one cell on
    assert np.abs(spans).sum(axis=1).tolist() == [1, 1, 1]
    assert periodicity(np.zeros((3, 2), int), spans, 1) == [(3, [0])]
    for _, vectors in neighbour_vectors(beads, links).values():
        length = beads.lattice[0, 0]
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.full(6, length / 2), abs=3 * sigma + 0.2)


def test_diamond_and_a_supercell_are_linked():
    linker = first_block(connections=2, anchors=("C",))
    tetrahedral = next(iter(load_catalog().nets["dia"].nodes[0].fits))
    beads = noisy(diamond(tetrahedral, linker), 0.2, 0.01, seed=1)
    links = connect(beads)
    assert degrees(beads, links)[:2].tolist() == [4, 4]
    assert all(sorted(pair) == [0, 1] for pair in links.nodes.tolist())
    beads = noisy(primitive_cubic(cells=2), 0.2, 0.01, seed=2)
    assert degrees(beads, connect(beads)).tolist() == [6, 0, 0, 0, 6, 0, 0, 0]


def test_the_graph_that_was_meant_is_tried_first():
    clean = primitive_cubic(cells=2)
    wanted = joined_counts(connect(clean), len(clean.blocks))
    moved = noisy(clean, 1.0, 0.05, seed=3)
    assert np.array_equal(joined_counts(connect(moved, wanted), len(moved.blocks)), wanted)
    nothing = connect(clean, np.zeros_like(wanted))  # cannot be: the positions decide
    assert np.array_equal(joined_counts(nothing, len(clean.blocks)), wanted)


def test_links_do_not_depend_on_the_order_of_beads():
    beads = noisy(primitive_cubic(cells=2), 0.3, 0.02, seed=3)
    order = np.random.default_rng(0).permutation(len(beads.blocks))
    shuffled = Beads(
        beads.lattice, beads.frac[order], tuple(beads.blocks[k] for k in order),
        tuple(beads.connections[k] for k in order),
    )  # fmt: skip
    place = {int(old): new for new, old in enumerate(order)}
    first = connect(beads)
    joined = {int(edge): sorted(pair.tolist()) for edge, pair in zip(first.bead, first.nodes, strict=True)}
    again = connect(shuffled)
    found = {int(edge): sorted(pair.tolist()) for edge, pair in zip(again.bead, again.nodes, strict=True)}
    assert {place[edge]: sorted(place[node] for node in pair) for edge, pair in joined.items()} == found


def test_degrees_that_do_not_add_up_are_refused():
    beads = primitive_cubic()
    short = Beads(beads.lattice, beads.frac[:3], beads.blocks[:3], beads.connections[:3])
    with pytest.raises(AssemblyError, match="6 connection points cannot share 2 edges"):
        connect(short)


def test_layers_are_refused():
    linker = first_block(connections=2, anchors=("C",))
    with pytest.raises(AssemblyError, match="2 dimensions, below 3"):
        connect(square_layers(flat_node(), linker))


def test_nitrogen_is_not_bonded_to_nitrogen():
    node, linker = first_block(connections=6, anchors=("N",)), first_block(connections=2, anchors=("N",))
    with pytest.raises(AssemblyError, match="no two nodes lie within reach"):
        connect(primitive_cubic(node, linker))


def test_nodes_out_of_reach_are_refused():
    beads = primitive_cubic()
    with pytest.raises(AssemblyError, match="no two nodes lie within reach"):
        connect(Beads(8 * beads.lattice, beads.frac, beads.blocks, beads.connections))


def test_periodicity_of_known_graphs():
    loops = np.zeros((3, 2), int)
    assert periodicity(loops[:2], np.eye(3, dtype=int)[:2], 1) == [(2, [0])]
    two = np.array([(0, 0), (0, 0), (0, 0), (1, 1)])
    assert periodicity(two, np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]), 2) == [(3, [0]), (1, [1])]
