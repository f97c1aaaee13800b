"""The adapter against TorchSim's own conformance check and against ASE; what needs no TorchSim runs without it."""

import importlib.util

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import InputError
from potentials.potential import Potential, load_potential
from potentials.torchsim_adapter import evaluate_state, torchsim_model

needs_torchsim = pytest.mark.skipif(
    importlib.util.find_spec("torch_sim") is None, reason="TorchSim is not installed (pip install torch-sim-atomistic)"
)


@pytest.fixture(scope="module")
def argon() -> Potential:
    return load_potential("lj", cutoff=7.0)


def sheared(seed: int = 1) -> Atoms:
    """A cell whose transpose is another cell: rows taken for columns cannot go unnoticed."""
    atoms = bulk("Ar", "fcc", 5.3, cubic=True)
    atoms.set_cell(atoms.cell.array @ np.array([[1, 0.1, 0], [0, 1, 0.05], [0, 0, 1.1]]), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def fields(systems: list[Atoms], dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor | bool]:
    """What a TorchSim state holds: cells with their vectors as columns."""
    return {
        "positions": torch.tensor(np.concatenate([atoms.positions for atoms in systems]), dtype=dtype),
        "cell": torch.tensor(np.stack([atoms.cell.array.T for atoms in systems]), dtype=dtype),
        "atomic_numbers": torch.tensor(np.concatenate([atoms.numbers for atoms in systems])),
        "system_idx": torch.repeat_interleave(
            torch.arange(len(systems)), torch.tensor([len(atoms) for atoms in systems])
        ),
        "pbc": bool(systems[0].pbc.all()),
    }


def test_a_state_gives_what_the_potential_gives(argon: Potential) -> None:
    systems = [sheared(), bulk("Ar", "fcc", 5.2), sheared(3)]
    expected = argon(collate([graph_from_atoms(atoms) for atoms in systems]))
    found = evaluate_state(argon, fields(systems))
    for key in ("energy", "forces", "stress"):
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-12)
    assert "stress" not in evaluate_state(argon, fields(systems), stress=False)
    assert evaluate_state(argon, fields(systems, torch.float32))["forces"].dtype == torch.float32


def test_periodicity_by_axis_and_molecules(argon: Potential) -> None:
    slab = sheared()
    slab.pbc = [True, True, False]
    expected = argon(collate([graph_from_atoms(slab)]))
    state = fields([slab]) | {"pbc": torch.tensor([True, True, False])}
    torch.testing.assert_close(evaluate_state(argon, state)["forces"], expected["forces"])
    pair = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.6]])
    found = evaluate_state(argon, fields([pair]))
    assert float(found["energy"][0]) == pytest.approx(float(argon(collate([graph_from_atoms(pair)]))["energy"][0]))


@pytest.mark.skipif(importlib.util.find_spec("torch_sim") is not None, reason="TorchSim is installed")
def test_without_torchsim_the_error_says_what_to_install() -> None:
    with pytest.raises(InputError, match="pip install torch-sim-atomistic"):
        torchsim_model("lj")


@needs_torchsim
def test_torchsims_own_conformance_check() -> None:
    from torch_sim.models.interface import validate_model_outputs

    model = torchsim_model({"name": "chgnet-fast", "dtype": "float64"})
    validate_model_outputs(model, torch.device("cpu"), torch.float64)


@needs_torchsim
def test_relaxation_by_torchsim_ends_where_ours_does(argon: Potential) -> None:
    import torch_sim

    from potentials.relaxation import relax

    systems = [sheared(), sheared(2)]
    model = torchsim_model(argon)
    state = torch_sim.optimize(
        systems,
        model,
        optimizer=torch_sim.frechet_cell_fire,
        convergence_fn=torch_sim.generate_force_convergence_fn(1e-4),
        autobatcher=torch_sim.InFlightAutoBatcher(model, memory_scales_with="n_atoms", max_memory_scaler=400),
        max_steps=2000,
    )
    ours = relax(systems, argon, fmax=1e-4, smax=1e-6, max_steps=2000)
    assert all(result.converged for result in ours)
    np.testing.assert_allclose(state.energy.numpy(), [result.energy for result in ours], atol=1e-5)


@needs_torchsim
def test_dynamics_by_torchsim_conserve_energy(argon: Potential) -> None:
    import torch_sim

    atoms = bulk("Ar", "fcc", 5.4, cubic=True) * (2, 2, 1)
    model = torchsim_model(argon, stress=False)
    state = torch_sim.initialize_state(atoms, torch.device("cpu"), torch.float64)
    init, step = torch_sim.nve(model=model, dt=torch.tensor(0.02), kT=torch.tensor(0.005))
    state = init(state, seed=1) if "seed" in init.__code__.co_varnames else init(state)

    def total(state: object) -> float:
        kinetic = (state.momenta**2).sum(1) / (2 * state.masses)
        return float(state.energy.sum() + kinetic.sum())

    before = total(state)
    for _ in range(60):
        state = step(state)
    assert total(state) == pytest.approx(before, abs=2e-4)
    assert float(state.momenta.abs().max()) > 0


def test_molecule_states_have_no_stress(argon: Potential) -> None:
    found = evaluate_state(argon, fields([molecule("H2O")]))
    assert torch.equal(found["stress"], torch.zeros(1, 3, 3, dtype=torch.float64))
