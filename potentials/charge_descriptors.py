"""What a model of partial charges by kinship (`charge_kernel.py`) compares atoms by.

Numbers that do not depend on orientation or on the order of atoms: bonds, what is bonded, the metals around, what the
table of bonding environments says, the sum of charges that neutrality asks of the metals, and what CHGNet makes of the
atom (`charge_features.py`). They come in blocks, so that a fit may say how much each block counts.
"""

from functools import cache

import torch
from torch import Tensor

from potentials.charge_features import FEATURES, LAYERS, WIDTH
from potentials.charge_network import ChargeGraph, element_descriptors
from potentials.errors import InputError

# kinds of neighbours: O, N, C, H, S and its kin, halogens, other nonmetals, metals
_KINDS = {8: 0, 7: 1, 6: 2, 1: 3, 16: 4, 34: 4, 52: 4, 9: 5, 17: 5, 35: 5, 53: 5}
_OTHER, _METAL = 6, 7
# atoms that are compared with each other: metals, O, N, C, H, all others
FAMILIES = ("metal", "O", "N", "C", "H", "other")
_FAMILY = {8: 1, 7: 2, 6: 3, 1: 4}
_BOND_DECAY = 0.37  # Å, of bond valences (Brown and Altermatt, Acta Cryst. B 41, 244 (1985))
_BONDED = 1.25  # of the sum of covalent radii
_CHARGE, _AVERAGE, _SPREAD = 0, 1, 2  # columns of a graph's prior


def block_sizes(prior_features: int) -> dict[str, int]:
    """Columns of each block of `atom_descriptors`, in order."""
    elements = element_descriptors()[0].shape[1]
    layers = {f"layer {k + 1}": WIDTH for k in range(LAYERS)}
    return {
        "bonds": 16,
        "bonded": 3,
        "metals around": elements,
        "balance": 2,
        "environment": prior_features,
        "element": elements,
        **layers,
        "moment and energy": FEATURES - WIDTH * LAYERS,
    }


def families_of(numbers: Tensor) -> Tensor:
    """Index into `FAMILIES` of atoms with these atomic numbers, int64."""
    return _tables()[0][numbers]


def atom_descriptors(graph: ChargeGraph) -> Tensor:
    """Descriptors [N, D] of a graph's distinct atoms, float64; columns as `block_sizes` says.

    Raises:
        InputError: the graph holds no CHGNet features, or no prior.
    """
    if graph.features is None or graph.prior.shape[1] <= _SPREAD:
        raise InputError("descriptors of charges need the features of CHGNet and the table of environments")
    _, kinds, metal, radii = _tables()
    z, prior, mass = graph.numbers, graph.prior.double(), graph.multiplicity.double()
    centre, neighbour = graph.centre, graph.neighbour
    lengths = torch.linalg.vector_norm(graph.vectors.double(), dim=1)
    summed_radii = radii[z[centre]] + radii[z[neighbour]]
    valence = torch.exp(-(lengths - summed_radii) / _BOND_DECAY)
    bonded = lengths < _BONDED * summed_radii
    n = len(z)

    def summed(rows: Tensor, values: Tensor) -> Tensor:
        return prior.new_zeros(n, values.shape[1]).index_add(0, rows, values)

    kind = torch.nn.functional.one_hot(kinds[z[neighbour]], _METAL + 1).double()
    near = neighbour[bonded]
    known = torch.stack([prior[:, _AVERAGE], prior[:, _CHARGE] - prior[:, _AVERAGE], prior[:, _SPREAD]], dim=1)
    by_metal = torch.where(metal[z[neighbour]], valence, 0.0)[:, None]
    elements = element_descriptors()[0].double()
    around = summed(centre, by_metal * elements[z[neighbour]]) / (summed(centre, by_metal) + 0.05)
    blocks = [
        summed(centre, valence[:, None] * kind),
        summed(centre[bonded], kind[bonded]),
        summed(centre[bonded], known[near]),
        around,
        _balance(graph, prior[:, _AVERAGE] * mass, mass, metal[z]),
        prior,
        elements[z],
        graph.features.double(),
    ]
    return torch.cat(blocks, dim=1)


def _balance(graph: ChargeGraph, charge: Tensor, mass: Tensor, metal: Tensor) -> Tensor:
    """Charge that the averages of the other atoms ask of a metal, and how far the metals' own are off it [N, 2]."""

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(graph.n_systems).index_add(0, graph.system, values)

    metals = total(torch.where(metal, mass, 0.0)).clamp(min=1.0)
    asked = -total(torch.where(metal, 0.0, charge)) / metals
    own = total(torch.where(metal, charge, 0.0)) / metals
    return torch.stack([asked, asked - own], dim=1)[graph.system]


@cache
def _tables() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """By atomic number: family, kind as a neighbour, whether a metal, covalent radius (Å)."""
    from ase.data import covalent_radii

    descriptors, _ = element_descriptors()
    metal = descriptors[:, 6] > 0.5
    size = len(descriptors)
    family = torch.tensor([_FAMILY.get(z, len(FAMILIES) - 1) for z in range(size)])
    kind = torch.tensor([_KINDS.get(z, _OTHER) for z in range(size)])
    radii = torch.tensor(covalent_radii[:size], dtype=torch.float64)
    return torch.where(metal, 0, family), torch.where(metal, _METAL, kind), metal, radii
