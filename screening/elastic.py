"""Elastic constants and bulk modulus under a potential: small strains, atoms relaxed in each, stress differences.

C_ij = d sigma_i / d eps_j in Voigt notation (xx, yy, zz, yz, xz, xy; shear strains doubled), each column from the
strains +delta and -delta. The averages over orientations are Voigt's and Reuss' bounds and Hill's mean of them (R.
Hill, Proc. Phys. Soc. A 65, 349 (1952)). A crystal is mechanically stable where all eigenvalues of C are positive
(Born; F. Mouhat, F.-X. Coudert, Phys. Rev. B 90, 224104 (2014)): frameworks that fail it collapse under any load.
"""

import functools
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pydantic
from pymatgen.core import Lattice, Structure

from potentials.config import Config
from potentials.errors import InputError
from potentials.gate import check_geometry, geometry_fault
from potentials.potential import Potential, PotentialChoice, load_potential
from screening.candidate import Candidate, Evaluation, Property

GPA_PER_EV_A3 = 160.21766208
_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # Voigt order


class ElasticSettings(Config):
    """How a candidate is strained."""

    potential: PotentialChoice = "chgnet-fast"
    what: Literal["bulk", "tensor"] = "bulk"  # two strained cells, or twelve
    strain: float = pydantic.Field(default=0.005, gt=0.0, le=0.05)
    relax_atoms: bool = True  # off: the clamped-ion constants, an upper bound
    fmax: float = pydantic.Field(default=0.02, gt=0.0)  # eV/Å, of the atoms in each strained cell
    max_steps: int = pydantic.Field(default=200, ge=0)
    # FIRE copes better with the small forces and soft modes of a crystal that was relaxed already
    optimizer: Literal["fire", "lbfgs"] = "fire"


@dataclass(frozen=True)
class Elasticity:
    """Linear elastic response, all in GPa."""

    bulk_modulus: float  # Hill's mean, or -V dP/dV under isotropic strain where only that was measured
    stiffness: np.ndarray | None  # [6, 6] Voigt
    shear_modulus: float | None  # Hill's mean
    bulk_bounds: tuple[float, float] | None  # Reuss, Voigt
    shear_bounds: tuple[float, float] | None
    lowest_eigenvalue: float | None  # of the stiffness
    residual_pressure: float  # of the structure as given: far from zero, constants are those under that pressure
    converged: bool  # whether the atoms relaxed in every strained cell
    method: str

    @property
    def stable(self) -> bool:
        """Whether Born's criterion holds (of the bulk modulus alone, where that is all there is)."""
        lowest = self.bulk_modulus if self.lowest_eigenvalue is None else self.lowest_eigenvalue
        return lowest > 0.0


