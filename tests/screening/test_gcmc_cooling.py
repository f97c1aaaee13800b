"""Replicas heated and cooled back: what they hold afterwards, and when it is done at all."""

from pathlib import Path

import numpy as np
import pytest

from screening.adsorption.force_fields import HostGuestModel
from screening.adsorption.framework import prepare_host

pytest.importorskip("numba")

import benchmarks
from benchmarks.adsorption_structures import sodalite
from screening.adsorption.batched import gcmc_kernel as kernel
from screening.adsorption.batched import gcmc_sampling, isotherm
from screening.adsorption.batched.gcmc_cooling import HOTTEST, RUNGS, cooling_path
from screening.adsorption.batched.gcmc_sampling import IsothermSettings, new_state


@pytest.fixture(scope="module")
def crowded():
    """Argon in open sodalite cages at 87 K and 1 atm: (model, a state that holds some)."""
    path = Path(next(iter(benchmarks.__path__))) / "force_fields/silica-argon.yaml"
    model = HostGuestModel(force_field=str(path), cutoff=8.0, truncation="truncated", charges="none", pockets="open")
    host = prepare_host(sodalite(), model)
    gas = host.force_field.gases["Ar"]
    made = isotherm._models(kernel, host, [gas], 87.0, 1, {})[-1]
    made = made._replace(activity=np.array([101_325.0 / (isotherm._BOLTZMANN_PA * 87.0)]))
    state = new_state(kernel, made, 2000, 3)
    kernel.run(made, state, np.zeros((400, 3)), 25, True)
    return made, state


def copied(state):
    return kernel.State(*(part.copy() for part in state))


def test_the_path_leads_from_heat_back_to_the_state_point(crowded):
    model, state = crowded
    rich = cooling_path(kernel, model, state, rich=True)
    lean = cooling_path(kernel, model, state, rich=False)
    assert len(rich) == RUNGS
    assert 1.0 / rich[0].beta == pytest.approx(87.0 * HOTTEST)
    for path in (rich, lean):
        assert path[-1].beta == model.beta
        assert path[-1].activity == pytest.approx(model.activity)
        temperatures = [1.0 / each.beta for each in path]
        assert temperatures == sorted(temperatures, reverse=True)
    assert (rich[0].activity > 10.0 * lean[0].activity).all()


def test_activity_follows_the_energy_of_a_molecule(crowded):
    # halfway between lean and rich ln activity is linear in 1/T, with the energy of a molecule as its slope
    model, state = crowded
    n = int(state.count[0])
    pairs = [kernel.guest_energy(model, state, n, j, 0, state.centres[j], state.sites[j]) for j in range(n)]
    bound = (state.host_energy[:n].sum() + 0.5 * sum(pairs)) / n
    rich = cooling_path(kernel, model, state, rich=True)[0]
    lean = cooling_path(kernel, model, state, rich=False)[0]
    middle = 0.5 * np.log(rich.activity[0] * lean.activity[0] / model.activity[0] ** 2)
    assert middle == pytest.approx(bound * (rich.beta - model.beta), rel=1e-9)


def test_lean_and_rich_replicas_part_when_hot_and_meet_when_cold(crowded):
    model, state = crowded
    held = {}
    for rich in (False, True):
        replica = copied(state)
        for rung in cooling_path(kernel, model, replica, rich=rich):
            samples = np.zeros((200, 3))
            kernel.run(rung, replica, samples, 25, True)
            held.setdefault(rich, []).append(samples[:, 0].mean())
        n = int(replica.count[0])
        pairs = [kernel.guest_energy(model, replica, n, j, 0, replica.centres[j], replica.sites[j]) for j in range(n)]
        assert replica.energy[1] == pytest.approx(0.5 * sum(pairs), rel=1e-9)
    apart = np.abs(np.array(held[True]) - np.array(held[False]))
    assert apart.max() > 2.0
    assert held[True][-1] == pytest.approx(held[False][-1], rel=0.01)
    assert held[True][-1] == pytest.approx(32.0, rel=0.01)  # two to a cage, sixteen cages in the box


def test_only_crowded_pores_within_the_budget_are_cooled():
    seldom, often = (20, 1.4e8), (20_000, 1.4e8)  # insertions by four replicas, and the work of it
    states = [kernel.State(*([None] * 5), np.array([300]), *([None] * 12)) for _ in range(4)]
    settings = IsothermSettings()
    assert gcmc_sampling._crowded(*seldom, states, settings)
    assert not gcmc_sampling._crowded(*often, states, settings)
    assert not gcmc_sampling._crowded(*seldom, states, settings.model_copy(update={"most_moves": 2_000_000}))
    assert not gcmc_sampling._crowded(*seldom, states, settings.model_copy(update={"most_work": 1e9}))
