"""Frameworks as beads on ideal nets, and a small model with random weights that knows their sets of roles."""

import functools

import numpy as np

from gen.crystals.config import NetworkConfig
from gen.sorbents.bead_config import BeadTrainingConfig
from gen.sorbents.bead_dataset import group_rows
from gen.sorbents.bead_model import BeadModel, new_bead_model
from gen.sorbents.beads import BeadRow, Beads, Links
from gen.sorbents.fingerprint import load_fingerprints

LABELS = ("void_fraction", "density_g_cm3")


def cubic_net(node: str, linker: str, a: float) -> Beads:
    """The net pcu: a six-connected node at the origin, edges along the axes."""
    frac = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Beads(np.eye(3) * a, np.array(frac, float), (node, *[linker] * 3), (6, 2, 2, 2))


def diamond_net(node: str, linker: str, a: float) -> Beads:
    """The net dia in its primitive cell: two four-connected nodes."""
    lattice = 0.5 * a * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], float)
    edges = [[0.125, 0.125, 0.125], [0.625, 0.125, 0.125], [0.125, 0.625, 0.125], [0.125, 0.125, 0.625]]
    frac = np.array([[0, 0, 0], [0.25, 0.25, 0.25], *edges], float)
    return Beads(lattice, frac, (node, node, *[linker] * 4), (4, 4, 2, 2, 2, 2))


LINKS = {  # edges in the order of their beads; the cells their ends lie in are not needed for training
    "pcu": Links(np.arange(1, 4), np.zeros((3, 2), int), np.zeros((3, 2, 3), int)),
    "dia": Links(np.arange(2, 6), np.array([[0, 1]] * 4), np.zeros((4, 2, 3), int)),
}


def rows() -> list[BeadRow]:
    """Two dozen frameworks on two nets; their labels go with the length of the cell, as in life."""
    made = []
    for k in range(12):
        for net, build in (("pcu", cubic_net), ("dia", diamond_net)):
            a = 10.0 + k
            node = {"pcu": "N16", "dia": "N256"}[net]
            labels = {"void_fraction": 0.3 + 0.04 * k, "density_g_cm3": 1.5 - 0.1 * k}
            made.append(BeadRow(f"{net}:{k}", net, "train", build(node, f"E{k + 1}", a), LINKS[net], labels))
    return made


@functools.cache
def random_model() -> BeadModel:
    """A model that has learnt nothing but which sets of roles there are, and how large cells are."""
    library = load_fingerprints()
    config = BeadTrainingConfig(network=NetworkConfig(channels=16, layers=2, edge_channels=16, frequencies=4, radial=8))
    model = new_bead_model(config, group_rows(rows(), library.names, LABELS, 40))
    model.network.eval().requires_grad_(False)
    return model
