"""The bridge to RASPA3's Python module: systems built from our types, run with a seed, errors made standard.

RASPA3 (raspalib, MIT): Y. A. Ran et al., J. Chem. Phys. 161, 114106 (2024).
Facts about raspalib 3.1.0 that this file takes care of, each held by a test:
  * `initial_number_of_molecules` left out crashes the interpreter;
  * the atoms of component i must carry `component_id=i`, or a mixture aborts;
  * molecules are grown from their first site, placed by its own energy, charge and all: see `growing_order`;
  * the partial pressure of each of n components is external pressure / n times its fugacity coefficient;
  * reported errors are 95 % confidence intervals from Student's t over the blocks;
  * averages of energies come in kelvin, `compute_total_energies` in units of 10 J/mol;
  * a cycle is as many moves as there are molecules (20 at least), so a mean over cycles is no mean over time;
  * a system may be run on by a second `MonteCarlo`: its molecules stay, its own averages go on;
  * blocking pockets are fractions of the unit cell with a radius in Å, and turn away every molecule with an atom
    inside, in insertions and in moves.
A compiled call cannot be interrupted from Python and aborts the process on an internal error: run untrusted
structures in worker processes with a deadline.
"""

import importlib
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from screening.adsorption.blocking import pocket_blocks
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas, Site

BLOCKS = 10
MOVES_PER_CYCLE = 20  # RASPA's floor: a cycle is max(20, molecules) moves
KJ_PER_MOL_PER_KELVIN = GAS_CONSTANT / 1000.0
KELVIN_PER_RASPA_ENERGY = 10.0 / GAS_CONSTANT  # of `compute_total_energies`, which speaks of 10 J/mol
ENERGY_EVERY = 5  # cycles between two looks at the energy
_BARE_CHARGE = 0.5  # e, on the site a molecule is grown from; more misleads the growth
_NEVER = 2_000_000_000  # cycles between binary restart files, which we do not want


