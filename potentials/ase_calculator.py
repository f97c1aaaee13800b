"""Any `Potential` as an ASE calculator, for everything ASE can do with one."""

from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.atom_graph import collate, graph_from_atoms
from potentials.gate import DEFAULT_LIMITS, GateLimits, check_geometry
from potentials.potential import Potential, PotentialChoice, load_potential


class SorbusCalculator(Calculator):
    """ASE calculator around a `Potential`, or the short name or checkpoint path of one.

    Every geometry passes the gate before the potential sees it.

    Raises:
        InputError: unknown potential or element.
        GeometryError: on a calculation, for a geometry that may not be simulated.
    """

    implemented_properties = [  # noqa: RUF012 (ASE reads it from the class)
        "energy",
        "free_energy",
        "forces",
        "stress",
        "charges",
    ]

    def __init__(
        self, potential: Potential | PotentialChoice, *, limits: GateLimits = DEFAULT_LIMITS, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.potential = load_potential(potential) if isinstance(potential, str | dict) else potential
        self.limits = limits

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = tuple(all_changes)
    ) -> None:
        """Fill `results`: energy eV, forces eV/Å, stress eV/Å^3 (Voigt order) when periodic in three directions."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        check_geometry(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, self.limits)
        bulk = bool(np.all(atoms.pbc))
        output = self.potential(collate([graph_from_atoms(atoms)]), stress=bulk)
        energy = float(output["energy"][0])
        self.results = {"energy": energy, "free_energy": energy, "forces": output["forces"].cpu().double().numpy()}
        if bulk and "stress" in output:
            self.results["stress"] = full_3x3_to_voigt_6_stress(output["stress"][0].cpu().double().numpy())
        if "charges" in output:
            self.results["charges"] = output["charges"].cpu().double().numpy()
