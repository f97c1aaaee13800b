"""How far predictions are from labels: root mean square and mean absolute errors of energies, forces, stresses."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, collate
from potentials.potential import Potential


class LabelErrors:
    """Sums over batches; `summary` gives the errors of everything added, whatever the batches were."""

    def __init__(self) -> None:
        self._squares: dict[str, float] = {}
        self._absolutes: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, batch: Batch, output: Mapping[str, Tensor]) -> None:
        """Compare the labels of a batch (`energy`, `forces`, `stress`, `site_energies`; those it has) to an output."""
        sizes = torch.bincount(batch.batch, minlength=batch.num_graphs)
        energy = output["energy"].detach().double() - batch.energy
        self._accumulate("energy", energy)
        self._accumulate("energy_per_atom", energy / sizes)
        if "forces" in batch:
            self._accumulate("forces", output["forces"].detach().double() - batch.forces)
        if "site_energies" in batch and "site_energies" in output:
            self._accumulate("site_energies", output["site_energies"].detach().double() - batch.site_energies)
        if "stress" in batch and "stress" in output:
            difference = output["stress"].detach().double() - batch.stress
            self._accumulate("stress", difference[difference.isfinite()])

    @staticmethod
    def merged(parts: "Iterable[LabelErrors]") -> "LabelErrors":
        """Of everything added to any of the parts."""
        result = LabelErrors()
        for part in parts:
            for key, count in part._counts.items():
                result._squares[key] = result._squares.get(key, 0.0) + part._squares[key]
                result._absolutes[key] = result._absolutes.get(key, 0.0) + part._absolutes[key]
                result._counts[key] = result._counts.get(key, 0) + count
        return result

    def summary(self) -> dict[str, float]:
        """`energy_rmse` meV/atom, `total_energy_rmse` meV, `forces_rmse` meV/Å, `stress_rmse` meV/Å^3 and `_mae`s.

        With labels of sites `site_energies_rmse` meV too.
        """
        names = {"energy_per_atom": "energy", "energy": "total_energy"}
        names |= {key: key for key in ("forces", "site_energies", "stress")}
        result = {}
        for key, name in names.items():
            count = self._counts.get(key, 0)
            if count:
                result[f"{name}_rmse"] = 1000 * (self._squares[key] / count) ** 0.5
                result[f"{name}_mae"] = 1000 * self._absolutes[key] / count
        return result

    def _accumulate(self, key: str, difference: Tensor) -> None:
        self._squares[key] = self._squares.get(key, 0.0) + float(difference.square().sum())
        self._absolutes[key] = self._absolutes.get(key, 0.0) + float(difference.abs().sum())
        self._counts[key] = self._counts.get(key, 0) + difference.numel()


def evaluate(potential: Potential, frames: Sequence[AtomGraph], batch_size: int = 16) -> dict[str, float]:
    """Errors of any potential on labelled frames (`potentials.dataset.read_frames`); see `LabelErrors.summary`."""
    errors = LabelErrors()
    with_stress = "stress" in frames[0]
    for start in range(0, len(frames), batch_size):
        batch = collate(frames[start : start + batch_size])
        errors.add(batch, potential(batch, stress=with_stress))  # type: ignore[arg-type]
    return errors.summary()


def errors_by_element(
    potential: Potential, frames: Sequence[AtomGraph], batch_size: int = 16
) -> dict[str, dict[str, float]]:
    """By chemical symbol: `forces_rmse` and `forces_mae` meV/Å over components, `forces_rms` of the labels, `atoms`.

    Empty where the frames carry no forces.
    """
    if "forces" not in frames[0]:
        return {}
    differences, labels, numbers = [], [], []
    for start in range(0, len(frames), batch_size):
        batch = collate(frames[start : start + batch_size])
        differences.append(potential(batch, stress=False)["forces"].double() - batch.forces)  # type: ignore[arg-type]
        labels.append(batch.forces)
        numbers.append(batch.numbers)
    difference, label, number = 1000 * torch.cat(differences), 1000 * torch.cat(labels), torch.cat(numbers)
    result = {}
    for z in number.unique().tolist():
        mine = number == z
        result[chemical_symbols[z]] = {
            "forces_rmse": round(float(difference[mine].square().mean().sqrt()), 4),
            "forces_mae": round(float(difference[mine].abs().mean()), 4),
            "forces_rms": round(float(label[mine].square().mean().sqrt()), 4),
            "atoms": int(mine.sum()),
        }
    return result
