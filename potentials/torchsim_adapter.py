"""Any potential of ours as a TorchSim model (Cohen et al. 2025): its integrators and optimisers on our energies.

TorchSim (`pip install torch-sim-atomistic`) is no dependency of Sorbus; its maintained releases need Python 3.12.
"""

from typing import Any

import torch
from torch import Tensor

from potentials.atom_graph import collate, make_graph
from potentials.errors import InputError
from potentials.potential import Potential, PotentialChoice, load_potential


def torchsim_model(
    potential: Potential | PotentialChoice,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    stress: bool = True,
) -> Any:
    """A `torch_sim.models.interface.ModelInterface` that answers with the energies, forces and stresses of a potential.

    Answers do not depend on how TorchSim batches systems. TorchSim keeps cells as columns; they are turned here.

    Args:
        potential: any `Potential`, or the name or path of one.
        device: where TorchSim keeps its states; the potential runs where it was made to.
        dtype: of TorchSim's states.
        stress: compute stresses; can be changed later by `model.compute_stress`.

    Raises:
        InputError: TorchSim is not installed.
    """
    try:
        from torch_sim.models.interface import ModelInterface
    except ImportError as error:
        raise InputError(
            f"TorchSim does not import ({error}): pip install torch-sim-atomistic, Python 3.12 for its latest release"
        ) from None
    model = load_potential(potential) if isinstance(potential, str | dict) else potential

    class SorbusModel(ModelInterface):
        """See `torchsim_model`."""

        def __init__(self) -> None:
            super().__init__()
            self.potential = model
            self._device, self._dtype = torch.device(device), dtype
            self._compute_forces, self._compute_stress = True, stress
            # with a cutoff the number of neighbours, and so the memory, grows with the density
            self._memory_scales_with = "n_atoms" if model.cutoff is None else "n_atoms_x_density"

        @property
        def compute_stress(self) -> bool:
            return self._compute_stress

        @compute_stress.setter
        def compute_stress(self, value: bool) -> None:
            self._compute_stress = value

        def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
            return evaluate_state(self.potential, state, stress=self._compute_stress)

    return SorbusModel()


def evaluate_state(potential: Potential, state: Any, *, stress: bool = True) -> dict[str, Tensor]:
    """`energy [S]`, `forces [N, 3]` and `stress [S, 3, 3]` of a TorchSim state, or the mapping of its fields.

    All three are in the state's dtype and on its device; units are the same on both sides (eV, Å, ASE's sign).
    """
    fields = state if isinstance(state, dict) else vars(state)
    positions, cell, numbers = fields["positions"], fields["cell"], fields["atomic_numbers"]
    owner = fields.get("system_idx")
    systems = len(cell) if cell.ndim == 3 else 1
    rows = cell.reshape(systems, 3, 3).transpose(1, 2)
    counts = [len(positions)] if owner is None else torch.bincount(owner, minlength=systems).tolist()
    # one flag for all three axes before TorchSim 0.4, one an axis since
    pbc = torch.as_tensor(fields["pbc"], dtype=torch.bool).cpu().expand(3)
    parts = zip(numbers.cpu().split(counts), positions.detach().cpu().split(counts), rows.detach().cpu(), strict=True)
    output = potential(collate([make_graph(z, x, h, pbc) for z, x, h in parts]), stress=stress)
    keys = ("energy", "forces", "stress") if stress else ("energy", "forces")
    return {key: output[key].to(positions.device, positions.dtype) for key in keys}  # type: ignore[literal-required]
