"""CHGNet through the chgnet package's own graph converter and network, a forward pass for many systems at once.

It answers what the package answers, to the last digits of single precision; `chgnet_potential` is the same function
several times faster.
"""

import contextlib
import copy
import io
from typing import Any

import torch
from torch_geometric.data import Batch

from potentials.atom_graph import collate, structure_from_graph
from potentials.chgnet_potential import CHGNetPotential, check_elements, load_package_checkpoint
from potentials.devices import device_at_hand
from potentials.errors import InputError
from potentials.neighbours import check_cells
from potentials.potential import PotentialOutput

_ATOMS_PER_PASS = 256  # beyond it the package's intermediate tensors leave the cache and a pass takes twice as long
GPA_PER_EV_A3 = 160.21766208  # the factor by which the package turns eV/Å^3 into GPa


class CHGNetPackagePotential:
    """CHGNet as the chgnet package evaluates it (single precision), batched.

    Systems that are not periodic in three directions, which the package does not take, go through `CHGNetPotential`.
    Isolated atoms are allowed.

    Args:
        version: `0.3.0` or `r2scan`.
        device: where to run, e.g. `cpu` or `cuda`.

    Raises:
        InputError: unknown version, or a package without the weights.
    """

    def __init__(self, version: str = "0.3.0", *, device: str = "cpu") -> None:
        self.name = f"chgnet-{version}"
        self.device = device_at_hand(device)
        self._model = _build(version, self.device)
        self._open = CHGNetPotential(version, device=device)
        self.elements = self._open.elements
        self.cutoff: float | None = self._open.cutoff

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and stress of a batch; see `Potential`.

        Raises:
            InputError: an element CHGNet does not know.
            GeometryError: a cell or position no neighbour list may see.
        """
        check_elements(batch, self.elements, self.name)
        check_cells(batch.positions.detach(), batch.cell.detach(), batch.pbc)
        batch = copy.copy(batch).to(self.device)
        energy = torch.zeros(batch.num_graphs, dtype=torch.float64, device=self.device)
        forces = torch.zeros(batch.num_nodes, 3, dtype=torch.float64, device=self.device)
        stresses = torch.zeros(batch.num_graphs, 3, 3, dtype=torch.float64, device=self.device)
        bulk = batch.pbc.all(dim=1)
        for chosen, answer in ((bulk, self._package), (~bulk, self._fast)):
            for part in _parts(chosen, batch.ptr[1:] - batch.ptr[:-1]):
                graphs = [batch[k] for k in part]
                mask = torch.zeros_like(chosen)
                mask[part] = True
                energy[mask], forces[mask[batch.batch]], stresses[mask] = answer(graphs, stress)
        output = PotentialOutput(energy=energy, forces=forces)
        if stress:
            output["stress"] = stresses
        return output

    def _package(self, graphs: list[Any], stress: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        crystals = [self._model.graph_converter(structure_from_graph(graph)).to(self.device) for graph in graphs]
        prediction = self._model(crystals, task="efs" if stress else "ef")
        counts = torch.tensor([graph.num_nodes for graph in graphs], dtype=torch.float64, device=self.device)
        forces = torch.cat(list(prediction["f"])).detach().double()
        stresses = torch.zeros(len(graphs), 3, 3, dtype=torch.float64, device=self.device)
        if stress:
            stresses = torch.stack(list(prediction["s"])).detach().double() / GPA_PER_EV_A3
        return prediction["e"].detach().double() * counts, forces, stresses

    def _fast(self, graphs: list[Any], stress: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        output = self._open(collate(graphs), stress=True)
        return output["energy"], output["forces"], output["stress"]


def _parts(chosen: torch.Tensor, counts: torch.Tensor) -> list[list[int]]:
    """The chosen systems in parts of at most `_ATOMS_PER_PASS` atoms, or of one system."""
    parts: list[list[int]] = []
    room = 0
    for k in torch.nonzero(chosen)[:, 0].tolist():
        if not parts or int(counts[k]) > room:
            parts.append([])
            room = _ATOMS_PER_PASS
        parts[-1].append(k)
        room -= int(counts[k])
    return parts


def _build(version: str, device: torch.device) -> Any:
    checkpoint = load_package_checkpoint(version, device)
    from chgnet.model.model import CHGNet

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces its size
            model = CHGNet(**checkpoint["model_args"], version=version)
        model.load_state_dict(checkpoint["state_dict"])
    except (TypeError, RuntimeError) as error:
        raise InputError(f"chgnet cannot build CHGNet {version} ({error}): install chgnet 0.4.2") from error
    model.graph_converter.set_isolated_atom_response("ignore")
    return model.to(device).eval().requires_grad_(False)
