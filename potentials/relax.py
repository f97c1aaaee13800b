"""Relaxation of many structures at once: positions and, if wanted, cells.

Systems share force calls, nothing else. Each has its own optimiser state and convergence test; a finished one leaves the
batch and a waiting one takes its place. A system that breaks (non-finite numbers, exploding cell, atoms
on top of each other, an element the potential does not know) is marked failed with the reason and keeps its
last sane geometry; the rest go on.
"""

import difflib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Batch
from tqdm import tqdm

from potentials.atom_graph import AtomGraph, collate, graph_from, make_graph, with_geometry
from potentials.cell_filter import displace, generalised_forces, lay_out
from potentials.errors import InputError, SorbusError
from potentials.gate import DEFAULT_LIMITS, GateLimits, geometry_fault, place_fault
from potentials.neighbours import bulk_heights
from potentials.optimizers import OPTIMIZERS, Optimizer, join_systems, keep_systems
from potentials.potential import Potential, PotentialOutput, load_potential

MAX_FORCE = 1e4  # eV/Å; beyond it a model is far outside anything it has learned
MAX_VOLUME_RATIO = 5.0  # of the volume to the initial one, either way
MAX_ENERGY_DROP = 30.0  # eV per atom below the start; no relaxation releases more, but holes of a model do
GATE_EVERY = 10  # steps between full checks of the distances
_MODEL_ERRORS = (SorbusError, RuntimeError, ValueError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class Relaxed:
    """What became of one structure."""

    structure: Any  # as given (`Structure` or `Atoms`), with new positions and cell; the last sane ones on failure
    energy: float | None  # eV, of `structure`; None if it never got one
    initial_energy: float | None  # eV
    steps: int  # moves made
    converged: bool
    fmax: float | None  # eV/Å, largest force on an atom
    smax: float | None  # eV/Å^3, largest stress component; None with a fixed cell
    volume_change: float | None  # relative, (V - V0) / V0; None without a cell
    failure: str | None = None  # why it was given up; None when it was not


@dataclass
class _Run:
    """One system on its way; `positions` and `cell` are the last sane ones, those `energy` belongs to."""

    index: int
    graph: AtomGraph  # as it entered
    positions: Tensor  # [N, 3] Å
    cell: Tensor  # [3, 3] Å
    volume: float  # Å^3 at the start; 0 unless periodic in three directions
    steps: int = 0
    energy: float | None = None
    initial_energy: float | None = None
    fmax: float | None = None
    smax: float | None = None


class _Criteria(NamedTuple):
    fmax: float
    smax: float
    max_steps: int
    variable_cell: bool
    limits: GateLimits


def relax(
    structures: Any,
    potential: Potential | str,
    *,
    fmax: float = 0.05,
    smax: float = 1e-3,
    max_steps: int = 500,
    variable_cell: bool = True,
    optimizer: str = "fire",
    max_atoms_per_batch: int = 400,
    limits: GateLimits = DEFAULT_LIMITS,
    progress: bool = False,
) -> list[Relaxed]:
    """Relax structures to a local minimum of the potential energy.

    Args:
        structures: one or many `pymatgen.Structure`, `ase.Atoms` or `AtomGraph`.
        potential: any `Potential`, or the name or path of one.
        fmax: eV/Å, converged when no atom feels more.
        smax: eV/Å^3, and no stress component is larger (with a variable cell); 1e-3 is 0.16 GPa.
        max_steps: force calls a structure may use after the first.
        variable_cell: relax cells too, where they are periodic in three directions.
        optimizer: `fire` or `lbfgs`.
        max_atoms_per_batch: atoms that share a force call; a larger system goes alone.
        limits: what the geometry gate lets through.
        progress: show a bar on stderr.

    Returns:
        One `Relaxed` per structure, in the order given. Failures are in `failure`, never raised.

    Raises:
        InputError: a setting that cannot be used; never for the sake of a single structure.
    """
    single = not isinstance(structures, Sequence)
    systems: list[Any] = [structures] if single else list(structures)
    _check_settings(fmax, smax, max_steps, optimizer, max_atoms_per_batch)
    model = load_potential(potential) if isinstance(potential, str) else potential
    criteria = _Criteria(fmax, smax, max_steps, variable_cell, limits)
    results: dict[int, Relaxed] = {}
    waiting: deque[_Run] = deque()
    for index, system in enumerate(systems):
        run = _admit(index, system, model, limits)
        if isinstance(run, str):
            results[index] = Relaxed(system, None, None, 0, False, None, None, None, run)
        else:
            waiting.append(run)

    with tqdm(total=len(systems), desc="relax", unit="structure", disable=not progress) as bar:
        bar.update(len(results))
        for run, failure in _drive(waiting, model, criteria, OPTIMIZERS[optimizer], max_atoms_per_batch):
            results[run.index] = _finish(run, systems[run.index], criteria, failure)
            bar.update(1)
    return [results[index] for index in range(len(systems))]


def _drive(
    waiting: deque[_Run], model: Potential, criteria: _Criteria, optimizer: Optimizer, max_atoms: int
) -> Iterator[tuple[_Run, str | None]]:
    """Move all runs until each is done; yields each with the reason if it failed."""
    active: list[_Run] = []
    state = optimizer.init(0, 0)
    batch = None
    while active or waiting:
        joined = _refill(active, waiting, max_atoms)
        if joined:
            rows = sum(run.graph.num_nodes + 3 for run in joined)
            state = join_systems(optimizer, state, optimizer.init(rows, len(joined)))
            batch = _grow(batch, joined)
        assert batch is not None
        layout = lay_out(batch, variable_cell=criteria.variable_cell)
        done: dict[int, str | None] = dict(_explosions(active, batch, criteria))
        output = PotentialOutput()
        if not done:
            output, faults = _evaluate(model, batch, stress=criteria.variable_cell)
            done = dict(faults) if faults else _judge(active, batch, output, criteria)
        if done:
            yield from ((active[k], failure) for k, failure in done.items())
            stay = torch.tensor([k not in done for k in range(len(active))])
            active = [run for k, run in enumerate(active) if k not in done]
            state = keep_systems(optimizer, state, stay[layout.owner], stay)
            atoms = stay[batch.batch]
            batch = _shrink(batch, stay)
            if not active or "forces" not in output:
                continue
            output = PotentialOutput(forces=output["forces"][atoms], stress=output["stress"][stay])
            layout = lay_out(batch, variable_cell=criteria.variable_cell)
        forces = generalised_forces(batch, layout, output["forces"], output["stress"])
        displacement, state = optimizer.step(state, forces, layout.owner)
        batch.positions, batch.cell = displace(batch, layout, displacement)
        for run in active:
            run.steps += 1


def _admit(index: int, system: Any, model: Potential, limits: GateLimits) -> _Run | str:
    """A run for a system, or the reason why it may not start."""
    try:
        given = graph_from(system)
    except InputError as error:
        return str(error)
    graph = make_graph(given.numbers, given.positions.detach().cpu(), given.cell.detach().cpu(), given.pbc)
    fault = geometry_fault(graph.numbers, graph.positions, graph.cell, graph.pbc, limits)
    if fault:
        return fault
    unknown = sorted(set(graph.numbers.tolist()) - model.elements)
    if unknown:
        return f"{model.name} does not know {chemical_symbols[unknown[0]]}: choose another potential"
    volume = abs(float(torch.linalg.det(graph.cell))) if bool(graph.pbc.all()) else 0.0
    return _Run(index, graph, graph.positions, graph.cell, volume)


def _refill(active: list[_Run], waiting: deque[_Run], max_atoms: int) -> list[_Run]:
    """Move waiting runs into `active` while they fit, at least one if it is empty; returns those moved."""
    joined: list[_Run] = []
    room = max_atoms - sum(run.graph.num_nodes for run in active)
    while waiting and (not active or waiting[0].graph.num_nodes <= room):
        run = waiting.popleft()
        room -= run.graph.num_nodes
        active.append(run)
        joined.append(run)
    return joined


def _grow(batch: Batch | None, joined: list[_Run]) -> Batch:
    present = [] if batch is None else batch.to_data_list()
    return collate(present + [run.graph for run in joined])


def _shrink(batch: Batch, stay: Tensor) -> Batch | None:
    kept = [graph for graph, keep in zip(batch.to_data_list(), stay.tolist(), strict=True) if keep]
    return collate(kept) if kept else None


def _explosions(active: list[_Run], batch: Batch, criteria: _Criteria) -> dict[int, str]:
    """Systems a step has made unfit for a neighbour list, with the reason."""
    faults: dict[int, str] = {}
    finite = torch.isfinite(batch.cell).flatten(1).all(1)
    finite[batch.batch[~torch.isfinite(batch.positions).all(1)]] = False
    heights = bulk_heights(batch.cell).amin(1)
    volumes = torch.linalg.det(batch.cell).abs()
    numbers = zip(finite.tolist(), heights.tolist(), volumes.tolist(), strict=True)
    for k, (run, (sound, height, volume)) in enumerate(zip(active, numbers, strict=True)):
        ratio = volume / run.volume if run.volume else 1.0
        if not sound:
            faults[k] = f"positions became non-finite in step {run.steps}: start from a saner geometry"
        elif run.volume and height < criteria.limits.min_height:
            limit = criteria.limits.min_height
            faults[k] = (
                f"cell height fell to {height:.3g} Å, below {limit:g} Å, in step {run.steps}: the cell collapsed"
            )
        elif not 1 / MAX_VOLUME_RATIO < ratio < MAX_VOLUME_RATIO:
            faults[k] = (
                f"volume went to {ratio:.3g} times the initial one in step {run.steps}: the structure came apart"
            )
        elif run.steps and run.steps % GATE_EVERY == 0:
            graph = batch[k]
            fault = geometry_fault(graph.numbers, graph.positions, graph.cell, graph.pbc, criteria.limits)
            if fault:
                faults[k] = place_fault(fault, f"step {run.steps}")
    return faults


def _evaluate(model: Potential, batch: Batch, *, stress: bool) -> tuple[PotentialOutput, dict[int, str]]:
    """One force call on the CPU in double precision, or the systems that make it fail.

    Where the batch fails as a whole, each system is tried alone, so that one culprit does not stop the rest.
    """
    try:
        output = model(batch, stress=stress)
    except _MODEL_ERRORS as error:
        if batch.num_graphs == 1:
            return PotentialOutput(), {0: _sentence(error)}
        faults = {}
        for k in range(batch.num_graphs):
            _, fault = _evaluate(model, collate([batch[k]]), stress=stress)
            if fault:
                faults[k] = fault[0]
        # None fails alone, so together they are too many: give up the largest and go on with the others.
        if not faults:
            largest = int(torch.argmax(batch.ptr[1:] - batch.ptr[:-1]))
            faults[largest] = f"the batch failed though each system alone does not: {_sentence(error)}"
        return PotentialOutput(), faults
    return (
        PotentialOutput(
            energy=output["energy"].cpu().double(),
            forces=output["forces"].cpu().double(),
            stress=output["stress"].cpu().double() if stress else batch.cell.new_zeros(batch.num_graphs, 3, 3),
        ),
        {},
    )


def _judge(active: list[_Run], batch: Batch, output: PotentialOutput, criteria: _Criteria) -> dict[int, str | None]:
    """Record what the model said of every system; returns those that are done, with the reason if they failed."""
    force = output["forces"].norm(dim=1)
    fmax = force.new_zeros(len(active)).scatter_reduce_(0, batch.batch, force, "amax").tolist()
    smax = output["stress"].abs().flatten(1).amax(1).tolist()
    finite = torch.isfinite(output["energy"]) & torch.isfinite(output["stress"]).flatten(1).all(1)
    finite[batch.batch[~torch.isfinite(force)]] = False
    done: dict[int, str | None] = {}
    for k, (run, energy) in enumerate(zip(active, output["energy"].tolist(), strict=True)):
        if not finite[k]:
            done[k] = f"the potential returned non-finite values in step {run.steps}: start from a saner geometry"
            continue
        per_atom = 0.0 if run.initial_energy is None else (run.initial_energy - energy) / run.graph.num_nodes
        if fmax[k] > MAX_FORCE:
            done[k] = (
                f"a force of {fmax[k]:.3g} eV/Å exceeds {MAX_FORCE:g} eV/Å in step {run.steps}: atoms are too close"
            )
            continue
        if per_atom > MAX_ENERGY_DROP:
            done[k] = (
                f"the energy fell by {per_atom:.3g} eV per atom by step {run.steps}, more than {MAX_ENERGY_DROP:g} eV: "
                "the potential is not valid here"
            )
            continue
        start, stop = int(batch.ptr[k]), int(batch.ptr[k + 1])
        run.positions, run.cell = batch.positions[start:stop], batch.cell[k]
        run.energy, run.fmax = energy, fmax[k]
        run.smax = smax[k] if criteria.variable_cell and run.volume else None
        run.initial_energy = energy if run.initial_energy is None else run.initial_energy
        if (
            fmax[k] <= criteria.fmax and (run.smax is None or run.smax <= criteria.smax)
        ) or run.steps >= criteria.max_steps:
            done[k] = None
    return done


def _finish(run: _Run, system: Any, criteria: _Criteria, failure: str | None) -> Relaxed:
    converged = (
        failure is None
        and run.fmax is not None
        and run.fmax <= criteria.fmax
        and (run.smax is None or run.smax <= criteria.smax)
    )
    volume = abs(float(torch.linalg.det(run.cell)))
    return Relaxed(
        structure=with_geometry(system, run.positions.numpy(), run.cell.numpy()),
        energy=run.energy,
        initial_energy=run.initial_energy,
        steps=run.steps,
        converged=converged,
        fmax=run.fmax,
        smax=run.smax,
        volume_change=volume / run.volume - 1 if run.volume else None,
        failure=failure,
    )


def _check_settings(fmax: float, smax: float, max_steps: int, optimizer: str, max_atoms: int) -> None:
    for name, value in (("fmax", fmax), ("smax", smax)):
        if not value > 0:
            raise InputError(
                f"{name} = {value} is not positive: give a threshold such as {0.05 if name == 'fmax' else 1e-3}"
            )
    for name, count in (("max_steps", max_steps), ("max_atoms_per_batch", max_atoms)):
        if count < (0 if name == "max_steps" else 1):
            raise InputError(f"{name} = {count} is too small: give a positive number")
    if optimizer not in OPTIMIZERS:
        nearest = difflib.get_close_matches(optimizer, OPTIMIZERS, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(OPTIMIZERS)}"
        raise InputError(f"unknown optimizer {optimizer!r}: {hint}")


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, SorbusError) else f"the potential failed: {text[:300]}"
