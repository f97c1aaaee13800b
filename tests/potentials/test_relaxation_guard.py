"""L-BFGS that loses its way is put back, and finished by FIRE where that does not help; others are left alone."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from potentials import relaxation
from potentials.guarded_lbfgs import GuardedState, guarded_init, guarded_step, restart
from potentials.lbfgs import lbfgs_init, lbfgs_step
from potentials.potential import PotentialOutput, load_potential
from potentials.relaxation import relax
from potentials.relaxation_guard import JUMP, PATIENCE, SLACK, STALL, Guard, Sane

LJ = load_potential("lj", cutoff=8.0)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of L-BFGS without its guard."""
    plain = relaxation.OPTIMIZERS["lbfgs"]._replace(restart=None)
    monkeypatch.setitem(relaxation.OPTIMIZERS, "bare", plain)
    return "bare"


class Molecules:
    """Diatomic molecules with stiff Morse bonds that attract each other weakly: stiff inside, soft between.

    Atoms 2 k and 2 k + 1 are bonded; all others meet as Lennard-Jones atoms, in open space.
    """

    name, elements, cutoff = "molecules", frozenset({18}), 12.0
    depth, width, length = 10.0, 3.0, 1.4  # eV, 1/Å, Å: 180 eV/Å^2, between oxygen and nitrogen
    epsilon, sigma = 0.003, 3.0  # eV, Å

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        positions = batch.positions.detach().double().requires_grad_()
        energies = [self.energy(positions[a:b]) for a, b in zip(batch.ptr[:-1], batch.ptr[1:], strict=True)]
        energy = torch.stack(energies)
        (gradient,) = torch.autograd.grad(energy.sum(), positions)
        return PotentialOutput(energy=energy.detach(), forces=-gradient, stress=torch.zeros(len(energy), 3, 3))

    def energy(self, positions: torch.Tensor) -> torch.Tensor:
        first, second = torch.triu_indices(len(positions), len(positions), 1)
        distance = (positions[first] - positions[second]).norm(dim=1)
        bonded = first // 2 == second // 2
        stretch = torch.exp(-self.width * (distance[bonded] - self.length))
        ratio = (self.sigma / distance[~bonded]) ** 6
        return (self.depth * (1 - stretch) ** 2).sum() + 4 * self.epsilon * (ratio**2 - ratio).sum()


def molecules(seed: int) -> Atoms:
    """Five molecules on random places, bonds too short or too long by up to an Ångström."""
    rng = np.random.default_rng(seed)
    centres: list[np.ndarray] = []
    while len(centres) < 5:
        place = rng.normal(0, 4, 3)
        if all(np.linalg.norm(place - other) > 3.2 for other in centres):
            centres.append(place)
    positions = []
    for centre in centres:
        direction = rng.normal(size=3)
        half = direction / np.linalg.norm(direction) * rng.uniform(1.1, 2.6) / 2
        positions += [centre - half, centre + half]
    return Atoms("Ar10", positions)


def thin_argon(a: float, seed: int) -> Atoms:
    """A crystal so far stretched that its bonds have negative curvature."""
    atoms = bulk("Ar", "fcc", a, cubic=True)
    atoms.rattle(0.3, seed=seed)
    return atoms


def test_what_lbfgs_loses_is_finished_by_fire(bare: str) -> None:
    settings = {"fmax": 0.01, "smax": 1e-4, "max_steps": 200}
    start = thin_argon(7.3, 9)
    (lost,) = relax(start, LJ, optimizer=bare, **settings)
    (found,) = relax(start, LJ, optimizer="lbfgs", **settings)
    (expected,) = relax(start, LJ, optimizer="fire", **settings)
    assert not lost.converged
    assert found.converged
    assert found.optimizer == "fire"
    assert found.restarts >= 2  # a fresh history first
    assert found.energy == pytest.approx(expected.energy, abs=2e-3)


def test_stiff_molecules_are_not_thrown_about(bare: str) -> None:
    starts = [molecules(seed) for seed in range(12)]
    settings = {"fmax": 0.005, "max_steps": 200}
    without = relax(starts, Molecules(), optimizer=bare, **settings)
    guarded = relax(starts, Molecules(), optimizer="lbfgs", **settings)
    assert sum(one.converged for one in guarded) > sum(one.converged for one in without)
    assert sum(one.steps for one in guarded) < sum(one.steps for one in without)
    assert sum(one.optimizer == "lbfgs" for one in guarded) > 6  # how stiff they are is what a restart remembers
    assert all(one.energy <= one.initial_energy for one in guarded)


