"""From a recipe to atoms: PORMAKE places the blocks, joints are closed, linkers turned to avoid clashes.

Placement follows Lee et al., ACS Appl. Mater. Interfaces 2021, 13, 23647: nodes are oriented by their connection
points, the net is scaled to the size of the blocks, linkers lie along the scaled edges. That leaves joints
a little open (see `joints.py`) and the torsion of a straight linker about its own axis arbitrary.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from gen.sorbents.beads import DIRECT, EDGE, Beads, Links
from gen.sorbents.bodies import AssemblyError, Body, body_of, structure_of
from gen.sorbents.catalog import Catalog
from gen.sorbents.joints import Joint, find_joints
from gen.sorbents.library import load_block, load_net, pormake
from gen.sorbents.recipe import Recipe
from gen.sorbents.scaling import NetScaler
from gen.sorbents.settling import MIN_HEIGHT, cell_height, settle
from gen.sorbents.torsions import turn_linkers

__all__ = ["AssemblyError", "Framework", "assemble"]


@dataclass(frozen=True)
class Framework:
    """An assembled framework."""

    structure: Structure  # primitive cell of the net
    beads: Beads  # where its blocks are
    links: Links
    bonds: np.ndarray  # [n_bonds, 2] atom indices, as the blocks and their joints define them
    rmsd: float  # largest, of unit directions, after the net was scaled
    strain: float  # what is left of the scaling objective; 0 when every edge length and angle fits
    gap: float  # Å, largest distance left between two connection points that should coincide


def assemble(recipe: Recipe, catalog: Catalog) -> Framework:
    """Atoms of a recipe, linkers turned to the torsion with the least overlap.

    Deterministic: no random number is drawn.

    Raises:
        AssemblyError: PORMAKE cannot place a block.
    """
    net = load_net(recipe.net)
    slots = catalog.nets[recipe.net]
    nodes = {slot.tag: load_block(name) for slot, name in zip(slots.nodes, recipe.nodes, strict=True)}
    edges = {
        edge.ends: load_block(name) if name else None for edge, name in zip(slots.edges, recipe.edges, strict=True)
    }
    try:
        with warnings.catch_warnings():
            # Two directions leave one rotation free; PORMAKE's fit warns about it for every linker.
            warnings.filterwarnings("ignore", message="Optimal rotation is not uniquely")
            built = pormake().Builder(scaler=NetScaler()).build_by_type(net, nodes, edges)
    except Exception as error:  # PORMAKE raises bare Exception, and whatever numpy and scipy raise
        raise AssemblyError(f"PORMAKE cannot assemble {recipe.key}: {' '.join(str(error).split())}") from error
    placed = built.info["located_bbs"]
    cell = np.array(built.info["topology"].atoms.cell[:])
    if not np.isfinite(cell).all() or cell_height(cell) < MIN_HEIGHT:
        raise AssemblyError(f"PORMAKE scaled the net of {recipe.key} to a flat cell")
    names = _slot_names(recipe, catalog, built.info["topology"])
    joints = find_joints(built, placed, cell)
    bodies = [body_of(block, names[slot]) for slot, block in enumerate(placed) if block is not None]
    bodies = turn_linkers(bodies, [k for k, body in enumerate(bodies) if len(body.points) == EDGE], cell)
    bodies, cell, gap = settle(bodies, cell, joints)
    structure = structure_of(bodies, cell)
    beads, links = beads_of(bodies, cell, joints, structure.lattice.matrix)
    strain = float(built.info["relax_obj"])
    return Framework(structure, beads, links, built.bonds, float(built.info["max_rmsd"]), strain, gap)


def _slot_names(recipe: Recipe, catalog: Catalog, net: Any) -> dict[int, str]:
    """Name of the block in each filled slot of a net."""
    slots = catalog.nets[recipe.net]
    nodes = {slot.tag: name for slot, name in zip(slots.nodes, recipe.nodes, strict=True)}
    edges = {frozenset(edge.ends): name for edge, name in zip(slots.edges, recipe.edges, strict=True)}
    tags = net.atoms.get_tags()
    names = {int(slot): nodes[int(tags[slot])] for slot in net.node_indices}
    for slot in net.edge_indices:
        ends = frozenset(int(tags[neighbour.index]) for neighbour in net.neighbor_list[slot])
        if (name := edges[ends]) is not None:
            names[int(slot)] = name
    return names


def beads_of(
    bodies: Sequence[Body], cell: np.ndarray, joints: Sequence[Joint], lattice: np.ndarray
) -> tuple[Beads, Links]:
    """Beads of bodies whose joints are closed; `lattice` is `cell` in the orientation to be reported."""
    inverse = np.linalg.inv(cell)
    frac = [body.centre @ inverse for body in bodies]
    blocks = [body.name for body in bodies]
    connections = [len(body.points) for body in bodies]
    ends: dict[int, list[tuple[int, np.ndarray]]] = {}  # edge bead -> its nodes and their cells, before wrapping
    for joint in joints:
        first, second = joint.bodies
        if connections[first] == EDGE:  # X_first = X_second + image
            ends.setdefault(first, []).append((second, joint.image))
        elif connections[second] == EDGE:
            ends.setdefault(second, []).append((first, -joint.image))
        else:
            a, b = (bodies[k].points[point] for k, point in zip(joint.bodies, joint.points, strict=True))
            ends[len(frac)] = [(first, np.zeros(3)), (second, joint.image)]
            frac.append(0.5 * (a + b + joint.image @ cell) @ inverse)
            blocks.append(DIRECT)
            connections.append(EDGE)
    unwrapped = np.array(frac)
    cells = np.floor(unwrapped)
    order = sorted(ends)
    images = [[image + cells[node] - cells[edge] for node, image in ends[edge]] for edge in order]
    links = Links(
        np.array(order, int),
        np.array([[node for node, _ in ends[edge]] for edge in order], int),
        np.array(images).round().astype(int),
    )
    return Beads(lattice, (unwrapped - cells) % 1.0, tuple(blocks), tuple(connections)), links
