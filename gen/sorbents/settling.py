"""Move rigid blocks and the cell at once until joints are shut and atoms of different blocks clear each other.

PORMAKE orients each block by directions and scales the net by edge lengths and angles, one after the other;
a generated framework has its blocks where a network put them. In both, joints stay open or are pushed together by up
to an ångström. Here all blocks (as rigid bodies) and the cell move to the least-squares optimum by damped Gauss-Newton
(Levenberg 1944; Marquardt 1963), over three translations and three rotations a block and nine numbers of the cell.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from gen.sorbents.bodies import Body
from gen.sorbents.clashes import Clashes, largest_overlap
from gen.sorbents.joints import Joint, JointEquations, joint_gaps
from gen.sorbents.torsions import is_straight, turn_linkers

RESTRAINT = 0.1  # weight of staying where things were: keeps flexible nets from folding up
ITERATIONS = 40
ROUNDS = 3
SHUT = 0.2  # Å; joints closer than this need no further round
TOUCH = 0.4  # Å; contacts closer than `clashes.CONTACT` by less need none either
CONVERGED = 1e-3  # Å or rad, largest movement in an iteration
MIN_HEIGHT = 2.0  # Å between opposite faces of a cell; neighbour lists of flatter ones grow without bound
LARGEST_STEP = 1.0  # Å or rad; the pair list and the linearisation hold that far


def settle(bodies: Sequence[Body], cell: np.ndarray, joints: Sequence[Joint]) -> tuple[list[Body], np.ndarray, float]:
    """Joints shut, linkers turned, and what still clashes pushed apart; arguments and result as `close_joints`.

    Blocks that clash are given `ROUNDS` rounds, each restrained to where the one before ended.
    """
    moved, cell, gap = close_joints(bodies, cell, joints)
    for _ in range(ROUNDS):
        # Turning a linker whose end atoms lie off its axis would bend its bonds; those turn as rigid bodies only.
        straight = [k for k, body in enumerate(moved) if len(body.points) == 2 and is_straight(body)]
        moved = turn_linkers(moved, straight, cell)
        moved, cell, gap = close_joints(moved, cell, joints, clear=True)
        if gap < SHUT and largest_overlap(moved, cell, joints) < TOUCH:
            break
    return moved, cell, gap


def cell_height(cell: np.ndarray) -> float:
    """Å, the smallest distance between opposite faces of a cell [3, 3]; 0 for a flat one."""
    volume = abs(float(np.linalg.det(cell)))
    faces = [float(np.linalg.norm(np.cross(cell[i - 2], cell[i - 1]))) for i in range(3)]
    return volume / max(max(faces), 1e-9)


def close_joints(
    bodies: Sequence[Body],
    cell: np.ndarray,
    joints: Sequence[Joint],
    *,
    clear: bool = False,
) -> tuple[list[Body], np.ndarray, float]:
    """Bodies and cell whose connection points coincide and whose bonds point at each other.

    Args:
        bodies: where they start.
        cell: [3, 3] Å.
        joints: what has to meet.
        clear: push apart atoms of different bodies as well.

    Returns:
        moved bodies, the new cell [3, 3] Å and the largest distance (Å) left between two points that should coincide.
    """
    state = _State(bodies, cell)
    equations = JointEquations(bodies, joints)
    clashes = Clashes(bodies, joints) if clear else None
    if clashes:
        clashes.find(state.atoms, state.cell)
    moved = np.zeros(6 * len(bodies) + 9)  # sum of all steps: Å and rad of each block, Å of the cell
    since_list = 0.0  # Å that atoms may have moved since pairs were listed
    damping = 1e-2
    residuals, jacobian = _linearised(state, equations, clashes)
    cost = residuals @ residuals
    for _ in range(ITERATIONS):
        normal = jacobian.T @ jacobian
        normal[np.diag_indices_from(normal)] += RESTRAINT**2 + damping
        step = np.linalg.solve(normal, -jacobian.T @ residuals - RESTRAINT**2 * moved)
        step *= min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        trial = state.moved(step)
        if cell_height(trial.cell) < MIN_HEIGHT:
            damping *= 10
            if damping > 1e6:
                break
            continue
        trial_residuals, trial_jacobian = _linearised(trial, equations, clashes)
        trial_cost = trial_residuals @ trial_residuals + RESTRAINT**2 * ((moved + step) @ (moved + step))
        if trial_cost < cost:
            since_list += float(np.abs(trial.atoms - state.atoms).max(initial=0.0))
            state, moved, cost = trial, moved + step, trial_cost
            residuals, jacobian = trial_residuals, trial_jacobian
            if clashes and since_list > 0.3:
                clashes.find(state.atoms, state.cell)
                residuals, jacobian = _linearised(state, equations, clashes)
                cost, since_list = residuals @ residuals + RESTRAINT**2 * (moved @ moved), 0.0
            damping /= 5
            if np.abs(step).max() < CONVERGED:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    after = state.bodies(bodies)
    return after, state.cell, float(joint_gaps(after, state.cell, joints).max())


class _State:
    """Positions of everything that moves."""

    def __init__(self, bodies: Sequence[Body], cell: np.ndarray) -> None:
        self.cell = cell
        self.centres = np.array([body.centre for body in bodies])
        self.points = np.concatenate([body.points for body in bodies])
        self.atoms = np.concatenate([body.atoms for body in bodies])
        self.point_owner = np.concatenate([np.full(len(body.points), k) for k, body in enumerate(bodies)])
        self.atom_owner = np.concatenate([np.full(len(body.atoms), k) for k, body in enumerate(bodies)])
        first = np.concatenate([[0], np.cumsum([len(body.atoms) for body in bodies])])
        self.anchor = np.concatenate([first[k] + body.anchors for k, body in enumerate(bodies)])

    def moved(self, step: np.ndarray) -> "_State":
        """Bodies shifted by step[6 b : 6 b + 3] Å and turned by the rotation vector that follows; cell changed."""
        shifts, turns = np.split(step[:-9].reshape(-1, 6), 2, axis=1)
        rotations = Rotation.from_rotvec(turns).as_matrix()
        new = object.__new__(_State)
        new.__dict__.update(self.__dict__)
        new.cell = self.cell + step[-9:].reshape(3, 3)
        for name, owner in (("points", self.point_owner), ("atoms", self.atom_owner)):
            arms = getattr(self, name) - self.centres[owner]
            setattr(new, name, np.einsum("nij,nj->ni", rotations[owner], arms) + (self.centres + shifts)[owner])
        new.centres = self.centres + shifts
        return new

    def bodies(self, like: Sequence[Body]) -> list[Body]:
        """As bodies again."""
        return [
            replace(body, atoms=self.atoms[self.atom_owner == k], points=self.points[self.point_owner == k])
            for k, body in enumerate(like)
        ]


def _linearised(state: _State, equations: JointEquations, clashes: Clashes | None) -> tuple[np.ndarray, np.ndarray]:
    residuals, jacobian = equations.linearised(state.points, state.atoms[state.anchor], state.centres, state.cell)
    if clashes is None:
        return residuals, jacobian
    more, more_jacobian = clashes.linearised(state.atoms, state.centres, state.cell)
    return np.concatenate([residuals, more]), np.concatenate([jacobian, more_jacobian])
