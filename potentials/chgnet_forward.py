"""CHGNet's energy, evaluated with its own weights but laid out for speed.

The published network (Deng et al., Nature Machine Intelligence 5, 1031 (2023), eqs 3-8) applies gated perceptrons to
concatenations such as [centre, bond, neighbour]. A linear layer on a concatenation is a sum of linear
layers, so each part is multiplied where it lives - once an atom, once a bond - and only the sums are
formed per directed bond or angle. Mirror images (two directions of a bond, two orders of an angle)
share what is symmetric, bonds beyond the angle cut-off skip the bond update they never feel, and the last
angle update, which nothing reads, is left out. Results agree with the package to rounding.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from potentials.chgnet_graph import CHGNetGraph

_WIDTH = 64  # feature width of every published CHGNet


class _GatedLayer(NamedTuple):
    """A gated perceptron silu(LN(core)) * sigmoid(LN(gate)), core and gate side by side in the first layer."""

    parts: tuple[Tensor, ...]  # first layer, one [64, 128] matrix for each concatenated input
    bias: Tensor  # [128]
    core: tuple[Tensor, Tensor] | None  # second layer [64, 64] and [64]; None where there is none
    gate: tuple[Tensor, Tensor] | None
    core_norm: tuple[Tensor, Tensor]
    gate_norm: tuple[Tensor, Tensor]
    out: Tensor  # [64, 64], applied to the summed messages; empty where nothing is summed


class CHGNetWeights(NamedTuple):
    """The published state dictionary, rearranged once when a model is loaded."""

    reference: Tensor  # [94] eV, energy of each element in the composition model, float64
    embedding: Tensor  # [94, 64]
    atom_frequencies: Tensor  # [R] radial basis of the atom graph
    bond_frequencies: Tensor  # [R] radial basis of the bond graph
    angle_frequencies: Tensor  # [K]
    bond_embedding: Tensor  # [R, 64]
    atom_weight: Tensor  # [R, 64] radial basis to message weights
    bond_weight: Tensor  # [R, 64]
    angle_embedding: Tensor  # [2K + 1, 64]
    atom_layers: tuple[_GatedLayer, ...]  # inputs centre, bond, neighbour
    bond_layers: tuple[_GatedLayer, ...]  # inputs bond i, bond j, angle, centre
    angle_layers: tuple[_GatedLayer, ...]  # the same inputs
    readout_norm: tuple[Tensor, Tensor]
    readout: tuple[tuple[Tensor, Tensor], ...]
    atom_cutoff: float  # Å
    bond_cutoff: float  # Å
    envelope_power: float


def arrange_weights(state: Mapping[str, Tensor], args: Mapping[str, Any], dtype: torch.dtype) -> CHGNetWeights:
    """Rearrange a CHGNet state dictionary.

    Raises:
        KeyError, ValueError: the dictionary is not of the layout of versions 0.3.0 and r2scan.
    """
    if args.get("gMLP_norm") != "layer" or args.get("readout_norm") != "layer" or not args.get("mlp_first"):
        raise ValueError("only CHGNet layouts with layer norms and site energies are supported (0.3.0, r2scan)")

    def get(name: str) -> Tensor:
        return state[name].detach().to(dtype)

    def linear(name: str) -> tuple[Tensor, Tensor]:
        return get(f"{name}.weight").T.contiguous(), get(f"{name}.bias")

    def norm(name: str) -> tuple[Tensor, Tensor]:
        return get(f"{name}.weight"), get(f"{name}.bias")

    def gated(name: str, mlp: str, *, two_layers: bool) -> _GatedLayer:
        first = "layers.0" if two_layers else "layers.1"  # a single layer comes after its dropout
        core, gate = linear(f"{name}.{mlp}.mlp_core.{first}"), linear(f"{name}.{mlp}.mlp_gate.{first}")
        weight = torch.cat([core[0], gate[0]], dim=1)  # [inputs * 64, 128]
        return _GatedLayer(
            parts=tuple(part.contiguous() for part in weight.split(_WIDTH)),
            bias=torch.cat([core[1], gate[1]]),
            core=linear(f"{name}.{mlp}.mlp_core.layers.3") if two_layers else None,
            gate=linear(f"{name}.{mlp}.mlp_gate.layers.3") if two_layers else None,
            core_norm=norm(f"{name}.{mlp}.bn1"),
            gate_norm=norm(f"{name}.{mlp}.bn2"),
            out=get(f"{name}.mlp_out.layers.1.weight").T.contiguous() if two_layers else torch.empty(0),
        )

    n_layers = int(args["n_conv"])
    atom_cutoff, bond_cutoff = float(args["atom_graph_cutoff"]), float(args["bond_graph_cutoff"])
    radial = "bond_basis_expansion.rbf_expansion"
    return CHGNetWeights(
        reference=state["composition_model.fc.weight"].detach().double().view(-1),
        embedding=get("atom_embedding.embedding.weight"),
        atom_frequencies=get(f"{radial}_ag.frequencies"),
        bond_frequencies=get(f"{radial}_bg.frequencies"),
        angle_frequencies=get("angle_basis_expansion.fourier_expansion.frequencies"),
        bond_embedding=get("bond_embedding.weight").T.contiguous(),
        atom_weight=get("bond_weights_ag.weight").T.contiguous(),
        bond_weight=get("bond_weights_bg.weight").T.contiguous(),
        angle_embedding=get("angle_embedding.weight").T.contiguous(),
        atom_layers=tuple(gated(f"atom_conv_layers.{k}", "twoBody_atom", two_layers=True) for k in range(n_layers)),
        bond_layers=tuple(gated(f"bond_conv_layers.{k}", "twoBody_bond", two_layers=True) for k in range(n_layers - 1)),
        # The update after the last bond convolution is read by nothing.
        angle_layers=tuple(gated(f"angle_layers.{k}", "twoBody_bond", two_layers=False) for k in range(n_layers - 2)),
        readout_norm=norm("readout_norm"),
        readout=tuple(linear(name) for name in _readout_names(state)),
        atom_cutoff=atom_cutoff,
        bond_cutoff=bond_cutoff,
        envelope_power=float(args["cutoff_coeff"]),
    )


def _readout_names(state: Mapping[str, Tensor]) -> list[str]:
    keys = [key for key in state if key.startswith("mlp.layers.") and key.endswith(".weight")]
    return [f"mlp.layers.{index}" for index in sorted(int(key.split(".")[2]) for key in keys)]


def site_energies(weights: CHGNetWeights, graph: CHGNetGraph, vectors: Tensor, numbers: Tensor) -> Tensor:
    """Energy of each atom without its element reference, eV [N]; differentiable in `vectors` [U, 3]."""
    return read_energies(weights, layer_features(weights, graph, vectors, numbers)[-1])


def read_energies(weights: CHGNetWeights, atoms: Tensor) -> Tensor:
    """Energies of atoms [N] from their features [N, 64] after the last layer, without references, eV."""
    features = F.layer_norm(atoms, (_WIDTH,), *weights.readout_norm)
    for index, (weight, bias) in enumerate(weights.readout):
        features = torch.addmm(bias, features if index == 0 else F.silu(features), weight)
    return features[:, 0]


def layer_features(weights: CHGNetWeights, graph: CHGNetGraph, vectors: Tensor, numbers: Tensor) -> list[Tensor]:
    """Features [N, 64] of the atoms after each atom convolution; differentiable in `vectors` [U, 3]."""
    w = weights
    n_short = max(len(graph.short), 1)
    lengths = vectors.norm(dim=1)
    basis = _radial_basis(lengths, w.atom_frequencies, w.atom_cutoff, w.envelope_power)  # [U, R]
    atom_weights = basis @ w.atom_weight  # [U, 64]
    atoms = F.embedding(numbers - 1, w.embedding)  # [N, 64]

    short_vectors, short_lengths = vectors[graph.short], lengths[graph.short]
    short_weights = _radial_basis(short_lengths, w.bond_frequencies, w.bond_cutoff, w.envelope_power) @ w.bond_weight
    bonds = basis[graph.short] @ w.bond_embedding  # [S, 64], only short bonds are ever updated
    update = torch.zeros_like(bonds)  # what the layers have added to `bonds` so far

    # Each angle is listed twice, once with either bond first; the second half mirrors the first.
    first = torch.cat([graph.angle_first, graph.angle_second])  # [2H] directed short bonds
    second = torch.cat([graph.angle_second, graph.angle_first])
    first_bond, second_bond = first % n_short, second % n_short
    directions = short_vectors / short_lengths[:, None]
    basis_half = _angular_basis(torch.cat([directions, -directions]), graph, w.angle_frequencies)  # [H, 2K + 1]
    angles = (basis_half @ w.angle_embedding).repeat(2, 1)  # [2H, 64]
    pair_weights = short_weights[graph.angle_first % n_short] * short_weights[graph.angle_second % n_short]
    pair_weights = pair_weights.repeat(2, 1)

    layers = []
    for k, atom_layer in enumerate(w.atom_layers):
        atoms = _atom_convolution(atom_layer, atoms, basis, w.bond_embedding, update, atom_weights, graph)
        layers.append(atoms)
        if k < len(w.bond_layers) and len(first):
            layer = w.bond_layers[k]
            hidden = _angle_inputs(layer, atoms, bonds + update, angles, graph, first, second_bond)
            messages = _gate(layer, hidden) * pair_weights
            summed = torch.zeros_like(bonds).index_add(0, first_bond, messages)
            update = update + summed @ layer.out
            if k < len(w.angle_layers):
                layer = w.angle_layers[k]
                hidden = _angle_inputs(layer, atoms, bonds + update, angles, graph, first, second_bond)
                angles = angles + _gate(layer, hidden)
    return layers


def _atom_convolution(
    layer: _GatedLayer,
    atoms: Tensor,
    basis: Tensor,
    embedding: Tensor,
    update: Tensor,
    atom_weights: Tensor,
    graph: CHGNetGraph,
) -> Tensor:
    """Sum of gated messages over the neighbours of every atom, added to the atom. (eq 5)"""
    centre_part, bond_part, neighbour_part = layer.parts
    bond_term = basis @ (embedding @ bond_part)  # [U, 128]
    bond_term = bond_term.index_add(0, graph.short, update @ bond_part)
    hidden = torch.addmm(layer.bias, atoms, centre_part).index_select(0, graph.centre)  # [2U, 128]
    hidden = hidden + (atoms @ neighbour_part).index_select(0, graph.neighbour)
    hidden = hidden.view(2, *bond_term.shape) + bond_term  # both directions of a bond share its features
    messages = _gate(layer, hidden.view(-1, 2 * _WIDTH)).view(2, *atom_weights.shape) * atom_weights
    summed = torch.zeros_like(atoms).index_add(0, graph.centre, messages.view(-1, _WIDTH))
    return atoms + summed @ layer.out


def _angle_inputs(
    layer: _GatedLayer, atoms: Tensor, bonds: Tensor, angles: Tensor, graph: CHGNetGraph, first: Tensor, second: Tensor
) -> Tensor:
    """First linear layer on [bond i, bond j, angle, centre], [2H, 128]. (eqs 6, 7)"""
    part_i, part_j, part_angle, part_centre = layer.parts
    centre = torch.addmm(layer.bias, atoms, part_centre).index_select(0, graph.short_centre)  # [2S, 128]
    directed = centre + (bonds @ part_i).repeat(2, 1)
    hidden = directed.index_select(0, first) + (bonds @ part_j).index_select(0, second)
    return torch.addmm(hidden, angles, part_angle)


def _gate(layer: _GatedLayer, hidden: Tensor) -> Tensor:
    """silu(LN(core)) * sigmoid(LN(gate)) of both halves of `hidden` [M, 128], after their second layers. (eq 4)"""
    if layer.core is not None and layer.gate is not None:
        hidden = F.silu(hidden)
        core = torch.addmm(layer.core[1], hidden[:, :_WIDTH], layer.core[0])
        gate = torch.addmm(layer.gate[1], hidden[:, _WIDTH:], layer.gate[0])
    else:
        core, gate = hidden[:, :_WIDTH], hidden[:, _WIDTH:]
    core = F.layer_norm(core, (_WIDTH,), *layer.core_norm)
    gate = F.layer_norm(gate, (_WIDTH,), *layer.gate_norm)
    return F.silu(core) * torch.sigmoid(gate)


def _radial_basis(lengths: Tensor, frequencies: Tensor, cutoff: float, power: float) -> Tensor:
    """Bessel functions times a polynomial envelope that vanishes at the cut-off, [M, R]. (eq 1)"""
    x = lengths / cutoff
    a, b, c = -(power + 1) * (power + 2) / 2, power * (power + 2), -power * (power + 1) / 2
    envelope = 1 + a * x**power + b * x ** (power + 1) + c * x ** (power + 2)
    scale = torch.where(x < 1, envelope, torch.zeros_like(x)) / lengths
    return torch.sin(frequencies * (lengths * (1 / cutoff))[:, None]) * (math.sqrt(2 / cutoff) * scale)[:, None]


def _angular_basis(directions: Tensor, graph: CHGNetGraph, frequencies: Tensor) -> Tensor:
    """Fourier series of the angle between two directed short bonds, [H, 2K + 1]. (eq 2)"""
    cosine = (directions[graph.angle_first] * directions[graph.angle_second]).sum(1)
    angle = torch.acos(cosine * (1 - 1e-6))  # the published network's own guard against cos = 1
    phase = angle[:, None] * frequencies
    constant = torch.full_like(cosine, 1 / math.sqrt(2))[:, None]
    return torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1) / math.sqrt(math.pi)
