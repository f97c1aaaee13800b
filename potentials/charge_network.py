"""Partial charges from the equivariant network: net neutral by construction, and exact on symmetry-distinct atoms.

Atoms send scalars only, so that what an atom receives depends on lengths and angles, not on its orientation: atoms
related by a symmetry operation carry the same features. A crystal may then be given as its distinct atoms alone, each
with its full surroundings, and with the number of atoms it stands for. On metal-organic frameworks that is four times
less work, and the same charges.

A charge is q_i = b_i + r_i - w_i / sum_j(m_j w_j) * sum_j m_j (b_j + r_j): a base charge b known beforehand, a learned
correction r, and the share w > 0, learned too, that the atom takes of the sum that must vanish, as soft atoms do in
charge equilibration (Rappé, Goddard, J. Phys. Chem. 95, 3358 (1991)); m_i counts the atoms that i stands for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from potentials.density import edge_layout
from potentials.network import Interaction, NetworkConfig
from potentials.radial import BesselBasis
from potentials.spherical import spherical_harmonics

CORRECTION_SCALE = 0.05  # e; about the error of averages over bonding environments, so that outputs are of order one
N_ELEMENTS = 119


class ChargeNetworkConfig(NetworkConfig):
    """Shape of a charge network; saved with its weights. `carried` may hold scalars only."""

    channels: Annotated[int, pydantic.Field(ge=1, le=1024)] = 48
    carried: tuple[Annotated[int, pydantic.Field(ge=1, le=1024)], ...] = (48,)
    body_order: Annotated[int, pydantic.Field(ge=2, le=4)] = 4
    radial_hidden: Annotated[int, pydantic.Field(ge=0, le=512)] = 64
    prior_features: Annotated[int, pydantic.Field(ge=0, le=64)] = 0  # what is known of an atom besides its element

    @pydantic.model_validator(mode="after")
    def _scalars_only(self) -> "ChargeNetworkConfig":
        if len(self.carried) != 1:
            raise ValueError(
                f"carried holds {len(self.carried)} degrees: a charge network sends scalars only, give one"
            )
        return self


@dataclass(frozen=True)
class ChargeGraph:
    """Symmetry-distinct atoms of one or several systems, N in all, with E directed edges."""

    numbers: Tensor  # [N] atomic numbers, int64
    centre: Tensor  # [E] int64
    neighbour: Tensor  # [E] the distinct atom that the neighbour is an image of, int64
    vectors: Tensor  # [E, 3] Å, from the centre to the neighbour
    multiplicity: Tensor  # [N] atoms of the system each stands for
    base: Tensor  # [N] e, charges to start from
    prior: Tensor  # [N, prior_features]
    system: Tensor  # [N] int64, the system of each atom
    n_systems: int = 1
    features: Tensor | None = None  # [N, 258] of CHGNet (`charge_features.py`), for charges by kinship


class ChargeNetwork(nn.Module):
    """Charges of all distinct atoms of a `ChargeGraph`.

    Elements enter by a table of descriptors (place in the periodic table, electronegativity, size, ionisation energies)
    and by a learned correction that starts at zero, so that an element never trained on is treated like its kin.

    Args:
        config: shape of the network.
    """

    def __init__(self, config: ChargeNetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.carried[0]
        descriptors, classes = element_descriptors()
        self.register_buffer("descriptors", descriptors)  # [119, D]; saved: they define the function
        self.register_buffer("classes", classes)  # [119]
        self.descriptors: Tensor
        self.classes: Tensor
        self.describe = nn.Sequential(nn.Linear(descriptors.shape[1], width), nn.SiLU(), nn.Linear(width, width))
        self.element = nn.Parameter(torch.zeros(N_ELEMENTS, width))
        inputs = config.prior_features
        self.expect = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width)) if inputs else None
        self.basis = BesselBasis(config.cutoff, config.radial_functions)
        self.harmonics = spherical_harmonics(config.lmax)
        n_classes = int(classes.max()) + 1
        carried = config.carried
        self.layers = nn.ModuleList(Interaction(config, n_classes, carried, carried) for _ in range(config.layers))
        self.softness = nn.Sequential(nn.Linear(width, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, graph: ChargeGraph, *, known: Tensor | None = None, calibrate: bool = False) -> Tensor:
        """Charges [N], e; each system's sum over `multiplicity` vanishes up to rounding.

        Args:
            graph: distinct atoms with all neighbours within the cutoff; farther ones are left out.
            known: 1 where the learned correction of the element may be used, 0 where the atom is to be treated as of an
                element never seen [N]; everywhere 1 by default.
            calibrate: set the layers' constant scales on this batch; once, before training.
        """
        graph = edges_within(graph, self.config.cutoff)
        n_atoms = len(graph.numbers)
        layout = edge_layout(graph.centre, graph.neighbour, n_atoms)
        vectors = layout.spread(graph.vectors, graph.vectors.new_tensor([0.0, 0.0, 2 * self.config.cutoff]))
        basis = self.basis(torch.linalg.vector_norm(vectors, dim=1))
        harmonics = self.harmonics(vectors)

        own = self.element[graph.numbers]
        if known is not None:
            own = own * known[:, None]
        features = self.describe(self.descriptors)[graph.numbers] + own
        if self.expect is not None:
            features = features + self.expect(graph.prior)
        state = [features[layout.order][:, None, :]]
        classes = self.classes[graph.numbers][layout.order]
        correction = vectors.new_zeros(n_atoms)
        for layer in self.layers:
            state, contribution = layer(state, classes, basis, harmonics, layout, calibrate)
            correction = correction + contribution
        softness = nn.functional.softplus(self.softness(state[0][:, 0])[:, 0]) + 1e-4
        charges = graph.base + CORRECTION_SCALE * correction[layout.inverse]
        return neutralised(charges, softness[layout.inverse], graph)


class ChargeEnsemble(nn.Module):
    """The mean charges of several networks trained apart, of one shape or of several; as neutral as each of them.

    Args:
        members: networks that are told the same of every atom (`prior_features`).
        kernel: charges by kinship (`charge_kernel.ChargeKernel`), which err elsewhere; None: networks alone.
        kernel_weight: share of the kernel in the mean; the networks share the rest evenly.
    """

    def __init__(
        self, members: Sequence[ChargeNetwork], kernel: nn.Module | None = None, kernel_weight: float = 0.0
    ) -> None:
        super().__init__()
        told = {member.config.prior_features for member in members}
        if len(told) != 1:
            raise ValueError(f"the members of an ensemble take {sorted(told)} prior features: one number for all")
        self.members = nn.ModuleList(members)
        self.kernel = kernel
        self.kernel_weight = kernel_weight if kernel is not None else 0.0

    @property
    def cutoff(self) -> float:
        """Å, how far the member that sees farthest sees."""
        return max(shape.cutoff for shape in self.shapes)

    @property
    def shapes(self) -> list[ChargeNetworkConfig]:
        """The shape of every network, in order."""
        return [member.config for member in self.members if isinstance(member, ChargeNetwork)]

    @property
    def shares(self) -> list[float]:
        """What each row of `member_charges` counts in the mean; they sum to one."""
        networks = [(1.0 - self.kernel_weight) / len(self.members)] * len(self.members)
        return networks if self.kernel is None else [*networks, self.kernel_weight]

    def forward(self, graph: ChargeGraph) -> Tensor:
        """Charges [N], e."""
        charges = self.member_charges(graph)
        return (charges.new_tensor(self.shares)[:, None] * charges).sum(dim=0)

    def member_charges(self, graph: ChargeGraph) -> Tensor:
        """What each network says, and the kernel last if there is one [members, N], e."""
        rows = [member(graph) for member in self.members]
        return torch.stack(rows if self.kernel is None else [*rows, self.kernel(graph)])


def edges_within(graph: ChargeGraph, cutoff: float) -> ChargeGraph:
    """The graph without edges of `cutoff` (Å) or more, which contribute nothing to a network of that cutoff."""
    kept = torch.linalg.vector_norm(graph.vectors, dim=1) < cutoff
    if bool(kept.all()):
        return graph
    return replace(graph, centre=graph.centre[kept], neighbour=graph.neighbour[kept], vectors=graph.vectors[kept])


def neutralised(charges: Tensor, softness: Tensor, graph: ChargeGraph) -> Tensor:
    """Charges [N] with each system's excess taken off in proportion to `softness` [N]."""
    zeros = charges.new_zeros(graph.n_systems)
    excess = zeros.index_add(0, graph.system, graph.multiplicity * charges)
    total = zeros.index_add(0, graph.system, graph.multiplicity * softness)
    return charges - softness * (excess / total)[graph.system]


