"""Sampling a grand-canonical state point: replicas, where they start, when they have seen enough, what it may cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from potentials.config import Config
from potentials.errors import InputError
from screening.adsorption.batched.gcmc_cooling import RUNGS, cooling_path
from screening.adsorption.batched.gcmc_statistics import BLOCKS, REPLICAS, equilibrated, sampling_error
from screening.adsorption.seeds import derive_seed

_FILLING = 30.0  # times the activity, at which full pores are made
_LONGEST_FILLING = 30  # chunks
STRIDE = 25  # moves between samples
_RENEWALS = 10  # times every molecule must have been exchanged with the gas, on average
_CHUNK = 2000  # samples between looks at the error
_EMPTY = 1_000_000  # moves of all replicas without one insertion, after which a gas counts as not adsorbed
MOST_GUESTS = 4000
MOST_WORK = 5e9  # of a state point: a minute of an idle core at most
_MARKED = 0.5  # guests a move whose voxels are marked or cleared, where cavities are kept account of
_AFTER_COOLING = 4  # chunks a replica is sampled at least
_RUNG = 0.5  # of a chunk, at each temperature of the way down
_WORTH = 1.5  # times as many insertions must be made for cavities, whose account costs time


class IsothermSettings(Config):
    """Effort of the batched engine."""

    error: float = Field(default=0.02, gt=0.0, lt=1.0)  # relative standard error of every uptake to reach
    most_moves: int = Field(default=8_000_000, ge=200_000)  # a pressure, after which it stops regardless
    # the same in distances between guests looked at, or voxels marked, 3 to 10 ns each: a bound on the time of full
    # pores, where moves are dear, that does not make results depend on the machine
    most_work: float = Field(default=MOST_WORK, ge=1e6)
    ideal_gas: bool = False  # True: fugacity = pressure
    # "cycles" weighs samples as RASPA does (`cycle_weights`), to compare with figures averaged over its cycles
    averages: Literal["moves", "cycles"] = "moves"
    workers: int = Field(default=1, ge=1)  # threads; results do not depend on it


def new_state(kernel: Any, model: Any, capacity: int, key: int, cavities: bool = True) -> Any:
    """An empty box; `cavities` makes room to keep account of them."""
    components, most_sites = model.site_kind.shape
    box_voxels = math.prod(model.voxels * model.repeats) if cavities else 0
    return kernel.State(
        centres=np.zeros((capacity, 3)),
        turns=np.zeros((capacity, 3, 3)),
        sites=np.zeros((capacity, most_sites, 3)),
        component=np.zeros(capacity, dtype=np.int64),
        host_energy=np.zeros(capacity),
        count=np.zeros(components, dtype=np.int64),
        energy=np.zeros(2),
        taken=np.zeros((components, box_voxels), dtype=np.int16),
        free=np.zeros(components),
        free_list=np.zeros((components, box_voxels), dtype=np.int32),
        free_place=np.zeros((components, box_voxels), dtype=np.int32),
        free_count=np.zeros(components, dtype=np.int64),
        factor=np.zeros((len(model.waves), 2)),
        steps=np.full((components, 2), 0.7),
        tried=np.zeros((components, 5), dtype=np.int64),
        accepted=np.zeros((components, 5), dtype=np.int64),
        work=np.zeros(1),
        random=np.random.default_rng(key).integers(1, 2**64, size=4, dtype=np.uint64),
    )


@dataclass(frozen=True)
class Sampled:
    """What the replicas of a state point gave."""

    trace: np.ndarray  # [n, components + 2] samples after equilibration, replica after replica
    moves: int  # all of them
    fault: str = ""  # why it stopped before it was done
    apart: np.ndarray | float = 0.0  # [components] molecules, least the errors may be where it is not in equilibrium
    cooled: bool = False  # replicas were heated and cooled back before they were sampled


def sample(kernel: Any, candidates: Sequence[Any], settings: IsothermSettings, key: int) -> Sampled:
    """Sample a state point until the error asked for is reached, or the budget is spent.

    Of the candidate models, which differ in where they insert, the one that inserts more often is taken.

    Every other replica starts from pores filled at a higher activity. Near a step of the isotherm a single run can
    stay on one side of it and know nothing of the other; replicas that came from both sides do not agree then. Where
    the budget would not exchange the molecules, all are heated and cooled back first, again from both sides
    (`gcmc_cooling.py`).
    """
    components = len(candidates[0].site_count)
    seeking = any(candidate.cavity_share > 0.0 for candidate in candidates)
    keys = [derive_seed(key, replica) for replica in range(REPLICAS)]
    states = [new_state(kernel, candidates[0], MOST_GUESTS, each, seeking) for each in keys]
    chunks = 0.0
    for replica, state in enumerate(states):  # tunes the steps; thrown away
        if replica % 2:
            full = candidates[-1]._replace(activity=candidates[-1].activity * _FILLING)
            chunks += _fill(kernel, full, state, settings.most_work / (2 * REPLICAS))
        else:
            _more(kernel, candidates[0], state, True)
            chunks += 1
    model = _readiest(kernel, candidates, states[-1])
    for state in states:
        _more(kernel, model, state, False)  # most of what filling left behind
        state.accepted[:] = 0
    before = sum(float(state.work[0]) for state in states)
    traces = [_more(kernel, model, state, False) for state in states]
    made = int(sum(state.accepted[:, kernel.INSERT].sum() for state in states))
    chunks += REPLICAS
    cooled = _crowded(made, sum(float(state.work[0]) for state in states) - before, states, settings)
    if cooled:
        for replica, state in enumerate(states):
            for rung in cooling_path(kernel, model, state, rich=bool(replica % 2)):
                _more(kernel, rung, state, True, _RUNG)
                chunks += _RUNG
            state.accepted[:] = 0
        traces = [_more(kernel, model, state, False) for state in states]
        chunks += REPLICAS
    moves = int((chunks + REPLICAS + len(candidates)) * _CHUNK * STRIDE)
    while True:
        for replica, state in enumerate(states):
            traces[replica] = np.concatenate([traces[replica], _more(kernel, model, state, False)])
        moves += REPLICAS * _CHUNK * STRIDE
        cuts = [equilibrated(trace[:, :components].sum(axis=1)) for trace in traces]
        cut = max(cuts)
        parts = BLOCKS // REPLICAS  # blocks of the joined trace then never span two replicas
        kept = [trace[cut + (len(trace) - cut) % parts :] for trace in traces]
        trace = np.concatenate(kept)
        mean = trace[:, :components].mean(axis=0)
        error = sampling_error(trace[:, :components])
        good = (error <= settings.error * mean) | (mean == 0.0)
        # full pores exchange slowly: before every molecule was replaced a few times no error can be trusted
        inserted = sum(state.accepted[:, kernel.INSERT] for state in states)
        renewed = inserted >= REPLICAS * _RENEWALS * mean
        apart = _sides_apart(kept, components)
        met = cooled and (apart <= settings.error * mean).all() and len(traces[0]) >= _AFTER_COOLING * _CHUNK
        # nothing adsorbed for long is an answer too: insertions are drawn where the gas fits, so that of a box that
        # holds a molecule one moment in ten thousand some of a few hundred thousand would have been accepted
        absent = (mean == 0.0) & (inserted == 0) & (moves >= _EMPTY)
        patient = len(trace) >= 2 * _CHUNK and ((mean > 0.0) | absent).all()
        if good.all() and patient and (met or renewed.all()):
            return Sampled(trace, moves, "", 0.0 if renewed.all() else apart, cooled)
        spent = sum(float(state.work[0]) for state in states) >= settings.most_work
        if moves >= settings.most_moves or spent:
            fault, least = _unfinished(traces, kept, mean, error, settings, good, renewed, inserted)
            return Sampled(trace, moves, fault, least, cooled)


def _sides_apart(kept: Sequence[np.ndarray], components: int) -> np.ndarray:
    """Half the distance [c] between the means of runs from empty (or lean) and from full (or rich) pores."""
    sides = [np.mean([part[:, :components].mean(axis=0) for part in kept[start::2]], axis=0) for start in (0, 1)]
    return np.asarray(0.5 * np.abs(sides[0] - sides[1]))


def _unfinished(
    traces: Sequence[np.ndarray],
    kept: Sequence[np.ndarray],
    mean: np.ndarray,
    error: np.ndarray,
    settings: IsothermSettings,
    good: np.ndarray,
    renewed: np.ndarray,
    inserted: np.ndarray,
) -> tuple[str, np.ndarray | float]:
    """What is wrong with a run whose budget is spent, and the least its errors [components] may be."""
    faults = []
    apart: np.ndarray | float = 0.0
    if not good.all():
        worst = float((error[~good] / mean[~good]).max())
        faults.append(f"its relative error is {100 * worst:.2g} % instead of {100 * settings.error:.2g} %")
    settling = min(len(part) / len(trace) for part, trace in zip(kept, traces, strict=True)) < 0.55
    if settling or not renewed.all():
        apart = _sides_apart(kept, len(mean))
        if settling:
            faults.append("its equilibration could not be told from the rest")
        if not renewed.all():
            times = float((inserted[~renewed] / (REPLICAS * mean[~renewed])).min())
            faults.append(f"molecules were exchanged with the gas only {times:.2g} times")
        faults.append("the error is half the distance between runs from empty and from full pores, or more")
    return "; ".join(faults), apart


def _fill(kernel: Any, model: Any, state: Any, most_work: float) -> int:
    """Run until the pores take up no more, or for so long; returns the chunks run.

    A replica that began with half-full pores would creep up like those from empty ones, and agree with them too soon.
    """
    held = [0.0]
    while len(held) <= _LONGEST_FILLING:
        held.append(float(_more(kernel, model, state, True)[:, : len(state.count)].sum(axis=1).mean()))
        if held[-1] <= 1.002 * held[-2] or state.work[0] > most_work:
            break
    return len(held) - 1


def _crowded(inserted: int, work: float, states: Sequence[Any], settings: IsothermSettings) -> bool:
    """Whether moves at the state point will not exchange the molecules within the budget, and half of it pays cooling.

    Args:
        inserted: molecules by all replicas in a chunk each.
        work: of these chunks.
        states: of the replicas.
        settings: the budget.
    """
    chunks = min(settings.most_moves / (_CHUNK * STRIDE), REPLICAS * settings.most_work / max(work, 1.0))
    held = sum(int(state.count.sum()) for state in states)
    return inserted * chunks / REPLICAS < _RENEWALS * held and 0.5 * chunks >= REPLICAS * RUNGS * _RUNG


def _readiest(kernel: Any, candidates: Sequence[Any], state: Any) -> Any:
    """The model that makes most insertions, going on for a while from copies of the same state.

    One that keeps account of cavities must make `_WORTH` times as many.
    """
    made = []
    for model in candidates:
        trial = kernel.State(*(part.copy() for part in state))
        _more(kernel, model, trial, False)
        insertions = int((trial.accepted - state.accepted)[:, kernel.INSERT].sum())
        made.append(insertions / _WORTH if model.cavity_share > 0.0 else insertions)
    return candidates[int(np.argmax(made))]


def _more(kernel: Any, model: Any, state: Any, tune: bool, share: float = 1.0) -> np.ndarray:
    """Samples of a replica over a share of a chunk."""
    count = int(_CHUNK * share)
    samples = np.zeros((count, len(model.site_count) + 2))
    if not kernel.run(model, state, samples, STRIDE, tune):
        raise InputError(
            f"more than {MOST_GUESTS} molecules adsorbed in the simulation box: the pores are larger than the "
            "batched engine takes; choose engine raspa"
        )
    if model.cavity_share > 0.0:
        state.work[0] += count * STRIDE * _MARKED * float(model.stencil_length.sum(axis=0).mean())
    return samples
