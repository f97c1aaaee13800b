"""Pores in which hardly a molecule can be exchanged: replicas are heated and cooled back before they are sampled.

Dense argon at its boiling point is jammed: from empty pores the number of molecules creeps up for hundreds of millions
of moves, because the last ones go in only once their neighbours have made room. At twice the temperature and an
activity that holds about as many molecules they move freely, so each replica is heated and cooled back in steps, as in
simulated annealing (S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, Science 220, 671 (1983)). What is sampled afterwards is
the state point alone: cooling chooses where runs begin, and biases no average.

On the way the activity a follows d ln a / d beta = u at constant number (u the energy of a molecule in the pores), half
of the replicas held leaner and half richer than that in proportion to the heat. Runs that were too empty and too full
when hot, and agree when cold, have found equilibrium as far as runs from both sides can tell.
"""

from typing import Any

import numpy as np

HOTTEST = 2.3  # times the temperature: argon at its boiling point comes to 200 K, well above its critical 151 K
RUNGS = 14  # temperatures, in even ratios of 7 %
_OFFSET = 2.0  # of ln activity at the hottest, to either side; up to a tenth of the molecules there


def cooling_path(kernel: Any, model: Any, state: Any, *, rich: bool) -> list[Any]:
    """The models under which a replica is heated and cooled back, the hottest first, the last `model` itself.

    Args:
        kernel: the compiled moves.
        model: of the state point.
        state: of the replica, with molecules in it.
        rich: at a higher activity than keeps the number of molecules, else at a lower one.
    """
    bound = _energy_per_molecule(kernel, model, state)
    path = []
    for heat in np.linspace(1.0, 0.0, RUNGS):
        beta = model.beta * HOTTEST**-heat
        offset = _OFFSET * heat if rich else -_OFFSET * heat
        path.append(model._replace(beta=beta, activity=model.activity * np.exp(bound * (beta - model.beta) + offset)))
    return path


def _energy_per_molecule(kernel: Any, model: Any, state: Any) -> np.ndarray:
    """Energy [c] (K) of a molecule of each component in the pores, every pair counted half; 0 where there is none."""
    total = int(state.count.sum())
    component = state.component[:total]
    energy = [
        state.host_energy[j]
        + 0.5 * kernel.guest_energy(model, state, total, j, component[j], state.centres[j], state.sites[j])
        for j in range(total)
    ]
    held = np.bincount(component, minlength=len(state.count))
    return np.asarray(np.bincount(component, weights=energy, minlength=len(state.count)) / np.maximum(held, 1))
