"""How sure learned charges are: elements the model hardly met, and how far its members differ in the pores.

The networks of a model were trained apart, and charges by kinship (`potentials.charge_kernel`) come about in another
way altogether, so all of them agree where data tied them down and drift apart where it did not. What that means for a
guest is read off poses of the guest in the pores (`guest_poses.py`): each member's Henry coefficient follows from that
of their mean by perturbation, without a Monte Carlo run. The spread of its logarithm foretells the error against DDEC
charges better than the spread of the charges does. Members fitted to the same frameworks share errors too, so the
spread is turned into a standard error by what was found on frameworks that none of them saw
(`python benchmarks/learned_charges.py spread`).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Structure

from potentials.errors import InputError
from potentials.guest_poses import log_henry_change
from screening.adsorption.charge_dataset import distinct_atoms
from screening.adsorption.charges import LEARNED
from screening.adsorption.framework import Host
from screening.adsorption.guest_poses import PoseConfig, PoseHost, draw_poses
from screening.adsorption.learned_charges import ChargeModel, member_charges, rare_elements, shipped_model
from screening.candidate import Property

# standard error of ln K_H = sqrt(FLOOR^2 + (SCALE spread)^2). A little less than the likeliest on 217 validation
# frameworks (0.03, 2.4), which a few far outliers draw up
FLOOR, SCALE = 0.05, 2.0


@dataclass(frozen=True)
class ChargeConfidence:
    """What is known of the error of a framework's learned charges."""

    rare: Mapping[str, int]  # elements that fewer than `RARE` training frameworks hold, and how many do
    charge_spread: float  # e, root mean square over atoms of the members' standard deviation
    log_henry_spread: float | None  # standard deviation of the members' ln K_H; None where the guest does not fit

    @property
    def log_henry_std(self) -> float | None:
        """Standard error of ln K_H owed to the charges; None where the guest does not fit."""
        if self.log_henry_spread is None:
            return None
        return math.hypot(FLOOR, SCALE * self.log_henry_spread)

    @property
    def note(self) -> str:
        """One line for a table; empty where nothing is worth saying."""
        words = []
        if self.rare:
            seen = ", ".join(f"{symbol} ({count})" for symbol, count in self.rare.items())
            words.append(f"learned charges know few frameworks with {seen}")
        if self.log_henry_std is not None:
            factor = math.exp(self.log_henry_std)
            words.append(f"learned charges leave the Henry coefficient uncertain by a factor {factor:.1f}")
        return "; ".join(words)


def confidence_properties(host: Host, gas: str = "CO2", temperature: float = 298.0) -> tuple[Property, ...]:
    """What a table row says of the error that learned charges bring to Henry coefficients; empty for other charges.

    Args:
        host: as `prepare_host` gives it.
        gas, temperature: whose Henry coefficient, at which temperature (K).
    """
    if not host.charge_method.startswith(LEARNED):
        return ()
    name = f"charges_ln_henry_{gas.lower()}_std"
    poses = PoseConfig(gas=gas, force_field=host.model.force_field, temperature=temperature)
    try:
        found = charge_confidence(host.structure, host.elements, poses)
    except InputError as error:
        return (Property(name, None, "", note=str(error)),)
    how = f"spread over the members of the charge model, from {poses.kept} poses at {temperature:g} K by perturbation"
    return (Property(name, found.log_henry_std, "", method=how, note=found.note),)


def charge_confidence(
    structure: Structure,
    elements: Sequence[str],
    poses: PoseConfig | None = None,
    model: ChargeModel | None = None,
) -> ChargeConfidence:
    """How sure the learned charges of a framework are, for a guest at a temperature.

    Args:
        structure: ordered periodic crystal that has passed the geometry gate.
        elements: symbol of every atom, all of them known to the model.
        poses: guest, force field, temperature; CO2 with UFF and TraPPE at 298 K by default.
        model: by default the one shipped.

    Raises:
        InputError: an unknown gas or force field, or an element without parameters.
    """
    model = model or shipped_model()
    members = member_charges(structure, elements, model)  # [members, n]
    deviation = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1])
    rms = float(np.sqrt(np.mean(deviation**2)))
    return ChargeConfidence(
        rare_elements(elements, model), rms, _log_henry_spread(structure, elements, members, poses or PoseConfig())
    )


def _log_henry_spread(
    structure: Structure, elements: Sequence[str], members: np.ndarray, config: PoseConfig
) -> float | None:
    _, inverse, counts = distinct_atoms(structure)
    charges = np.stack([np.bincount(inverse, weights=row) / counts for row in members])  # [members, R]
    mean = charges.mean(axis=0)
    host = PoseHost(np.array(structure.lattice.matrix), np.array(structure.frac_coords), tuple(elements), inverse, mean)
    seed = int(hashlib.sha256(structure.composition.formula.encode()).hexdigest()[:8], 16)
    poses = draw_poses(host, config, seed)
    if poses is None or len(charges) < 2:
        return None
    changes = [float(log_henry_change(poses, torch.from_numpy(own - mean).float())) for own in charges]
    return float(np.std(changes, ddof=1))
