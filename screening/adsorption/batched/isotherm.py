"""Grand-canonical Monte Carlo of rigid hosts on energy grids: every pressure of an isotherm a replica of its own.

Host-guest energies are read off a grid (tricubic), insertions are drawn where a molecule fits (`proposal.py`), and
the moves run compiled (`gcmc_kernel.py`). Guests meet by Lennard-Jones as in the model. Where a gas is polar their
charges meet by an Ewald sum (`gcmc_ewald.py`), else by the plain Coulomb energy of whole molecules whose centres are
within the cut-off: for molecules without a dipole what is left out is quadrupole with quadrupole beyond it, below 0.5 K
a pair (a test holds it against the Ewald sum).
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.special import erf

from potentials.errors import InputError
from screening.adsorption.batched.blocked_space import blocked_space
from screening.adsorption.batched.cavities import REPULSIONS, cavity_tables
from screening.adsorption.batched.energy_grid import energy_grid
from screening.adsorption.batched.ewald import COULOMB, half_space, reciprocal_cutoff, reciprocal_weights, screening
from screening.adsorption.batched.gcmc_sampling import STRIDE, IsothermSettings, Sampled, sample
from screening.adsorption.batched.gcmc_statistics import (
    BLOCKS,
    cycle_weights,
    heats_of,
    sampling_error,
    weighted_mean,
)
from screening.adsorption.batched.host_field import HostField, host_field, mixed, site_kinds, tail_integral
from screening.adsorption.batched.proposal import insertion_proposal, molecule_grid
from screening.adsorption.equation_of_state import peng_robinson
from screening.adsorption.framework import Host
from screening.adsorption.gases import Gas, find_gas
from screening.adsorption.gcmc import ComponentUptake, UptakeResult
from screening.adsorption.seeds import derive_seed
from screening.adsorption.state_names import point_name, state_name
from screening.adsorption.uptake_engine import is_polar
from screening.stage_report import tell

SPACING = 0.15  # Å, of the grid; the error of K_H it makes is below half a percent
EWALD_PRECISION = 1e-5  # relative, of the sum between guests
_CAVITY_SHARE = 0.9  # of insertions, where cavities are sought
_ROOMY = 0.05  # of the largest density of insertions; cavities are sought where it is no less
_MOST_VOXELS = 2_000_000  # of a box in which cavities are sought
_PROPOSAL_SHARES = (0.22, 0.40, 0.52, 0.76, 1.0)  # cumulative: translate, rotate, reinsert, insert, delete
_SHARES_OF_POINTS = (0.22, 0.22, 0.34, 0.67, 1.0)  # the same for molecules of one site, which need no turning
_COOLED = ", from replicas heated and cooled back"
_BOLTZMANN_PA = 1.380649e-23 * 1e30  # Pa Å^3 / K


def isotherm_of_host(
    host: Host,
    mixture: Mapping[str, float],
    pressures: Sequence[float],
    temperature: float,
    *,
    settings: IsothermSettings | None = None,
    seed: int = 0,
    blocks: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> tuple[UptakeResult, ...]:
    """Absolute uptake of a gas or mixture at several pressures, one result a pressure.

    Args:
        host: a prepared framework.
        mixture: gas name to mole fraction in the gas phase.
        pressures: Pa.
        temperature: K.
        settings: effort.
        seed: a result is a function of its own pressure, the other arguments and this seed alone.
        blocks: gas name to spheres none of its sites may be in: fractional centres [k, 3], radii [k] (Å).

    Raises:
        InputError: unknown gas, fractions that do not sum to one, or numba is not installed.
    """
    settings = settings or IsothermSettings()
    gases = [find_gas(host.force_field.gases, name) for name in mixture]
    fractions = list(mixture.values())
    if any(fraction <= 0.0 for fraction in fractions):
        raise InputError(f"mixture {dict(mixture)} holds a gas of no amount: leave it out")
    states = [peng_robinson(gases, fractions, temperature=temperature, pressure=p) for p in pressures]
    kernel = _load_kernel()
    tell(f"{state_name(mixture, temperature)}: energy grid")
    models = _models(kernel, host, gases, temperature, seed, blocks or {})

    def one(index: int) -> UptakeResult:
        tell(point_name(mixture, pressures, index, temperature))
        coefficients = (1.0,) * len(gases) if settings.ideal_gas else states[index].fugacity_coefficients
        fugacities = np.array(fractions) * np.array(coefficients) * pressures[index]
        activity = fugacities / (_BOLTZMANN_PA * temperature)
        candidates = [each._replace(activity=activity) for each in models]
        key = derive_seed(seed, "isotherm", sorted(mixture.items()), pressures[index], temperature)
        sampled = sample(kernel, candidates, settings, key)
        return _result(host, gases, fractions, fugacities, pressures[index], temperature, sampled, settings)

    with ThreadPoolExecutor(settings.workers) as pool:
        return tuple(pool.map(one, range(len(pressures))))


def _load_kernel() -> Any:
    try:
        from screening.adsorption.batched import gcmc_kernel
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        raise InputError("the batched GCMC engine needs numba: pip install numba, or choose engine raspa") from None
    return gcmc_kernel


def _models(
    kernel: Any,
    host: Host,
    gases: Sequence[Gas],
    temperature: float,
    seed: int,
    blocks: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> tuple[Any, ...]:
    """The kernel's `Model`, the same with insertions for crowded pores, then with cavities sought, small ones last."""
    field = host_field(host, gases)
    grid = energy_grid(field, SPACING)
    kinds = len(field.types.labels)
    grids = np.empty((kinds, *grid.shape), dtype=np.float32)
    for kind in range(kinds):
        energy = grid.lennard_jones[kind].astype(float)
        if grid.potential is not None:
            energy += field.types.charge[kind] * grid.potential
        grids[kind] = np.arcsinh(energy / kernel.COMPRESSION)
    repeats = np.array(host.repeats)
    box = field.cell * repeats[:, None]
    most_sites = max(len(gas.sites) for gas in gases)
    site_kind = np.zeros((len(gases), most_sites), dtype=np.int64)
    position = np.zeros((len(gases), most_sites, 3))
    for c, gas in enumerate(gases):
        site_kind[c, : len(gas.sites)] = site_kinds(field.types, gas)
        position[c, : len(gas.sites)] = [site.position for site in gas.sites]
    spheres = [blocked_space(field.cell, *blocks[gas.name]) if gas.name in blocks else None for gas in gases]
    proposals = []
    for gas, space in zip(gases, spheres, strict=True):
        rng = np.random.default_rng(derive_seed(seed, "isotherm proposal", gas.name, temperature))
        proposals.append(insertion_proposal(molecule_grid(grid, field.types, gas), np.array([temperature]), rng, space))
    volume = abs(float(np.linalg.det(box)))
    voxels = np.array(proposals[0].shape)
    around = derive_seed(seed, "isotherm cavities", [gas.name for gas in gases], temperature)
    tables = [
        cavity_tables(field.cell, voxels, gases, temperature, each, np.random.default_rng(around))
        for each in REPULSIONS
    ]
    model = kernel.Model(
        box=box,
        box_inverse=np.linalg.inv(box),
        cell=field.cell,
        cell_inverse=np.linalg.inv(field.cell),
        repeats=repeats,
        grids=grids,
        site_count=np.array([len(gas.sites) for gas in gases]),
        site_kind=site_kind,
        site_position=position,
        reach=np.linalg.norm(position, axis=2).max(axis=1),
        **_pair_tables(field, host, gases, volume),
        cutoff=float(field.cutoff),
        **_guest_charges(field, host, gases, box),
        voxels=voxels,
        cavity_share=0.0,
        **tables[0],
        **_insertions(np.array([proposal.probability for proposal in proposals]), volume),
        blocked_centres=np.concatenate([np.zeros((0, 3)), *(space.centres for space in spheres if space)]),
        blocked_squares=np.concatenate([np.zeros(0), *(space.radii**2 for space in spheres if space)]),
        blocked_first=np.cumsum([0, *(len(space.radii) if space else 0 for space in spheres)]),
        beta=1.0 / temperature,
        activity=np.zeros(len(gases)),
        moves=np.array(_PROPOSAL_SHARES if most_sites > 1 else _SHARES_OF_POINTS),
    )
    crowded = model._replace(**_insertions(np.array([proposal.crowded for proposal in proposals]), volume))
    if math.prod(voxels * repeats) > _MOST_VOXELS:
        return model, crowded
    seeking = [each._replace(cavity_share=_CAVITY_SHARE) for each in (model, crowded)]
    return model, crowded, *seeking, seeking[1]._replace(**tables[1])


