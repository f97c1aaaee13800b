"""Self-diffusion of a gas at zero loading: molecular dynamics of lone molecules in a rigid framework.

Many molecules that do not see each other (walkers) move in one host, by Langevin dynamics in the splitting BAOAB (B.
Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34). The mean squared displacement of their centres over all
time origins gives D = slope / 6 (A. Einstein 1905); errors come from groups of walkers. Whether the motion is
diffusive at all is checked: the logarithmic slope of the displacement must be near one over the fitted window.

The friction that thermalises the walkers (default 0.1/ps) alone would allow D = kT / (m gamma), some 5e-7 m^2/s for
CO2; results anywhere near that are the thermostat's, not the framework's, and are marked.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from pymatgen.core import Structure
from torch import Tensor

from potentials.config import Config
from potentials.errors import GeometryError, InputError
from potentials.potential import Potential, PotentialChoice, load_potential
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.guests import guest_molecule
from screening.adsorption.pair_forces import ForceFunction, Molecule, classical_forces, classical_molecule
from screening.adsorption.seeds import derive_seed
from screening.candidate import Candidate, Evaluation, Property

BOLTZMANN = 8.617333262e-5  # eV/K
ACCELERATION = 9.648533212e-3  # (eV/Å)/u in Å/fs^2
M2_PER_S = 1e-5  # of one Å^2/fs
GROUPS = 8
_TRIALS = 40  # insertions tried for each walker
DIFFUSIVE = (0.75, 1.25)  # logarithmic slope of the mean squared displacement


class DiffusionSettings(Config):
    """Protocol of a diffusion run."""

    gas: str = "CO2"
    temperature: float = Field(default=298.0, gt=0.0)  # K
    model: HostGuestModel = HostGuestModel()  # classical host-guest energies
    potential: PotentialChoice | None = None  # a potential instead, as `load_potential` takes it
    walkers: int = Field(default=32, ge=GROUPS)
    picoseconds: float = Field(default=100.0, gt=0.0)
    settle_picoseconds: float = Field(default=5.0, ge=0.0)
    timestep: float = Field(default=1.0, gt=0.0, le=5.0)  # fs
    friction: float = Field(default=0.1, ge=0.0)  # 1/ps
    fit_from: float = Field(default=0.1, gt=0.0, lt=1.0)  # of the run: shortest lag of the fit
    fit_to: float = Field(default=0.4, gt=0.0, le=1.0)  # longest


@dataclass(frozen=True)
class Diffusion:
    """Self-diffusion of one gas at zero loading."""

    gas: str
    temperature: float  # K
    coefficient: float  # m^2/s, from the slope over the fitted lags
    std: float  # one standard error
    exponent: float  # logarithmic slope over the fitted lags; 1 is diffusive, 2 free flight, 0 caged
    diffusive: bool
    lags: np.ndarray  # [k] ps
    displacement: np.ndarray  # [k] Å^2, mean squared
    mean_temperature: float  # K, of the walkers: a check of the integration
    method: str
    note: str


def guest_diffusion(
    structure: Structure,
    settings: DiffusionSettings | None = None,
    *,
    potential: Potential | None = None,
    seed: int = 0,
) -> Diffusion:
    """Self-diffusion coefficient of a gas at zero loading in a rigid framework.

    Args:
        structure: ordered periodic framework.
        settings: gas, temperature, length; with `settings.potential` (or `potential`) the forces are that potential's,
            guests then being flexible molecules of atoms; otherwise classical (`settings.model`).
        potential: takes the place of `settings.potential`.
        seed: of starts, velocities and noise.

    Raises:
        InputError: unknown gas, an element without parameters, no room for the gas, or an unstable integration.
        GeometryError: a cell that cannot be simulated.
    """
    settings = settings or DiffusionSettings()
    if potential is None and settings.potential is not None:
        potential = load_potential(settings.potential)
    if potential is None:
        host = prepare_host(structure, settings.model)
        gas = find_gas(host.force_field.gases, settings.gas)
        molecule = classical_molecule(gas)
        forces = classical_forces(host, gas)
        how = f"{host.method}; Coulomb damped and shifted instead of Ewald; molecules held by springs"
    else:
        molecule, forces, how = _potential_forces(structure, settings.gas, potential)
    rng = torch.Generator().manual_seed(derive_seed(seed, "diffusion", settings.gas, settings.temperature))
    positions = _starts(structure, molecule, forces, settings, rng)
    track, mean_temperature = run_walkers(positions, molecule.masses, forces, settings, rng)
    lags, squared = mean_squared_displacement(track)
    per_frame = settings.picoseconds / (len(track) - 1)
    return _fit(settings, molecule, lags * per_frame, squared, mean_temperature, how)


def run_walkers(
    positions: Tensor,
    masses: Tensor,
    forces: ForceFunction,
    settings: DiffusionSettings,
    generator: torch.Generator,
    frames: int = 500,
) -> tuple[np.ndarray, float]:
    """Langevin dynamics of walkers; the track of their centres of mass and their mean temperature.

    Args:
        positions: starts [W, m, 3] Å, in free space (never wrapped).
        masses: [m] u.
        forces: of all walkers.
        settings: temperature, length, step, friction.
        generator: of velocities and noise.
        frames: at most so many are kept, evenly spaced.

    Returns:
        Centres [frames + 1, W, 3] Å, and K.

    Raises:
        InputError: forces or velocities that are not finite: the step is too long.
    """
    dt, thermal = settings.timestep, BOLTZMANN * settings.temperature
    inverse_mass = ACCELERATION / masses[:, None]  # [m, 1]
    spread = (thermal * inverse_mass).sqrt()  # Å/fs
    keep = float(np.exp(-settings.friction * 1e-3 * dt))
    kick = (1.0 - keep**2) ** 0.5

    def noise() -> Tensor:
        return torch.randn(positions.shape, generator=generator, dtype=positions.dtype)

    settle, steps = (max(round(1000.0 * ps / dt), 0) for ps in (settings.settle_picoseconds, settings.picoseconds))
    every = max(steps // frames, 1)
    positions, velocities = positions.clone(), spread * noise()
    _, force = forces(positions)
    total = masses.sum()
    track, kinetic = [], 0.0
    for step in range(-settle, steps + 1):
        if step >= 0 and step % every == 0:
            track.append((masses[:, None] * positions).sum(1) / total)
        if step == steps:
            break
        velocities = velocities + 0.5 * dt * force * inverse_mass
        positions = positions + 0.5 * dt * velocities
        velocities = keep * velocities + kick * spread * noise()
        positions = positions + 0.5 * dt * velocities
        _, force = forces(positions)
        velocities = velocities + 0.5 * dt * force * inverse_mass
        if step >= 0:
            kinetic += float((velocities.square() / inverse_mass).mean())
        if step % 1000 == 0 and not bool(torch.isfinite(velocities).all()):
            raise InputError(f"the molecules flew apart with steps of {dt:g} fs: choose a shorter timestep")
    return torch.stack(track).numpy(), kinetic / max(steps, 1) / BOLTZMANN


def mean_squared_displacement(track: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lags [k] in frames and squared displacement [k, W] averaged over time origins, of a track [T, W, 3].

    By Fourier transform, O(T log T) (G. R. Kneller et al., Comput. Phys. Commun. 91, 191 (1995)).
    """
    n = len(track)
    squares = (track**2).sum(axis=2)  # [T, W]
    padded = np.fft.rfft(track, n=2 * n, axis=0)
    correlation = np.fft.irfft(np.abs(padded) ** 2, n=2 * n, axis=0)[:n].sum(axis=2)
    counts = (n - np.arange(n))[:, None]
    ahead = np.concatenate([np.zeros((1, squares.shape[1])), np.cumsum(squares, axis=0)])
    both = (ahead[n] - ahead[:n]) + ahead[1 : n + 1][::-1]  # sums over origins of |r(t)|^2 and |r(t + lag)|^2
    return np.arange(n), np.maximum((both - 2.0 * correlation) / counts, 0.0)


