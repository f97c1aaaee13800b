"""Nets named by their graphs: known coordination sequences, cells, colours, keys."""

import numpy as np
import pytest
from bead_nets import primitive_cubic

from gen.sorbents.beads import Beads
from gen.sorbents.connectivity import connect
from gen.sorbents.net_identity import (
    Quotient,
    colours,
    coordination_sequences,
    identify,
    net_colours,
    net_hash,
    net_table,
)

PCU = Quotient(1, np.zeros((3, 2), int), np.eye(3, dtype=int))
DIA = Quotient(2, np.array([(0, 1)] * 4), np.array([(0, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 0, -1)]))
FCU = Quotient(
    1, np.zeros((6, 2), int), np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -1, 0), (0, 1, -1), (1, 0, -1)])
)


@pytest.mark.parametrize(
    ("net", "sequence"),
    [
        (PCU, [6, 18, 38, 66, 102, 146, 198, 258, 326, 402]),  # 4 k^2 + 2
        (DIA, [4, 12, 24, 42, 64, 92, 124, 162, 204, 252]),  # OEIS A008253
        (FCU, [12, 42, 92, 162, 252, 362, 492, 642, 812, 1002]),  # 10 k^2 + 2
    ],
    ids=["pcu", "dia", "fcu"],
)
def test_coordination_sequences(net, sequence):
    assert coordination_sequences(net).tolist() == [sequence] * net.count


def doubled(net: Quotient) -> Quotient:
    """The same net in a cell twice as long."""
    ends, shifts = [], []
    for half in (0, 1):
        for (a, b), (x, y, z) in zip(net.ends.tolist(), net.shifts.tolist(), strict=True):
            far = half + x
            ends.append((a + half * net.count, b + (far % 2) * net.count))
            shifts.append((far // 2, y, z))
    return Quotient(2 * net.count, np.array(ends), np.array(shifts))


@pytest.mark.parametrize("net", [PCU, DIA, FCU], ids=["pcu", "dia", "fcu"])
def test_a_net_is_the_same_in_every_cell(net):
    sheared = Quotient(net.count, net.ends[:, ::-1], -net.shifts @ np.array([(1, 1, 0), (0, 1, 0), (2, 0, 1)]))
    digest = net_hash(net_colours(net))
    assert net_hash(net_colours(doubled(net))) == digest
    assert net_hash(net_colours(sheared)) == digest
    assert len({net_hash(net_colours(other)) for other in (PCU, DIA, FCU)}) == 3


def test_known_nets_are_in_the_table():
    for net, name in ((PCU, "pcu"), (DIA, "dia"), (FCU, "fcu")):
        entries = net_table()[net_hash(net_colours(net))]
        assert entries[0].name == name
        assert net_hash(net_colours(entries[0].quotient)) == net_hash(net_colours(net))


def test_key_is_that_of_the_recipe_and_does_not_depend_on_the_cell():
    for cells in (1, 2):
        beads = primitive_cubic(cells=cells)
        assert identify(beads, connect(beads)) == ("pcu", "pcu:N16:E14")


def test_mixed_linkers_have_a_key_of_their_own():
    beads = primitive_cubic(cells=2)
    links = connect(beads)
    keys = set()
    for mixed in ({1: "E1"}, {5: "E1"}, {2: "E1"}):
        blocks = tuple(mixed.get(k, block) for k, block in enumerate(beads.blocks))
        name, key = identify(Beads(beads.lattice, beads.frac, blocks, beads.connections), links)
        assert name == "pcu"
        keys.add(key)
    assert len(keys) == 2  # along the chain of the two nodes, either way round, or across it
    assert all(key.startswith("pcu:E1*1+E14*5+N16*2:") for key in keys)


def test_a_net_that_is_not_in_the_table_is_named_by_its_graph():
    """pcu with a fourth edge across a diagonal of a face."""
    net = Quotient(1, np.zeros((4, 2), int), np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 1, 0)]))
    assert net_hash(net_colours(net)) not in net_table()
    beads = primitive_cubic()
    beads = Beads(beads.lattice, np.zeros((5, 3)), ("N1", *["E14"] * 4), (8, 2, 2, 2, 2))
    from gen.sorbents.beads import Links

    images = np.stack([np.zeros((4, 3), int), net.shifts], axis=1)
    name, key = identify(beads, Links(np.arange(1, 5), np.zeros((4, 2), int), images))
    assert name.startswith("net-")
    assert key.startswith(f"{name}:E14*4+N1*1:")


def test_labels_refine_colours():
    chain = Quotient(4, np.array([(0, 1), (1, 2), (2, 3), (3, 0)]), np.array([(0, 0, 0)] * 3 + [(1, 0, 0)]))
    plain = colours(chain, ["a"] * 4, [""] * 4)
    assert len(set(plain)) == 1
    marked = colours(chain, ["b", "a", "a", "a"], [""] * 4)
    assert len(set(marked)) == 3
    assert marked[1] == marked[3]
