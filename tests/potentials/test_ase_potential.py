"""ASE calculators as potentials, potentials as ASE calculators, and potentials by name."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.units import fs

from potentials.ase_calculator import SorbusCalculator
from potentials.ase_potential import ASEPotential
from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import GeometryError, InputError
from potentials.potential import POTENTIALS, load_potential


def copper() -> Atoms:
    atoms = bulk("Cu", "fcc", 3.7, cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_a_calculator_answers_the_same_through_the_potential_and_back() -> None:
    direct, wrapped = copper(), copper()
    direct.calc = EMT()
    wrapped.calc = SorbusCalculator(ASEPotential(EMT))
    assert wrapped.get_potential_energy() == pytest.approx(direct.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(wrapped.get_forces(), direct.get_forces(), atol=1e-12)
    np.testing.assert_allclose(wrapped.get_stress(), direct.get_stress(), atol=1e-12)


def test_one_that_fails_is_named() -> None:
    batch = collate([graph_from_atoms(copper()), graph_from_atoms(bulk("Si"))])
    with pytest.raises(InputError, match=r"emt failed on Si2 \(system 1 of the batch\)"):
        load_potential("emt")(batch)


def test_calculator_passes_the_gate_first() -> None:
    flat = Atoms("Cu", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 1e-3]], pbc=True, calculator=SorbusCalculator("lj"))
    with pytest.raises(GeometryError, match="cell height"):
        flat.get_potential_energy()


def test_molecules_have_no_stress() -> None:
    water = molecule("H2O")
    water.calc = SorbusCalculator("chgnet-fast")
    assert np.isfinite(water.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        water.get_stress()


def test_energy_is_conserved_in_dynamics() -> None:
    """Forces that are the gradient of the energy keep the total constant to the order of the time step squared."""
    drifts = []
    for step in (2.0, 1.0):
        atoms = bulk("NaCl", "rocksalt", 5.65, cubic=True)
        atoms.calc = SorbusCalculator(load_potential("chgnet-fast", dtype="float64", skin=0.5))
        MaxwellBoltzmannDistribution(atoms, temperature_K=400, rng=np.random.default_rng(0))
        total = []
        dynamics = VelocityVerlet(atoms, step * fs)
        dynamics.attach(lambda atoms=atoms, total=total: total.append(atoms.get_total_energy()))
        dynamics.run(int(20 / step))
        drifts.append(np.ptp(total))
    assert drifts[0] < 0.02
    assert drifts[1] < 0.5 * drifts[0]


def test_names_and_paths(tmp_path: Path) -> None:
    assert load_potential("LJ").name == "lj"
    assert set(POTENTIALS) >= {"chgnet", "chgnet-fast", "emt", "lj"}
    with pytest.raises(InputError, match="unknown potential 'chgnt': did you mean 'chgnet'"):
        load_potential("chgnt")
    with pytest.raises(InputError, match="or a checkpoint folder"):
        load_potential("zzz")
    with pytest.raises(InputError, match="no potential checkpoint at"):
        load_potential(tmp_path / "none")
    with pytest.raises(InputError, match="no potential checkpoint at"):
        load_potential("runs/none")
    with pytest.raises(InputError, match="has no option 'colour'"):
        load_potential("chgnet-fast", colour="red")
    with pytest.raises(InputError, match=r"model\.json"):
        load_potential(tmp_path)
