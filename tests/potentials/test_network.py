"""The energy model: symmetries, derivatives, smoothness and extensivity, on tensors built in code."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from e3nn import o3

from potentials.atom_graph import collate, graph_from_atoms
from potentials.errors import InputError
from potentials.neighbours import Neighbours, neighbour_list
from potentials.network import NetworkConfig
from potentials.network_potential import EnergyModel, NetworkPotential

ELEMENTS = {1: -13.6, 6: -1029.5, 8: -2041.8, 13: -3.7}


def small(**changes) -> NetworkConfig:
    return NetworkConfig(**{"cutoff": 4.0, "channels": 8, "carried": (8, 8, 4), "radial_hidden": 8} | changes)


def build(config: NetworkConfig | None = None, *, zbl: bool = False, dtype=torch.float64, seed: int = 0) -> EnergyModel:
    torch.manual_seed(seed)
    model = EnergyModel(config or small(), ELEMENTS, energy_scale=0.7, zbl=zbl, dtype=dtype)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    model.calibrate(batch, neighbour_list(batch, model.config.cutoff))
    return model


def systems() -> list[Atoms]:
    """An isolated atom, a molecule, a slab and two crystals, all a little off their symmetric places."""
    made = [
        Atoms("C"),
        molecule("CH3CH2OH"),
        fcc111("Al", (2, 1, 2), vacuum=6.0),
        bulk("Al", cubic=True),
        bulk("MgO", "rocksalt", a=4.2),
    ]
    made[2].pbc = (True, True, False)
    made[4].numbers[:] = (13, 8)
    for number, atoms in enumerate(made):
        atoms.rattle(0.08, seed=number)
    made[4].cell[0, 1] += 0.3
    return made


def run(model: EnergyModel, atoms: Atoms | list[Atoms], **options) -> dict[str, torch.Tensor]:
    batch = collate([graph_from_atoms(a) for a in (atoms if isinstance(atoms, list) else [atoms])])
    return model(batch, neighbour_list(batch, model.config.cutoff), **options)


CONFIGS = {
    "default": small(),
    "scalars carried": small(carried=(8,)),
    "one layer": small(layers=1),
    "three layers, lmax 3": small(layers=3, lmax=3, carried=(8, 4, 4, 4)),
    "body order 2": small(body_order=2),
    "body order 3": small(body_order=3),
    "radial per pair": small(radial_per_pair=True),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("inverted", [False, True])
def test_equivariance_under_o3(name: str, inverted: bool) -> None:
    model = build(CONFIGS[name])
    rotation = np.linalg.qr(o3.rand_matrix().double().numpy())[0] * (-1 if inverted else 1)
    for atoms in systems():
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ rotation.T)
        turned.positions = atoms.positions @ rotation.T
        before, after = run(model, atoms), run(model, turned)
        turn = torch.from_numpy(rotation)
        assert torch.allclose(after["energy"], before["energy"], atol=1e-9)
        assert torch.allclose(after["forces"], before["forces"] @ turn.T, atol=1e-9)
        assert torch.allclose(after["stress"], turn @ before["stress"] @ turn.T, atol=1e-9)


def test_the_energy_feels_a_dihedral() -> None:
    """Invariance is not blindness to angles."""
    model = build()
    atoms = molecule("CH3CH2OH")
    before = run(model, atoms)["energy"]
    atoms.rotate_dihedral(2, 1, 0, 3, 40.0, indices=[3])
    assert abs(run(model, atoms)["energy"] - before) > 1e-4


def test_permuting_atoms_permutes_forces() -> None:
    model = build()
    atoms = systems()[1]
    order = np.random.default_rng(0).permutation(len(atoms))
    before, after = run(model, atoms), run(model, atoms[order])
    assert torch.allclose(after["energy"], before["energy"], atol=1e-10)
    assert torch.allclose(after["forces"], before["forces"][torch.from_numpy(order)], atol=1e-10)


@pytest.mark.parametrize("zbl", [False, True])
def test_forces_and_stress_are_derivatives(zbl: bool) -> None:
    model = build(zbl=zbl)
    step = 2e-5
    for atoms in systems()[1:]:
        exact = run(model, atoms)
        for atom, axis in ((0, 0), (len(atoms) - 1, 2)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(run(model, moved)["energy"].item())
            numeric = -(energies[0] - energies[1]) / (2 * step)
            assert exact["forces"][atom, axis].item() == pytest.approx(numeric, abs=1e-6)
        if not atoms.pbc.any():
            assert (exact["stress"] == 0).all()
            continue
        for a, b in ((0, 0), (0, 1), (1, 1)):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * step / 2
                strain[b, a] += sign * step / 2
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                energies.append(run(model, strained)["energy"].item())
            numeric = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
            assert exact["stress"][0, a, b].item() == pytest.approx(numeric, abs=1e-6)


def test_second_derivatives() -> None:
    """The gradient of a force loss with respect to a weight, against finite differences."""
    model = build()
    atoms = systems()[1]

    def loss() -> torch.Tensor:
        return run(model, atoms, differentiable=True)["forces"].square().sum()

    loss().backward()
    for name in ("network.embedding", "network.layers.1.mix_density.1", "network.layers.0.radial.weights.0", "factors"):
        parameter = model.get_parameter(name)
        exact, step = parameter.grad.flatten()[1].item(), 1e-5
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.view(-1)[1] += sign * step
            values.append(loss().item())
            with torch.no_grad():
                parameter.view(-1)[1] -= sign * step
        assert exact == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-6), name


def test_batch_equals_single() -> None:
    model = build(zbl=True)
    together = run(model, systems())
    start = 0
    for number, atoms in enumerate(systems()):
        alone = run(model, atoms)
        assert torch.allclose(together["energy"][number], alone["energy"][0], atol=1e-9)
        assert torch.allclose(together["forces"][start : start + len(atoms)], alone["forces"], atol=1e-9)
        assert torch.allclose(together["stress"][number], alone["stress"][0], atol=1e-9)
        start += len(atoms)


def test_energy_is_extensive() -> None:
    model = build()
    atoms = systems()[3]
    single, repeated = run(model, atoms), run(model, atoms.repeat((2, 1, 2)))
    assert repeated["energy"].item() == pytest.approx(4 * single["energy"].item(), abs=1e-8)
    assert torch.allclose(repeated["stress"], single["stress"], atol=1e-10)
    two = molecule("CH3CH2OH")
    far = two.copy()
    far.positions += 30.0
    energy = run(model, two)["energy"].item()
    assert run(model, two + far)["energy"].item() == pytest.approx(2 * energy, abs=1e-8)


def test_smooth_where_a_neighbour_leaves() -> None:
    """Energy, force and curvature of a trimer pass through the cutoff without a step."""
    model = build()
    cutoff = model.config.cutoff
    derivatives = []
    for distance in (cutoff - 2e-5, cutoff + 2e-5):
        positions = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0, distance, 0]], dtype=torch.float64)
        pairs = torch.tensor(list(itertools.permutations(range(3), 2))).T  # also pairs beyond the cutoff
        height = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        moved = positions + torch.tensor([[0, 0, 0], [0, 0, 0], [0, 1.0, 0]], dtype=torch.float64) * height
        vectors = moved[pairs[1]] - moved[pairs[0]]
        energy = model.network(torch.tensor([0, 1, 2]), pairs[0], pairs[1], vectors).sum()
        force = torch.autograd.grad(energy, height, create_graph=True)[0]
        curvature = torch.autograd.grad(force, height)[0]
        derivatives.append((energy.item(), force.item(), curvature.item()))
    for inside, outside in zip(*derivatives, strict=True):
        assert inside == pytest.approx(outside, abs=1e-3 * max(1.0, abs(outside)))


def test_pairs_beyond_the_cutoff_change_nothing() -> None:
    model = build()
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    tight = model(batch, neighbour_list(batch, model.config.cutoff))
    wide = model(batch, neighbour_list(batch, model.config.cutoff + 1.5))
    for key in tight:
        assert torch.allclose(tight[key], wide[key], atol=1e-9)


def test_isolated_atoms_alone() -> None:
    model = build(zbl=True)
    result = run(model, [Atoms("C"), Atoms("H"), Atoms("C")])
    assert result["energy"][0] == result["energy"][2] != result["energy"][1]
    assert (result["forces"] == 0).all()
    assert (result["stress"] == 0).all()


def test_single_precision_keeps_small_differences_of_large_totals() -> None:
    double, single = build(), build(dtype=torch.float32)
    single.load_state_dict(double.state_dict())
    exact, found = run(double, systems()), run(single, systems())
    assert found["energy"].dtype == torch.float64
    assert torch.allclose(found["energy"], exact["energy"], atol=2e-5, rtol=0)
    assert torch.allclose(found["forces"].double(), exact["forces"], atol=1e-4)


def test_unseen_element_is_named() -> None:
    with pytest.raises(InputError, match="never saw N: it knows H, C, O, Al"):
        run(build(), molecule("NH3"))


def test_potential_protocol_and_skin() -> None:
    model = build()
    fresh = NetworkPotential(model)
    kept = NetworkPotential(model, skin=0.6)
    atoms = systems()[3]
    for _ in range(3):
        atoms.rattle(0.1, rng=np.random.default_rng(len(atoms)))
        batch = collate([graph_from_atoms(atoms)])
        a, b = fresh(batch), kept(batch)
        assert torch.allclose(a["energy"], b["energy"], atol=1e-9)
        assert torch.allclose(a["forces"], b["forces"], atol=1e-9)
    assert fresh.elements == frozenset(ELEMENTS)
    assert "stress" not in fresh(batch, stress=False)


def test_calibration_brings_features_to_order_one() -> None:
    torch.manual_seed(0)
    wild = EnergyModel(small(), ELEMENTS)
    batch = collate([graph_from_atoms(atoms) for atoms in systems()])
    neighbours: Neighbours = neighbour_list(batch, wild.config.cutoff)
    before = wild(batch, neighbours)["forces"].abs().max()
    wild.calibrate(batch, neighbours)
    after = wild(batch, neighbours)["forces"].abs().max()
    assert before > 1e3
    assert 0.01 < after < 30


def test_carried_degrees_must_fit() -> None:
    with pytest.raises(ValueError, match="carried holds 4 degrees"):
        NetworkConfig(lmax=2, carried=(8, 8, 8, 8))
