"""Several potentials trained alike from different seeds: their mean, and their disagreement as uncertainty.

Deep ensembles after Lakshminarayanan, Pritzel, Blundell (NeurIPS 2017). The raw spread is too small; a factor fitted on
held-out frames (`potentials.calibration`) makes it a standard deviation.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Batch

from potentials.errors import InputError
from potentials.potential import Potential, PotentialOutput, load_potential


class EnsemblePotential:
    """The mean of some potentials, with `energy_std` and `forces_std` from their spread.

    Args:
        members: at least two potentials, or what `load_potential` takes for each.
        energy_factor, forces_factor: what the spread is multiplied with, from a calibration.
        name: for provenance.

    Raises:
        InputError: fewer than two members.
    """

    def __init__(
        self,
        members: Sequence[Potential | str | Path],
        *,
        energy_factor: float = 1.0,
        forces_factor: float = 1.0,
        name: str | None = None,
    ) -> None:
        if len(members) < 2:
            raise InputError(f"an ensemble of {len(members)} cannot disagree: give at least two members")
        self.members: list[Potential] = [load_potential(m) if isinstance(m, str | Path) else m for m in members]
        self.name = name or f"{self.members[0].name}-x{len(members)}"
        self.elements = frozenset.intersection(*(member.elements for member in self.members))
        cutoffs = [member.cutoff for member in self.members]
        self.cutoff = None if any(c is None for c in cutoffs) else max(c for c in cutoffs if c is not None)
        self.energy_factor, self.forces_factor = energy_factor, forces_factor

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Mean energy, forces and stress; standard deviations of energies and of force components."""
        outputs = [member(batch, stress=stress) for member in self.members]
        energies = torch.stack([output["energy"] for output in outputs])
        forces = torch.stack([output["forces"] for output in outputs])
        # one number an atom: the spread of a single component is a poor estimate from a few members
        spread = forces.var(dim=0).mean(dim=1, keepdim=True).sqrt().expand_as(forces[0])
        result = PotentialOutput(
            energy=energies.mean(dim=0),
            forces=forces.mean(dim=0),
            energy_std=self.energy_factor * energies.std(dim=0),
            forces_std=self.forces_factor * spread,
        )
        if stress:
            result["stress"] = torch.stack([output["stress"] for output in outputs]).mean(dim=0)
        return result