def test_turning_back_does_not_depend_on_the_batch() -> None:
    starts = [thin_argon(7.3, 9), bulk("Ar", "fcc", 5.2), thin_argon(6.6, 2), thin_argon(5.3, 1)]
    settings = {"fmax": 0.01, "smax": 1e-4, "max_steps": 200, "optimizer": "lbfgs"}
    together = relax(starts, LJ, **settings)
    few = relax(starts[::-1], LJ, max_atoms_per_batch=8, **settings)[::-1]
    alone = [relax(start, LJ, **settings)[0] for start in starts]
    assert [one.optimizer for one in together] == ["fire", "lbfgs", "fire", "lbfgs"]
    for first, *others in zip(together, few, alone, strict=True):
        for other in others:
            assert (other.steps, other.restarts, other.optimizer) == (first.steps, first.restarts, first.optimizer)
            assert other.energy == pytest.approx(first.energy, abs=1e-8)
            np.testing.assert_allclose(other.structure.cell.array, first.structure.cell.array, atol=1e-6)


@pytest.mark.slow
def test_soft_elements_with_chgnet(bare: str) -> None:
    """Fluorine, phosphorus and arsenic, which L-BFGS without a guard throws far uphill or apart."""
    published = [
        Structure.from_spacegroup("Cmce", Lattice.orthorhombic(5.5, 3.3, 7.3), ["F"], [[0, 0.13, 0.079]]),
        Structure.from_spacegroup("Cmce", Lattice.orthorhombic(3.3136, 10.478, 4.3763), ["P"], [[0, 0.10168, 0.08056]]),
        Structure.from_spacegroup("R-3m", Lattice.hexagonal(3.7598, 10.5475), ["As"], [[0, 0, 0.2271]]),
    ]
    starts = [structure.get_primitive_structure() for structure in published]
    chgnet = load_potential("chgnet-fast")
    without = relax(starts, chgnet, optimizer=bare, max_steps=200)
    guarded = relax(starts, chgnet, optimizer="lbfgs", max_steps=200)
    by_fire = relax(starts, chgnet, optimizer="fire", max_steps=200)
    assert any(one.failure for one in without)  # fluorine comes apart
    assert all(one.converged for one in guarded)
    assert all(one.restarts > 0 for one in guarded)
    for one, other in zip(guarded, by_fire, strict=True):
        assert one.energy <= other.energy + 0.01 * len(one.structure)


def seen(energy: float, excess: float = 10.0) -> Sane:
    return Sane(torch.full((2, 3), energy), torch.eye(3), energy, energy, excess * 0.05, None, excess)


def test_an_overshoot_is_none_of_its_business() -> None:
    guard = Guard(atoms=2)
    for energy in (0.0, 0.9 * 2 * JUMP, 0.1, -0.1, 0.5, 0.4, 0.3, -0.2):
        guard.see(seen(energy))
        assert not guard.retreating
    assert guard.lowest is not None
    assert guard.lowest.energy == -0.2


def test_uphill_for_long_or_far_means_turning_back() -> None:
    long = Guard(atoms=2)
    for energy in [0.0] + PATIENCE * [2 * 2 * SLACK]:
        assert not long.retreating
        long.see(seen(energy))
    assert long.retreating
    assert not long.careful
    far = Guard(atoms=2)
    far.see(seen(0.0))
    far.see(seen(2.2 * JUMP))
    assert far.retreating
    arrived = Guard(atoms=2)  # at a minimum, but a worse one
    arrived.see(seen(0.0))
    arrived.see(seen(2.2 * SLACK, excess=0.5))
    assert arrived.retreating


def test_fire_takes_over_where_a_fresh_history_did_not_help() -> None:
    guard = Guard(atoms=1)
    guard.see(seen(0.0))
    assert guard.retreat()
    assert (guard.resets, guard.careful) == (1, False)
    guard.see(seen(-SLACK / 2))  # hardly lower
    assert guard.retreat()
    assert (guard.resets, guard.careful) == (1, True)
    assert not guard.retreat()  # nothing is left to try
    guard.retreating = False
    guard.see(seen(5.0))  # FIRE is left alone
    assert not guard.retreating


def test_a_fresh_history_that_helped_may_be_tried_again_a_few_times() -> None:
    guard = Guard(atoms=1)
    for turn in range(10):
        guard.see(seen(-float(turn)))
        if not guard.retreat():
            break
    assert guard.careful
    assert guard.resets == 3


