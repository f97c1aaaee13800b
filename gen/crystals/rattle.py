"""Small displacements that take a crystal off a saddle its symmetry would hold it on."""

import numpy as np
from pymatgen.core import Structure


def rattled(structure: Structure, size: float, seed: int = 0) -> Structure:
    """A copy whose atoms are displaced at random, by `size` Å root mean square each; their mean stays in place.

    Forces never break a symmetry that is there, so a relaxation of a perfectly symmetric crystal can end on a saddle.
    The displacements depend on the seed and the number of atoms alone. One atom is left where it is.
    """
    moves = np.random.default_rng([seed, len(structure)]).normal(size=(len(structure), 3))
    moves -= moves.mean(axis=0)
    length = float(np.sqrt((moves**2).sum(axis=1).mean()))
    if length == 0:
        return structure.copy()
    frac = structure.frac_coords + (moves * size / length) @ structure.lattice.inv_matrix
    return Structure(structure.lattice, structure.species, frac, properties=dict(structure.properties))
