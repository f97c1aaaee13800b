"""The trained network as a potential: reference and pair energies added, forces and stress derived."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn
from torch_geometric.data import Batch

from potentials.dissociation import DissociationLimit
from potentials.errors import InputError
from potentials.long_range import LongRange, LongRangeConfig
from potentials.neighbours import Neighbours, VerletList, edge_vectors, neighbour_list
from potentials.network import EquivariantNetwork, NetworkConfig
from potentials.pair_baseline import PairBaseline
from potentials.plain_network import PlainNetwork
from potentials.potential import PotentialOutput
from potentials.zbl import REACH, ZBLRepulsion


class EnergyModel(nn.Module):
    """Total energies with forces and stresses, in eV and Å: what is trained and what is saved.

    E = sum_i [ e(z_i) + s f(z_i) network_i + pairs_i + ZBL_i ] + E_charges, with reference energies e (added in
    float64, so that all-electron totals of 10^4 eV keep their meV), one energy scale s (the root mean square of the
    forces that the network is to learn) and learned factors f. Where energies of free atoms are known, what the network
    says fades to them (`potentials.dissociation`).

    Args:
        config: shape of the network.
        reference_energies: eV of each atomic number the model knows.
        energy_scale: s, eV.
        zbl: add the core repulsion of `potentials.zbl`.
        dtype: of weights and arithmetic. Chosen here, not by `.double()`: constants are then exact in it.
        long_range: add charges and their electrostatic energy (`potentials.long_range`).
        free_atoms: by how much a free atom's energy lies above the reference energy, eV, where that is known.
        zbl_reach: where the core repulsion ends, of the sum of covalent radii.
        pair_baseline: add the pair energies of `potentials.pair_baseline`, which are nothing until they are fitted.
    """

    def __init__(
        self,
        config: NetworkConfig,
        reference_energies: Mapping[int, float],
        energy_scale: float = 1.0,
        zbl: bool = False,
        dtype: torch.dtype = torch.float32,
        long_range: LongRangeConfig | None = None,
        free_atoms: Mapping[int, float] | None = None,
        zbl_reach: float = REACH,
        pair_baseline: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.elements = tuple(sorted(reference_energies))
        with default_dtype(dtype):
            architecture = PlainNetwork if config.architecture == "plain" else EquivariantNetwork
            self.network: EquivariantNetwork | PlainNetwork = architecture(config, len(self.elements))
            self.factors = nn.Parameter(torch.ones(len(self.elements)))
            self.repulsion = ZBLRepulsion(self.elements, config.cutoff, zbl_reach) if zbl else None
            self.pair_baseline = PairBaseline(self.elements, config.cutoff) if pair_baseline else None
            width = config.channels if config.architecture == "plain" else config.carried[0]
            self.long_range = LongRange(long_range, width, self.elements) if long_range else None
            self.dissociation: DissociationLimit | None = None
            self.know_free_atoms(free_atoms or {})
        self.energy_scale = float(energy_scale)
        self.reference_energies = {z: float(reference_energies[z]) for z in self.elements}
        lookup = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        lookup[list(self.elements)] = torch.arange(len(self.elements))
        self.register_buffer("species_of", lookup, persistent=False)
        self.species_of: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights and of the forces."""
        return self.factors.dtype

    @property
    def free_atoms(self) -> dict[int, float]:
        """By how much free atoms lie above the reference energies, eV, for the elements of which it knows."""
        return self.dissociation.lifts if self.dissociation is not None else {}

    def know_free_atoms(self, lifts: Mapping[int, float]) -> None:
        """Let atomic energies fade to those of free atoms, which lie `lifts` eV above the reference energies."""
        limit = None
        if lifts:
            with default_dtype(self.dtype):
                limit = DissociationLimit(lifts, self.elements, self.config.cutoff).to(self.factors.device)
        self.dissociation = limit

    def calibrate(self, batch: Batch, neighbours: Neighbours) -> None:
        """Set the network's constant scales on a typical batch; before training, once."""
        vectors = edge_vectors(batch, neighbours).detach().to(self.dtype)
        with torch.no_grad():
            self.network(self.species(batch.numbers), *neighbours.edge_index, vectors, calibrate=True)

    def species(self, numbers: Tensor) -> Tensor:
        """Species index of each atom.

        Raises:
            InputError: naming the elements the model never saw.
        """
        species = self.species_of[numbers.clamp(0, len(self.species_of) - 1)]
        if bool((species < 0).any()):
            unseen = sorted({int(z) for z in numbers[species < 0]})
            names = ", ".join(chemical_symbols[z] if z < len(chemical_symbols) else str(z) for z in unseen)
            known = ", ".join(chemical_symbols[z] for z in self.elements)
            raise InputError(f"the potential never saw {names}: it knows {known}; train it with data that hold {names}")
        return species

    def forward(
        self, batch: Batch, neighbours: Neighbours, *, stress: bool = True, differentiable: bool = False
    ) -> dict[str, Tensor]:
        """`energy [B]`, `site_energies [N]` eV (float64), `forces [N, 3]` eV/Å, `stress [B, 3, 3]` eV/Å^3 (ASE's sign).

        With bond vectors r_ij and g_ij = dE/dr_ij, forces are F_i = sum_j g_ij - sum_j g_ji and the strain derivative
        is sum_ij r_ij g_ij^T, so one backward pass gives both. The stress of a system without volume is 0. With
        long-range charges there are `charges [N]` e too, and what their energy owes to positions and strain is added;
        the energies of the sites, float64, are then without it, else the energy is their sum.

        Args:
            batch: collated `AtomGraph`s.
            neighbours: at least all pairs within the cutoff, both directions.
            stress: compute the stress.
            differentiable: keep the graph of the forces, for a loss on them.
        """
        species = self.species(batch.numbers)
        centre, neighbour = neighbours.edge_index
        vectors = edge_vectors(batch, neighbours).detach().to(self.dtype).requires_grad_()
        explicit: list[Tensor] = []
        with torch.enable_grad():
            atomic, features = self.energies_and_features(species, centre, neighbour, vectors)
            offsets = torch.tensor(list(self.reference_energies.values()), dtype=torch.float64, device=atomic.device)
            sites = atomic.double() + offsets[species]
            energy = sites.new_zeros(batch.num_graphs).index_add(0, batch.batch, sites)
            result = {"site_energies": sites}
            learned = atomic.sum()
            if self.long_range is not None:
                coulomb, result["charges"], explicit = self.long_range(features, species, batch)
                energy, learned = energy + coulomb, learned + coulomb.sum()
            gradient, *direct = self._gradients(learned, [vectors, *explicit], differentiable)
            forces = gradient.new_zeros(len(species), 3).index_add(0, centre, gradient)
            forces = forces.index_add(0, neighbour, -gradient)
            virial = self._virial(batch, neighbours, vectors, gradient) if stress else None
            if direct:
                forces = forces - direct[0].to(forces)
                virial = virial + direct[1].to(virial) if virial is not None else None
            result |= {"energy": energy, "forces": forces}
            if virial is not None:
                result["stress"] = self._stress(batch, virial)
        return result if differentiable else {key: value.detach() for key, value in result.items()}

    def energies_and_features(
        self, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What comes to each atom's reference energy, eV [N], and the network's last features.

        Arguments as `AtomicNetwork.forward`.
        """
        outputs, features = self.network.energies_and_descriptors(species, centre, neighbour, vectors)
        return self.in_ev(outputs, species, centre, neighbour, vectors), features

    def in_ev(self, outputs: Tensor, species: Tensor, centre: Tensor, neighbour: Tensor, vectors: Tensor) -> Tensor:
        """The network's dimensionless outputs [N] with all that comes to them, eV; other arguments as it has them."""
        atomic = outputs * (self.factors[species] * self.energy_scale)
        if self.dissociation is None and not self.pair_terms:
            return atomic
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        if self.dissociation is not None:
            atomic = self.dissociation(atomic, species, centre, neighbour, lengths)
        return atomic + self.pair_energies(species, centre, neighbour, lengths)

    @property
    def pair_terms(self) -> list[PairBaseline | ZBLRepulsion]:
        """What depends on pairs alone."""
        return [term for term in (self.pair_baseline, self.repulsion) if term is not None]

    def pair_energies(self, species: Tensor, centre: Tensor, neighbour: Tensor, lengths: Tensor) -> Tensor:
        """Of each atom, eV [N]: half of every pair's baseline and core repulsion.

        Args:
            species: element index of each atom [N].
            centre, neighbour: directed edges, both directions of each bond [E].
            lengths: bond lengths, Å [E].
        """
        energies = lengths.new_zeros(species.shape[0])
        for term in self.pair_terms:
            energies = energies + term(species, centre, neighbour, lengths)
        return energies

    def virial_pulls(self, batch: Batch, pulls: Tensor) -> Tensor:
        """From derivatives of anything for the stresses to those for the virials sum_ij r_ij g_ij^T [B, 3, 3]."""
        return self._stress(batch, pulls.to(self.dtype))  # symmetric and linear, so its own adjoint

    @staticmethod
    def _gradients(energy: Tensor, leaves: list[Tensor], differentiable: bool) -> tuple[Tensor, ...]:
        if not energy.requires_grad:  # isolated atoms only
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(
            energy, leaves, create_graph=differentiable, allow_unused=True, materialize_grads=True
        )

    @staticmethod
    def _virial(batch: Batch, neighbours: Neighbours, vectors: Tensor, gradient: Tensor) -> Tensor:
        outer = vectors.detach()[:, :, None] * gradient[:, None, :]
        return outer.new_zeros(batch.num_graphs, 3, 3).index_add(0, neighbours.edge_batch, outer)

    @staticmethod
    def _stress(batch: Batch, virial: Tensor) -> Tensor:
        virial = 0.5 * (virial + virial.transpose(1, 2))
        volume = torch.linalg.det(batch.cell).abs()
        periodic = batch.pbc.any(dim=1) & (volume > 1e-6)
        inverse = torch.where(periodic, 1 / volume.clamp_min(1e-6), torch.zeros_like(volume))
        return virial * inverse.to(virial.dtype)[:, None, None]


@dataclass
class NetworkPotential:
    """An `EnergyModel` behind the `Potential` protocol.

    Args:
        model: trained network.
        name: short name for provenance.
        metadata: what the checkpoint says of its training.
        skin: Å beyond the cutoff up to which neighbours are kept from call to call; 0 rebuilds every time.
    """

    model: EnergyModel
    name: str = "sorbus"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    skin: float = 0.0

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)
        self.elements = frozenset(self.model.elements)
        # long-range charges feel each other at any distance
        self.cutoff: float | None = self.model.config.cutoff if self.model.long_range is None else None
        # whether an inserted molecule can be followed layer by layer: those of `potentials.network`, nothing else
        self.local = (
            self.model.long_range is None
            and self.model.dissociation is None
            and self.model.config.architecture == "density"
        )
        self._verlet = VerletList(self.model.config.cutoff, self.skin) if self.skin > 0 else None

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and stress of a collated batch; the forces in the dtype of its positions.

        Raises:
            InputError: an element the model never saw.
            GeometryError: a cell or position no neighbour list may see.
        """
        device, origin = self.model.factors.device, batch.positions.device
        if device != origin:
            batch = copy.copy(batch).to(device)  # a shallow copy: the caller's batch stays where it is
        neighbours = self._verlet(batch) if self._verlet else neighbour_list(batch, self.model.config.cutoff)
        result = self.model(batch, neighbours, stress=stress)
        dtype = batch.positions.dtype
        output = PotentialOutput(energy=result["energy"].to(origin), forces=result["forces"].to(origin, dtype))
        if stress:
            output["stress"] = result["stress"].to(origin, dtype)
        if self.model.long_range is None:
            output["site_energies"] = result["site_energies"].to(origin)
        if "charges" in result:
            output["charges"] = result["charges"].to(origin)
        return output


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What tensors made in it are, unless they are told otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def elements_from_symbols(energies: Mapping[str, float]) -> dict[int, float]:
    """Atomic number to energy from chemical symbol to energy.

    Raises:
        InputError: a symbol that is no element.
    """
    unknown = [symbol for symbol in energies if symbol not in atomic_numbers or symbol == "X"]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no chemical symbol: give reference energies as C: -1029.5, H: -13.6")
    return {atomic_numbers[symbol]: float(value) for symbol, value in energies.items()}