def test_standing_still_means_turning_back_and_progress_of_any_kind_does_not() -> None:
    still, slow = Guard(atoms=1), Guard(atoms=1)
    for step in range(STALL + 2):
        still.see(seen(0.0, excess=3.0))
        slow.see(seen(0.0, excess=1e4 * 0.89**step + 1.01))
    assert still.resets == 1
    assert slow.resets == 0


def test_nowhere_to_go_back_to_and_no_steps_left() -> None:
    assert not Guard(atoms=1).retreat()
    guard = Guard(atoms=1)
    guard.see(seen(0.0))
    guard.see(seen(2 * JUMP), spent=True)
    assert not guard.retreating
    assert guard.lower_than(2 * JUMP) == guard.lowest
    assert guard.lower_than(SLACK / 2) is None


def test_each_system_follows_its_own_optimiser() -> None:
    generator = torch.Generator().manual_seed(0)
    owner = torch.tensor([0, 0, 1, 1, 1])
    state, plain = guarded_init(5, 2), lbfgs_init(5, 2)
    for _ in range(4):
        force = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        moved, state = guarded_step(state, force, owner)
        expected, plain = lbfgs_step(plain, force, owner)
        torch.testing.assert_close(moved, expected)
    second = torch.tensor([False, True])
    state = restart(state, owner, second, second)
    force = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    moved, state = guarded_step(state, force, owner)
    expected, _ = lbfgs_step(plain, force, owner)
    torch.testing.assert_close(moved[:2], expected[:2])  # the first keeps its history
    assert isinstance(state, GuardedState)
    assert state.careful.tolist() == [False, True]
    alone, _ = guarded_step(
        restart(guarded_init(3, 1), owner[2:] - 1, second[1:], second[1:]), force[2:], owner[2:] - 1
    )
    torch.testing.assert_close(moved[2:], alone)  # the second starts FIRE from rest


def test_pressure_may_raise_the_energy() -> None:
    start = bulk("Ar", "fcc", 5.3, cubic=True)
    (found,) = relax(start, LJ, pressure_gpa=5, fmax=1e-3, smax=1e-5, optimizer="lbfgs")
    assert found.converged
    assert found.energy > found.initial_energy + 4 * 10 * SLACK
    assert found.restarts == 0


class Stumbling:
    """Lennard-Jones that cannot answer for systems with a krypton atom in some of its calls."""

    name, elements, cutoff = "stumbling", LJ.elements, LJ.cutoff

    def __init__(self, way: str, calls: range) -> None:
        self.way, self.bad, self.calls = way, calls, 0

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        output = LJ(batch, stress=stress)
        atoms = batch.numbers == 36
        if not bool(atoms.any()):
            return output
        self.calls += 1
        if self.calls in self.bad:
            if self.way == "raises":
                raise RuntimeError("the sky fell")
            output["forces"][atoms] = torch.nan
        return output


@pytest.mark.parametrize(("way", "bad"), [("raises", range(4, 6)), ("nan", range(4, 5))])  # a batch that raises
def test_a_step_into_the_absurd_is_taken_back(way: str, bad: range) -> None:  # is tried once more, system by system
    broken, sound = bulk("Ar", "fcc", 5.1, cubic=True), bulk("Ar", "fcc", 5.4, cubic=True)
    for seed, atoms in enumerate((broken, sound)):
        atoms.rattle(0.1, seed=seed)
    broken.symbols[0] = "Kr"
    settings = {"fmax": 1e-3, "smax": 1e-5, "optimizer": "lbfgs"}
    saved, other = relax([broken, sound], Stumbling(way, bad), **settings)
    assert saved.converged
    assert saved.restarts == 1
    assert saved.optimizer == "lbfgs"
    (expected,) = relax(broken, LJ, **settings)
    assert saved.energy == pytest.approx(expected.energy, abs=1e-5)
    (undisturbed,) = relax(sound, LJ, **settings)
    assert other.restarts == 0
    assert other.energy == pytest.approx(undisturbed.energy, abs=1e-9)
    given_up, _ = relax([broken, sound], Stumbling(way, range(4, 999)), **settings)
    assert not given_up.converged
    assert "the sky fell" in given_up.failure if way == "raises" else "non-finite" in given_up.failure
    assert np.isfinite(given_up.structure.positions).all()
    assert given_up.energy <= given_up.initial_energy + 1e-9


def test_fire_needs_no_guard() -> None:
    (found,) = relax(bulk("Ar", "fcc", 5.1), LJ)
    assert (found.optimizer, found.restarts) == ("fire", 0)
