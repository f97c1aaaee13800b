"""Training frames whose bonds are squeezed most, kept aside: what a network makes of them is what it extrapolates.

A test of extrapolation that may be looked at as often as one likes, since it is made of training data alone.
"""

from collections.abc import Sequence

import numpy as np

from potentials.atom_graph import AtomGraph

LONGEST = 1.7  # Å on average; pairs of heavy atoms nearer than that are bonds


def most_squeezed(frames: Sequence[AtomGraph], count: int) -> tuple[list[AtomGraph], list[AtomGraph]]:
    """The other frames, and the `count` with the bond between heavy atoms farthest below its mean length.

    Args:
        frames: of one molecule, the same atoms in the same order.
        count: how many to keep aside.
    """
    heavy = frames[0].numbers.numpy() > 1
    positions = np.stack([frame.positions.numpy() for frame in frames])[:, heavy]
    lengths = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)  # [F, n, n]
    mean = lengths.mean(0)
    bonds = np.triu(mean < LONGEST, k=1)
    squeezed = (1 - lengths / np.where(bonds, mean, 1.0))[:, bonds].max(1)  # share of the mean length
    order = np.argsort(squeezed, kind="stable")
    return [frames[i] for i in np.sort(order[:-count])], [frames[i] for i in np.sort(order[-count:])]
