"""Smooth pair energies, fitted to the training labels before the network sees them: what it extrapolates from.

A network reverts to nothing where it has seen nothing. Trained on a molecule at 300 K it restores a bond stretched or
squeezed beyond what it saw too weakly, the farther the weaker, and the more so the longer it is trained. So each pair
of elements gets the sum of a few decaying exponentials of the distance,

    V(r) = sum_k c_k exp(-a_k (r/d - 1)) u(r),

with d the sum of the covalent radii and u a smooth cutoff at 2 d, the shapes that bonds (Morse 1929) and closed shells
(Born and Mayer 1932) have. Bonds and angles are in reach, torsions are not: how molecules fold, pairs do not say. The
coefficients follow forces and energies of training frames by least squares with a ridge, c in eV at the bond's length.
Elements that no frame holds bonded to each other get none, as what their far side says of closer contacts is arbitrary,
nor do pairs that would come out attractive far inside a bond. The network learns the rest, and where it falls silent,
pairs go on as pairs do.
"""

from collections.abc import Sequence

import torch
from ase.data import covalent_radii
from torch import Tensor, nn
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, collate
from potentials.neighbours import batch_neighbours, edge_vectors
from potentials.radial import polynomial_cutoff

DECAYS = (2.0, 4.0, 6.0, 8.0)  # a_k
REACH = 2.0  # of d
MOST_ELEMENTS = 16  # the least squares have 4 unknowns a pair of elements; of many elements most pairs are too rare
_BONDED = 1.3  # of the sum of covalent radii; nearer pairs are bonds
_RIDGE = 1e-4  # Å^-2: mean squared forces and squared coefficients are both energies squared
_ENERGY_WEIGHT = 10.0  # Å^-2; energies an atom spread by a tenth to a third of what forces do times 1 Å
_MOST_ATOMS = 20_000  # that the fit looks at
_WILD = 50.0  # eV/Å; frames with such a force are broken or nearly so, and must not decide by their squares
_CORE = (0.4, 0.5, 0.6, 0.7, 0.8)  # of d; a pair that pulls there would let atoms fall into each other, and gets none


