"""Generated beads become atoms: geometry, noise, determinism, reasons; and the equations behind it."""

import numpy as np
import pytest
from bead_nets import edge_length, noisy, primitive_cubic

from gen.sorbents.bead_assembly import MAX_GAP, assemble_beads
from gen.sorbents.beads import Beads
from gen.sorbents.bodies import AssemblyError, library_body, transformed
from gen.sorbents.clashes import Clashes
from gen.sorbents.joints import Joint, JointEquations
from gen.sorbents.settling import _State, cell_height, close_joints


@pytest.fixture(scope="module")
def mof5():
    """Zn4O nodes and phthalates in the primitive cubic net."""
    return primitive_cubic()


def with_lattice(beads: Beads, lattice: np.ndarray) -> Beads:
    return Beads(lattice, beads.frac, beads.blocks, beads.connections)


def test_mof5_from_its_beads(mof5):
    """One formula unit; the cell edge of the real crystal is 25.83 Å for two nodes (Li et al., Nature 1999)."""
    built = assemble_beads(mof5)
    assert built.structure.composition.reduced_formula == "Zn4H12C24O13"
    assert built.gap < 0.1
    assert built.structure.lattice.abc == pytest.approx([12.9] * 3, abs=0.4)
    assert built.structure.density == pytest.approx(0.59, abs=0.05)
    assert built.beads.blocks == mof5.blocks
    distances = built.structure.distance_matrix + 9 * np.eye(len(built.structure))
    assert distances.min() > 0.9


def test_noise_and_strain_are_taken_out(mof5):
    clean = assemble_beads(mof5)
    for seed in range(3):
        built = assemble_beads(noisy(mof5, 0.4, 0.03, seed))
        assert built.gap < MAX_GAP
        assert built.key == clean.key
        assert built.structure.density == pytest.approx(clean.structure.density, rel=0.06)


def test_assembly_is_deterministic(mof5):
    beads = noisy(mof5, 0.3, 0.02, seed=8)
    first, second = assemble_beads(beads), assemble_beads(beads)
    np.testing.assert_array_equal(first.structure.frac_coords, second.structure.frac_coords)
    assert first.key == second.key


def test_direct_joints_have_no_linker():
    """Two kinds of carbon-anchored six-connected nodes are not needed: a node may be bonded to its own image."""
    beads = primitive_cubic("N16", "direct")
    built = assemble_beads(beads)
    assert len(built.structure) == len(library_body("N16").numbers)
    assert built.structure.lattice.a == pytest.approx(edge_length("N16", "direct"), abs=0.3)


def test_unsound_beads_are_refused_with_a_reason(mof5):
    with pytest.raises(AssemblyError, match="not a finite number"):
        assemble_beads(with_lattice(mof5, mof5.lattice * np.nan))
    with pytest.raises(AssemblyError, match="high, below"):
        assemble_beads(with_lattice(mof5, mof5.lattice * np.array([[1.0], [1.0], [0.01]])))
    wrong = Beads(mof5.lattice, mof5.frac, mof5.blocks, (4, 2, 2, 2))
    with pytest.raises(AssemblyError, match="N16 has 6 connection points where 4 are asked for"):
        assemble_beads(wrong)


def test_joints_that_stay_open_are_refused(mof5, monkeypatch):
    """Against a limit no real block meets to the last digit."""
    monkeypatch.setattr("gen.sorbents.bead_assembly.MAX_GAP", 1e-6)
    with pytest.raises(AssemblyError, match=r"a joint stays 0\.\d+ Å open, above 1e-06 Å"):
        assemble_beads(noisy(mof5, 0.3, 0.02, seed=1))


def scattered():
    """Three bodies joined in a ring across cell boundaries, none of the joints shut."""
    rng = np.random.default_rng(0)
    node, linker = library_body("N16"), library_body("E14")
    bodies = [
        node,
        transformed(linker, np.eye(3), rng.normal(0, 3, 3)),
        transformed(linker, np.eye(3), np.full(3, 6.0)),
    ]
    joints = [
        Joint((1, 0), (0, 0), np.array([0, 0, 0])),
        Joint((1, 0), (1, 1), np.array([1, 0, 0])),
        Joint((2, 0), (0, 2), np.array([0, 0, 0])),
        Joint((2, 0), (1, 3), np.array([0, 1, -1])),
    ]
    return bodies, joints, np.diag([9.0, 10.0, 11.0]) + rng.normal(0, 0.5, (3, 3))


@pytest.mark.parametrize("kind", ["joints", "clashes"])
def test_derivatives_agree_with_finite_differences(kind):
    bodies, joints, cell = scattered()
    state = _State(bodies, cell)
    equations, clashes = JointEquations(bodies, joints), Clashes(bodies, joints)
    clashes.find(state.atoms, cell)
    close = clashes.shortfalls(state.atoms, cell) > 0.05  # those that stay in contact within a step
    active = np.flatnonzero(clashes.shortfalls(state.atoms, cell) > 0)

    def values(at: _State) -> np.ndarray:
        if kind == "joints":
            return equations.linearised(at.points, at.atoms[at.anchor], at.centres, at.cell)[0]
        return (clashes.weight * clashes.shortfalls(at.atoms, at.cell))[close]

    if kind == "joints":
        jacobian = equations.linearised(state.points, state.atoms[state.anchor], state.centres, cell)[1]
    else:
        assert close.sum() > 3
        jacobian = clashes.linearised(state.atoms, state.centres, cell)[1][close[active]]
    step = 1e-5
    for column in range(jacobian.shape[1]):
        move = np.zeros(jacobian.shape[1])
        move[column] = step
        numeric = (values(state.moved(move)) - values(state.moved(-move))) / (2 * step)
        np.testing.assert_allclose(numeric, jacobian[:, column], atol=2e-4)


def test_clashing_blocks_are_pushed_apart_and_joints_stay_shut(mof5):
    """Benzenes that run into each other: two pcu linkers turned into the corner between them."""
    built = assemble_beads(mof5)
    bodies = [library_body("N16"), library_body("N16")]
    bodies[1] = transformed(bodies[1], np.eye(3), np.array([0.0, 0.0, 9.0]))
    cell = np.diag([30.0, 30.0, 30.0])
    joints = [Joint((0, 1), (0, 1), np.array([0, 0, 0]))]
    clashes = Clashes(bodies, joints)
    atoms = np.concatenate([body.atoms for body in bodies])
    clashes.find(atoms, cell)
    before = clashes.shortfalls(atoms, cell).sum()
    moved, new_cell, gap = close_joints(bodies, cell, joints, clear=True)
    atoms = np.concatenate([body.atoms for body in moved])
    clashes.find(atoms, new_cell)
    assert gap < 0.2
    assert clashes.shortfalls(atoms, new_cell).sum() < max(before, 0.5)
    for old, new in zip(bodies, moved, strict=True):  # rigid: no distance within a block has changed
        np.testing.assert_allclose(
            np.linalg.norm(old.atoms[:, None] - old.atoms, axis=-1),
            np.linalg.norm(new.atoms[:, None] - new.atoms, axis=-1),
            atol=1e-9,
        )
    assert built.gap < 0.1


def test_height_of_a_cell():
    assert cell_height(np.diag([3.0, 4.0, 5.0])) == pytest.approx(3.0)
    assert cell_height(np.array([[4.0, 0, 0], [4.0, 0.5, 0], [0, 0, 9.0]])) == pytest.approx(2.0 / np.sqrt(16.25))
    assert cell_height(np.zeros((3, 3))) == 0.0
