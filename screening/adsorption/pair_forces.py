"""Classical forces of a rigid framework on lone molecules, for dynamics: Lennard-Jones and damped Coulomb, in torch.

The molecule keeps its shape by stiff springs between its massive sites; massless sites (the charge in the middle of
N2, the M site of TIP4P) ride on them as fixed linear combinations. Electrostatics are the damped, shifted-force sum
over real space (C. J. Fennell, J. D. Gezelter, J. Chem. Phys. 124, 234104 (2006), eq 18), smooth at the cut-off; it
follows Ewald closely for a neutral molecule and needs no reciprocal space.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas

BOLTZMANN = 8.617333262e-5  # eV/K
COULOMB = 14.39964548  # e^2/(4 pi eps0), eV Å
DAMPING = 0.2  # 1/Å
SPRING = 60.0  # eV/Å^2, about that of C=O
_CHUNK = 4_000_000  # pairs at once
_SKIN = 1.5  # Å; pairs listed beyond the cut-off, so that a list lasts until a site has moved that far
_PLAIN = "donot_use_mm_for_euclid_dist"  # differences, not products: exact where it matters
_NEAREST = 0.8  # Å; closer, the repulsion is continued as it is there

ForceFunction = Callable[[Tensor], tuple[Tensor, Tensor]]  # positions [W, m, 3] Å to eV [W] and eV/Å [W, m, 3]


@dataclass(frozen=True)
class Molecule:
    """What moves: the massive sites of a molecule."""

    name: str
    positions: Tensor  # [m, 3] Å
    masses: Tensor  # [m] u


def classical_molecule(gas: Gas) -> Molecule:
    """The massive sites of a gas, its centre of mass at the origin."""
    masses = torch.tensor([site.mass for site in gas.sites if site.mass > 0.0], dtype=torch.float64)
    places = torch.tensor([site.position for site in gas.sites if site.mass > 0.0], dtype=torch.float64)
    return Molecule(gas.name, places - (masses[:, None] * places).sum(0) / masses.sum(), masses)


def site_weights(gas: Gas) -> Tensor:
    """Each interaction site as a combination of the massive ones: weights [n_sites, m], rows summing to one."""
    massive = np.array([site.position for site in gas.sites if site.mass > 0.0])
    weights = np.zeros((len(gas.sites), len(massive)))
    column = 0
    for row, site in enumerate(gas.sites):
        if site.mass > 0.0:
            weights[row, column] = 1.0
            column += 1
        else:
            system = np.vstack([massive.T, np.ones(len(massive))])
            weights[row] = np.linalg.lstsq(system, np.array([*site.position, 1.0]), rcond=None)[0]
    return torch.from_numpy(weights)


def classical_forces(host: Host, gas: Gas) -> ForceFunction:
    """Energies and forces of lone molecules in the host, springs included.

    Which pairs are near is kept from call to call (L. Verlet, Phys. Rev. 159, 98 (1967)), which changes no result.

    Args:
        host: framework with charges and force field.
        gas: molecule of that force field.
    """
    cutoff = host.model.cutoff
    cell = torch.from_numpy(np.array(host.structure.lattice.matrix))
    inverse = torch.linalg.inv(cell)
    images, atoms = _images(host, cutoff + _SKIN)
    parameters = host.force_field.framework
    types = getattr(host, "types", host.elements)
    framework = torch.tensor([parameters[types[atom]] for atom in atoms], dtype=torch.float64)  # [A, 2] K, Å
    charges = torch.from_numpy(host.charges)[atoms]
    use_charge = host.model.charges != "none" and gas.is_charged
    sites = torch.tensor([[s.epsilon, s.sigma, s.charge] for s in gas.sites], dtype=torch.float64)
    epsilon = BOLTZMANN * (sites[:, 0, None] * framework[:, 0]).sqrt()  # [s, A] eV
    sigma = 0.5 * (sites[:, 1, None] + framework[:, 1])
    product = COULOMB * sites[:, 2, None] * charges if use_charge else None
    weights = site_weights(gas)
    rest = classical_molecule(gas).positions
    first, second = torch.triu_indices(len(rest), len(rest), 1)
    lengths = (rest[first] - rest[second]).norm(dim=1)

    kept: dict[str, Any] = {}  # the list of pairs and the places it was made for

    def pairs(places: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each site: walkers [P], image atoms [P], where these are [P, 3]; made anew only where sites have moved."""
        if "places" in kept and kept["places"].shape == places.shape:
            moved = (places - kept["places"]).square().sum(-1).max()
            if float(moved) < _SKIN**2:  # the host stands still
                return kept["pairs"]  # type: ignore[no-any-return]
        shift = (places @ inverse).floor() @ cell  # [W, s, 3]
        found = []
        for site in range(len(gas.sites)):
            wrapped = places[:, site] - shift[:, site]
            parts = []
            for start in range(0, len(places), each):
                distance = torch.cdist(wrapped[start : start + each], images, compute_mode=_PLAIN)
                walker, atom = torch.nonzero(distance < cutoff + _SKIN, as_tuple=True)
                parts.append((walker + start, atom))
            walker, atom = (torch.cat(column) for column in zip(*parts, strict=True))
            found.append((walker, atom, images[atom] + shift[walker, site]))
        kept["places"], kept["pairs"] = places.clone(), found
        return found

    def energy(positions: Tensor) -> Tensor:
        places = torch.einsum("sm,wmd->wsd", weights, positions)
        total = positions.new_zeros(len(positions))
        for site, (walker, atom, there) in enumerate(pairs(places.detach())):
            squared = (places[:, site].index_select(0, walker) - there).square().sum(-1)  # [P]
            near = torch.nonzero(squared.detach() < cutoff**2)[:, 0]
            who, what = walker[near], atom[near]
            r2 = squared[near].clamp_min(_NEAREST**2)
            s6 = (sigma[site, what] ** 2 / r2) ** 3
            pair = 4.0 * epsilon[site, what] * (s6 * s6 - s6)
            if product is not None:
                pair = pair + product[site, what] * damped_coulomb(r2.sqrt(), cutoff)
            total = total.index_add(0, who, pair)
        if len(first):
            stretch = (positions[:, first] - positions[:, second]).norm(dim=2) - lengths
            total = total + 0.5 * SPRING * stretch.square().sum(1)
        return total

    each = max(_CHUNK // max(len(images), 1), 1)

    def forces(positions: Tensor) -> tuple[Tensor, Tensor]:
        variable = positions.detach().requires_grad_()
        with torch.enable_grad():
            value = energy(variable)
            (gradient,) = torch.autograd.grad(value.sum(), variable)
        return value.detach(), -gradient

    return forces


def damped_coulomb(r: Tensor, cutoff: float) -> Tensor:
    """1/r damped and shifted so that it and its slope vanish at the cut-off, 1/Å (Fennell & Gezelter, eq 18)."""
    edge = math.erfc(DAMPING * cutoff) / cutoff
    slope = edge / cutoff + 2.0 * DAMPING / math.sqrt(math.pi) * math.exp(-((DAMPING * cutoff) ** 2)) / cutoff
    return torch.erfc(DAMPING * r) / r - edge + slope * (r - cutoff)


def _images(host: Host, cutoff: float) -> tuple[Tensor, Tensor]:
    """Framework atoms within the cut-off of the unit cell: places [A, 3] Å and which atom each is [A]."""
    matrix = host.structure.lattice.matrix
    margin = cutoff * np.linalg.norm(np.linalg.inv(matrix), axis=0)
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in np.ceil(margin).astype(int)), indexing="ij")
    shifts = np.stack(grid, axis=-1).reshape(-1, 3)
    fractional = (host.structure.frac_coords % 1.0)[None] + shifts[:, None]
    near = ((fractional > -margin) & (fractional < 1.0 + margin)).all(axis=-1)
    atoms = np.broadcast_to(np.arange(len(host.structure)), near.shape)[near]
    return torch.from_numpy(fractional[near] @ matrix), torch.from_numpy(atoms.copy())
