"""Relaxation in two stages: a fast potential goes most of the way, the one whose minimum is wanted goes the rest.

A potential distilled from the second (`docs/distill.md`) costs a fraction of it a step, so the dear one is left with
the last few steps. The result is a minimum of the second potential by the same criteria as without the first stage.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from potentials.atom_graph import graph_from
from potentials.potential import Potential
from potentials.relaxation import Relaxed, relax

# Below about its own error against the second potential the first one's forces are noise.
FIRST_FMAX = 0.1  # eV/Å
FIRST_SMAX = 2e-3  # eV/Å^3
_WORSE = 1e-3  # eV per atom by which a start may lie above the given structure


def relax_in_two_stages(
    systems: Sequence[Any],
    first: Potential,
    second: Potential,
    *,
    fmax: float,
    smax: float,
    first_max_steps: int,
    **settings: Any,
) -> list[Relaxed]:
    """Relax with `first`, then with `second`; arguments and result as `potentials.relaxation.relax`.

    The second potential sees each structure once as it was given: one that is relaxed already stays where it is, and
    its energy there is `initial_energy`. A structure that the first stage breaks, raises in the second's energy, or
    that holds an element the first does not know, is relaxed by the second alone. `steps` are moves made with the
    second potential, `first_steps` those with the first.
    """
    # no move: the energy, and whether there is anything to do
    before = relax(systems, second, fmax=fmax, smax=smax, **settings | {"max_steps": 0})
    todo = [k for k, result in enumerate(before) if result.failure is None and not result.converged]
    coarse = relax(
        [systems[k] for k in todo],
        first,
        fmax=max(fmax, FIRST_FMAX),
        smax=max(smax, FIRST_SMAX),
        **settings | {"max_steps": first_max_steps},
    )
    starts = [
        result.structure if result.failure is None else systems[k] for k, result in zip(todo, coarse, strict=True)
    ]
    fine = relax(starts, second, fmax=fmax, smax=smax, **settings)
    misled = [
        place
        for place, (k, result) in enumerate(zip(todo, fine, strict=True))
        if coarse[place].failure is None and (result.failure is not None or _is_worse(result, before[k]))
    ]
    again = relax([systems[todo[place]] for place in misled], second, fmax=fmax, smax=smax, **settings)
    for place, result in zip(misled, again, strict=True):
        # what the misled attempt cost is not hidden
        fine[place] = dataclasses.replace(result, steps=result.steps + fine[place].steps)
    results = list(before)
    for place, (k, result) in enumerate(zip(todo, fine, strict=True)):
        results[k] = dataclasses.replace(
            result,
            initial_energy=before[k].initial_energy,
            first_steps=coarse[place].steps,
            volume_change=_volume_change(systems[k], result),
        )
    return results


def _is_worse(result: Relaxed, before: Relaxed) -> bool:
    if result.initial_energy is None or before.energy is None:
        return True
    return result.initial_energy > before.energy + _WORSE * graph_from(result.structure).num_nodes


def _volume_change(given: Any, result: Relaxed) -> float | None:
    """Relative to the structure that was given, not to the second stage's start."""
    if result.volume_change is None:
        return None
    first, last = (abs(float(torch.linalg.det(graph_from(s).cell))) for s in (given, result.structure))
    return last / first - 1
