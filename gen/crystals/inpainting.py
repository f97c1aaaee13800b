"""Completing a crystal around a part that is given, and starting from a given crystal at a noise level.

The known part is noised to the level the reverse process has come to, put in place of what the process made there,
and left exact at the end (the replacement method of Song et al. 2021, sec. 5; Lugmayr et al. 2022, RePaint, eq. 8).
The network's picture of the crystal is free to shift as a whole, so it is laid over the known sites before each
step. Going back and forth between two levels (`resample`) lets the rest settle around the known part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Element, Structure
from torch import Tensor

from gen.crystals.checkpoint import CrystalModel
from gen.crystals.gate import geometry_fault
from gen.crystals.process import CrystalProcess, Geometry
from gen.crystals.symmetry import niggli_cell
from gen.diffusion.wrapped_normal import nearest
from potentials.errors import InputError


@dataclass(frozen=True)
class Fixed:
    """What of a structure must come back unchanged."""

    structure: Structure
    sites: tuple[int, ...] | None = None  # indices of the sites to keep; None: all
    species: bool = True  # keep their elements
    coordinates: bool = True  # keep their fractional coordinates
    lattice: bool = True  # keep the cell


@dataclass(frozen=True)
class Start:
    """A crystal to start from."""

    structure: Structure
    noise: float = 0.3  # time at which the reverse process starts, 0 the structure itself, 1 pure noise
    species_noise: float = 0.0  # share of the atoms whose element is drawn again


@dataclass(frozen=True)
class Known:
    """A given crystal in the model's terms: K sites in a Niggli cell."""

    tokens: Tensor  # [K] species index, -1 where the model chooses
    frac: Tensor | None  # [K, 3], None where they are free
    lattice: Tensor | None  # [3, 3] Å, None where it is free
    basis: np.ndarray  # [3, 3] integer rows: the Niggli vectors in those the user gave
    cell: np.ndarray  # [3, 3] Å as the user gave it


def known_part(fixed: Fixed, model: CrystalModel) -> Known:
    """Check and translate what is to be kept.

    Raises:
        InputError: a site that is not there, an element the model does not know, nothing to keep, or a broken cell.
    """
    structure = fixed.structure
    sites = tuple(range(len(structure))) if fixed.sites is None else fixed.sites
    for site in sites:
        if not 0 <= site < len(structure):
            raise InputError(f"fixed site {site} is not one of the {len(structure)} sites: count from 0")
    if len(set(sites)) != len(sites):
        raise InputError(f"fixed sites {list(sites)} name a site twice: name each once")
    if not (fixed.species or fixed.coordinates):
        sites = ()
    if not sites and not fixed.lattice:
        raise InputError("nothing is fixed: keep species or coordinates of some sites, or the lattice")
    tokens, frac, lattice, basis = _translate(structure, sites, model)
    return Known(
        tokens=tokens if fixed.species else torch.full_like(tokens, -1),
        frac=frac if fixed.coordinates and len(sites) else None,
        lattice=lattice if fixed.lattice else None,
        basis=basis,
        cell=structure.lattice.matrix,
    )


def start_part(start: Start, model: CrystalModel) -> Known:
    """Check and translate a structure to start from.

    Raises:
        InputError: a noise level outside 0 to 1, an element the model does not know, or a broken cell.
    """
    for name, value in (("noise", start.noise), ("species_noise", start.species_noise)):
        if not 0 <= value <= 1 or (name == "noise" and value == 0):
            raise InputError(f"{name} = {value} is outside {'0 to 1' if name != 'noise' else 'above 0 up to 1'}")
    tokens, frac, lattice, basis = _translate(start.structure, range(len(start.structure)), model)
    return Known(tokens, frac, lattice, basis, start.structure.lattice.matrix)


def impose(process: CrystalProcess, known: Known, geometry: Geometry, t: float, noise: Geometry | None) -> Geometry:
    """The geometry with the known part at time `t` in its place; exact at time 0.

    Args:
        noise: of the whole crystal, [B, N, 3] and [B, D]; None leaves the known part exact.
    """
    batch, n_atoms, _ = geometry.frac.shape
    frac, components = geometry.frac, geometry.components
    count = 0 if known.frac is None else len(known.frac)
    clean = Geometry(frac.clone(), components)
    if known.frac is not None:
        clean.frac[:, :count] = known.frac.to(frac)
    if known.lattice is not None:
        encoded = process.encode(known.lattice.to(frac)[None], n_atoms)
        clean = Geometry(clean.frac, encoded.expand(batch, -1))
    if t > 0 and noise is not None:
        clean = process.noised(clean, torch.full((batch,), t, dtype=frac.dtype, device=frac.device), noise)
    return Geometry(
        torch.cat([clean.frac[:, :count], frac[:, count:]], dim=1),
        clean.components if known.lattice is not None else components,
    )


def align(process: CrystalProcess, known: Known, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
    """Coordinate heads shifted alike, so that the crystal they predict lies over the known sites."""
    if known.frac is None:
        return heads
    count = len(known.frac)
    zero = Geometry(torch.zeros_like(heads.frac), heads.components)
    unit = Geometry(torch.full_like(heads.frac, 1e-3), heads.components)
    here = process.denoised(geometry, zero, t).frac
    slope = nearest(process.denoised(geometry, unit, t).frac - here) / 1e-3  # the prediction is linear in the heads
    predicted = process.denoised(geometry, heads, t).frac[:, :count]
    off = nearest(predicted - known.frac.to(predicted)).mean(1, keepdim=True)
    return Geometry(heads.frac - off / slope, heads.components)


def user_cell(known: Known, frac: np.ndarray, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and lattice back in the vectors the user gave; a fixed lattice in its own orientation."""
    back = np.linalg.inv(known.basis)
    return frac @ known.basis, known.cell if known.lattice is not None else back @ lattice


def _translate(
    structure: Structure, sites: Sequence[int], model: CrystalModel
) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    if not structure.is_ordered:
        raise InputError("the given structure has partially occupied sites: order it first")
    tokens = []
    for site in sites:
        number = int(structure[site].specie.Z)
        if number not in model.elements:
            raise InputError(f"this model was not trained on {Element.from_Z(number).symbol}: see its model card")
        tokens.append(model.elements.index(number))
    cell = structure.lattice.matrix
    frac = np.array([structure[site].frac_coords for site in sites]).reshape(-1, 3)
    fault = geometry_fault(np.zeros((1, 3)), cell) if not len(frac) else geometry_fault(frac, cell)
    if fault is not None and not fault.startswith(("dense", "dilute")):  # part of a crystal may be dilute
        raise InputError(f"the given structure is unusable ({fault}): repair it")
    reduced = niggli_cell((cell, np.zeros((1, 3)), np.ones(1)))
    basis = np.eye(3) if reduced is None else np.rint(reduced[0] @ np.linalg.inv(cell))
    if not np.isclose(abs(np.linalg.det(basis)), 1.0):
        basis = np.eye(3)
    moved = frac @ np.linalg.inv(basis)
    return (
        torch.tensor(tokens, dtype=torch.long),
        torch.from_numpy(moved - np.floor(moved)).float(),
        torch.from_numpy(basis @ cell).float(),
        basis,
    )
