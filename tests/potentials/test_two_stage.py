"""Two-stage relaxation: the second potential's minimum, reached with fewer of its steps, whatever the first does."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.lj import LennardJones

from potentials.ase_potential import ASEPotential, effective_medium
from potentials.atom_graph import graph_from
from potentials.potential import PotentialOutput
from potentials.relaxation import relax


class Counting:
    """A potential that counts the systems it is asked about."""

    def __init__(self, inner) -> None:
        self.inner, self.calls = inner, 0
        self.name, self.elements, self.cutoff = inner.name, inner.elements, inner.cutoff

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        self.calls += batch.num_graphs
        return self.inner(batch, stress=stress)


class Shifted:
    """Effective-medium theory with its zero elsewhere: its minima are those of the second potential."""

    def __init__(self, broken: bool = False, pull: float = 0.0) -> None:
        self.inner, self.broken, self.pull = effective_medium(), broken, pull
        self.name, self.elements, self.cutoff = "shifted", self.inner.elements, self.inner.cutoff

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        if self.broken:
            raise RuntimeError("out of order")
        output = self.inner(batch, stress=stress)
        output["energy"] = output["energy"] + 7.0
        if self.pull:  # a spurious tension: the minimum is far from the second potential's
            output["stress"] = output["stress"] - self.pull * torch.eye(3, dtype=output["stress"].dtype)
        return output


@pytest.fixture
def crystals():
    made = []
    for seed, symbol in enumerate(("Cu", "Au", "Ag")):
        atoms = bulk(symbol, cubic=True)
        atoms.set_cell(atoms.cell.array * 1.04, scale_atoms=True)
        atoms.positions += np.random.default_rng(seed).normal(0, 0.1, (4, 3))
        made.append(atoms)
    return made


def test_same_minimum_with_fewer_steps_of_the_second_potential(crystals):
    plain, staged = Counting(effective_medium()), Counting(effective_medium())
    alone = relax(crystals, plain, fmax=0.02)
    both = relax(crystals, staged, first=Shifted(), fmax=0.02)
    assert all(result.converged for result in both)
    assert staged.calls < 0.7 * plain.calls
    for one, two in zip(alone, both, strict=True):
        assert two.energy == pytest.approx(one.energy, abs=2e-3)
        assert two.initial_energy == pytest.approx(one.initial_energy, abs=1e-6)
        assert two.volume_change == pytest.approx(one.volume_change, abs=5e-3)
        assert two.first_steps > 0
        assert one.first_steps == 0


def test_a_relaxed_structure_stays_where_it_is(crystals):
    (relaxed,) = relax(crystals[0], effective_medium(), fmax=0.02)
    (again,) = relax(relaxed.structure, effective_medium(), first=Shifted(), fmax=0.02)
    assert again.converged
    assert (again.steps, again.first_steps) == (0, 0)
    np.testing.assert_array_equal(again.structure.positions, relaxed.structure.positions)


def test_a_first_potential_that_fails_is_done_without(crystals):
    alone = relax(crystals, effective_medium(), fmax=0.05)
    both = relax(crystals, effective_medium(), first=Shifted(broken=True), fmax=0.05)
    for one, two in zip(alone, both, strict=True):
        assert two.failure is None
        assert two.energy == pytest.approx(one.energy, abs=1e-9)
        assert two.steps == one.steps


def test_a_first_potential_that_misleads_is_done_without(crystals):
    """Where the first stage ends above the given structure the second starts from that structure."""
    alone = relax(crystals, effective_medium(), fmax=0.05)
    both = relax(crystals, effective_medium(), first=Shifted(pull=-0.4), fmax=0.05)
    for one, two in zip(alone, both, strict=True):
        assert two.converged
        assert two.energy == pytest.approx(one.energy, abs=1e-9)
        assert two.steps > one.steps  # the vain attempt is counted


def test_elements_the_first_does_not_know_go_to_the_second_alone():
    argon = bulk("Ar", "fcc", 5.5, cubic=True)
    argon.positions[0] += 0.1
    second = ASEPotential(lambda: LennardJones(epsilon=0.0103, sigma=3.4, rc=8.0, smooth=True), name="lj")
    (result,) = relax(argon, second, first=effective_medium(), fmax=0.005)
    assert result.converged
    assert result.first_steps == 0


def test_failures_and_order_are_kept(crystals):
    flat = crystals[0].copy()
    flat.set_cell([[3, 0, 0], [0, 3, 0], [0, 0, 0.01]])
    results = relax([crystals[1], flat, crystals[2]], effective_medium(), first=Shifted(), fmax=0.05)
    assert [result.failure is None for result in results] == [True, False, True]
    assert set(graph_from(results[2].structure).numbers.tolist()) == {47}
