"""Energy of molecules put into a crystal, one at a time: only what feels the molecule is evaluated again.

A network with cutoff c passes what a molecule changes at most c further a layer. So layer k needs new features only
for the host atoms within k c of the molecule; their densities differ from those of the empty host, kept from one
evaluation, by the edges from atoms that changed; everything else cancels in E(host + molecule) - E(host). The result
is that of the whole crystal up to rounding, for one molecule in an infinite host: no supercell is needed to keep it
from its images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import vesin
from torch import Tensor

from potentials.density import edge_layout
from potentials.energies import batch_energies
from potentials.errors import InputError
from potentials.network import Interaction
from potentials.network_potential import EnergyModel, NetworkPotential


@dataclass(frozen=True)
class HostState:
    """An empty crystal as the network sees it. Atoms are told as (atom of the cell, image)."""

    model: EnergyModel
    positions: np.ndarray  # [n, 3] Å
    cell: np.ndarray  # [3, 3] Å
    species: Tensor  # [n]
    features: tuple[list[Tensor], ...]  # before each layer and after the last: one [n, 2l + 1, C] a degree
    densities: tuple[list[Tensor], ...]  # of each layer, one [n, 2l + 1, C] a degree, not scaled
    energies: tuple[Tensor, ...]  # of each layer [n], in units of the network
    bonds: tuple[
        np.ndarray, np.ndarray, np.ndarray, np.ndarray
    ]  # row starts [n + 1], neighbour, image, vector of edges


@dataclass(frozen=True)
class _Edges:
    centre: Tensor  # [E] rows of the nodes
    neighbour: Tensor  # [E]
    vectors: Tensor  # [E, 3] Å


class _WithDensity:
    """A layer whose density is already known: everything after it is the layer's own."""

    def __init__(self, layer: Interaction, density: list[Tensor]) -> None:
        self._layer, self._known = layer, density

    def _density(self, *_: Any) -> list[Tensor]:
        return self._known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def host_state(potential: NetworkPotential, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray) -> HostState:
    """Evaluate the empty crystal once.

    Args:
        potential: a trained network.
        numbers: [n].
        positions: [n, 3] Å.
        cell: rows are lattice vectors, Å.

    Raises:
        InputError: an element the network never saw, or a potential that is not `local`.
    """
    if not potential.local:
        raise InputError(
            f"{potential.name} has long-range charges, a limit of free atoms or an architecture without layers of "
            "densities: insertions need the whole box, evaluate host and molecule together"
        )
    model = potential.model
    network, cutoff = model.network, model.config.cutoff
    finder = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    centre, neighbour, images, vectors = finder.compute(positions, cell, True, "ijSD")
    order = np.argsort(centre, kind="stable")
    centre, neighbour = centre[order].astype(np.int64), neighbour[order].astype(np.int64)
    images, vectors = images[order], vectors[order]
    with torch.no_grad():
        species = model.species(torch.from_numpy(np.asarray(numbers)).long())
        edges = _Edges(torch.from_numpy(centre), torch.from_numpy(neighbour), torch.from_numpy(vectors).to(model.dtype))
        state = [network.embedding[species][:, None, :]]
        features, densities, energies = [state], [], []
        for layer in network.layers:
            assert isinstance(layer, Interaction)
            density = _densities(model, layer, state, edges, len(species))
            state, energy = _layer(layer, state, species, density)
            features.append(state)
            densities.append(density)
            energies.append(energy)
    starts = np.searchsorted(centre, np.arange(len(species) + 1))
    bonds = (starts, neighbour, images.astype(np.int64), vectors)
    return HostState(
        model, positions, np.asarray(cell, float), species, tuple(features), tuple(densities), tuple(energies), bonds
    )


