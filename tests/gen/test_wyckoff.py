"""Wyckoff positions against the counts and multiplicities of the International Tables, vol. A."""

import numpy as np
import pytest

from gen.crystals.wyckoff import space_group
from potentials.errors import InputError

# number of Wyckoff positions of the group, atoms of the smallest ones in the primitive cell
PUBLISHED = {
    1: (1, [1]),
    2: (9, [1] * 8 + [2]),
    14: (5, [2, 2, 2, 2, 4]),
    43: (2, [2, 4]),
    62: (4, [4, 4, 4, 8]),
    139: (15, [1, 1, 2, 2, 2]),
    166: (9, [1, 1, 2, 3, 3]),
    194: (12, [2, 2, 2, 2, 4]),
    198: (2, [4, 12]),
    225: (12, [1, 1, 2, 6, 6]),
    227: (9, [2, 2, 4, 4, 8]),
}


@pytest.mark.parametrize("number", PUBLISHED)
def test_positions_are_those_of_the_tables(number):
    count, smallest = PUBLISHED[number]
    orbits = space_group(number).orbits
    assert len(orbits) == count
    assert [orbit.size for orbit in orbits[: len(smallest)]] == smallest
    assert orbits[-1].freedom == 3  # the general position


@pytest.mark.slow
def test_all_groups_together_have_1731_positions():
    assert sum(len(space_group(number).orbits) for number in range(1, 231)) == 1731


@pytest.mark.parametrize("number", [15, 62, 166, 216])
def test_every_orbit_is_closed_under_the_group(number):
    group = space_group(number)
    z = np.array([0.137, 0.291, 0.419])
    for orbit in group.orbits:
        points = orbit.place(z)
        images = np.einsum("gij,pj->gpi", group.rotations, points) + group.translations[:, None]
        apart = images[:, :, None] - points[None, None]
        assert (np.abs(apart - np.rint(apart)).max(-1).min(-1) < 1e-8).all()


def test_no_such_group():
    with pytest.raises(InputError, match="not a space group number"):
        space_group(231)