def _fit(
    settings: DiffusionSettings,
    molecule: Molecule,
    lags: np.ndarray,
    squared: np.ndarray,
    mean_temperature: float,
    how: str,
) -> Diffusion:
    window = (lags >= settings.fit_from * settings.picoseconds) & (lags <= settings.fit_to * settings.picoseconds)
    if window.sum() < 3:
        raise InputError(
            f"the fit from {settings.fit_from:g} to {settings.fit_to:g} of the run holds {int(window.sum())} points: "
            "widen it or run longer"
        )
    t, mean = lags[window], squared[window].mean(axis=1)
    per_slope = M2_PER_S / 6.0 * 1e-3  # Å^2/ps to m^2/s
    coefficient = float(np.polyfit(t, mean, 1)[0]) * per_slope
    groups = [np.polyfit(t, part.mean(axis=1), 1)[0] for part in np.array_split(squared[window], GROUPS, axis=1)]
    std = float(np.std(groups, ddof=1) / np.sqrt(GROUPS)) * per_slope
    exponent = float(np.polyfit(np.log(t), np.log(np.maximum(mean, 1e-12)), 1)[0])
    diffusive = DIFFUSIVE[0] <= exponent <= DIFFUSIVE[1] and coefficient > 0.0
    notes = []
    if not diffusive:
        notes.append(f"not diffusive: displacement grows as t^{exponent:.2f}; run longer, or the gas is caged")
    mass = float(molecule.masses.sum())
    if settings.friction > 0.0:
        free = BOLTZMANN * settings.temperature * ACCELERATION / (mass * settings.friction * 1e-3) * M2_PER_S
        if coefficient > 0.2 * free:
            notes.append(f"the thermostat's friction matters: it alone allows {free:.1e} m^2/s")
    method = (
        f"{settings.walkers} lone molecules, {settings.picoseconds:g} ps of Langevin dynamics (BAOAB, "
        f"{settings.timestep:g} fs, friction {settings.friction:g}/ps), rigid host; {how}"
    )
    return Diffusion(
        gas=molecule.name,
        temperature=settings.temperature,
        coefficient=coefficient,
        std=std,
        exponent=exponent,
        diffusive=diffusive,
        lags=lags,
        displacement=squared.mean(axis=1),
        mean_temperature=mean_temperature,
        method=method,
        note="; ".join(notes),
    )


