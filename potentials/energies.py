"""Energies alone: a forward pass without the gradient that forces need, for the potentials that can."""

import copy

import torch
from torch import Tensor
from torch_geometric.data import Batch

from potentials.potential import Potential


def batch_energies(potential: Potential, batch: Batch) -> Tensor:
    """Total energies [B], eV, float64, of a collated batch.

    CHGNet (`chgnet-fast`) and trained networks run forward only, about a third of the work of energies with forces; any
    other potential is called as it is.

    Raises:
        InputError: an element the potential does not know.
        GeometryError: a cell or position no neighbour list may see.
    """
    from potentials.chgnet_potential import CHGNetPotential
    from potentials.network_potential import NetworkPotential

    with torch.no_grad():
        if isinstance(potential, CHGNetPotential):
            return _chgnet_energies(potential, batch)
        if isinstance(potential, NetworkPotential):
            return _network_energies(potential, batch)
    return potential(batch, stress=False)["energy"].double().cpu()


def _chgnet_energies(potential: Potential, batch: Batch) -> Tensor:
    from potentials.chgnet_forward import site_energies
    from potentials.chgnet_graph import build_graph
    from potentials.chgnet_potential import CHGNetPotential, check_elements

    assert isinstance(potential, CHGNetPotential)
    batch = copy.copy(batch).to(potential.device)
    check_elements(batch, potential.elements, potential.name)
    weights = potential.weights
    graph = build_graph(batch, potential._pairs, weights.bond_cutoff, potential.dtype)
    sites = site_energies(weights, graph, graph.vectors, batch.numbers).double()
    sites = sites + weights.reference[batch.numbers - 1]
    return sites.new_zeros(batch.num_graphs).index_add_(0, batch.batch, sites).cpu()


def _network_energies(potential: Potential, batch: Batch) -> Tensor:
    from potentials.neighbours import edge_vectors, neighbour_list
    from potentials.network_potential import NetworkPotential

    assert isinstance(potential, NetworkPotential)
    model = potential.model
    batch = copy.copy(batch).to(model.factors.device)
    neighbours = neighbour_list(batch, model.config.cutoff)
    vectors = edge_vectors(batch, neighbours).to(model.dtype)
    species = model.species(batch.numbers)
    centre, neighbour = neighbours.edge_index
    sites, features = model.energies_and_features(species, centre, neighbour, vectors)
    offsets = torch.tensor(list(model.reference_energies.values()), dtype=torch.float64, device=sites.device)
    sites = sites.double() + offsets[species]
    energies = sites.new_zeros(batch.num_graphs).index_add_(0, batch.batch, sites)
    if model.long_range is not None:
        energies = energies + model.long_range(features, species, batch)[0]
    return energies.cpu()
