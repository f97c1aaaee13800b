"""Building blocks as rigid bodies: arrays of atoms and connection points that turn and shift together."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from gen.sorbents.library import anchor_atoms, load_block
from potentials.errors import SorbusError


class AssemblyError(SorbusError):
    """Parts that give no framework; the reason in one sentence."""


@dataclass(frozen=True)
class Body:
    """A rigid block somewhere in space. Its centre is the mean of its connection points."""

    name: str
    numbers: np.ndarray  # [n] atomic numbers, connection points not counted
    atoms: np.ndarray  # [n, 3] Å
    points: np.ndarray  # [c, 3] Å, connection points: where the joint with the next block lies
    anchors: np.ndarray  # [c] the atom each connection point belongs to
    bonds: np.ndarray  # [m, 2] atoms bonded within the block

    @property
    def centre(self) -> np.ndarray:
        """[3] Å."""
        return np.asarray(self.points.mean(axis=0))

    @property
    def radii(self) -> np.ndarray:
        """[c] Å, distances of the connection points from the centre."""
        return np.asarray(np.linalg.norm(self.points - self.centre, axis=1))


def body_of(block: Any, name: str) -> Body:
    """The body a PORMAKE `BuildingBlock` is, where it is placed; `name` is the library's."""
    real = np.flatnonzero(block.atoms.numbers > 0)  # connection points are "X", number 0
    renumbered = np.full(len(block.atoms), -1)
    renumbered[real] = np.arange(len(real))
    positions = block.atoms.positions
    bonds = renumbered[np.asarray(block.bonds, int).reshape(-1, 2)]
    return Body(
        name=name,
        numbers=block.atoms.numbers[real],
        atoms=positions[real].copy(),
        points=positions[block.connection_point_indices].copy(),
        anchors=np.array([renumbered[atoms[0]] for atoms in anchor_atoms(block)]),
        bonds=bonds[(bonds >= 0).all(axis=1)],
    )


@functools.lru_cache(maxsize=2048)
def library_body(name: str) -> Body:
    """A block of the library with its centre at the origin.

    Raises:
        InputError: no such block.
    """
    body = body_of(load_block(name), name)
    return replace(body, atoms=body.atoms - body.centre, points=body.points - body.centre)


def transformed(body: Body, turn: np.ndarray, centre: np.ndarray) -> Body:
    """The body turned by `turn` [3, 3] (x -> turn @ x; a reflection gives the mirror image) about its own centre,
    which is then put at `centre` [3] Å.
    """
    old = body.centre
    return replace(body, atoms=(body.atoms - old) @ turn.T + centre, points=(body.points - old) @ turn.T + centre)


def structure_of(bodies: Sequence[Body], cell: np.ndarray) -> Structure:
    """The atoms of all bodies in turn, in the standard orientation of the cell.

    That orientation is right-handed; a left-handed `cell` [3, 3] Å gives the mirror image, as good.
    """
    fractional = np.concatenate([body.atoms for body in bodies]) @ np.linalg.inv(cell)
    numbers = np.concatenate([body.numbers for body in bodies]).tolist()
    return Structure(Lattice.from_parameters(*Lattice(cell).parameters), numbers, fractional % 1.0)