def _starts(
    structure: Structure,
    molecule: Molecule,
    forces: ForceFunction,
    settings: DiffusionSettings,
    generator: torch.Generator,
) -> Tensor:
    """Walkers [W, m, 3] drawn from random insertions by their Boltzmann factor: already at equilibrium."""
    from screening.adsorption.batched.host_field import random_turns

    count = settings.walkers * _TRIALS
    cell = torch.from_numpy(np.array(structure.lattice.matrix))
    centres = torch.rand(count, 3, generator=generator, dtype=torch.float64) @ cell
    turns = torch.from_numpy(random_turns(torch.rand(count, 3, generator=generator, dtype=torch.float64).numpy()))
    sites = centres[:, None] + torch.einsum("nij,mj->nmi", turns, molecule.positions)
    parts = [forces(sites[start : start + settings.walkers])[0] for start in range(0, count, settings.walkers)]
    energies = torch.cat(parts)
    energies = torch.where(torch.isfinite(energies), energies, torch.inf)
    lowest = float(energies.min())
    if lowest > 40.0 * BOLTZMANN * settings.temperature:
        raise InputError(f"none of {count} insertions found room: {molecule.name} does not fit, so it cannot diffuse")
    weights = torch.exp(-(energies - lowest) / (BOLTZMANN * settings.temperature))
    chosen = torch.multinomial(weights, settings.walkers, replacement=True, generator=generator)
    return sites[chosen]


def _potential_forces(structure: Structure, gas: str, potential: Potential) -> tuple[Molecule, ForceFunction, str]:
    """Forces of a potential on the molecule alone, the host held fixed."""
    from ase.data import atomic_masses

    from potentials.atom_graph import collate, make_graph
    from screening.adsorption.framework import supercell_repeats
    from screening.adsorption.potential_widom import UNKNOWN_CUTOFF

    guest = guest_molecule(gas)
    cutoff = potential.cutoff if potential.cutoff is not None else UNKNOWN_CUTOFF
    repeats = supercell_repeats(structure.lattice, cutoff)
    box = structure * repeats
    numbers = np.concatenate([box.atomic_numbers, guest.numbers])
    coordinates, cell = box.cart_coords, box.lattice.matrix
    inverse = np.linalg.inv(cell)
    empty = float(potential(collate([make_graph(box.atomic_numbers, coordinates, cell)]), stress=False)["energy"][0])

    def forces(positions: Tensor) -> tuple[Tensor, Tensor]:
        sites = positions.numpy()
        home = np.floor(sites.mean(axis=1) @ inverse) @ cell  # walkers wander freely; the box sees them wrapped
        graphs = [
            make_graph(numbers, np.concatenate([coordinates, p - h]), cell) for p, h in zip(sites, home, strict=True)
        ]
        output = potential(collate(graphs), stress=False)
        on_guest = output["forces"].view(len(sites), len(numbers), 3)[:, -len(guest.numbers) :]
        return output["energy"].double() - empty, on_guest.double()

    molecule = Molecule(guest.name, torch.from_numpy(guest.positions), torch.from_numpy(atomic_masses[guest.numbers]))
    return molecule, forces, f"forces of {potential.name}, {'x'.join(map(str, repeats))} cells"


def evaluate_diffusion(candidate: Candidate, settings: DiffusionSettings, seed: int) -> Evaluation:
    """Properties `<gas>_diffusion_<T>K` (m^2/s), `<gas>_diffusion_exponent_<T>K` and `..._diffusive_<T>K` (bool).

    A framework the model cannot describe, or without room for the gas, is rejected with the reason.
    """
    try:
        found = guest_diffusion(candidate.structure, settings, seed=seed)
    except (InputError, GeometryError) as error:
        return Evaluation(rejected=str(error))
    prefix, suffix = found.gas.lower(), f"{found.temperature:g}K"
    return Evaluation(
        (
            Property(f"{prefix}_diffusion_{suffix}", found.coefficient, "m^2/s", found.std, found.method, found.note),
            Property(f"{prefix}_diffusion_exponent_{suffix}", found.exponent, "", method=found.method),
            Property(f"{prefix}_diffusive_{suffix}", float(found.diffusive), "bool", method=found.method),
        )
    )