def insertion_energies(host: HostState, numbers: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """E(host + molecule) - E(host) - E(molecule alone) for each of B placements, eV [B], in one batch.

    Args:
        host: the empty crystal.
        numbers: atomic numbers of the molecule [m].
        sites: its atoms in each placement, Å [B, m, 3]; anywhere in space. The molecule is rigid.

    Raises:
        InputError: an element the network never saw.
    """
    model = host.model
    n_placed, n_guest = sites.shape[:2]
    n_guests = n_placed * n_guest
    with torch.no_grad():
        guest_species = model.species(torch.from_numpy(np.asarray(numbers)).long())
        contacts = _contacts(host, sites)
        total = _pair_energies(host, guest_species, contacts, n_placed)
        inner = _inner_bonds(sites, model.config.cutoff)
        species = guest_species.repeat(n_placed)
        guests = [model.network.embedding[species][:, None, :]]  # features of the molecules' atoms, [B m, 1, C]
        changed = np.empty(0, dtype=np.int64)  # codes of the host atoms that the layer before changed, ascending
        new: list[Tensor] = []  # their features
        for number, layer in enumerate(model.network.layers):
            assert isinstance(layer, Interaction)
            rows, edges = _affected(host, contacts, inner, changed, n_guests)
            atoms = torch.from_numpy(rows % len(host.species))
            before = [part[atoms] for part in host.features[number]]  # in the empty host, [R, 2l + 1, C]
            current = before
            if new:
                where = np.minimum(np.searchsorted(changed, rows), len(changed) - 1)
                has = torch.from_numpy(changed[where] == rows)[:, None, None]
                current = [
                    torch.where(has, n[torch.from_numpy(where)], old) for n, old in zip(new, before, strict=True)
                ]
            deltas = [now - old for now, old in zip(current, before, strict=True)]
            # nodes: the molecules, what changed as receivers and as senders of the change, the same as it is now
            nodes = [torch.cat(parts) for parts in zip(guests, deltas, current, strict=True)]
            density = _densities(model, layer, nodes, edges, len(nodes[0]))
            kept = [torch.cat([d.new_zeros(n_guests, *d.shape[1:]), d[atoms]]) for d in host.densities[number]]
            density = [part[: len(k)] + k for part, k in zip(density, kept, strict=True)]
            state = [torch.cat(parts) for parts in zip(guests, current, strict=True)]
            row_species = torch.cat([species, host.species[atoms]])
            state, energy = _layer(layer, state, row_species, density)
            energy = energy - torch.cat([energy.new_zeros(n_guests), host.energies[number][atoms]])
            energy = energy * model.factors[row_species] * model.energy_scale
            placed = torch.arange(n_placed).repeat_interleave(n_guest)
            placed = torch.cat([placed, torch.from_numpy(_placement(host, rows))])
            total.index_add_(0, placed, energy.double())
            guests, new, changed = [part[:n_guests] for part in state], [part[n_guests:] for part in state], rows
        return np.asarray((total - _alone(host, numbers, sites[0])).numpy())


@dataclass(frozen=True)
class _Contacts:
    """Pairs of a molecule's atom and a host atom within the cutoff, all placements."""

    guest: np.ndarray  # [P] atom of the molecules, counted through all placements
    code: np.ndarray  # [P] host atom: placement, image and atom of the cell in one number
    vector: np.ndarray  # [P, 3] Å, from the molecule's atom to the host's


_IMAGES = 512  # images are told apart along each axis within this many cells


def _encode(placement: np.ndarray, image: np.ndarray, atom: np.ndarray, n_atoms: int) -> np.ndarray:
    code = placement
    for axis in range(3):
        code = code * _IMAGES + image[:, axis] + _IMAGES // 2
    return np.asarray(code * n_atoms + atom)


def _placement(host: HostState, code: np.ndarray) -> np.ndarray:
    return np.asarray(code // len(host.species) // _IMAGES**3)


def _contacts(host: HostState, sites: np.ndarray) -> _Contacts:
    """Host atoms, images included, within the cutoff of the molecules' atoms [B, m, 3]."""
    cutoff = host.model.config.cutoff
    n_guest = sites.shape[1]
    inverse = np.linalg.inv(host.cell)
    margin = np.ceil(cutoff * np.linalg.norm(inverse, axis=0)).astype(int)  # cells
    fractional = host.positions @ inverse
    home = np.floor(fractional).astype(int)  # cell an atom lies in
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in margin), indexing="ij")
    shifts = np.stack(grid, axis=-1).reshape(-1, 3)
    images = ((fractional - home)[None] + shifts[:, None]) @ host.cell  # around the cell at the origin, [S, n, 3]
    flat = sites.reshape(-1, 3)
    cell_of = np.floor(flat @ inverse).astype(int)
    wrapped = flat - cell_of @ host.cell
    guest, code, vector = [], [], []
    for index, point in enumerate(wrapped):
        vectors = images - point
        shift, atom = np.nonzero((vectors**2).sum(axis=-1) < cutoff**2)
        image = shifts[shift] - home[atom] + cell_of[index]
        placement = np.full(len(atom), index // n_guest, dtype=np.int64)
        guest.append(np.full(len(atom), index, dtype=np.int64))
        code.append(_encode(placement, image, atom, len(host.positions)))
        vector.append(vectors[shift, atom])
    return _Contacts(np.concatenate(guest), np.concatenate(code), np.concatenate(vector))


def _inner_bonds(sites: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed edges inside the molecules: centre, neighbour (counted through all placements), vector."""
    n_placed, n_guest = sites.shape[:2]
    i, j = np.nonzero(~np.eye(n_guest, dtype=bool))
    first = (np.arange(n_placed)[:, None] * n_guest + i).reshape(-1)
    second = (np.arange(n_placed)[:, None] * n_guest + j).reshape(-1)
    vectors = sites.reshape(-1, 3)[second] - sites.reshape(-1, 3)[first]
    near = (vectors**2).sum(axis=1) < cutoff**2
    return first[near], second[near], vectors[near]


def _affected(
    host: HostState,
    contacts: _Contacts,
    inner: tuple[np.ndarray, np.ndarray, np.ndarray],
    changed: np.ndarray,
    n_guests: int,
) -> tuple[np.ndarray, _Edges]:
    """Host atoms that a layer changes (codes, ascending), and the edges that change them or reach the molecules.

    Nodes: atoms of the molecules; rows as receivers and as senders of their change; rows as they are now.
    """
    starts, neighbours, images, vectors = host.bonds
    n_atoms = len(host.species)
    atom = changed % n_atoms
    # whom a changed atom sees, sees it: the bond list is symmetric
    counts = starts[atom + 1] - starts[atom]
    source = np.repeat(np.arange(len(changed)), counts)
    edge = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts[atom], counts)
    others = _shifted(changed[source], images[edge], neighbours[edge], n_atoms)
    rows = np.unique(np.concatenate([contacts.code, changed, others]))

    row_of_contact = np.searchsorted(rows, contacts.code)
    centre = [np.searchsorted(rows, others) + n_guests, row_of_contact + n_guests, contacts.guest, inner[0]]
    sender = [
        np.searchsorted(rows, changed[source]) + n_guests,  # what changed there
        contacts.guest,
        row_of_contact + n_guests + len(rows),  # as it is now
        inner[1],
    ]
    along = [-vectors[edge], -contacts.vector, contacts.vector, inner[2]]
    return rows, _Edges(
        torch.from_numpy(np.concatenate(centre)),
        torch.from_numpy(np.concatenate(sender)),
        torch.from_numpy(np.concatenate(along)).to(host.model.dtype),
    )


def _shifted(code: np.ndarray, image: np.ndarray, atom: np.ndarray, n_atoms: int) -> np.ndarray:
    """Code of another atom of the cell, `image` cells further on."""
    step = (image[:, 0] * _IMAGES + image[:, 1]) * _IMAGES + image[:, 2]
    return np.asarray((code // n_atoms + step) * n_atoms + atom)


def _densities(
    model: EnergyModel, layer: Interaction, state: list[Tensor], edges: _Edges, n_nodes: int
) -> list[Tensor]:
    """Density of every node from the edges given, one [n_nodes, 2l + 1, C] a degree, not scaled."""
    layout = edge_layout(edges.centre, edges.neighbour, n_nodes)
    vectors = layout.spread(edges.vectors, edges.vectors.new_tensor([0.0, 0.0, 2 * model.config.cutoff]))
    basis = model.network.basis(torch.linalg.vector_norm(vectors, dim=1))
    harmonics = model.network.harmonics(vectors)
    density = layer._density([part[layout.order] for part in state], basis, harmonics, layout)
    return [part[layout.inverse] for part in density]


def _layer(
    layer: Interaction, state: list[Tensor], species: Tensor, density: list[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """What a layer makes of a density: new features and energies."""
    known: Any = _WithDensity(layer, density)
    empty: Any = None
    return Interaction.forward(known, state, species, empty, empty, empty)


def _pair_energies(host: HostState, guest_species: Tensor, contacts: _Contacts, n_placed: int) -> Tensor:
    """Pair energies between molecule and host, both halves of each pair, eV [B]."""
    model = host.model
    total = torch.zeros(n_placed, dtype=torch.float64)
    if not model.pair_terms or len(contacts.guest) == 0:
        return total
    guests = torch.from_numpy(contacts.guest)
    atoms = host.species[torch.from_numpy(contacts.code % len(host.species))]
    species = torch.cat([guest_species[guests % len(guest_species)], atoms])
    lengths = torch.from_numpy(np.linalg.norm(contacts.vector, axis=1)).to(model.dtype)
    pairs = torch.arange(len(guests))
    first, second = torch.cat([pairs, pairs + len(pairs)]), torch.cat([pairs + len(pairs), pairs])
    energy = model.pair_energies(species, first, second, torch.cat([lengths, lengths])).double()
    return total.index_add(0, torch.from_numpy(_placement(host, contacts.code)).repeat(2), energy)


def _alone(host: HostState, numbers: np.ndarray, sites: np.ndarray) -> float:
    """Energy of the molecule in empty space without its reference energies, eV."""
    from potentials.atom_graph import collate, make_graph

    potential = NetworkPotential(host.model)
    energy = float(batch_energies(potential, collate([make_graph(numbers, sites)]))[0])
    alone = energy - sum(host.model.reference_energies[int(z)] for z in numbers)
    if host.model.pair_terms:  # between its own atoms: not part of `insertion_energies`' total
        graph = collate([make_graph(numbers, sites)])
        from potentials.neighbours import edge_vectors, neighbour_list

        found = neighbour_list(graph, host.model.config.cutoff)
        lengths = torch.linalg.vector_norm(edge_vectors(graph, found).to(host.model.dtype), dim=1)
        species = host.model.species(graph.numbers)
        centre, neighbour = found.edge_index
        alone -= float(host.model.pair_energies(species, centre, neighbour, lengths).double().sum())
    return alone