def join_graphs(graphs: Sequence[ChargeGraph]) -> ChargeGraph:
    """Several single systems as one batch, in order."""
    sizes = torch.tensor([len(graph.numbers) for graph in graphs])
    starts = torch.cumsum(sizes, 0) - sizes

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(graph, name) for graph in graphs])

    return ChargeGraph(
        numbers=joined("numbers"),
        centre=torch.cat([graph.centre + start for graph, start in zip(graphs, starts, strict=True)]),
        neighbour=torch.cat([graph.neighbour + start for graph, start in zip(graphs, starts, strict=True)]),
        vectors=joined("vectors"),
        multiplicity=joined("multiplicity"),
        base=joined("base"),
        prior=joined("prior"),
        system=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        n_systems=len(graphs),
        features=None if any(graph.features is None for graph in graphs) else joined("features"),
    )


@cache
def element_descriptors() -> tuple[Tensor, Tensor]:
    """Descriptors of the elements [119, 11], each of order one, and their classes [119]; row Z is element Z.

    Columns: group, row, Pauling electronegativity, covalent radius (Cordero 2008), first and second ionisation energy
    (pymatgen's tables), and whether it is a metal and of the s, p, d, f block.
    """
    import warnings

    from ase.data import covalent_radii
    from pymatgen.core import Element

    rows, classes = [[0.0] * 11], [0]
    for z in range(1, N_ELEMENTS):
        element = Element.from_Z(z)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # elements without a tabulated electronegativity warn
            electronegativity = float(element.X)
            known = [energy for energy in (element.ionization_energies or ()) if energy is not None]
        energies = [*known[:2], *(7.0, 18.0)[len(known[:2]) :]]  # eV; unmeasured for the heaviest
        if electronegativity != electronegativity:  # not a number: noble gases and some heavy elements
            electronegativity = 1.3 if element.is_metal else 2.6
        block = element.block
        rows.append(
            [
                (element.group - 9) / 6,
                (element.row - 3.5) / 2,
                (electronegativity - 2.0) / 0.6,
                (float(covalent_radii[z]) - 1.3) / 0.4,
                (energies[0] - 8.5) / 3,
                (energies[1] - 19.0) / 7,
                float(element.is_metal),
                *(float(block == name) for name in "spdf"),
            ]
        )
        classes.append(_element_class(z, element))
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(classes)


def _element_class(z: int, element: object) -> int:
    """H, C, N, O, F, other halogens, S and Se, other nonmetals, then metals by their part of the table: 0 to 13."""
    from pymatgen.core import Element

    assert isinstance(element, Element)
    own = {1: 0, 6: 1, 7: 2, 8: 3, 9: 4, 16: 5, 34: 5}
    if z in own:
        return own[z]
    if element.is_halogen:
        return 6
    if not element.is_metal:
        return 7
    if element.is_lanthanoid or element.is_actinoid or element.group == 3:
        return 8
    if element.group == 1:
        return 9
    if element.group == 2:
        return 10
    if element.block == "d":
        return 11 if element.group <= 7 else 12
    return 13
