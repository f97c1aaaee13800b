"""A trained potential as one traced graph on plain tensors: energies, forces and virials, derivatives included.

Neighbours are a padded matrix, so that every shape in the graph follows from the numbers of atoms N and of slots an
atom K, which stay free. `torch.export` does not trace a call of the autograd engine; `make_fx` does, and writes what
the engine did as further nodes of the graph, which `torch.export` then takes like any other.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx

from potentials.density import dense_layout
from potentials.errors import InputError, SorbusError
from potentials.network_potential import EnergyModel

INPUTS = ("positions", "species", "neighbours", "shifts", "owned")
OUTPUTS = ("energies", "forces", "virials")
# smallest sizes of the traced dimensions: torch takes sizes 0 and 1 for constants
MIN_ATOMS = MIN_SLOTS = 2
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}  # of traced against eager, relative to the largest number


class TensorModel(nn.Module):
    """An `EnergyModel` as a function of tensors alone.

    Args:
        model: trained; without long-range charges.

    Raises:
        InputError: a model this layout does not hold.
    """

    def __init__(self, model: EnergyModel) -> None:
        super().__init__()
        if model.long_range is not None:
            raise InputError("long-range charges cannot be exported, they need the whole cell: export a model without")
        if not hasattr(model.network, "on_slots"):
            raise InputError(
                f"architecture {model.config.architecture!r} cannot be exported: train architecture density"
            )
        self.model = model.eval().requires_grad_(False)
        energies = torch.tensor(list(model.reference_energies.values()), dtype=torch.float64)
        self.register_buffer("reference", energies.to(model.factors.device))
        self.reference: Tensor

    def forward(
        self, positions: Tensor, species: Tensor, neighbours: Tensor, shifts: Tensor, owned: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies of the atoms, and what the sum of those that count owes to positions and strain.

        Args:
            positions: Å [N, 3], float64.
            species: index into the model's elements [N], int64.
            neighbours: atom in each slot [N, K], int64; the atom itself where a slot is empty.
            shifts: what to add to the neighbour's position, Å [N, K, 3], float64: the lattice vectors of its image.
                In an empty slot anything at least as long as the cutoff, (0, 0, 2 cutoff) say.
            owned: 1 where an atom's energy counts, 0 where it is a ghost that another process owns [N], float64.

        Returns:
            `energies [N]` eV (all atoms, counted or not), `forces [N, 3]` eV/Å, and `virials [N, 3, 3]` eV, minus the
            derivative with respect to strain by the atom at whose bonds it arises. All are float64.
        """
        model = self.model
        n_atoms, width = neighbours.shape
        neighbour = neighbours.flatten()
        centre = torch.arange(n_atoms, device=positions.device)[:, None].expand(n_atoms, width).flatten()
        vectors = (positions[neighbour] - positions[centre] + shifts.flatten(0, 1)).to(model.dtype)
        vectors = vectors.detach().requires_grad_()
        with torch.enable_grad():
            outputs = model.network.on_slots(species, dense_layout(neighbours), vectors)[0]
            atomic = model.in_ev(outputs, species, centre, neighbour, vectors)
            (gradient,) = torch.autograd.grad((atomic * owned.to(atomic.dtype)).sum(), vectors)
        bonds, pulls = vectors.detach().double(), gradient.double()
        forces = torch.zeros_like(positions).index_add(0, centre, pulls).index_add(0, neighbour, -pulls)
        outer = bonds[:, :, None] * pulls[:, None, :]
        virials = outer.new_zeros(n_atoms, 3, 3).index_add(0, centre, -outer)
        return atomic.detach().double() + self.reference[species], forces, virials


def trace(model: EnergyModel) -> torch.fx.GraphModule:
    """The graph of a `TensorModel`, free in N >= 2 and K >= 2; its weights are the model's own, frozen.

    Raises:
        InputError: a model that cannot be exported.
    """
    return make_fx(TensorModel(model), tracing_mode="symbolic", _allow_non_fake_inputs=True)(*_example(model, 7, 11))


def export_program(model: EnergyModel) -> ExportedProgram:
    """The graph as an `ExportedProgram`, tried on systems of other sizes before it is handed out.

    Raises:
        InputError: a model that cannot be exported.
        SorbusError: the graph does not give the model's numbers at other sizes: a fault of torch's tracer.
    """
    atoms, slots = Dim("atoms", min=MIN_ATOMS), Dim("slots", min=MIN_SLOTS)
    shapes = ({0: atoms}, {0: atoms}, {0: atoms, 1: slots}, {0: atoms, 1: slots}, {0: atoms})
    example = _example(model, 7, 11)
    program = torch.export.export(trace(model), example, dynamic_shapes=shapes)
    check_program(program.module(), model)
    return program


def check_program(program: Any, model: EnergyModel) -> None:
    """Compare a traced, exported or compiled program with the model on sizes it was not traced with.

    Raises:
        SorbusError: it gives other numbers.
    """
    reference = TensorModel(model)
    for n_atoms, width in ((MIN_ATOMS, MIN_SLOTS), (13, 6), (9, 29)):
        inputs = _example(model, n_atoms, width)
        for name, ours, theirs in zip(OUTPUTS, reference(*inputs), program(*inputs), strict=True):
            error = float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1.0))
            if not error <= _TOLERANCE[model.dtype]:
                raise SorbusError(
                    f"the traced potential errs by {error:.2g} in {name} at {n_atoms} atoms with {width} slots "
                    f"(torch {torch.__version__}): use the potential without export or compilation, and report it"
                )


def _example(model: EnergyModel, n_atoms: int, width: int) -> tuple[Tensor, ...]:
    """Random inputs in which some slots are empty and no two atoms come close."""
    generator = torch.Generator().manual_seed(n_atoms * 1009 + width)
    cutoff, count = model.config.cutoff, len(model.elements)
    lengths = cutoff * (0.35 + 0.75 * torch.rand(n_atoms, width, 1, generator=generator, dtype=torch.float64))
    directions = torch.randn(n_atoms, width, 3, generator=generator, dtype=torch.float64)
    positions = cutoff * torch.rand(n_atoms, 3, generator=generator, dtype=torch.float64)
    neighbours = torch.randint(n_atoms, (n_atoms, width), generator=generator)
    bonds = directions / directions.norm(dim=2, keepdim=True) * lengths
    shifts = bonds - positions[neighbours] + positions[:, None]
    species = torch.randint(count, (n_atoms,), generator=generator)
    owned = (torch.arange(n_atoms) % 4 != 3).double()
    return tuple(t.to(model.factors.device) for t in (positions, species, neighbours, shifts, owned))
