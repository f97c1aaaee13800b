"""What CHGNet knows of every atom, as input of models of partial charges.

CHGNet (Deng et al., Nature Machine Intelligence 5, 1031 (2023)) was trained on energies, forces, stresses and magnetic
moments of 1.6 million frames of inorganic crystals with 89 elements. Data with partial charges hold many metals a few
times only; the features of its layers say what such an atom is like, its oxidation and spin state included. They are
scalars, so atoms that symmetry relates have the same.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from potentials.atom_graph import AtomGraph, collate
from potentials.chgnet_forward import (
    CHGNetWeights,
    _angle_inputs,
    _angular_basis,
    _atom_convolution,
    _gate,
    _radial_basis,
    arrange_weights,
)
from potentials.chgnet_graph import CHGNetGraph, build_graph
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
        layers = _layer_features(weights, bonds, batch.numbers)
        moment = (layers[_MOMENT_LAYER - 1] @ moment_weight.T + moment_bias).abs()
        energy = F.layer_norm(layers[-1], (WIDTH,), *weights.readout_norm)
        for index, (weight, bias) in enumerate(weights.readout):
            energy = torch.addmm(bias, energy if index == 0 else F.silu(energy), weight)
        return torch.cat([*layers, moment, energy], dim=1)


@cache
def _loaded() -> tuple[CHGNetWeights, Tensor, Tensor, frozenset[int]]:
    """Weights, the linear layer of magnetic moments, and the elements trained on."""
    model = load_package_checkpoint(CHGNET_VERSION, torch.device("cpu"))
    state = model["state_dict"]
    weights = arrange_weights(state, model["model_args"], torch.float32)
    elements = CHGNetPotential(CHGNET_VERSION).elements
    return weights, state["site_wise.weight"].detach(), state["site_wise.bias"].detach(), elements


def _layer_features(w: CHGNetWeights, graph: CHGNetGraph, numbers: Tensor) -> list[Tensor]:
    """Atom features [N, 64] after each convolution, as `chgnet_forward.site_energies` goes through them."""
    n_short = max(len(graph.short), 1)
    lengths = graph.vectors.norm(dim=1)
    basis = _radial_basis(lengths, w.atom_frequencies, w.atom_cutoff, w.envelope_power)
    atom_weights = basis @ w.atom_weight
    short_vectors, short_lengths = graph.vectors[graph.short], lengths[graph.short]
    short_weights = _radial_basis(short_lengths, w.bond_frequencies, w.bond_cutoff, w.envelope_power) @ w.bond_weight
    bonds = basis[graph.short] @ w.bond_embedding
    update = torch.zeros_like(bonds)
    first = torch.cat([graph.angle_first, graph.angle_second])
    second = torch.cat([graph.angle_second, graph.angle_first])
    first_bond, second_bond = first % n_short, second % n_short
    directions = short_vectors / short_lengths[:, None]
    angle_basis = _angular_basis(torch.cat([directions, -directions]), graph, w.angle_frequencies)
    angles = (angle_basis @ w.angle_embedding).repeat(2, 1)
    pair_weights = short_weights[graph.angle_first % n_short] * short_weights[graph.angle_second % n_short]
    pair_weights = pair_weights.repeat(2, 1)

    atoms = F.embedding(numbers - 1, w.embedding)
    features = []
    for k, atom_layer in enumerate(w.atom_layers):
        atoms = _atom_convolution(atom_layer, atoms, basis, w.bond_embedding, update, atom_weights, graph)
        features.append(atoms)
        if k < len(w.bond_layers) and len(first):
            hidden = _angle_inputs(w.bond_layers[k], atoms, bonds + update, angles, graph, first, second_bond)
            messages = _gate(w.bond_layers[k], hidden) * pair_weights
            update = update + torch.zeros_like(bonds).index_add(0, first_bond, messages) @ w.bond_layers[k].out
            if k < len(w.angle_layers):
                hidden = _angle_inputs(w.angle_layers[k], atoms, bonds + update, angles, graph, first, second_bond)
                angles = angles + _gate(w.angle_layers[k], hidden)
    return features
