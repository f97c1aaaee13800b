"""How the golden adsorption figures are measured: Widom by either engine, grand-canonical runs, geometry."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from screening.adsorption.batched.energy_grid import energy_grid
from screening.adsorption.batched.host_field import host_field
from screening.adsorption.batched.isotherm import IsothermSettings, isotherm_of_host
from screening.adsorption.batched.widom import SPACING, WidomEstimate, widom
from screening.adsorption.blocking import pore_diameters
from screening.adsorption.equation_of_state import GAS_CONSTANT
from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import Host, prepare_host
from screening.adsorption.gases import find_gas
from screening.adsorption.gcmc import GcmcSettings, UptakeResult, gcmc_uptake
from screening.adsorption.henry import HenrySettings, henry_coefficient
from screening.adsorption.process import Measured
from screening.adsorption.uff import UFF

MOST_MOVES = 12_000_000  # of a batched state point; boxes of hundreds of molecules need them
MOST_WORK = 1e13  # distances looked at: no bound


@dataclass(frozen=True)
class Told(Measured):
    """A figure and how it came about."""

    words: str = ""
    seconds: float | None = None  # of the runs it is from, where they were made before


Build = Callable[[], Structure]
Measure = Callable[[float, int], Measured]  # (effort, seed)


def widom_raspa(
    structure: Build, model: HostGuestModel, gas: str, temperature: float, moves: int, *, heat: bool = False
) -> Measure:
    """Henry coefficient (or, with `heat`, the heat from one molecule) by RASPA3, with so many moves."""

    def measure(effort: float, seed: int) -> Measured:
        number = max(int(moves * effort), 200)
        insertions, heat_moves = (200, number) if heat else (number, 200)
        settings = HenrySettings(model=model, engine="raspa", insertions=insertions, heat_moves=heat_moves)
        result = henry_coefficient(structure(), gas, temperature=temperature, settings=settings, seed=seed)
        if not heat:
            return Measured(result.henry_coefficient, result.henry_std)
        assert result.heat is not None
        assert result.heat_std is not None
        return Measured(result.heat, result.heat_std)

    return measure


def widom_batched(
    structure: Build,
    model: HostGuestModel,
    gas: str,
    temperature: float,
    error: float,
    *,
    heat: bool = False,
    factor: bool = False,
) -> Measure:
    """Henry coefficient (or the heat, or the bare Widom factor) by the engine of our own, to a relative error."""

    def measure(effort: float, seed: int) -> Measured:
        host, found = _widom(structure, model, gas, temperature, error / effort**0.5, seed)
        if factor:
            return Measured(float(found.factors[0]), float(found.factor_stds[0]))
        if heat:
            scale = GAS_CONSTANT / 1000.0
            return Measured((temperature - float(found.energies[0])) * scale, float(found.energy_stds[0]) * scale)
        per_factor = 1.0 / (GAS_CONSTANT * temperature * host.density)
        return Measured(float(found.factors[0]) * per_factor, float(found.factor_stds[0]) * per_factor)

    return measure


@functools.cache
def _widom(
    structure: Build, model: HostGuestModel, gas: str, temperature: float, error: float, seed: int
) -> tuple[Host, WidomEstimate]:
    host = prepare_host(structure(), model)
    molecule = find_gas(host.force_field.gases, gas)
    field = host_field(host, [molecule])
    return host, widom(field, energy_grid(field, SPACING), molecule, [temperature], error=error, seed=seed)


def uptake_batched(
    structure: Build,
    model: HostGuestModel,
    mixture: tuple[tuple[str, float], ...],
    pressure: float,
    temperature: float,
    error: float,
    ideal_gas: bool,
    averages: str,
    gas: str,
    kind: str,
    effort: float,
    seed: int,
) -> Measured:
    """`uptake` by the engine of our own, to a relative error at effort 1."""
    target = min(error / effort**0.5, 0.2)
    result = _run_batched(structure, model, mixture, pressure, temperature, target, ideal_gas, averages, seed)
    figure = _figure(result, gas, kind)
    words = "; ".join(part for part in (result.method.split("; ")[0].removesuffix(","), result.note) if part)
    return Told(figure.value, figure.std, words)


@functools.cache
def _run_batched(
    structure: Build,
    model: HostGuestModel,
    mixture: tuple[tuple[str, float], ...],
    pressure: float,
    temperature: float,
    error: float,
    ideal_gas: bool,
    averages: str,
    seed: int,
) -> UptakeResult:
    settings = IsothermSettings(
        error=error,
        ideal_gas=ideal_gas,
        averages=averages,  # type: ignore[arg-type]
        most_moves=MOST_MOVES,
        most_work=MOST_WORK,
    )
    host = prepare_host(structure(), model)
    result = isotherm_of_host(host, dict(mixture), [pressure], temperature, settings=settings, seed=seed)[0]
    print(f"       {result.method}; {result.note}", flush=True)
    return result


def uptake(
    structure: Build,
    model: HostGuestModel,
    mixture: tuple[tuple[str, float], ...],
    pressure: float,
    temperature: float,
    cycles: int,
    ideal_gas: bool,
    averages: str,
    gas: str,
    kind: str,
    effort: float,
    seed: int,
) -> Measured:
    """Uptake or heat of one gas of a mixture; the figures of one state point share one run."""
    production = max(int(cycles * effort), 50)
    return _figure(
        _run(structure, model, mixture, pressure, temperature, production, ideal_gas, averages, seed), gas, kind
    )


def _figure(result: UptakeResult, gas: str, kind: str) -> Measured:
    component = result[gas]
    if kind == "uptake":
        return Measured(component.uptake, component.uptake_std)
    if component.heat is None or component.heat_std is None:
        return Measured(float("nan"), float("nan"))
    return Measured(component.heat, component.heat_std)


@functools.cache
def _run(
    structure: Build,
    model: HostGuestModel,
    mixture: tuple[tuple[str, float], ...],
    pressure: float,
    temperature: float,
    cycles: int,
    ideal_gas: bool,
    averages: str,
    seed: int,
) -> UptakeResult:
    settings = GcmcSettings(
        model=model,
        equilibration_cycles=max(cycles // 5, 50),
        production_cycles=cycles,
        ideal_gas=ideal_gas,
        averages=averages,  # type: ignore[arg-type]
    )
    result = gcmc_uptake(structure(), dict(mixture), pressure, temperature, settings=settings, seed=seed)
    print(f"       {result.method}", flush=True)
    return result


def geometry(structure: Build, index: int, effort: float, seed: int) -> Measured:
    """Limiting (index 0) or largest (1) pore diameter in Å, with UFF radii, on a grid of 0.15 Å."""
    return Measured(_diameters(structure, 0.15)[index], 0.05)


@functools.cache
def _diameters(structure: Build, spacing: float) -> tuple[float, float]:
    cell = structure()
    radii = np.array([UFF[site.specie.symbol][1] / 2 for site in cell])
    return pore_diameters(cell.frac_coords, cell.lattice.matrix, radii, spacing)


def surface_area(structure: Build, model: HostGuestModel, probe: str, probe_sigma: float) -> Measure:
    """m^2/g of the surface a probe atom rolls over at the common sigma of probe and atom, by sampling spheres."""

    def measure(effort: float, seed: int) -> Measured:
        host = prepare_host(structure(), model)
        rng = np.random.default_rng(seed)
        matrix = host.structure.lattice.matrix
        reach = 0.5 * (host.lennard_jones[:, 1] + probe_sigma)  # [n] Å
        points = int(max(500 * effort, 50))
        areas, squares = 0.0, 0.0
        for index, (site, radius) in enumerate(zip(host.structure.frac_coords, reach, strict=True)):
            axes = rng.normal(size=(points, 3))
            on_sphere = site @ matrix + radius * axes / np.linalg.norm(axes, axis=1, keepdims=True)
            away = on_sphere[:, None] @ np.linalg.inv(matrix) - np.delete(host.structure.frac_coords, index, 0)[None]
            distance = np.linalg.norm((away - np.round(away)) @ matrix, axis=2)
            open_ = (distance >= np.delete(reach, index)[None]).all(axis=1).mean()
            areas += 4.0 * np.pi * radius**2 * open_
            squares += (4.0 * np.pi * radius**2) ** 2 * open_ * (1.0 - open_) / points
        scale = 6.02214076e23 * 1e-20 / (host.cell_mass * 1000.0)  # Å^2 a cell to m^2/g
        return Measured(areas * scale, squares**0.5 * scale)

    return measure
