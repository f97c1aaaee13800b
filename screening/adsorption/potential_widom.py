"""Widom insertion with any `Potential` as host-guest energy: hundreds of insertions a forward pass.

E_int = E(host + guest) - E(host) - E(guest), guest and host rigid. Three ways, the cheapest that is exact is taken:

  * a trained network re-evaluates only the atoms that feel the guest (`potentials.insertion`);
  * a potential that is strictly local gets a cut-out of the host, wide enough that nothing beyond it can change;
  * any other gets the whole simulation box, many copies in a batch.

Where to insert is drawn by a classical force field (`guided_insertion.py`), which changes errors, not averages.
Insertions closer to a host atom than a fraction of the van der Waals distance are overlaps: weight zero, as they
would have anyway, and not evaluated. A learned potential has seen few close contacts and may hold holes there; an
energy below a limit, or a molecule within bonding distance and yet attracted, is counted, reported and given weight
zero (the limit of 1.25 eV is DAC-SIM's: H. Park et al., ACS Nano 2025, github.com/hspark1212/DAC-SIM).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field
from pymatgen.core import Structure

from potentials.config import Config
from potentials.errors import GeometryError, InputError
from potentials.gate import check_geometry
from potentials.potential import Potential
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.framework import MAX_HOST_ATOMS, supercell_repeats
from screening.adsorption.guests import Guest, guest_molecule
from screening.adsorption.guided_insertion import Drawn, guided_insertions, uniform_insertions
from screening.adsorption.seeds import derive_seed

BOLTZMANN = 8.617333262e-5  # eV/K (CODATA 2018)
KJ_PER_MOL_PER_EV = 96.48533212
BLOCKS = 10
MIN_WIDOM_FOR_HEAT = 1e-6  # below, the gas does not fit and the average is of noise
UNKNOWN_CUTOFF = 6.0  # Å, assumed of a potential that does not say


class PotentialWidomSettings(Config):
    """Protocol of Widom insertion with a potential."""

    insertions: int = Field(default=2000, ge=BLOCKS)  # drawn; those that overlap are not evaluated
    # classical force field that draws them, or "none" for uniform ones; the average is the same, its error smaller
    guide: str = "uff-trappe"
    pool: int = Field(default=100, ge=1, le=10_000)  # places the guide looks at for each insertion drawn
    # closer than this fraction of the sum of van der Waals radii (Alvarez 2013, as in ASE) is an overlap
    overlap: float = Field(default=0.5, ge=0.2, le=0.9)
    well_limit: float = Field(default=-1.25, lt=0.0)  # eV; a stronger attraction is a hole of the potential
    bond: float = Field(default=0.95, ge=0.5, le=1.5)  # of the sum of covalent radii: closer and attracted is a hole
    batch_atoms: int = Field(default=300, ge=1)  # atoms a forward pass; a CPU's cache holds few, a GPU wants 10,000


@dataclass(frozen=True)
class PotentialHenry:
    """Zero-loading adsorption of one gas by a potential."""

    gas: str
    temperature: float  # K
    henry_coefficient: float  # mol/(kg Pa), absolute
    henry_std: float  # one standard error
    heat: float | None  # kJ/mol, isosteric, positive when adsorption releases heat; None where it does not fit
    heat_std: float | None  # one standard error
    widom_factor: float  # <exp(-E/kT)> over the whole cell, overlaps and holes counted as zero
    insertions: int
    overlaps: int  # never evaluated
    holes: int  # evaluated, below the limit or merged with a host atom, given weight zero
    deepest: float | None  # eV, lowest energy met, holes included
    method: str
    note: str


EnergyFunction = Callable[[np.ndarray], np.ndarray]  # sites [B, m, 3] Å to interaction energies [B] eV


def henry_with_potential(
    structure: Structure,
    gas: str,
    potential: Potential,
    temperature: float = 298.0,
    settings: PotentialWidomSettings | None = None,
    seed: int = 0,
) -> PotentialHenry:
    """Henry coefficient and zero-loading heat of a gas in a rigid framework on any potential.

    K_H = W / (R T rho) with W = <exp(-E_int/kT)> over insertions into the cell, uniform or weighed as if they were;
    the heat is R T - <E_int exp(-E_int/kT)> / <exp(-E_int/kT)>. Errors are from ten blocks. The result is a function
    of the arguments alone: the insertions are drawn at once, whatever the batch size.

    Args:
        structure: ordered periodic framework.
        gas: a name in `guests.GUESTS`.
        potential: any; trained on contacts of guest and host, if the result is to mean something.
        temperature: K.
        settings: effort and limits.
        seed: of the insertions.

    Raises:
        InputError: unknown gas, disorder, an element the potential does not know, a temperature not above 0 K.
        GeometryError: a cell that cannot be simulated.
    """
    settings = settings or PotentialWidomSettings()
    if not temperature > 0.0:
        raise InputError(f"temperature {temperature} K is not above 0: give it in kelvin")
    guest = guest_molecule(gas)
    energy, how = interaction_energy(structure, guest, potential, settings)
    drawn = insertions(structure, guest, temperature, settings, derive_seed(seed, "potential-widom", guest.name))
    sites = drawn.sites
    nearest_vdw, nearest_bond = contact_ratios(structure, guest, sites)
    fits = nearest_vdw >= settings.overlap
    energies = np.full(len(sites), np.inf)
    energies[fits] = energy(sites[fits])
    if not np.isfinite(energies[fits]).all():
        raise InputError(f"{potential.name} gives an energy that is not finite: it cannot describe {guest.name} here")
    holes = fits & ((energies < settings.well_limit) | ((energies < 0.0) & (nearest_bond < settings.bond)))
    deepest = float(energies.min()) if fits.any() else None
    counted = np.where(holes, np.inf, energies)
    name = potential.name
    return _averages(structure, guest, temperature, settings, name, how, drawn, counted, fits, holes, deepest)


def insertions(
    structure: Structure, guest: Guest, temperature: float, settings: PotentialWidomSettings, seed: int
) -> Drawn:
    """The insertions of a run: drawn by the guide of the settings, or uniform."""
    if settings.guide == "none":
        return uniform_insertions(structure, guest, settings.insertions, seed)
    return guided_insertions(
        structure,
        guest,
        temperature,
        settings.insertions,
        force_field=settings.guide,
        pool=settings.pool,
        blocks=BLOCKS,
        seed=seed,
    )


def interaction_energy(
    structure: Structure, guest: Guest, potential: Potential, settings: PotentialWidomSettings
) -> tuple[EnergyFunction, str]:
    """A function from sites [B, m, 3] (Å) to interaction energies [B] (eV), and a few words on how.

    Raises:
        InputError: disorder, or an element the potential does not know.
        GeometryError: a cell that cannot be simulated.
    """
    from potentials.network_potential import NetworkPotential

    if not structure.is_ordered:
        raise InputError("the framework has partially occupied sites: choose one ordered arrangement")
    check_geometry(structure.atomic_numbers, structure.cart_coords, structure.lattice.matrix, True)
    _check_elements(potential, [*structure.atomic_numbers, *guest.numbers.tolist()])
    if isinstance(potential, NetworkPotential) and potential.local:
        from potentials.insertion import host_state, insertion_energies

        host = host_state(
            potential, np.array(structure.atomic_numbers), structure.cart_coords, structure.lattice.matrix
        )
        each = max(settings.batch_atoms // 25, 1)  # about so many atoms feel a molecule in the first layer
        return partial(_in_parts, partial(insertion_energies, host, guest.numbers), each), "local re-evaluation"
    field = receptive_field(potential)
    cutoff = potential.cutoff if potential.cutoff is not None else UNKNOWN_CUTOFF
    if field is not None:
        cut = 2.0 * field
        radius = float(np.linalg.norm(guest.positions, axis=1).max())
        inside = 4.19 * (cut + radius) ** 3 * len(structure) / structure.volume
        if inside < len(structure) * np.prod(supercell_repeats(structure.lattice, cutoff)):
            return partial(_cut_out_energies, structure, guest, potential, cut, settings), f"cut-outs of {cut:g} Å"
    repeats = supercell_repeats(structure.lattice, cutoff)
    box = structure * repeats
    if len(box) > MAX_HOST_ATOMS:
        raise GeometryError(f"the simulation box holds {len(box)} atoms, above {MAX_HOST_ATOMS}: choose a smaller cell")
    words = f"{'x'.join(map(str, repeats))} cells"
    return partial(_in_parts, _whole_box(box, guest, potential), max(settings.batch_atoms // len(box), 1)), words


def receptive_field(potential: Potential) -> float | None:
    """How far (Å) an atom's energy depends on others, where that is known and short; None otherwise.

    A potential of one's own may say so in an attribute `receptive_field`.
    """
    from potentials.ase_potential import ASEPotential

    stated = getattr(potential, "receptive_field", None)
    if stated is not None:
        return float(stated)
    # ASE's Lennard-Jones is a sum over pairs; its effective-medium energies depend on neighbours' neighbours
    if isinstance(potential, ASEPotential) and potential.name == "lj":
        return potential.cutoff
    return None


def contact_ratios(structure: Structure, guest: Guest, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least distance to a host atom over the sum of van der Waals radii, and over that of covalent radii; each [B]."""
    from ase.data import covalent_radii

    numbers = np.array(structure.atomic_numbers)
    vdw = van_der_waals_radii()
    inverse = np.linalg.inv(structure.lattice.matrix)
    widest = float(vdw[numbers].max() + vdw[guest.numbers].max())
    margin = np.ceil(widest * np.linalg.norm(inverse, axis=0) + 1e-9).astype(int)
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in margin), indexing="ij")
    shifts = np.stack(grid, axis=-1).reshape(-1, 3)
    fractional = structure.frac_coords % 1.0
    near = np.concatenate([fractional + shift for shift in shifts])
    atoms = np.tile(np.arange(len(numbers)), len(shifts))
    keep = ((near > -margin_of(widest, inverse)) & (near < 1.0 + margin_of(widest, inverse))).all(axis=1)
    images, kinds = near[keep] @ structure.lattice.matrix, numbers[atoms[keep]]
    first, second = np.full(len(sites), np.inf), np.full(len(sites), np.inf)
    chunk = max(int(2e6 // max(len(images), 1)), 1)
    for start in range(0, len(sites), chunk):
        part = slice(start, start + chunk)
        for z, points in zip(guest.numbers, np.moveaxis(sites[part], 1, 0), strict=True):
            wrapped = ((points @ inverse) % 1.0) @ structure.lattice.matrix
            squares = (wrapped**2).sum(1)[:, None] + (images**2).sum(1)[None] - 2.0 * wrapped @ images.T
            distances = np.sqrt(np.maximum(squares, 0.0))
            first[part] = np.minimum(first[part], (distances / (vdw[z] + vdw[kinds])).min(axis=1))
            second[part] = np.minimum(
                second[part], (distances / (covalent_radii[z] + covalent_radii[kinds])).min(axis=1)
            )
    return first, second


def margin_of(distance: float, inverse: np.ndarray) -> np.ndarray:
    """A distance (Å) in fractional coordinates along each axis [3], for the inverse of a cell [3, 3]."""
    return np.asarray(distance * np.linalg.norm(inverse, axis=0))


def van_der_waals_radii() -> np.ndarray:
    """Å by atomic number [119] (Bondi; S. Alvarez, Dalton Trans. 42, 8617 (2013)); covalent + 0.8 Å where unknown."""
    from ase.data import covalent_radii
    from ase.data.vdw_alvarez import vdw_radii

    radii = np.full(119, np.nan)
    radii[: len(vdw_radii)] = vdw_radii[:119]
    covalent = covalent_radii[:119]
    return np.where(np.isfinite(radii), radii, covalent + 0.8)


def _check_elements(potential: Potential, numbers: list[int]) -> None:
    from ase.data import chemical_symbols

    unknown = sorted({int(z) for z in numbers} - set(potential.elements))
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        raise InputError(f"{potential.name} does not know {names}: choose another potential")


def _in_parts(energies: EnergyFunction, size: int, sites: np.ndarray) -> np.ndarray:
    parts = [energies(sites[start : start + size]) for start in range(0, len(sites), size)]
    return np.concatenate(parts) if parts else np.empty(0)


def _whole_box(box: Structure, guest: Guest, potential: Potential) -> EnergyFunction:
    """Interaction energies from batches of the whole box."""
    from potentials.atom_graph import collate, make_graph
    from potentials.energies import batch_energies

    numbers = np.concatenate([box.atomic_numbers, guest.numbers])
    cell = box.lattice.matrix
    apart = float(batch_energies(potential, collate([make_graph(box.atomic_numbers, box.cart_coords, cell)]))[0])
    apart += _alone(potential, guest)

    def energies(sites: np.ndarray) -> np.ndarray:
        graphs = [make_graph(numbers, np.concatenate([box.cart_coords, site]), cell) for site in sites]
        return np.asarray(batch_energies(potential, collate(graphs)).numpy() - apart)

    return energies


def _cut_out_energies(
    structure: Structure, guest: Guest, potential: Potential, cut: float, settings: PotentialWidomSettings, sites: Any
) -> np.ndarray:
    """Interaction energies with the host atoms within `cut` Å of the molecule, as clusters in empty space."""
    from potentials.atom_graph import collate, make_graph
    from potentials.energies import batch_energies

    matrix, inverse = structure.lattice.matrix, np.linalg.inv(structure.lattice.matrix)
    reach = cut + float(np.linalg.norm(guest.positions, axis=1).max())
    margin = np.ceil(margin_of(reach, inverse)).astype(int)
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in margin), indexing="ij")
    images = np.stack(grid, axis=-1).reshape(-1, 3)
    places = ((structure.frac_coords % 1.0)[None] + images[:, None]).reshape(-1, 3) @ matrix
    kinds = np.tile(structure.atomic_numbers, len(images))
    alone = _alone(potential, guest)
    found = np.empty(len(sites))
    pending: list[tuple[int, Any, Any]] = []

    def flush() -> None:
        together = batch_energies(potential, collate([graph for _, graph, _ in pending]))
        empty = batch_energies(potential, collate([graph for _, _, graph in pending]))
        found[[index for index, _, _ in pending]] = (together - empty).numpy() - alone
        pending.clear()

    filled = 0
    for index, site in enumerate(sites):
        centre = site.mean(axis=0)
        moved = site - np.floor(centre @ inverse) @ matrix
        near = np.zeros(len(places), dtype=bool)
        for atom in moved:
            near |= ((places - atom) ** 2).sum(axis=1) < cut**2
        cluster, elements = places[near], kinds[near]
        if not len(cluster):
            found[index] = 0.0
            continue
        both = make_graph(np.concatenate([elements, guest.numbers]), np.concatenate([cluster, moved]))
        pending.append((index, both, make_graph(elements, cluster)))
        filled += len(cluster)
        if filled >= settings.batch_atoms:
            flush()
            filled = 0
    if pending:
        flush()
    return found


