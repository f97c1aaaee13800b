"""How well drawn positions and cell suit the links that were drawn before them."""

import itertools

import numpy as np

from gen.sorbents.beads import Beads
from gen.sorbents.fingerprint import load_fingerprints

STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


def link_misfit(beads: Beads, joined: np.ndarray) -> float:
    """Root mean square over links of (distance - reach) / reach; infinite for beads that are not finite.

    The reach of a link is what its two blocks measure from their middles to their connection points, and its distance
    that of the nearest images, as many as there are links. Frameworks have 0.05 to 0.1, since blocks are not round.

    Args:
        joined: [n, n] how often two beads are linked.
    """
    if not (np.isfinite(beads.lattice).all() and np.isfinite(beads.frac).all()):
        return np.inf
    library = load_fingerprints()
    sizes = library.sizes[[library.rows[name] for name in beads.blocks]]
    errors = []
    for edge in np.flatnonzero(beads.is_edge):
        for node in np.flatnonzero(joined[edge]):
            apart = beads.frac[node] - beads.frac[edge]
            distance = np.linalg.norm((apart - np.round(apart) + STEPS) @ beads.lattice, axis=1)
            reach = float(sizes[edge] + sizes[node])
            errors += (np.sort(distance)[: int(joined[edge, node])] / max(reach, 1e-3) - 1.0).tolist()
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0
