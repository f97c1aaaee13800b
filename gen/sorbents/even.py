"""Beads where the net itself would put them: every node at the mean of its neighbours.

For a net and a cell there is one such placement (Tutte's barycentric embedding, Proc. London Math. Soc. 1963, 13,
743; of periodic nets Delgado-Friedrichs and O'Keeffe, Acta Cryst. A 2003, 59, 351). It depends on nothing but which
nodes are linked, and so is a second start where generated positions lead to blocks in one another's way.
"""

import dataclasses

import numpy as np

from gen.sorbents.beads import Beads, Links

SHORTEST = 0.3  # of the mean length of the edges: nets whose nodes fall together have no such placement


def even_beads(beads: Beads, links: Links) -> Beads | None:
    """The beads with their nodes evenly placed and edges half way between them, in the cell they have.

    Fractions of a bead may be outside [0, 1): the images of `links` hold for them as they are.

    Returns:
        None where nodes would fall together.
    """
    nodes = np.flatnonzero(~beads.is_edge)
    row = np.full(len(beads.blocks), -1)
    row[nodes] = np.arange(len(nodes))
    (a, b), shifts = row[links.nodes].T, (links.images[:, 1] - links.images[:, 0]).astype(float)
    laplacian = np.zeros((len(nodes), len(nodes)))
    pull = np.zeros((len(nodes), 3))
    for sign, here, there in ((1.0, a, b), (-1.0, b, a)):
        np.add.at(laplacian, (here, here), 1.0)
        np.add.at(laplacian, (here, there), -1.0)
        np.add.at(pull, here, sign * shifts)
    places = np.linalg.lstsq(laplacian, pull, rcond=None)[0]  # [n, 3]; shifted as a whole to where the nodes were
    places += (beads.frac[nodes] - places).mean(axis=0)
    spans = np.linalg.norm((places[b] + shifts - places[a]) @ beads.lattice, axis=1)
    if spans.min() < SHORTEST * spans.mean():
        return None
    frac = beads.frac.copy()
    frac[nodes] = places
    frac[links.bead] = 0.5 * (frac[links.nodes] + links.images).sum(axis=1)
    return dataclasses.replace(beads, frac=frac)
