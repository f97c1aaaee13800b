"""What CHGNet knows of every atom, as input of models of partial charges.

CHGNet (Deng et al., Nature Machine Intelligence 5, 1031 (2023)) was trained on energies, forces, stresses and magnetic
moments of 1.6 million frames of inorganic crystals with 89 elements. Data with partial charges hold many metals a few
times only; the features of its layers say what such an atom is like, its oxidation and spin state included. They are
scalars, so atoms that symmetry relates have the same.
"""

from functools import cache

import torch
from torch import Tensor

from potentials.atom_graph import AtomGraph, collate
from potentials.chgnet_forward import CHGNetWeights, arrange_weights, layer_features, read_energies
from potentials.chgnet_graph import build_graph
from potentials.chgnet_potential import CHGNetPotential, load_package_checkpoint
from potentials.errors import InputError
from potentials.neighbours import VerletList

CHGNET_VERSION = "0.3.0"
WIDTH, LAYERS = 64, 4
FEATURES = WIDTH * LAYERS + 2
_MOMENT_LAYER = LAYERS - 1  # magnetic moments are read off the features that enter the last layer


def chgnet_features(graph: AtomGraph) -> Tensor:
    """Features [N, 258] of the atoms of one crystal.

    Columns: 64 after each of the four atom convolutions, the magnetic moment (μB), and the energy of the atom without
    its element's reference (eV).

    Raises:
        InputError: an element CHGNet does not know.
        GeometryError: a cell or position no neighbour list may see.
    """
    weights, moment_weight, moment_bias, elements = _loaded()
    if unknown := sorted(set(graph.numbers.tolist()) - elements):
        from ase.data import chemical_symbols

        names = ", ".join(chemical_symbols[z] for z in unknown)
        raise InputError(f"CHGNet, whose features learned charges build on, does not know {names}: use eqeq charges")
    batch = collate([graph])
    bonds = build_graph(batch, VerletList(weights.atom_cutoff, 0.0, half=True), weights.bond_cutoff, torch.float32)
    with torch.no_grad():
        layers = layer_features(weights, bonds, bonds.vectors, batch.numbers)
        moment = (layers[_MOMENT_LAYER - 1] @ moment_weight.T + moment_bias).abs()
        energy = read_energies(weights, layers[-1])[:, None]
        return torch.cat([*layers, moment, energy], dim=1)


@cache
def _loaded() -> tuple[CHGNetWeights, Tensor, Tensor, frozenset[int]]:
    """Weights, the linear layer of magnetic moments, and the elements trained on."""
    model = load_package_checkpoint(CHGNET_VERSION, torch.device("cpu"))
    state = model["state_dict"]
    weights = arrange_weights(state, model["model_args"], torch.float32)
    elements = CHGNetPotential(CHGNET_VERSION).elements
    return weights, state["site_wise.weight"].detach(), state["site_wise.bias"].detach(), elements
