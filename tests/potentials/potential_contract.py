"""What every `Potential` must do, as checks any of them can be run through.

A check takes the potential (in double precision, so that finite differences mean something) and systems it can handle:
the first is a rattled crystal, the last a molecule. Each raises AssertionError with what failed.
"""

import ase
import numpy as np
import torch
from ase import Atoms

from potentials.atom_graph import collate, graph_from_atoms
from potentials.potential import Potential, PotentialOutput

Systems = list[Atoms]


def evaluate(potential: Potential, *systems: Atoms, stress: bool = True) -> PotentialOutput:
    return potential(collate([graph_from_atoms(atoms) for atoms in systems]), stress=stress)


def check_shapes(potential: Potential, systems: Systems) -> None:
    n_atoms = sum(len(atoms) for atoms in systems)
    assert isinstance(potential, Potential)
    assert potential.name
    batch = collate([graph_from_atoms(atoms) for atoms in systems])
    before = batch.positions.clone()
    output = potential(batch)
    assert output["energy"].shape == (len(systems),)
    assert output["forces"].shape == (n_atoms, 3)
    assert output["stress"].shape == (len(systems), 3, 3)
    for key, value in output.items():
        assert isinstance(value, torch.Tensor)
        assert not value.requires_grad, key
        assert torch.isfinite(value).all(), key
    assert torch.equal(batch.positions, before), "the batch was modified"
    without = potential(batch, stress=False)
    torch.testing.assert_close(without["forces"], output["forces"])


def check_rotation(potential: Potential, systems: Systems) -> None:
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    rotated = [atoms.copy() for atoms in systems]
    for atoms in rotated:
        atoms.set_cell(atoms.cell.array @ rotation.T)
        atoms.positions = atoms.positions @ rotation.T
    first, second = evaluate(potential, *systems), evaluate(potential, *rotated)
    turn = torch.from_numpy(rotation)
    close(first["energy"], second["energy"], "energy")
    close(first["forces"] @ turn.T, second["forces"], "forces")
    close(turn @ first["stress"] @ turn.T, second["stress"], "stress")


def check_translation(potential: Potential, systems: Systems) -> None:
    moved = [atoms.copy() for atoms in systems]
    for atoms in moved:
        atoms.positions += [0.31, -1.7, 2.4]
    first, second = evaluate(potential, *systems), evaluate(potential, *moved)
    for key in ("energy", "forces", "stress"):
        close(first[key], second[key], key)
    for part in first["forces"].split([len(atoms) for atoms in systems]):
        close(part.sum(0), torch.zeros(3, dtype=part.dtype), "net force")


def check_lattice_translation(potential: Potential, systems: Systems) -> None:
    """An atom and its image in another cell are the same atom."""
    atoms = systems[0]
    moved = atoms.copy()
    moved.positions[1] += atoms.cell[0] - 2 * atoms.cell[2]
    moved.positions[0] -= atoms.cell[1]
    first, second = evaluate(potential, atoms), evaluate(potential, moved)
    for key in ("energy", "forces", "stress"):
        close(first[key], second[key], key)


def check_permutation(potential: Potential, systems: Systems) -> None:
    for atoms in systems:
        order = np.random.default_rng(5).permutation(len(atoms))
        first, second = evaluate(potential, atoms), evaluate(potential, atoms[order])
        close(first["energy"], second["energy"], "energy")
        close(first["forces"][order], second["forces"], "forces")
        close(first["stress"], second["stress"], "stress")


def check_forces(potential: Potential, systems: Systems, step: float = 1e-4) -> None:
    """Forces are minus the central difference of the energy, for a few coordinates of each system."""
    rng = np.random.default_rng(7)
    for atoms in systems:
        forces = evaluate(potential, atoms)["forces"]
        for _ in range(4):
            atom, axis = int(rng.integers(len(atoms))), int(rng.integers(3))
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(float(evaluate(potential, moved, stress=False)["energy"][0]))
            expected = -(energies[0] - energies[1]) / (2 * step)
            assert abs(float(forces[atom, axis]) - expected) < 2e-5, (atoms, atom, axis, forces[atom, axis], expected)


def check_stress(potential: Potential, systems: Systems, step: float = 1e-4) -> None:
    """Stress is the central difference of the energy under strain over the volume; a molecule has none."""
    atoms = systems[0]
    stress = evaluate(potential, atoms)["stress"][0]
    close(stress, stress.T, "symmetry of the stress")
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(float(evaluate(potential, strained)["energy"][0]))
        expected = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
        assert abs(float(stress[a, b]) - expected) < 1e-5, (a, b, stress[a, b], expected)
    molecule = evaluate(potential, systems[-1])["stress"]
    assert torch.equal(molecule, torch.zeros_like(molecule))


def check_batch_equals_single(potential: Potential, systems: Systems) -> None:
    together = evaluate(potential, *systems)
    forces = together["forces"].split([len(atoms) for atoms in systems])
    for k, atoms in enumerate(systems):
        alone = evaluate(potential, atoms)
        close(together["energy"][k], alone["energy"][0], f"energy of system {k}")
        close(forces[k], alone["forces"], f"forces of system {k}")
        close(together["stress"][k], alone["stress"][0], f"stress of system {k}")


def check_extensive(potential: Potential, systems: Systems) -> None:
    atoms = systems[0]
    repeated = atoms * (2, 1, 2)
    first, second = evaluate(potential, atoms), evaluate(potential, repeated)
    close(4 * first["energy"], second["energy"], "energy of a supercell")
    close(first["forces"].repeat(4, 1), second["forces"], "forces of a supercell")
    close(first["stress"], second["stress"], "stress of a supercell")


def check_cutoff(potential: Potential, systems: Systems) -> None:
    """Energy and force of a pair go to those of isolated atoms without a jump."""
    if potential.cutoff is None:
        return
    pair = systems[0].numbers[:2]
    reach = 2e-3
    distances = potential.cutoff + np.linspace(-reach, reach, 9)
    outputs = [evaluate(potential, ase.Atoms(pair, [[0, 0, 0], [0, 0, distance]])) for distance in distances]
    energy = torch.stack([output["energy"][0] for output in outputs])
    force = torch.stack([output["forces"][1, 2] for output in outputs])
    apart = evaluate(potential, *(ase.Atoms([number], [[0, 0, 0]]) for number in pair))
    close(energy[-1], apart["energy"].sum(), "energy beyond the cutoff")
    assert float((energy - energy[-1]).abs().max()) < 1e-5
    assert float(force.abs().max()) < 1e-3
    assert float(force[-1].abs()) < 1e-10


def check_curvature(potential: Potential, systems: Systems) -> None:
    """The force has no kink at the cutoff: its one-sided slope there falls as the step does."""
    if potential.cutoff is None:
        return
    pair = systems[0].numbers[:2]
    slopes = []
    for step in (4e-3, 1e-3):
        inside = evaluate(potential, ase.Atoms(pair, [[0, 0, 0], [0, 0, potential.cutoff - step]]))
        slopes.append(abs(float(inside["forces"][1, 2])) / step)
    assert slopes[1] < max(0.5 * slopes[0], 1e-9), slopes


CHECKS = (
    check_shapes,
    check_rotation,
    check_translation,
    check_lattice_translation,
    check_permutation,
    check_forces,
    check_stress,
    check_batch_equals_single,
    check_extensive,
    check_cutoff,
    check_curvature,
)


def close(first: torch.Tensor, second: torch.Tensor, what: str) -> None:
    """Equal to 1e-7, relative or absolute, whichever is looser."""
    torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-7, msg=lambda text: f"{what}: {text}")
