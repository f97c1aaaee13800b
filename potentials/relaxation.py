"""Relaxation of many structures at once: positions and, if wanted, cells.

Systems share force calls, nothing else. Each has its own optimiser state and convergence test; a finished one leaves
the batch and a waiting one takes its place. A system that breaks (non-finite numbers, exploding cell, atoms on top of
each other, an element the potential does not know) is marked failed with the reason and keeps its last sane geometry;
the rest go on.
"""

import difflib
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from ase import Atoms
from ase.data import chemical_symbols
from pymatgen.core import Structure
from torch import Tensor
from torch_geometric.data import Batch

from potentials.atom_graph import AtomGraph, collate, graph_from, make_graph, with_geometry
from potentials.bars import progress_bar
from potentials.batch_size import atoms_that_fit
from potentials.cell_filter import displace, generalised_forces, lay_out
from potentials.constraints import GPA, Constraint, constrain, prepared
from potentials.errors import InputError, SorbusError
from potentials.explosions import answer_explosions, geometry_explosions, largest_forces
from potentials.gate import DEFAULT_LIMITS, GateLimits, geometry_fault
from potentials.optimizers import OPTIMIZERS, Optimizer, join_systems, keep_systems
from potentials.potential import Potential, PotentialChoice, PotentialOutput, load_potential
from potentials.relaxation_guard import Guard, Sane

