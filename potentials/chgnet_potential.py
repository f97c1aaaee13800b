"""CHGNet, a universal potential with charge-informed training, as a batched `Potential`.

Weights come with the `chgnet` package (BSD licence); they are read with `weights_only=True` and never unpickled.
"""

import copy
import pickle
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch

from potentials.chgnet_forward import CHGNetWeights, arrange_weights, site_energies
from potentials.chgnet_graph import build_graph
from potentials.devices import device_at_hand
from potentials.errors import InputError
from potentials.neighbours import VerletList
from potentials.potential import PotentialOutput

CHGNET_VERSIONS = ("0.3.0", "r2scan")
_MAX_NUMBER = 94  # size of CHGNet's element embedding
_UNTRAINED = frozenset({84, 85, 86, 87, 88})  # Po-Ra occur nowhere in its training set: 89 elements remain


class CHGNetPotential:
    """CHGNet 0.3.0 (PBE+U, trained on MPtrj) or r2scan: the published network, laid out for speed.

    In double precision it equals the package's to 1e-8. In single precision both carry rounding of up to 5e-5 eV/Å,
    each its own; `chgnet_package.CHGNetPackagePotential` has the package's to the last digits, at three times the cost.

    Energies are totals in eV on the scale of raw, corrected Materials Project energies the model was trained on.
    Isolated atoms and non-periodic systems are allowed; atoms beyond 6 Å of each other do not interact.

    Args:
        version: one of `CHGNET_VERSIONS`.
        device: where to run, e.g. `cpu` or `cuda`.
        dtype: `float32` as trained, or `float64` for finite differences and tight relaxations.
        skin: Å, Verlet skin; positive values reuse neighbour lists between calls on the same batch.

    Raises:
        InputError: unknown version or device, or a package without the weights.
    """

    def __init__(
        self, version: str = "0.3.0", *, device: str = "cpu", dtype: str = "float32", skin: float = 0.0
    ) -> None:
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype {dtype!r} is not available for CHGNet: choose float32 or float64")
        self.name = f"chgnet-fast-{version}"
        self.elements = frozenset(range(1, _MAX_NUMBER + 1)) - _UNTRAINED
        self.dtype = getattr(torch, dtype)
        self.device = device_at_hand(device)
        self.weights = load_weights(version, self.dtype, self.device)
        self.cutoff: float | None = self.weights.atom_cutoff
        self._pairs = VerletList(self.weights.atom_cutoff, skin, half=True)

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and stress of a batch; see `Potential`.

        Raises:
            InputError: an element CHGNet does not know.
            GeometryError: a cell or position no neighbour list may see.
        """
        batch = copy.copy(batch).to(self.device)  # a shallow copy: the caller's batch stays where it is
        check_elements(batch, self.elements, self.name)
        graph = build_graph(batch, self._pairs, self.weights.bond_cutoff, self.dtype)
        vectors = graph.vectors.clone().requires_grad_()
        with torch.enable_grad():
            sites = site_energies(self.weights, graph, vectors, batch.numbers)
            (gradient,) = torch.autograd.grad(sites.sum(), vectors)  # dE/dr of each bond, [U, 3]
        sites = sites.detach().double() + self.weights.reference[batch.numbers - 1]
        n_systems = batch.num_graphs
        output = PotentialOutput(
            energy=sites.new_zeros(n_systems).index_add_(0, batch.batch, sites),
            forces=pair_forces(graph.centre, gradient.double(), batch.num_nodes),
            site_energies=sites,
        )
        if stress:
            output["stress"] = pair_stress(graph.vectors.double(), gradient.double(), graph.bond_system, batch)
        return output


def load_weights(version: str, dtype: torch.dtype, device: torch.device) -> CHGNetWeights:
    """Weights of a CHGNet version, arranged for `chgnet_forward`.

    Raises:
        InputError: unknown version, or the package does not carry it in the expected layout.
    """
    model = load_package_checkpoint(version, device)
    try:
        return arrange_weights(model["state_dict"], model["model_args"], dtype)
    except (KeyError, ValueError) as error:
        found = f"CHGNet {version} of chgnet {package_version('chgnet')}"
        raise InputError(f"{found} has another layout ({error}): install chgnet 0.4.2") from error


def load_package_checkpoint(version: str, device: torch.device) -> dict[str, Any]:
    """State dictionary and model arguments of a CHGNet version from the installed package, nothing unpickled.

    Raises:
        InputError: unknown version, or the package does not carry it.
    """
    if version not in CHGNET_VERSIONS:
        raise InputError(f"unknown CHGNet version {version!r}: choose one of {', '.join(CHGNET_VERSIONS)}")
    spec = find_spec("chgnet")
    if spec is None or spec.origin is None:
        raise InputError("the chgnet package is not installed: pip install chgnet")
    folder = Path(spec.origin).parent / "pretrained" / version
    files = sorted(folder.glob("*.pth.tar"))
    if len(files) != 1:
        raise InputError(f"{folder} holds {len(files)} checkpoints, expected one: reinstall chgnet>=0.4.2")
    try:
        return torch.load(files[0], map_location=device, weights_only=True)["model"]
    except (KeyError, RuntimeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{files[0].name} cannot be read safely ({reason}): reinstall chgnet 0.4.2") from error


def check_elements(batch: Batch, elements: frozenset[int], name: str) -> None:
    """Refuse atoms a potential was not made for.

    Raises:
        InputError: naming the element and the system of the batch.
    """
    from ase.data import chemical_symbols

    for number in torch.unique(batch.numbers).tolist():
        if number not in elements:
            system = int(batch.batch[torch.nonzero(batch.numbers == number)[0, 0]])
            symbol = chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"Z = {number}"
            raise InputError(f"{name} does not know {symbol} (system {system} of the batch): choose another potential")


def pair_forces(centre: torch.Tensor, gradient: torch.Tensor, n_atoms: int) -> torch.Tensor:
    """Forces [N, 3] from dE/dr [U, 3] of bonds r = x_j - x_i; `centre` [2U] lists i, then j."""
    return gradient.new_zeros(n_atoms, 3).index_add_(0, centre, torch.cat([gradient, -gradient]))


def pair_stress(vectors: torch.Tensor, gradient: torch.Tensor, system: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Stress sum_bonds r (x) dE/dr / V, symmetrised, [B, 3, 3]; zero unless periodic in three directions."""
    virial = gradient.new_zeros(batch.num_graphs, 9).index_add_(
        0, system, (vectors[:, :, None] * gradient[:, None, :]).flatten(1)
    )
    virial = virial.view(-1, 3, 3)
    bulk = batch.pbc.all(dim=1)
    volume = torch.where(bulk, torch.linalg.det(batch.cell.double()).abs(), torch.inf)  # no volume, no stress
    return (virial + virial.mT) / (2 * volume[:, None, None])
