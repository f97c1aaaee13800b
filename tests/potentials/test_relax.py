"""Batched relaxation: the minima ASE finds, whatever the batch, and every failure on its own row."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pymatgen.core import Lattice, Structure

from potentials.ase_calculator import SorbusCalculator
from potentials.ase_potential import ASEPotential
from potentials.atom_graph import graph_from_atoms
from potentials.errors import InputError
from potentials.potential import Potential, PotentialOutput, load_potential
from potentials.relaxation import Relaxed, relax

LJ = load_potential("lj", cutoff=8.0)


def argon(a: float = 5.0, rattle: float = 0.1, seed: int = 1, shape=(1, 1, 1)) -> Atoms:
    atoms = bulk("Ar", "fcc", a, cubic=True) * shape
    strain = np.array([[0.03, 0.02, 0.0], [0.0, -0.02, 0.01], [0.0, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    return atoms


def by_ase(atoms: Atoms, potential: Potential, fmax: float = 1e-4, cell: bool = True) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = SorbusCalculator(potential)
    FIRE(FrechetCellFilter(atoms) if cell else atoms, logfile=None).run(fmax=fmax, steps=2000)
    return atoms


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs"])
def test_lennard_jones_solid_reaches_the_minimum_of_ase(optimizer: str) -> None:
    expected = by_ase(argon(), LJ)
    (found,) = relax(argon(), LJ, fmax=1e-4, smax=1e-6, optimizer=optimizer)
    assert found.converged
    assert found.failure is None
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(found.structure.cell.cellpar(), expected.cell.cellpar(), rtol=2e-3)
    assert found.structure.get_volume() == pytest.approx(expected.get_volume(), rel=1e-3)


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs"])
def test_metal_reaches_the_minimum_of_ase(optimizer: str) -> None:
    emt = load_potential("emt")
    start = bulk("Cu", "fcc", 3.75, cubic=True)
    start.symbols[0] = "Au"
    start.rattle(0.1, seed=2)
    expected = by_ase(start, emt)
    (found,) = relax(start, emt, fmax=1e-4, smax=1e-6, optimizer=optimizer)
    assert found.converged
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(found.structure.cell.cellpar(), expected.cell.cellpar(), rtol=1e-3)


def test_chgnet_reaches_the_minimum_of_ase() -> None:
    chgnet = load_potential("chgnet-fast", dtype="float64")
    start = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.45, 3.05), ["Ti", "O"], [[0, 0, 0], [0.31, 0.31, 0]]
    )
    start.perturb(0.05, seed=4)
    expected = by_ase(start.to_ase_atoms(), chgnet, fmax=3e-3)
    for optimizer in ("fire", "lbfgs"):
        (found,) = relax(start, chgnet, fmax=3e-3, smax=5e-5, optimizer=optimizer)
        assert found.converged
        assert isinstance(found.structure, Structure)
        assert found.energy == pytest.approx(expected.get_potential_energy(), abs=5e-4)
        assert found.structure.volume == pytest.approx(expected.get_volume(), rel=2e-3)


def test_fixed_cell_and_molecules() -> None:
    start = argon()
    expected = by_ase(start, LJ, cell=False)
    pair = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.5]])
    crystal, dimer = relax([start, pair], LJ, fmax=1e-5, variable_cell=False)
    np.testing.assert_array_equal(crystal.structure.cell.array, start.cell.array)
    assert crystal.energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)
    assert crystal.smax is None
    assert dimer.volume_change is None
    # the minimum of a pair is at 2^(1/6) sigma; the switch acts far outside
    assert dimer.structure.get_distance(0, 1) == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-3)
    (free,) = relax(pair, LJ, fmax=1e-5)
    assert free.structure.get_distance(0, 1) == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-3)


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs"])
def test_results_do_not_depend_on_the_batch(optimizer: str) -> None:
    starts = [argon(a, 0.1, seed) for seed, a in enumerate((4.9, 5.2, 5.5, 5.7))]
    starts += [argon(5.1, 0.05, 9, (2, 1, 1)), bulk("Ar", "fcc", 5.0)]
    options = {"fmax": 1e-3, "smax": 1e-5, "optimizer": optimizer}
    together = relax(starts, LJ, **options)
    few = relax(starts, LJ, max_atoms_per_batch=9, **options)
    alone = [relax(start, LJ, **options)[0] for start in starts]
    backwards = relax(starts[::-1], LJ, **options)[::-1]
    for first, *others in zip(together, few, alone, backwards, strict=True):
        assert first.converged
        for other in others:
            assert other.steps == first.steps
            assert other.energy == pytest.approx(first.energy, abs=1e-9)
            np.testing.assert_allclose(other.structure.positions, first.structure.positions, atol=1e-7)
            np.testing.assert_allclose(other.structure.cell.array, first.structure.cell.array, atol=1e-7)


class Sabotaged:
    """Lennard-Jones that goes wrong for cells with a krypton atom, in the way asked for."""

    name, elements, cutoff = "sabotaged", LJ.elements, LJ.cutoff

    def __init__(self, way: str, after: int = 3) -> None:
        self.way, self.after, self.calls = way, after, 0

    def __call__(self, batch, *, stress: bool = True) -> PotentialOutput:
        self.calls += 1
        output = LJ(batch, stress=stress)
        atoms = batch.numbers == 36
        systems = torch.unique(batch.batch[atoms])
        if self.calls <= self.after or not len(systems):
            return output
        if self.way == "raises":
            raise RuntimeError("the sky fell")
        if self.way == "nan":
            output["forces"][atoms] = torch.nan
        if self.way == "huge":
            output["forces"][atoms] = 1e6
        if self.way == "hole":
            output["energy"][systems] = -1e5
        if self.way == "stretch":
            output["stress"][systems] = -torch.eye(3, dtype=torch.float64)
        if self.way == "squeeze":
            output["stress"][systems] = torch.diag(torch.tensor([0.0, 0.0, 30.0], dtype=torch.float64))
        return output


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("raises", "the potential failed: the sky fell"),
        ("nan", "non-finite values in step"),
        ("huge", "exceeds 10000 eV/Å"),
        ("hole", "the energy fell by"),
        ("stretch", "times the initial one"),
        ("squeeze", "times the initial one|below 1 Å|Å apart"),
    ],
)
def test_one_that_breaks_is_marked_and_the_rest_goes_on(way: str, reason: str) -> None:
    broken = argon(5.2)
    broken.symbols[0] = "Kr"
    starts = [argon(5.0), broken, argon(5.4, seed=3)]
    results = relax(starts, Sabotaged(way), fmax=1e-3, smax=1e-5)
    expected = relax([starts[0], starts[2]], LJ, fmax=1e-3, smax=1e-5)
    for good, reference in zip((results[0], results[2]), expected, strict=True):
        assert good.converged
        assert good.energy == pytest.approx(reference.energy, abs=1e-8)
    bad = results[1]
    assert not bad.converged
    assert bad.failure is not None
    assert re.search(reason, bad.failure), bad.failure
    assert np.isfinite(bad.structure.positions).all()
    assert bad.structure.get_volume() < 5.1 * starts[1].get_volume()  # the last sane geometry
    assert bad.energy is not None
    assert np.isfinite(bad.energy)


def test_what_may_not_start_is_refused_on_its_row() -> None:
    flat = Atoms("Ar", cell=[[4, 0, 0], [0, 4, 0], [4, 4, 1e-3]], pbc=True)
    double = Atoms("Ar2", [[0, 0, 0], [0, 0, 5]], cell=[5, 5, 5], pbc=True)
    nan = Atoms("Ar", [[np.nan, 0, 0]], cell=[5, 5, 5], pbc=True)
    disordered = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    foreign = ASEPotential(lambda: None, elements=[1])  # its calculator is never reached
    results = relax([flat, double, argon(), nan, disordered, "text"], LJ)
    for result, words in zip(
        results,
        ["cell height 0.001 Å", "sit on one site", None, "non-finite", "partially occupied", "cannot use a str"],
        strict=True,
    ):
        assert isinstance(result, Relaxed)
        if words is None:
            assert result.converged
        else:
            assert words in str(result.failure)
            assert result.energy is None
            assert result.steps == 0
    (unknown,) = relax(argon(), foreign)
    assert "does not know Ar" in str(unknown.failure)


def test_sites_keep_their_properties() -> None:
    structure = Structure(
        Lattice.cubic(5.3), ["Ar+", "Ar"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"charge": [0.1, -0.1]}
    )
    (found,) = relax([structure], LJ)
    assert found.structure.site_properties["charge"] == [0.1, -0.1]
    assert [site.species_string for site in found.structure] == ["Ar+", "Ar"]
    assert structure.lattice.a == 5.3  # the input is left alone
    tagged = argon()
    tagged.set_tags(range(len(tagged)))
    before = tagged.positions.copy()
    (moved,) = relax(tagged, LJ, max_steps=3)
    assert moved.structure.get_tags().tolist() == list(range(len(tagged)))
    assert (tagged.positions == before).all()
    assert moved.steps == 3
    assert not moved.converged
    assert moved.failure is None
    graph = graph_from_atoms(argon())
    start = graph.positions.clone()
    relax(graph, LJ, max_steps=2)
    assert torch.equal(graph.positions, start)


def test_no_steps_is_a_single_point() -> None:
    (point,) = relax(argon(), LJ, max_steps=0)
    assert point.steps == 0
    assert point.energy == point.initial_energy
    assert point.volume_change == pytest.approx(0, abs=1e-12)
    assert relax([], LJ) == []


def test_a_system_larger_than_the_batch_goes_alone() -> None:
    results = relax([argon(5.2, shape=(2, 1, 1)), argon()], LJ, max_atoms_per_batch=2)
    assert all(result.converged for result in results)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "fier"}, "did you mean 'fire'"),
        ({"fmax": 0}, "fmax = 0 is not positive"),
        ({"smax": -1}, "smax = -1 is not positive"),
        ({"max_steps": -1}, "max_steps = -1"),
        ({"max_atoms_per_batch": 0}, "max_atoms_per_batch = 0"),
    ],
)
def test_settings_are_checked(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        relax(argon(), LJ, **options)


def test_molecule_with_chgnet_by_name() -> None:
    water = molecule("H2O")
    water.rattle(0.05, seed=1)
    (found,) = relax(water, "chgnet-fast", fmax=0.01)
    assert found.converged
    assert found.energy < found.initial_energy
