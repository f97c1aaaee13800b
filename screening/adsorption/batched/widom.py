"""Widom insertion into a rigid host: importance sampling on an energy grid, made exact by direct sums.

A block of insertions is drawn from the proposal (`proposal.py`) and weighed with interpolated energies; of these a
few are drawn again in proportion to their weight, and only their energy is summed directly. Each is counted with
its exact weight over its probability of having been drawn, so the estimate is that of plain Widom insertion
without error from grid or proposal (two-stage importance sampling; B. Widom, J. Chem. Phys. 39, 2808 (1963)).
All temperatures share one set of insertions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.adsorption.batched.blocked_space import BlockedSpace, blocked_space
from screening.adsorption.batched.energy_grid import EnergyGrid
from screening.adsorption.batched.host_field import HostField, molecule_energies, random_turns
from screening.adsorption.batched.proposal import (
    MoleculeGrid,
    Proposal,
    blocked,
    grid_energies,
    insertion_proposal,
    molecule_grid,
    systematic,
    voxel_points,
)
from screening.adsorption.gases import Gas
from screening.adsorption.seeds import derive_seed

SPACING = 0.25  # Å, of the grid; errors of the grid cost a few more exact sums, not accuracy
_DRAWN = 8192  # insertions of a block
_EXACT = 64  # of these summed directly
_FIRST_BLOCKS = 16
_MOST_BLOCKS = 512
NEGLIGIBLE = 1e-4  # Widom factor; a gas that fits no better is not worth more insertions


@dataclass(frozen=True)
class WidomEstimate:
    """Averages over insertions of one gas, for each temperature."""

    factors: np.ndarray  # [t] <exp(-U/kT)> over the whole cell
    factor_stds: np.ndarray  # [t] one standard error
    energies: np.ndarray  # [t] <U exp(-U/kT)> / <exp(-U/kT)>, K; nan where nothing fits
    energy_stds: np.ndarray  # [t] one standard error
    largest_shares: np.ndarray  # [t] share of the average the weightiest exact insertion carries
    drawn: int  # insertions weighed on the grid
    exact: int  # insertions summed directly


def widom(
    field: HostField,
    grid: EnergyGrid,
    gas: Gas,
    temperatures: Sequence[float],
    *,
    error: float = 0.05,
    seed: int = 0,
    blocks: tuple[np.ndarray, np.ndarray] | None = None,
) -> WidomEstimate:
    """Widom factors and mean energies of a gas, to a relative standard error of the factors.

    Args:
        field: exact energies of the host; must hold the sites of the gas.
        grid: of the field.
        gas: to insert.
        temperatures: K; one set of insertions serves all.
        error: relative standard error to reach at every temperature where the factor is not negligible, within
            `_MOST_BLOCKS` blocks.
        seed: the result is a function of all other arguments and this seed alone.
        blocks: spheres no site of a molecule may be in: fractional centres [k, 3] and radii [k] (Å).
    """
    kelvin = np.array(temperatures, dtype=float)
    molecule = molecule_grid(grid, field.types, gas)
    space = blocked_space(field.cell, *blocks) if blocks is not None else None
    first = np.random.default_rng(derive_seed(seed, "proposal", gas.name, *temperatures))
    proposal = insertion_proposal(molecule, kelvin, first, space)
    if proposal.empty:
        nothing, unknown = np.zeros(len(kelvin)), np.full(len(kelvin), np.nan)
        return WidomEstimate(nothing, nothing, unknown, unknown, nothing, len(proposal.probability), 0)
    results: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    wanted = _FIRST_BLOCKS
    while True:
        for block in range(len(results), wanted):
            rng = np.random.default_rng(derive_seed(seed, "widom", gas.name, *temperatures, block))
            results.append(_block(field, molecule, proposal, kelvin, rng, space))
        factors, energies, largest = (np.array(part) for part in zip(*results, strict=True))  # [blocks, t]
        mean = factors.mean(axis=0)
        std = factors.std(axis=0, ddof=1) / np.sqrt(len(factors))
        matters = mean + 2.0 * std > NEGLIGIBLE
        relative = float((std[matters] / mean[matters]).max(initial=0.0))
        if relative <= error or wanted >= _MOST_BLOCKS:
            break
        needed = int(1.2 * len(results) * (relative / error) ** 2) + 1
        wanted = min(max(needed, len(results) + 8), 4 * len(results), _MOST_BLOCKS)
    energy, energy_std = _ratio(energies, factors)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = largest.max(axis=0) / factors.sum(axis=0)
    return WidomEstimate(mean, std, energy, energy_std, share, _DRAWN * len(factors), _EXACT * len(factors))


def _block(
    field: HostField,
    molecule: MoleculeGrid,
    proposal: Proposal,
    kelvin: np.ndarray,
    rng: np.random.Generator,
    space: BlockedSpace | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean weight [t], mean of energy times weight [t], largest single part of the mean weight [t])."""
    voxels = systematic(proposal.probability, _DRAWN, rng)
    centres = voxel_points(voxels, proposal.shape, rng.random((_DRAWN, 3)))
    turns = random_turns(rng.random((_DRAWN, 3)))
    room = ~blocked(molecule, space, centres, turns)
    log_weight = -np.log(proposal.probability[voxels] * len(proposal.probability))
    exponent = log_weight - grid_energies(molecule, centres, turns) / kelvin[:, None]  # [t, n]
    exponent = np.where(room, exponent, -np.inf)
    top = exponent.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():
        nothing = np.zeros(len(kelvin))
        return nothing, nothing, nothing
    share = np.exp(exponent - top)
    # a little of everything, so that an insertion the grid undervalues is not lost
    selection = 0.95 * (share / share.sum(axis=1, keepdims=True)).mean(axis=0) + 0.05 * room / room.sum()
    chosen = systematic(selection / selection.sum(), _EXACT, rng)
    energy = molecule_energies(field, molecule.gas, centres[chosen] @ molecule.cell, turns[chosen])
    weight = np.exp(np.clip(log_weight[chosen] - energy / kelvin[:, None], -700.0, 700.0))
    weight *= room[chosen] / (selection[chosen] / selection.sum() * _EXACT * _DRAWN)  # [t, m]
    return weight.sum(axis=1), (weight * energy).sum(axis=1), weight.max(axis=1)


def _ratio(numerators: np.ndarray, denominators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of the sums over blocks [t] and its standard error by the jackknife."""
    n = len(numerators)
    top, bottom = numerators.sum(axis=0), denominators.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        left_out = (top - numerators) / (bottom - denominators)
        return top / bottom, np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