_MODEL_ERRORS = (SorbusError, RuntimeError, ValueError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class Relaxed:
    """What became of one structure."""

    structure: Any  # as given (`Structure` or `Atoms`), with new positions and cell; the last sane ones on failure
    energy: float | None  # eV, of `structure`; None if it never got one
    initial_energy: float | None  # eV
    steps: int  # moves made
    converged: bool
    fmax: float | None  # eV/Å, largest force on an atom that may move
    smax: float | None  # eV/Å^3, largest component of stress + pressure; None with a fixed cell
    volume_change: float | None  # relative, (V - V0) / V0; None without a cell
    failure: str | None = None  # why it was given up; None when it was not
    first_steps: int = 0  # moves made with the potential of a first stage; `steps` are those with the potential itself
    optimizer: str | None = None  # that made the last moves; `fire` where `lbfgs` was asked for and lost its way
    restarts: int = 0  # times `lbfgs` was put back to the lowest geometry it had met (`potentials.relaxation_guard`)


@dataclass
class _Run:
    """One system on its way."""

    index: int
    graph: AtomGraph  # as it entered
    volume: float  # Å^3 at the start; 0 unless periodic in three directions
    constraint: Constraint = field(default_factory=Constraint)
    steps: int = 0
    initial_energy: float | None = None
    last: Sane | None = None  # the last sane geometry
    guard: Guard | None = None  # of one that follows L-BFGS


class _Criteria(NamedTuple):
    fmax: float
    smax: float
    max_steps: int
    variable_cell: bool
    limits: GateLimits
    pressure: float = 0.0  # eV/Å^3


def relax(
    structures: Any,
    potential: Potential | PotentialChoice,
    *,
    first: Potential | PotentialChoice | None = None,
    fmax: float = 0.05,
    smax: float = 1e-3,
    max_steps: int = 500,
    variable_cell: bool = True,
    pressure_gpa: float = 0.0,
    symmetry: bool = False,
    fixed_elements: Collection[str] = (),
    optimizer: str = "fire",
    max_atoms_per_batch: int | Literal["memory"] = 400,
    limits: GateLimits = DEFAULT_LIMITS,
    progress: bool = False,
) -> list[Relaxed]:
    """Relax structures to a local minimum of the potential energy.

    Args:
        structures: one or many `pymatgen.Structure`, `ase.Atoms` or `AtomGraph`.
        potential: any `Potential`, or the name or path of one.
        first: a faster potential that goes most of the way before `potential` takes over (`potentials.two_stage`).
        fmax: eV/Å, converged when no atom feels more.
        smax: eV/Å^3, and no component of stress + pressure is larger (with a variable cell); 1e-3 is 0.16 GPa.
        max_steps: force calls a structure may use after the first.
        variable_cell: relax cells too, where they are periodic in three directions.
        pressure_gpa: GPa outside: what is minimised is E + p V (`energy` stays E).
        symmetry: keep the space group of each structure (`potentials.constraints`).
        fixed_elements: symbols whose atoms keep their (fractional) positions, besides those held by `FixAtoms` of an
            `Atoms` or `selective_dynamics` of a `Structure`.
        optimizer: `fire`, or `lbfgs`, which turns back where it loses its way (`potentials.relaxation_guard`).
        max_atoms_per_batch: atoms that share a force call; a larger system goes alone. `memory`: as many as fit,
            measured (`potentials.batch_size`): for GPUs; on a CPU a few hundred are faster, they stay in its cache.
        limits: what the geometry gate lets through.
        progress: show a bar on stderr.

    Returns:
        One `Relaxed` per structure, in the order given. Failures are in `failure`, never raised.

    Raises:
        InputError: a setting that cannot be used; never for the sake of a single structure.
    """
    # a Structure is itself a sequence, of sites
    single = isinstance(structures, Structure | Atoms | AtomGraph)
    systems: list[Any] = [structures] if single else list(structures)
    _check_settings(fmax, smax, max_steps, optimizer, max_atoms_per_batch)
    _check_constraints(variable_cell, pressure_gpa, fixed_elements)
    model = load_potential(potential) if isinstance(potential, str | dict) else potential
    if first is not None:
        from potentials.two_stage import relax_in_two_stages

        return relax_in_two_stages(
            systems,
            load_potential(first) if isinstance(first, str | dict) else first,
            model,
            fmax=fmax,
            smax=smax,
            max_steps=max_steps,
            first_max_steps=max_steps,
            variable_cell=variable_cell,
            pressure_gpa=pressure_gpa,
            symmetry=symmetry,
            fixed_elements=fixed_elements,
            optimizer=optimizer,
            max_atoms_per_batch=max_atoms_per_batch,
            limits=limits,
            progress=progress,
        )
    criteria = _Criteria(fmax, smax, max_steps, variable_cell, limits, pressure_gpa * GPA)
    results: dict[int, Relaxed] = {}
    waiting: deque[_Run] = deque()
    for index, system in enumerate(systems):
        run = _admit(index, system, model, limits, fixed_elements, symmetry)
        if isinstance(run, str):
            results[index] = Relaxed(system, None, None, 0, False, None, None, None, run)
        else:
            waiting.append(run)

    if max_atoms_per_batch == "memory" and waiting:
        max_atoms_per_batch = atoms_that_fit(model, [run.graph for run in waiting], stress=variable_cell)
    room = int(max_atoms_per_batch) if waiting else 0
    with progress_bar(total=len(systems), desc="relax", unit="structure", progress=progress) as bar:
        bar.update(len(results))
        for run, failure in _drive(waiting, model, criteria, OPTIMIZERS[optimizer], room):
            results[run.index] = _finish(run, systems[run.index], failure, optimizer)
            bar.update(1)
    return [results[index] for index in range(len(systems))]


def _drive(
    waiting: deque[_Run], model: Potential, criteria: _Criteria, optimizer: Optimizer, max_atoms: int
) -> Iterator[tuple[_Run, str | None]]:
    """Move all runs until each is done; yields each with the reason if it failed."""
    active: list[_Run] = []
    state = optimizer.init(0, 0)
    batch: Any = None
    while active or waiting:
        joined = _refill(active, waiting, max_atoms)
        for run in joined if optimizer.restart else ():
            run.guard = Guard(run.graph.num_nodes)
        if joined:
            rows = sum(run.graph.num_nodes + 3 for run in joined)
            state = join_systems(optimizer, state, optimizer.init(rows, len(joined)))
            batch = _grow(batch, joined)
        layout = lay_out(batch, variable_cell=criteria.variable_cell)
        volumes, steps = [run.volume for run in active], [run.steps for run in active]
        faults = geometry_explosions(batch, volumes, steps, criteria.limits)
        output = PotentialOutput()
        if not faults:
            output, faults = _evaluate(model, batch, stress=criteria.variable_cell)
        if not faults:
            output["forces"], output["stress"] = constrain(
                batch, [run.constraint for run in active], output["forces"], output["stress"], criteria.pressure
            )
            faults = _judge(active, batch, output, criteria)
        done = _done(active, faults, "forces" in output, criteria.max_steps)
        if done:
            yield from ((active[k], failure) for k, failure in done.items())
            stay = torch.tensor([k not in done for k in range(len(active))])
            active = [run for k, run in enumerate(active) if k not in done]
            state = keep_systems(optimizer, state, stay[layout.owner], stay)
            atoms = stay[batch.batch]
            batch = _shrink(batch, stay)
            if not active:
                continue
            if "forces" in output:
                output = PotentialOutput(forces=output["forces"][atoms], stress=output["stress"][stay])
            layout = lay_out(batch, variable_cell=criteria.variable_cell)
        back = torch.tensor([run.guard is not None and run.guard.retreating for run in active])
        if optimizer.restart is not None and bool(back.any()):
            careful = torch.tensor([run.guard is not None and run.guard.careful for run in active])
            state = optimizer.restart(state, layout.owner, back, careful & back)
        if "forces" in output:
            forces = generalised_forces(batch, layout, output["forces"], output["stress"])
            forces[back[layout.owner]] = 0.0  # they are put back below; what they feel may be absurd
            displacement, state = optimizer.step(state, forces, layout.owner)
            batch.positions, batch.cell = displace(batch, layout, displacement)
            for run in active:
                run.steps += 1
        _put_back(active, batch)


def _admit(
    index: int, system: Any, model: Potential, limits: GateLimits, fixed_elements: Collection[str], symmetry: bool
) -> _Run | str:
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
    try:
        graph, constraint = prepared(graph, system, fixed_elements, symmetry)
    except InputError as error:
        return str(error)
    volume = abs(float(torch.linalg.det(graph.cell))) if bool(graph.pbc.all()) else 0.0
    return _Run(index, graph, volume, constraint)


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


def _evaluate(model: Potential, batch: Batch, *, stress: bool) -> tuple[PotentialOutput, dict[int, str]]:
    """One force call on the CPU in double precision, or the systems that make it fail.

    Where the batch fails as a whole each system is tried alone, so that one culprit, or a lack of memory for
    all at once, does not stop the rest.
    """
    try:
        output = model(batch, stress=stress)
    except _MODEL_ERRORS as error:
        if batch.num_graphs == 1:
            return PotentialOutput(), {0: _sentence(error)}
        alone = [_evaluate(model, collate([batch[k]]), stress=stress) for k in range(batch.num_graphs)]
        faults = {k: fault[0] for k, (_, fault) in enumerate(alone) if fault}
        if faults:
            return PotentialOutput(), faults
        output = PotentialOutput(
            energy=torch.cat([part["energy"] for part, _ in alone]),
            forces=torch.cat([part["forces"] for part, _ in alone]),
            stress=torch.cat([part["stress"] for part, _ in alone]),
        )
    return (
        PotentialOutput(
            energy=output["energy"].cpu().double(),
            forces=output["forces"].cpu().double(),
            stress=output["stress"].cpu().double() if stress else batch.cell.new_zeros(batch.num_graphs, 3, 3),
        ),
        {},
    )


def _judge(active: list[_Run], batch: Batch, output: PotentialOutput, criteria: _Criteria) -> dict[int, str]:
    """Record what the model said of every system; returns those for which it was absurd, with the reason."""
    energy, forces, stress = output["energy"], output["forces"], output["stress"]
    steps, initial = [run.steps for run in active], [run.initial_energy for run in active]
    faults = answer_explosions(batch, energy, forces, stress, initial, steps)
    fmax, smax = largest_forces(batch, forces).tolist(), stress.abs().flatten(1).amax(1).tolist()
    volumes = torch.linalg.det(batch.cell).abs().tolist()
    for k, run in enumerate(active):
        if k in faults:
            continue
        geometry = batch.positions[batch.ptr[k] : batch.ptr[k + 1]], batch.cell[k]
        level = float(energy[k])
        enthalpy = level + criteria.pressure * (volumes[k] if run.volume else 0.0)
        pull = smax[k] if criteria.variable_cell and run.volume else None
        excess = max(fmax[k] / criteria.fmax, 0.0 if pull is None else pull / criteria.smax)
        run.last = Sane(*geometry, level, enthalpy, fmax[k], pull, excess)
        run.initial_energy = level if run.initial_energy is None else run.initial_energy
        if run.guard is not None:
            run.guard.see(run.last, spent=run.steps >= criteria.max_steps)
    return faults


def _done(active: list[_Run], faults: dict[int, str], judged: bool, max_steps: int) -> dict[int, str | None]:
    """Systems that leave, with the reason if they failed; one that can go on from an earlier geometry stays."""
    done: dict[int, str | None] = {}
    for k, run in enumerate(active):
        spent = run.steps >= max_steps
        if run.guard is not None and (run.guard.retreating or (k in faults and not spent and run.guard.retreat())):
            continue
        if k in faults:
            done[k] = faults[k]
        elif judged and (spent or (run.last is not None and run.last.excess <= 1)):
            done[k] = None
    return done


def _put_back(active: list[_Run], batch: Batch) -> None:
    """Give systems that lost their way the lowest geometry they had."""
    for k, run in enumerate(active):
        if run.guard is not None and run.guard.retreating and run.guard.lowest is not None:
            batch.positions[batch.ptr[k] : batch.ptr[k + 1]] = run.guard.lowest.positions
            batch.cell[k] = run.guard.lowest.cell
            run.guard.retreating = False


def _finish(run: _Run, system: Any, failure: str | None, optimizer: str) -> Relaxed:
    last, guard = run.last, run.guard
    converged = last is not None and failure is None and last.excess <= 1
    if last is not None and guard is not None and not converged:
        last = guard.lower_than(last.enthalpy) or last
    positions, cell = (run.graph.positions, run.graph.cell) if last is None else (last.positions, last.cell)
    volume = abs(float(torch.linalg.det(cell)))
    return Relaxed(
        structure=with_geometry(system, positions.numpy(), cell.numpy()),
        energy=None if last is None else last.energy,
        initial_energy=run.initial_energy,
        steps=run.steps,
        converged=converged,
        fmax=None if last is None else last.fmax,
        smax=None if last is None else last.smax,
        volume_change=volume / run.volume - 1 if run.volume else None,
        failure=failure,
        optimizer="fire" if guard is not None and guard.careful else optimizer,
        restarts=0 if guard is None else guard.resets + guard.careful,
    )


def _check_settings(
    fmax: float, smax: float, max_steps: int, optimizer: str, max_atoms: int | Literal["memory"]
) -> None:
    for name, value, example in (("fmax", fmax, "0.05"), ("smax", smax, "1e-3")):
        if not value > 0:
            raise InputError(f"{name} = {value} is not positive: give a threshold such as {example}")
    if max_steps < 0:
        raise InputError(f"max_steps = {max_steps} is negative: give 0 or more")
    if max_atoms != "memory" and (isinstance(max_atoms, str) or max_atoms < 1):
        raise InputError(f"max_atoms_per_batch = {max_atoms} is below 1: give a number of atoms such as 400, or memory")
    if optimizer not in OPTIMIZERS:
        nearest = difflib.get_close_matches(optimizer, OPTIMIZERS, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(OPTIMIZERS)}"
        raise InputError(f"unknown optimizer {optimizer!r}: {hint}")


def _check_constraints(variable_cell: bool, pressure_gpa: float, fixed_elements: Collection[str]) -> None:
    if pressure_gpa and not variable_cell:
        raise InputError(
            f"pressure_gpa = {pressure_gpa:g} with a fixed cell does nothing: set variable_cell, or leave it"
        )
    if not -1000 <= pressure_gpa <= 1000:
        raise InputError(f"pressure_gpa = {pressure_gpa:g} is beyond 1000 GPa: give GPa, not bar or Pa")
    unknown = [symbol for symbol in fixed_elements if symbol not in chemical_symbols[1:]]
    if unknown:
        raise InputError(f"fixed_elements names {unknown[0]!r}, which is no chemical symbol: write e.g. [Si, O]")


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, SorbusError) else f"the potential failed: {text[:300]}"
