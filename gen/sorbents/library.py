"""The net and building-block library that PORMAKE (Lee et al., ACS Appl. Mater. Interfaces 2021) ships.

Nets are reduced to their primitive cell: RCSR lists conventional cells, four times too large for a
face-centred net (HKUST-1 has 624 atoms in the conventional tbo cell and 156 in the primitive one).
"""

import functools
import importlib.metadata
import logging
import sys
import types
from pathlib import Path
from typing import Any

import ase
import numpy as np
import spglib
from ase.data import covalent_radii
from pymatgen.core import Element
from pymatgen.symmetry.groups import SpaceGroup

from gen.sorbents.block_charge import complete_oxygens
from potentials.errors import InputError

NET_SYMPREC = 1e-3  # edge lengths; coordinates in the net files have four or five decimals


@functools.cache
def pormake() -> Any:
    """The `pormake` module, imported on first use and silenced.

    On import, PORMAKE opens `runtime.log` for writing in the working directory (and so fails in a read-only
    one). Its logging module is therefore replaced by a mute one before the first import.
    """
    if "pormake" not in sys.modules:
        mute: Any = types.ModuleType("pormake.log")
        mute.logger = logging.getLogger("pormake")
        mute.logger.setLevel(logging.CRITICAL + 1)
        mute.logger.propagate = False
        for name in ("disable_print", "enable_print", "disable_file_print", "enable_file_print"):
            setattr(mute, name, lambda: None)
        sys.modules["pormake.log"] = mute
    return importlib.import_module("pormake")


def pormake_version() -> str:
    """Installed version of PORMAKE; it is part of every proposal's provenance."""
    return importlib.metadata.version("pormake")


def _database(folder: str) -> Path:
    return Path(pormake().__file__).parent / "database" / folder


@functools.cache
def net_names() -> tuple[str, ...]:
    """Names of every net in the library, sorted."""
    return tuple(sorted(path.stem for path in _database("topologies").glob("*.cgd")))


@functools.cache
def block_names() -> tuple[str, ...]:
    """Names of every building block in the library (`N...` nodes, `E...` edges), sorted."""
    return tuple(sorted(path.stem for path in _database("bbs").glob("*.xyz")))


def count_slots(name: str) -> int:
    """Nodes and edges in the primitive cell of a net, from its file's orbits alone (fast; no connectivity).

    Raises:
        InputError: the file names no known space group.
    """
    lines = [line.split() for line in (_database("topologies") / f"{name}.cgd").read_text().splitlines()]
    symbol = next(words[1] for words in lines if words and words[0] == "GROUP")
    symbol = {"Cmca": "Cmce"}.get(symbol, symbol)  # the old symbol, which pymatgen does not know
    try:
        operations = SpaceGroup(symbol).symmetry_ops
    except ValueError:
        raise InputError(f"net {name!r} has the unknown space group {symbol!r}: choose another net") from None
    rotations = np.array([operation.rotation_matrix for operation in operations])
    translations = np.array([operation.translation_vector for operation in operations])
    points = [np.array(words[3:6], float) for words in lines if words and words[0] == "NODE"]
    points += [
        np.array(words[1:7], float).reshape(2, 3).mean(axis=0) for words in lines if words and words[0] == "EDGE"
    ]
    orbits = [len(np.unique((((rotations @ p + translations) % 1).round(3) % 1), axis=0)) for p in points]
    return sum(orbits) // {"F": 4, "I": 2, "A": 2, "B": 2, "C": 2, "R": 3}.get(symbol[0], 1)


@functools.lru_cache(maxsize=1024)  # a wide draw comes back to some four hundred nets
def load_net(name: str) -> Any:
    """The net as a PORMAKE `Topology` in its primitive cell.

    Node slots are tagged 0, 1, ... by symmetry class, edge slots -1, -2, ...; unit edge length. The files are
    parsed directly, which keeps PORMAKE from reading and writing pickles inside its installation.

    Raises:
        InputError: no such net, or PORMAKE cannot parse it.
    """
    if name not in net_names():
        raise InputError(f"no net {name!r} in the library of {len(net_names())} nets: use an RCSR symbol such as pcu")
    try:
        net = pormake().Topology(_database("topologies") / f"{name}.cgd")
        return _primitive(net)
    except Exception as error:
        raise InputError(f"net {name!r} cannot be parsed by PORMAKE ({error}): choose another net") from error


def _primitive(net: Any) -> Any:
    """`net` with one slot for each class of slots that lattice translations relate."""
    tags = net.atoms.get_tags()
    shift = 1 - tags.min()  # spglib wants positive species numbers
    cell = (net.atoms.cell[:], net.atoms.get_scaled_positions(), tags + shift)
    reduced = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=NET_SYMPREC)
    if reduced is None or len(reduced[1]) >= len(tags):
        return net
    lattice, positions, numbers = reduced
    primitive_tags = numbers - shift
    connectivity = dict(zip(tags.tolist(), net.atoms.info["cn"], strict=True))
    atoms = ase.Atoms(
        symbols=np.where(primitive_tags >= 0, "C", "O").tolist(),  # PORMAKE's own marks for nodes and edges
        cell=lattice,
        scaled_positions=np.asarray(positions) % 1.0,
        tags=primitive_tags,
        pbc=True,
        info={**net.atoms.info, "cn": [connectivity[tag] for tag in primitive_tags.tolist()]},
    )
    primitive = net.copy()
    primitive.atoms = atoms
    primitive.update_properties()  # rebuilds and checks the connectivity; raises when it does not add up
    return primitive


@functools.lru_cache(maxsize=1024)
def load_block(name: str) -> Any:
    """The building block as a PORMAKE `BuildingBlock`; connection points are atoms `X`. Copy before moving it.

    Each connection point is put one covalent radius from the atom it belongs to, along the library's own
    direction, so that two joined blocks are one bond length apart (the library has 0.5 to 1.3 Å). Nodes get the
    hydrogens their crystal structures lack (`gen.sorbents.block_charge`).

    Raises:
        InputError: no such block.
    """
    if name not in block_names():
        raise InputError(
            f"no building block {name!r} in the library: use one of {block_names()[0]} ... {block_names()[-1]}"
        )
    block = pormake().BuildingBlock(_database("bbs") / f"{name}.xyz")
    positions = block.atoms.positions
    for point, anchors in zip(block.connection_point_indices, anchor_atoms(block), strict=True):
        if len(anchors) == 1:  # blocks with ambiguous anchors stay as they are; the catalog leaves them out
            bond = positions[point] - positions[anchors[0]]
            radius = covalent_radii[block.atoms.numbers[anchors[0]]]
            positions[point] = positions[anchors[0]] + bond / np.linalg.norm(bond) * radius
    complete_oxygens(block, anchor_atoms(block))
    return block


def anchor_atoms(block: Any) -> list[list[int]]:
    """For each connection point of a block, the atoms it is bonded to (one, in a well-formed block)."""
    bonds = block.bonds
    return [
        sorted({int(j if i == point else i) for i, j in bonds if point in (i, j)})
        for point in block.connection_point_indices
    ]


def block_metals(block: Any) -> tuple[str, ...]:
    """Symbols of the metals in a block, sorted; PORMAKE's own flag also counts B, Si and Ge, ours does not."""
    symbols = set(block.atoms.get_chemical_symbols()) - {"X"}
    return tuple(sorted(symbol for symbol in symbols if Element(symbol).is_metal))
