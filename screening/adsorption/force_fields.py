"""Host-guest force fields by name, and the model settings every adsorption number depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.gases import TRAPPE, ZEOLITE, Gas
from screening.adsorption.uff import UFF

Truncation = Literal["tail", "truncated", "shifted"]


@dataclass(frozen=True)
class ForceField:
    """Lennard-Jones parameters of framework elements and gases; unlike pairs by Lorentz-Berthelot mixing."""

    name: str
    framework: Mapping[str, tuple[float, float]]  # element -> (epsilon / k_B in K, sigma in Å)
    framework_charges: Mapping[str, float] | None  # element -> e, where the force field fixes them
    gases: Mapping[str, Gas]
    source: str

    def parameters(self, elements: set[str]) -> dict[str, tuple[float, float]]:
        """Parameters of the framework's elements, sorted by symbol.

        Raises:
            InputError: an element has none.
        """
        missing = sorted(elements - set(self.framework))
        if missing:
            raise InputError(
                f"force field {self.name} has no parameters for {', '.join(missing)}: "
                f"choose another force field or drop the structure"
            )
        return {element: self.framework[element] for element in sorted(elements)}


FORCE_FIELDS = {
    "uff-trappe": ForceField(
        name="uff-trappe",
        framework=UFF,
        framework_charges=None,
        gases=TRAPPE,
        source="UFF (Rappé et al. 1992) with TraPPE gases",
    ),
    # RASPA's zeolite examples: Bai's O and Si with García-Sánchez' charges. A check of codes, not of physics.
    "zeolite": ForceField(
        name="zeolite",
        framework={"O": (53.0, 3.30), "Si": (22.0, 2.30)},
        framework_charges={"O": -1.025, "Si": 2.05},
        gases=ZEOLITE,
        source="Bai, Tsapatsis, Siepmann, J. Phys. Chem. C 117, 24375 (2013), charges and gases of RASPA's examples",
    ),
}


class HostGuestModel(Config):
    """How the framework and the gas interact; part of every result's method string."""

    force_field: Literal["uff-trappe", "zeolite"] = "uff-trappe"
    # Charges of a framework that brings none of its own; "none" switches electrostatics off altogether.
    charges: Literal["environment", "eqeq", "none"] = "environment"
    cutoff: float = Field(default=12.0, ge=8.0, le=20.0)  # Å, Lennard-Jones and real-space Ewald alike
    # Beyond the cut-off: analytic tail (TraPPE's own convention), nothing, or shifted to zero at the cut-off.
    truncation: Truncation = "tail"

    def describe(self, charge_method: str) -> str:
        """One line naming force field, mixing, charges, cut-off and truncation."""
        electrostatics = "no electrostatics" if self.charges == "none" else f"{charge_method} charges, Ewald 1e-6"
        return (
            f"{self.force_field} (Lorentz-Berthelot), {electrostatics}, "
            f"{self.cutoff:g} Å {_TRUNCATION_WORDS[self.truncation]}, rigid framework"
        )


_TRUNCATION_WORDS = {
    "tail": "cut-off with tail correction",
    "truncated": "cut-off, truncated",
    "shifted": "cut-off, shifted",
}
