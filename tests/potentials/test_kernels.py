"""cuEquivariance's polynomials against our own products: energies, forces, second derivatives; and its absence."""

import copy
import importlib.util

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from potentials.atom_graph import collate, graph_from_atoms
from potentials.checkpoint import load_checkpoint, save_checkpoint
from potentials.errors import InputError
from potentials.kernels import use_kernels
from potentials.neighbours import neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential
from potentials.potential import load_potential

needs_cuequivariance = pytest.mark.skipif(
    importlib.util.find_spec("cuequivariance_torch") is None,
    reason="cuequivariance-torch is not installed: pip install cuequivariance-torch",
)
SHAPES = {
    "scalars": NetworkConfig(cutoff=4.0, channels=5, lmax=1, carried=(4,), body_order=3),
    "vectors": NetworkConfig(cutoff=4.0, channels=6, lmax=2, carried=(6, 4)),
    "a radial function a pair": NetworkConfig(cutoff=4.0, channels=3, lmax=2, carried=(4, 3), radial_per_pair=True),
    "densities alone": NetworkConfig(cutoff=4.0, channels=4, lmax=2, carried=(4, 4), body_order=2),
}


def systems() -> list[Atoms]:
    """Uneven neighbour numbers, an atom without any, periodic and not."""
    salt = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    salt.rattle(0.1, seed=1)
    water = molecule("H2O")
    water.rattle(0.05, seed=2)
    return [salt, water, Atoms("O")]


def made(config: NetworkConfig, dtype: torch.dtype = torch.float64) -> EnergyModel:
    torch.manual_seed(0)
    model = EnergyModel(config, {1: -1.0, 8: -2.0, 11: -3.0, 17: -4.0}, 0.5, zbl=True, dtype=dtype)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    model.calibrate(batch, neighbour_list(batch, config.cutoff))
    return model


@needs_cuequivariance
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_energies_forces_and_stresses_are_the_same(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model = made(SHAPES[name], dtype)
    fused = copy.deepcopy(model)
    use_kernels(fused, "cuequivariance")
    assert fused.state_dict().keys() == model.state_dict().keys()
    for ours, theirs in zip(model.network.layers, fused.network.layers, strict=True):
        assert theirs.density_kernel is not ours.density_kernel
        assert (theirs.square is None) == (ours.square is None)
        assert ours.square is None or type(theirs.square) is not type(ours.square)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    expected, found = NetworkPotential(model)(batch), NetworkPotential(fused)(batch)
    assert expected["forces"].abs().max() > 0.05
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=tolerance, atol=tolerance)


@needs_cuequivariance
@pytest.mark.parametrize("name", ["vectors", "a radial function a pair"])
def test_a_loss_on_forces_has_the_same_gradients(name: str) -> None:
    """Second derivatives: of the forces with respect to every weight."""
    gradients = []
    for kernels in ("torch", "cuequivariance"):
        model = made(SHAPES[name])
        use_kernels(model, kernels)
        batch = collate([graph_from_atoms(atoms) for atoms in systems()])
        output = model(batch, neighbour_list(batch, 4.0), differentiable=True)
        loss = output["forces"].square().sum() + output["stress"].square().sum() + output["energy"].sum()
        loss.backward()
        gradients.append({key: weight.grad for key, weight in model.named_parameters()})
    for key, expected in gradients[0].items():
        if expected is None:
            assert gradients[1][key] is None, key
        else:
            torch.testing.assert_close(
                gradients[1][key], expected, rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f"{k} {m}"
            )
    assert max(float(g.abs().max()) for g in gradients[0].values() if g is not None) > 1e-3


@needs_cuequivariance
def test_hessians_are_the_same() -> None:
    """Second derivatives with respect to positions, by way of the bond vectors."""
    hessians = []
    for kernels in ("torch", "cuequivariance"):
        network = made(SHAPES["vectors"]).network
        use_kernels(network, kernels)
        batch = collate([graph_from_atoms(molecule("H2O"))])
        centre, neighbour = neighbour_list(batch, 4.0).edge_index
        species = torch.tensor([1, 0, 0])

        def energy(positions, network=network, centre=centre, neighbour=neighbour, species=species):
            return network(species, centre, neighbour, positions[neighbour] - positions[centre]).sum()

        hessians.append(torch.autograd.functional.hessian(energy, batch.positions.double()))
    assert hessians[0].abs().max() > 1e-3
    torch.testing.assert_close(hessians[1], hessians[0], rtol=1e-9, atol=1e-10)


@needs_cuequivariance
def test_one_setting_chooses_them_and_checkpoints_do_not_notice(tmp_path) -> None:
    model = made(SHAPES["vectors"])
    use_kernels(model, "cuequivariance")
    save_checkpoint(tmp_path / "model", model, name="tiny")
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    plain = load_potential(tmp_path / "model")(batch)["forces"]
    chosen = load_potential({"name": str(tmp_path / "model"), "kernels": "cuequivariance"})(batch)["forces"]
    torch.testing.assert_close(chosen, plain, rtol=1e-9, atol=1e-10)


def test_a_missing_package_an_unknown_name_and_a_plain_network_are_refused(tmp_path, monkeypatch) -> None:
    model = made(SHAPES["scalars"])
    save_checkpoint(tmp_path / "model", model, name="tiny")
    with pytest.raises(InputError, match="kernels 'triton' are not known: choose torch or cuequivariance"):
        load_checkpoint(tmp_path / "model", kernels="triton")
    with pytest.raises(InputError, match="exclude each other"):
        load_potential(tmp_path / "model", kernels="cuequivariance", compile=True)
    plain = EnergyModel(NetworkConfig(architecture="plain", cutoff=4.0, channels=8), {1: -1.0})
    with pytest.raises(InputError, match="architecture density"):
        use_kernels(plain, "cuequivariance")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install cuequivariance-torch"):
        use_kernels(model, "cuequivariance")