def _insertions(probability: np.ndarray, volume: float) -> dict[str, np.ndarray]:
    """The density (1/Å^3) of centres drawn with a probability [c, v] of voxels, and the tables to draw with."""
    tables = [_alias(row) for row in probability]
    density = probability * probability.shape[1] / volume
    peak = density.max(axis=1)
    return {
        "density": density,
        "roomy": (density >= _ROOMY * peak[:, None]) & (density > 0.0),
        "peak": peak,
        "alias_share": np.array([share for share, _ in tables]),
        "alias": np.array([alias for _, alias in tables]),
    }


def _guest_charges(field: HostField, host: Host, gases: Sequence[Gas], box: np.ndarray) -> dict[str, Any]:
    """How the charges of guests meet: by whole molecules, or by an Ewald sum where one of them is polar."""
    plain: dict[str, Any] = {
        "centre_cutoff": float(field.cutoff),
        "charge": field.types.charge,
        "alpha": 0.0,
        "waves": np.zeros((0, 3), dtype=np.int64),
        "wave_weights": np.zeros(0),
        "most_wave": 0,
        "own_energy": np.zeros(len(gases)),
    }
    if host.model.charges == "none" or not any(is_polar(gas) for gas in gases):
        return plain
    alpha = screening(field.cutoff, EWALD_PRECISION)
    waves = half_space(box, reciprocal_cutoff(alpha, EWALD_PRECISION))
    own = []
    for gas in gases:
        charges = np.array([site.charge for site in gas.sites])
        positions = np.array([site.position for site in gas.sites])
        r = np.linalg.norm(positions[:, None] - positions[None], axis=2)
        pairs = np.triu(np.ones_like(r, dtype=bool), 1)
        within = (np.outer(charges, charges)[pairs] * erf(alpha * r[pairs]) / r[pairs]).sum()
        own.append(-COULOMB * (alpha / math.sqrt(math.pi) * (charges**2).sum() + within))
    return plain | {
        "centre_cutoff": 0.0,
        "alpha": alpha,
        "waves": waves,
        "wave_weights": reciprocal_weights(box, waves, alpha),
        "most_wave": int(np.abs(waves).max(initial=0)),
        "own_energy": np.array(own),
    }


