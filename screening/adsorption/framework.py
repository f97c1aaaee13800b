"""From a crystal to a simulation host: checks, partial charges, and how often the cell is repeated."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Lattice, Structure

from potentials.errors import GeometryError, InputError
from potentials.gate import GateLimits, cell_heights, check_geometry
from screening.adsorption.charges import framework_charges
from screening.adsorption.force_fields import ForceField, HostGuestModel, find_force_field

MAX_HOST_ATOMS = 50_000  # after repetition; beyond this a run neither fits its time nor its memory
OVERLAP = 0.5  # of the sum of two covalent radii; atoms closer than that overlap
_LIMITS = GateLimits(max_atoms=20 * MAX_HOST_ATOMS)  # `check_size` says what to do about too large a cell

_ISOTOPES = {"D": "H", "T": "H"}


@dataclass(frozen=True)
class Host:
    """A rigid framework ready for simulation."""

    structure: Structure  # one unit cell
    elements: tuple[str, ...]  # [n_atoms]
    types: tuple[str, ...]  # [n_atoms] force-field types: elements, or labels such as C2
    charges: np.ndarray  # [n_atoms] e, summing to zero
    charge_method: str  # how the charges came about
    repeats: tuple[int, int, int]  # unit cells along a, b, c
    model: HostGuestModel
    force_field: ForceField
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what was worked out of it, by name

    @property
    def lennard_jones(self) -> np.ndarray:
        """[n_atoms, 2]: epsilon / k_B in K and sigma in Å of every atom."""
        return np.array([self.force_field.framework[kind] for kind in self.types])

    @property
    def density(self) -> float:
        """kg/m^3."""
        return float(self.structure.density) * 1000.0

    @property
    def cell_mass(self) -> float:
        """kg/mol of unit cells."""
        return float(self.structure.composition.weight) / 1000.0

    @property
    def method(self) -> str:
        """Force field, charges, cut-off and simulation box in one line."""
        box = "x".join(map(str, self.repeats))
        return f"{self.model.describe(self.charge_method)}, {box} cells"


def supercell_repeats(lattice: Lattice, cutoff: float) -> tuple[int, int, int]:
    """Fewest repeats along a, b, c that make every perpendicular width at least twice the cut-off (Å).

    Below that a molecule would meet its own periodic image inside the cut-off.
    """
    # a width equal to 2 rc up to rounding must not cost another repeat
    widths = cell_heights(lattice.matrix, np.ones(3, dtype=bool))
    na, nb, nc = np.ceil(2.0 * cutoff / widths - 1e-9).astype(int)
    return int(na), int(nb), int(nc)


def check_size(structure: Structure, cutoff: float) -> None:
    """Refuse a cell whose simulation box, for a cut-off (Å), holds more than `MAX_HOST_ATOMS` atoms.

    Raises:
        GeometryError: with the number of atoms, the limit and what to do.
    """
    repeats = supercell_repeats(structure.lattice, cutoff)
    atoms = len(structure) * int(np.prod(repeats))
    if atoms > MAX_HOST_ATOMS:
        shorter = "" if len(structure) > MAX_HOST_ATOMS else f", or a cut-off below {cutoff:g} Å (model.cutoff)"
        raise GeometryError(
            f"the simulation box of {'x'.join(map(str, repeats))} cells of {len(structure)} atoms holds {atoms}, above "
            f"{MAX_HOST_ATOMS}: give the primitive cell instead of a supercell{shorter}"
        )


def check_framework(structure: Structure, model: HostGuestModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Refuse what cannot be simulated, as far as that can be told before charges are assigned.

    Returns:
        Element and force-field type of every atom.

    Raises:
        InputError: partial occupancy, unparameterised elements, or given charges that are not neutral.
        GeometryError: a flat cell, overlapping atoms, or a simulation box that is too large.
    """
    disordered = [index for index, site in enumerate(structure) if not site.is_ordered]
    if disordered:
        first = structure[disordered[0]]
        raise InputError(
            f"the framework has {len(disordered)} partially occupied sites, the first of them "
            f"{first.species.formula.replace(' ', '')} at site {disordered[0]}: choose one ordered arrangement "
            "(drop the alternatives, and the disordered solvent)"
        )
    check_geometry(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True, _LIMITS)
    _check_overlaps(structure)
    check_size(structure, model.cutoff)
    elements = tuple(_ISOTOPES.get(site.specie.symbol, site.specie.symbol) for site in structure)
    types = find_force_field(model.force_field).assign(elements, [site.label for site in structure])
    given = structure.site_properties.get("charge")
    if model.charges != "none" and given is not None and any(given):
        try:
            framework_charges(structure, elements, model.charges, None)
        except InputError as error:
            raise InputError(f"{error}; correct them, or leave them out of the file to have them assigned") from None
    return elements, types


def _check_overlaps(structure: Structure) -> None:
    """Refuse atoms that lie in one another: no bond is half as long as the sum of two covalent radii."""
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    first, second, _, distances = structure.get_neighbor_list(2.0 * OVERLAP * float(radii.max()))
    near = np.flatnonzero((distances < OVERLAP * (radii[first] + radii[second])) & (first <= second))
    if len(near):
        worst = near[np.argmin(distances[near])]
        one, other = structure[int(first[worst])], structure[int(second[worst])]
        raise GeometryError(
            f"{len(near)} pairs of atoms overlap, the closest {one.label} and {other.label}, {distances[worst]:.2f} Å "
            "apart: the file holds several alternatives of a disordered part; keep one of them"
        )


def prepare_host(structure: Structure, model: HostGuestModel) -> Host:
    """Check a framework and give it charges and a simulation box.

    Args:
        structure: an ordered, periodic crystal; a site property `charge` (e) is used as given.
        model: force field, charge method, cut-off.

    Raises:
        InputError: partial occupancy, unparameterised elements, or given charges that are not neutral.
        GeometryError: a flat cell, overlapping atoms, or a simulation box that is too large.
    """
    elements, types = check_framework(structure, model)
    force_field = find_force_field(model.force_field)
    repeats = supercell_repeats(structure.lattice, model.cutoff)
    fixed = force_field.framework_charges
    charges, charge_method = framework_charges(structure, types if fixed else elements, model.charges, fixed)
    return Host(structure, elements, types, charges, charge_method, repeats, model, force_field)