def _alone(potential: Potential, guest: Guest) -> float:
    from potentials.atom_graph import collate, make_graph
    from potentials.energies import batch_energies

    return float(batch_energies(potential, collate([make_graph(guest.numbers, guest.positions)]))[0])


def _averages(
    structure: Structure,
    guest: Guest,
    temperature: float,
    settings: PotentialWidomSettings,
    name: str,
    how: str,
    drawn: Drawn,
    energies: np.ndarray,
    fits: np.ndarray,
    holes: np.ndarray,
    deepest: float | None,
) -> PotentialHenry:
    thermal = BOLTZMANN * temperature
    weights = drawn.weights * np.exp(-energies / thermal)
    widom = float(weights.mean())
    blocks = np.array_split(np.arange(len(energies)), BLOCKS)
    block_factors = np.array([weights[block].mean() for block in blocks])
    widom_std = float(block_factors.std(ddof=1) / np.sqrt(BLOCKS))
    density = float(structure.density) * 1000.0  # kg/m^3
    per_factor = 1.0 / (GAS_CONSTANT * temperature * density)
    heat = heat_std = None
    notes = []
    if widom > MIN_WIDOM_FOR_HEAT:
        weighted = np.where(weights > 0.0, weights * np.where(np.isfinite(energies), energies, 0.0), 0.0)
        mean = float(weighted.sum() / weights.sum())
        # a ratio of averages: first-order propagation over the blocks
        residual = np.array([(weighted[block] - mean * weights[block]).mean() for block in blocks])
        heat = (thermal - mean) * KJ_PER_MOL_PER_EV
        heat_std = float(residual.std(ddof=1) / np.sqrt(BLOCKS) / widom * KJ_PER_MOL_PER_EV)
        independent = float(weights.sum() ** 2 / (weights**2).sum())
        if widom_std > 0.25 * widom or independent < BLOCKS:
            notes.append("few insertions carry the average: the error is a lower bound")
    else:
        notes.append(f"hardly any of {len(energies)} insertions found room: {guest.name} does not fit")
    if holes.any():
        notes.append(
            f"{int(holes.sum())} of {int(fits.sum())} evaluated insertions fell into holes of the potential "
            f"(lowest {deepest:.2f} eV) and were left out"
        )
    method = (
        f"Widom on {name}, {len(energies)} insertions {drawn.words}, {how}; "
        f"overlap below {settings.overlap:g} van der Waals distances; {BLOCKS} blocks; rigid host and guest"
    )
    return PotentialHenry(
        gas=guest.name,
        temperature=temperature,
        henry_coefficient=widom * per_factor,
        henry_std=widom_std * per_factor,
        heat=heat,
        heat_std=heat_std,
        widom_factor=widom,
        insertions=len(energies),
        overlaps=int((~fits).sum()),
        holes=int(holes.sum()),
        deepest=deepest,
        method=method,
        note="; ".join(notes),
    )