def _pair_tables(field: HostField, host: Host, gases: Sequence[Gas], volume: float) -> dict[str, np.ndarray]:
    types = field.types
    epsilon, sigma = mixed(types.epsilon, types.sigma, types.epsilon, types.sigma)
    attraction, repulsion = 4.0 * epsilon * sigma**6, 4.0 * epsilon * sigma**12
    shift = np.zeros_like(epsilon)
    pair_tail = np.zeros((len(gases), len(gases)))
    if host.model.truncation == "shifted":
        shift = repulsion / field.cutoff**12 - attraction / field.cutoff**6
    elif host.model.truncation == "tail":
        integral = tail_integral(epsilon, sigma, field.cutoff)
        kinds = [site_kinds(types, gas) for gas in gases]
        pair_tail = np.array([[integral[np.ix_(a, b)].sum() for b in kinds] for a in kinds]) / volume
    charges = types.charge if host.model.charges != "none" else np.zeros_like(types.charge)
    coulomb = COULOMB * np.outer(charges, charges)
    return {
        "repulsion": repulsion,
        "attraction": attraction,
        "shift": shift,
        "coulomb": coulomb,
        "pair_tail": pair_tail,
    }


def _alias(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's tables (share [n], alias [n]): entry i stands with its share, else its alias does.

    A. J. Walker, ACM Trans. Math. Softw. 3, 253 (1977).
    """
    n = len(probability)
    share, alias = probability * n, np.arange(n)
    small, large = list(np.flatnonzero(share < 1.0)), list(np.flatnonzero(share >= 1.0))
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        share[high] -= 1.0 - share[low]
        if share[high] < 1.0:
            small.append(large.pop())
    return share, alias


def _result(
    host: Host,
    gases: Sequence[Gas],
    fractions: Sequence[float],
    fugacities: np.ndarray,
    pressure: float,
    temperature: float,
    sampled: Sampled,
    settings: IsothermSettings,
) -> UptakeResult:
    box_mass = host.cell_mass * math.prod(host.repeats)  # kg/mol of simulation boxes
    trace, moves = sampled.trace, sampled.moves
    counts = trace[:, : len(gases)]
    weights = cycle_weights(counts) if settings.averages == "cycles" else np.ones(len(counts))
    means, counts = weighted_mean(counts, weights)
    uptakes = means / box_mass
    stds = np.maximum(sampling_error(counts), sampled.apart) / box_mass
    heats, heat_stds = heats_of(trace, len(gases), temperature, weights)
    components = []
    for i, gas in enumerate(gases):
        resolved = math.isfinite(heats[i]) and math.isfinite(heat_stds[i]) and 0.0 < heat_stds[i] < 20.0
        components.append(
            ComponentUptake(
                gas=gas.name,
                mole_fraction=fractions[i],
                fugacity=float(fugacities[i]),
                uptake=float(uptakes[i]),
                uptake_std=float(stds[i]),
                heat=float(heats[i]) if resolved else None,
                heat_std=float(heat_stds[i]) if resolved else None,
            )
        )
    law = "ideal gas" if settings.ideal_gas else "Peng-Robinson"
    averages = ", averages over RASPA's cycles" if settings.averages == "cycles" else ""
    return UptakeResult(
        temperature=temperature,
        pressure=pressure,
        components=tuple(components),
        method=f"batched GCMC on a {SPACING:g} Å grid, absolute loading, {law} fugacity, {moves} moves of which "
        f"{len(trace) * STRIDE} counted, {BLOCKS} blocks{averages}{_COOLED if sampled.cooled else ''}; {host.method}",
        note=f"stopped at its budget of moves: {sampled.fault}" if sampled.fault else "",
    )