def elasticity(structure: Structure, potential: Potential, settings: ElasticSettings | None = None) -> Elasticity:
    """Bulk modulus, or the whole stiffness, of a crystal at the geometry given (relax it first).

    Args:
        structure: ordered periodic crystal.
        potential: gives stresses.
        settings: what, and how carefully; `settings.potential` is not used.

    Raises:
        InputError: an element the potential does not know, or a strained cell that could not be relaxed at all.
        GeometryError: a cell that cannot be simulated.
    """
    settings = settings or ElasticSettings()
    check_geometry(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    delta = settings.strain
    if settings.what == "bulk":
        strains = [sign * delta * np.eye(3) for sign in (1.0, -1.0)]
    else:
        strains = [sign * delta * _unit_strain(column) for column in range(6) for sign in (1.0, -1.0)]
    cells = [strained(structure, strain) for strain in strains]
    converged = True
    if settings.relax_atoms and settings.max_steps > 0:
        cells, converged = _relaxed(cells, potential, settings)
    stresses = _stresses([structure, *cells], potential)  # [1 + n, 3, 3] eV/Å^3
    pressure = -float(np.trace(stresses[0])) / 3.0 * GPA_PER_EV_A3
    how = "atoms relaxed" if settings.relax_atoms else "atoms clamped"
    method = f"{potential.name}, strains of ±{delta:g}, {how} to {settings.fmax:g} eV/Å, stress differences"
    if settings.what == "bulk":
        trace = [float(np.trace(stress)) / 3.0 for stress in stresses[1:]]
        # volume strain is three times the linear one: K = V dp/dV = d(tr sigma / 3) / (3 d eps)
        bulk = (trace[0] - trace[1]) / (6.0 * delta) * GPA_PER_EV_A3
        return Elasticity(bulk, None, None, None, None, None, pressure, converged, method)
    stiffness = np.empty((6, 6))
    for column in range(6):
        change = stresses[1 + 2 * column] - stresses[2 + 2 * column]
        stiffness[:, column] = [change[pair] for pair in _PAIRS]
    stiffness *= GPA_PER_EV_A3 / (2.0 * delta)
    stiffness = 0.5 * (stiffness + stiffness.T)
    bulk_bounds, shear_bounds = orientation_bounds(stiffness)
    return Elasticity(
        bulk_modulus=float(np.mean(bulk_bounds)),
        stiffness=stiffness,
        shear_modulus=float(np.mean(shear_bounds)),
        bulk_bounds=bulk_bounds,
        shear_bounds=shear_bounds,
        lowest_eigenvalue=float(np.linalg.eigvalsh(stiffness)[0]),
        residual_pressure=pressure,
        converged=converged,
        method=method,
    )


def orientation_bounds(stiffness: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """(Reuss, Voigt) bounds of bulk and shear modulus from a stiffness [6, 6]; in its unit (Hill 1952, eqs 2.2-2.6)."""
    c = stiffness
    normal, off, shear = np.trace(c[:3, :3]), c[0, 1] + c[1, 2] + c[0, 2], np.trace(c[3:, 3:])
    bulk_voigt = (normal + 2.0 * off) / 9.0
    shear_voigt = (normal - off + 3.0 * shear) / 15.0
    s = np.linalg.pinv(c)
    normal, off, shear = np.trace(s[:3, :3]), s[0, 1] + s[1, 2] + s[0, 2], np.trace(s[3:, 3:])
    bulk_reuss = 1.0 / (normal + 2.0 * off)
    shear_reuss = 15.0 / (4.0 * normal - 4.0 * off + 3.0 * shear)
    return (float(bulk_reuss), float(bulk_voigt)), (float(shear_reuss), float(shear_voigt))


def strained(structure: Structure, strain: np.ndarray) -> Structure:
    """The structure with its cell, and its atoms with it, deformed by 1 + strain [3, 3]."""
    matrix = structure.lattice.matrix @ (np.eye(3) + strain)
    return Structure(Lattice(matrix), structure.species, structure.frac_coords)


def evaluate_elasticity(candidate: Candidate, settings: ElasticSettings, seed: int) -> Evaluation:
    """Properties `bulk_modulus_gpa`, `mechanically_stable` (bool), `residual_pressure_gpa` and, for the tensor,
    `shear_modulus_gpa` and `lowest_stiffness_gpa`. Nothing is random; `seed` is not used.
    """
    structure = candidate.structure
    fault = geometry_fault(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    if fault:
        return Evaluation(rejected=fault)
    try:
        found = elasticity(structure, _potential(json.dumps(settings.potential, sort_keys=True)), settings)
    except InputError as error:
        return Evaluation(rejected=str(error))
    note = "" if found.converged else f"atoms not relaxed within {settings.max_steps} steps in some strained cell"
    properties = [
        Property("bulk_modulus_gpa", found.bulk_modulus, "GPa", method=found.method, note=note),
        Property("mechanically_stable", float(found.stable), "bool", method=found.method, note=note),
        Property("residual_pressure_gpa", found.residual_pressure, "GPa", method=found.method),
    ]
    if found.stiffness is not None:
        properties += [
            Property("shear_modulus_gpa", found.shear_modulus, "GPa", method=found.method, note=note),
            Property("lowest_stiffness_gpa", found.lowest_eigenvalue, "GPa", method=found.method, note=note),
        ]
    return Evaluation(tuple(properties))


def _unit_strain(column: int) -> np.ndarray:
    strain = np.zeros((3, 3))
    i, j = _PAIRS[column]
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def _relaxed(cells: list[Structure], potential: Potential, settings: ElasticSettings) -> tuple[list[Structure], bool]:
    from potentials.relaxation import relax

    results = relax(
        cells,
        potential,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
        variable_cell=False,
        optimizer=settings.optimizer,
    )
    for result in results:
        if result.failure:
            raise InputError(f"a strained cell could not be relaxed with {potential.name}: {result.failure}")
    return [result.structure for result in results], all(result.converged for result in results)


def _stresses(structures: list[Structure], potential: Potential, batch_atoms: int = 500) -> np.ndarray:
    from potentials.atom_graph import collate, graph_from_structure

    size = max(batch_atoms // len(structures[0]), 1)
    parts = []
    for start in range(0, len(structures), size):
        batch = collate([graph_from_structure(structure) for structure in structures[start : start + size]])
        parts.append(potential(batch, stress=True)["stress"].double().cpu().numpy())
    return np.concatenate(parts)


@functools.lru_cache(maxsize=2)
def _potential(choice: str) -> Potential:
    """Loaded once per process, from the choice as JSON."""
    return load_potential(json.loads(choice))
