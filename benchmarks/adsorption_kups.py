"""Heat and loading of CO2 in UiO-66 as kUPS measures them: its moves, its length of run, its way of averaging.

kUPS (cusp-ai-oss/kUPS, `ci/statistical`) states one run of 20,000 cycles of 20 moves from an empty box, none discarded.
The heat, R T - cov(U, N) / var(N), is worked out in each of n blocks and averaged over them, n being the largest number
at which doubling the blocks' length changes the standard error of the energy by less than 5 %. A ratio of fluctuations
within blocks shorter than the correlation of the run knows only of the molecules that come and go quickly, which are
the weakly bound ones: it comes out low. Of one and the same trace, four blocks give 26.2 kJ/mol, 39 give 25.3 and 512
give 22.4. Repeating the run tells what a single such figure is worth.
"""

import functools
from collections.abc import Callable

import numpy as np

from benchmarks.golden_measures import Told
from screening.adsorption.batched import isotherm
from screening.adsorption.batched.gcmc_sampling import new_state
from screening.adsorption.equation_of_state import GAS_CONSTANT, peng_robinson
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.process import Measured
from screening.adsorption.seeds import derive_seed

CYCLES, MOVES = 20_000, 20
REPEATS = 24
_MOVES = (1 / 6, 1 / 3, 1 / 2, 3 / 4, 1.0)  # cumulative: translate, rotate, reinsert, insert, delete
_PLATEAU = 0.05
_FEWEST = 4  # blocks


def block_means(series: np.ndarray, blocks: int) -> np.ndarray:
    """Means [blocks] of equal stretches of a series [n]; what is left over at its end is dropped."""
    length = len(series) // blocks
    return np.asarray(series[: blocks * length].reshape(blocks, length).mean(axis=1))


def plateau_blocks(series: np.ndarray) -> int:
    """How many blocks kUPS takes: from blocks of two samples on, doubled until the standard error hardly changes."""
    counts = [len(series) // 2]
    while counts[-1] // 2 >= _FEWEST:
        counts.append(counts[-1] // 2)
    errors = np.array([block_means(series, n).std(ddof=1) / n**0.5 for n in counts])
    level = np.flatnonzero(np.abs(np.diff(errors)) / errors[:-1] < _PLATEAU)
    return counts[level[0] + 1 if len(level) else -1]


def heat_of_blocks(energy: np.ndarray, number: np.ndarray, temperature: float, blocks: int) -> float:
    """Mean over blocks of R T - cov(U, N) / var(N), kJ/mol; blocks in which N never changed are left out.

    Args:
        energy: [n] K.
        number: [n] molecules.
        temperature: K.
        blocks: how many.
    """
    u, n = block_means(energy, blocks), block_means(number, blocks)
    spread = block_means(number**2, blocks) - n**2
    changed = spread > 1e-12
    slope = (block_means(energy * number, blocks) - u * n)[changed] / spread[changed]
    return float((temperature - slope).mean() * GAS_CONSTANT / 1000.0)


def heat_as_kups(
    structure: Callable, model: HostGuestModel, gas: str, pressure: float, temperature: float
) -> Callable[[float, int], Measured]:
    """The heat (kJ/mol) of such runs: their mean, and how far a further single one may be from it."""

    def measure(effort: float, seed: int) -> Measured:
        repeats = max(int(REPEATS * effort), 3)
        heats, whole, blocks = _runs(structure, model, gas, pressure, temperature, repeats, seed)
        spread = heats.std(ddof=1) * (1.0 + 1.0 / repeats) ** 0.5
        words = (
            f"mean of {repeats} runs of {CYCLES} cycles of {MOVES} moves from empty pores, uniform insertions, nothing "
            f"discarded, heats averaged over {blocks.min()} to {blocks.max()} blocks as kUPS does; the error is the "
            f"spread of single runs; all runs joined and taken as one block give {whole:.2f} kJ/mol"
        )
        return Told(float(heats.mean()), float(spread), words)

    return measure


@functools.cache
def _runs(
    structure: Callable,
    model: HostGuestModel,
    gas: str,
    pressure: float,
    temperature: float,
    repeats: int,
    seed: int,
) -> tuple[np.ndarray, float, np.ndarray]:
    host = prepare_host(structure(), model)
    molecule = find_gas(host.force_field.gases, gas)
    kernel = isotherm._load_kernel()
    base = isotherm._models(kernel, host, [molecule], temperature, seed, {})[0]
    state = peng_robinson([molecule], [1.0], temperature=temperature, pressure=pressure)
    voxels = base.density.shape[1]
    uniform = isotherm._insertions(np.full((1, voxels), 1.0 / voxels), abs(float(np.linalg.det(base.box))))
    fugacity = state.fugacity_coefficients[0] * pressure
    run = base._replace(
        **uniform, activity=np.array([fugacity / (isotherm._BOLTZMANN_PA * temperature)]), moves=np.array(_MOVES)
    )
    heats, blocks, numbers, energies = [], [], [], []
    for repeat in range(repeats):
        atoms = new_state(kernel, run, 500, derive_seed(seed, "kups", repeat), False)
        trace = np.zeros((CYCLES, 3))
        kernel.run(run, atoms, trace, MOVES, True)
        number, energy = trace[:, 0], trace[:, 1] + trace[:, 2]
        blocks.append(plateau_blocks(energy))
        heats.append(heat_of_blocks(energy, number, temperature, blocks[-1]))
        numbers.append(number[CYCLES // 10 :])
        energies.append(energy[CYCLES // 10 :])
    whole = heat_of_blocks(np.concatenate(energies), np.concatenate(numbers), temperature, 1)
    return np.array(heats), whole, np.array(blocks)
