"""Even placement of a net in its cell."""

import numpy as np
import pytest
from bead_nets import diamond, noisy, primitive_cubic

from gen.sorbents.bead_assembly import assemble_beads
from gen.sorbents.beads import Beads, Links
from gen.sorbents.catalog import load_catalog
from gen.sorbents.connectivity import connect, neighbour_vectors
from gen.sorbents.even import even_beads


def test_noise_on_positions_is_taken_out_but_not_that_on_the_cell():
    tetrahedral = next(iter(load_catalog().nets["dia"].nodes[0].fits))
    clean = diamond(tetrahedral, "E14")
    moved = noisy(clean, 0.4, 0.0, seed=2)
    even = even_beads(moved, connect(moved))
    assert even is not None
    for _, vectors in neighbour_vectors(even, connect(moved)).values():
        lengths = np.linalg.norm(vectors, axis=1)
        assert lengths == pytest.approx(np.full(4, lengths.mean()), rel=1e-6)
        assert vectors.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    np.testing.assert_array_equal(even.lattice, moved.lattice)
    nodes = ~moved.is_edge
    assert even.frac[nodes].mean(axis=0) == pytest.approx(moved.frac[nodes].mean(axis=0))


def test_even_beads_are_assembled_as_the_clean_ones():
    clean = primitive_cubic()
    even = even_beads(clean, connect(clean))
    assert even is not None
    first, second = assemble_beads(clean), assemble_beads(even)
    assert first.key == second.key
    assert second.structure.volume == pytest.approx(first.structure.volume, rel=0.01)


def test_nodes_that_fall_together_have_no_even_place():
    """Two cubic nets tied by one edge, which nothing keeps from shrinking to a point."""
    beads = Beads(np.eye(3) * 20, np.zeros((9, 3)), ("N16",) * 2 + ("E14",) * 7, (6,) * 2 + (2,) * 7)
    steps = [*np.eye(3, dtype=int), *np.eye(3, dtype=int), np.zeros(3, int)]
    nodes = np.array([(0, 0)] * 3 + [(1, 1)] * 3 + [(0, 1)])
    links = Links(np.arange(2, 9), nodes, np.array([(np.zeros(3, int), step) for step in steps]))
    assert even_beads(beads, links) is None