def load_raspalib() -> Any:
    """The raspalib module, imported without its remark on a missing OpenCL."""
    os.environ.setdefault("RASPALIB_QUIET", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        # by name: mypy cannot parse the type stubs raspalib 3.1.0 ships
        return importlib.import_module("raspalib")


def standard_error(confidence_95: float) -> float:
    """One standard error from raspalib's 95 % interval over `BLOCKS` blocks."""
    return float(confidence_95 / student_t.ppf(0.975, BLOCKS - 1))


def build_system(
    host: Host,
    gases: Sequence[Gas],
    *,
    temperature: float,
    pressure: float,
    fugacity_coefficients: Sequence[float],
    mole_fractions: Sequence[float],
    moves: Any,
    molecules: Sequence[int],
) -> Any:
    """A `raspalib.System` of a rigid host and its guests.

    Args:
        host: the framework.
        gases: the components, in order.
        temperature: K.
        pressure: Pa, of the mixture.
        fugacity_coefficients: one a gas.
        mole_fractions: one a gas, of the gas phase.
        moves: `raspalib.MCMoveProbabilities` of every component.
        molecules: how many of each gas are there at the start.
    """
    raspalib = load_raspalib()
    parameters = host.force_field.parameters(set(host.types))
    element_of = dict(zip(host.types, host.elements, strict=True))
    pseudo_atoms: list[Any] = []
    lennard_jones: list[Any] = []
    types: dict[tuple[str, str], int] = {}  # (gas or "framework", label) -> index
    for kind, (epsilon, sigma) in parameters.items():
        types["framework", kind] = len(pseudo_atoms)
        element = element_of[kind]
        mass = float(_atomic_mass(element))
        pseudo_atoms.append(raspalib.PseudoAtom(kind, True, mass, 0.0, 0.0, _atomic_number(element), True, ""))
        lennard_jones.append(raspalib.VDWParameters(epsilon, sigma))
    for gas in gases:
        for site in growing_order(gas):
            if (gas.name, site.label) not in types:
                types[gas.name, site.label] = len(pseudo_atoms)
                name = f"{gas.name}:{site.label}"  # two models may use one label with different parameters
                pseudo_atoms.append(
                    raspalib.PseudoAtom(name, False, site.mass, site.charge, 0.0, site.atomic_number, True, "")
                )
                lennard_jones.append(raspalib.VDWParameters(site.epsilon, site.sigma))
    use_charge = host.model.charges != "none" and any(gas.is_charged for gas in gases)
    cutoff = host.model.cutoff
    force_field = raspalib.ForceField(
        pseudo_atoms,
        lennard_jones,
        raspalib.ForceField.MixingRule.LORENTZ_BERTHELOT,
        cutoff,
        cutoff,
        cutoff,
        host.model.truncation == "shifted",
        host.model.truncation == "tail",
        use_charge,
    )
    a, b, c = host.structure.lattice.abc
    alpha, beta, gamma = (math.radians(angle) for angle in host.structure.lattice.angles)
    framework_atoms = [
        raspalib.Atom(
            tuple(map(float, fractional)), float(charge) if use_charge else 0.0, type=types["framework", kind]
        )
        for fractional, charge, kind in zip(host.structure.frac_coords % 1.0, host.charges, host.types, strict=True)
    ]
    framework = raspalib.Framework(
        force_field,
        "framework",
        raspalib.SimulationBox(a, b, c, alpha, beta, gamma),
        1,
        framework_atoms,
        list(host.repeats),
    )
    components = []
    for index, (gas, phi, y) in enumerate(zip(gases, fugacity_coefficients, mole_fractions, strict=True)):
        atoms = [
            raspalib.Atom(site.position, site.charge, type=types[gas.name, site.label], component_id=index)
            for site in growing_order(gas)
        ]
        components.append(
            raspalib.Component(
                force_field,
                gas.name,
                gas.critical_temperature,
                gas.critical_pressure,
                gas.acentric_factor,
                atoms,
                number_of_blocks=BLOCKS,
                particle_probabilities=moves,
                fugacity_coefficient=float(phi * y * len(gases)),
                blocking_pockets=_blocking_pockets(host, gas),
            )
        )
    return raspalib.System(
        force_field,
        external_temperature=float(temperature),
        external_pressure=float(pressure),
        framework_components=framework,
        components=components,
        initial_number_of_molecules=list(molecules),
        number_of_blocks=BLOCKS,
    )


def run_monte_carlo(system: Any, *, cycles: int, equilibration_cycles: int, seed: int) -> Any:
    """Run equilibration, then production; the system with its averages (over production alone)."""
    raspalib = load_raspalib()
    simulation = raspalib.MonteCarlo(
        number_of_cycles=int(cycles),
        number_of_initialization_cycles=int(equilibration_cycles),
        number_of_equilibration_cycles=0,
        write_binary_restart_every=_NEVER,
        print_every=_NEVER,
        systems=[system],
        random_seed=int(seed),
        number_of_blocks=BLOCKS,
        output_to_files=False,
    )
    simulation.run()
    return simulation.systems[0]


def growing_order(gas: Gas) -> list[Site]:
    """The sites of a molecule as RASPA should grow them: one that repels first, and without a charge of its own.

    RASPA draws the first site among trial places by its own energy. A charge alone feels a multiple of what the
    neutral molecule will, so that the draw goes to the wrong places, and averages over a finite run come out far too
    low (hydrogen in a charged framework: half). A first site with more than half a charge is therefore split into
    one that repels and, right beside it, one that carries the charge.
    """
    first = min(range(len(gas.sites)), key=lambda index: (gas.sites[index].epsilon == 0.0, index))
    site = gas.sites[first]
    rest = [other for index, other in enumerate(gas.sites) if index != first]
    if abs(site.charge) <= _BARE_CHARGE or any(other.label == site.label for other in rest):
        return [site, *rest]
    x, y, z = site.position
    repelling = replace(site, charge=0.0)
    charge = replace(site, label=f"{site.label}_charge", position=(x, y, z + 1e-4), epsilon=0.0, mass=0.0)
    return [repelling, charge, *rest]


@dataclass(frozen=True)
class Trace:
    """What a grand-canonical run saw, cycle by cycle."""

    numbers: np.ndarray  # [cycles, components] molecules in the box
    energies: np.ndarray  # [cycles // ENERGY_EVERY] K, after every `ENERGY_EVERY`-th cycle

    def then(self, more: "Trace") -> "Trace":
        """This run and its continuation."""
        return Trace(np.concatenate([self.numbers, more.numbers]), np.concatenate([self.energies, more.energies]))


def cycle_lengths(numbers: np.ndarray) -> np.ndarray:
    """[cycles] moves RASPA makes between each sample and the next: as many as there are molecules, 20 at least.

    A sample a cycle therefore counts crowded moments too little: more moves go by between two looks while pores are
    full. Of an ideal gas of 25 molecules RASPA finds 24.2, of 60 it finds 58.8; with these weights 25.0 and 59.8.
    The plain mean over cycles, which RASPA prints, is low by about var(N) / N molecules where N is above 20.

    Args:
        numbers: [cycles, components] molecules in the box.
    """
    return np.maximum(numbers.sum(axis=1), MOVES_PER_CYCLE).astype(float)


def sample_grand_canonical(system: Any, *, cycles: int, seed: int) -> tuple[Any, Trace]:
    """Run a system on and watch it: the system after it, and its molecules and energy cycle by cycle.

    Args:
        system: from `build_system`, or as an earlier call returned it.
        cycles: a multiple of `ENERGY_EVERY`.
        seed: of this stretch.
    """
    raspalib = load_raspalib()
    simulation = raspalib.MonteCarlo(
        number_of_cycles=int(cycles),
        number_of_initialization_cycles=0,
        number_of_equilibration_cycles=0,
        write_binary_restart_every=_NEVER,
        print_every=_NEVER,
        systems=[system],
        random_seed=int(seed),
        number_of_blocks=BLOCKS,
        output_to_files=False,
    )
    numbers: list[list[int]] = []
    energies: list[float] = []

    def look() -> None:
        state = simulation.systems[0]
        numbers.append(list(state.number_of_molecules_per_component))
        if len(numbers) % ENERGY_EVERY == 0:
            energies.append(state.compute_total_energies().potential_energy() * KELVIN_PER_RASPA_ENERGY)

    simulation.setup()
    # of no cycles, but without them guests start from no reciprocal Ewald sum and charged ones pile up
    simulation.initialize()
    simulation.equilibrate()
    simulation.production(look, 1)
    return simulation.systems[0], Trace(np.array(numbers), np.array(energies))


def _blocking_pockets(host: Host, gas: Gas) -> list[tuple[float, float, float, float]]:
    blocks = pocket_blocks(host, gas)
    return [(x, y, z, r) for (x, y, z), r in zip(blocks.centres.tolist(), blocks.radii.tolist(), strict=True)]


def _atomic_mass(element: str) -> float:
    from pymatgen.core import Element

    return float(Element(element).atomic_mass)


def _atomic_number(element: str) -> int:
    from pymatgen.core import Element

    return int(Element(element).Z)
