"""Any ASE calculator as a `Potential`, and the two teaching potentials ASE brings along."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Batch

from potentials.atom_graph import atoms_from_graph
from potentials.errors import InputError, SorbusError
from potentials.potential import PotentialOutput

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class ASEPotential:
    """Systems of a batch handed one by one to an ASE calculator.

    Args:
        factory: makes the calculator; called once, so its caches are reused from system to system.
        name: for provenance; the calculator's class by default.
        elements: atomic numbers it accepts; all by default (the calculator itself then refuses).
        cutoff: Å, when the model has one.

    Raises:
        InputError: on a call, when the calculator fails; its message is passed on.
    """

    def __init__(
        self,
        factory: Callable[[], "Calculator"],
        *,
        name: str | None = None,
        elements: Iterable[int] = range(1, 119),
        cutoff: float | None = None,
    ) -> None:
        self._calculator = factory()
        self.name = name or type(self._calculator).__name__.lower()
        self.elements = frozenset(elements)
        self.cutoff = cutoff

    def __call__(self, batch: Batch, *, stress: bool = True) -> PotentialOutput:
        """Energy, forces and, where a system is periodic in three directions, stress; see `Potential`."""
        energies, forces, stresses, sites = [], [], [], []
        for index in range(batch.num_graphs):
            atoms = atoms_from_graph(batch[index])
            atoms.calc = self._calculator
            try:
                energies.append(float(atoms.get_potential_energy()))
                forces.append(atoms.get_forces())
                wanted = stress and bool(atoms.pbc.all())
                stresses.append(atoms.get_stress(voigt=False) if wanted else np.zeros((3, 3)))
                sites.append(_site_energies(self._calculator))
            except SorbusError:
                raise
            except Exception as error:  # calculators raise anything; the user gets one sentence
                what = " ".join(str(error).split()) or type(error).__name__
                formula = atoms.get_chemical_formula()
                raise InputError(f"{self.name} failed on {formula} (system {index} of the batch): {what}") from error
        output = PotentialOutput(
            energy=torch.tensor(energies, dtype=torch.float64),
            forces=torch.from_numpy(np.concatenate(forces)).double(),
        )
        if stress:
            output["stress"] = torch.from_numpy(np.stack(stresses)).double()
        known = [site for site in sites if site is not None]
        if len(known) == batch.num_graphs:
            output["site_energies"] = torch.from_numpy(np.concatenate(known))
        return output


def _site_energies(calculator: "Calculator") -> np.ndarray | None:
    found = calculator.results.get("energies")
    return None if found is None else np.array(found, dtype=np.float64)  # a copy: calculators use the array again


def lennard_jones(*, epsilon: float = 0.0103, sigma: float = 3.4, cutoff: float | None = None, **options: Any) -> Any:
    """Smoothly cut Lennard-Jones for every element alike; the defaults are argon's (eV, Å).

    Argon: epsilon/k_B = 119.8 K, sigma = 3.405 Å (Rahman, Phys. Rev. 136, A405 (1964)).
    """
    from ase.calculators.lj import LennardJones

    radius = 3 * sigma if cutoff is None else cutoff
    return ASEPotential(
        lambda: LennardJones(epsilon=epsilon, sigma=sigma, rc=radius, smooth=True, **options), name="lj", cutoff=radius
    )


def effective_medium(**options: Any) -> Any:
    """Effective-medium theory of fcc metals (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394 (1996)), ASE's own."""
    from ase.calculators.emt import EMT

    # H, C, N, O are fitted for adsorbates only, but ASE accepts them.
    return ASEPotential(lambda: EMT(**options), name="emt", elements=(1, 6, 7, 8, 13, 28, 29, 46, 47, 78, 79))
