"""Relaxation of a candidate with a learned potential, and what became of its framework."""

import functools
import json
from typing import Literal

import pydantic

from potentials.config import Config
from potentials.gate import geometry_fault
from potentials.potential import Potential, PotentialChoice, load_potential
from potentials.relaxation import relax
from screening.candidate import Candidate, Evaluation, Property
from screening.framework import framework_change


class RelaxationSettings(Config):
    """How a candidate is relaxed, and what it must survive."""

    potential: PotentialChoice = "chgnet-fast"  # as `load_potential` takes it: name, checkpoint folder, or a mapping
    first: PotentialChoice | None = None  # a fast potential that goes most of the way before `potential` takes over
    fmax: float = pydantic.Field(default=0.1, gt=0)  # eV/Å
    smax: float = pydantic.Field(default=2e-3, gt=0)  # eV/Å^3, 0.3 GPa
    max_steps: int = pydantic.Field(default=50, ge=0)
    variable_cell: bool = True
    optimizer: Literal["fire", "lbfgs"] = "lbfgs"
    kind: Literal["framework", "crystal"] = "framework"  # a crystal may change its bonds
    max_volume_change_percent: float = pydantic.Field(default=30.0, gt=0)  # frameworks, either way
    min_dimension: int = pydantic.Field(default=3, ge=0, le=3)  # frameworks: in which bonds must still run on


def evaluate_relaxation(candidate: Candidate, settings: RelaxationSettings, seed: int) -> Evaluation:
    """Relax positions and cell; reject what the potential cannot relax and frameworks that break.

    A relaxation that ends at `max_steps` is no failure: `relaxation_converged` and `relaxation_fmax` tell.

    Properties: `relaxed_energy_ev_atom`, `relaxation_energy_ev_atom` (gained), `relaxation_steps`,
    `relaxation_converged` (bool), `relaxation_fmax`, `volume_change_percent` and, for frameworks,
    `framework_intact` (bool), `bonds_broken`, `bonds_formed`, `max_displacement_angstrom`.
    Nothing is random; `seed` is not used.
    """
    structure = candidate.structure
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        return Evaluation(rejected=fault)
    potential = _potential(json.dumps(settings.potential, sort_keys=True))
    (relaxed,) = relax(
        [structure],
        potential,
        first=None if settings.first is None else _potential(json.dumps(settings.first, sort_keys=True)),
        fmax=settings.fmax,
        smax=settings.smax,
        max_steps=settings.max_steps,
        variable_cell=settings.variable_cell,
        optimizer=settings.optimizer,
    )
    method = (
        f"{potential.name}, {settings.optimizer} to {settings.fmax} eV/Å or {settings.max_steps} steps, "
        f"{'variable' if settings.variable_cell else 'fixed'} cell"
        f"{'' if settings.first is None else ', after a first stage with a faster potential'}"
    )
    n_atoms = len(structure)
    energy, initial = relaxed.energy, relaxed.initial_energy
    gained = None if energy is None or initial is None else (initial - energy) / n_atoms
    volume = None if relaxed.volume_change is None else 100.0 * relaxed.volume_change
    properties = [
        Property("relaxed_energy_ev_atom", None if energy is None else energy / n_atoms, "eV/atom", method=method),
        Property("relaxation_energy_ev_atom", gained, "eV/atom", method=method, note="energy gained"),
        Property("relaxation_steps", float(relaxed.steps), "", method=method),
        Property("relaxation_converged", float(relaxed.converged), "bool", method=method),
        Property("relaxation_fmax", relaxed.fmax, "eV/Å", method=method),
        Property("volume_change_percent", volume, "%", method=method),
    ]
    if relaxed.failure:
        reason = f"relaxation with {potential.name} failed: {relaxed.failure}"
        return Evaluation(tuple(properties), rejected=reason)
    if settings.kind == "crystal":
        return Evaluation(tuple(properties), structure=relaxed.structure)
    change = framework_change(structure, relaxed.structure, settings.max_volume_change_percent, settings.min_dimension)
    properties += [
        Property("framework_intact", float(change.intact), "bool", method=method, note=change.reason or ""),
        Property("bonds_broken", float(len(change.broken)), "", method=method),
        Property("bonds_formed", float(len(change.formed)), "", method=method),
        Property("max_displacement_angstrom", change.max_displacement, "Å", method=method),
    ]
    return Evaluation(tuple(properties), rejected=change.reason, structure=relaxed.structure)


@functools.lru_cache(maxsize=2)
def _potential(choice: str) -> Potential:
    """Loaded once per process, from the choice as JSON; workers relax one candidate after another."""
    return load_potential(json.loads(choice))