class PairBaseline(nn.Module):
    """Half of each pair's energy for either atom; coefficients are constants, saved with the weights.

    Args:
        elements: atomic number of each species index.
        cutoff: Å, of the network; no pair reaches farther.
        dtype: of its arithmetic; default torch's.
    """

    def __init__(self, elements: Sequence[int], cutoff: float, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.cutoff = cutoff
        dtype = dtype or torch.get_default_dtype()
        radii = torch.tensor([float(covalent_radii[z]) for z in elements], dtype=dtype)
        self.register_buffer("numbers", torch.tensor(elements), persistent=False)
        self.register_buffer("radii", radii, persistent=False)
        self.register_buffer("decays", torch.tensor(DECAYS, dtype=dtype), persistent=False)
        self.register_buffer("coefficients", torch.zeros(len(elements), len(elements), len(DECAYS), dtype=dtype))
        self.numbers: Tensor
        self.radii: Tensor
        self.decays: Tensor
        self.coefficients: Tensor  # eV, symmetric in the species

    def forward(self, species: Tensor, centre: Tensor, neighbour: Tensor, lengths: Tensor) -> Tensor:
        """Atomic energies, eV [N].

        Args:
            species: element index of each atom [N].
            centre, neighbour: directed edges, both directions of each bond [E].
            lengths: bond lengths, Å [E].
        """
        first, second = species[centre], species[neighbour]
        pair = (self.coefficients[first, second] * self.shapes(first, second, lengths)).sum(1)
        return pair.new_zeros(species.shape[0]).index_add(0, centre, 0.5 * pair)

    def shapes(self, first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
        """The exponentials [E, decays] of pairs of species `first`, `second` [E] at `lengths`, Å [E]."""
        bonds = self.radii[first] + self.radii[second]
        ends = polynomial_cutoff(lengths / (REACH * bonds).clamp(max=self.cutoff))
        return torch.exp(-self.decays * (lengths / bonds - 1)[:, None]) * ends[:, None]

    def labels(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Energies [B] and forces [N, 3], and the energies of the atoms [N], of frames with neighbours; eV, eV/Å."""
        species, centre, neighbour, vectors = self._edges(batch)
        vectors.requires_grad_()
        with torch.enable_grad():
            sites = self(species, centre, neighbour, torch.linalg.vector_norm(vectors, dim=1))
            (pull,) = torch.autograd.grad(sites.sum(), vectors)
        forces = pull.new_zeros(len(species), 3).index_add(0, centre, pull).index_add(0, neighbour, -pull)
        energies = pull.new_zeros(batch.num_graphs).index_add(0, batch.batch, sites.detach())
        return energies.double(), forces.double(), sites.detach().double()

    def fit(self, frames: Sequence[AtomGraph]) -> None:
        """Choose the coefficients by the labels of frames with neighbours; of some of them where they are many.

        Least squares of force components f and of energies e an atom (of a frame, or of every atom where labels say),

            |f - A c|^2 / forces + weight |e - B c - references|^2 / energies + ridge |c|^2,

        with a reference energy an element that is fitted along and forgotten. Energies hardly move the pairs of one
        molecule; where atoms have more or fewer neighbours they say what a neighbour is worth.
        """
        pairs, unknowns = self._unknowns()
        kinds, count = len(self.radii), unknowns // len(DECAYS)
        bonded = torch.zeros(count, dtype=torch.bool)
        of_forces, of_energies = _Sums(unknowns), _Sums(unknowns + kinds)
        for frame in _some(frames):
            species, centre, neighbour, vectors = self._edges(collate([frame]))
            kind, lengths = pairs[species[centre], species[neighbour]], torch.linalg.vector_norm(vectors, dim=1)
            bonds = self.radii[species[centre]] + self.radii[species[neighbour]]
            bonded[kind[lengths < _BONDED * bonds]] = True
            shares, pulls = self._design(species, centre, neighbour, vectors, kind, count)
            of_forces.add(pulls, frame.forces.double().reshape(-1))
            rows = torch.cat([shares, nn.functional.one_hot(species, kinds).double()], dim=1)
            if "site_energies" in frame:
                of_energies.add(rows, frame.site_energies.double())
            else:
                of_energies.add(rows.mean(0, keepdim=True), frame.energy.double() / len(species))
        normal, right = (_ENERGY_WEIGHT * part / of_energies.rows for part in (of_energies.normal, of_energies.right))
        normal[:unknowns, :unknowns] += of_forces.normal / of_forces.rows
        right[:unknowns] += of_forces.right / of_forces.rows
        ridge = torch.full((unknowns + kinds,), _RIDGE).double()
        ridge[unknowns:] = 1e-8  # one molecule does not tell its elements apart
        while True:
            kept = torch.cat([bonded.repeat_interleave(len(DECAYS)), torch.ones(kinds, dtype=torch.bool)]).double()
            found = torch.linalg.solve(normal * kept * kept[:, None] + torch.diag(ridge), right * kept)
            coefficients = found[:unknowns].view(count, len(DECAYS))
            pulling = bonded & ~_repels(coefficients)
            if not pulling.any():
                break
            bonded &= ~pulling
        self.coefficients.copy_(coefficients[pairs])

    def _unknowns(self) -> tuple[Tensor, int]:
        """Place of each pair of species among the pairs [S, S], and how many coefficients all of them have."""
        kinds = len(self.radii)
        upper = torch.triu_indices(kinds, kinds)
        pairs = torch.zeros(kinds, kinds, dtype=torch.int64)
        pairs[upper[0], upper[1]] = pairs[upper[1], upper[0]] = torch.arange(upper.shape[1])
        return pairs, upper.shape[1] * len(DECAYS)

    def _edges(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Species [N], centres and neighbours [E] and vectors, Å [E, 3], of frames that carry their neighbours."""
        centre, neighbour = batch.edge_index
        vectors = edge_vectors(batch, batch_neighbours(batch))
        return torch.searchsorted(self.numbers, batch.numbers), centre, neighbour, vectors.detach().to(self.radii)

    def _design(
        self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor, kind: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """What a coefficient of 1 eV gives: atoms' energies, eV [N, unknowns], and forces, eV/Å [3 N, unknowns].

        `kind` [E] says which of `count` pairs an edge is of.
        """
        lengths = torch.linalg.vector_norm(vectors, dim=1).requires_grad_()
        with torch.enable_grad():
            shapes = self.shapes(species[centre], species[neighbour], lengths)
            slopes = [
                torch.autograd.grad(shapes[:, k].sum(), lengths, retain_graph=True)[0] for k in range(len(DECAYS))
            ]
        along = vectors / lengths.detach()[:, None]
        places, atoms = centre * count + kind, len(species)
        pulls = along[:, :, None] * torch.stack(slopes, 1)[:, None]  # on the centre [E, 3, decays]
        pulls = pulls.new_zeros(atoms * count, 3, len(DECAYS)).index_add(0, places, pulls)
        pulls = pulls.view(atoms, count, 3, len(DECAYS)).transpose(1, 2).reshape(3 * atoms, -1)
        shares = shapes.new_zeros(atoms * count, len(DECAYS)).index_add(0, places, 0.5 * shapes.detach())
        return shares.view(atoms, -1).double(), pulls.double()


def _some(frames: Sequence[AtomGraph]) -> list[AtomGraph]:
    """Evenly of all frames, of so many atoms that more say no more; without those whose forces are wild."""
    tame = [frame for frame in frames if float(frame.forces.abs().amax()) <= _WILD] or list(frames)
    return tame[:: max(1, round(sum(len(frame.numbers) for frame in tame) / _MOST_ATOMS))]


def _repels(coefficients: Tensor) -> Tensor:
    """Whether each pair [pairs, decays] drives atoms apart that are much nearer than a bond."""
    scaled = torch.tensor(_CORE, dtype=coefficients.dtype)[:, None] - 1
    energies = coefficients @ torch.exp(-torch.tensor(DECAYS, dtype=coefficients.dtype) * scaled).T
    return (energies.diff(dim=1) < 0).all(1)


class _Sums:
    """Normal equations of a least-squares problem whose rows come in parts."""

    def __init__(self, unknowns: int) -> None:
        self.normal = torch.zeros(unknowns, unknowns, dtype=torch.float64)
        self.right = torch.zeros(unknowns, dtype=torch.float64)
        self.rows = 0

    def add(self, design: Tensor, target: Tensor) -> None:
        """Rows [R, unknowns] and what they shall come to [R]."""
        self.normal += design.T @ design
        self.right += design.T @ target
        self.rows += len(target)
